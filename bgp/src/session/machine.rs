// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state machine of one peer (RFC 4271 §8), without sockets and clock.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::collision::{Identity, survivor};
use super::conn::{Conn, Phase};
use super::negotiate::{self, Agreed, RestartBits};
use super::state::{By, ConnId, Direction, DownReason, LastDown, State};
use super::timers::{
    BACKOFF_MAX, COLLISION_TIME, IDLE_FAILURES, OPEN_TIME, REST_MAX, Retry, STABLE_TIME, YOUNG,
};
use crate::config::PeerConfig;
use crate::wire::{Message, Notification, NotificationCode};

/// What the owner of a session must do, in this order.
#[derive(Debug)]
pub(crate) enum Output {
    /// Connect to the peer.
    Dial(ConnId),
    /// Write a message.
    Send(ConnId, Bytes),
    /// Close after everything sent is written; forget the connection.
    Close(ConnId),
    /// The session is Established.
    Up,
    /// It no longer is.
    Down,
}

/// Messages by type, in each direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) open: u64,
    pub(crate) update: u64,
    pub(crate) notification: u64,
    pub(crate) keepalive: u64,
    pub(crate) route_refresh: u64,
}

/// Why a connection ends.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) by: By,
    pub(crate) reason: DownReason,
    /// Sent before closing, or received.
    pub(crate) notification: Option<Notification>,
    pub(crate) text: String,
}

impl Failure {
    /// We end it with a NOTIFICATION.
    pub(crate) fn local(reason: DownReason, notification: Notification) -> Self {
        Self { by: By::Local, reason, notification: Some(notification), text: String::new() }
    }

    /// It ends without a word.
    pub(crate) fn silent(by: By, reason: DownReason) -> Self {
        Self { by, reason, notification: None, text: String::new() }
    }

    fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

/// All connections of one peer and what they are worth.
#[derive(Debug)]
pub(crate) struct Session {
    name: Arc<str>,
    config: PeerConfig,
    local: Identity,
    bits: RestartBits,
    /// At most one dialled, one Established and one accepted besides.
    conns: SmallVec<[Conn; 2]>,
    next_conn: u64,
    running: bool,
    retry: Retry,
    retry_at: Option<Instant>,
    /// The peer failed again and again: it is refused until then.
    rest_until: Option<Instant>,
    state: State,
    since: Instant,
    established_at: Option<Instant>,
    transitions: u64,
    last_down: Option<LastDown>,
    sent: Tally,
    received: Tally,
    out: VecDeque<Output>,
}

impl Session {
    /// A session at rest. `first_conn` is the first of a range of connection numbers of its own.
    pub(crate) fn new(
        config: PeerConfig,
        local: Identity,
        bits: RestartBits,
        first_conn: ConnId,
        now: Instant,
    ) -> Self {
        Self {
            name: Arc::from(config.name.as_str()),
            config,
            local,
            bits,
            conns: SmallVec::new(),
            next_conn: first_conn.0,
            running: false,
            retry: Retry::new(first_conn.0),
            retry_at: None,
            rest_until: None,
            state: State::Idle,
            since: now,
            established_at: None,
            transitions: 0,
            last_down: None,
            sent: Tally::default(),
            received: Tally::default(),
            out: VecDeque::new(),
        }
    }

    /// Begins: dials at once unless the peer is passive (RFC 4271 §8.1.2, ManualStart).
    pub(crate) fn start(&mut self, now: Instant) {
        self.running = true;
        self.dial(now);
        self.note("start", now);
    }

    /// Ends every connection the same way and stays down.
    pub(crate) fn stop(
        &mut self,
        reason: DownReason,
        notification: Option<&Notification>,
        now: Instant,
    ) {
        self.running = false;
        self.retry_at = None;
        self.rest_until = None;
        for id in self.ids() {
            let mut failure = Failure::silent(By::Local, reason);
            failure.notification = notification.cloned();
            self.fail(id, failure, now);
        }
        self.note(reason.as_str(), now);
    }

    /// Takes over a configuration that needs no new session.
    pub(crate) fn reconfigure(&mut self, config: PeerConfig, now: Instant) {
        self.config = config;
        if self.running && self.conns.is_empty() && self.retry_at.is_none() {
            self.dial(now);
            self.note("configuration", now);
        }
    }

    /// Sets what the next OPEN says about our restart.
    pub(crate) fn set_restart(&mut self, bits: RestartBits) {
        self.bits = bits;
    }

