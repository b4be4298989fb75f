// SPDX-License-Identifier: MIT OR Apache-2.0
//! Retry times, one per failing key.
//!
//! Each key waits on its own: the delay doubles with each failure of that key and is spread by a
//! jitter drawn from a seed, so that many keys which failed together do not come back together. A
//! key whose failure cannot be cured by time is held until its owner releases it.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::hash::{Map, Seeded};
use crate::status::{Failure, FailureKind};

/// How long to wait after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// Delay after the first failure; it doubles with each further one.
    pub initial: Duration,
    /// Upper bound of the delay, before jitter.
    pub max: Duration,
    /// Each delay is lengthened by up to this many per cent.
    pub jitter_percent: u32,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            jitter_percent: 25,
        }
    }
}

impl BackoffConfig {
    /// The delay after this many failures (one or more), without jitter.
    fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.initial.saturating_mul(1 << doublings).min(self.max)
    }
}

/// The failing keys and the time at which each is tried again.
#[derive(Debug)]
pub(crate) struct Backoff<K> {
    config: BackoffConfig,
    random: u64,
    keys: Map<K, Failing>,
    /// Keys by retry time; the number keeps equal times apart.
    timers: BTreeMap<(Instant, u64), K>,
    timer_count: u64,
}

#[derive(Debug)]
struct Failing {
    failure: Failure,
    attempts: u32,
    /// The timer, unless the key is being tried or is held.
    timer: Option<(Instant, u64)>,
    held: bool,
}

impl<K: Hash + Eq + Clone> Backoff<K> {
    pub(crate) fn new(config: BackoffConfig, seed: u64) -> Self {
        let keys = Map::with_hasher(Seeded(seed));
        Self { config, random: seed, keys, timers: BTreeMap::new(), timer_count: 0 }
    }

    /// A delay with jitter after this many failures in a row.
    pub(crate) fn delay(&mut self, failures: u32) -> Duration {
        let base = self.config.delay(failures);
        // Thousandths of the jitter span, 0..=1000.
        let share = u32::try_from(self.next_random() % 1001).unwrap_or(0);
        base + base.saturating_mul(self.config.jitter_percent) / 100 * share / 1000
    }

    /// Notes a failure of a key and returns when it is tried again; `None` if it is held.
    pub(crate) fn fail(&mut self, key: K, failure: Failure, now: Instant) -> Option<Instant> {
        let attempts = self.keys.get(&key).map_or(0, |failing| failing.attempts).saturating_add(1);
        self.clear(&key);
        let held = matches!(failure.kind, FailureKind::Gone | FailureKind::Fatal);
        let delay = match failure.kind {
            // The dump is the remedy: at first it comes at once. Without jitter, so that the keys
            // of a batch that failed together share the next dump, too.
            FailureKind::Resync if attempts == 1 => Duration::ZERO,
            FailureKind::Resync => self.config.delay(attempts - 1),
            FailureKind::Retry | FailureKind::Gone | FailureKind::Fatal => self.delay(attempts),
        };
        let timer = (!held).then(|| {
            self.timer_count += 1;
            (now + delay, self.timer_count)
        });
        if let Some(timer) = timer {
            self.timers.insert(timer, key.clone());
        }
        self.keys.insert(key, Failing { failure, attempts, timer, held });
        timer.map(|(at, _)| at)
    }

    /// Forgets a key: it succeeded, or its failure was about a value that is gone.
    pub(crate) fn clear(&mut self, key: &K) -> bool {
        let Some(failing) = self.keys.remove(key) else { return false };
        if let Some(timer) = failing.timer {
            self.timers.remove(&timer);
        }
        true
    }

    /// Whether the key must not be tried now.
    pub(crate) fn blocks(&self, key: &K) -> bool {
        self.keys.get(key).is_some_and(|failing| failing.held || failing.timer.is_some())
    }

    /// The next key whose time has come; it is free to be tried.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        let due = self.timers.first_entry().filter(|timer| timer.key().0 <= now)?;
        let key = due.remove();
        if let Some(failing) = self.keys.get_mut(&key) {
            failing.timer = None;
        }
        Some(key)
    }

    /// The failure of a key.
    pub(crate) fn failure(&self, key: &K) -> Option<&Failure> {
        self.keys.get(key).map(|failing| &failing.failure)
    }

    /// The keys that are held because their parent vanished.
    pub(crate) fn gone(&self) -> Vec<K> {
        let gone = self.keys.iter().filter(|(_, f)| f.held && f.failure.kind == FailureKind::Gone);
        gone.map(|(key, _)| key.clone()).collect()
    }

    /// All failing keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Failure)> {
        self.keys.iter().map(|(key, failing)| (key, &failing.failure))
    }

    /// Number of failing keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// When the next key is due.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    /// SplitMix64: small, seedable, good enough to spread retries.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.random;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests;
