// SPDX-License-Identifier: MIT OR Apache-2.0
//! One peer: its session joined with what it was told.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::status::{
    DownStatus, FamilyStatus, MessageCounts, PeerKind, PeerStatus, RestartStatus, TimerStatus,
};
use crate::family::PerFamily;
use crate::reason::RejectReason;
use crate::rib::{Rib, SourceId, SourceInfo, SourceKind};
use crate::session::{Identity, Session, State, Tally};
use crate::types::{Asn, BgpId, Family, FamilySet};
use crate::wire::NextHop;

/// Least time between two full answers to ROUTE-REFRESH of a family.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Chunks of UPDATEs that may wait to be written before no more are made.
const WINDOW: usize = 16;

/// A request of the peer to hear a family again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Refresh {
    answered: Option<Instant>,
    /// Answer the requests that came too soon after the last answer.
    pub(super) due: Option<Instant>,
}

impl Refresh {
    /// True when the request is to be answered now; else it waits, together with all others.
    pub(super) fn request(&mut self, now: Instant) -> bool {
        match self.answered.map(|at| at + REFRESH_INTERVAL).filter(|next| *next > now) {
            Some(next) => {
                self.due = Some(next);
                false
            }
            None => {
                *self = Self { answered: Some(now), due: None };
                true
            }
        }
    }
}

/// One configured peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) slot: SourceId,
    pub(super) session: Session,
    /// What the decision knows of it.
    pub(super) source: SourceInfo,
    pub(super) refresh: PerFamily<Refresh>,
    /// Families for which our End-of-RIB was sent on this session.
    pub(super) eor_sent: FamilySet,
    /// Families for which the peer has sent all it had on this session.
    pub(super) eor_received: FamilySet,
    /// Families whose prefix limit was found near on this session.
    pub(super) warned: FamilySet,
    /// Once since the start, the peer has sent all it had.
    pub(super) heard: bool,
}

impl Peer {
    pub(super) fn new(slot: SourceId, session: Session, local: Identity) -> Self {
        let config = session.config();
        let internal = config.asn == local.asn;
        let kind = if internal { SourceKind::Internal } else { SourceKind::External };
        // The identifier is the peer's once its OPEN was accepted; there are no paths before.
        let client = internal && config.route_reflector_client;
        let source = SourceInfo { kind, id: local.id, address: config.address, client };
        Self {
            slot,
            session,
            source,
            refresh: PerFamily::default(),
            eor_sent: FamilySet::EMPTY,
            eor_received: FamilySet::EMPTY,
            warned: FamilySet::EMPTY,
            heard: false,
        }
    }

    /// Its place among the peers.
    pub(super) fn index(&self) -> usize {
        usize::from(self.slot.0)
    }

    /// Families in use; none unless Established.
    pub(super) fn families(&self) -> FamilySet {
        self.session.agreed().map_or(FamilySet::EMPTY, |agreed| agreed.families)
    }

    /// True when UPDATEs may be made: the peer takes them.
    pub(super) fn has_window(&self) -> bool {
        self.session.established().is_some_and(|conn| conn.queued < WINDOW)
    }

    /// TTL of packets to the peer: external sessions are one hop unless configured otherwise.
    pub(super) fn ttl(&self) -> Option<u8> {
        match self.source.kind {
            SourceKind::External => Some(self.session.config().multihop.unwrap_or(1)),
            SourceKind::Internal | SourceKind::Local => None,
        }
    }

    /// The next hop of what we advertise in a family.
    ///
    /// # Errors
    /// `NoNextHop` when neither configuration nor session has a usable address of the family.
    pub(super) fn next_hop(&self, family: Family) -> Result<NextHop, RejectReason> {
        let config = self.session.config();
        let local = self.session.established().and_then(|conn| conn.local);
        let hop = match family {
            Family::Ipv4Unicast => {
                let session = local.and_then(|local| match local {
                    IpAddr::V4(v4) => Some(v4),
                    IpAddr::V6(_) => None,
                });
                config.next_hop_v4.or(session).map(NextHop::V4)
            }
            Family::Ipv6Unicast => {
                let session = local.and_then(|local| match local {
                    IpAddr::V6(v6) => Some(v6),
                    IpAddr::V4(_) => None,
                });
                let hop = config.next_hop_v6.or(session);
                hop.filter(|v6| !v6.is_unicast_link_local()).map(NextHop::V6)
            }
        };
        hop.filter(|hop| hop.is_host()).ok_or(RejectReason::NoNextHop)
    }

