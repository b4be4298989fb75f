// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sessions of the process: the declared set joined with the state machines and one sending
//! socket for each.
//!
//! An interface or address that is not there is no error of the declaration: the session stays
//! Down, and the next packet that is due looks again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use bfd::net::{From, Sender};
use bfd::{Arrival, Config, Endpoint, Interval, Packet, Session, SessionId, Table, Timing};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::message::MAX_SESSIONS;
use crate::model::{BfdSpec, BfdState};

/// The number of an interface that is not there: no packet comes from it.
const NOWHERE: u32 = 0;

/// All sessions.
pub(super) struct Engine {
    table: Table,
    random: fastrand::Rng,
    /// By peer; closing sessions are not among them.
    wanted: BTreeMap<IpAddr, (BfdSpec, SessionId)>,
    /// Of every session in the table.
    paths: HashMap<SessionId, Path>,
    /// Peers whose state is news.
    changed: BTreeSet<IpAddr>,
    /// To ask for the numbers of interfaces.
    probe: OwnedFd,
}

/// What a session sends through.
struct Path {
    spec: BfdSpec,
    interface: Option<u32>,
    sender: Option<Sender>,
    port: u16,
    sent: u64,
    received: u64,
    error: Option<String>,
}

impl Engine {
    pub(super) fn try_new(seed: u64) -> io::Result<Self> {
        let (family, kind) = (AddressFamily::INET, SocketType::DGRAM);
        let probe = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        Ok(Self {
            // Closing sessions need room beside a whole new set.
            table: Table::new(2 * MAX_SESSIONS, seed),
            random: fastrand::Rng::with_seed(!seed),
            wanted: BTreeMap::new(),
            paths: HashMap::new(),
            changed: BTreeSet::new(),
            probe,
        })
    }

    /// Makes the sessions what was declared. Those that stay are not disturbed.
    pub(super) fn declare(&mut self, sessions: Vec<BfdSpec>, now: Instant) {
        if sessions.len() > MAX_SESSIONS {
            let declared = sessions.len();
            tracing::warn!(declared, served = MAX_SESSIONS, "more bfd sessions than there can be");
        }
        let wanted: BTreeMap<IpAddr, BfdSpec> =
            sessions.into_iter().take(MAX_SESSIONS).map(|spec| (spec.peer, spec)).collect();
        let stays = |spec: &BfdSpec| wanted.get(&spec.peer).is_some_and(|new| same_path(spec, new));
        let (kept, ended) =
            std::mem::take(&mut self.wanted).into_iter().partition(|(_, (spec, _))| stays(spec));
        self.wanted = kept;
        let ended: BTreeMap<IpAddr, (BfdSpec, SessionId)> = ended;
        for (peer, (_, id)) in ended {
            tracing::info!(%peer, "bfd session ends");
            self.changed.remove(&peer);
            self.table.close(id, now);
        }
        // What ends has said so before anything takes its place.
        self.turn(now);
        for (peer, spec) in wanted {
            let Some(config) = config(&spec) else {
                tracing::warn!(%peer, "bfd session refused: an interval or multiplier of zero");
                continue;
            };
            match self.wanted.get_mut(&peer) {
                Some((held, id)) => {
                    if *held != spec {
                        *held = spec;
                        self.table.configure(*id, config, now);
                    }
                }
                None => self.open(spec, config, now),
            }
        }
        self.changed.extend(self.wanted.keys());
        self.turn(now);
    }

    fn open(&mut self, spec: BfdSpec, config: Config, now: Instant) {
        let interface = number(&self.probe, &spec);
        let endpoint =
            Endpoint { peer: spec.peer, local: spec.local, interface, is_multihop: spec.multihop };
        match self.table.open(endpoint, config, now) {
            Ok(id) => {
                tracing::info!(peer = %spec.peer, interface = ?spec.interface, "bfd session begins");
                let path = Path {
                    spec: spec.clone(),
                    interface,
                    sender: None,
                    port: self.random.u16(..),
                    sent: 0,
                    received: 0,
                    error: None,
                };
                self.paths.insert(id, path);
                self.wanted.insert(spec.peer, (spec, id));
            }
            Err(error) => tracing::warn!(peer = %spec.peer, %error, "bfd session refused"),
        }
    }

    /// Takes in a datagram.
    pub(super) fn receive(&mut self, arrival: &Arrival, octets: &[u8], now: Instant) {
        match self.table.handle_datagram(arrival, octets, now) {
            Ok(id) => {
                if let Some(path) = self.paths.get_mut(&id) {
                    path.received += 1;
                }
                self.take_events();
            }
            Err(reason) => {
                let (source, reason) = (arrival.source, reason.as_str());
                tracing::debug!(%source, ttl = arrival.ttl, reason, "bfd packet discarded");
            }
        }
    }

