// SPDX-License-Identifier: MIT OR Apache-2.0
//! `BGPConfiguration`, `BGPPeer` and `BGPPeerProfile`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bgp::types::{Asn, Family, FamilySet};
use bgp::{GracefulRestart, PeerConfig, PrefixLimit, Timers};
use policy::Selector;

use super::error::Place;
use super::node::read_asn;
use super::pool::read_selector;
use super::read::{At, Field, Fields, NOT_YET};
use crate::model::BfdTimers;

/// What a `BGPConfiguration` says.
#[derive(Clone, Debug)]
pub(super) struct RawBgp {
    pub(super) asn: Option<Asn>,
    pub(super) port: Option<u16>,
}

/// What a `BGPPeer` says.
#[derive(Clone, Debug)]
pub(super) struct RawPeer {
    /// The nodes that have this peer.
    pub(super) node: Option<String>,
    pub(super) selector: Option<Selector>,
    pub(super) address: At<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) asn: Asn,
    pub(super) use_node_address: bool,
    pub(super) keepalive: Option<Duration>,
    pub(super) restart_time: Option<Duration>,
    /// How often our AS may be in AS_PATH.
    allow_own_as: u8,
}

/// What a `BGPPeerProfile` says.
#[derive(Clone, Debug)]
pub(super) struct RawProfile {
    /// Globs over the names of peers.
    pub(super) peers: Vec<String>,
    passive: bool,
    route_reflector_client: bool,
    prefix_limit: Option<PrefixLimit>,
    families: FamilySet,
    hold_time: Option<Duration>,
    keepalive: Option<Duration>,
    connect_retry: Option<Duration>,
    send_hold_time: Option<Duration>,
    local_address: Option<IpAddr>,
    multihop: Option<u8>,
    graceful_restart: GracefulRestart,
    pub(super) bfd: Option<BfdTimers>,
}

const BGP_CONFIGURATION: Fields = Fields {
    known: &["asNumber", "listenPort", "nodeToNodeMeshEnabled"],
    refused: &[
        "bindMode",
        "communities",
        "prefixAdvertisements",
        "nodeMeshPassword",
        "nodeMeshMaxRestartTime",
        "ignoredInterfaces",
        "logSeverityScreen",
        "serviceClusterIPs",
        "serviceExternalIPs",
        "serviceLoadBalancerIPs",
        "serviceLoadBalancerAggregation",
        "localWorkloadPeeringIPV4",
        "localWorkloadPeeringIPV6",
        "programClusterRoutes",
        "ipv4NormalRoutePriority",
        "ipv6NormalRoutePriority",
    ],
    ignored: &[],
};
const PEER: Fields = Fields {
    known: &[
        "node",
        "nodeSelector",
        "peerIP",
        "asNumber",
        "sourceAddress",
        "keepaliveTime",
        "maxRestartTime",
        "numAllowedLocalASNumbers",
    ],
    refused: &[
        "localASNumber",
        "peerSelector",
        "keepOriginalNextHop",
        "nextHopMode",
        "password",
        "ttlSecurity",
        "reachableBy",
        "filters",
        "localWorkloadSelector",
        "reversePeering",
    ],
    ignored: &[],
};
const PROFILE: Fields = Fields {
    known: &[
        "peers",
        "passive",
        "families",
        "timers",
        "localAddress",
        "ebgpMultihop",
        "gracefulRestart",
        "bfd",
        "routeReflectorClient",
        "prefixLimit",
    ],
    refused: &[
        "interfaces",
        "listenRanges",
        "localAs",
        "asOverride",
        "removePrivateAs",
        "role",
        "addPaths",
        "sendCommunity",
        "advertise",
        "labels",
    ],
    ignored: &[],
};
const PREFIX_LIMIT: Fields = Fields {
    known: &["maxPrefixes", "warningThreshold", "action", "restart"],
    refused: &[],
    ignored: &[],
};
const TIMERS: Fields = Fields {
    known: &["holdTime", "keepalive", "connectRetry", "sendHoldTime"],
    refused: &[],
    ignored: &[],
};
const BFD: Fields =
    Fields { known: &["enabled", "interval", "multiplier"], refused: &[], ignored: &[] };
/// Time between BFD packets: faster than this is for hardware, slower is what the hold time does.
const BFD_INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(50)..=Duration::from_secs(10);
const RESTART: Fields =
    Fields { known: &["enabled", "restartTime"], refused: &["longLived"], ignored: &[] };

pub(super) fn read_bgp(spec: &Field<'_>) -> Option<RawBgp> {
    let spec = spec.object(BGP_CONFIGURATION)?;
    if let Some(mesh) = spec.get("nodeToNodeMeshEnabled")
        && mesh.boolean() == Some(true)
    {
        mesh.report(NOT_YET, Some("give the nodes BGPPeers".to_owned()));
    }
    Some(RawBgp {
        asn: spec.get("asNumber").and_then(|field| read_asn(&field)),
        port: spec.get("listenPort").and_then(|field| field.integer(1..=u16::MAX)),
    })
}

