// SPDX-License-Identifier: MIT OR Apache-2.0
//! The speaker: input, time, output.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::feed::PathSet;
use super::group::Group;
use super::io::{Accepted, Dial, Event, PeerEvent, Transmit};
use super::originate::Originate;
use super::peer::Peer;
use super::restart::Sync;
use super::status::{Shutdown, Stats};
use crate::config::{ConfigError, PeerConfig, SpeakerConfig, Start};
use crate::filter::Import;
use crate::rib::{Interner, Rib, SourceId, SourceInfo};
use crate::session::{ConnId, DownReason, Identity, Output, Session};
use crate::types::{Family, Prefix};
use crate::wire::{self, CodecCtx, Message, Notification, NotificationCode};

/// Prefixes decided and advertised per turn, so that a full table cannot hold up a timer.
pub(super) const PREFIXES_PER_TURN: usize = 4096;

/// A BGP speaker without sockets and clock.
///
/// Feed it with [`Self::handle_input`] and [`Self::accept`]; call [`Self::handle_timeout`] when
/// [`Self::poll_timeout`] says so; after each of them drain [`Self::poll_transmit`] and
/// [`Self::poll_event`].
#[derive(Debug)]
pub struct Speaker {
    pub(super) config: SpeakerConfig,
    pub(super) import: Import,
    pub(super) peers: Vec<Option<Peer>>,
    by_address: HashMap<IpAddr, usize>,
    generation: u16,
    pub(super) rib: Rib,
    pub(super) interner: Interner,
    pub(super) originated: BTreeMap<Prefix, Originate>,
    /// The initial set of originated prefixes is there: End-of-RIB may be sent.
    pub(super) originate_complete: bool,
    pub(super) sync: Sync,
    /// Peers that are told the same.
    pub(super) groups: Vec<Option<Group>>,
    /// The group that is first to be served in the next turn.
    pub(super) next_group: usize,
    /// Peers lost while their group was being served.
    pub(super) lost: Vec<usize>,
    /// Until when results of decisions are gathered before they are advertised.
    pub(super) gather_until: Option<Instant>,
    /// Learned paths are passed on: all their attributes are kept.
    pub(super) passes_on: bool,
    pub(super) last_set: Option<Arc<PathSet>>,
    pub(super) stats: Stats,
    pub(super) now: Instant,
    out: VecDeque<Transmit>,
    pub(super) events: VecDeque<Event>,
}

impl Speaker {
    /// A speaker that begins to connect at once.
    ///
    /// # Errors
    /// If the configuration contradicts itself.
    pub fn try_new(config: SpeakerConfig, start: Start, now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        let limit = match start {
            Start::Cold => config.sync_timeout,
            Start::Restarted { .. } => config.restart_time().unwrap_or(config.sync_timeout),
        };
        let mut speaker = Self {
            import: import_rules(&config),
            peers: Vec::new(),
            by_address: HashMap::new(),
            generation: 0,
            rib: Rib::default(),
            interner: Interner::default(),
            originated: BTreeMap::new(),
            originate_complete: false,
            sync: Sync::new(start, limit, now),
            groups: Vec::new(),
            next_group: 0,
            lost: Vec::new(),
            gather_until: None,
            passes_on: config.passes_on(),
            last_set: None,
            stats: Stats::default(),
            now,
            out: VecDeque::new(),
            events: VecDeque::new(),
            config,
        };
        for peer in speaker.config.peers.clone() {
            speaker.add_peer(&peer, now);
        }
        speaker.update_sync(now);
        Ok(speaker)
    }

    /// Somebody connected to us; none when the connection must be closed.
    pub fn accept(&mut self, remote: IpAddr, local: IpAddr, now: Instant) -> Option<Accepted> {
        self.now = now;
        let Some(&slot) = self.by_address.get(&remote.to_canonical()) else {
            self.stats.unknown_peer += 1;
            tracing::debug!(%remote, "connection from an unknown address refused");
            return None;
        };
        let peer = self.peers.get_mut(slot)?.as_mut()?;
        let ttl = peer.ttl();
        let conn = peer.session.accept(local.to_canonical(), now);
        if conn.is_none() {
            self.stats.refused += 1;
        }
        self.settle(slot);
        conn.map(|conn| Accepted { conn, ttl })
    }

    /// Takes in what happened to a connection. Events of connections already closed are ignored.
    pub fn handle_input(&mut self, event: PeerEvent, now: Instant) {
        self.now = now;
        let slot = slot_of(event.conn());
        let Some(peer) = self.peers.get_mut(slot).and_then(Option::as_mut) else { return };
        let session = &mut peer.session;
        if session.conn(event.conn()).is_none() {
            return;
        }
        match event {
            PeerEvent::Connected { conn, local } => {
                session.connected(conn, local.to_canonical(), now);
            }
            PeerEvent::ConnectFailed { conn, error } => session.connect_failed(conn, &error, now),
            PeerEvent::Received { conn, message } => self.on_received(slot, conn, &message, now),
            PeerEvent::Written { conn, chunks } => session.written(conn, chunks, now),
            PeerEvent::Closed { conn, error } => session.closed(conn, &error, now),
            PeerEvent::Broken { conn } => session.broken(conn, now),
        }
        self.settle(slot);
    }

