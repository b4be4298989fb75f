// SPDX-License-Identifier: MIT OR Apache-2.0
//! The brain of a reconciler: says what to do next, does nothing itself.
//!
//! ```text
//!              on_changes  on_drift
//!                    │        │
//!                    ▼        ▼
//!   next(now) ──▶ Dump ──▶ on_dump ──┐
//!      ▲    └──▶ Apply ──▶ on_outcomes ──▶ poll_report (drain after each call)
//!      │    └──▶ Idle(until)         │
//!      └─────────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::{Duration, Instant};

use crate::backoff::{Backoff, BackoffConfig};
use crate::delta::{DeltaMap, Need};
use crate::hash::{Map, Seeded};
use crate::mailbox::Changes;
use crate::plan::DumpPlan;
use crate::queue::{Order, Queue};
use crate::status::{Completeness, Drift, Failure, FailureKind, Outcome, Report, Revision};
use crate::target::Batch;

/// A key that was overtaken for this many batches is served regardless of its rank.
const LEFT_BEHIND: u64 = 64;

/// Settings of a [`Driver`].
#[derive(Clone, Copy, Debug)]
pub struct DriverConfig {
    /// Most keys in one batch, at least 1.
    pub max_batch: usize,
    /// Dump again this long after the last dump, even without a reason.
    pub audit_interval: Option<Duration>,
    /// Delays after failures; the initial one is also the least time between two dumps for hints.
    pub backoff: BackoffConfig,
    /// Seed of jitter and hashing: same seed and inputs, same actions.
    pub seed: u64,
}

impl Default for DriverConfig {
    fn default() -> Self {
        Self { max_batch: 512, audit_interval: None, backoff: BackoffConfig::default(), seed: 0 }
    }
}

/// What the caller shall do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<K, V> {
    /// Read the target, then call [`Driver::on_dump`].
    Dump,
    /// Write the batch, then call [`Driver::on_outcomes`].
    Apply(Batch<K, V>),
    /// Nothing until an input arrives or this time is reached.
    Idle(Option<Instant>),
}

/// Counters and sizes of a [`Driver`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Keys that are wanted.
    pub desired: usize,
    /// Keys that the target is known to hold.
    pub actual: usize,
    /// Keys where the two differ, failing ones included.
    pub pending: usize,
    /// Keys whose last write failed.
    pub failed: usize,
    /// Dumps that succeeded.
    pub dumps: u64,
    /// Dumps that failed.
    pub dump_failures: u64,
    /// Batches handed out.
    pub batches: u64,
    /// Puts handed out.
    pub puts: u64,
    /// Deletes handed out.
    pub deletes: u64,
    /// Keys in force that a later dump found changed or gone: foreign changes, to be undone.
    pub drifted: u64,
}

/// Sans-IO reconciler of one table.
///
/// Rules, each with a test:
/// - the first action is a dump; nothing is written before one succeeded;
/// - puts may go out at any time after that, deletes only while the source is complete;
/// - a key that failed is unknown and waits on its own; no other key waits for it, and no churn
///   keeps it waiting after its time came;
/// - a drift hint on a known key leads to a write of that key, any other hint to a dump;
/// - a batch holds at most `max_batch` keys: puts by ascending rank, deletes by descending rank;
/// - what the target holds already is not written.
///
/// Call [`next`](Self::next), do what it says, hand the result back, drain
/// [`poll_report`](Self::poll_report), and begin again; after [`Action::Idle`] wait for an input or
/// the time it names.
#[derive(Debug)]
pub struct Driver<K, V> {
    max_batch: usize,
    delta: DeltaMap<K, V>,
    completeness: Completeness,
    puts: Queue<K>,
    deletes: Queue<K>,
    flight: Map<K, Flight<V>>,
    backoff: Backoff<K>,
    plan: DumpPlan,
    reports: VecDeque<Report<K>>,
    counters: Stats,
}

/// A write that was handed out and has no outcome yet.
#[derive(Debug)]
struct Flight<V> {
    /// The revision it answers; `None` for the removal of an orphan.
    revision: Option<Revision>,
    sent: Sent<V>,
    /// A hint arrived meanwhile: the outcome does not tell what is there now.
    disturbed: bool,
}

