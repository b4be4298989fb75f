// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bidirectional Forwarding Detection (RFC 5880), for whoever must know within a second that a
//! path is dead.
//!
//! Asynchronous mode without authentication and echo, single hop (RFC 5881) and multihop
//! (RFC 5883), IPv4 and IPv6. Everything but [`net`] is pure: packets and time go in, packets and
//! news come out.
//!
//! # Example
//!
//! Two sessions that talk to each other:
//!
//! ```
//! use std::time::Instant;
//! use bfd::{Config, Discriminator, Session, State};
//!
//! let now = Instant::now();
//! let id = |n| Discriminator::new(n).expect("not zero");
//! let mut a = Session::new(Config::default(), id(1), 7, now);
//! let mut b = Session::new(Config::default(), id(2), 8, now);
//! for _ in 0..4 {
//!     a.handle_timeout(now);
//!     while let Some(packet) = a.poll_transmit(now) {
//!         b.handle_packet(&packet, now);
//!     }
//!     b.handle_timeout(now);
//!     while let Some(packet) = b.poll_transmit(now) {
//!         a.handle_packet(&packet, now);
//!     }
//! }
//! assert_eq!((a.state(), b.state()), (State::Up, State::Up));
//! ```
//!
//! # Layers
//!
//! An edge only points to the left: `packet ◀ session ◀ table`, and [`net`] beside them.
//!
//! - [`Packet`]: octets to a control packet and back, with the checks of RFC 5880 §6.8.6.
//! - [`Session`]: the state machine of one path, its timers and Poll Sequences.
//! - [`Table`]: many sessions, found by discriminator or by where a packet came from.
//! - [`net`]: the sockets, with TTL 255 both ways (RFC 5881 §5).
//!
//! # What is deliberately absent
//!
//! Authentication, the echo function, demand mode asked for by us (a peer may ask for it), the
//! passive role, and any idea of what a client does with the news (RFC 5882).
#![deny(unsafe_code)]

#[cfg(feature = "net")]
pub mod net;
mod packet;
mod session;
mod table;

pub use packet::{Diagnostic, Discard, Discriminator, Interval, PACKET_LEN, Packet, State};
pub use session::{Config, ConfigError, Event, Remote, Session, Timing};
pub use table::{Arrival, Endpoint, Full, SessionId, Table};

/// UDP destination port of single-hop control packets (RFC 5881 §4).
pub const SINGLE_HOP_PORT: u16 = 3784;
/// UDP destination port of multihop control packets (RFC 5883 §5).
pub const MULTIHOP_PORT: u16 = 4784;
