// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the speaker is told: validated values, no files, no YAML.
//!
//! A configuration is a plain value; [`SpeakerConfig::validate`] is the one place that decides
//! whether it can run, and [`SpeakerConfig::diff`] the one place that decides what a change
//! disturbs. The rule: a change resets a session only when something the peer was told in OPEN,
//! or the transport itself, changes. Everything else is live.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::types::{Asn, BgpId, FamilySet, Prefix};

#[cfg(test)]
mod tests;

/// TCP port of BGP (RFC 4271 §8).
pub const BGP_PORT: u16 = 179;

/// Peers of one speaker; a path names its peer in two octets.
const MAX_PEERS: usize = 10_000;

/// The whole configuration of a speaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeakerConfig {
    /// Our autonomous system.
    pub asn: Asn,
    /// Our BGP identifier, unique in the AS (RFC 6286).
    pub router_id: BgpId,
    /// Where to accept sessions; empty means this speaker only dials.
    pub listen: Vec<SocketAddr>,
    /// Prefixes this node owns: neither they nor anything inside them is ever accepted.
    pub own_blocks: Vec<Prefix>,
    /// Addresses of this node: never a usable next hop.
    pub own_addresses: Vec<IpAddr>,
    /// Subnets of the uplinks: never accepted as routes, and the only place where a gateway may
    /// be. Empty means the interfaces are unknown (a collector); then no gateway is off-link.
    pub connected: Vec<Prefix>,
    /// How many equal paths of a prefix are used at once; at least 1.
    pub max_paths: usize,
    /// Identifies the cluster of this route reflector (RFC 4456 §7); the router id when absent.
    pub cluster_id: Option<BgpId>,
    /// Publish best paths; a speaker without a kernel to feed need not.
    pub publish: bool,
    /// Bound on waiting for the first full set of routes after a cold start.
    pub sync_timeout: Duration,
    /// The peers, in any order; names and addresses are unique.
    pub peers: Vec<PeerConfig>,
}

impl SpeakerConfig {
    /// A speaker without peers and listeners.
    pub fn new(asn: Asn, router_id: BgpId) -> Self {
        Self {
            asn,
            router_id,
            listen: Vec::new(),
            own_blocks: Vec::new(),
            own_addresses: Vec::new(),
            connected: Vec::new(),
            max_paths: 16,
            cluster_id: None,
            publish: true,
            sync_timeout: Duration::from_secs(30),
            peers: Vec::new(),
        }
    }

