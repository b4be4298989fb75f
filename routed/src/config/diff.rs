// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the change of a configuration disturbs.

use super::types::{Config, Node};

/// One difference between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What changed: a field of the NodeConfig, or `Kind name`.
    pub what: String,
    /// What that disturbs.
    pub impact: Impact,
}

/// What a change disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Impact {
    /// Nothing that runs.
    Live,
    /// Sessions are closed and opened again.
    SessionReset,
    /// It takes effect with the next start.
    Restart,
}

/// Lists the differences, NodeConfig first.
pub fn diff(old: &Config, new: &Config) -> Vec<Difference> {
    let mut found = node(&old.node, &new.node);
    let mut note = |changed: bool, what: &str, impact| {
        if changed {
            found.push(Difference { what: what.to_owned(), impact });
        }
    };
    note(old.blocks != new.blocks, "spec.blocks", Impact::Live);
    let pools = old.pools.keys().chain(new.pools.keys());
    for name in sorted(pools) {
        let changed = old.pools.get(name) != new.pools.get(name);
        note(changed, &format!("IPPool {name}"), Impact::Live);
    }
    let names = old.peers.iter().chain(&new.peers).map(|peer| &peer.speaker.name);
    for name in sorted(names) {
        let find = |config: &Config| config.peers.iter().find(|p| p.speaker.name == *name).cloned();
        let (before, after) = (find(old), find(new));
        let impact = match (&before, &after) {
            (Some(before), Some(after)) if resets(before, after) => Impact::SessionReset,
            (Some(_), None) => Impact::SessionReset,
            _ => Impact::Live,
        };
        note(before != after, &format!("BGPPeer {name}"), impact);
    }
    for id in sorted(old.policies.keys().chain(new.policies.keys())) {
        let changed = old.policies.get(id) != new.policies.get(id);
        note(changed, &format!("{} {id}", id.kind()), Impact::Live);
    }
    for key in sorted(old.endpoints.keys().chain(new.endpoints.keys())) {
        let changed = old.endpoints.get(key) != new.endpoints.get(key);
        note(changed, &format!("WorkloadEndpoint {key}"), Impact::Live);
    }
    found
}

fn node(old: &Node, new: &Node) -> Vec<Difference> {
    let fields = [
        (old.name != new.name, "metadata.name", Impact::Restart),
        (old.labels != new.labels, "metadata.labels", Impact::Live),
        (old.asn != new.asn, "spec.asNumber", Impact::SessionReset),
        (old.router_id != new.router_id, "spec.routerId", Impact::SessionReset),
        (old.uplinks != new.uplinks, "spec.uplinks", Impact::Restart),
        (old.listen != new.listen, "spec.bgp.listen", Impact::Live),
        (old.port != new.port, "spec.bgp.port", Impact::Live),
        (old.transit != new.transit, "spec.bgp.transit", Impact::SessionReset),
        (old.address_v4 != new.address_v4, "spec.addresses.v4", Impact::Live),
        (old.address_v6 != new.address_v6, "spec.addresses.v6", Impact::Live),
        (old.kernel != new.kernel, "spec.kernel", Impact::Restart),
        (
            old.workloads.interface_prefix != new.workloads.interface_prefix,
            "spec.workloads.interfacePrefix",
            Impact::Restart,
        ),
        (old.workloads.mtu != new.workloads.mtu, "spec.workloads.mtu", Impact::Live),
    ];
    let changed = fields.into_iter().filter(|(changed, _, _)| *changed);
    changed.map(|(_, what, impact)| Difference { what: what.to_owned(), impact }).collect()
}

/// Whether the speaker closes the session of a peer for this change.
fn resets(before: &super::types::Peer, after: &super::types::Peer) -> bool {
    let (a, b) = (&before.speaker, &after.speaker);
    before.use_node_address != after.use_node_address
        || a.address != b.address
        || a.asn != b.asn
        || a.local_address != b.local_address
        || a.multihop != b.multihop
        || a.families != b.families
        || a.timers.hold_time != b.timers.hold_time
        || a.graceful_restart != b.graceful_restart
        || a.route_reflector_client != b.route_reflector_client
}

fn sorted<'a, T: Ord>(items: impl Iterator<Item = &'a T>) -> Vec<&'a T> {
    let mut items: Vec<_> = items.collect();
    items.sort_unstable();
    items.dedup();
    items
}
