// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the admin socket answers and `-o json` prints: one set of types for both. Keys are a contract with users: more
//! may be added, none is renamed.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Version of the JSON contract.
pub const API_VERSION: &str = "routed.dev/v1";

/// A list of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<T> {
    /// Always [`API_VERSION`].
    pub api_version: String,
    /// The items' kind with `List` behind it.
    pub kind: String,
    /// Sorted: by peer address, prefix, workload or name.
    pub items: Vec<T>,
}

/// Something that is listed.
pub trait Kind {
    /// Name of the kind, without `List`.
    const KIND: &'static str;
}

impl<T: Kind> List<T> {
    /// A list of these items.
    pub fn new(items: Vec<T>) -> Self {
        Self { api_version: API_VERSION.to_owned(), kind: format!("{}List", T::KIND), items }
    }
}

/// Body of a failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// lowerCamel, stable: for example `notFound`, `badRequest`, `configInvalid`, `unavailable`.
    pub code: String,
    /// For people.
    pub message: String,
    /// One entry a problem, for `configInvalid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<ErrorLocation>,
}

/// Where in a file, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorLocation {
    /// The file.
    pub file: String,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// Field path such as `spec.asNumber`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `routed status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Name of this node.
    pub node: String,
    /// AS number of this node.
    pub as_number: u32,
    /// BGP identifier of this node.
    pub router_id: String,
    /// Version of the daemon.
    pub version: String,
    /// Seconds since the daemon started.
    pub uptime_seconds: u64,
    /// A configuration and all policy are in force, the speaker runs.
    pub ready: bool,
    /// Something needs an operator or heals itself right now.
    pub degraded: bool,
    /// Why it is not ready or degraded.
    pub reasons: Vec<String>,
    /// Sessions.
    pub bgp: BgpCounts,
    /// Kernel routes of ours.
    pub routes: RouteCounts,
    /// Workloads.
    pub workloads: WorkloadCounts,
    /// Blocks of this node.
    pub ipam: Vec<BlockUse>,
    /// Network policy.
    pub policy: PolicyCounts,
    /// Desired against actual.
    pub kernel: KernelState,
}

/// Sessions in [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpCounts {
    /// In state Established.
    pub established: usize,
    /// Configured peers.
    pub configured: usize,
}

/// Kernel routes in [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// In the kernel as wished.
    pub programmed: usize,
    /// Wished, not yet there.
    pub pending: usize,
    /// Refused by the kernel; tried again.
    pub failed: usize,
}

/// Workloads in [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadCounts {
    /// Link, routes and policy in force.
    pub ready: usize,
    /// On the way.
    pub pending: usize,
    /// Refused by the kernel; tried again.
    pub failed: usize,
}

/// One block in [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockUse {
    /// The block's prefix.
    pub block: String,
    /// Addresses in use.
    pub used: u64,
    /// Addresses in the block (saturating).
    pub total: u64,
}

/// Policy in [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCounts {
    /// Revision in force.
    pub revision: u64,
    /// Policies loaded.
    pub policies: usize,
    /// Objects wished and not yet in the kernel.
    pub pending: usize,
}

/// Desired against actual in [`Status`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KernelState {
    /// The kernel was read, and nothing is pending or failed.
    pub in_sync: bool,
    /// Foreign changes undone since the start.
    pub drift_repaired: u64,
}

/// `routed bgp peers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpPeer {
    /// Name of the `BGPPeer` document.
    pub name: String,
    /// Address of the peer.
    pub address: String,
    /// TCP port of the peer.
    pub port: u16,
    /// Our AS number on this session.
    pub local_as: u32,
    /// The peer's AS number.
    pub peer_as: u32,
    /// `external` or `internal`.
    #[serde(rename = "type")]
    pub peer_type: String,
    /// `idle`, `connect`, `active`, `openSent`, `openConfirm` or `established`.
    pub state: String,
    /// When the state was entered (RFC 3339).
    pub state_since: Option<String>,
    /// The same as a duration.
    pub state_seconds: u64,
    /// How often Established was reached.
    pub established_transitions: u64,
    /// Negotiated families; empty unless Established.
    pub families: Vec<BgpPeerFamily>,
    /// Why the last session ended.
    pub last_down: Option<BgpLastDown>,
    /// Seconds to the next attempt, where one is scheduled.
    pub next_retry_seconds: Option<u64>,
    /// Timers.
    pub timers: BgpTimers,
    /// Graceful restart.
    pub graceful_restart: BgpGracefulRestart,
    /// BFD, for a peer that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<BgpBfd>,
    /// Message counters since the start.
    pub messages: BgpMessages,
    /// Queues.
    pub queues: BgpQueues,
}

/// One family of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpPeerFamily {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Prefixes received.
    pub received: u64,
    /// Of these accepted.
    pub accepted: u64,
    /// Prefixes advertised.
    pub advertised: u64,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpLastDown {
    /// When (RFC 3339).
    pub time: String,
    /// `local` or `remote`.
    pub by: String,
    /// lowerCamel reason, the same as in logs.
    pub reason: String,
    /// NOTIFICATION code, if one was sent or received.
    pub code: Option<u8>,
    /// NOTIFICATION subcode.
    pub subcode: Option<u8>,
}

/// Timers of a session, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpTimers {
    /// Hold time offered.
    pub hold_time_configured: u64,
    /// Hold time in force.
    pub hold_time_negotiated: Option<u64>,
    /// Keepalive interval.
    pub keepalive: u64,
    /// How long a message may wait for the peer to take it (RFC 9687).
    pub send_hold: u64,
}

