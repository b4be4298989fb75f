// SPDX-License-Identifier: MIT OR Apache-2.0
//! Interface addresses.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::Error;
use super::neigh::family;
use super::socket::{Request, Socket};

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) address: IpAddr,
    pub(crate) prefix_len: u8,
    pub(crate) scope: AddressScope,
    pub(crate) flags: AddressFlags,
}

impl Address {
    /// Scope global.
    pub(crate) fn global(address: IpAddr, prefix_len: u8) -> Self {
        Self { address, prefix_len, scope: AddressScope::Universe, flags: AddressFlags::empty() }
    }

    /// Scope link.
    pub(crate) fn link(address: IpAddr, prefix_len: u8) -> Self {
        Self { scope: AddressScope::Link, ..Self::global(address, prefix_len) }
    }

    /// Whether it is the same address on the same subnet with the same scope, and usable.
    pub(crate) fn serves_as(&self, wanted: &Self) -> bool {
        self.address == wanted.address
            && self.prefix_len == wanted.prefix_len
            && self.scope == wanted.scope
            && !self.is_doubtful()
    }

    /// Whether the kernel does not know yet, or knows better than, that nobody else has it.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed)
    }
}

/// Adds an address; IPv6 without duplicate address detection, which would take a second or two.
pub(crate) fn add(index: u32, address: Address) -> Request {
    let mut message = AddressMessage::default();
    message.header.family = family(address.address);
    message.header.prefix_len = address.prefix_len;
    message.header.scope = address.scope;
    message.header.index = index;
    if address.address.is_ipv6() {
        message.header.flags = AddressHeaderFlags::Nodad;
    }
    message.attributes.push(AddressAttribute::Local(address.address));
    message.attributes.push(AddressAttribute::Address(address.address));
    Request::new(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Reads addresses, of one interface or of all: `(interface index, address)`.
///
/// # Errors
/// If the dump fails.
pub(crate) fn dump(socket: &mut Socket, index: Option<u32>) -> Result<Vec<(u32, Address)>, Error> {
    let mut message = AddressMessage::default();
    message.header.index = index.unwrap_or(0);
    let found = socket.dump("addresses", &RouteNetlinkMessage::GetAddress(message))?;
    Ok(found
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(message) => decode(message),
            _ => None,
        })
        .filter(|(found, _)| index.is_none_or(|index| index == *found))
        .collect())
}

/// An address of either family.
pub(crate) fn decode(message: &AddressMessage) -> Option<(u32, Address)> {
    let header = &message.header;
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return None;
    }
    let mut local = None;
    let mut peer = None;
    let mut flags = AddressFlags::from_bits_retain(u32::from(header.flags.bits()));
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => peer = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let address = local.or(peer)?;
    let prefix_len = header.prefix_len;
    Some((header.index, Address { address, prefix_len, scope: header.scope, flags }))
}
