// SPDX-License-Identifier: MIT OR Apache-2.0
//! An embeddable BGP-4 speaker for nodes that route for themselves.
//!
//! It originates what it is told to, learns what its peers say, decides by RFC 4271 and says for
//! every path why it is used or not. Decisions, timers and protocol are pure state machines; one
//! small driver has the sockets and the clock.
//!
//! # Example
//!
//! One session, one originated prefix; `best_paths` then delivers whatever the peer sends.
//!
//! ```
//! use bgp::{Asn, Handle, Originate, PeerConfig, Shutdown, SpeakerConfig, Start};
//! use tokio_util::sync::CancellationToken;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = SpeakerConfig::new(Asn(4_200_000_111), "10.1.1.11".parse()?);
//! config.own_blocks = vec!["10.64.1.0/26".parse()?];
//! let mut tor = PeerConfig::new("tor1a", "127.0.0.1".parse()?, Asn(65_101));
//! tor.passive = true; // a real one dials: leave it out
//! config.peers = vec![tor];
//!
//! let (handle, requests) = Handle::new();
//! handle.originate().set("10.64.1.0/26".parse()?, Originate::default());
//! handle.originate().complete();
//! let speaker = bgp::net::run(config, Start::Cold, requests, CancellationToken::new());
//! let user = async {
//!     assert_eq!(handle.peers().await?[0].name, "tor1a");
//!     let changes = handle.best_paths().take();
//!     for (prefix, change) in changes.entries {
//!         match change.value {
//!             Some(paths) => println!("{prefix} via {:?}", paths.next_hops().collect::<Vec<_>>()),
//!             None => println!("{prefix} is gone"),
//!         }
//!     }
//!     handle.shutdown(Shutdown::GracefulRestart).await
//! };
//! let (ended, asked) = tokio::join!(speaker, user);
//! ended?;
//! asked?;
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//!
//! An edge only points to the left:
//!
//! ```text
//! types ◀ wire ◀ {rib, filter} ◀ session ◀ speaker ◀ handle ◀ net
//!         config, reason, family: plain values beside them, above types only
//! ```
//!
//! - [`types`]: numbers, prefixes, communities; [`wire`]: octets to messages and back.
//! - `rib`: every path of every prefix, and the decision; `filter`: what is never accepted.
//! - `session`: the state machine of one peer; it knows messages, not routes.
//! - [`Speaker`]: all peers and the tables, sans-IO. Usable alone, without the feature `net`.
//! - [`Handle`] and [`net`]: the same behind a handle, with tokio.
//!
//! # What is deliberately absent
//!
//! Unless a peer is a client of a route reflector or configured for transit, nothing learned is
//! passed on, and attributes that a plain node does not use are dropped on receipt. No other
//! families than IPv4 and IPv6 unicast, no ADD-PATH, no confederations, no configurable filters,
//! no BMP, no MD5, no helper side of graceful restart: when a session is lost, its routes go at
//! once.
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
    BGP_PORT, ConfigDiff, ConfigError, GracefulRestart, PeerConfig, PrefixLimit, SpeakerConfig,
    Start, Timers,
};
#[cfg(feature = "net")]
pub use handle::{ApplyError, Handle, Originator, Requests, Stopped};
pub use reason::RejectReason;
pub use rib::{AttrSet, Extra, Step};
pub use session::{By, ConnId, DownReason, State};
pub use speaker::{
    Accepted, Dial, DownStatus, Event, FamilyStatus, LearnedPath, MessageCounts, Originate,
    PathSet, PeerEvent, PeerKind, PeerStatus, RestartStatus, RibQuery, RibRoute, RibView,
    RouteReason, Shutdown, Speaker, Stats, TimerStatus, Transmit, WhyStep,
};
pub use types::{Asn, BgpId, Community, Family, FamilySet, LargeCommunity, Prefix};
