// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the state machine does about what it is told.

use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::{Failure, MAX_QUEUED, Output, Session};
use crate::session::collision::{Identity, survivor};
use crate::session::conn::{Conn, Phase};
use crate::session::negotiate::{self, Agreed};
use crate::session::state::{By, ConnId, Direction, DownReason, LastDown, State};
use crate::session::timers::{
    BACKOFF_MAX, COLLISION_TIME, IDLE_FAILURES, OPEN_TIME, REST_MAX, STABLE_TIME, YOUNG,
};
use crate::wire::{Message, Notification, NotificationCode};

impl Session {
    /// Which newcomers from the peer may send an OPEN.
    pub(super) fn wants_incoming(&self, now: Instant) -> bool {
        let one_is_pending = self
            .conns
            .iter()
            .any(|conn| conn.direction == Direction::Incoming && conn.phase != Phase::Established);
        // Once our KEEPALIVE is out the peer may be Established there: a newcomer has no chance.
        if one_is_pending || self.conns.iter().any(|conn| conn.phase == Phase::OpenConfirm) {
            return false;
        }
        let Some(established) = self.established() else { return true };
        // RFC 4724 §4.2: a peer that can restart gracefully and connects again has lost the old
        // connection. Not in the first seconds: then the two connected to each other at once.
        let restarts = established.agreed.as_ref().is_some_and(|agreed| agreed.restart.is_some());
        restarts && self.established_at.is_some_and(|at| now >= at + YOUNG)
    }

    pub(super) fn dial(&mut self, now: Instant) {
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
    pub(super) fn on_open(&mut self, id: ConnId, agreed: Agreed, now: Instant) {
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
    pub(super) fn has_rival(&self, id: ConnId) -> bool {
        self.conns.iter().any(|conn| conn.id != id && conn.phase != Phase::Connecting)
    }

    /// Chooses this connection: closes all others and sends our KEEPALIVE.
    pub(super) fn confirm(&mut self, id: ConnId, now: Instant) {
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

    pub(super) fn establish(&mut self, id: ConnId, now: Instant) {
        let Some(conn) = self.conn_mut(id) else { return };
        conn.phase = Phase::Established;
        conn.timers.open = None;
        let hold = conn.agreed.as_ref().map_or(Duration::ZERO, |agreed| agreed.hold);
        conn.timers.heard(now, hold);
        self.transitions += 1;
        self.established_at = Some(now);
        self.out.push_back(Output::Up);
    }

    pub(super) fn on_established<'a>(
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

    pub(super) fn on_notification(&mut self, id: ConnId, notification: Notification, now: Instant) {
        let text = notification.text().map(|text| text.into_owned()).unwrap_or_default();
        let mut failure = Failure::silent(By::Remote, DownReason::NotificationReceived);
        failure.notification = Some(notification);
        self.fail(id, failure.with_text(text), now);
    }

    /// RFC 4271 §6.6, RFC 6608: the message does not belong into this state.
    pub(super) fn unexpected(&mut self, id: ConnId, message: &Message<'_>, now: Instant) {
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

    pub(super) fn on_conn_timeout(&mut self, id: ConnId, now: Instant) {
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

    pub(super) fn expire(&mut self, id: ConnId, reason: DownReason, now: Instant) {
        let code = if reason == DownReason::SendHoldTimerExpired {
            NotificationCode::SEND_HOLD_TIMER_EXPIRED
        } else {
            NotificationCode::HOLD_TIMER_EXPIRED
        };
        self.fail(id, Failure::local(reason, Notification::new(code)), now);
        self.note(reason.as_str(), now);
    }

    /// Ends a connection, tells who needs to know and plans the next attempt.
    pub(super) fn fail(&mut self, id: ConnId, failure: Failure, now: Instant) {
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
            self.record(failure, was_established, now);
        }
        self.release_held(now);
    }

    /// Keeps and logs the end of a session, or of an attempt at one.
    pub(super) fn record(&mut self, failure: Failure, was_established: bool, now: Instant) {
        let Failure { by, reason, notification, text } = failure;
        let code = notification.map(|notification| notification.code);
        let (code, subcode) = code.map_or((0, 0), |code| (code.code, code.subcode));
        let (peer, ended) = (&self.name, by.as_str());
        let retry_ms = self.retry_at.map(|at| (at - now).as_millis());
        // The text may be the peer's: escaped.
        if was_established || reason == DownReason::OpenRefused {
            tracing::warn!(
                %peer, by = ended, %reason, code, subcode, ?text, retry_ms, "session ended"
            );
        } else {
            tracing::debug!(
                %peer, by = ended, %reason, code, subcode, ?text, retry_ms, "attempt ended"
            );
        }
        self.last_down = Some(LastDown { at: now, by, reason, code, subcode, text });
    }

    /// The pause before the next attempt.
    pub(super) fn rest(&mut self, failure: &Failure, now: Instant) {
        if !self.running || !self.conns.is_empty() {
            return;
        }
        let pause = match failure.reason {
            DownReason::ConnectFailed => self.retry.dial_failed(self.config.timers.connect_retry),
            _ => self.retry.session_failed(BACKOFF_MAX),
        };
        self.retry_at = (!self.config.passive).then(|| now + pause);
        if self.retry.failures() >= IDLE_FAILURES {
            self.rest_until = Some(now + pause.min(REST_MAX));
        }
    }

    /// A rival is gone: the connection that waited for it goes on.
    pub(super) fn release_held(&mut self, now: Instant) {
        let held = self.conns.iter().find(|conn| conn.phase == Phase::Held).map(|conn| conn.id);
        if let Some(id) = held.filter(|id| !self.has_rival(*id)) {
            self.confirm(id, now);
        }
    }

    pub(super) fn send_keepalive(&mut self, id: ConnId, now: Instant) {
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

    pub(super) fn send_notification(
        &mut self,
        id: ConnId,
        notification: &Notification,
        now: Instant,
    ) {
        self.sent.notification += 1;
        self.send(id, negotiate::notification(notification), now);
    }

    pub(super) fn send(&mut self, id: ConnId, message: Bytes, now: Instant) {
        let send_hold = self.config.timers.send_hold;
        let Some(conn) = self.conn_mut(id) else { return };
        if conn.queued == 0 {
            conn.timers.send_hold = Some(now + send_hold);
        }
        conn.queued += 1;
        self.out.push_back(Output::Send(id, message));
    }

    pub(super) fn add(&mut self, direction: Direction) -> ConnId {
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        self.conns.push(Conn::new(id, direction));
        id
    }

    pub(super) fn drop_conn(&mut self, id: ConnId) {
        if let Some(index) = self.index(id) {
            self.conns.remove(index);
            self.out.push_back(Output::Close(id));
        }
    }

    fn index(&self, id: ConnId) -> Option<usize> {
        self.conns.iter().position(|conn| conn.id == id)
    }

    pub(super) fn conn_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.id == id)
    }

    pub(super) fn ids(&self) -> SmallVec<[ConnId; 2]> {
        self.conns.iter().map(|conn| conn.id).collect()
    }

    /// Works out the state and logs a change of it.
    pub(super) fn note(&mut self, event: &str, now: Instant) {
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
