// SPDX-License-Identifier: MIT OR Apache-2.0
//! Deadlines of one connection and the pause between attempts.
//!
//! Everything is a deadline against the caller's clock; nothing here reads one. Jitter is
//! RFC 4271 §10: a factor from 0.75 to 1.0, from a seeded generator, so that runs repeat.

use std::time::{Duration, Instant};

/// How long a connection may take to deliver a complete OPEN. The RFC's four minutes leave a
/// client that connected to an overflowing backlog waiting for an OPEN that never comes.
pub(crate) const OPEN_TIME: Duration = Duration::from_secs(8);
/// First pause after a failure.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// Longest pause after repeated failures.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A session that lasted this long was not a failure.
pub(crate) const STABLE_TIME: Duration = Duration::from_secs(30);
/// From this many failures in a row the peer rests in Idle and is refused for a while.
pub(crate) const IDLE_FAILURES: u32 = 4;
/// Longest time for which such a peer is refused. Shorter than the pauses between our attempts:
/// two speakers that rest would otherwise refuse each other for ever.
pub(crate) const REST_MAX: Duration = Duration::from_secs(5);
/// A session younger than this may be one of two that were opened at once.
pub(crate) const YOUNG: Duration = Duration::from_secs(5);
/// How long a connection waits for a better one to carry an OPEN.
pub(crate) const COLLISION_TIME: Duration = Duration::from_secs(2);
/// A hold timer found expired by more than this was overslept by us, not missed by the peer.
const LATE: Duration = Duration::from_secs(1);

/// Deadlines of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnTimers {
    /// Connect or OpenSent: give up.
    pub(crate) open: Option<Instant>,
    /// Peer is dead unless heard before.
    pub(crate) hold: Option<Instant>,
    /// Send the next KEEPALIVE.
    pub(crate) keepalive: Option<Instant>,
    /// Peer takes nothing unless something is written before.
    pub(crate) send_hold: Option<Instant>,
    /// The hold timer was already put off once without hearing the peer.
    graced: bool,
}

impl ConnTimers {
    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        [self.open, self.hold, self.keepalive, self.send_hold].into_iter().flatten().min()
    }

    /// The peer was heard: restart the hold timer; zero means it never expires.
    pub(crate) fn heard(&mut self, now: Instant, hold_time: Duration) {
        self.graced = false;
        self.hold = (!hold_time.is_zero()).then(|| now + hold_time);
    }

    /// True when the peer is dead. When we ourselves were stopped (suspend, starvation), its
    /// messages may wait unread in the socket: then the timer is put off once.
    pub(crate) fn is_dead(&mut self, now: Instant) -> bool {
        let Some(deadline) = self.hold.filter(|deadline| *deadline <= now) else {
            return false;
        };
        if !self.graced && now > deadline + LATE {
            self.graced = true;
            self.hold = Some(now + LATE);
            return false;
        }
        true
    }
}

/// The pause before the next attempt.
///
/// Failing to connect and failing afterwards are counted apart: a peer that is not up yet is
/// tried often, a peer that is up and refuses us is left alone for longer and longer.
#[derive(Clone, Debug)]
pub(crate) struct Retry {
    dials: u32,
    failures: u32,
    rng: fastrand::Rng,
}

impl Retry {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dials: 0, failures: 0, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Sessions that failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Forgets all failures: the peer worked.
    pub(crate) fn reset(&mut self) {
        self.dials = 0;
        self.failures = 0;
    }

    /// Forgets failures to connect.
    pub(crate) fn connected(&mut self) {
        self.dials = 0;
    }

    /// The pause after a failure to connect: 1 s doubled per failure up to `limit`, jittered.
    pub(crate) fn dial_failed(&mut self, limit: Duration) -> Duration {
        let pause = doubled(self.dials).min(limit);
        self.dials = self.dials.saturating_add(1);
        self.jitter(pause)
    }

    /// The pause after a failed session: 1 s doubled per failure up to `limit`, jittered.
    pub(crate) fn session_failed(&mut self, limit: Duration) -> Duration {
        let pause = doubled(self.failures).min(limit);
        self.failures = self.failures.saturating_add(1);
        self.jitter(pause)
    }

    /// A random duration from three quarters of `full` to `full`.
    pub(crate) fn jitter(&mut self, full: Duration) -> Duration {
        full.mul_f64(self.rng.f64().mul_add(0.25, 0.75))
    }
}

fn doubled(times: u32) -> Duration {
    BACKOFF_MIN * (1 << times.min(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_one_second_to_the_limit() {
        let mut retry = Retry::new(1);
        let mut expected = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0].into_iter();
        for _ in 0..8 {
            let (pause, full) =
                (retry.session_failed(BACKOFF_MAX).as_secs_f64(), expected.next().unwrap());
            assert!(pause >= full * 0.75 && pause <= full, "{pause} is not a jittered {full}");
        }
        retry.reset();
        assert!(retry.session_failed(BACKOFF_MAX) <= BACKOFF_MIN);
    }

    #[test]
    fn a_peer_silent_for_the_hold_time_is_dead() {
        let start = Instant::now();
        let mut timers = ConnTimers::default();
        timers.heard(start, Duration::from_secs(9));
        assert!(!timers.is_dead(start + Duration::from_millis(8_999)));
        assert!(timers.is_dead(start + Duration::from_millis(9_001)));
    }

    #[test]
    fn an_overslept_hold_timer_is_put_off_exactly_once() {
        let start = Instant::now();
        let mut timers = ConnTimers::default();
        timers.heard(start, Duration::from_secs(9));
        let late = start + Duration::from_secs(60);
        assert!(!timers.is_dead(late));
        assert!(!timers.is_dead(late + Duration::from_millis(900)));
        assert!(timers.is_dead(late + Duration::from_secs(5)));
    }

    #[test]
    fn hold_time_zero_never_expires() {
        let mut timers = ConnTimers::default();
        timers.heard(Instant::now(), Duration::ZERO);
        assert_eq!(timers.next(), None);
    }
}