#[derive(Debug)]
enum Sent<V> {
    /// The value that is still wanted.
    Wanted,
    /// A value that is not wanted any more.
    Outdated(V),
    Removal,
}

impl<K: Hash + Eq + Clone, V: PartialEq + Clone> Driver<K, V> {
    /// A driver that knows nothing yet and will ask for a dump.
    pub fn new(config: DriverConfig) -> Self {
        let DriverConfig { max_batch, audit_interval, backoff, seed } = config;
        Self {
            max_batch: max_batch.max(1),
            delta: DeltaMap::with_seed(seed),
            completeness: Completeness::Loading,
            puts: Queue::new(seed),
            deletes: Queue::new(seed),
            flight: Map::with_hasher(Seeded(seed)),
            backoff: Backoff::new(backoff, seed),
            plan: DumpPlan::new(backoff.initial, audit_interval),
            reports: VecDeque::new(),
            counters: Stats::default(),
        }
    }

    /// Takes in new wishes.
    ///
    /// Another value ends the wait of a failing key. The same value again ends it only if the key
    /// is held for a vanished parent, and is answered with the known failure if that is final.
    pub fn on_changes(&mut self, changes: Changes<K, V>) {
        self.completeness = changes.completeness;
        for (key, change) in changes.entries {
            let same = self.delta.desired(&key) == change.value.as_ref();
            let before = self.delta.set_desired(key.clone(), change.value, change.revision);
            if let Some(flight) = self.flight.get_mut(&key)
                && let (false, Sent::Wanted, Some(before)) = (same, &flight.sent, before)
            {
                flight.sent = Sent::Outdated(before);
            }
            match self.backoff.failure(&key).map(|failure| failure.kind) {
                Some(FailureKind::Fatal) if same => self.report_held(&key),
                Some(FailureKind::Retry | FailureKind::Resync) if same => {}
                Some(_) => {
                    self.backoff.clear(&key);
                }
                None => {}
            }
            self.review(&key);
        }
    }

    /// Takes in what a dump found, or why it failed.
    pub fn on_dump(&mut self, dump: Result<Vec<(K, V)>, Failure>, now: Instant) {
        self.fail_unanswered(now);
        match dump {
            Ok(found) => {
                self.counters.dumps += 1;
                self.plan.on_success(now);
                for key in self.delta.replace_actual(found) {
                    self.review(&key);
                }
            }
            Err(_) => {
                self.counters.dump_failures += 1;
                let delay = self.backoff.delay(self.plan.failures().saturating_add(1));
                self.plan.on_failure(now, delay);
            }
        }
    }

    /// Takes in the outcomes of the batch handed out last.
    ///
    /// A key of the batch without outcome failed; outcomes of other keys are ignored.
    pub fn on_outcomes(&mut self, outcomes: Vec<(K, Outcome)>, now: Instant) {
        for (key, outcome) in outcomes {
            if let Some(flight) = self.flight.remove(&key) {
                self.conclude(&key, flight, outcome, now);
            }
        }
        self.fail_unanswered(now);
    }

    /// Takes in a hint that the target changed.
    pub fn on_drift(&mut self, drift: Drift<K>) {
        match drift {
            Drift::Key(key) if self.delta.contains(&key) => {
                if let Some(flight) = self.flight.get_mut(&key) {
                    flight.disturbed = true;
                }
                self.delta.mark_unknown(&key);
                self.release_gone(&key);
                self.review(&key);
            }
            Drift::Key(_) => self.plan.hint(),
            Drift::All => {
                self.plan.hint();
                for key in self.backoff.gone() {
                    self.release_gone(&key);
                    self.review(&key);
                }
            }
        }
    }

    /// What to do now, all keys having the same rank.
    pub fn next(&mut self, now: Instant) -> Action<K, V> {
        self.next_by_rank(now, |_| 0)
    }

