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
    ConfigDiff, ConfigError, GracefulRestart, PeerConfig, SpeakerConfig, Start, Timers,
};
#[cfg(feature = "net")]
pub use handle::{ApplyError, Handle, Originator, Requests, Stopped};
pub use reason::RejectReason;
pub use rib::{AsPath, AttrSet, Origin, PathSegment, Step};
pub use session::{By, ConnId, DownReason, State};
pub use speaker::{
    DownStatus, FamilyStatus, LearnedPath, MessageCounts, Originate, PathSet, PeerKind, PeerStatus,
    RestartStatus, RibQuery, RibRoute, RibView, RouteReason, Shutdown, Stats, TimerStatus, WhyStep,
};
pub use types::{Asn, BgpId, Community, Family, FamilySet, LargeCommunity, Prefix};