    /// Decides whether this configuration can run.
    ///
    /// # Errors
    /// The first contradiction found; nothing is changed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !is_usable(self.asn) {
            return Err(ConfigError::Asn { asn: self.asn });
        }
        if self.max_paths == 0 {
            return Err(ConfigError::MaxPaths);
        }
        if self.peers.len() > MAX_PEERS {
            return Err(ConfigError::TooManyPeers { count: self.peers.len() });
        }
        let mut names = HashSet::new();
        let mut addresses = HashSet::new();
        for peer in &self.peers {
            peer.validate()?;
            if !names.insert(peer.name.as_str()) {
                return Err(ConfigError::DuplicateName { peer: peer.name.clone() });
            }
            if !addresses.insert(peer.address) {
                return Err(ConfigError::DuplicateAddress {
                    peer: peer.name.clone(),
                    address: peer.address,
                });
            }
        }
        Ok(())
    }

    /// What changes when `self` is replaced by `next`; the lists are sorted by name.
    pub fn diff(&self, next: &Self) -> ConfigDiff {
        let mut diff = ConfigDiff {
            listeners: self.listen != next.listen,
            // Whether all attributes are kept is settled when they are received.
            identity: self.asn != next.asn
                || self.router_id != next.router_id
                || self.cluster_id() != next.cluster_id()
                || self.passes_on() != next.passes_on(),
            import: self.own_blocks != next.own_blocks
                || self.own_addresses != next.own_addresses
                || self.connected != next.connected
                || peer_addresses(self) != peer_addresses(next)
                || allowances(self) != allowances(next),
            ..ConfigDiff::default()
        };
        let before: HashMap<_, _> = self.peers.iter().map(|p| (p.name.as_str(), p)).collect();
        for peer in &next.peers {
            let list = match before.get(peer.name.as_str()) {
                None => &mut diff.added,
                Some(old) if diff.identity || old.resets(peer) => &mut diff.reset,
                Some(old) if *old != peer => &mut diff.changed,
                Some(_) => continue,
            };
            list.push(peer.name.clone());
        }
        let after: HashSet<_> = next.peers.iter().map(|p| p.name.as_str()).collect();
        let gone = self.peers.iter().filter(|p| !after.contains(p.name.as_str()));
        diff.removed.extend(gone.map(|p| p.name.clone()));
        for list in [&mut diff.added, &mut diff.removed, &mut diff.reset, &mut diff.changed] {
            list.sort_unstable();
        }
        diff
    }

    /// The cluster of this route reflector.
    pub(crate) fn cluster_id(&self) -> BgpId {
        self.cluster_id.unwrap_or(self.router_id)
    }

    /// True when learned paths are passed on to anybody.
    pub(crate) fn passes_on(&self) -> bool {
        self.peers.iter().any(|peer| peer.transit || peer.route_reflector_client)
    }

    /// The longest restart time offered to any peer: how long a restarted speaker waits for
    /// the End-of-RIB of its peers (RFC 4724 §4.1, Selection_Deferral_Timer).
    pub(crate) fn restart_time(&self) -> Option<Duration> {
        let enabled = self.peers.iter().filter(|p| p.graceful_restart.enabled);
        enabled.map(|p| p.graceful_restart.restart_time).max()
    }
}

/// One configured neighbour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Name for people, unique among the peers; a renamed peer is a new peer.
    pub name: String,
    /// Address we dial and accept from.
    pub address: IpAddr,
    /// Port we dial.
    pub port: u16,
    /// The peer's autonomous system; equal to ours for an internal session.
    pub asn: Asn,
    /// Source address of our connections; the kernel's choice when absent.
    pub local_address: Option<IpAddr>,
    /// Never dial, only accept.
    pub passive: bool,
    /// TTL of an external session over several hops; absent means directly connected, TTL 1.
    /// Internal sessions are always sent with the system's TTL.
    pub multihop: Option<u8>,
    /// Families offered to the peer; at least one.
    pub families: FamilySet,
    /// Session timers.
    pub timers: Timers,
    /// Graceful restart towards this peer.
    pub graceful_restart: GracefulRestart,
    /// Next hop of the IPv4 prefixes we advertise; the session's own address when absent.
    pub next_hop_v4: Option<Ipv4Addr>,
    /// Next hop of the IPv6 prefixes we advertise; the session's own address when absent.
    pub next_hop_v6: Option<Ipv6Addr>,
    /// An internal peer to which paths of internal peers are reflected, and whose paths are
    /// reflected to all internal peers (RFC 4456).
    pub route_reflector_client: bool,
    /// How often our own AS may be in AS_PATH of what this peer sends (RFC 4271 §9.1.2 allows none).
    pub allow_own_as: u8,
    /// How many prefixes of a family this peer may send.
    pub prefix_limit: Option<PrefixLimit>,
    /// Pass learned paths on to this peer: from other ASs to it, and from anybody to it if it is
    /// in another AS.
    pub transit: bool,
}

