// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel does after its answer.
//!
//! A host end that is up before the other end drops what it is to send until the kernel's link watch
//! has seen the carrier, and an IPv6 address is not the container's own until the kernel's address
//! work has run. Both run a little later on threads of the kernel, under the lock that a read of a
//! link takes as well: to read until they have run is to stand in line behind them.

use std::net::Ipv6Addr;

use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage, State};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::error::{Error, Refusal};
use super::socket::{Request, Socket};

/// How often it is looked; once or twice is usual.
const LOOKS: usize = 2000;

/// Waits until a host end sends and the container takes packets to its address; false if that takes
/// too long.
///
/// # Errors
/// If a read fails.
pub(crate) fn wait(
    (node, host_end): (&mut Socket, u32),
    (container, v6): (&mut Socket, Option<Ipv6Addr>),
) -> Result<bool, Error> {
    for _ in 0..LOOKS {
        let is_own = match v6 {
            Some(address) => is_own(container, address)?,
            None => true,
        };
        if is_own && sends(node, host_end)? {
            return Ok(true);
        }
        rustix::thread::sched_yield();
    }
    Ok(false)
}

/// Whether a link is operational: the kernel says so in the step in which it begins to send.
fn sends(socket: &mut Socket, index: u32) -> Result<bool, Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    match socket.ask(Request::new(RouteNetlinkMessage::GetLink(message), 0))? {
        Ok(Some(RouteNetlinkMessage::NewLink(message))) => Ok(message
            .attributes
            .iter()
            .any(|attribute| matches!(attribute, LinkAttribute::OperState(State::Up)))),
        Ok(_) => Err(Error::Malformed("no link in the answer")),
        Err(refusal) => Err(Error::refused("read of the host end", refusal)),
    }
}

/// Whether packets to an address would be taken here.
fn is_own(socket: &mut Socket, address: Ipv6Addr) -> Result<bool, Error> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = 128;
    message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(address)));
    match socket.ask(Request::new(RouteNetlinkMessage::GetRoute(message), 0))? {
        Ok(Some(RouteNetlinkMessage::NewRoute(message))) => {
            Ok(message.header.kind == RouteType::Local)
        }
        Ok(_) => Err(Error::Malformed("no route in the answer")),
        Err(Refusal { errno: Errno::NETUNREACH | Errno::HOSTUNREACH, .. }) => Ok(false),
        Err(refusal) => Err(Error::refused("look-up of the container's address", refusal)),
    }
}
