// SPDX-License-Identifier: MIT OR Apache-2.0
//! Speakers in memory under virtual time.
//!
//! The network between them is modelled where it matters to a state machine: connecting takes a
//! round trip and completes in the kernel before the other side's program accepts; octets of one
//! connection stay in order and arrive late; a partition delivers nothing, not even the end of a
//! connection; a killed speaker closes everything at once. Everything random comes from a seed.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::wire::{self, Message, MessageType};
use bgp::{
    ConnId, Event, Originate, PathSet, PeerConfig, PeerEvent, PeerStatus, Prefix, Shutdown,
    Speaker, SpeakerConfig, Start, State, Transmit,
};
use bytes::Bytes;

/// Index of a speaker in its world.
pub(crate) type Node = usize;

/// One speaker and what became of it.
pub(crate) struct Host {
    pub(crate) config: SpeakerConfig,
    pub(crate) speaker: Option<Speaker>,
    /// Best paths as its feed left them.
    pub(crate) routes: BTreeMap<Prefix, Arc<PathSet>>,
    /// Events of best paths so far in this run.
    pub(crate) published: usize,
    /// When its feed became complete in this run.
    pub(crate) synced: Option<Instant>,
    /// How many routes it had then.
    pub(crate) routes_at_sync: usize,
    /// Chunks are not written: the peer's window is closed.
    pub(crate) stuck: bool,
    /// It takes nothing that others send: their windows close.
    deaf: bool,
    address: IpAddr,
    epoch: u32,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct End {
    node: Node,
    epoch: u32,
    conn: ConnId,
}

/// Something on its way.
#[derive(Debug)]
enum Parcel {
    /// A SYN reaches a node.
    Syn { from: End, to: Node },
    /// The program of a node gets round to accept.
    Accept { from: End, to: Node },
    /// Something for the speaker.
    Event { to: End, event: Arrival },
}

#[derive(Debug)]
enum Arrival {
    Connected,
    Refused,
    Data(Bytes),
    Written,
    Closed,
}

/// A message as it was sent.
pub(crate) struct Sent {
    pub(crate) from: Node,
    pub(crate) octets: Bytes,
}

/// The speakers, the network and the clock.
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) hosts: Vec<Host>,
    pub(crate) latency: Duration,
    /// Random extra delay of everything, up to this.
    pub(crate) jitter: Duration,
    /// Nothing arrives; what was sent is kept by TCP for later.
    partition: bool,
    held: Vec<Parcel>,
    /// Every message sent.
    pub(crate) sent: Vec<Sent>,
    rng: fastrand::Rng,
    parcels: BTreeMap<(Instant, u64), Parcel>,
    serial: u64,
    other: HashMap<End, End>,
    /// Data for an end that is not accepted yet.
    early: HashMap<End, VecDeque<Arrival>>,
    /// What deaf nodes have not taken, in order.
    unheard: Vec<(End, Bytes)>,
    /// Arrival of the last octet at an end: TCP keeps the order.
    last: HashMap<End, Instant>,
}

/// The address of a node.
pub(crate) fn address(node: Node) -> IpAddr {
    IpAddr::from([10, 0, 0, u8::try_from(node + 1).unwrap()])
}

/// A configuration of a node with its AS, without peers.
pub(crate) fn node(index: Node, asn: u32) -> SpeakerConfig {
    let IpAddr::V4(id) = address(index) else { unreachable!() };
    SpeakerConfig {
        own_addresses: vec![address(index)],
        ..SpeakerConfig::new(bgp::Asn(asn), id.try_into().unwrap())
    }
}