impl PeerConfig {
    /// A peer with the defaults: both families, we dial and accept, hold time 9 s.
    pub fn new(name: impl Into<String>, address: IpAddr, asn: Asn) -> Self {
        Self {
            name: name.into(),
            address,
            port: BGP_PORT,
            asn,
            local_address: None,
            passive: false,
            multihop: None,
            families: FamilySet::ALL,
            timers: Timers::default(),
            graceful_restart: GracefulRestart::default(),
            next_hop_v4: None,
            next_hop_v6: None,
            route_reflector_client: false,
            allow_own_as: 0,
            prefix_limit: None,
            transit: false,
        }
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let peer = || self.name.clone();
        if !is_usable(self.asn) {
            return Err(ConfigError::PeerAsn { peer: peer(), asn: self.asn });
        }
        if self.address.is_unspecified() || self.address.is_multicast() || self.port == 0 {
            return Err(ConfigError::Address { peer: peer() });
        }
        if self.local_address.is_some_and(|local| local.is_ipv4() != self.address.is_ipv4()) {
            return Err(ConfigError::LocalAddress { peer: peer() });
        }
        if self.families.is_empty() {
            return Err(ConfigError::Families { peer: peer() });
        }
        if self.multihop == Some(0) {
            return Err(ConfigError::Multihop { peer: peer() });
        }
        if !self.timers.is_valid() {
            return Err(ConfigError::Timers { peer: peer() });
        }
        if self.prefix_limit.is_some_and(|limit| !limit.is_valid()) {
            return Err(ConfigError::PrefixLimit { peer: peer() });
        }
        // RFC 4724 §3: twelve bits of seconds on the wire.
        if self.graceful_restart.restart_time > Duration::from_secs(4095) {
            return Err(ConfigError::RestartTime { peer: peer() });
        }
        Ok(())
    }

    /// True when moving to `next` needs a new session.
    fn resets(&self, next: &Self) -> bool {
        self.address != next.address
            || self.asn != next.asn
            || self.local_address != next.local_address
            || self.multihop != next.multihop
            || self.families != next.families
            || self.timers.hold_time != next.timers.hold_time
            || self.graceful_restart != next.graceful_restart
            || self.route_reflector_client != next.route_reflector_client
    }
}

/// Session timers of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Hold time offered in OPEN: 0 (never expires) or 3 s to 65,535 s, whole seconds.
    pub hold_time: Duration,
    /// Longest time between two KEEPALIVEs; a third of the negotiated hold time if that is less.
    pub keepalive: Duration,
    /// How long one attempt to connect may take, and the longest pause between two.
    pub connect_retry: Duration,
    /// How long written data may stay unsent before the session is closed (RFC 9687).
    pub send_hold: Duration,
}

impl Timers {
    fn is_valid(&self) -> bool {
        let hold = self.hold_time;
        (hold.is_zero() || hold >= Duration::from_secs(3))
            && hold <= Duration::from_secs(65_535)
            && hold.subsec_nanos() == 0
            && !self.keepalive.is_zero()
            && !self.connect_retry.is_zero()
            && self.send_hold >= hold
            && !self.send_hold.is_zero()
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            hold_time: Duration::from_secs(9),
            keepalive: Duration::from_secs(3),
            connect_retry: Duration::from_secs(5),
            send_hold: Duration::from_secs(18),
        }
    }
}

/// Graceful restart towards one peer (RFC 4724).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// Offer the capability.
    pub enabled: bool,
    /// How long the peer is asked to keep our routes while we restart; whole seconds, ≤ 4,095.
    pub restart_time: Duration,
}

impl Default for GracefulRestart {
    fn default() -> Self {
        Self { enabled: true, restart_time: Duration::from_secs(30) }
    }
}

/// A limit on the prefixes of a family that a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixLimit {
    /// So many prefixes are fine; at least 1.
    pub max: u32,
    /// From this percentage of `max` on there is a warning; 1 to 100.
    pub warning_threshold: u8,
    /// End the session with Cease/Maximum Number of Prefixes Reached (RFC 4486); else only warn.
    pub teardown: bool,
    /// How long the peer then has to wait.
    pub restart: Duration,
}

impl PrefixLimit {
    /// A limit that ends the session for five minutes and warns from 75 % on.
    pub const fn new(max: u32) -> Self {
        Self { max, warning_threshold: 75, teardown: true, restart: Duration::from_secs(300) }
    }

    /// From so many prefixes on there is a warning.
    pub(crate) fn warns_at(&self) -> usize {
        let at = u64::from(self.max) * u64::from(self.warning_threshold) / 100;
        usize::try_from(at).unwrap_or(usize::MAX).max(1)
    }

