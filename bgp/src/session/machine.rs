// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state machine of one peer (RFC 4271 §8), without sockets and clock.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::collision::Identity;
use super::conn::{Conn, Phase};
use super::negotiate::{self, Agreed, RestartBits};
use super::state::{By, ConnId, Direction, DownReason, LastDown, State};
use super::timers::{OPEN_TIME, Retry};
use crate::config::PeerConfig;
use crate::wire::{Message, Notification, NotificationCode};

mod react;

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
            // Neighbouring nodes must not retry in step.
            retry: Retry::new(first_conn.0 ^ u64::from(local.id.to_bits()).rotate_left(16)),
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
        Some(id)
    }

    /// TCP is connected: OPEN goes out.
    pub(crate) fn connected(&mut self, id: ConnId, local: IpAddr, now: Instant) {
        let deadline = now + self.retry.jitter(OPEN_TIME);
        let Some(conn) = self.conn_mut(id).filter(|conn| conn.phase == Phase::Connecting) else {
            return;
        };
        conn.local = Some(local);
        conn.phase = Phase::OpenSent;
        conn.timers.open = Some(deadline);
        self.retry.connected();
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

    /// The path failed (RFC 5882 §4.2): an Established connection ends at once; an attempt at one
    /// goes on, for it needs no judge but TCP. False when there was nothing to end.
    pub(crate) fn path_failed(&mut self, now: Instant) -> bool {
        let Some(id) = self.established().map(|conn| conn.id) else { return false };
        let cease = Notification::new(NotificationCode::BFD_DOWN);
        self.fail(id, Failure::local(DownReason::BfdDown, cease), now);
        self.note("bfdDown", now);
        true
    }

    /// The peer sent more prefixes than it may: the session ends, and nothing of the peer is
    /// accepted for a while (RFC 4486 §4).
    pub(crate) fn over_limit(&mut self, restart: Duration, now: Instant) {
        let Some(id) = self.established().map(|conn| conn.id) else { return };
        let cease = Notification::new(NotificationCode::MAX_PREFIXES);
        self.fail(id, Failure::local(DownReason::PrefixLimit, cease), now);
        if self.running {
            self.retry_at = (!self.config.passive).then(|| now + restart);
            self.rest_until = Some(now + restart);
        }
        self.note("prefixLimit", now);
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

/// Chunks that may wait to be written before KEEPALIVEs are left out.
pub(crate) const MAX_QUEUED: usize = 64;
