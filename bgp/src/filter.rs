// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is never accepted, from the first version on.
//!
//! These are not preferences but safety: a node that accepts its own block from a neighbour sends
//! its workloads' traffic away, one that accepts its uplink's subnet loses the way to its peers,
//! and one that accepts a gateway it cannot reach installs a black hole. Export needs no rules: a
//! plain node advertises only what it originates.
//!
//! The rules see plain facts about a path, so they know neither messages nor tables.

use std::net::{IpAddr, Ipv6Addr};

use crate::reason::RejectReason;
use crate::types::{BgpId, Prefix};

#[cfg(test)]
mod tests;

/// What the rules look at in a path's attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Our AS is in AS_PATH.
    pub(crate) own_as: bool,
    pub(crate) next_hop: Option<IpAddr>,
    pub(crate) originator_id: Option<BgpId>,
    /// Our cluster is in CLUSTER_LIST.
    pub(crate) own_cluster: bool,
}

/// The import rules of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) router_id: BgpId,
    /// Never accepted, nor anything inside them.
    pub(crate) own_blocks: Vec<Prefix>,
    /// Never a gateway, nor accepted as host routes.
    pub(crate) own_addresses: Vec<IpAddr>,
    /// Never accepted, and where gateways must be; empty: not known.
    pub(crate) connected: Vec<Prefix>,
    /// Never accepted as host routes.
    pub(crate) peers: Vec<IpAddr>,
}

impl Import {
    /// Judges what all prefixes of an attribute set share.
    pub(crate) fn check_attrs(&self, facts: Facts) -> Result<(), RejectReason> {
        if facts.own_as {
            return Err(RejectReason::AsLoop);
        }
        if facts.originator_id == Some(self.router_id) {
            return Err(RejectReason::OriginatorLoop);
        }
        if facts.own_cluster {
            return Err(RejectReason::ClusterLoop);
        }
        match facts.next_hop {
            Some(gateway) if self.is_gateway(gateway) => Ok(()),
            Some(_) | None => Err(RejectReason::BadNextHop),
        }
    }

    /// Judges one prefix.
    pub(crate) fn check_prefix(&self, prefix: Prefix) -> Result<(), RejectReason> {
        let inside = |list: &[Prefix]| list.iter().any(|outer| outer.contains(&prefix));
        if is_martian(prefix) {
            return Err(RejectReason::Martian);
        }
        if inside(&self.own_blocks) {
            return Err(RejectReason::OwnBlock);
        }
        if inside(&self.connected) {
            return Err(RejectReason::UplinkSubnet);
        }
        if prefix.is_host() && self.peers.contains(&prefix.addr()) {
            return Err(RejectReason::PeerAddress);
        }
        if prefix.is_host() && self.own_addresses.contains(&prefix.addr()) {
            return Err(RejectReason::OwnAddress);
        }
        Ok(())
    }

    /// True when packets can be sent to `address` as a gateway.
    fn is_gateway(&self, address: IpAddr) -> bool {
        let on_link = self.connected.is_empty()
            || self.connected.iter().any(|subnet| subnet.contains_addr(address));
        on_link
            && is_unicast(address)
            && !self.own_addresses.contains(&address)
            && !self.own_blocks.iter().any(|block| block.contains_addr(address))
    }
}

/// True when `address` is a global or private unicast address. Link-local ones need an interface
/// that the route does not name.
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let first = v4.octets()[0];
            first != 0 && !v4.is_loopback() && !v4.is_link_local() && first < 224
        }
        IpAddr::V6(v6) => {
            !v6.is_unspecified()
                && !v6.is_loopback()
                && !v6.is_multicast()
                && !v6.is_unicast_link_local()
                && v6.to_ipv4_mapped().is_none()
        }
    }
}

/// True when nothing inside `prefix` is ever routed. The default route is not: it contains
/// such addresses, but is not inside them.
fn is_martian(prefix: Prefix) -> bool {
    match prefix {
        Prefix::V4(v4) => {
            let (bits, len) = (v4.bits(), v4.prefix_len());
            let within = |net: [u8; 4], net_len: u8| {
                len >= net_len && (bits ^ u32::from_be_bytes(net)) >> (32 - net_len) == 0
            };
            (len > 0 && within([0, 0, 0, 0], 8))
                || within([127, 0, 0, 0], 8)
                || within([169, 254, 0, 0], 16)
                || within([224, 0, 0, 0], 3)
        }
        Prefix::V6(v6) => {
            let (bits, len) = (v6.bits(), v6.prefix_len());
            let within = |net: Ipv6Addr, net_len: u8| {
                len >= net_len && (bits ^ net.to_bits()) >> (128 - net_len) == 0
            };
            within(Ipv6Addr::UNSPECIFIED, 96)
                || within(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)
                || within(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10)
                || within(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8)
        }
    }
}