    /// The peer connected to us; none when the connection is not wanted.
    pub(crate) fn accept(&mut self, local: IpAddr, now: Instant) -> Option<ConnId> {
        if !self.running || self.rest_until.is_some() || !self.wants_incoming(now) {
            return None;
        }
        let id = self.add(Direction::Incoming);
        self.connected(id, local, now);
        self.index(id).map(|_| id)
    }

    /// TCP is connected: OPEN goes out.
    pub(crate) fn connected(&mut self, id: ConnId, local: IpAddr, now: Instant) {
        let Some(index) = self.index(id) else { return };
        if self.conns[index].phase != Phase::Connecting {
            return;
        }
        self.retry.connected();
        // Once our KEEPALIVE is out the peer may be Established there: a newcomer has no chance.
        let newcomer = &self.conns[index];
        let committed = self.conns.iter().any(|conn| conn.phase.is_committed());
        if committed && newcomer.direction == Direction::Outgoing {
            self.drop_conn(id);
            return;
        }
        let deadline = now + self.retry.jitter(OPEN_TIME);
        let conn = &mut self.conns[index];
        conn.local = Some(local);
        conn.phase = Phase::OpenSent;
        conn.timers.open = Some(deadline);
        let open = negotiate::offer(&self.config, self.local, self.bits);
        self.sent.open += 1;
        self.send(id, open, now);
        self.note("tcpConnected", now);
    }

    /// The attempt to connect failed.
    pub(crate) fn connect_failed(&mut self, id: ConnId, text: &str, now: Instant) {
        let failure = Failure::silent(By::Local, DownReason::ConnectFailed).with_text(text);
        self.fail(id, failure, now);
        self.note("tcpConnectFailed", now);
    }

    /// The connection is gone.
    pub(crate) fn closed(&mut self, id: ConnId, text: &str, now: Instant) {
        let failure = Failure::silent(By::Remote, DownReason::ConnectionClosed).with_text(text);
        self.fail(id, failure, now);
        self.note("tcpClosed", now);
    }

    /// The reader or the decoder broke on this connection.
    pub(crate) fn broken(&mut self, id: ConnId, now: Instant) {
        let cease = Notification::new(NotificationCode::OUT_OF_RESOURCES);
        self.fail(id, Failure::local(DownReason::InternalError, cease), now);
        self.note("internalError", now);
    }

    /// `count` chunks were written.
    pub(crate) fn written(&mut self, id: ConnId, count: usize, now: Instant) {
        let send_hold = self.config.timers.send_hold;
        if let Some(conn) = self.conn_mut(id) {
            conn.queued = conn.queued.saturating_sub(count);
            conn.timers.send_hold = (conn.queued > 0).then(|| now + send_hold);
        }
    }

