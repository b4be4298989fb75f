// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a burst of events means. Pure.
//!
//! A burst is looked at in two passes: links first. Giving a link up removes its routes, addresses
//! and neighbours, and the kernel tells of these before it tells that the link is dead; after the
//! first pass they explain themselves.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::event::{Event, What};
use crate::kernel::marks::{DEAD_GROUP, PROTOCOL_LEARNED, PROTOCOL_LOCAL};
use crate::kernel::message::LOOPBACK;
use crate::kernel::state::Link;
use crate::model::{GATEWAY_V4, GATEWAY_V6, LinkKey, RouteKey};

/// Where to look again.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) links: HashSet<LinkKey>,
    pub(crate) routes: HashSet<RouteKey>,
    pub(crate) all_routes: bool,
    pub(crate) uplinks: bool,
    pub(crate) switches: bool,
    /// Nothing that was known is reliable.
    pub(crate) everything: bool,
}

impl Findings {
    /// After notifications were lost.
    pub(crate) fn everything() -> Self {
        Self {
            all_routes: true,
            uplinks: true,
            switches: true,
            everything: true,
            ..Self::default()
        }
    }
}

/// Knows every link, and which notifications are echoes of our own writes.
#[derive(Debug)]
pub(crate) struct Eye {
    own_ports: Vec<u32>,
    configured: Vec<String>,
    links: HashMap<u32, Link>,
}

/// What an interface is to us.
enum Owner {
    /// A workload's, in service.
    Workload(LinkKey),
    /// A workload's, given up.
    Dead,
    /// The node's, or not known.
    Node,
}

impl Eye {
    /// `configured` are the names of the uplinks; empty means that any interface may be one.
    pub(crate) fn new(own_ports: &[u32], configured: &[String], links: Vec<Link>) -> Self {
        let mut eye = Self {
            own_ports: own_ports.to_vec(),
            configured: configured.to_vec(),
            links: HashMap::new(),
        };
        eye.replace(links);
        eye
    }

    /// Takes over what a dump of all links showed.
    pub(crate) fn replace(&mut self, links: Vec<Link>) {
        self.links = links.into_iter().map(|link| (link.index, link)).collect();
    }

    /// Whether a port is that of one of our own sockets.
    pub(crate) fn is_own(&self, port: u32) -> bool {
        self.own_ports.contains(&port)
    }

    /// Looks at a burst.
    pub(crate) fn look(&mut self, burst: &[Event], findings: &mut Findings) {
        for event in burst {
            match &event.what {
                What::Link(link) => self.on_link(link, event.own, findings),
                What::LinkGone(link) => self.on_link_gone(link, event.own, findings),
                _ => {}
            }
        }
        for event in burst.iter().filter(|event| !event.own) {
            self.on_object(&event.what, findings);
        }
    }

    fn on_link(&mut self, link: &Link, own: bool, findings: &mut Findings) {
        let before = self.links.insert(link.index, link.clone());
        if own {
            return;
        }
        let was_ours = before.as_ref().is_some_and(|before| before.alias.is_some());
        if link.alias.is_some() || was_ours {
            if link.group != DEAD_GROUP && !is_expected(before.as_ref(), link) {
                findings.links.insert(LinkKey(link.name.clone()));
                // Renamed: the old name is missing now.
                findings.links.extend(before.map(|before| LinkKey(before.name)));
            }
            return;
        }
        if self.may_be_uplink(link) || before.as_ref().is_some_and(|b| self.may_be_uplink(b)) {
            findings.uplinks |= before.as_ref() != Some(link);
            findings.all_routes |= before.is_some_and(|before| before.up) != link.up;
        }
    }

    fn may_be_uplink(&self, link: &Link) -> bool {
        link.index != LOOPBACK
            && (self.configured.is_empty() || self.configured.contains(&link.name))
    }

    fn on_link_gone(&mut self, link: &Link, own: bool, findings: &mut Findings) {
        let before = self.links.remove(&link.index);
        if own {
            return;
        }
        if link.alias.is_some() {
            if link.group != DEAD_GROUP {
                findings.links.insert(LinkKey(link.name.clone()));
            }
        } else if self.may_be_uplink(link) {
            findings.uplinks = true;
            findings.all_routes |= before.is_some_and(|before| before.up);
        }
    }

    fn on_object(&self, what: &What, findings: &mut Findings) {
        match what {
            What::Link(_) | What::LinkGone(_) => {}
            What::Address { index, address, came } => match self.owner(*index) {
                // The kernel does not say who added an IPv6 address.
                Owner::Workload(_)
                    if *came && (*address == GATEWAY_V4 || *address == GATEWAY_V6) => {}
                Owner::Workload(key) => {
                    findings.links.insert(key);
                }
                Owner::Dead => {}
                Owner::Node => findings.uplinks = true,
            },
            What::Route { key, protocol, came, replaces, index } => {
                let ours = matches!(*protocol, PROTOCOL_LOCAL | PROTOCOL_LEARNED);
                let dead = index.is_some_and(|index| matches!(self.owner(index), Owner::Dead));
                // A foreign route matters only if it took a place that may have been ours.
                let matters = if ours { *came || !dead } else { *came && *replaces };
                if matters {
                    findings.routes.insert(*key);
                }
            }
            What::Neighbour { index, address } => {
                if let Owner::Workload(key) = self.owner(*index)
                    && !is_chatter(*address)
                {
                    findings.links.insert(key);
                }
            }
            What::Switch { v6, index, forwarding, off } => {
                let owner = u32::try_from(*index).map_or(Owner::Node, |index| self.owner(index));
                match owner {
                    // Single workload links forward IPv6 by a switch of their own, or by the
                    // node's.
                    Owner::Workload(key) if *off && !(*v6 && *forwarding) => {
                        findings.links.insert(key);
                    }
                    Owner::Workload(_) | Owner::Dead => {}
                    Owner::Node => findings.switches |= *off,
                }
            }
        }
    }

    fn owner(&self, index: u32) -> Owner {
        match self.links.get(&index) {
            Some(link) if link.group == DEAD_GROUP => Owner::Dead,
            Some(link) if link.alias.is_some() || link.is_unfinished() => {
                Owner::Workload(LinkKey(link.name.clone()))
            }
            _ => Owner::Node,
        }
    }
}

/// Whether a change of a workload's link is no news. The kernel does not say who changed a link;
/// but it is we who give it an alias and take it up.
fn is_expected(before: Option<&Link>, link: &Link) -> bool {
    let Some(before) = before else { return false };
    if before.is_unfinished() {
        return link.is_alive() && link.up;
    }
    // What only says whether packets flow needs no repair.
    Link { carrier: link.carrier, up: before.up || link.up, ..before.clone() } == *link
}

/// Whether a neighbour's address is one that the kernel learns and forgets by itself.
fn is_chatter(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local() || v6.is_multicast())
}

#[cfg(test)]
mod tests;
