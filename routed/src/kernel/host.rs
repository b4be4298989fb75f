// SPDX-License-Identifier: MIT OR Apache-2.0
//! What must hold at the host end of a workload's link, one fact each.
//!
//! The same list serves four purposes: making a link (every fact of a fresh end is missing),
//! repairing one (write what is missing), reading one back (nothing may be missing), and CNI CHECK
//! (report what is missing). The order of the list is the order of writing: switches before the
//! link goes up, addresses after.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{AfSpecUnspec, LinkAttribute};

use super::address::{self, Address};
use super::marks::{Alias, LIVE_GROUP};
use super::message;
use super::neigh::{self, Neighbour};
use super::proc::Switch;
use super::socket::Request;
use super::state::{End, Inet6};
use crate::model::{GATEWAY_V4, GATEWAY_V6, HOST_MAC, LinkSpec, MacAddr};

/// What the node's kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The kernel forwards IPv6 on all interfaces already.
    pub(crate) forwards_v6: bool,
    /// The kernel can forward IPv6 on single interfaces.
    pub(crate) force_forwarding: bool,
    /// /proc/sys/net may be written.
    pub(crate) writable: bool,
}

impl Offer {
    /// Looks at this node.
    pub(crate) fn read() -> Self {
        Self {
            forwards_v6: forwards_v6(),
            force_forwarding: Switch::ipv6("all", "force_forwarding").exists(),
            writable: Switch::ipv6("all", "accept_ra").is_writable(),
        }
    }

    /// Looks again at what can change while we run.
    pub(crate) fn refresh(&mut self) {
        self.forwards_v6 = forwards_v6();
    }
}

fn forwards_v6() -> bool {
    Switch::ipv6("all", "forwarding").read().is_ok_and(|value| value != 0)
}

/// One fact about the host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HostFact {
    Alias(Alias),
    Mac,
    Mtu(u32),
    Group,
    /// A router advertisement from the container must not change our routes.
    RefusesRa,
    Disabled6(bool),
    ProxyNdp,
    ForceForwarding,
    /// `proxy_arp` and `forwarding`.
    Inet,
    GeneratesNoAddress,
    NoProxyDelay(AddressFamily),
    Up,
    Address(Address),
    Neighbour(Neighbour),
    /// No permanent entry for an address that is not the workload's.
    NoNeighbour(IpAddr),
}

/// What does not hold at the host end.
pub(crate) fn missing(spec: &LinkSpec, end: &End, offer: Offer) -> Vec<HostFact> {
    let mut facts = host_facts(spec, end, offer);
    // A new hardware address flushes the neighbours.
    let flushes = !HostFact::Mac.holds(end, offer);
    facts.retain(|fact| {
        !fact.holds(end, offer) || (flushes && matches!(fact, HostFact::Neighbour(_)))
    });
    facts
}

/// What must hold at the host end.
fn host_facts(spec: &LinkSpec, end: &End, offer: Offer) -> Vec<HostFact> {
    let alias = Alias { id: spec.id.clone(), netns: spec.netns };
    let mut facts = vec![HostFact::Alias(alias), HostFact::Mac, HostFact::Mtu(spec.mtu)];
    facts.push(HostFact::Group);
    if end.link.inet6.is_some() {
        match spec.v6 {
            Some(_) => {
                facts.extend([HostFact::Disabled6(false), HostFact::RefusesRa]);
                if offer.writable {
                    facts.push(HostFact::ProxyNdp);
                    if offer.force_forwarding && !offer.forwards_v6 {
                        facts.push(HostFact::ForceForwarding);
                    }
                }
            }
            None if offer.writable => facts.push(HostFact::Disabled6(true)),
            None => facts.push(HostFact::RefusesRa),
        }
        facts.push(HostFact::GeneratesNoAddress);
    }
    if spec.v4.is_some() {
        facts.extend([HostFact::Inet, HostFact::NoProxyDelay(AddressFamily::Inet)]);
    }
    if spec.v6.is_some() {
        facts.push(HostFact::NoProxyDelay(AddressFamily::Inet6));
    }
    facts.push(HostFact::Up);
    if let Some(v4) = spec.v4 {
        facts.push(HostFact::Address(Address::link(IpAddr::V4(GATEWAY_V4), 32)));
        facts.push(neighbour(v4.into(), spec.mac));
    }
    if let Some(v6) = spec.v6 {
        facts.push(HostFact::Address(Address::link(IpAddr::V6(GATEWAY_V6), 64)));
        facts.push(neighbour(v6.into(), spec.mac));
    }
    let strays = end.neighbours.iter().map(|found| found.address);
    let is_stray = |address: &IpAddr| {
        Some(*address) != spec.v4.map(IpAddr::V4) && Some(*address) != spec.v6.map(IpAddr::V6)
    };
    facts.extend(strays.filter(is_stray).map(HostFact::NoNeighbour));
    facts
}

fn neighbour(address: IpAddr, mac: MacAddr) -> HostFact {
    HostFact::Neighbour(Neighbour { address, mac })
}

