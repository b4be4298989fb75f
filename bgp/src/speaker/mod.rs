// SPDX-License-Identifier: MIT OR Apache-2.0
//! All peers and the tables, one owner, no input or output of its own.
//!
//! ```text
//!  PeerEvent ──▶ session ──UPDATE──▶ import rules ──▶ tables ──decision──▶ Event::BestPaths
//!                  │                                                          (feed)
//!  Transmit  ◀─────┴──────UPDATE──── update groups ◀──┘ originate() is a path as well
//! ```
//!
//! Work is bounded per turn: input only marks prefixes, and `handle_timeout` decides and
//! advertises a limited number of them after all timers have run. So a full table from one peer
//! delays neither a KEEPALIVE nor another peer.

mod apply;
mod core;
mod export;
mod feed;
mod group;
mod import;
mod io;
mod originate;
mod path;
mod peer;
mod query;
mod restart;
mod status;

pub use core::Speaker;

pub use feed::{LearnedPath, PathSet};
pub use io::{Accepted, Dial, Event, PeerEvent, Transmit};
pub use originate::Originate;
pub use status::{
    DownStatus, FamilyStatus, MessageCounts, PeerKind, PeerStatus, RestartStatus, RibQuery,
    RibRoute, RibView, RouteReason, Shutdown, Stats, TimerStatus, WhyStep,
};
