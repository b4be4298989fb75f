// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workload links as a reconciler's target.
//!
//! A link is a veth pair. Its host end is ours for good and is read back completely by a dump:
//! attributes, switches, address, neighbours. Its container end is seen only while we hold a socket
//! in the container's namespace, that is, while an ADD or CHECK runs.
//!
//! Invariants:
//! - a link without our mark is never written, whatever its name;
//! - a link whose host end lacks anything is reported with MTU 0, which no wish carries, so it is
//!   written again; a complete one is reported as exactly the wish that made it, so a restart
//!   writes nothing;
//! - a write of a link reads it first and sends only what is missing.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp::types::Prefix;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::InfoKind;
use reconcile::{Batch, Drift, Failure, FailureKind, Hints, Outcome, Target};
use rustix::io::Errno;

use super::container::{self, Container};
use super::effect;
use super::error::{Error, Refusal};
use super::handover::{self, ContainerHandles, Handover};
use super::host::{self, HostFact, Offer};
use super::marks::Alias;
use super::message;
use super::reaper::{self, Bell};
use super::socket::{Socket, SocketStats};
use super::state::{self, End, Link};
use crate::model::{LinkKey, LinkSpec, MacAddr, NetnsId, RouteKey};

/// The links of this node's workloads.
#[derive(Debug)]
pub struct LinkTarget {
    socket: Socket,
    handover: Handover,
    handles: HashMap<LinkKey, ContainerHandles>,
    bell: Bell,
    routes: Hints<RouteKey>,
    home: NetnsId,
    offer: Offer,
}

