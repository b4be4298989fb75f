// SPDX-License-Identifier: MIT OR Apache-2.0
//! The words of the state machine: states, events and the reasons a session ends.

use std::fmt;
use std::time::Instant;

/// State of a peer (RFC 4271 §8.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not started, or resting after repeated failures: connections are refused.
    Idle,
    /// Listening, and waiting before the next attempt to connect.
    Active,
    /// An attempt to connect is under way.
    Connect,
    /// Connected, OPEN sent.
    OpenSent,
    /// OPEN received and accepted.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

impl State {
    /// Name as it appears in JSON, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Connect => "connect",
            Self::OpenSent => "openSent",
            Self::OpenConfirm => "openConfirm",
            Self::Established => "established",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a session, or an attempt at one, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DownReason {
    /// The TCP connection could not be made.
    ConnectFailed,
    /// No complete OPEN arrived in time.
    OpenTimerExpired,
    /// Nothing was heard for the hold time (RFC 4271 §6.5).
    HoldTimerExpired,
    /// The peer took nothing we sent for the send hold time (RFC 9687).
    SendHoldTimerExpired,
    /// The peer closed the TCP connection without a NOTIFICATION.
    ConnectionClosed,
    /// The peer sent a NOTIFICATION.
    NotificationReceived,
    /// The peer's OPEN was refused (RFC 4271 §6.2).
    OpenRefused,
    /// A message could not be decoded (RFC 4271 §6.1 and §6.3).
    MalformedMessage,
    /// A message was not allowed in its state (RFC 4271 §6.6).
    UnexpectedMessage,
    /// The peer restarted and opened a new connection beside the old one (RFC 4724 §4.2).
    PeerRestarted,
    /// BFD saw the path fail (RFC 9384).
    BfdDown,
    /// The peer sent more prefixes than it may (RFC 4486).
    PrefixLimit,
    /// The decoder failed; the session was sacrificed for the others.
    InternalError,
    /// Our configuration of this peer changed.
    ConfigChanged,
    /// The peer was removed from our configuration.
    PeerRemoved,
    /// We shut down and withdraw.
    Shutdown,
    /// We restart gracefully: closed without NOTIFICATION.
    Restart,
}

impl DownReason {
    /// Name as it appears in JSON, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connectFailed",
            Self::OpenTimerExpired => "openTimerExpired",
            Self::HoldTimerExpired => "holdTimerExpired",
            Self::SendHoldTimerExpired => "sendHoldTimerExpired",
            Self::ConnectionClosed => "connectionClosed",
            Self::NotificationReceived => "notificationReceived",
            Self::OpenRefused => "openRefused",
            Self::MalformedMessage => "malformedMessage",
            Self::UnexpectedMessage => "unexpectedMessage",
            Self::PeerRestarted => "peerRestarted",
            Self::BfdDown => "bfdDown",
            Self::PrefixLimit => "prefixLimit",
            Self::InternalError => "internalError",
            Self::ConfigChanged => "configChanged",
            Self::PeerRemoved => "peerRemoved",
            Self::Shutdown => "shutdown",
            Self::Restart => "restart",
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which side ended a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// We did.
    Local,
    /// The peer did.
    Remote,
}

impl By {
    /// Name as it appears in JSON, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// The end of the last session, or of the last attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastDown {
    pub(crate) at: Instant,
    pub(crate) by: By,
    pub(crate) reason: DownReason,
    /// Error code of the NOTIFICATION sent or received; 0 when there was none.
    pub(crate) code: u8,
    /// Its subcode.
    pub(crate) subcode: u8,
    /// The peer's shutdown communication (RFC 9003) or our own explanation; may be empty.
    pub(crate) text: String,
}

/// Who made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    /// We dialled.
    Outgoing,
    /// The peer dialled.
    Incoming,
}

/// One TCP connection, or one attempt at it. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);
