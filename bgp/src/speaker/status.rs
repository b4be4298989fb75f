// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the speaker is asked and told, and what it says about itself: plain values for CLI, JSON
//! and metrics.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::reason::RejectReason;
use crate::rib::{AttrSet, Step};
use crate::session::{By, DownReason, State};
use crate::types::{Asn, BgpId, Family, Prefix};

/// How a speaker ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Connections are closed without NOTIFICATION: peers with graceful restart keep our routes
    /// until we are back or the restart time is over (RFC 4724 §4).
    GracefulRestart,
    /// Every peer gets a Cease and drops our routes at once (RFC 4486, RFC 9003).
    Cease {
        /// Subcode of the Cease; 2 is administrative shutdown.
        subcode: u8,
        /// Text for the peer's operator; at most 255 bytes are sent.
        text: String,
    },
}

/// Whether a peer is in our AS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKind {
    /// In our AS (iBGP).
    Internal,
    /// In another AS (eBGP).
    External,
}

impl PeerKind {
    /// Name as it appears in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
        }
    }
}

/// One configured peer, now.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// The port we dial.
    pub port: u16,
    /// Our AS towards it.
    pub local_as: Asn,
    /// Its AS.
    pub peer_as: Asn,
    /// Internal or external.
    pub kind: PeerKind,
    /// Its BGP identifier, while connected.
    pub id: Option<BgpId>,
    /// State of the session.
    pub state: State,
    /// When it got there.
    pub state_since: Instant,
    /// How often it became Established.
    pub established_transitions: u64,
    /// The negotiated families; empty unless Established.
    pub families: Vec<FamilyStatus>,
    /// End of the last session or attempt.
    pub last_down: Option<DownStatus>,
    /// Time until the next attempt to connect.
    pub next_retry: Option<Duration>,
    /// Timers in force.
    pub timers: TimerStatus,
    /// Graceful restart.
    pub graceful_restart: RestartStatus,
    /// Messages received since the peer was configured.
    pub received: MessageCounts,
    /// Messages sent since the peer was configured.
    pub sent: MessageCounts,
    /// Prefixes waiting to be advertised or withdrawn, and messages waiting to be written.
    pub queued: usize,
}

/// One negotiated family of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyStatus {
    /// The family.
    pub family: Family,
    /// Prefixes received.
    pub received: usize,
    /// Of these, prefixes the import rules let in.
    pub accepted: usize,
    /// Prefixes advertised.
    pub advertised: usize,
    /// Why nothing is advertised.
    pub suppressed: Option<RejectReason>,
    /// The peer has sent everything it had when the session came up (End-of-RIB).
    pub synced: bool,
}

/// How the last session, or the last attempt at one, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownStatus {
    /// When.
    pub time: Instant,
    /// Who ended it.
    pub by: By,
    /// Why.
    pub reason: DownReason,
    /// NOTIFICATION error code; 0 when there was none.
    pub code: u8,
    /// NOTIFICATION error subcode.
    pub subcode: u8,
    /// What the peer said (RFC 9003), or the error in words; may be empty. Untrusted text.
    pub text: String,
}

/// Timers of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerStatus {
    /// Hold time we offer.
    pub hold_configured: Duration,
    /// Hold time agreed on; absent unless a session is up.
    pub hold_negotiated: Option<Duration>,
    /// Time between KEEPALIVEs.
    pub keepalive: Duration,
    /// Send hold time.
    pub send_hold: Duration,
}

/// Graceful restart of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartStatus {
    /// We offer it.
    pub enabled: bool,
    /// The peer offers it too.
    pub negotiated: bool,
    /// Restart time we ask for.
    pub restart_time: Duration,
    /// The peer's restart time, while a session is up.
    pub peer_restart_time: Option<Duration>,
    /// Time left until we stop waiting for this peer's End-of-RIB.
    pub waiting: Option<Duration>,
}

/// Messages by type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageCounts {
    /// OPEN.
    pub open: u64,
    /// UPDATE.
    pub update: u64,
    /// NOTIFICATION.
    pub notification: u64,
    /// KEEPALIVE.
    pub keepalive: u64,
    /// ROUTE-REFRESH.
    pub route_refresh: u64,
}

/// Which part of the tables a query is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RibView {
    /// Every accepted path and its verdict.
    #[default]
    Loc,
    /// What a peer sent; rejected paths too when `rejected` is set.
    Received {
        /// Name of the peer.
        peer: String,
        /// Also paths the import rules refused.
        rejected: bool,
    },
    /// What a peer was told.
    Advertised {
        /// Name of the peer.
        peer: String,
    },
    /// Every path the import rules refused.
    Rejected,
}

/// A question about routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RibQuery {
    /// Only this family.
    pub family: Option<Family>,
    /// Only this prefix.
    pub prefix: Option<Prefix>,
    /// With `prefix`: also everything inside it.
    pub longer: bool,
    /// Which table.
    pub view: RibView,
}

/// One path in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RibRoute {
    /// The prefix.
    pub prefix: Prefix,
    /// Name of the peer it came from (or goes to); absent for what this node originates.
    pub peer: Option<Arc<str>>,
    /// Its attributes.
    pub attrs: Arc<AttrSet>,
    /// What became of it.
    pub reason: RouteReason,
}

impl RibRoute {
    /// True for the best path of its prefix.
    pub fn is_best(&self) -> bool {
        matches!(self.reason, RouteReason::Best(_))
    }

    /// True for a path used beside the best.
    pub fn is_multipath(&self) -> bool {
        self.reason == RouteReason::Multipath
    }
}

/// What became of a path, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteReason {
    /// The best; the step that beat its last competitor.
    Best(Step),
    /// Used beside the best.
    Multipath,
    /// Not used; the step that eliminated it.
    Lost(Step),
    /// Refused on import.
    Rejected(RejectReason),
    /// Waits for its decision.
    Pending,
    /// Sent to the peer.
    Advertised,
}

impl RouteReason {
    /// Name as it appears in JSON: the deciding step or the reason of the refusal.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Best(step) | Self::Lost(step) => step.as_str(),
            Self::Multipath => "multipath",
            Self::Rejected(reason) => reason.as_str(),
            Self::Pending => "pending",
            Self::Advertised => "advertised",
        }
    }
}

/// One step of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyStep {
    /// What was asked: `import`, `originate`, a decision step, `export`.
    pub name: &'static str,
    /// For whom it was asked: a peer's name, or empty.
    pub subject: String,
    /// The answer, in a word.
    pub result: &'static str,
    /// Why, in words.
    pub reason: String,
}

/// Counters of the whole speaker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Prefixes with at least one path.
    pub prefixes: usize,
    /// Distinct attribute sets held.
    pub attribute_sets: usize,
    /// Prefixes waiting for a decision.
    pub pending: usize,
    /// Connections refused because nobody with that address is configured.
    pub unknown_peer: u64,
    /// Connections refused because the peer is resting or has a connection already.
    pub refused: u64,
    /// Attributes discarded from UPDATEs (RFC 7606).
    pub attributes_discarded: u64,
    /// UPDATEs treated as withdraw (RFC 7606).
    pub treated_as_withdraw: u64,
    /// Every configured peer has been heard in full, or was waited for long enough.
    pub synced: bool,
}
