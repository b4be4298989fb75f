// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's own addresses, and which interfaces are its uplinks.

use std::net::IpAddr;

use bgp::types::{Family, Prefix};

use crate::config::Config;
use crate::model::{InterfaceAddress, Uplink, Uplinks};

/// The node's own address of a family: preferred source of its routes.
///
/// The configured one; else the first global address on `lo`, else the primary one of the first
/// uplink that has one. Only an address that the node holds right now: the kernel refuses any
/// other, and drops the routes that carry one when it goes.
pub fn own(config: &Config, uplinks: &Uplinks, family: Family) -> Option<IpAddr> {
    let configured = match family {
        Family::Ipv4Unicast => config.node.address_v4.map(IpAddr::V4),
        Family::Ipv6Unicast => config.node.address_v6.map(IpAddr::V6),
    };
    if let Some(address) = configured {
        return uplinks.local.contains(&address).then_some(address);
    }
    first(&uplinks.loopback, family)
        .or_else(|| selected(config, uplinks).find_map(|u| first(&u.addresses, family)))
}

/// The uplinks: the configured ones, or without any those whose subnet holds a peer.
pub fn selected<'a>(
    config: &'a Config,
    uplinks: &'a Uplinks,
) -> impl Iterator<Item = &'a Uplink> + 'a {
    let holds_peer =
        |uplink: &Uplink| config.peers.iter().any(|peer| reaches(uplink, peer.speaker.address));
    uplinks
        .interfaces
        .iter()
        .filter(move |uplink| !config.node.uplinks.is_empty() || holds_peer(uplink))
}

/// Whether an address is in a subnet of an uplink.
pub fn reaches(uplink: &Uplink, address: IpAddr) -> bool {
    uplink.addresses.iter().filter_map(subnet).any(|subnet| subnet.contains_addr(address))
}

/// The first global, primary address of a family.
pub fn first(addresses: &[InterfaceAddress], family: Family) -> Option<IpAddr> {
    let is_v4 = family == Family::Ipv4Unicast;
    let mut usable =
        addresses.iter().filter(|a| a.global && !a.secondary && a.address.is_ipv4() == is_v4);
    usable.next().map(|a| a.address)
}

/// The subnet of an interface address; none for a link-local one.
pub fn subnet(address: &InterfaceAddress) -> Option<Prefix> {
    let subnet = Prefix::new_masked(address.address, address.prefix_len).ok()?;
    address.global.then_some(subnet)
}
