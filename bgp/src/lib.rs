// SPDX-License-Identifier: MIT OR Apache-2.0
//! An embeddable BGP speaker: a zero-copy wire codec, sans-IO state machines, routing tables and
//! a tokio driver.
#![deny(unsafe_code)]

mod config;
mod family;
mod filter;
#[cfg(feature = "net")]
mod handle;
#[cfg(feature = "net")]
pub mod net;
mod reason;
mod rib;
mod session;
mod speaker;
pub mod types;
pub mod wire;

pub use config::{
    BGP_PORT, ConfigDiff, ConfigError, GracefulRestart, PeerConfig, SpeakerConfig, Start, Timers,
};
#[cfg(feature = "net")]
pub use handle::{ApplyError, Handle, Originator, Requests, Stopped};
pub use reason::RejectReason;
pub use rib::{AttrSet, Step};
pub use session::{By, ConnId, DownReason, State};
pub use speaker::{
    Accepted, Dial, DownStatus, Event, FamilyStatus, LearnedPath, MessageCounts, Originate,
    PathSet, PeerEvent, PeerKind, PeerStatus, RestartStatus, RibQuery, RibRoute, RibView,
    RouteReason, Shutdown, Speaker, Stats, TimerStatus, Transmit, WhyStep,
};
pub use types::{Asn, BgpId, Community, Family, FamilySet, LargeCommunity, Prefix};