    /// What to do now; `rank` orders the writes of a batch (see [`Target::rank`]).
    ///
    /// A batch handed out before whose outcomes never came counts as failed.
    ///
    /// [`Target::rank`]: crate::Target::rank
    pub fn next_by_rank(&mut self, now: Instant, rank: impl Fn(&K) -> u32) -> Action<K, V> {
        self.fail_unanswered(now);
        while let Some(key) = self.backoff.pop_due(now) {
            match self.delta.need(&key) {
                Need::Put => self.puts.push_urgent(&key),
                Need::Delete => self.deletes.push_urgent(&key),
                Need::Nothing => {}
            }
        }
        if self.plan.is_due(now) {
            return Action::Dump;
        }
        if self.delta.is_known() {
            let batch = self.pick(&rank);
            if !batch.is_empty() {
                return Action::Apply(batch);
            }
        }
        Action::Idle(self.plan.next_time().into_iter().chain(self.backoff.next_time()).min())
    }

    /// The next report, oldest first. At most one report per key and input piles up.
    pub fn poll_report(&mut self) -> Option<Report<K>> {
        self.reports.pop_front()
    }

    /// Counters and sizes.
    pub fn stats(&self) -> Stats {
        let delta = self.delta.stats();
        Stats {
            desired: delta.desired,
            actual: delta.actual,
            pending: delta.pending,
            failed: self.backoff.len(),
            drifted: self.delta.drifted(),
            ..self.counters
        }
    }

    /// Everything that is wanted, in no particular order.
    pub fn desired(&self) -> impl Iterator<Item = (&K, &V)> {
        self.delta.iter_desired()
    }

    /// The failing keys and why.
    pub fn failed(&self) -> impl Iterator<Item = (&K, &Failure)> {
        self.backoff.iter()
    }

    /// What is wanted for a key.
    pub fn wants(&self, key: &K) -> Option<&V> {
        self.delta.desired(key)
    }

    /// What the target is known to hold for a key.
    pub fn has(&self, key: &K) -> Option<&V> {
        self.delta.actual(key)
    }

    /// Brings a key where its state says: told, lined up for a write, or left waiting.
    fn review(&mut self, key: &K) {
        let stamp = self.counters.batches + 1;
        match self.delta.need(key) {
            Need::Nothing => {
                self.backoff.clear(key);
                if let Some((revision, present)) = self.delta.settle(key) {
                    self.report(key, revision, Outcome::Applied, present);
                }
            }
            _ if self.backoff.blocks(key) => {}
            Need::Put => self.puts.push(stamp, key),
            Need::Delete => self.deletes.push(stamp, key),
        }
    }

    fn pick(&mut self, rank: &impl Fn(&K) -> u32) -> Batch<K, V> {
        self.puts.assort(rank);
        self.deletes.assort(rank);
        let mut batch = Batch::default();
        // A part of each batch is for those left behind: retries first, then the overtaken.
        let limit = (self.counters.batches + 1).saturating_sub(LEFT_BEHIND).max(1);
        let reserved = self.max_batch.div_ceil(4);
        while batch.len() < reserved
            && let Some(key) = self.puts.pop_older(limit)
        {
            self.add_put(&mut batch, key);
        }
        let may_delete = self.completeness == Completeness::Complete;
        while may_delete
            && batch.len() < reserved
            && let Some(key) = self.deletes.pop_older(limit)
        {
            self.add_delete(&mut batch, key);
        }
        while batch.len() < self.max_batch
            && let Some(key) = self.puts.pop(Order::Ascending)
        {
            self.add_put(&mut batch, key);
        }
        while may_delete
            && batch.len() < self.max_batch
            && let Some(key) = self.deletes.pop(Order::Descending)
        {
            self.add_delete(&mut batch, key);
        }
        batch.puts.sort_by_key(|(key, _)| rank(key));
        batch.deletes.sort_by_key(|key| std::cmp::Reverse(rank(key)));
        self.counters.batches += u64::from(!batch.is_empty());
        self.counters.puts += batch.puts.len() as u64;
        self.counters.deletes += batch.deletes.len() as u64;
        batch
    }