    /// Runs what is due: first all timers, then a bounded number of decisions and adverts.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        for slot in 0..self.peers.len() {
            let Some(peer) = self.peers[slot].as_mut() else { continue };
            if peer.session.next_timeout().is_some_and(|at| at <= now) {
                peer.session.on_timeout(now);
                self.settle(slot);
            }
            self.answer_refreshes(slot, now);
        }
        self.update_sync(now);
        self.decide(PREFIXES_PER_TURN);
        self.export(PREFIXES_PER_TURN);
    }

    /// When [`Self::handle_timeout`] wants to be called; in the past when there is work left.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.has_work() {
            return Some(self.now);
        }
        let peers = self.peers.iter().flatten().filter_map(Peer::next_timeout);
        peers.chain(self.sync.deadline()).min()
    }

    /// The next thing to do for the owner of the sockets.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    /// The next piece of news.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends every session; connections are closed without NOTIFICATION for a graceful restart.
    pub fn shutdown(&mut self, kind: &Shutdown, now: Instant) {
        self.now = now;
        let (reason, notification) = match kind {
            Shutdown::GracefulRestart => (DownReason::Restart, None),
            Shutdown::Cease { subcode, text } => {
                let code = NotificationCode::new(6, *subcode);
                let text = truncated(text, 255);
                let cease =
                    Notification::with_text(code, text).unwrap_or_else(|_| Notification::new(code));
                (DownReason::Shutdown, Some(cease))
            }
        };
        for slot in 0..self.peers.len() {
            if let Some(peer) = self.peers[slot].as_mut() {
                peer.session.stop(reason, notification.as_ref(), now);
                self.settle(slot);
            }
        }
    }
}

/// Parts of the above.
impl Speaker {
    pub(super) fn identity(&self) -> Identity {
        Identity { id: self.config.router_id, asn: self.config.asn }
    }

