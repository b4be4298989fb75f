// SPDX-License-Identifier: MIT OR Apache-2.0
//! One table of the kernel kept as wished, on the thread of its lane: a driver, its target, and the questions that the
//! status asks of both.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::time::Instant;

use reconcile::{Action, Driver, DriverConfig, Hints, Mailbox, Outcome, Report, Stats, Target};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How many questions may wait; more are refused.
const QUERIES: usize = 8;

/// What became of one wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<K, V> {
    /// The key.
    pub(crate) key: K,
    /// What is wanted.
    pub(crate) value: V,
    /// In the kernel, on its way, or refused.
    pub(crate) state: EntryState,
}

/// State of one wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EntryState {
    /// The kernel holds it.
    Programmed,
    /// Not written yet.
    Pending,
    /// The kernel refused it; tried again.
    Failed(String),
}

impl EntryState {
    /// Name as it appears in JSON.
    pub(crate) const fn as_str(&self) -> &'static str {
        match self {
            Self::Programmed => "programmed",
            Self::Pending => "pending",
            Self::Failed(_) => "failed",
        }
    }
}

type Question<K, V> = oneshot::Sender<Vec<Entry<K, V>>>;

/// How others see a reconciler: its mailboxes, its numbers, its table.
pub(crate) struct Handle<K, V> {
    /// What is wanted.
    pub(crate) wishes: Mailbox<K, V>,
    /// Where the kernel may have changed behind our back.
    pub(crate) hints: Hints<K>,
    /// Numbers after the last turn.
    pub(crate) stats: watch::Receiver<Stats>,
    questions: mpsc::Sender<Question<K, V>>,
}

impl<K, V> Clone for Handle<K, V> {
    fn clone(&self) -> Self {
        Self {
            wishes: self.wishes.clone(),
            hints: self.hints.clone(),
            stats: self.stats.clone(),
            questions: self.questions.clone(),
        }
    }
}

impl<K, V> Handle<K, V> {
    /// The whole table, sorted by nothing; empty if the lane has ended.
    pub(crate) async fn table(&self) -> Vec<Entry<K, V>> {
        let (answer, answered) = oneshot::channel();
        if self.questions.try_send(answer).is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }
}

/// The part that lives on the lane.
pub(crate) struct Reconciler<K, V> {
    name: &'static str,
    driver: Driver<K, V>,
    wishes: Mailbox<K, V>,
    hints: Hints<K>,
    status: Option<Mailbox<K, Report<K>>>,
    stats: watch::Sender<Stats>,
    questions: mpsc::Receiver<Question<K, V>>,
}

/// A reconciler and its handle. `status` gets a report for each key; none for tables nobody waits for.
pub(crate) fn new<K, V>(
    name: &'static str,
    config: DriverConfig,
    status: Option<Mailbox<K, Report<K>>>,
) -> (Reconciler<K, V>, Handle<K, V>)
where
    K: Hash + Eq + Clone,
    V: PartialEq + Clone,
{
    let (wishes, hints) = (Mailbox::new(), Hints::new());
    let (stats, stats_seen) = watch::channel(Stats::default());
    let (ask, questions) = mpsc::channel(QUERIES);
    let handle =
        Handle { wishes: wishes.clone(), hints: hints.clone(), stats: stats_seen, questions: ask };
    let driver = Driver::new(config);
    (Reconciler { name, driver, wishes, hints, status, stats, questions }, handle)
}

impl<K, V> Reconciler<K, V>
where
    K: Hash + Eq + Clone + Debug + Display,
    V: PartialEq + Clone,
{
    /// Reconciles until cancelled. Calls of the target block this thread.
    pub(crate) async fn run(
        mut self,
        mut target: impl Target<Key = K, Value = V>,
        cancel: CancellationToken,
    ) {
        while !cancel.is_cancelled() {
            let idle = self.turn(&mut target);
            self.stats.send_if_modified(|seen| {
                let now = self.driver.stats();
                let changed = *seen != now;
                *seen = now;
                changed
            });
            let Some(until) = idle else {
                tokio::task::yield_now().await;
                continue;
            };
            // Every arm only waits, or takes a question out of its queue and answers it at once.
            tokio::select! {
                () = cancel.cancelled() => {}
                () = self.wishes.changed() => {}
                () = self.hints.changed() => {}
                () = reached(until) => {}
                Some(question) = self.questions.recv() => {
                    // The one who asked may have gone.
                    let _gone = question.send(self.table());
                }
            }
        }
    }

    /// Takes in what is new and does one thing; the time to wait until if there is nothing to do.
    fn turn(&mut self, target: &mut impl Target<Key = K, Value = V>) -> Option<Option<Instant>> {
        self.driver.on_changes(self.wishes.take());
        for drift in self.hints.take() {
            self.driver.on_drift(drift);
        }
        let idle = match self.driver.next_by_rank(now(), |key| target.rank(key)) {
            Action::Dump => {
                let found = target.dump();
                if let Err(failure) = &found {
                    tracing::warn!(subsystem = self.name, reason = %failure, "dump failed");
                }
                self.driver.on_dump(found, now());
                None
            }
            Action::Apply(batch) => {
                let began = now();
                let outcomes = target.apply(&batch);
                for (key, outcome) in &outcomes {
                    if let Outcome::Failed(failure) = outcome {
                        tracing::warn!(
                            subsystem = self.name, %key, kind = ?failure.kind, reason = %failure,
                            "write failed"
                        );
                    }
                }
                let elapsed_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                tracing::debug!(subsystem = self.name, n = batch.len(), elapsed_us, "applied");
                self.driver.on_outcomes(outcomes, now());
                None
            }
            Action::Idle(until) => Some(until),
        };
        while let Some(report) = self.driver.poll_report() {
            if let Some(status) = &self.status {
                status.publish(report.key.clone(), Some(report.clone()), report.revision);
            }
        }
        idle
    }

    fn table(&self) -> Vec<Entry<K, V>> {
        let failed: std::collections::HashMap<&K, String> =
            self.driver.failed().map(|(key, failure)| (key, failure.to_string())).collect();
        let entry = |(key, value): (&K, &V)| {
            let state = match failed.get(key) {
                Some(reason) => EntryState::Failed(reason.clone()),
                None if self.driver.has(key) == Some(value) => EntryState::Programmed,
                None => EntryState::Pending,
            };
            Entry { key: key.clone(), value: value.clone(), state }
        };
        self.driver.desired().map(entry).collect()
    }
}

/// Waits for a time; for ever if there is none.
pub(crate) async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    Instant::now()
}
