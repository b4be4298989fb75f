// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel shows of a link: read-only.

use std::collections::HashMap;
use std::net::IpAddr;

use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoKind, LinkAttribute, LinkExtentMask,
    LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::io::Errno;

use super::address::{self, Address};
use super::error::{Error, Refusal};
use super::marks::{Alias, DEAD_GROUP, LIVE_GROUP};
use super::neigh::{self, Neighbour};
use super::socket::{Request, Socket};
use crate::model::MacAddr;

/// A link's own attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) carrier: bool,
    pub(crate) mtu: u32,
    pub(crate) mac: Option<MacAddr>,
    pub(crate) group: u32,
    pub(crate) alias: Option<Alias>,
    /// Index of the other end, in its own namespace.
    pub(crate) peer: Option<u32>,
    /// Our number for the other end's namespace; none if it is the same namespace or gone.
    pub(crate) peer_netns: Option<i32>,
    pub(crate) inet: Option<Inet>,
    /// `None` when the kernel runs without IPv6.
    pub(crate) inet6: Option<Inet6>,
}

/// IPv4 switches of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inet {
    pub(crate) forwarding: bool,
    pub(crate) proxy_arp: bool,
}

/// IPv6 switches of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inet6 {
    pub(crate) disabled: bool,
    pub(crate) forwarding: bool,
    pub(crate) force_forwarding: bool,
    pub(crate) accept_ra: i32,
    pub(crate) proxy_ndp: bool,
    /// The kernel makes no link-local address by itself.
    pub(crate) generates_none: bool,
}

impl Link {
    /// Whether it serves a workload: our alias, other end in another namespace, not given up.
    pub(crate) fn is_alive(&self) -> bool {
        self.alias.is_some() && self.peer_netns.is_some() && self.group != DEAD_GROUP
    }

    /// Whether a process of ours was killed right after it made this link: it bears our group, but
    /// not yet an alias.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.alias.is_none() && self.group == LIVE_GROUP
    }

    pub(crate) fn decode(message: &LinkMessage) -> Option<Self> {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            mtu: 0,
            mac: None,
            group: 0,
            alias: None,
            peer: None,
            peer_netns: None,
            inet: None,
            inet6: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(mac) => {
                    link.mac = mac.as_slice().try_into().ok().map(MacAddr);
                }
                LinkAttribute::Group(group) => link.group = *group,
                LinkAttribute::IfAlias(alias) => link.alias = alias.parse().ok(),
                LinkAttribute::Link(peer) => link.peer = Some(*peer),
                // Negative: the kernel knows the other namespace, but has no number for it.
                LinkAttribute::LinkNetNsId(id) => link.peer_netns = Some(*id),
                LinkAttribute::AfSpecUnspec(families) => {
                    for family in families {
                        match family {
                            AfSpecUnspec::Inet(inet) => link.inet = decode_inet(inet),
                            AfSpecUnspec::Inet6(inet6) => link.inet6 = Some(decode_inet6(inet6)),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        (!link.name.is_empty()).then_some(link)
    }
}

fn decode_inet(attributes: &[AfSpecInet]) -> Option<Inet> {
    attributes.iter().find_map(|attribute| match attribute {
        AfSpecInet::DevConf(conf) => {
            Some(Inet { forwarding: conf.forwarding != 0, proxy_arp: conf.proxy_arp != 0 })
        }
        _ => None,
    })
}

fn decode_inet6(attributes: &[AfSpecInet6]) -> Inet6 {
    let mut inet6 = Inet6::default();
    for attribute in attributes {
        match attribute {
            AfSpecInet6::DevConf(conf) => {
                inet6.disabled = conf.disable_ipv6 != 0;
                inet6.forwarding = conf.forwarding != 0;
                inet6.force_forwarding = conf.force_forwarding != 0;
                inet6.accept_ra = conf.accept_ra;
                inet6.proxy_ndp = conf.proxy_ndp != 0;
            }
            AfSpecInet6::AddrGenMode(mode) => {
                inet6.generates_none = *mode == In6AddrGenMode::None;
            }
            _ => {}
        }
    }
    inet6
}

/// Reads one link by name; `None` if there is none.
///
/// # Errors
/// If the kernel gives another answer.
pub(crate) fn link_by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>, Error> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    one_link(socket, message, name)
}

/// Reads one link by index; `None` if there is none.
///
/// # Errors
/// If the kernel gives another answer.
pub(crate) fn link_by_index(socket: &mut Socket, index: u32) -> Result<Option<Link>, Error> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    one_link(socket, message, "interface by index")
}