    pub(super) fn add_peer(&mut self, config: &PeerConfig, now: Instant) {
        let free = self.peers.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.peers.len());
        // The configuration allows no more peers than fit.
        let Ok(id) = u16::try_from(slot) else { return };
        let first = self.next_generation(slot);
        let bits = self.sync.bits();
        let local = self.identity();
        let session = Session::new(config.clone(), local, bits, first, now);
        let peer = Peer::new(SourceId(id), session, local);
        if slot == self.peers.len() {
            self.peers.push(Some(peer));
        } else {
            self.peers[slot] = Some(peer);
        }
        self.by_address.insert(config.address.to_canonical(), slot);
        if let Some(peer) = self.peers[slot].as_mut() {
            peer.session.start(now);
        }
        self.settle(slot);
    }

    pub(super) fn remove_peer(&mut self, slot: usize) {
        if let Some(peer) = self.peers.get_mut(slot).and_then(Option::take) {
            self.by_address.remove(&peer.session.config().address.to_canonical());
        }
    }

    /// Connection numbers that name the slot and were never used before.
    fn next_generation(&mut self, slot: usize) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        ConnId(((slot as u64) << SLOT_SHIFT) | (u64::from(self.generation) << 32))
    }

    fn on_received(&mut self, slot: usize, conn: ConnId, message: &[u8], now: Instant) {
        let Some(peer) = self.peers[slot].as_mut() else { return };
        let decoded = guarded(|| match wire::frame(message, wire::MAX_MESSAGE_LEN) {
            Ok(Some(frame)) => Message::decode(&frame).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        });
        let message = match decoded {
            Some(Ok(Some(message))) => message,
            Some(Ok(None)) => return,
            Some(Err(error)) => return peer.session.malformed(conn, &error, now),
            None => return peer.session.broken(conn, now),
        };
        match peer.session.on_message(conn, message, now) {
            Some(Message::Update(update)) => {
                let Some(codec) = peer.session.agreed().map(|agreed| agreed.codec) else { return };
                let codec = CodecCtx { keep_unknown: self.passes_on, ..codec };
                match guarded(|| update.decode(&codec)) {
                    Some(Ok(update)) => self.on_update(slot, update, now),
                    Some(Err(error)) => peer.session.malformed(conn, &error.into(), now),
                    None => peer.session.broken(conn, now),
                }
            }
            Some(Message::Keepalive) => self.on_keepalive(slot, now),
            Some(Message::RouteRefresh(refresh)) => self.on_refresh(slot, refresh, now),
            Some(Message::Open(_) | Message::Notification(_)) | None => {}
        }
    }

    /// Carries out what a session asked for.
    pub(super) fn settle(&mut self, slot: usize) {
        while let Some(output) = self.peers[slot].as_mut().and_then(|peer| peer.session.poll()) {
            match output {
                Output::Dial(conn) => self.dial(slot, conn),
                Output::Send(conn, chunk) => self.out.push_back(Transmit::Send { conn, chunk }),
                Output::Close(conn) => self.out.push_back(Transmit::Close { conn }),
                Output::Up => self.on_up(slot),
                Output::Down => self.on_down(slot),
            }
        }
    }

    fn dial(&mut self, slot: usize, conn: ConnId) {
        let Some(peer) = self.peers[slot].as_ref() else { return };
        let config = peer.session.config();
        self.out.push_back(Transmit::Dial(Dial {
            conn,
            remote: SocketAddr::new(config.address, config.port),
            local: config.local_address,
            ttl: peer.ttl(),
        }));
    }

    fn on_up(&mut self, slot: usize) {
        let Some(peer) = self.peers[slot].as_mut() else { return };
        peer.clear();
        if let Some(agreed) = peer.session.agreed() {
            peer.source.id = agreed.id;
        }
        self.join_group(slot);
    }

    /// The session is lost: its routes go at once (RFC 4271 §6.7).
    fn on_down(&mut self, slot: usize) {
        let Some(peer) = self.peers[slot].as_mut() else { return };
        peer.clear();
        let source = peer.slot;
        self.leave_group(slot);
        self.rib.remove_source(source);
    }

    /// Ends the first synchronisation when its time has come.
    pub(super) fn update_sync(&mut self, now: Instant) {
        if self.sync.deadline().is_none() {
            return;
        }
        let mut all_heard = true;
        for peer in self.peers.iter_mut().flatten() {
            let families = peer.families();
            let complete = families.iter().all(|family| peer.eor_received.contains(family));
            peer.heard |= complete && !families.is_empty();
            all_heard &= peer.heard;
        }
        if self.sync.update(all_heard, self.rib.backlog(), now) {
            tracing::info!(all_heard, "first synchronisation ended");
            let bits = self.sync.bits();
            for peer in self.peers.iter_mut().flatten() {
                peer.session.set_restart(bits);
            }
        }
    }

    fn has_work(&self) -> bool {
        let decisions = !self.sync.defers() && self.rib.pending() > 0;
        decisions || self.sync.is_settling() || self.has_exports()
    }

    /// The families' common view of a source, for the decision.
    pub(super) fn source(peers: &[Option<Peer>], local: SourceInfo, id: SourceId) -> SourceInfo {
        let peer = id.slot().and_then(|slot| peers.get(slot)).and_then(Option::as_ref);
        peer.map_or(local, |peer| peer.source)
    }

    /// Time left of the first synchronisation.
    pub(super) fn waiting(&self, now: Instant) -> Option<Duration> {
        self.sync.deadline().map(|until| until.saturating_duration_since(now))
    }

    pub(super) fn slot_by_name(&self, name: &str) -> Option<usize> {
        let is = |peer: &Option<Peer>| {
            peer.as_ref().is_some_and(|peer| peer.session.config().name == name)
        };
        self.peers.iter().position(is)
    }

    pub(super) fn slot_by_address(&self, peer: IpAddr) -> Option<usize> {
        self.by_address.get(&peer.to_canonical()).copied()
    }

    fn answer_refreshes(&mut self, slot: usize, now: Instant) {
        for family in Family::ALL {
            let Some(peer) = self.peers[slot].as_mut() else { return };
            let refresh = peer.refresh.get_mut(family);
            if refresh.due.is_some_and(|at| at <= now) && refresh.request(now) {
                self.tell_again(slot, Some(family));
            }
        }
    }
}

/// Runs a decoder; none if it panicked. Decoders are pure functions of octets, so nothing is left
/// half done.
fn guarded<T>(decode: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(decode)).ok()
}

const SLOT_SHIFT: u32 = 48;

fn slot_of(conn: ConnId) -> usize {
    usize::try_from(conn.0 >> SLOT_SHIFT).unwrap_or(usize::MAX)
}

pub(super) fn import_rules(config: &SpeakerConfig) -> Import {
    Import {
        router_id: config.router_id,
        own_blocks: config.own_blocks.clone(),
        own_addresses: config.own_addresses.clone(),
        connected: config.connected.clone(),
        peers: config.peers.iter().map(|peer| peer.address).collect(),
    }
}

/// The longest beginning of `text` that has at most `limit` bytes.
fn truncated(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_is_contained() {
        assert_eq!(guarded(|| 5), Some(5));
        assert_eq!(guarded(|| -> u8 { panic!("decoder bug, on purpose") }), None);
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(truncated("aä", 2), "a");
        assert_eq!(truncated("aä", 3), "aä");
        assert_eq!(truncated("", 3), "");
    }

    #[test]
    fn a_connection_number_names_its_slot() {
        let config = SpeakerConfig::new(crate::types::Asn(1), "1.1.1.1".parse().unwrap());
        let mut speaker = Speaker::try_new(config, Start::Cold, Instant::now()).unwrap();
        let (a, b) = (speaker.next_generation(7), speaker.next_generation(7));
        assert_eq!((slot_of(a), slot_of(b)), (7, 7));
        assert_ne!(a, b);
        assert_eq!(speaker.identity().asn.0, 1);
    }
}
