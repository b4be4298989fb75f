// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads notifications. What cannot be read is about a kind of object that we do not make.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_REPLACE, NetlinkBuffer, ParseableParametrized};
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::kernel::address;
use crate::kernel::route::decode_key;
use crate::kernel::state::Link;
use crate::kernel::wire;
use crate::model::RouteKey;

/// RTM_NEWNETCONF, which netlink-packet-route does not know.
const NEW_NETCONF: u16 = 80;

/// Attributes of RTM_NEWNETCONF.
const CONF_INDEX: u16 = 1;
const CONF_FORWARDING: u16 = 2;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// One of our own sockets did it.
    pub(crate) own: bool,
    pub(crate) what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A link is new or changed.
    Link(Box<Link>),
    /// A link is gone.
    LinkGone(Box<Link>),
    /// An address came (`true`) or went.
    Address { index: u32, address: IpAddr, came: bool },
    /// A route came (`true`) or went.
    Route { key: RouteKey, protocol: u8, came: bool, replaces: bool, index: Option<u32> },
    /// A neighbour entry changed.
    Neighbour { index: u32, address: IpAddr },
    /// One switch of an interface was written; `index` is negative for those that stand for all.
    Switch { v6: bool, index: i32, forwarding: bool, off: bool },
}

/// Reads the notifications of one datagram. Of our own, only those of links matter: the eye has to
/// know all links.
pub(crate) fn read(datagram: &[u8], is_own: impl Fn(u32) -> bool, events: &mut Vec<Event>) {
    for part in wire::messages(datagram) {
        // The kernel sends whole messages.
        let Ok(part) = part else { return };
        let own = is_own(part.port_number());
        if own && !is_link(part.message_type()) {
            continue;
        }
        events.extend(decode(&part).map(|what| Event { own, what }));
    }
}

fn is_link(message_type: u16) -> bool {
    const NEW_LINK: u16 = 16;
    const DEL_LINK: u16 = 17;
    matches!(message_type, NEW_LINK | DEL_LINK)
}

fn decode(part: &NetlinkBuffer<&[u8]>) -> Option<What> {
    if part.message_type() == NEW_NETCONF {
        return switch(part.payload());
    }
    let message = RouteNetlinkMessage::parse_with_param(part.payload(), part.message_type());
    match message.ok()? {
        RouteNetlinkMessage::NewLink(link) => Some(What::Link(Box::new(Link::decode(&link)?))),
        RouteNetlinkMessage::DelLink(link) => Some(What::LinkGone(Box::new(Link::decode(&link)?))),
        RouteNetlinkMessage::NewAddress(message) => {
            let (index, found) = address::decode(&message)?;
            Some(What::Address { index, address: found.address, came: true })
        }
        RouteNetlinkMessage::DelAddress(message) => {
            let (index, found) = address::decode(&message)?;
            Some(What::Address { index, address: found.address, came: false })
        }
        RouteNetlinkMessage::NewRoute(route) => {
            route_event(&route, true, part.flags() & NLM_F_REPLACE != 0)
        }
        RouteNetlinkMessage::DelRoute(route) => route_event(&route, false, false),
        RouteNetlinkMessage::NewNeighbour(entry) | RouteNetlinkMessage::DelNeighbour(entry) => {
            neighbour(&entry)
        }
        _ => None,
    }
}

fn route_event(route: &RouteMessage, came: bool, replaces: bool) -> Option<What> {
    let index = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    });
    let protocol = u8::from(route.header.protocol);
    Some(What::Route { key: decode_key(route)?, protocol, came, replaces, index })
}

fn neighbour(entry: &NeighbourMessage) -> Option<What> {
    let address = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })?;
    Some(What::Neighbour { index: entry.header.ifindex, address })
}

/// One switch that was written; `None` for the list of all switches that comes with a new
/// interface.
fn switch(payload: &[u8]) -> Option<What> {
    let (family, mut attributes) = (*payload.first()?, payload.get(4..)?);
    let mut index = None;
    let mut value = None;
    while let Some((header, _)) = attributes.split_first_chunk::<4>() {
        let [a, b, c, d] = *header;
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let number = i32::from_ne_bytes(*attributes.get(4..length)?.first_chunk()?);
        match kind {
            CONF_INDEX => index = Some(number),
            // A second one: this is the list.
            _ if value.is_some() => return None,
            kind => value = Some((kind, number)),
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    let (kind, number) = value?;
    let v6 = family == u8::from(AddressFamily::Inet6);
    let forwarding = kind == CONF_FORWARDING;
    Some(What::Switch { v6, index: index?, forwarding, off: number == 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: i32) -> Vec<u8> {
        [&8u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &value.to_ne_bytes()].concat()
    }

    #[test]
    fn a_single_switch_is_read_and_a_new_interface_is_not() {
        let one = [vec![2, 0, 0, 0], attribute(1, 7), attribute(5, 0)].concat();
        let Some(What::Switch { v6: false, index: 7, forwarding: false, off: true }) = switch(&one)
        else {
            panic!("not read")
        };
        let all = [vec![2, 0, 0, 0], attribute(1, 7), attribute(3, 0), attribute(5, 0)].concat();
        assert!(switch(&all).is_none());
    }

    #[test]
    fn a_cut_switch_is_nothing() {
        let whole = [vec![10, 0, 0, 0], attribute(1, -1), attribute(2, 1)].concat();
        for end in 0..whole.len() {
            assert!(switch(&whole[..end]).is_none(), "{end}");
        }
        let Some(What::Switch { v6: true, index: -1, forwarding: true, off: false }) =
            switch(&whole)
        else {
            panic!("not read")
        };
    }
}
