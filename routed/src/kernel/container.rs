// SPDX-License-Identifier: MIT OR Apache-2.0
//! The container end of a link, seen and written through a socket that was opened inside.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rustix::io::Errno;

use super::error::{Error, Refusal};
use super::fact::{ContainerFact, container_facts};
use super::message::LOOPBACK;
use super::neigh::family;
use super::socket::{Request, Socket};
use super::state::{self, End, Link};
use crate::model::LinkSpec;

/// Metric of a second interface's routes: behind the first one's, which have none.
const SECOND_METRIC: u32 = 1024;

/// A route inside the container; its metric does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContainerRoute {
    v6: bool,
    /// `None` is everything.
    to: Option<IpAddr>,
    /// `None` is directly out of the interface.
    via: Option<IpAddr>,
}

impl ContainerRoute {
    /// The gateway itself, on the link.
    pub(crate) fn to_gateway(gateway: IpAddr) -> Self {
        Self { v6: gateway.is_ipv6(), to: Some(gateway), via: None }
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
            netlink_packet_route::AddressFamily::Inet => false,
            netlink_packet_route::AddressFamily::Inet6 => true,
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

/// The container end with its routes.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) end: End,
    pub(crate) routes: Vec<ContainerRoute>,
    pub(crate) loopback_up: bool,
}

impl Container {
    /// Reads the container end; `None` if there is no interface of that name.
    ///
    /// # Errors
    /// If a read fails.
    pub(crate) fn read(socket: &mut Socket, interface: &str) -> Result<Option<Self>, Error> {
        let Some(link) = state::link_by_name(socket, interface)? else { return Ok(None) };
        let loopback_up = state::link_by_index(socket, LOOPBACK)?.is_some_and(|link| link.up);
        let routes = routes(socket, link.index)?;
        let end = End::read(socket, link)?;
        Ok(Some(Self { end, routes, loopback_up }))
    }

    /// What does not hold.
    pub(crate) fn missing(&self, spec: &LinkSpec) -> Vec<ContainerFact> {
        let mut facts = container_facts(spec);
        facts.retain(|fact| !fact.holds(self));
        facts
    }

    /// Whether it is the other end of a host link.
    pub(crate) fn is_peer_of(&self, host: &Link) -> bool {
        host.peer == Some(self.end.link.index) && self.end.link.peer == Some(host.index)
    }
}

/// Reads the unicast routes of the main table out of one interface.
fn routes(socket: &mut Socket, index: u32) -> Result<Vec<ContainerRoute>, Error> {
    let mut message = RouteMessage::default();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
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

/// Writes facts of the container end, in one batch.
///
/// # Errors
/// The first fact the kernel refused.
pub(crate) fn write(socket: &mut Socket, index: u32, facts: &[ContainerFact]) -> Result<(), Error> {
    let requests: Vec<_> = facts.iter().map(|fact| fact.request(index)).collect();
    let results = socket.execute(&requests)?;
    for (fact, result) in facts.iter().zip(results) {
        match (fact, result) {
            (_, Ok(())) => {}
            // Another interface of the container has such a route: ours stands behind it.
            (ContainerFact::Route(route), Err(Refusal { errno: Errno::EXIST, .. })) => {
                let metric = SECOND_METRIC.saturating_add(index);
                let second = socket.ask(route.request(index, Some(metric)))?;
                second.map_err(|refusal| refused(fact, refusal))?;
            }
            (_, Err(refusal)) => return Err(refused(fact, refusal)),
        }
    }
    Ok(())
}

fn refused(fact: &ContainerFact, refusal: Refusal) -> Error {
    Error::refused(format!("container side: {fact}"), refusal)
}