/// Graceful restart of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpGracefulRestart {
    /// Offered by us.
    pub enabled: bool,
    /// The peer offered it on the current session.
    pub peer: bool,
    /// Restart time that we offer, in seconds.
    pub restart_time_seconds: u64,
    /// Paths of the peer kept over its restart.
    pub stale_paths: u64,
    /// Seconds until they go.
    pub expires_seconds: Option<u64>,
}

/// BFD of a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpBfd {
    /// `up`, `init`, `down`, `adminDown`, or `noProcess` where `routed bfd` does not run.
    pub state: String,
    /// Why the state last changed.
    pub diag: Option<String>,
    /// The peer's state, as it says.
    pub remote_state: Option<String>,
    /// How often the path failed since the BFD session began.
    pub failures: u64,
    /// Milliseconds of silence after which the path counts as dead.
    pub detection_milliseconds: Option<u64>,
    /// Packets, at most ten seconds old.
    pub packets: BgpBfdPackets,
    /// Why packets cannot be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Packets of a BFD session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpBfdPackets {
    /// From the peer.
    pub received: u64,
    /// To the peer.
    pub sent: u64,
}

/// Messages of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpMessages {
    /// From the peer.
    pub received: BgpMessageCounts,
    /// To the peer.
    pub sent: BgpMessageCounts,
}

/// Messages of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpMessageCounts {
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

/// Queues of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpQueues {
    /// Prefixes waiting to be advertised or withdrawn.
    pub out: u64,
}

/// One path of `routed bgp routes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpRoute {
    /// The prefix.
    pub prefix: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// The best path of its prefix.
    pub best: bool,
    /// Used beside the best path.
    pub multipath: bool,
    /// Kept over a graceful restart.
    pub stale: bool,
    /// Next hop; absent for what this node originates.
    pub next_hop: Option<String>,
    /// Peer it came from; `local` for what this node originates.
    pub peer: String,
    /// AS_PATH, nearest first; an AS_SET as `{1,2}`.
    pub as_path: Vec<String>,
    /// LOCAL_PREF in force.
    pub local_pref: u32,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// Communities as `asn:value`.
    pub communities: Vec<String>,
    /// Large communities as `asn:a:b`.
    pub large_communities: Vec<String>,
    /// Why it is best, lost, or was rejected.
    pub reason: String,
}

/// `routed bgp why PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpWhy {
    /// The prefix.
    pub prefix: String,
    /// From input to decision to advertisement.
    pub steps: Vec<BgpWhyStep>,
}

/// One step of an explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BgpWhyStep {
    /// What was asked.
    pub name: String,
    /// What came out.
    pub result: String,
    /// Why.
    pub reason: String,
}

/// One kernel route of `routed routes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// Destination.
    pub prefix: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// 82 local, 83 learned.
    pub protocol: u8,
    /// Routing table.
    pub table: u32,
    /// Metric.
    pub metric: u32,
    /// Gateways; one entry with only a device for a workload, none for a blackhole.
    pub next_hops: Vec<RouteNextHop>,
    /// `programmed`, `pending` or `failed`.
    pub state: String,
}

/// One next hop of a kernel route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteNextHop {
    /// Gateway address.
    pub via: Option<IpAddr>,
    /// Interface.
    pub dev: String,
    /// Weight.
    pub weight: u16,
}

/// One workload of `routed workloads`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// `containerId/ifName`.
    pub id: String,
    /// The runtime's container id.
    pub container_id: String,
    /// Interface inside the container.
    pub if_name: String,
    /// Orchestrator namespace.
    pub namespace: String,
    /// Name for people: pod or task.
    pub pod: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Hardware address inside the container.
    pub mac: String,
    /// MTU in bytes.
    pub mtu: u32,
    /// Name of the host end.
    pub host_interface: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// `ready`, `pending`, `failed` or `leaving`.
    pub state: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One block of `routed ipam show --blocks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IpamBlock {
    /// Name of the pool the block lies in.
    pub pool: String,
    /// The block.
    pub cidr: String,
    /// Addresses in the block (saturating).
    pub total: u64,
    /// Owned by workloads.
    pub in_use: u64,
    /// Never given out.
    pub reserved: u64,
    /// Freed a short while ago.
    pub cooling: u64,
    /// Ready to be given out.
    pub free: u64,
}

/// One policy of `routed policy list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// `NetworkPolicy` or `GlobalNetworkPolicy`.
    pub kind: String,
    /// Namespace; absent for a global policy.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Tier.
    pub tier: String,
    /// Order; absent means last.
    pub order: Option<f64>,
    /// `Ingress`, `Egress`.
    pub types: Vec<String>,
    /// Local endpoints it selects.
    pub endpoints: usize,
    /// Revision that is in force.
    pub revision: u64,
}

/// `routed policy show NAME`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyDetail {
    /// The summary.
    pub policy: Policy,
    /// Its selector in canonical form.
    pub selector: String,
    /// Where it was read: `file:line`.
    pub source: String,
    /// Rules in order, rendered for people, with their place.
    pub rules: Vec<PolicyRule>,
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// `ingress` or `egress`.
    pub direction: String,
    /// Position in its direction, from 1.
    pub index: usize,
    /// `Allow` or `Deny`.
    pub action: String,
    /// What it matches, for people.
    pub matches: String,
    /// Where it was read: `file:line`.
    pub source: String,
}

/// `routed version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Version of the command line.
    pub client: String,
    /// Version of the running daemon, if it answers.
    pub daemon: Option<String>,
    /// Version of the CNI protocol between plugin and daemon.
    pub cni_protocol: String,
}

macro_rules! kinds {
    ($($kind:ident),*) => { $(impl Kind for $kind { const KIND: &'static str = stringify!($kind); })* };
}
kinds!(BgpPeer, BgpRoute, Route, Workload, IpamBlock, Policy);
