// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the node's own interfaces.

use std::collections::{BTreeSet, HashMap};

use netlink_packet_route::address::{AddressFlags, AddressScope};

use crate::kernel::address::{self, Address};
use crate::kernel::error::Error;
use crate::kernel::marks::DEAD_GROUP;
use crate::kernel::message::LOOPBACK;
use crate::kernel::socket::Socket;
use crate::kernel::state::{self, Link};
use crate::model::{InterfaceAddress, Uplink, Uplinks};

/// What the node's interfaces look like now. See [`Uplinks`] for which interfaces these are.
///
/// # Errors
/// If a dump fails.
pub(crate) fn read(socket: &mut Socket, configured: &[String]) -> Result<Uplinks, Error> {
    let mut links = state::links(socket, None)?;
    links.retain(|link| !is_workload(link));
    links.sort_by_key(|link| link.index);
    let mut addresses: HashMap<u32, Vec<InterfaceAddress>> =
        links.iter().map(|link| (link.index, Vec::new())).collect();
    let mut local = BTreeSet::new();
    for (index, found) in address::dump(socket, None)? {
        // An interface that came between the two dumps is told of by an event of its own.
        if let Some(list) = addresses.get_mut(&index) {
            list.push(interface_address(&found));
            // Nothing can be sent from it before the kernel knows that nobody else has it.
            if !found.is_doubtful() {
                local.insert(found.address);
            }
        }
    }
    let loopback = addresses.remove(&LOOPBACK).unwrap_or_default();
    let mut uplink = |link: &Link| Uplink {
        name: link.name.clone(),
        index: link.index,
        up: link.up && link.carrier,
        mtu: link.mtu,
        addresses: addresses.remove(&link.index).unwrap_or_default(),
    };
    let interfaces = if configured.is_empty() {
        links.iter().filter(|link| link.index != LOOPBACK).map(uplink).collect()
    } else {
        let named = |name: &String| links.iter().find(|link| link.name == *name);
        configured.iter().filter_map(named).map(&mut uplink).collect()
    };
    Ok(Uplinks { loopback, interfaces, local })
}

fn is_workload(link: &Link) -> bool {
    link.alias.is_some() || link.is_unfinished() || link.group == DEAD_GROUP
}

fn interface_address(found: &Address) -> InterfaceAddress {
    let unusable = AddressFlags::Secondary
        | AddressFlags::Tentative
        | AddressFlags::Deprecated
        | AddressFlags::Dadfailed;
    InterfaceAddress {
        address: found.address,
        prefix_len: found.prefix_len,
        global: found.scope == AddressScope::Universe,
        secondary: found.flags.intersects(unusable),
    }
}
