// SPDX-License-Identifier: MIT OR Apache-2.0
//! The speaker's values as the JSON contract has them. Pure but for the clock reading passed in.

use std::time::{Duration, Instant};

use bgp::types::Family;
use bgp::wire::SegmentKind;
use bgp::{AttrSet, MessageCounts, PeerStatus, RibRoute, WhyStep};

use crate::lane::bfd::Seen;
use crate::model::BfdState;
use crate::server::api;

/// One reading of both clocks: turns instants into times of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    wall: jiff::Timestamp,
    instant: Instant,
}

impl Clock {
    pub(super) fn new(wall: jiff::Timestamp, instant: Instant) -> Self {
        Self { wall, instant }
    }

    fn ago(self, then: Instant) -> Duration {
        self.instant.saturating_duration_since(then)
    }

    fn time(self, then: Instant) -> Option<String> {
        let seconds = i64::try_from(self.ago(then).as_secs()).ok()?;
        let at = self.wall.as_second().checked_sub(seconds)?;
        Some(jiff::Timestamp::from_second(at).ok()?.to_string())
    }
}

pub(super) fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4Unicast => "ipv4",
        Family::Ipv6Unicast => "ipv6",
    }
}

/// A session, for `bgp peers`.
pub(super) fn peer(status: &PeerStatus, seen: &Seen, clock: Clock) -> api::BgpPeer {
    let families = status.families.iter().map(|f| api::BgpPeerFamily {
        family: family_name(f.family).to_owned(),
        received: count(f.received),
        accepted: count(f.accepted),
        advertised: count(f.advertised),
    });
    let last_down = status.last_down.as_ref().map(|down| api::BgpLastDown {
        time: clock.time(down.time).unwrap_or_default(),
        by: down.by.as_str().to_owned(),
        reason: down.reason.as_str().to_owned(),
        code: (down.code != 0).then_some(down.code),
        subcode: (down.code != 0).then_some(down.subcode),
    });
    api::BgpPeer {
        name: status.name.clone(),
        address: status.address.to_string(),
        port: status.port,
        local_as: status.local_as.0,
        peer_as: status.peer_as.0,
        peer_type: status.kind.as_str().to_owned(),
        state: status.state.as_str().to_owned(),
        state_since: clock.time(status.state_since),
        state_seconds: clock.ago(status.state_since).as_secs(),
        established_transitions: status.established_transitions,
        families: families.collect(),
        last_down,
        next_retry_seconds: status.next_retry.map(|d| d.as_secs()),
        timers: api::BgpTimers {
            hold_time_configured: status.timers.hold_configured.as_secs(),
            hold_time_negotiated: status.timers.hold_negotiated.map(|d| d.as_secs()),
            keepalive: status.timers.keepalive.as_secs(),
            send_hold: status.timers.send_hold.as_secs(),
        },
        graceful_restart: api::BgpGracefulRestart {
            enabled: status.graceful_restart.enabled,
            peer: status.graceful_restart.negotiated,
            restart_time_seconds: status.graceful_restart.restart_time.as_secs(),
            // The paths of a peer go with its session.
            stale_paths: 0,
            expires_seconds: None,
        },
        bfd: seen.get(&status.address).map(|state| bfd(state.as_ref())),
        messages: api::BgpMessages {
            received: messages(status.received),
            sent: messages(status.sent),
        },
        queues: api::BgpQueues { out: count(status.queued) },
    }
}

fn bfd(state: Option<&BfdState>) -> api::BgpBfd {
    api::BgpBfd {
        state: state.map_or("noProcess", |state| &state.state).to_owned(),
        diag: state.map(|state| state.diag.clone()),
        remote_state: state.map(|state| state.remote_state.clone()),
        failures: state.map_or(0, |state| state.failures),
        detection_milliseconds: state.map(|state| state.detection_micros / 1000),
        packets: api::BgpBfdPackets {
            received: state.map_or(0, |state| state.received),
            sent: state.map_or(0, |state| state.sent),
        },
        error: state.and_then(|state| state.error.clone()),
    }
}

fn messages(counts: MessageCounts) -> api::BgpMessageCounts {
    api::BgpMessageCounts {
        open: counts.open,
        update: counts.update,
        notification: counts.notification,
        keepalive: counts.keepalive,
        route_refresh: counts.route_refresh,
    }
}

/// A path, for `bgp routes`.
pub(super) fn route(route: &RibRoute) -> api::BgpRoute {
    let attrs = &route.attrs;
    api::BgpRoute {
        prefix: route.prefix.to_string(),
        family: family_name(route.prefix.family()).to_owned(),
        best: route.is_best(),
        multipath: route.is_multipath(),
        stale: false,
        next_hop: attrs.next_hop.map(|hop| hop.to_string()),
        peer: route.peer.as_ref().map_or_else(|| "local".to_owned(), |peer| peer.to_string()),
        as_path: as_path(attrs),
        local_pref: attrs.effective_local_pref(),
        med: attrs.med,
        communities: attrs.communities.iter().map(ToString::to_string).collect(),
        large_communities: attrs.large_communities.iter().map(ToString::to_string).collect(),
        reason: route.reason.as_str().to_owned(),
    }
}

/// Nearest AS first; a set is one entry in braces.
fn as_path(attrs: &AttrSet) -> Vec<String> {
    let mut path = Vec::new();
    for segment in attrs.as_path.segments() {
        let asns = segment.asns().map(|asn| asn.to_string());
        match segment.kind {
            SegmentKind::Sequence => path.extend(asns),
            SegmentKind::Set => {
                path.push(format!("{{{}}}", asns.collect::<Vec<_>>().join(",")));
            }
        }
    }
    path
}

/// One step of an explanation.
pub(super) fn why_step(step: &WhyStep) -> api::BgpWhyStep {
    let name = if step.subject.is_empty() {
        step.name.to_owned()
    } else {
        format!("{} {}", step.name, step.subject)
    };
    api::BgpWhyStep { name, result: step.result.to_owned(), reason: step.reason.clone() }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