impl LinkTarget {
    /// Links of the calling thread's namespace. Handles come through `handover`; `bell` wakes the
    /// reaper; `routes` are hinted at when a link had to be repaired: it may have been down, and the
    /// kernel drops the IPv4 routes of a link that goes down without a word.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn new(handover: Handover, bell: Bell, routes: Hints<RouteKey>) -> Result<Self, Error> {
        let socket = Socket::open()?;
        let home = handover::identify(handover::namespace_of(&socket)?)?;
        let (handles, offer) = (HashMap::new(), Offer::read());
        Ok(Self { socket, handover, handles, bell, routes, home, offer })
    }

    /// The port of its socket: a monitor ignores what it does.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// How much its socket has been used.
    pub fn stats(&self) -> SocketStats {
        self.socket.stats()
    }

    fn put(&mut self, key: &LinkKey, spec: &LinkSpec) -> Outcome {
        let mut handles = self.handles.remove(key);
        let outcome = match self.try_put(spec, handles.as_mut()) {
            Ok(outcome) => outcome,
            Err(error) => error.outcome(),
        };
        // A try that may succeed by itself keeps the handles; else they are closed now.
        if let Outcome::Failed(Failure { kind: FailureKind::Retry | FailureKind::Resync, .. }) =
            outcome
            && let Some(handles) = handles
        {
            self.handles.insert(key.clone(), handles);
        }
        outcome
    }

    fn try_put(
        &mut self,
        spec: &LinkSpec,
        handles: Option<&mut ContainerHandles>,
    ) -> Result<Outcome, Error> {
        if let Some(refused) = self.refuse(spec) {
            return Ok(failed(FailureKind::Fatal, refused));
        }
        // Handles of another namespace belong to another value of this link.
        let handles = handles.filter(|handles| handles.id() == spec.netns);
        let alias = Alias { id: spec.id.clone(), netns: spec.netns };
        if let Some(link) = state::link_by_name(&mut self.socket, &spec.host_interface)? {
            if link.alias.is_none() && !link.is_unfinished() {
                let reason = format!("interface {} exists and is not ours", link.name);
                return Ok(failed(FailureKind::Fatal, reason));
            }
            if link.is_alive() && link.alias.as_ref() == Some(&alias) {
                return self.repair(spec, link, handles);
            }
            self.remove(&link)?;
        }
        match handles {
            Some(handles) => self.create(spec, handles),
            None => Ok(failed(FailureKind::Gone, "no link, and no handle of the container")),
        }
    }

    /// Why a wish can never be fulfilled here.
    fn refuse(&self, spec: &LinkSpec) -> Option<&'static str> {
        if spec.netns == self.home {
            return Some("the container's namespace is the node's own");
        }
        if !(Alias { id: spec.id.clone(), netns: spec.netns }).fits() {
            return Some("the workload's identity is too long for an interface alias");
        }
        None
    }

    /// Makes a link and everything on it; leaves nothing behind when that fails.
    fn create(
        &mut self,
        spec: &LinkSpec,
        handles: &mut ContainerHandles,
    ) -> Result<Outcome, Error> {
        let link = match self.make_pair(spec, handles)? {
            Ok(link) => link,
            Err(outcome) => return Ok(outcome),
        };
        let done = self.equip(spec, &link, handles);
        if !matches!(done, Ok(Outcome::Applied)) {
            self.bury(&link)?;
        }
        done
    }

    /// Both ends, bare. A dead link may still hold a name in either namespace: reap, then retry.
    fn make_pair(
        &mut self,
        spec: &LinkSpec,
        handles: &mut ContainerHandles,
    ) -> Result<Result<Link, Outcome>, Error> {
        let mut reaped = false;
        loop {
            let request = message::create(spec, handles.netns());
            match self.socket.ask(request)? {
                Ok(Some(RouteNetlinkMessage::NewLink(message))) => {
                    let link = Link::decode(&message);
                    return link.map(Ok).ok_or(Error::Malformed("no name in the echo"));
                }
                Ok(_) => return Err(Error::Malformed("no echo of a new link")),
                Err(Refusal { errno: Errno::EXIST, .. }) if !reaped => {
                    reaper::reap(&mut self.socket)?;
                    reaped = true;
                }
                Err(refusal) if refusal.errno == Errno::EXIST => {
                    return self.name_taken(spec, handles).map(Err);
                }
                Err(refusal) => return Err(Error::refused("creation of the link", refusal)),
            }
        }
    }

    /// Whose name is taken, in the words of the container's owner.
    fn name_taken(
        &mut self,
        spec: &LinkSpec,
        handles: &mut ContainerHandles,
    ) -> Result<Outcome, Error> {
        let name = &spec.container_interface;
        if state::link_by_name(handles.socket(), name)?.is_some() {
            let reason = format!("interface {name} already exists in the container");
            return Ok(failed(FailureKind::Fatal, reason));
        }
        Ok(failed(FailureKind::Retry, format!("interface {} exists", spec.host_interface)))
    }

    /// Everything on a pair that was just made: first the host end, so that nothing can come in
    /// before it is closed to router advertisements; the container end goes up last.
    fn equip(
        &mut self,
        spec: &LinkSpec,
        link: &Link,
        handles: &mut ContainerHandles,
    ) -> Result<Outcome, Error> {
        let end = End::fresh(link.clone());
        if let Some(outcome) = self.write_host(spec, &end)? {
            return Ok(outcome);
        }
        let peer = link.peer.ok_or(Error::Malformed("no peer in the echo of a new link"))?;
        // Both ends were made with these.
        let mut facts = container::container_facts(spec);
        facts.retain(|f| {
            !matches!(f, container::ContainerFact::Mac(_) | container::ContainerFact::Mtu(_))
        });
        container::write(handles.socket(), peer, &facts)?;
        self.settle(spec, link.index, handles)
    }

    /// Waits until everything that was written has its effect.
    fn settle(
        &mut self,
        spec: &LinkSpec,
        index: u32,
        handles: &mut ContainerHandles,
    ) -> Result<Outcome, Error> {
        if effect::wait((&mut self.socket, index), (handles.socket(), spec.v6))? {
            return Ok(Outcome::Applied);
        }
        Ok(failed(FailureKind::Retry, "the kernel has not put the link in operation yet"))
    }

    /// Writes what a living link lacks; its container end only if we have handles.
    fn repair(
        &mut self,
        spec: &LinkSpec,
        link: Link,
        handles: Option<&mut ContainerHandles>,
    ) -> Result<Outcome, Error> {
        let end = End::read(&mut self.socket, link)?;
        if !host::missing(spec, &end, self.offer).is_empty() {
            self.suspect_routes(spec);
        }
        if let Some(outcome) = self.write_host(spec, &end)? {
            return Ok(outcome);
        }
        let Some(handles) = handles else { return Ok(Outcome::Applied) };
        match Container::read(handles.socket(), &spec.container_interface)? {
            Some(container) if container.is_peer_of(&end.link) => {
                let missing = container.missing(spec);
                container::write(handles.socket(), container.end.link.index, &missing)?;
                self.settle(spec, end.link.index, handles)
            }
            // The container renamed or moved its end; there is no way back but a new link.
            _ => {
                self.remove(&end.link)?;
                self.create(spec, handles)
            }
        }
    }

    /// Writes what the host end lacks; an outcome only if it cannot be had.
    fn write_host(&mut self, spec: &LinkSpec, end: &End) -> Result<Option<Outcome>, Error> {
        if spec.v6.is_some() && end.link.inet6.is_none() {
            return Ok(Some(failed(FailureKind::Fatal, "this node's kernel runs without IPv6")));
        }
        let missing = host::missing(spec, end, self.offer);
        for (switch, value) in missing.iter().filter_map(|fact| fact.switch(&end.link.name)) {
            switch.write(value)?;
        }
        if missing.is_empty() {
            return Ok(None);
        }
        let requests = host::host_requests(&missing, end.link.index);
        let (requests, facts): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        for (fact, result) in facts.iter().zip(self.socket.execute(&requests)?) {
            match (fact, result) {
                (_, Ok(())) => {}
                // Somebody removed the stray in between.
                (HostFact::NoNeighbour(_), Err(Refusal { errno: Errno::NOENT, .. })) => {}
                (fact, Err(refusal)) => {
                    return Err(Error::refused(format!("host side: {fact}"), refusal));
                }
            }
        }
        Ok(None)
    }

    /// A link that was damaged may have been down: its IPv4 routes would be gone without a word.
    fn suspect_routes(&self, spec: &LinkSpec) {
        for address in spec.v4.map(IpAddr::V4).into_iter().chain(spec.v6.map(IpAddr::V6)) {
            self.routes.hint(Drift::Key(RouteKey::local(Prefix::host(address))));
        }
    }

    /// Gives a link up.
    fn bury(&mut self, link: &Link) -> Result<(), Error> {
        for result in self.socket.execute(&[message::bury(link.index)])? {
            match result {
                Ok(()) | Err(Refusal { errno: Errno::NODEV, .. }) => {}
                Err(refusal) => return Err(Error::refused("giving up the link", refusal)),
            }
        }
        self.bell.ring();
        Ok(())
    }

    /// Removes a link and waits until its names are free in both namespaces.
    fn remove(&mut self, link: &Link) -> Result<(), Error> {
        match self.socket.ask(message::delete(link.index))? {
            Ok(_) | Err(Refusal { errno: Errno::NODEV, .. }) => Ok(()),
            Err(refusal) => Err(Error::refused("deletion of the old link", refusal)),
        }
    }

    fn try_dump(&mut self) -> Result<Vec<(LinkKey, LinkSpec)>, Error> {
        let links = state::links(&mut self.socket, Some(InfoKind::Veth))?;
        // Nobody can tell whose these are, and no process is making them any more.
        for link in links.iter().filter(|link| link.is_unfinished()) {
            self.remove(link)?;
        }
        self.offer.refresh();
        let ends = state::living_ends(&mut self.socket, links)?;
        Ok(ends.iter().filter_map(|end| read_back(end, self.offer)).collect())
    }

    fn delete(&mut self, keys: &[LinkKey]) -> Result<Vec<(LinkKey, Outcome)>, Error> {
        let mut found = Vec::new();
        let mut outcomes = Vec::new();
        for key in keys {
            match state::link_by_name(&mut self.socket, key.as_str())? {
                Some(link) if link.is_alive() => found.push((key, link.index)),
                // Not there, dead already, or not ours.
                _ => outcomes.push((key.clone(), Outcome::Applied)),
            }
        }
        let requests: Vec<_> = found.iter().map(|(_, index)| message::bury(*index)).collect();
        for ((key, _), result) in found.into_iter().zip(self.socket.execute(&requests)?) {
            let outcome = match result {
                Ok(()) | Err(Refusal { errno: Errno::NODEV, .. }) => Outcome::Applied,
                Err(refusal) => Error::refused("giving up the link", refusal).outcome(),
            };
            outcomes.push((key.clone(), outcome));
        }
        self.bell.ring();
        Ok(outcomes)
    }
}

