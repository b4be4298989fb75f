// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages to the wishes that would have made them.

use std::net::IpAddr;

use bgp::types::Prefix;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteNextHop, RouteScope as Scope, RouteType,
};

use crate::kernel::marks::{PROTOCOL_LEARNED, PROTOCOL_LOCAL};
use crate::model::{NextHop, RouteClass, RouteKey, RouteKind, RouteScope, RouteSpec};

/// A route of ours; `None` for any other.
///
/// A route with our protocol but of a shape that no wish has is shown as one through an interface
/// without a name: it equals no wish, so it is replaced or deleted.
pub(crate) fn route(
    message: &RouteMessage,
    name: &mut impl FnMut(u32) -> String,
) -> Option<(RouteKey, RouteSpec)> {
    let protocol = u8::from(message.header.protocol);
    let class = match protocol {
        PROTOCOL_LOCAL => RouteClass::Local,
        PROTOCOL_LEARNED => RouteClass::Learned,
        _ => return None,
    };
    let key = key(message)?;
    let scope = match message.header.scope {
        Scope::Link => RouteScope::Link,
        _ => RouteScope::Universe,
    };
    let prefer_src = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(source) => ip(source),
        _ => None,
    });
    let kind = kind(message, name).unwrap_or(RouteKind::Device { dev: String::new() });
    Some((key, RouteSpec { protocol, kind, scope, prefer_src, class }))
}

/// The key of any route; `None` if it is not one of a prefix.
pub(crate) fn key(message: &RouteMessage) -> Option<RouteKey> {
    let header = &message.header;
    let mut address = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0u8; 4]),
        AddressFamily::Inet6 => IpAddr::from([0u16; 8]),
        _ => return None,
    };
    let mut table = u32::from(header.table);
    let mut metric = 0;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => address = ip(to)?,
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            _ => {}
        }
    }
    let prefix = Prefix::try_new(address, header.destination_prefix_length).ok()?;
    Some(RouteKey { prefix, table, metric })
}

fn kind(message: &RouteMessage, name: &mut impl FnMut(u32) -> String) -> Option<RouteKind> {
    match message.header.kind {
        RouteType::BlackHole => return Some(RouteKind::Blackhole),
        RouteType::Unicast => {}
        _ => return None,
    }
    let mut via = None;
    let mut dev = None;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::MultiPath(next_hops) => return gateways(next_hops, name),
            RouteAttribute::Gateway(address) => via = Some(ip(address)?),
            RouteAttribute::Oif(index) => dev = Some(name(*index)),
            RouteAttribute::Via(_) | RouteAttribute::NhId(_) | RouteAttribute::Encap(_) => {
                return None;
            }
            _ => {}
        }
    }
    let dev = dev?;
    Some(match via {
        Some(via) => RouteKind::Gateways(vec![NextHop { dev, via, weight: 1 }]),
        None => RouteKind::Device { dev },
    })
}

/// The gateways of a route, in the order that wishes have. Dead ones count: they belong to the
/// route, and live again with their interface.
fn gateways(next_hops: &[RouteNextHop], name: &mut impl FnMut(u32) -> String) -> Option<RouteKind> {
    let mut gateways = Vec::with_capacity(next_hops.len());
    for next_hop in next_hops {
        let via = next_hop.attributes.iter().find_map(|attribute| match attribute {
            RouteAttribute::Gateway(address) => ip(address),
            _ => None,
        })?;
        let dev = name(next_hop.interface_index);
        gateways.push(NextHop { dev, via, weight: u16::from(next_hop.hops) + 1 });
    }
    gateways.sort();
    Some(RouteKind::Gateways(gateways))
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}