pub(super) fn read_peer(spec: &Field<'_>) -> Option<RawPeer> {
    let spec = spec.object(PEER)?;
    let node = spec.get("node").and_then(|field| field.text().map(str::to_owned));
    let selector = spec.get("nodeSelector").map(|field| (read_selector(&field), field));
    if let (Some(_), Some((_, field))) = (&node, &selector) {
        field.report("a peer has node or nodeSelector, not both", None);
    }
    let address = spec.require("peerIP").and_then(|field| {
        let (address, port) = read_peer_ip(&field)?;
        Some((field.at(address), port))
    });
    let asn = spec.require("asNumber").and_then(|field| read_asn(&field));
    let words = [("UseNodeIP", true), ("None", false)];
    let source = spec.get("sourceAddress").and_then(|field| field.word(&words));
    let keepalive = spec.get("keepaliveTime").and_then(|field| field.duration());
    let restart_time = spec.get("maxRestartTime").and_then(|field| read_restart_time(&field));
    let selector = match selector {
        Some((selector, _)) => Some(selector?),
        None => None,
    };
    let (address, port) = address?;
    Some(RawPeer {
        node,
        selector,
        address,
        port,
        asn: asn?,
        use_node_address: source.unwrap_or(false),
        keepalive,
        restart_time,
        allow_own_as: spec
            .get("numAllowedLocalASNumbers")
            .and_then(|field| field.integer(0..=u8::MAX))
            .unwrap_or(0),
    })
}

pub(super) fn read_profile(spec: &Field<'_>) -> Option<RawProfile> {
    let spec = spec.object(PROFILE)?;
    let peers = spec.require("peers").and_then(|field| field.list());
    let timers = spec.get("timers").and_then(|field| field.object(TIMERS));
    let timer = |name| {
        let field = timers.as_ref().and_then(|timers| timers.get(name));
        field.and_then(|field| field.duration())
    };
    let restart = spec.get("gracefulRestart").map(|field| read_restart(&field));
    let families = spec.get("families").map(|field| read_families(&field));
    Some(RawProfile {
        peers: peers?.iter().filter_map(|item| item.text().map(str::to_owned)).collect(),
        passive: spec.get("passive").and_then(|field| field.boolean()).unwrap_or(false),
        route_reflector_client: spec
            .get("routeReflectorClient")
            .and_then(|field| field.boolean())
            .unwrap_or(false),
        prefix_limit: spec.get("prefixLimit").and_then(|field| read_prefix_limit(&field)),
        families: families.unwrap_or(FamilySet::ALL),
        hold_time: timer("holdTime"),
        keepalive: timer("keepalive"),
        connect_retry: timer("connectRetry"),
        send_hold_time: timer("sendHoldTime"),
        local_address: spec.get("localAddress").and_then(|field| field.parse("an IP address")),
        multihop: spec.get("ebgpMultihop").and_then(|field| field.integer(1..=255)),
        graceful_restart: restart.unwrap_or_default(),
        bfd: spec.get("bfd").and_then(|field| read_bfd(&field)),
    })
}

fn read_prefix_limit(field: &Field<'_>) -> Option<PrefixLimit> {
    let object = field.object(PREFIX_LIMIT)?;
    let max = object.require("maxPrefixes").and_then(|field| field.integer(1..=u32::MAX))?;
    let mut limit = PrefixLimit::new(max);
    if let Some(threshold) = object.get("warningThreshold") {
        limit.warning_threshold = threshold.integer(1..=100)?;
    }
    if let Some(action) = object.get("action") {
        limit.teardown = action.word(&[("teardown", true), ("warn", false)])?;
    }
    if let Some(restart) = object.get("restart") {
        let given = restart.duration()?;
        if given.is_zero() {
            return restart.expected("a duration above 0, like 5m");
        }
        limit.restart = given;
    }
    Some(limit)
}

/// The peer as the speaker takes it.
pub(super) fn build(name: &str, peer: &RawPeer, profile: Option<&RawProfile>) -> PeerConfig {
    let mut config = PeerConfig::new(name, peer.address.value, peer.asn);
    config.port = peer.port.unwrap_or(config.port);
    config.allow_own_as = peer.allow_own_as;
    let hold = profile.and_then(|profile| profile.hold_time);
    let keepalive = peer.keepalive.or_else(|| profile.and_then(|profile| profile.keepalive));
    let mut timers = Timers::default();
    if let Some(hold) = hold {
        // RFC 4271 §4.4 and RFC 9687 §3: a third, and twice, of the hold time.
        timers.hold_time = hold;
        timers.keepalive = if hold.is_zero() { timers.keepalive } else { hold / 3 };
        timers.send_hold = timers.send_hold.max(hold * 2);
    }
    timers.keepalive = keepalive.unwrap_or(timers.keepalive);
    if let Some(profile) = profile {
        timers.connect_retry = profile.connect_retry.unwrap_or(timers.connect_retry);
        timers.send_hold = profile.send_hold_time.unwrap_or(timers.send_hold);
        config.passive = profile.passive;
        config.route_reflector_client = profile.route_reflector_client;
        config.prefix_limit = profile.prefix_limit;
        config.families = profile.families;
        config.local_address = profile.local_address;
        config.multihop = profile.multihop;
        config.graceful_restart = profile.graceful_restart;
    }
    config.timers = timers;
    if let Some(time) = peer.restart_time {
        config.graceful_restart.restart_time = time;
    }
    config
}

