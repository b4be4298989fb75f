// SPDX-License-Identifier: MIT OR Apache-2.0
//! When the next periodic packet goes out.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use crate::packet::Interval;

/// The transmission timer of one session.
#[derive(Debug)]
pub(super) struct Pace {
    random: fastrand::Rng,
    last: Option<Instant>,
    due: Instant,
}

impl Pace {
    /// The first packet is due at once.
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), last: None, due: now }
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// The next packet does not wait.
    pub(super) fn now(&mut self, now: Instant) {
        self.due = self.due.min(now);
    }

    /// A packet went out.
    pub(super) fn sent(&mut self, interval: Interval, multiplier: NonZeroU8, now: Instant) {
        self.last = Some(now);
        self.due = now + self.jittered(interval, multiplier);
    }

    /// The interval may have become shorter; it never makes a packet later.
    pub(super) fn shorten(&mut self, interval: Interval, multiplier: NonZeroU8, now: Instant) {
        let Some(last) = self.last.filter(|last| *last + interval.as_duration() < self.due) else {
            return;
        };
        let due = last + self.jittered(interval, multiplier);
        self.due = self.due.min(due.max(now));
    }

    /// RFC 5880 §6.8.7: 75 to 100 % of the interval, and never more than 90 % where the other
    /// side forgives no lost packet.
    fn jittered(&mut self, interval: Interval, multiplier: NonZeroU8) -> Duration {
        let most = if multiplier == NonZeroU8::MIN { 900 } else { 1000 };
        let permille = self.random.u64(750..=most);
        Duration::from_micros(u64::from(interval.as_micros()) * permille / 1000)
    }
}
