// SPDX-License-Identifier: MIT OR Apache-2.0
//! The container end of a link, seen and written through a socket that was opened inside: what must
//! hold there, one fact each, in the order of writing.

mod route;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::link::LinkAttribute;
use rustix::io::Errno;

use super::address::{self, Address};
use super::error::Error;
use super::message::{self, LOOPBACK};
use super::neigh::{self, Neighbour};
use super::socket::{Request, Socket};
use super::state::{self, End, Link};
use crate::model::{GATEWAY_V4, GATEWAY_V6, HOST_MAC, LinkSpec, MacAddr};

pub(crate) use route::{ContainerRoute, routes};

/// Metric of a second interface's routes: behind the first one's, which have none.
const SECOND_METRIC: u32 = 1024;

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
        // A new hardware address flushes the neighbours.
        let flushes = !ContainerFact::Mac(spec.mac).holds(self);
        facts.retain(|fact| {
            !fact.holds(self) || (flushes && matches!(fact, ContainerFact::Neighbour(_)))
        });
        facts
    }

    /// Whether it is the other end of a host link.
    pub(crate) fn is_peer_of(&self, host: &Link) -> bool {
        host.peer == Some(self.end.link.index) && self.end.link.peer == Some(host.index)
    }
}

/// One fact about the container end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContainerFact {
    Mac(MacAddr),
    Mtu(u32),
    GeneratesNoAddress,
    LoopbackUp,
    Up,
    Address(Address),
    Route(ContainerRoute),
    Neighbour(Neighbour),
}

/// What must hold at the container end.
pub(crate) fn container_facts(spec: &LinkSpec) -> Vec<ContainerFact> {
    use ContainerFact as Fact;
    let mut facts = vec![Fact::Mac(spec.mac), Fact::Mtu(spec.mtu)];
    if spec.v6.is_some() {
        facts.push(Fact::GeneratesNoAddress);
    }
    facts.extend([Fact::LoopbackUp, Fact::Up]);
    if let Some(v4) = spec.v4 {
        facts.push(Fact::Address(Address::global(v4.into(), 32)));
    }
    if let Some(v6) = spec.v6 {
        facts.push(Fact::Address(Address::link(link_local(spec.mac).into(), 64)));
        facts.push(Fact::Address(Address::global(v6.into(), 128)));
    }
    if spec.v4.is_some() {
        let gateway = IpAddr::V4(GATEWAY_V4);
        facts.push(Fact::Route(ContainerRoute::on_link(gateway)));
        facts.push(Fact::Route(ContainerRoute::default_via(gateway)));
        facts.push(Fact::Neighbour(Neighbour { address: gateway, mac: HOST_MAC }));
    }
    if spec.v6.is_some() {
        let gateway = IpAddr::V6(GATEWAY_V6);
        facts.push(Fact::Route(ContainerRoute::default_via(gateway)));
        facts.push(Fact::Neighbour(Neighbour { address: gateway, mac: HOST_MAC }));
    }
    facts
}

/// The link-local address the kernel would have made of a hardware address; added by us, because
/// the kernel's own comes with a second of duplicate address detection.
fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

impl ContainerFact {
    /// Whether it holds.
    pub(crate) fn holds(&self, container: &Container) -> bool {
        let end = &container.end;
        match self {
            Self::Mac(mac) => end.link.mac == Some(*mac),
            Self::Mtu(mtu) => end.link.mtu == *mtu,
            Self::GeneratesNoAddress => end.link.inet6.is_some_and(|i| i.generates_none),
            Self::LoopbackUp => container.loopback_up,
            Self::Up => end.link.up,
            Self::Address(wanted) => end.addresses.iter().any(|found| found.serves_as(wanted)),
            Self::Route(wanted) => container.routes.contains(wanted),
            Self::Neighbour(wanted) => end.has_neighbour(wanted),
        }
    }

    /// The request to send for it.
    pub(crate) fn request(&self, index: u32) -> Request {
        let change = |attribute| message::change(index, vec![attribute]);
        match self {
            Self::Mac(mac) => change(LinkAttribute::Address(mac.0.to_vec())),
            Self::Mtu(mtu) => change(LinkAttribute::Mtu(*mtu)),
            Self::GeneratesNoAddress => {
                change(LinkAttribute::AfSpecUnspec(vec![message::no_address()]))
            }
            Self::LoopbackUp => message::set_up(message::LOOPBACK),
            Self::Up => message::set_up(index),
            Self::Address(address) => address::add(index, *address),
            Self::Route(route) => route.request(index, None),
            Self::Neighbour(neighbour) => neigh::add(index, *neighbour),
        }
    }
}

impl fmt::Display for ContainerFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "hardware address {mac}"),
            Self::Mtu(mtu) => write!(f, "mtu {mtu}"),
            Self::GeneratesNoAddress => f.write_str("addr_gen_mode none"),
            Self::LoopbackUp => f.write_str("loopback up"),
            Self::Up => f.write_str("link up"),
            Self::Address(Address { address, prefix_len, .. }) => {
                write!(f, "address {address}/{prefix_len}")
            }
            Self::Route(route) => route.fmt(f),
            Self::Neighbour(Neighbour { address, mac }) => {
                write!(f, "permanent neighbour {address} at {mac}")
            }
        }
    }
}

/// Writes facts of the container end, in one batch.
///
/// # Errors
/// The first fact the kernel refused.
pub(crate) fn write(socket: &mut Socket, index: u32, facts: &[ContainerFact]) -> Result<(), Error> {
    let requests: Vec<_> = facts.iter().map(|fact| fact.request(index)).collect();
    let results = socket.execute(&requests)?;
    let failed: Vec<_> = facts
        .iter()
        .zip(results)
        .filter_map(|(fact, result)| Some((fact, result.err()?)))
        .collect();
    // Another interface of the container has such routes: ours stand behind them.
    let is_second = failed.iter().any(|(fact, refusal)| {
        matches!(fact, ContainerFact::Route(_)) && refusal.errno == Errno::EXIST
    });
    let metric = SECOND_METRIC.saturating_add(index);
    for (fact, refusal) in failed {
        let refusal = match (fact, refusal.errno) {
            (ContainerFact::Route(route), Errno::EXIST | Errno::NETUNREACH) if is_second => {
                socket.ask(route.request(index, Some(metric)))?.err()
            }
            _ => Some(refusal),
        };
        if let Some(refusal) = refusal {
            return Err(Error::refused(format!("container side: {fact}"), refusal));
        }
    }
    Ok(())
}