fn one_link(
    socket: &mut Socket,
    mut message: LinkMessage,
    what: &str,
) -> Result<Option<Link>, Error> {
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    match socket.ask(Request::new(RouteNetlinkMessage::GetLink(message), 0))? {
        Ok(Some(RouteNetlinkMessage::NewLink(message))) => Ok(Link::decode(&message)),
        Ok(_) => Err(Error::Malformed("no link in the answer")),
        Err(Refusal { errno: Errno::NODEV, .. }) => Ok(None),
        Err(refusal) => Err(Error::refused(format!("read of {what}"), refusal)),
    }
}

/// Reads all links, or only those of one kind (such as veth).
///
/// # Errors
/// If the dump fails.
pub(crate) fn links(socket: &mut Socket, kind: Option<InfoKind>) -> Result<Vec<Link>, Error> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    message.attributes.extend(kind.map(|kind| LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])));
    let found = socket.dump("links", &RouteNetlinkMessage::GetLink(message))?;
    Ok(found
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(message) => Link::decode(message),
            _ => None,
        })
        .collect())
}

/// One end of a link with everything that hangs on it.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) link: Link,
    pub(crate) addresses: Vec<Address>,
    /// Permanent entries only.
    pub(crate) neighbours: Vec<Neighbour>,
    /// Proxy delay in milliseconds, IPv4 and IPv6; `None` if not known.
    pub(crate) proxy_delay: [Option<u64>; 2],
}

impl End {
    /// An end that was just made: nothing hangs on it.
    pub(crate) fn fresh(link: Link) -> Self {
        Self { link, addresses: Vec::new(), neighbours: Vec::new(), proxy_delay: [None; 2] }
    }

    /// Reads what hangs on a link.
    ///
    /// # Errors
    /// If a dump fails.
    pub(crate) fn read(socket: &mut Socket, link: Link) -> Result<Self, Error> {
        let index = Some(link.index);
        let addresses = address::dump(socket, index)?.into_iter().map(|(_, found)| found);
        let mut end = Self { addresses: addresses.collect(), ..Self::fresh(link) };
        end.neighbours = neigh::dump(socket, index)?.into_iter().map(|(_, found)| found).collect();
        for (slot, family) in end.proxy_delay.iter_mut().zip(FAMILIES) {
            let delays = neigh::proxy_delays(socket, family)?;
            *slot = delays.into_iter().find(|(found, _)| *found == end.link.index).map(|(_, d)| d);
        }
        Ok(end)
    }

    pub(crate) fn has_neighbour(&self, neighbour: &Neighbour) -> bool {
        self.neighbours.contains(neighbour)
    }

    /// The hardware address of the permanent neighbour of a family, if there is exactly one.
    pub(crate) fn only_neighbour(&self, of: impl Fn(&IpAddr) -> bool) -> Option<Neighbour> {
        let mut found = self.neighbours.iter().filter(|neighbour| of(&neighbour.address));
        let first = found.next().copied();
        if found.next().is_some() { None } else { first }
    }
}

const FAMILIES: [AddressFamily; 2] = [AddressFamily::Inet, AddressFamily::Inet6];

/// Reads everything that hangs on those of the links that serve a workload.
///
/// # Errors
/// If a dump fails.
pub(crate) fn living_ends(socket: &mut Socket, links: Vec<Link>) -> Result<Vec<End>, Error> {
    let mut ends: HashMap<u32, End> = links
        .into_iter()
        .filter(Link::is_alive)
        .map(|link| (link.index, End::fresh(link)))
        .collect();
    if ends.is_empty() {
        return Ok(Vec::new());
    }
    for (index, address) in address::dump(socket, None)? {
        if let Some(end) = ends.get_mut(&index) {
            end.addresses.push(address);
        }
    }
    for (index, neighbour) in neigh::dump(socket, None)? {
        if let Some(end) = ends.get_mut(&index) {
            end.neighbours.push(neighbour);
        }
    }
    for (place, family) in FAMILIES.into_iter().enumerate() {
        for (index, delay) in neigh::proxy_delays(socket, family)? {
            if let Some(end) = ends.get_mut(&index) {
                end.proxy_delay[place] = Some(delay);
            }
        }
    }
    Ok(ends.into_values().collect())
}
