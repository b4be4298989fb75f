// SPDX-License-Identifier: MIT OR Apache-2.0
//! The BFD process, and the contract by which the daemon talks to it.
//!
//! BFD lives in a process of its own because it must outlive the daemon: a daemon that is killed,
//! stopped or upgraded is no failure of the path, and its peers must not see one. So this process
//! has no configuration and no state on disk. The daemon connects to `bfd.sock`, declares the
//! whole set of sessions it wants, as often as that changes, and is told the state of each. When
//! the daemon goes away, everything stays as it is until the next one declares its set.
//!
//! ```text
//!  daemon: lane::bfd ── Declare: the whole set ──▶ bfd.sock ──▶ process ── engine ──▶ UDP 3784, 4784
//!                    ◀── Report: latest state per session ───────┘
//! ```
//!
//! Both directions carry the latest value of everything and no events, so a slow or restarted
//! reader misses nothing: a failure that came and went still shows in the session's counter.

mod engine;
mod message;
mod process;

pub use message::{
    Declare, FrameError, Inbox, MAX_FRAME, MAX_SESSIONS, Report, SOCKET, VERSION, encode,
};
pub use process::run;
