// SPDX-License-Identifier: MIT OR Apache-2.0
//! The session with one peer: state machine, timers, negotiation, collision; sans-IO.
//!
//! ```text
//!            start                 connected              OPEN                KEEPALIVE
//!   Idle ───────────▶ Connect ───────────────▶ OpenSent ────────▶ OpenConfirm ─────────▶ Established
//!    ▲                 │   ▲                      │  ▲                │                     │
//!    │                 │   │ retry                │  │ accepted       │                     │
//!    │ 4 failures      ▼   │                      │  │                │                     │
//!    └────────────── Active ◀─────────────────────┴──┴── any failure ─┴─────────────────────┘
//! ```
//!
//! A peer has up to three connections at a time (dialled, accepted, and the Established one that
//! a restarted peer has not told us is gone); its state is that of the furthest. Unlike the RFC's
//! machine, which runs once per connection, collisions are settled inside one machine, in
//! `collision`.
//!
//! Timers (RFC 4271 §8.1.3): hold, keepalive and send hold per connection; one deadline for
//! everything before an OPEN (Deviates: eight seconds, not four minutes); one pause between
//! attempts, which grows from 1 s to 30 s and is shorter for connections than for sessions that
//! fail. A peer that fails four times in a row rests in Idle and is refused for up to five seconds
//! (DampPeerOscillations, RFC 4271 §8.1.1).

mod collision;
mod conn;
mod machine;
mod negotiate;
mod state;
mod timers;

pub(crate) use collision::Identity;
#[cfg(feature = "net")]
pub(crate) use machine::MAX_QUEUED;
pub(crate) use machine::{Output, Session, Tally};
pub(crate) use negotiate::RestartBits;
pub use state::{By, ConnId, DownReason, State};
