// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes into a speaker and what comes out of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;

use super::feed::PathSet;
use crate::session::ConnId;
use crate::types::Prefix;

/// Something happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// A dialled connection is connected.
    Connected {
        /// The connection.
        conn: ConnId,
        /// Our end of it.
        local: IpAddr,
    },
    /// A connection could not be made.
    ConnectFailed {
        /// The connection.
        conn: ConnId,
        /// Why, for people.
        error: String,
    },
    /// One whole message arrived, as cut by [`wire::frame`](crate::wire::frame); or a header that it refused.
    Received {
        /// The connection.
        conn: ConnId,
        /// The message with its header.
        message: Bytes,
    },
    /// Chunks were written.
    Written {
        /// The connection.
        conn: ConnId,
        /// How many.
        chunks: usize,
    },
    /// The peer closed the connection, or it broke.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Why, for people; empty for an orderly close.
        error: String,
    },
    /// The task that reads the connection failed.
    Broken {
        /// The connection.
        conn: ConnId,
    },
}

impl PeerEvent {
    pub(super) const fn conn(&self) -> ConnId {
        match self {
            Self::Connected { conn, .. }
            | Self::ConnectFailed { conn, .. }
            | Self::Received { conn, .. }
            | Self::Written { conn, .. }
            | Self::Closed { conn, .. }
            | Self::Broken { conn } => *conn,
        }
    }
}

/// Something to do for the owner of the sockets, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transmit {
    /// Connect.
    Dial(Dial),
    /// Write one chunk of whole messages; report it as [`PeerEvent::Written`].
    Send {
        /// The connection.
        conn: ConnId,
        /// The messages.
        chunk: Bytes,
    },
    /// Close after everything sent is written, or stop connecting. Nothing more is heard of it.
    Close {
        /// The connection.
        conn: ConnId,
    },
}

/// A connection to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dial {
    /// The number it gets.
    pub conn: ConnId,
    /// Where to.
    pub remote: SocketAddr,
    /// From which address.
    pub local: Option<IpAddr>,
    /// TTL of its packets; the system's when absent.
    pub ttl: Option<u8>,
}

/// A connection the speaker wants to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The number it gets.
    pub conn: ConnId,
    /// TTL of its packets; the system's when absent.
    pub ttl: Option<u8>,
}

/// News for the rest of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The best paths of a prefix; none when no learned path is used.
    BestPaths {
        /// The prefix.
        prefix: Prefix,
        /// Its learned paths.
        paths: Option<Arc<PathSet>>,
    },
    /// Every prefix of the peers configured at the start has been an event; comes once.
    Synced,
}