/// A peer that has nothing but what a profile says.
pub(super) fn build_example(name: &str, profile: &RawProfile) -> PeerConfig {
    let v4 = Ipv4Addr::new(192, 0, 2, 1);
    let v6 = profile.local_address.is_some_and(|address| address.is_ipv6());
    let value = if v6 { IpAddr::V6(v4.to_ipv6_mapped()) } else { IpAddr::V4(v4) };
    let peer = RawPeer {
        node: None,
        selector: None,
        address: At { value, place: Place::file("") },
        port: None,
        asn: Asn(64_512),
        use_node_address: false,
        keepalive: None,
        restart_time: None,
        allow_own_as: 0,
    };
    build(name, &peer, Some(profile))
}

/// Whether a glob of `*` and `?` covers a name.
pub(super) fn matches_glob(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    // `reached[n]`: the part of the glob seen so far covers the first n letters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for part in glob {
        if part == '*' {
            let first = reached.iter().position(|reached| *reached).unwrap_or(reached.len());
            reached[first..].fill(true);
        } else {
            for at in (1..reached.len()).rev() {
                reached[at] = reached[at - 1] && (part == '?' || part == name[at - 1]);
            }
            reached[0] = false;
        }
    }
    reached.last().copied().unwrap_or(false)
}

/// `10.1.1.1`, `10.1.1.1:1790`, `fd00::1` or `[fd00::1]:1790`.
fn read_peer_ip(field: &Field<'_>) -> Option<(IpAddr, Option<u16>)> {
    let text = field.text()?;
    let address = text.parse().map(|address| (address, None));
    let read = address
        .or_else(|_| text.parse::<SocketAddr>().map(|socket| (socket.ip(), Some(socket.port()))));
    let usable = |(address, port): &(IpAddr, Option<u16>)| {
        !address.is_unspecified() && !address.is_multicast() && *port != Some(0)
    };
    match read.ok().filter(usable) {
        Some(read) => Some(read),
        None => field.expected("the peer's IP address, or IP:port"),
    }
}

fn read_families(field: &Field<'_>) -> FamilySet {
    let items = field.list().unwrap_or_default();
    let words = [("ipv4", Family::Ipv4Unicast), ("ipv6", Family::Ipv6Unicast)];
    let families: Option<FamilySet> = items.iter().map(|item| item.word(&words)).collect();
    if items.is_empty() {
        field.report("the list is empty", Some("remove the field for both".to_owned()));
        return FamilySet::ALL;
    }
    families.unwrap_or(FamilySet::ALL)
}

fn read_restart(field: &Field<'_>) -> GracefulRestart {
    let mut restart = GracefulRestart::default();
    let Some(object) = field.object(RESTART) else { return restart };
    if let Some(enabled) = object.get("enabled").and_then(|field| field.boolean()) {
        restart.enabled = enabled;
    }
    if let Some(time) = object.get("restartTime").and_then(|field| read_restart_time(&field)) {
        restart.restart_time = time;
    }
    restart
}

/// The timers unless it is switched off.
fn read_bfd(field: &Field<'_>) -> Option<BfdTimers> {
    let object = field.object(BFD)?;
    let mut timers = BfdTimers::default();
    if let Some(interval) = object.get("interval").and_then(|field| read_bfd_interval(&field)) {
        timers.interval = interval;
    }
    let multiplier = object.get("multiplier").and_then(|field| field.integer(1..=255));
    timers.multiplier = multiplier.unwrap_or(timers.multiplier);
    let enabled = object.get("enabled").and_then(|field| field.boolean());
    enabled.unwrap_or(true).then_some(timers)
}

fn read_bfd_interval(field: &Field<'_>) -> Option<Duration> {
    let interval = field.duration()?;
    if !BFD_INTERVALS.contains(&interval) {
        return field.expected("a duration from 50ms to 10s");
    }
    Some(interval)
}

/// RFC 4724 §3: twelve bits of whole seconds.
fn read_restart_time(field: &Field<'_>) -> Option<Duration> {
    let time = field.duration()?;
    if time.subsec_nanos() != 0 || time > Duration::from_secs(4095) {
        return field.expected("whole seconds, at most 4095s");
    }
    Some(time)
}
