// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many sessions, and which of them a packet is for.
//!
//! A packet that names our discriminator belongs to that session; one that does not yet is told
//! by where it came from (RFC 5880 §6.3, RFC 5881 §3, RFC 5883 §4). Deviates: a packet with our
//! discriminator must also come from the peer, over the kind of hop the session is for; guessing
//! 32 bits is then not enough to keep a dead path up.
//!
//! Work per packet is a look-up and a timer moved in an ordered set, so thousands of sessions
//! cost what their packets cost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Instant;

use crate::packet::{Discard, Discriminator, Packet};
use crate::session::{Config, Event, Session};

/// TTL of a packet that no router has touched (RFC 5881 §5).
const UNTOUCHED: u8 = 255;

/// Names a session of a table; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

/// Between whom a session runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// The other side.
    pub peer: IpAddr,
    /// Our address; any of ours when absent.
    pub local: Option<IpAddr>,
    /// Number of the interface; any when absent.
    pub interface: Option<u32>,
    /// Routers may lie between (RFC 5883).
    pub is_multihop: bool,
}

/// Where a packet came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its source address.
    pub source: IpAddr,
    /// Its destination address.
    pub destination: IpAddr,
    /// Number of the interface it came in on.
    pub interface: u32,
    /// It came to the multihop port.
    pub is_multihop: bool,
    /// Its TTL or hop limit.
    pub ttl: u8,
}

/// There is no room for one more session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} sessions are the most there can be")]
pub struct Full(pub usize);

/// All sessions of a process.
#[derive(Debug)]
pub struct Table {
    limit: usize,
    random: fastrand::Rng,
    next: u64,
    entries: BTreeMap<SessionId, Entry>,
    by_discriminator: HashMap<Discriminator, SessionId>,
    by_peer: HashMap<IpAddr, Vec<SessionId>>,
    timers: BTreeSet<(Instant, SessionId)>,
    /// Sessions that may have something to send or to tell.
    touched: BTreeSet<SessionId>,
}

#[derive(Debug)]
struct Entry {
    endpoint: Endpoint,
    session: Session,
    timer: Option<Instant>,
}

impl Table {
    /// An empty table for so many sessions. The seed is for discriminators and jitter.
    #[must_use]
    pub fn new(limit: usize, seed: u64) -> Self {
        Self {
            limit,
            random: fastrand::Rng::with_seed(seed),
            next: 0,
            entries: BTreeMap::new(),
            by_discriminator: HashMap::new(),
            by_peer: HashMap::new(),
            timers: BTreeSet::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Starts a session. One with the same endpoint that is closing makes room at once.
    ///
    /// # Errors
    /// There is no room.
    pub fn open(
        &mut self,
        endpoint: Endpoint,
        config: Config,
        now: Instant,
    ) -> Result<SessionId, Full> {
        let closing = self.matching(&endpoint.peer).find(|(_, entry)| entry.endpoint == endpoint);
        if let Some(id) = closing.map(|(id, _)| id) {
            self.remove(id);
        }
        if self.entries.len() >= self.limit {
            return Err(Full(self.limit));
        }
        let discriminator = self.free_discriminator();
        let id = SessionId(self.next);
        self.next += 1;
        let session = Session::new(config, discriminator, self.random.u64(..), now);
        self.by_discriminator.insert(discriminator, id);
        self.by_peer.entry(endpoint.peer).or_default().push(id);
        self.entries.insert(id, Entry { endpoint, session, timer: None });
        self.touch(id);
        Ok(id)
    }

    /// Ends a session; it goes on saying so for a while, and is then forgotten.
    pub fn close(&mut self, id: SessionId, now: Instant) {
        self.change(id, |entry| entry.session.close(now));
    }

    /// Takes over new intervals.
    pub fn configure(&mut self, id: SessionId, config: Config, now: Instant) {
        self.change(id, |entry| entry.session.configure(config, now));
    }

    /// The interface got another number, or none.
    pub fn set_interface(&mut self, id: SessionId, interface: Option<u32>) {
        self.change(id, |entry| entry.endpoint.interface = interface);
    }

    /// Takes in the payload of a datagram.
    ///
    /// # Errors
    /// It was for nobody; nothing has changed.
    pub fn handle_datagram(
        &mut self,
        arrival: &Arrival,
        octets: &[u8],
        now: Instant,
    ) -> Result<SessionId, Discard> {
        if !arrival.is_multihop && arrival.ttl != UNTOUCHED {
            return Err(Discard::Ttl);
        }
        let packet = Packet::decode(octets)?;
        let id = self.find(arrival, packet.your_discriminator).ok_or(Discard::UnknownSession)?;
        self.change(id, |entry| entry.session.handle_packet(&packet, now));
        Ok(id)
    }

    /// Runs every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, id)) = self.timers.first().filter(|(at, _)| *at <= now).copied() {
            if self.entries.get(&id).is_some_and(|entry| entry.session.is_finished(now)) {
                self.remove(id);
                continue;
            }
            self.set_timer(id, None);
            self.touched.insert(id);
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.session.handle_timeout(now);
            }
        }
    }

    /// The next packet to send.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<(SessionId, Packet)> {
        while let Some(id) = self.touched.first().copied() {
            if let Some(entry) = self.entries.get_mut(&id) {
                if let Some(packet) = entry.session.poll_transmit(now) {
                    return Some((id, packet));
                }
                let timer = entry.session.poll_timeout();
                self.set_timer(id, timer);
            }
            self.touched.remove(&id);
        }
        None
    }

    /// The next change of state of a session; to be drained before [`Self::poll_transmit`].
    pub fn poll_event(&mut self) -> Option<(SessionId, Event)> {
        self.touched.iter().find_map(|id| {
            let entry = self.entries.get_mut(id)?;
            entry.session.poll_event().map(|event| (*id, event))
        })
    }

    /// When [`Self::handle_timeout`] wants to be called, once everything was drained.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// A session.
    #[must_use]
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.entries.get(&id).map(|entry| &entry.session)
    }

    /// How many there are, closing ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Parts of the above.
