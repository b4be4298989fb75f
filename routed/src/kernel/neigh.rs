// SPDX-License-Identifier: MIT OR Apache-2.0
//! Permanent neighbours, and the one parameter of a neighbour table that we set.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::neighbour_table::{
    NeighbourTableAttribute, NeighbourTableMessage, NeighbourTableParameter,
};
use netlink_packet_route::route::{RouteProtocol, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::Error;
use super::marks::PROTOCOL_LOCAL;
use super::socket::{Request, Socket};
use crate::model::MacAddr;

/// A neighbour entry of one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) address: IpAddr,
    pub(crate) mac: MacAddr,
}

/// Address family of an address.
pub(crate) fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// Adds or overwrites a permanent entry.
pub(crate) fn add(index: u32, neighbour: Neighbour) -> Request {
    let mut message = message(index, neighbour.address);
    message.header.state = NeighbourState::Permanent;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(neighbour.mac.0.to_vec()));
    message.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::from(PROTOCOL_LOCAL)));
    Request::new(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Removes an entry.
pub(crate) fn remove(index: u32, address: IpAddr) -> Request {
    Request::new(RouteNetlinkMessage::DelNeighbour(message(index, address)), 0)
}

fn message(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(NeighbourAttribute::Destination(address.into()));
    message
}

/// Reads the permanent entries, of one interface or of all: `(interface index, entry)`.
///
/// # Errors
/// If the dump fails.
pub(crate) fn dump(
    socket: &mut Socket,
    index: Option<u32>,
) -> Result<Vec<(u32, Neighbour)>, Error> {
    let mut message = NeighbourMessage::default();
    message.attributes.extend(index.map(NeighbourAttribute::IfIndex));
    let found = socket.dump("neighbours", &RouteNetlinkMessage::GetNeighbour(message))?;
    Ok(found
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewNeighbour(message) => decode(message),
            _ => None,
        })
        // An old kernel ignores the filter.
        .filter(|(found, _)| index.is_none_or(|index| index == *found))
        .collect())
}

/// A permanent entry with an address of either family; anything else is none of ours.
fn decode(message: &NeighbourMessage) -> Option<(u32, Neighbour)> {
    if message.header.state != NeighbourState::Permanent
        || message.header.flags.contains(NeighbourFlags::Proxy)
    {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok().map(MacAddr);
            }
            _ => {}
        }
    }
    Some((message.header.ifindex, Neighbour { address: address?, mac: mac? }))
}

/// Sets how long the kernel waits before it answers for somebody else, to nothing.
///
/// The default of 0.8 s delays the first packet of every container at random.
pub(crate) fn no_proxy_delay(index: u32, family: AddressFamily) -> Request {
    let name = if family == AddressFamily::Inet { "arp_cache" } else { "ndisc_cache" };
    let mut message = NeighbourTableMessage::default();
    message.header.family = family;
    message.attributes = vec![
        NeighbourTableAttribute::Name(name.to_owned()),
        NeighbourTableAttribute::Parms(vec![
            NeighbourTableParameter::Ifindex(index),
            NeighbourTableParameter::ProxyDelay(0),
        ]),
    ];
    Request::new(RouteNetlinkMessage::SetNeighbourTable(message), 0)
}

/// Reads the proxy delay of every interface: `(interface index, milliseconds)`.
///
/// # Errors
/// If the dump fails.
pub(crate) fn proxy_delays(
    socket: &mut Socket,
    family: AddressFamily,
) -> Result<Vec<(u32, u64)>, Error> {
    let mut message = NeighbourTableMessage::default();
    message.header.family = family;
    let found =
        socket.dump("neighbour tables", &RouteNetlinkMessage::GetNeighbourTable(message))?;
    let mut delays = Vec::new();
    for message in &found {
        let RouteNetlinkMessage::NewNeighbourTable(message) = message else { continue };
        if message.header.family != family {
            continue;
        }
        for attribute in &message.attributes {
            let NeighbourTableAttribute::Parms(parameters) = attribute else { continue };
            let mut index = None;
            let mut delay = None;
            for parameter in parameters {
                match parameter {
                    NeighbourTableParameter::Ifindex(value) => index = Some(*value),
                    NeighbourTableParameter::ProxyDelay(value) => delay = Some(*value),
                    _ => {}
                }
            }
            delays.extend(index.zip(delay));
        }
    }
    Ok(delays)
}