    /// A message arrived; what is left for the owner to handle.
    pub(crate) fn on_message<'a>(
        &mut self,
        id: ConnId,
        message: Message<'a>,
        now: Instant,
    ) -> Option<Message<'a>> {
        let phase = self.conn_mut(id)?.phase;
        match (message, phase) {
            (Message::Notification(notification), _) => {
                self.received.notification += 1;
                self.on_notification(id, notification, now);
            }
            (Message::Open(open), Phase::OpenSent) => {
                self.received.open += 1;
                match negotiate::agree(&self.config, self.local, &open) {
                    Ok(agreed) => self.on_open(id, agreed, now),
                    Err(refusal) => {
                        let failure = Failure::local(DownReason::OpenRefused, refusal.notification);
                        self.fail(id, failure.with_text(refusal.text), now);
                    }
                }
            }
            (Message::Keepalive, Phase::OpenConfirm) => {
                self.received.keepalive += 1;
                self.establish(id, now);
            }
            (Message::Keepalive, Phase::Held) => {
                self.received.keepalive += 1;
                self.conn_mut(id)?.is_ready = true;
            }
            (message, Phase::Established) => return self.on_established(id, message, now),
            (message, _) => self.unexpected(id, &message, now),
        }
        self.note("message", now);
        None
    }

    /// A message could not be decoded: tells the peer and closes.
    pub(crate) fn malformed(&mut self, id: ConnId, error: &crate::wire::Error, now: Instant) {
        let reason = match error {
            crate::wire::Error::Open(_) => DownReason::OpenRefused,
            crate::wire::Error::Header(_)
            | crate::wire::Error::Update(_)
            | crate::wire::Error::Refresh(_) => DownReason::MalformedMessage,
        };
        let failure = Failure::local(reason, error.notification()).with_text(error.to_string());
        self.fail(id, failure, now);
        self.note(error.reason(), now);
    }

    /// Runs every timer that is due.
    pub(crate) fn on_timeout(&mut self, now: Instant) {
        for id in self.ids() {
            self.on_conn_timeout(id, now);
        }
        if self.rest_until.is_some_and(|at| at <= now) {
            self.rest_until = None;
            self.note("idleHoldTimerExpired", now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            if self.conns.is_empty() {
                self.dial(now);
            }
            self.note("connectRetryTimerExpired", now);
        }
    }

    /// The next instant at which [`Self::on_timeout`] has something to do.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        let conns = self.conns.iter().filter_map(|conn| conn.timers.next());
        conns.chain(self.retry_at).chain(self.rest_until).min()
    }

    /// Hands out a chunk of `count` UPDATEs on the Established connection.
    pub(crate) fn send_updates(&mut self, chunk: Bytes, count: usize, now: Instant) {
        if let Some(id) = self.established().map(|conn| conn.id) {
            self.sent.update += count as u64;
            self.send(id, chunk, now);
        }
    }

    /// The next thing to do for the owner.
    pub(crate) fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// What the OPENs agreed on, while Established.
    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.established()?.agreed.as_ref()
    }

    /// The Established connection.
    pub(crate) fn established(&self) -> Option<&Conn> {
        self.conns.iter().find(|conn| conn.phase == Phase::Established)
    }

    /// A connection by number.
    pub(crate) fn conn(&self, id: ConnId) -> Option<&Conn> {
        self.conns.iter().find(|conn| conn.id == id)
    }

    pub(crate) fn config(&self) -> &PeerConfig {
        &self.config
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn state(&self) -> State {
        self.state
    }

    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    pub(crate) fn transitions(&self) -> u64 {
        self.transitions
    }

    pub(crate) fn last_down(&self) -> Option<&LastDown> {
        self.last_down.as_ref()
    }

    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(crate) fn tallies(&self) -> (Tally, Tally) {
        (self.received, self.sent)
    }
}

/// Reactions.
impl Session {
    /// Which newcomers from the peer may send an OPEN.
    fn wants_incoming(&self, now: Instant) -> bool {
        let one_is_pending = self
            .conns
            .iter()
            .any(|conn| conn.direction == Direction::Incoming && conn.phase != Phase::Established);
        if one_is_pending || self.conns.iter().any(|conn| conn.phase == Phase::OpenConfirm) {
            return false;
        }
        let Some(established) = self.established() else { return true };
        // RFC 4724 §4.2: a peer that can restart gracefully and connects again has lost the old
        // connection. Not in the first seconds: then the two connected to each other at once.
        let restarts = established.agreed.as_ref().is_some_and(|agreed| agreed.restart.is_some());
        restarts && self.established_at.is_some_and(|at| now >= at + YOUNG)
    }

    fn dial(&mut self, now: Instant) {
        if self.config.passive || !self.conns.is_empty() {
            return;
        }
        let id = self.add(Direction::Outgoing);
        let deadline = now + self.retry.jitter(self.config.timers.connect_retry);
        if let Some(conn) = self.conn_mut(id) {
            conn.timers.open = Some(deadline);
        }
        self.out.push_back(Output::Dial(id));
    }

    /// The peer's OPEN is good: settles a collision (see the module `collision`) and goes on.
    fn on_open(&mut self, id: ConnId, agreed: Agreed, now: Instant) {
        let keep = survivor(self.local, Identity { id: agreed.id, asn: self.config.asn });
        let hold = agreed.hold;
        let Some(conn) = self.conn_mut(id) else { return };
        conn.agreed = Some(agreed);
        conn.timers.heard(now, hold);
        let direction = conn.direction;
        if let Some(old) = self.established().map(|conn| conn.id) {
            self.fail(old, Failure::silent(By::Remote, DownReason::PeerRestarted), now);
        }
        if !self.has_rival(id) || keep == direction {
            self.confirm(id, now);
        } else if let Some(conn) = self.conn_mut(id) {
            conn.phase = Phase::Held;
            conn.timers.open = Some(now + COLLISION_TIME);
        }
    }

    /// Another connection is connected and not yet beaten.
    fn has_rival(&self, id: ConnId) -> bool {
        self.conns.iter().any(|conn| conn.id != id && conn.phase != Phase::Connecting)
    }