    fn add_put(&mut self, batch: &mut Batch<K, V>, key: K) {
        let wanted = match self.delta.need(&key) {
            Need::Put if !self.backoff.blocks(&key) => self.delta.desired(&key).cloned(),
            Need::Put | Need::Delete | Need::Nothing => None,
        };
        if let Some(value) = wanted {
            self.take_off(&key, Sent::Wanted);
            batch.puts.push((key, value));
        }
    }

    fn add_delete(&mut self, batch: &mut Batch<K, V>, key: K) {
        if self.delta.need(&key) == Need::Delete && !self.backoff.blocks(&key) {
            self.take_off(&key, Sent::Removal);
            batch.deletes.push(key);
        }
    }

    fn take_off(&mut self, key: &K, sent: Sent<V>) {
        let revision = self.delta.revision(key);
        self.delta.mark_unknown(key);
        self.flight.insert(key.clone(), Flight { revision, sent, disturbed: false });
    }

    /// One write has its outcome; the flight has been removed from the map. What the target holds
    /// for the key is unknown since the write was handed out.
    fn conclude(&mut self, key: &K, flight: Flight<V>, outcome: Outcome, now: Instant) {
        let present = !matches!(flight.sent, Sent::Removal);
        let outcome = match outcome {
            // Without its parent the object is gone, which is what was asked for.
            Outcome::Failed(failure) if !present && failure.kind == FailureKind::Gone => {
                Outcome::Applied
            }
            other => other,
        };
        // Whether what was sent is still what is wanted.
        let current = match &flight.sent {
            Sent::Wanted => true,
            Sent::Outdated(_) => false,
            Sent::Removal => self.delta.desired(key).is_none(),
        };
        match outcome {
            Outcome::Applied => {
                self.backoff.clear(key);
                match flight.sent {
                    _ if flight.disturbed => {}
                    Sent::Wanted => self.delta.mark_applied(key),
                    Sent::Outdated(value) => self.delta.set_actual(key, Some(value)),
                    Sent::Removal => self.delta.set_actual(key, None),
                }
                // If both sides agree now, `review` reports, with the newest revision.
                if self.delta.need(key) != Need::Nothing
                    && let Some(revision) = flight.revision
                {
                    self.report(key, revision, Outcome::Applied, present);
                }
            }
            Outcome::Failed(failure) => {
                let mut dump_at = (failure.kind == FailureKind::Resync).then_some(now);
                // A failure of the wanted value answers its newest publication, too.
                let revision = if current { self.delta.revision(key) } else { flight.revision };
                if let Some(revision) = revision {
                    self.report(key, revision, Outcome::Failed(failure.clone()), present);
                }
                if current {
                    // The dump comes right before the key is tried again.
                    let retry_at = self.backoff.fail(key.clone(), failure, now);
                    dump_at = dump_at.and(retry_at);
                }
                if let Some(at) = dump_at {
                    self.plan.request(at);
                }
            }
        }
        self.review(key);
    }

    fn fail_unanswered(&mut self, now: Instant) {
        if self.flight.is_empty() {
            return;
        }
        let hasher = *self.flight.hasher();
        for (key, flight) in std::mem::replace(&mut self.flight, Map::with_hasher(hasher)) {
            let failure = Failure::new(FailureKind::Retry, "no outcome for this key");
            self.conclude(&key, flight, Outcome::Failed(failure), now);
        }
    }

    fn release_gone(&mut self, key: &K) {
        if self.backoff.failure(key).is_some_and(|failure| failure.kind == FailureKind::Gone) {
            self.backoff.clear(key);
        }
    }

    /// Answers a publication of a value whose failure is final.
    fn report_held(&mut self, key: &K) {
        if let Some((failure, revision)) =
            self.backoff.failure(key).cloned().zip(self.delta.revision(key))
        {
            let present = self.delta.desired(key).is_some();
            self.report(key, revision, Outcome::Failed(failure), present);
        }
    }

    fn report(&mut self, key: &K, revision: Revision, outcome: Outcome, present: bool) {
        self.reports.push_back(Report { key: key.clone(), revision, outcome, present });
    }
}

#[cfg(test)]
mod tests;