/// The configuration of a node as a peer of another.
pub(crate) fn peer(index: Node, asn: u32) -> PeerConfig {
    let mut peer = PeerConfig::new(format!("n{index}"), address(index), bgp::Asn(asn));
    peer.next_hop_v6 = Some("fd00::1".parse().unwrap());
    peer
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            now: Instant::now(),
            hosts: Vec::new(),
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            partition: false,
            held: Vec::new(),
            sent: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            parcels: BTreeMap::new(),
            serial: 0,
            other: HashMap::new(),
            early: HashMap::new(),
            unheard: Vec::new(),
            last: HashMap::new(),
        }
    }

    /// Two external peers that know each other, started cold.
    pub(crate) fn pair(seed: u64) -> Self {
        Self::pair_with(seed, |_| {})
    }

    /// The same, with changed configurations.
    pub(crate) fn pair_with(seed: u64, change: impl FnOnce(&mut [SpeakerConfig; 2])) -> Self {
        let mut configs = [node(0, 65001), node(1, 65002)];
        configs[0].peers.push(peer(1, 65002));
        configs[1].peers.push(peer(0, 65001));
        change(&mut configs);
        let mut world = Self::new(seed);
        for config in configs {
            world.add(config);
        }
        world.start(0, Start::Cold);
        world.start(1, Start::Cold);
        world
    }

    /// A host that does not run yet.
    pub(crate) fn add(&mut self, config: SpeakerConfig) -> Node {
        let index = self.hosts.len();
        self.hosts.push(Host {
            config,
            speaker: None,
            routes: BTreeMap::new(),
            published: 0,
            synced: None,
            routes_at_sync: 0,
            stuck: false,
            deaf: false,
            address: address(index),
            epoch: 0,
        });
        index
    }

    pub(crate) fn start(&mut self, node: Node, start: Start) {
        let host = &mut self.hosts[node];
        let speaker = Speaker::try_new(host.config.clone(), start, self.now).unwrap();
        host.speaker = Some(speaker);
        host.routes.clear();
        host.published = 0;
        host.synced = None;
        self.drain(node);
    }

    /// Ends the process of a node at once: the kernel closes its connections.
    pub(crate) fn kill(&mut self, node: Node) {
        let epoch = self.hosts[node].epoch;
        self.hosts[node].speaker = None;
        self.hosts[node].epoch += 1;
        let ends: Vec<_> =
            self.other.keys().copied().filter(|e| e.node == node && e.epoch == epoch).collect();
        for end in ends {
            self.hang_up(end);
        }
    }

    /// Cuts or mends the network.
    pub(crate) fn set_partition(&mut self, partition: bool) {
        self.partition = partition;
        if !partition {
            for parcel in std::mem::take(&mut self.held) {
                let at = self.now + self.latency;
                self.push(at, parcel);
            }
        }
    }

    /// Makes a node take nothing that is sent to it, or everything again.
    pub(crate) fn set_deaf(&mut self, node: Node, deaf: bool) {
        self.hosts[node].deaf = deaf;
        let all = std::mem::take(&mut self.unheard);
        for (from, chunk) in all {
            if !deaf && self.other.get(&from).is_some_and(|to| to.node == node) {
                let at = self.now;
                self.push(at, Parcel::Event { to: from, event: Arrival::Written });
                self.forward(from, Arrival::Data(chunk));
            } else {
                self.unheard.push((from, chunk));
            }
        }
    }

    /// The host of a node loses power: nobody hears of it.
    pub(crate) fn power_off(&mut self, node: Node) {
        self.hosts[node].speaker = None;
        self.hosts[node].epoch += 1;
        self.parcels.retain(|_, parcel| match parcel {
            Parcel::Syn { from, to } | Parcel::Accept { from, to } => {
                from.node != node && *to != node
            }
            Parcel::Event { .. } => true,
        });
    }

    /// Ends a node in an orderly way.
    pub(crate) fn stop(&mut self, node: Node, kind: &Shutdown) {
        let now = self.now;
        self.speaker(node).shutdown(kind, now);
        self.drain(node);
        self.kill(node);
    }

    pub(crate) fn speaker(&mut self, node: Node) -> &mut Speaker {
        self.hosts[node].speaker.as_mut().expect("the node runs")
    }

    pub(crate) fn apply(&mut self, node: Node, config: SpeakerConfig) -> bgp::ConfigDiff {
        let now = self.now;
        let diff = self.speaker(node).apply_config(config.clone(), now).unwrap();
        self.hosts[node].config = config;
        self.drain(node);
        diff
    }

    pub(crate) fn originate(&mut self, node: Node, prefix: &str) {
        self.speaker(node).originate(prefix.parse().unwrap(), Some(Originate::default()));
        self.drain(node);
    }

    pub(crate) fn withdraw(&mut self, node: Node, prefix: &str) {
        self.speaker(node).originate(prefix.parse().unwrap(), None);
        self.drain(node);
    }

    pub(crate) fn complete(&mut self, node: Node) {
        self.speaker(node).originate_complete();
        self.drain(node);
    }

    /// What a node says about its first peer (by address).
    pub(crate) fn status(&mut self, node: Node) -> PeerStatus {
        let now = self.now;
        self.speaker(node).peers(now).remove(0)
    }

    pub(crate) fn is_up(&mut self, node: Node) -> bool {
        self.hosts[node].speaker.is_some() && self.status(node).state == State::Established
    }

    pub(crate) fn has_route(&self, node: Node, prefix: &str) -> bool {
        self.hosts[node].routes.contains_key(&prefix.parse().unwrap())
    }

    /// Messages of a type that a node sent.
    pub(crate) fn messages(&self, from: Node, kind: MessageType) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(move |sent| sent.from == from && kind_of(&sent.octets) == kind)
    }

    /// The last OPEN a node sent.
    pub(crate) fn last_open(&self, from: Node) -> wire::Open {
        let sent = self.messages(from, MessageType::Open).last().expect("an OPEN was sent");
        let frame = wire::frame(&sent.octets, wire::MAX_MESSAGE_LEN).unwrap().unwrap();
        match Message::decode(&frame).unwrap() {
            Message::Open(open) => open,
            other => panic!("{other:?}"),
        }
    }

    /// Runs for a time.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// Runs until the condition holds; how long it took. Panics after the limit.
    pub(crate) fn until(
        &mut self,
        what: &str,
        limit: Duration,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Duration {
        let start = self.now;
        while !holds(self) {
            if !self.step(start + limit) {
                let now = self.now;
                let running = self.hosts.iter().filter_map(|host| host.speaker.as_ref());
                let peers: Vec<_> = running.map(|speaker| speaker.peers(now)).collect();
                panic!("{what} did not happen within {limit:?}: {peers:#?}");
            }
        }
        self.now - start
    }

    /// The clocks of all jump while nobody runs; what was on its way has arrived meanwhile.
    pub(crate) fn freeze(&mut self, time: Duration) {
        self.now += time;
        // Timers first: the worst order for whoever was asleep.
        for node in 0..self.hosts.len() {
            let now = self.now;
            if let Some(speaker) = &mut self.hosts[node].speaker {
                speaker.handle_timeout(now);
                self.drain(node);
            }
        }
    }

    /// Goes to the next thing that happens; false when that is after `end`.
    fn step(&mut self, end: Instant) -> bool {
        let timers = self.hosts.iter().flat_map(|h| h.speaker.as_ref()?.poll_timeout());
        let parcel = self.parcels.keys().next().map(|(at, _)| *at);
        let Some(next) = timers.chain(parcel).min().filter(|at| *at <= end) else {
            self.now = self.now.max(end);
            return false;
        };
        self.now = self.now.max(next);
        for node in 0..self.hosts.len() {
            let now = self.now;
            let due = self.hosts[node].speaker.as_ref().and_then(Speaker::poll_timeout);
            if due.is_some_and(|at| at <= now) {
                self.speaker(node).handle_timeout(now);
                self.drain(node);
            }
        }
        while let Some(entry) = self.parcels.first_entry().filter(|e| e.key().0 <= self.now) {
            let parcel = entry.remove();
            self.deliver(parcel);
        }
        true
    }

    fn deliver(&mut self, parcel: Parcel) {
        let is_local = matches!(parcel, Parcel::Event { event: Arrival::Written, .. });
        if self.partition && !is_local {
            self.held.push(parcel);
            return;
        }
        match parcel {
            Parcel::Syn { from, to } => {
                if self.hosts[to].speaker.is_none() {
                    self.post(from, Arrival::Refused);
                    return;
                }
                // The kernel completes the handshake; the program accepts when it gets there.
                self.post(from, Arrival::Connected);
                let at = self.now + self.latency * 2 + self.random();
                self.push(at, Parcel::Accept { from, to });
            }
            Parcel::Accept { from, to } => self.accept(from, to),
            Parcel::Event { to, event } => {
                if self.hosts[to.node].epoch == to.epoch {
                    self.hand_over(to, event);
                }
            }
        }
    }

    fn accept(&mut self, from: End, to: Node) {
        let (now, epoch) = (self.now, self.hosts[to].epoch);
        let (remote, local) = (self.hosts[from.node].address, self.hosts[to].address);
        let Some(speaker) = self.hosts[to].speaker.as_mut() else {
            self.post(from, Arrival::Closed);
            return;
        };
        match speaker.accept(remote, local, now) {
            None => self.post(from, Arrival::Closed),
            Some(accepted) => {
                let end = End { node: to, epoch, conn: accepted.conn };
                self.other.insert(end, from);
                self.other.insert(from, end);
                for event in self.early.remove(&from).unwrap_or_default() {
                    let at = self.now;
                    self.push(at, Parcel::Event { to: end, event });
                }
                self.drain(to);
            }
        }
    }

    fn hand_over(&mut self, to: End, event: Arrival) {
        let conn = to.conn;
        let local = self.hosts[to.node].address;
        let events = match event {
            Arrival::Connected => vec![PeerEvent::Connected { conn, local }],
            Arrival::Refused => vec![PeerEvent::ConnectFailed { conn, error: "refused".into() }],
            Arrival::Written => vec![PeerEvent::Written { conn, chunks: 1 }],
            Arrival::Closed => vec![PeerEvent::Closed { conn, error: String::new() }],
            Arrival::Data(chunk) => {
                cut(chunk).map(|message| PeerEvent::Received { conn, message }).collect()
            }
        };
        let now = self.now;
        for event in events {
            if let Some(speaker) = self.hosts[to.node].speaker.as_mut() {
                speaker.handle_input(event, now);
            }
        }
        self.drain(to.node);
    }

    /// Carries out what a speaker wants.
    pub(crate) fn drain(&mut self, node: Node) {
        let epoch = self.hosts[node].epoch;
        while let Some(transmit) =
            self.hosts[node].speaker.as_mut().and_then(Speaker::poll_transmit)
        {
            match transmit {
                Transmit::Dial(dial) => {
                    let from = End { node, epoch, conn: dial.conn };
                    let to = self.hosts.iter().position(|h| h.address == dial.remote.ip());
                    if let Some(to) = to {
                        let at = self.now + self.delay();
                        self.push(at, Parcel::Syn { from, to });
                    }
                }
                Transmit::Send { conn, chunk } => self.send(End { node, epoch, conn }, &chunk),
                Transmit::Close { conn } => self.hang_up(End { node, epoch, conn }),
            }
        }
        let now = self.now;
        let host = &mut self.hosts[node];
        while let Some(event) = host.speaker.as_mut().and_then(Speaker::poll_event) {
            match event {
                Event::BestPaths { prefix, paths } => {
                    host.published += 1;
                    match paths {
                        Some(paths) => host.routes.insert(prefix, paths),
                        None => host.routes.remove(&prefix),
                    };
                }
                Event::Synced => {
                    host.synced = Some(now);
                    host.routes_at_sync = host.routes.len();
                }
            }
        }
    }

    fn send(&mut self, from: End, chunk: &Bytes) {
        for octets in cut(chunk.clone()) {
            self.sent.push(Sent { from: from.node, octets });
        }
        if self.other.get(&from).is_some_and(|to| self.hosts[to.node].deaf) {
            self.unheard.push((from, chunk.clone()));
        } else if !self.hosts[from.node].stuck {
            let at = self.now;
            self.push(at, Parcel::Event { to: from, event: Arrival::Written });
            self.forward(from, Arrival::Data(chunk.clone()));
        }
    }

    fn hang_up(&mut self, from: End) {
        self.forward(from, Arrival::Closed);
    }

    /// Sends something to the other end, behind everything sent before.
    fn forward(&mut self, from: End, event: Arrival) {
        let Some(to) = self.other.get(&from).copied() else {
            self.early.entry(from).or_default().push_back(event);
            return;
        };
        self.post(to, event);
    }

    /// Sends something to an end, behind everything sent to it before.
    fn post(&mut self, to: End, event: Arrival) {
        let last = self.last.get(&to).copied().unwrap_or(self.now);
        let at = (self.now + self.delay()).max(last);
        self.last.insert(to, at);
        self.push(at, Parcel::Event { to, event });
    }

    fn push(&mut self, at: Instant, parcel: Parcel) {
        self.serial += 1;
        self.parcels.insert((at, self.serial), parcel);
    }

    fn delay(&mut self) -> Duration {
        self.latency + self.random()
    }

    fn random(&mut self) -> Duration {
        self.jitter.mul_f64(self.rng.f64())
    }
}

/// The messages of a chunk.
fn cut(mut chunk: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let frame = wire::frame(&chunk, wire::MAX_MESSAGE_LEN).unwrap()?;
        let len = frame.message.len();
        Some(chunk.split_to(len))
    })
}

fn kind_of(octets: &[u8]) -> MessageType {
    wire::frame(octets, wire::MAX_MESSAGE_LEN).unwrap().unwrap().kind
}