    /// Chooses this connection: closes all others and sends our KEEPALIVE.
    fn confirm(&mut self, id: ConnId, now: Instant) {
        for other in self.ids() {
            if other == id {
                continue;
            }
            if self.conn(other).is_some_and(|conn| conn.phase != Phase::Connecting) {
                let cease = Notification::new(NotificationCode::CONNECTION_COLLISION);
                self.send_notification(other, &cease, now);
            }
            self.drop_conn(other);
        }
        let Some(conn) = self.conn_mut(id) else { return };
        conn.phase = Phase::OpenConfirm;
        // Without a hold time nothing else would end the wait for the peer's KEEPALIVE.
        conn.timers.open = conn.timers.hold.is_none().then(|| now + OPEN_TIME);
        let is_ready = conn.is_ready;
        self.send_keepalive(id, now);
        if is_ready {
            self.establish(id, now);
        }
    }

    fn establish(&mut self, id: ConnId, now: Instant) {
        let Some(conn) = self.conn_mut(id) else { return };
        conn.phase = Phase::Established;
        conn.timers.open = None;
        let hold = conn.agreed.as_ref().map_or(Duration::ZERO, |agreed| agreed.hold);
        conn.timers.heard(now, hold);
        self.transitions += 1;
        self.established_at = Some(now);
        self.out.push_back(Output::Up);
    }