impl HostFact {
    /// Whether it holds.
    fn holds(&self, end: &End, offer: Offer) -> bool {
        let link = &end.link;
        let inet6 = |test: fn(&Inet6) -> bool| link.inet6.as_ref().is_some_and(test);
        match self {
            Self::Alias(alias) => link.alias.as_ref() == Some(alias),
            Self::Mac => link.mac == Some(HOST_MAC),
            Self::Mtu(mtu) => link.mtu == *mtu,
            Self::Group => link.group == LIVE_GROUP,
            // A forwarding interface ignores router advertisements unless told 2; where we may not
            // write, that has to do.
            Self::RefusesRa if offer.writable => inet6(|i| i.accept_ra == 0),
            Self::RefusesRa => inet6(|i| i.accept_ra == 0 || (i.accept_ra == 1 && i.forwarding)),
            Self::Disabled6(true) => inet6(|i| i.disabled),
            Self::Disabled6(false) => inet6(|i| !i.disabled),
            Self::ProxyNdp => inet6(|i| i.proxy_ndp),
            Self::ForceForwarding => inet6(|i| i.force_forwarding),
            Self::Inet => link.inet.is_some_and(|i| i.proxy_arp && i.forwarding),
            Self::GeneratesNoAddress => inet6(|i| i.generates_none),
            Self::NoProxyDelay(AddressFamily::Inet) => end.proxy_delay[0] == Some(0),
            Self::NoProxyDelay(_) => end.proxy_delay[1] == Some(0),
            Self::Up => link.up,
            Self::Address(wanted) => end.addresses.iter().any(|found| found.serves_as(wanted)),
            Self::Neighbour(wanted) => end.has_neighbour(wanted),
            Self::NoNeighbour(address) => !end.neighbours.iter().any(|n| n.address == *address),
        }
    }

    /// The switch to write for it, if it is one.
    pub(crate) fn switch(&self, interface: &str) -> Option<(Switch, i64)> {
        let (name, value) = match self {
            Self::RefusesRa => ("accept_ra", 0),
            Self::Disabled6(disabled) => ("disable_ipv6", i64::from(*disabled)),
            Self::ProxyNdp => ("proxy_ndp", 1),
            Self::ForceForwarding => ("force_forwarding", 1),
            _ => return None,
        };
        Some((Switch::ipv6(interface, name), value))
    }

    /// The attribute of the link that makes it hold, if it is one.
    fn attribute(&self) -> Option<LinkAttribute> {
        Some(match self {
            Self::Alias(alias) => LinkAttribute::IfAlias(alias.to_string()),
            Self::Mac => LinkAttribute::Address(HOST_MAC.0.to_vec()),
            Self::Mtu(mtu) => LinkAttribute::Mtu(*mtu),
            Self::Group => LinkAttribute::Group(LIVE_GROUP),
            _ => return None,
        })
    }

    /// The per-family attribute of the link that makes it hold, if it is one.
    fn family(&self) -> Option<AfSpecUnspec> {
        match self {
            Self::Inet => Some(message::inet()),
            Self::GeneratesNoAddress => Some(message::no_address()),
            _ => None,
        }
    }

    /// The request of its own to send for it, if it has one.
    fn request(&self, index: u32) -> Option<Request> {
        Some(match self {
            Self::NoProxyDelay(family) => neigh::no_proxy_delay(index, *family),
            Self::Up => message::set_up(index),
            Self::Address(address) => address::add(index, *address),
            Self::Neighbour(neighbour) => neigh::add(index, *neighbour),
            Self::NoNeighbour(address) => neigh::remove(index, *address),
            _ => return None,
        })
    }
}

/// The requests for missing facts of the host end, in order, each with its fact for people.
pub(crate) fn host_requests(missing: &[HostFact], index: u32) -> Vec<(Request, HostFact)> {
    let mut requests = Vec::new();
    // All attributes are one message: each makes the kernel walk its IPv6 routes.
    let mut attributes: Vec<_> = missing.iter().filter_map(HostFact::attribute).collect();
    let families: Vec<_> = missing.iter().filter_map(HostFact::family).collect();
    if !families.is_empty() {
        attributes.push(LinkAttribute::AfSpecUnspec(families));
    }
    let has_attribute = |fact: &&HostFact| fact.attribute().is_some() || fact.family().is_some();
    if let Some(first) = missing.iter().find(has_attribute) {
        requests.push((message::change(index, attributes), first.clone()));
    }
    requests.extend(missing.iter().filter_map(|fact| Some((fact.request(index)?, fact.clone()))));
    requests
}

impl fmt::Display for HostFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alias(alias) => write!(f, "alias {alias}"),
            Self::Mac => write!(f, "hardware address {HOST_MAC}"),
            Self::Mtu(mtu) => write!(f, "mtu {mtu}"),
            Self::Group => f.write_str("interface group"),
            Self::RefusesRa => f.write_str("accept_ra 0"),
            Self::Disabled6(true) => f.write_str("disable_ipv6 1"),
            Self::Disabled6(false) => f.write_str("disable_ipv6 0"),
            Self::ProxyNdp => f.write_str("proxy_ndp 1"),
            Self::ForceForwarding => f.write_str("IPv6 force_forwarding 1"),
            Self::Inet => f.write_str("IPv4 proxy_arp 1 and forwarding 1"),
            Self::GeneratesNoAddress => f.write_str("addr_gen_mode none"),
            Self::NoProxyDelay(AddressFamily::Inet) => f.write_str("IPv4 proxy_delay 0"),
            Self::NoProxyDelay(_) => f.write_str("IPv6 proxy_delay 0"),
            Self::Up => f.write_str("link up"),
            Self::Address(Address { address, prefix_len, .. }) => {
                write!(f, "address {address}/{prefix_len}")
            }
            Self::Neighbour(Neighbour { address, mac }) => {
                write!(f, "permanent neighbour {address} at {mac}")
            }
            Self::NoNeighbour(address) => write!(f, "no permanent neighbour {address}"),
        }
    }
}
