// SPDX-License-Identifier: MIT OR Apache-2.0
//! Routes over a workload's link, as far as they matter: to one address, or to everything.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::kernel::error::Error;
use crate::kernel::neigh::family;
use crate::kernel::socket::{Request, Socket};

/// A route inside the container (or of the host to it); its metric does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContainerRoute {
    v6: bool,
    /// `None` is everything.
    to: Option<IpAddr>,
    /// `None` is directly out of the interface.
    via: Option<IpAddr>,
}

impl ContainerRoute {
    /// One address, directly on the link.
    pub(crate) fn on_link(address: IpAddr) -> Self {
        Self { v6: address.is_ipv6(), to: Some(address), via: None }
    }

    /// Everything, by the gateway.
    pub(crate) fn default_via(gateway: IpAddr) -> Self {
        Self { v6: gateway.is_ipv6(), to: None, via: Some(gateway) }
    }

    pub(crate) fn request(&self, index: u32, metric: Option<u32>) -> Request {
        let mut message = RouteMessage::default();
        let any = if self.v6 { IpAddr::from([0u16; 8]) } else { IpAddr::from([0u8; 4]) };
        message.header.address_family = family(any);
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Boot;
        message.header.kind = RouteType::Unicast;
        if self.via.is_none() {
            message.header.scope = RouteScope::Link;
        }
        if let Some(to) = self.to {
            message.header.destination_prefix_length = if self.v6 { 128 } else { 32 };
            message.attributes.push(RouteAttribute::Destination(to.into()));
        }
        message.attributes.extend(self.via.map(|via| RouteAttribute::Gateway(via.into())));
        message.attributes.push(RouteAttribute::Oif(index));
        message.attributes.extend(metric.map(RouteAttribute::Priority));
        Request::new(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    fn decode(message: &RouteMessage) -> Option<Self> {
        let v6 = match message.header.address_family {
            AddressFamily::Inet => false,
            AddressFamily::Inet6 => true,
            _ => return None,
        };
        let length = message.header.destination_prefix_length;
        if length != 0 && length != if v6 { 128 } else { 32 } {
            return None;
        }
        let mut route = Self { v6, to: None, via: None };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(to) => route.to = ip(to),
                RouteAttribute::Gateway(via) => route.via = ip(via),
                _ => {}
            }
        }
        Some(route)
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

impl fmt::Display for ContainerRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.to, self.via) {
            (Some(to), _) => write!(f, "route {to}"),
            (None, Some(via)) => write!(f, "route default via {via}"),
            (None, None) => f.write_str("route default"),
        }
    }
}

/// Reads the unicast routes of the main table out of one interface.
///
/// # Errors
/// If a dump fails.
pub(crate) fn routes(socket: &mut Socket, index: u32) -> Result<Vec<ContainerRoute>, Error> {
    // Of all tables: asking for a table that has never had a route is an error.
    let mut message = RouteMessage::default();
    message.attributes.push(RouteAttribute::Oif(index));
    let mut routes = Vec::new();
    for family in [IpAddr::from([0u8; 4]), IpAddr::from([0u16; 8])].map(family) {
        message.header.address_family = family;
        for found in socket.dump("routes", &RouteNetlinkMessage::GetRoute(message.clone()))? {
            if let RouteNetlinkMessage::NewRoute(found) = found
                && found.header.kind == RouteType::Unicast
                && found.header.table == RouteHeader::RT_TABLE_MAIN
                && found.attributes.contains(&RouteAttribute::Oif(index))
            {
                routes.extend(ContainerRoute::decode(&found));
            }
        }
    }
    Ok(routes)
}