    fn on_established<'a>(
        &mut self,
        id: ConnId,
        message: Message<'a>,
        now: Instant,
    ) -> Option<Message<'a>> {
        match &message {
            Message::Update(_) => self.received.update += 1,
            Message::Keepalive => self.received.keepalive += 1,
            Message::RouteRefresh(_) => self.received.route_refresh += 1,
            Message::Open(_) | Message::Notification(_) => {
                self.unexpected(id, &message, now);
                self.note("message", now);
                return None;
            }
        }
        let hold = self.agreed().map_or(Duration::ZERO, |agreed| agreed.hold);
        if let Some(conn) = self.conn_mut(id) {
            conn.timers.heard(now, hold);
        }
        Some(message)
    }

    fn on_notification(&mut self, id: ConnId, notification: Notification, now: Instant) {
        let text = notification.text().map(|text| text.into_owned()).unwrap_or_default();
        let mut failure = Failure::silent(By::Remote, DownReason::NotificationReceived);
        failure.notification = Some(notification);
        self.fail(id, failure.with_text(text), now);
    }

    /// RFC 4271 §6.6, RFC 6608: the message does not belong into this state.
    fn unexpected(&mut self, id: ConnId, message: &Message<'_>, now: Instant) {
        let Some(phase) = self.conn(id).map(|conn| conn.phase) else { return };
        let code = match phase {
            Phase::Connecting | Phase::OpenSent => NotificationCode::UNEXPECTED_IN_OPEN_SENT,
            Phase::Held | Phase::OpenConfirm => NotificationCode::UNEXPECTED_IN_OPEN_CONFIRM,
            Phase::Established => NotificationCode::UNEXPECTED_IN_ESTABLISHED,
        };
        let notification = Notification::with_data(code, [message.kind().number()]);
        let failure = Failure::local(DownReason::UnexpectedMessage, notification);
        self.fail(id, failure.with_text(message.kind().name()), now);
    }

    fn on_conn_timeout(&mut self, id: ConnId, now: Instant) {
        let Some(conn) = self.conn_mut(id) else { return };
        let due = |timer: Option<Instant>| timer.is_some_and(|at| at <= now);
        if due(conn.timers.open) {
            match conn.phase {
                Phase::Connecting => self.connect_failed(id, "timed out", now),
                Phase::Held => self.confirm(id, now),
                Phase::OpenSent | Phase::OpenConfirm | Phase::Established => {
                    self.expire(id, DownReason::OpenTimerExpired, now);
                }
            }
        } else if due(conn.timers.send_hold) {
            self.expire(id, DownReason::SendHoldTimerExpired, now);
        } else if conn.timers.is_dead(now) {
            self.expire(id, DownReason::HoldTimerExpired, now);
        } else if due(conn.timers.keepalive) {
            self.send_keepalive(id, now);
        }
    }

    fn expire(&mut self, id: ConnId, reason: DownReason, now: Instant) {
        let code = if reason == DownReason::SendHoldTimerExpired {
            NotificationCode::SEND_HOLD_TIMER_EXPIRED
        } else {
            NotificationCode::HOLD_TIMER_EXPIRED
        };
        self.fail(id, Failure::local(reason, Notification::new(code)), now);
        self.note(reason.as_str(), now);
    }

    /// Ends a connection, tells who needs to know and plans the next attempt.
    fn fail(&mut self, id: ConnId, failure: Failure, now: Instant) {
        let Some(phase) = self.conn(id).map(|conn| conn.phase) else { return };
        if let Some(notification) = &failure.notification
            && failure.by == By::Local
            && phase != Phase::Connecting
        {
            self.send_notification(id, notification, now);
        }
        self.drop_conn(id);
        let was_established = phase == Phase::Established;
        if was_established {
            self.out.push_back(Output::Down);
            let lasted = self.established_at.take().map(|at| now - at);
            if lasted.is_some_and(|lasted| lasted >= STABLE_TIME) {
                self.retry.reset();
            }
        }
        if was_established || self.conns.is_empty() {
            self.rest(&failure, now);
            let code = failure.notification.as_ref().map(|notification| notification.code);
            self.last_down = Some(LastDown {
                at: now,
                by: failure.by,
                reason: failure.reason,
                code: code.map_or(0, |code| code.code),
                subcode: code.map_or(0, |code| code.subcode),
                text: failure.text,
            });
        }
        self.release_held(now);
    }

    /// The pause before the next attempt.
    fn rest(&mut self, failure: &Failure, now: Instant) {
        if !self.running || !self.conns.is_empty() {
            return;
        }
        let pause = match failure.reason {
            DownReason::ConnectFailed => self.retry.dial_failed(self.config.timers.connect_retry),
            _ => self.retry.session_failed(BACKOFF_MAX),
        };
        self.retry_at = Some(now + pause);
        if self.retry.failures() >= IDLE_FAILURES {
            self.rest_until = Some(now + pause.min(REST_MAX));
        }
    }

    /// A rival is gone: the connection that waited for it goes on.
    fn release_held(&mut self, now: Instant) {
        let held = self.conns.iter().find(|conn| conn.phase == Phase::Held).map(|conn| conn.id);
        if let Some(id) = held.filter(|id| !self.has_rival(*id)) {
            self.confirm(id, now);
        }
    }

    fn send_keepalive(&mut self, id: ConnId, now: Instant) {
        let Some(agreed) = self.conn(id).and_then(|conn| conn.agreed.as_ref()) else { return };
        let interval = agreed.keepalive;
        let next = (!interval.is_zero()).then(|| now + self.retry.jitter(interval));
        if let Some(conn) = self.conn_mut(id) {
            conn.timers.keepalive = next;
            // The peer takes nothing: one more KEEPALIVE behind the others tells it nothing.
            if conn.queued >= MAX_QUEUED {
                return;
            }
        }
        self.sent.keepalive += 1;
        self.send(id, negotiate::keepalive(), now);
    }

    fn send_notification(&mut self, id: ConnId, notification: &Notification, now: Instant) {
        self.sent.notification += 1;
        self.send(id, negotiate::notification(notification), now);
    }

    fn send(&mut self, id: ConnId, message: Bytes, now: Instant) {
        let send_hold = self.config.timers.send_hold;
        let Some(conn) = self.conn_mut(id) else { return };
        if conn.queued == 0 {
            conn.timers.send_hold = Some(now + send_hold);
        }
        conn.queued += 1;
        self.out.push_back(Output::Send(id, message));
    }

    fn add(&mut self, direction: Direction) -> ConnId {
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        self.conns.push(Conn::new(id, direction));
        id
    }

    fn drop_conn(&mut self, id: ConnId) {
        if let Some(index) = self.index(id) {
            self.conns.remove(index);
            self.out.push_back(Output::Close(id));
        }
    }

    fn index(&self, id: ConnId) -> Option<usize> {
        self.conns.iter().position(|conn| conn.id == id)
    }

    fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.id == id)
    }

    fn ids(&self) -> SmallVec<[ConnId; 2]> {
        self.conns.iter().map(|conn| conn.id).collect()
    }

    /// Works out the state and logs a change of it.
    fn note(&mut self, event: &str, now: Instant) {
        let furthest = self.conns.iter().map(|conn| conn.phase.state()).max();
        let state = match furthest {
            Some(state) => state,
            None if self.running && self.rest_until.is_none() => State::Active,
            None => State::Idle,
        };
        if state == self.state {
            return;
        }
        let (peer, from) = (&self.name, self.state);
        if state == State::Established {
            tracing::info!(%peer, %from, to = %state, event, "session established");
        } else if from == State::Established {
            tracing::info!(%peer, %from, to = %state, event, "session lost");
        } else {
            tracing::debug!(%peer, %from, to = %state, event, "session state changed");
        }
        self.state = state;
        self.since = now;
    }
}

/// Chunks that may wait to be written before KEEPALIVEs are left out.
pub(crate) const MAX_QUEUED: usize = 64;
