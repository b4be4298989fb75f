// SPDX-License-Identifier: MIT OR Apache-2.0
//! Wishes to messages.

use std::net::IpAddr;

use bgp::types::Prefix;
use netlink_packet_route::route::{
    RouteAttribute, RouteMessage, RouteNextHop, RouteProtocol, RouteScope as Scope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use reconcile::{Failure, FailureKind};

use crate::kernel::marks::{PROTOCOL_LEARNED, PROTOCOL_LOCAL};
use crate::kernel::socket::Request;
use crate::model::{NextHop, RouteKey, RouteKind, RouteScope, RouteSpec};

/// The requests that read every route of ours: the kernel filters by one protocol at a time.
pub(crate) fn dumps() -> impl Iterator<Item = RouteNetlinkMessage> {
    let families = [AddressFamily::Inet, AddressFamily::Inet6];
    families.into_iter().flat_map(|family| {
        [PROTOCOL_LOCAL, PROTOCOL_LEARNED].map(|protocol| {
            let mut message = RouteMessage::default();
            message.header.address_family = family;
            message.header.protocol = RouteProtocol::from(protocol);
            RouteNetlinkMessage::GetRoute(message)
        })
    })
}

/// The message that makes a route as wished.
///
/// # Errors
/// If an interface is missing, or a wish contradicts itself.
pub(crate) fn route(
    key: &RouteKey,
    spec: &RouteSpec,
    index: &mut impl FnMut(&str) -> Option<u32>,
) -> Result<RouteMessage, Failure> {
    let v4 = matches!(key.prefix, Prefix::V4(_));
    if !v4 && key.metric == 0 {
        return Err(fatal("the kernel has no IPv6 route of metric 0"));
    }
    let mut message = message(key);
    message.header.protocol = RouteProtocol::from(spec.protocol);
    message.header.scope = match spec.scope {
        RouteScope::Link if v4 => Scope::Link,
        RouteScope::Link | RouteScope::Universe => Scope::Universe,
    };
    message.header.kind = RouteType::Unicast;
    match &spec.kind {
        RouteKind::Blackhole => message.header.kind = RouteType::BlackHole,
        RouteKind::Device { dev } => {
            message.attributes.push(RouteAttribute::Oif(resolve(dev, index)?));
        }
        RouteKind::Gateways(gateways) => match gateways.as_slice() {
            [] => return Err(fatal("a route without a gateway")),
            [only] => {
                check_family(only, v4)?;
                message.attributes.push(RouteAttribute::Gateway(only.via.into()));
                message.attributes.push(RouteAttribute::Oif(resolve(&only.dev, index)?));
            }
            several => {
                let mut next_hops = Vec::with_capacity(several.len());
                for gateway in several {
                    check_family(gateway, v4)?;
                    next_hops.push(next_hop(gateway, resolve(&gateway.dev, index)?)?);
                }
                message.attributes.push(RouteAttribute::MultiPath(next_hops));
            }
        },
    }
    if let Some(source) = spec.prefer_src {
        if source.is_ipv4() != v4 {
            return Err(fatal("preferred source of another family"));
        }
        message.attributes.push(RouteAttribute::PrefSource(source.into()));
    }
    Ok(message)
}

/// The request that deletes a route of one protocol, whatever it looks like.
pub(crate) fn delete(key: &RouteKey, protocol: u8) -> Request {
    let mut message = message(key);
    message.header.protocol = RouteProtocol::from(protocol);
    message.header.scope = Scope::NoWhere;
    Request::new(RouteNetlinkMessage::DelRoute(message), 0)
}

/// What the key says.
fn message(key: &RouteKey) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = match key.prefix {
        Prefix::V4(_) => AddressFamily::Inet,
        Prefix::V6(_) => AddressFamily::Inet6,
    };
    header.destination_prefix_length = key.prefix.prefix_len();
    // A number that does not fit goes into the attribute alone.
    header.table = u8::try_from(key.table).unwrap_or(0);
    message.attributes = Vec::with_capacity(6);
    if header.destination_prefix_length > 0 {
        let address: IpAddr = key.prefix.addr();
        message.attributes.push(RouteAttribute::Destination(address.into()));
    }
    if header.table == 0 {
        message.attributes.push(RouteAttribute::Table(key.table));
    }
    if key.metric != 0 {
        message.attributes.push(RouteAttribute::Priority(key.metric));
    }
    message
}

fn next_hop(gateway: &NextHop, index: u32) -> Result<RouteNextHop, Failure> {
    let mut next_hop = RouteNextHop::default();
    // The kernel counts from 0.
    next_hop.hops = u8::try_from(gateway.weight.wrapping_sub(1))
        .map_err(|_| fatal("weight of a gateway is not 1 to 256"))?;
    next_hop.interface_index = index;
    next_hop.attributes.push(RouteAttribute::Gateway(gateway.via.into()));
    Ok(next_hop)
}

fn check_family(gateway: &NextHop, v4: bool) -> Result<(), Failure> {
    if gateway.via.is_ipv4() == v4 { Ok(()) } else { Err(fatal("gateway of another family")) }
}

fn resolve(dev: &str, index: &mut impl FnMut(&str) -> Option<u32>) -> Result<u32, Failure> {
    let missing = || Failure::new(FailureKind::Gone, format!("no interface {dev}"));
    index(dev).ok_or_else(missing)
}

fn fatal(reason: &str) -> Failure {
    Failure::new(FailureKind::Fatal, reason)
}
