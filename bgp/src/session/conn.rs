// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection of a peer and how far it got.

use std::net::IpAddr;

use super::negotiate::Agreed;
use super::state::{ConnId, Direction, State};
use super::timers::ConnTimers;

/// How far a connection got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// TCP is not connected yet.
    Connecting,
    /// Our OPEN is on its way.
    OpenSent,
    /// The peer's OPEN was accepted, but by the collision rule the other connection should
    /// survive: our KEEPALIVE is withheld until that one is gone or has proved itself.
    Held,
    /// Both OPENs were accepted, our KEEPALIVE is on its way.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

impl Phase {
    pub(crate) const fn state(self) -> State {
        match self {
            Self::Connecting => State::Connect,
            Self::OpenSent => State::OpenSent,
            Self::Held | Self::OpenConfirm => State::OpenConfirm,
            Self::Established => State::Established,
        }
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) id: ConnId,
    pub(crate) direction: Direction,
    pub(crate) phase: Phase,
    pub(crate) timers: ConnTimers,
    /// Our end, once connected.
    pub(crate) local: Option<IpAddr>,
    /// What the OPENs agreed on, from Held on.
    pub(crate) agreed: Option<Agreed>,
    /// The peer's KEEPALIVE came while Held.
    pub(crate) is_ready: bool,
    /// Chunks of messages handed out and not yet written.
    pub(crate) queued: usize,
}

impl Conn {
    pub(crate) fn new(id: ConnId, direction: Direction) -> Self {
        Self {
            id,
            direction,
            phase: Phase::Connecting,
            timers: ConnTimers::default(),
            local: None,
            agreed: None,
            is_ready: false,
            queued: 0,
        }
    }
}