impl Target for LinkTarget {
    type Key = LinkKey;
    type Value = LinkSpec;

    fn dump(&mut self) -> Result<Vec<(LinkKey, LinkSpec)>, Failure> {
        self.try_dump().map_err(|error| error.failure())
    }

    fn apply(&mut self, batch: &Batch<LinkKey, LinkSpec>) -> Vec<(LinkKey, Outcome)> {
        for (key, offered) in self.handover.take() {
            match offered {
                Some(handles) => self.handles.insert(key, handles),
                None => self.handles.remove(&key),
            };
        }
        self.offer.refresh();
        let mut outcomes = Vec::with_capacity(batch.len());
        for (key, spec) in &batch.puts {
            outcomes.push((key.clone(), self.put(key, spec)));
        }
        if !batch.deletes.is_empty() {
            for key in &batch.deletes {
                self.handles.remove(key);
            }
            match self.delete(&batch.deletes) {
                Ok(deleted) => outcomes.extend(deleted),
                Err(error) => {
                    let failed = batch.deletes.iter().map(|key| (key.clone(), error.outcome()));
                    outcomes.extend(failed);
                }
            }
        }
        outcomes
    }
}

/// The wish that a host end fulfils; with MTU 0 if it fulfils none.
fn read_back(end: &End, offer: Offer) -> Option<(LinkKey, LinkSpec)> {
    let alias = end.link.alias.clone()?;
    let v4 = end.only_neighbour(|address| address.is_ipv4());
    let v6 = end.only_neighbour(|address| address.is_ipv6());
    let mac = v4.or(v6).map_or(MacAddr([0; 6]), |neighbour| neighbour.mac);
    let mut spec = LinkSpec {
        container_interface: alias.id.ifname().to_owned(),
        id: alias.id,
        host_interface: end.link.name.clone(),
        mac,
        mtu: end.link.mtu,
        v4: v4.and_then(|n| ipv4(n.address)),
        v6: v6.and_then(|n| ipv6(n.address)),
        netns: alias.netns,
    };
    let complete = (spec.v6.is_none() || end.link.inet6.is_some())
        && host::missing(&spec, end, offer).is_empty();
    if !complete {
        spec.mtu = 0;
    }
    Some((LinkKey(end.link.name.clone()), spec))
}

fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    }
}

fn ipv6(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    }
}

fn failed(kind: FailureKind, reason: impl Into<String>) -> Outcome {
    Outcome::Failed(Failure::new(kind, reason))
}