    /// Starts a new session with nothing said and nothing heard.
    pub(super) fn clear(&mut self) {
        self.refresh = PerFamily::default();
        self.eor_sent = FamilySet::EMPTY;
        self.eor_received = FamilySet::EMPTY;
        self.warned = FamilySet::EMPTY;
    }

    /// The next instant at which something is due.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let refresh = Family::ALL.into_iter().filter_map(|family| self.refresh.get(family).due);
        self.session.next_timeout().into_iter().chain(refresh).min()
    }

    /// Everything there is to say about the peer.
    pub(super) fn status(
        &self,
        local_as: Asn,
        families: Vec<FamilyStatus>,
        waiting: Option<Duration>,
        now: Instant,
    ) -> PeerStatus {
        let config = self.session.config();
        let agreed = self.session.agreed();
        let (received, sent) = self.session.tallies();
        PeerStatus {
            name: config.name.clone(),
            address: config.address,
            port: config.port,
            local_as,
            peer_as: config.asn,
            kind: match self.source.kind {
                SourceKind::External => PeerKind::External,
                SourceKind::Internal | SourceKind::Local => PeerKind::Internal,
            },
            id: agreed.map(|agreed| agreed.id),
            state: self.session.state(),
            state_since: self.session.since(),
            established_transitions: self.session.transitions(),
            families,
            last_down: self.last_down(),
            next_retry: self.session.retry_at().map(|at| at.saturating_duration_since(now)),
            timers: TimerStatus {
                hold_configured: config.timers.hold_time,
                hold_negotiated: agreed.map(|agreed| agreed.hold),
                keepalive: agreed.map_or(config.timers.keepalive, |agreed| agreed.keepalive),
                send_hold: config.timers.send_hold,
            },
            graceful_restart: RestartStatus {
                enabled: config.graceful_restart.enabled,
                negotiated: agreed.is_some_and(|agreed| agreed.restart.is_some()),
                restart_time: config.graceful_restart.restart_time,
                peer_restart_time: agreed.and_then(|a| a.restart).map(|restart| restart.time),
                waiting: waiting.filter(|_| !self.heard),
            },
            received: counts(received),
            sent: counts(sent),
            queued: self.session.established().map_or(0, |conn| conn.queued),
        }
    }

    /// One family; `advertised` is what the peer's update group counts.
    pub(super) fn family_status(
        &self,
        family: Family,
        rib: &Rib,
        advertised: usize,
    ) -> FamilyStatus {
        let counts = rib.counts(family, self.slot);
        FamilyStatus {
            family,
            received: counts.received,
            accepted: counts.accepted,
            advertised,
            suppressed: self.next_hop(family).err(),
            synced: self.eor_received.contains(family),
        }
    }

    fn last_down(&self) -> Option<DownStatus> {
        self.session.last_down().map(|down| DownStatus {
            time: down.at,
            by: down.by,
            reason: down.reason,
            code: down.code,
            subcode: down.subcode,
            text: down.text.clone(),
        })
    }

    /// True while routes are exchanged.
    pub(super) fn is_established(&self) -> bool {
        self.session.state() == State::Established
    }
}

/// The source of what this node originates.
pub(super) fn local_source(id: BgpId) -> SourceInfo {
    let address = Ipv4Addr::UNSPECIFIED.into();
    SourceInfo { kind: SourceKind::Local, id, address, client: false }
}

fn counts(tally: Tally) -> MessageCounts {
    MessageCounts {
        open: tally.open,
        update: tally.update,
        notification: tally.notification,
        keepalive: tally.keepalive,
        route_refresh: tally.route_refresh,
    }
}