    /// Runs what is due and sends what there is to send.
    pub(super) fn turn(&mut self, now: Instant) {
        self.table.handle_timeout(now);
        self.take_events();
        while let Some((id, packet)) = self.table.poll_transmit(now) {
            self.send(id, &packet);
        }
        if self.paths.len() > self.table.len() {
            let table = &self.table;
            self.paths.retain(|id, _| table.session(*id).is_some());
        }
    }

    /// When [`Self::turn`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.table.poll_timeout()
    }

    /// Ends all sessions: each other side is told once, for this process ends too.
    pub(super) fn shut_down(&mut self, now: Instant) {
        for (_, id) in self.wanted.values() {
            self.table.close(*id, now);
        }
        self.turn(now);
    }

    /// Sessions whose state is news since it was asked last.
    pub(super) fn take_changed(&mut self) -> Vec<(IpAddr, BfdState)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().filter_map(|peer| Some((peer, self.state(peer)?))).collect()
    }

    /// Makes everything news.
    pub(super) fn mark_all(&mut self) {
        self.changed.extend(self.wanted.keys());
    }

    /// Whether there is news.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    fn state(&self, peer: IpAddr) -> Option<BfdState> {
        let (_, id) = self.wanted.get(&peer)?;
        let (session, path) = (self.table.session(*id)?, self.paths.get(id)?);
        Some(describe(session, path))
    }

    fn take_events(&mut self) {
        while let Some((id, event)) = self.table.poll_event() {
            let Some(path) = self.paths.get(&id) else { continue };
            let peer = path.spec.peer;
            let (from, to, diag) = (event.from, event.to, event.diagnostic);
            if event.is_failure {
                tracing::warn!(%peer, %from, %to, %diag, "bfd session failed");
            } else {
                tracing::info!(%peer, %from, %to, %diag, "bfd state");
            }
            if self.wanted.get(&peer).is_some_and(|(_, wanted)| *wanted == id) {
                self.changed.insert(peer);
            }
        }
    }

    fn send(&mut self, id: SessionId, packet: &Packet) {
        let Some(path) = self.paths.get_mut(&id) else { return };
        if path.sender.is_none() {
            let number = number(&self.probe, &path.spec);
            if path.interface != number {
                path.interface = number;
                self.table.set_interface(id, number);
            }
        }
        let (peer, had_error) = (path.spec.peer, path.error.is_some());
        match path.send(packet) {
            Ok(()) => {
                path.sent += 1;
                path.error = None;
            }
            Err(error) => {
                if !had_error {
                    tracing::info!(%peer, %error, "bfd packet not sent");
                }
                // The device or the address may be another one next time.
                path.sender = None;
                path.error = Some(error.to_string());
            }
        }
        if had_error != path.error.is_some() && self.wanted.contains_key(&peer) {
            self.changed.insert(peer);
        }
    }
}

impl Path {
    fn send(&mut self, packet: &Packet) -> io::Result<()> {
        let sender = match &self.sender {
            Some(sender) => sender,
            None => {
                let interface = match (self.spec.interface.as_deref(), self.interface) {
                    (Some(_), None | Some(NOWHERE)) => {
                        return Err(io::Error::other("no such interface"));
                    }
                    (Some(name), Some(number)) => Some((name, number)),
                    (None, _) => None,
                };
                let from = From { local: self.spec.local, interface };
                let (peer, far) = (self.spec.peer, self.spec.multihop);
                let sender = Sender::open(peer, far, &from, self.port)?;
                self.port = sender.port();
                self.sender.insert(sender)
            }
        };
        sender.send(packet)
    }
}

/// The number that an interface has now.
fn number(probe: &OwnedFd, spec: &BfdSpec) -> Option<u32> {
    let name = spec.interface.as_deref()?;
    Some(name_to_index(probe, name).unwrap_or(NOWHERE))
}

/// Whether a session for one also serves the other, but for its timers.
fn same_path(a: &BfdSpec, b: &BfdSpec) -> bool {
    let path = |spec: &BfdSpec| (spec.peer, spec.local, spec.interface.clone(), spec.multihop);
    path(a) == path(b)
}

fn config(spec: &BfdSpec) -> Option<Config> {
    let interval = Interval::from_micros(spec.interval_micros);
    // RFC 5880 §6.8.9 is about the daemon: this process goes on without it.
    Config::try_new(Timing { tx: interval, rx: interval }, spec.multiplier, true).ok()
}

fn describe(session: &Session, path: &Path) -> BfdState {
    let remote = session.remote();
    let detection = session.detection_time().as_micros();
    BfdState {
        state: session.state().as_str().to_owned(),
        diag: session.diagnostic().as_str().to_owned(),
        remote_state: remote.state.as_str().to_owned(),
        remote_independent: remote.independent,
        failures: session.failures(),
        interval_micros: session.transmit_interval().map_or(0, Interval::as_micros),
        detection_micros: u64::try_from(detection).unwrap_or(u64::MAX),
        sent: path.sent,
        received: path.received,
        error: path.error.clone(),
    }
}
