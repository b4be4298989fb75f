// SPDX-License-Identifier: MIT OR Apache-2.0
//! Local routes: a host route per workload address, a blackhole per own block.
//!
//! The blackhole keeps packets for addresses that nobody holds from following a default route
//! back into the fabric; the more specific host routes win over it. A block of one address has no
//! blackhole: it would be the very key of its workload's host route.

use std::net::IpAddr;

use bgp::types::{Family, Prefix};

use super::{Inputs, address};
use crate::model::{
    PROTOCOL_LOCAL, RouteClass, RouteKey, RouteKind, RouteScope, RouteSpec, TABLE_MAIN,
};

/// The key of a local route: the metric is what the kernel takes for "none given".
pub fn key(prefix: Prefix) -> RouteKey {
    let metric = match prefix.family() {
        Family::Ipv4Unicast => 0,
        Family::Ipv6Unicast => 1024,
    };
    RouteKey { prefix, table: TABLE_MAIN, metric }
}

/// The key of the host route to a workload's address.
pub fn host_key(address: IpAddr) -> RouteKey {
    key(Prefix::host(address))
}

/// Every key that may be wanted.
pub fn keys(inputs: &Inputs) -> Vec<RouteKey> {
    let blocks = inputs.blocks().iter().map(|block| key(block.prefix));
    inputs.addresses().map(host_key).chain(blocks).collect()
}

/// The local route with this key.
pub fn derive(inputs: &Inputs, key: &RouteKey) -> Option<RouteSpec> {
    if !inputs.config()?.node.kernel.routes {
        return None;
    }
    if key.prefix.is_host() { host(inputs, key.prefix.addr()) } else { blackhole(inputs, key) }
}

fn host(inputs: &Inputs, address: IpAddr) -> Option<RouteSpec> {
    // Before the node's own addresses are known, the preferred source is not: writing the route
    // now would mean writing it twice.
    let uplinks = inputs.uplinks()?;
    let live = inputs.by_address(address).filter(|live| live.is_wanted())?;
    let family = if address.is_ipv4() { Family::Ipv4Unicast } else { Family::Ipv6Unicast };
    Some(RouteSpec {
        protocol: PROTOCOL_LOCAL,
        kind: RouteKind::Device { dev: live.record.host_interface.clone() },
        // The kernel knows no scopes of IPv6 routes.
        scope: if address.is_ipv4() { RouteScope::Link } else { RouteScope::Universe },
        prefer_src: address::own(inputs.config()?, uplinks, family),
        class: RouteClass::Local,
    })
}

fn blackhole(inputs: &Inputs, key: &RouteKey) -> Option<RouteSpec> {
    inputs.block(key.prefix)?;
    Some(RouteSpec {
        protocol: PROTOCOL_LOCAL,
        kind: RouteKind::Blackhole,
        scope: RouteScope::Universe,
        prefer_src: None,
        class: RouteClass::Local,
    })
}