impl Table {
    fn find(&self, arrival: &Arrival, known: Option<Discriminator>) -> Option<SessionId> {
        let fits = |entry: &Entry| {
            let endpoint = &entry.endpoint;
            endpoint.peer == arrival.source
                && endpoint.is_multihop == arrival.is_multihop
                && endpoint.local.is_none_or(|local| local == arrival.destination)
                && endpoint.interface.is_none_or(|number| number == arrival.interface)
        };
        match known {
            Some(discriminator) => {
                let id = *self.by_discriminator.get(&discriminator)?;
                self.entries.get(&id).filter(|entry| fits(entry)).map(|_| id)
            }
            None => self.matching(&arrival.source).find(|(_, entry)| fits(entry)).map(|(id, _)| id),
        }
    }

    fn matching(&self, peer: &IpAddr) -> impl Iterator<Item = (SessionId, &Entry)> {
        let ids = self.by_peer.get(peer).map(Vec::as_slice).unwrap_or_default();
        ids.iter().filter_map(|id| Some((*id, self.entries.get(id)?)))
    }

    fn change(&mut self, id: SessionId, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.get_mut(&id) {
            change(entry);
            self.touch(id);
        }
    }

    fn touch(&mut self, id: SessionId) {
        self.touched.insert(id);
    }

    fn set_timer(&mut self, id: SessionId, timer: Option<Instant>) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if let Some(old) = entry.timer {
            self.timers.remove(&(old, id));
        }
        entry.timer = timer;
        if let Some(at) = timer {
            self.timers.insert((at, id));
        }
    }

    fn remove(&mut self, id: SessionId) {
        self.set_timer(id, None);
        self.touched.remove(&id);
        let Some(entry) = self.entries.remove(&id) else { return };
        self.by_discriminator.remove(&entry.session.discriminator());
        if let Some(ids) = self.by_peer.get_mut(&entry.endpoint.peer) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_peer.remove(&entry.endpoint.peer);
            }
        }
    }

    /// RFC 5880 §6.3: unique among our sessions; random, so that a restart meets no old packets.
    fn free_discriminator(&mut self) -> Discriminator {
        loop {
            let number = Discriminator::new(self.random.u32(1..)).unwrap_or(Discriminator::MIN);
            if !self.by_discriminator.contains_key(&number) {
                return number;
            }
        }
    }
}

#[cfg(test)]
mod tests;