    fn is_valid(&self) -> bool {
        self.max > 0 && (1..=100).contains(&self.warning_threshold) && !self.restart.is_zero()
    }
}

/// How this process came to run, told once at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing of an earlier run is in the kernel: best paths are published as they arrive.
    Cold,
    /// A restart within the restart time. OPEN carries the R bit, and no best path is published
    /// until every peer has sent End-of-RIB, so that routes kept in the kernel stay untouched.
    Restarted {
        /// Families whose kernel routes survived: their F bit is set.
        forwarding_kept: FamilySet,
    },
}

/// What a new configuration changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigDiff {
    /// Names of new peers.
    pub added: Vec<String>,
    /// Names of removed peers.
    pub removed: Vec<String>,
    /// Names of peers whose session is closed and opened again.
    pub reset: Vec<String>,
    /// Names of peers changed without touching the session.
    pub changed: Vec<String>,
    /// The listening sockets change.
    pub listeners: bool,
    /// AS or router id changed: every session is reset.
    pub identity: bool,
    /// The import rules changed: received routes are judged again.
    pub import: bool,
}

/// Why a configuration cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// AS 0, 23456, 65535 and 4294967295 are reserved (RFC 7607, RFC 6793, RFC 7300).
    #[error("AS {asn} is reserved")]
    Asn {
        /// The value given.
        asn: Asn,
    },
    /// No path could ever be used.
    #[error("max paths must be at least 1")]
    MaxPaths,
    /// More peers than a speaker can have.
    #[error("{count} peers are more than the {MAX_PEERS} a speaker can have")]
    TooManyPeers {
        /// How many there are.
        count: usize,
    },
    /// Two peers share a name.
    #[error("two peers are named {peer}")]
    DuplicateName {
        /// The name.
        peer: String,
    },
    /// Two peers share an address.
    #[error("peer {peer}: address {address} belongs to another peer")]
    DuplicateAddress {
        /// The second peer.
        peer: String,
        /// The address both have.
        address: IpAddr,
    },
    /// The peer's AS is reserved.
    #[error("peer {peer}: AS {asn} is reserved")]
    PeerAsn {
        /// The peer.
        peer: String,
        /// The value given.
        asn: Asn,
    },
    /// The peer's address or port cannot be dialled.
    #[error("peer {peer}: address or port cannot be a peer's")]
    Address {
        /// The peer.
        peer: String,
    },
    /// The source address is of another family than the peer's.
    #[error("peer {peer}: local address is of another family than the peer's address")]
    LocalAddress {
        /// The peer.
        peer: String,
    },
    /// The peer has no family.
    #[error("peer {peer}: no address family")]
    Families {
        /// The peer.
        peer: String,
    },
    /// TTL 0 leaves no host.
    #[error("peer {peer}: multihop must be at least 1")]
    Multihop {
        /// The peer.
        peer: String,
    },
    /// A timer is out of range.
    #[error(
        "peer {peer}: hold time must be 0 or whole seconds from 3 to 65535, send hold time at \
         least the hold time, and no other timer 0"
    )]
    Timers {
        /// The peer.
        peer: String,
    },
    /// A prefix limit is out of range.
    #[error(
        "peer {peer}: a prefix limit must be at least 1, its warning threshold from 1 to 100 \
         percent, and its restart time not 0"
    )]
    PrefixLimit {
        /// The peer.
        peer: String,
    },
    /// The restart time does not fit the wire.
    #[error("peer {peer}: restart time must be at most 4095 s")]
    RestartTime {
        /// The peer.
        peer: String,
    },
}

fn is_usable(asn: Asn) -> bool {
    !matches!(asn.0, 0 | 23_456 | 65_535 | u32::MAX)
}

fn allowances(config: &SpeakerConfig) -> HashSet<(&str, u8)> {
    let allowing = config.peers.iter().filter(|p| p.allow_own_as > 0);
    allowing.map(|p| (p.name.as_str(), p.allow_own_as)).collect()
}

fn peer_addresses(config: &SpeakerConfig) -> HashSet<IpAddr> {
    config.peers.iter().map(|p| p.address).collect()
}
