// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keeps the table what policies and endpoints say: engine, driver and target on one lane.
//!
//! ```text
//!  policies ─┐             ┌────────┐ objects ┌────────┐ batches ┌────────┐
//!  locals  ──┼─mailboxes─▶ │ Engine │ ──────▶ │ Driver │ ──────▶ │ Target │
//!  remotes ─┘              └────────┘         └────────┘ ◀────── └────────┘
//!                                                  │ reports      outcomes, dumps
//!                               status per endpoint ◀┘
//! ```
//!
//! The base ruleset goes into force at once: whatever the sources know, interfaces of workloads
//! are closed. All else waits until every source is complete for the first time. A ruleset of half
//! the policies would open what the ruleset of the process before us keeps shut, and a restart
//! would write what it takes back a moment later.
//!
//! Changes coalesce without a timer: while a batch is being written, what arrives collects in the
//! mailboxes and is taken at once afterwards. Endpoints of this node are taken completely in every
//! turn, the rest in portions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use reconcile::{
    Action, BackoffConfig, Change as Published, Changes, Completeness, Driver, DriverConfig,
    Failure, Hints, Mailbox, Outcome, Report, Revision, Stats,
};
use rustc_hash::FxHashMap;

use crate::{
    compile::CompileOptions,
    engine::{Change, Engine},
    ir::{Object, ObjectId},
    model::{EndpointKey, LocalEndpoint, Policy, PolicyId, RemoteEndpoint},
    nft::{content::Content, monitor::Watch, race, waiting::Waiting},
};

/// Policies and endpoints elsewhere that are taken in one turn.
const PORTION: usize = 512;

/// Where the enforcer learns what to enforce.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The policies.
    pub policies: Mailbox<PolicyId, Arc<Policy>>,
    /// The endpoints of this node.
    pub locals: Mailbox<EndpointKey, LocalEndpoint>,
    /// Endpoints elsewhere that selectors may name.
    pub remotes: Mailbox<EndpointKey, RemoteEndpoint>,
}

/// Settings of an [`Enforcer`].
#[derive(Clone, Debug)]
pub struct EnforcerConfig {
    /// How policies are compiled.
    pub compile: CompileOptions,
    /// How often the kernel's table is read and compared, even without a reason.
    pub audit_interval: Duration,
    /// Most objects in one transaction.
    pub max_batch: usize,
    /// Delays after failures.
    pub backoff: BackoffConfig,
    /// Seed of jitter and hashing.
    pub seed: u64,
}

impl Default for EnforcerConfig {
    fn default() -> Self {
        Self {
            compile: CompileOptions::default(),
            audit_interval: Duration::from_secs(60),
            max_batch: 512,
            backoff: BackoffConfig::default(),
            seed: 0,
        }
    }
}

/// Engine, driver and target.
#[derive(Debug)]
pub struct Enforcer<T> {
    engine: Engine,
    driver: Driver<ObjectId, Content>,
    target: T,
    inputs: Inputs,
    hints: Hints<ObjectId>,
    status: Mailbox<EndpointKey, Report<EndpointKey>>,
    waiting: Waiting,
    sources: Sources,
    /// Endpoints whose objects are not handed to the driver yet: the revision, whether they are
    /// wanted, and the objects they were made of before.
    fresh: FxHashMap<EndpointKey, Fresh>,
    dump_failure: Option<Failure>,
    pub(super) watch: Watch,
}

#[derive(Debug)]
struct Fresh {
    revision: Revision,
    present: bool,
    before: Vec<ObjectId>,
}

/// What the sources have said about themselves.
#[derive(Clone, Copy, Debug, Default)]
struct Sources {
    policies: Completeness,
    locals: Completeness,
    remotes: Completeness,
    /// All were complete at the same time once.
    were_complete: bool,
}

/// What [`Enforcer::turn`] leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// More at once.
    Busy,
    /// Nothing until news arrives or this time is reached.
    Idle(Option<Instant>),
}

/// Sizes and counters of an [`Enforcer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnforcerStats {
    /// The number of input changes so far.
    pub revision: Revision,
    /// Objects of the ruleset: wanted, in force, differing, failing.
    pub objects: Stats,
    /// Local endpoints whose last change is not in force.
    pub waiting_endpoints: usize,
    /// Whether only the base ruleset is wanted, since a source has never been complete.
    pub is_loading: bool,
    /// Why the table cannot be read, if it cannot.
    pub dump_failure: Option<Failure>,
}

impl<T> Enforcer<T>
where
    T: reconcile::Target<Key = ObjectId, Value = Content>,
{
    /// An enforcer that has written nothing yet. What becomes of each local endpoint is published
    /// in `status`, by the revision of its publication.
    pub fn new(
        config: &EnforcerConfig,
        target: T,
        inputs: Inputs,
        status: Mailbox<EndpointKey, Report<EndpointKey>>,
    ) -> Self {
        let driver = Driver::new(DriverConfig {
            max_batch: config.max_batch,
            audit_interval: Some(config.audit_interval),
            backoff: config.backoff,
            seed: config.seed,
        });
        let mut enforcer = Self {
            engine: Engine::new(&config.compile),
            driver,
            target,
            inputs,
            hints: Hints::new(),
            status,
            waiting: Waiting::default(),
            sources: Sources::default(),
            fresh: FxHashMap::default(),
            dump_failure: None,
            watch: Watch::default(),
        };
        enforcer.hand_over();
        enforcer
    }

    /// Does one piece of work: takes in what is new, then reads or writes the kernel once.
    pub fn turn(&mut self, now: Instant) -> Turn {
        self.take_inputs();
        if self.sources.were_complete {
            self.hand_over();
        }
        for drift in self.hints.take() {
            self.driver.on_drift(drift);
        }
        let target = &self.target;
        let turn = match self.driver.next_by_rank(now, |id| target.rank(id)) {
            Action::Dump => {
                let found = self.target.dump();
                self.note_dump(found.as_ref().err());
                self.driver.on_dump(found, now);
                Turn::Busy
            }
            Action::Apply(batch) => {
                let begin = Instant::now();
                let outcomes = self.target.apply(&batch);
                note_apply(&outcomes, begin.elapsed());
                self.driver.on_outcomes(outcomes, now);
                Turn::Busy
            }
            Action::Idle(until) => Turn::Idle(until),
        };
        while let Some(report) = self.driver.poll_report() {
            for report in self.waiting.on_report(&report) {
                self.publish(report);
            }
        }
        turn
    }

    /// Waits until a turn has something new to take in. Cancel-safe.
    pub async fn news(&self) {
        let Inputs { policies, locals, remotes } = &self.inputs;
        race::first([
            Box::pin(policies.changed()),
            Box::pin(locals.changed()),
            Box::pin(remotes.changed()),
            Box::pin(self.hints.changed()),
        ])
        .await;
    }

    /// Whether the base ruleset is in force: interfaces of workloads are closed unless dispatched.
    ///
    /// Looks at every object that is wanted.
    pub fn is_closed(&self) -> bool {
        let mut base = self.driver.desired().filter(|(id, _)| id.is_fixed());
        base.all(|(id, content)| self.driver.has(id) == Some(content))
    }

    /// Where to tell that somebody may have changed the table.
    pub fn hints(&self) -> &Hints<ObjectId> {
        &self.hints
    }

    /// The engine, for questions about policies and the ruleset.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The target.
    pub fn target(&self) -> &T {
        &self.target
    }

    /// The objects that could not be written, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&ObjectId, &Failure)> {
        self.driver.failed()
    }

    /// Sizes and counters; cheap.
    pub fn stats(&self) -> EnforcerStats {
        EnforcerStats {
            revision: self.engine.revision(),
            objects: self.driver.stats(),
            waiting_endpoints: self.waiting.len() + self.fresh.len(),
            is_loading: !self.sources.were_complete,
            dump_failure: self.dump_failure.clone(),
        }
    }

    fn take_inputs(&mut self) {
        let policies = self.inputs.policies.take_up_to(PORTION);
        self.sources.policies = policies.completeness;
        for (id, change) in policies.entries {
            self.engine.apply(Change::Policy(id, change.value));
        }
        let locals = self.inputs.locals.take();
        self.sources.locals = locals.completeness;
        for (key, change) in locals.entries {
            self.take_local(key, change);
        }
        let remotes = self.inputs.remotes.take_up_to(PORTION);
        self.sources.remotes = remotes.completeness;
        for (key, change) in remotes.entries {
            self.engine.apply(Change::Remote(key, change.value));
        }
        if !self.sources.were_complete && self.sources.completeness() == Completeness::Complete {
            self.sources.were_complete = true;
            tracing::info!(revision = self.engine.revision().0, "policy sources complete");
        }
    }

    fn take_local(&mut self, key: EndpointKey, change: Published<LocalEndpoint>) {
        let Published { revision, value } = change;
        let present = value.is_some();
        let before = self.engine.objects_of(&key);
        self.engine.apply(Change::Local(key.clone(), value));
        let fresh =
            self.fresh.entry(key).or_insert(Fresh { revision, present, before: Vec::new() });
        fresh.revision = revision;
        fresh.present = present;
        fresh.before.extend(before);
    }

    /// Hands the engine's changes to the driver, then looks which endpoints wait for them.
    fn hand_over(&mut self) {
        let changes = self.engine.take_changes();
        let revision = self.engine.revision();
        let completeness = self.sources.completeness();
        let entries = changes
            .into_iter()
            .map(|(id, object): (ObjectId, Option<Object>)| {
                self.waiting.on_published(&id, revision);
                (id, Published { revision, value: object.map(Content::from) })
            })
            .collect();
        self.driver.on_changes(Changes { entries, completeness });
        if !self.sources.were_complete {
            return;
        }
        for (key, Fresh { revision, present, before }) in std::mem::take(&mut self.fresh) {
            let ids = before.into_iter().chain(self.engine.objects_of(&key));
            if let Some(report) = self.waiting.on_endpoint(&key, (revision, present), ids) {
                self.publish(report);
            }
        }
    }

    fn publish(&self, report: Report<EndpointKey>) {
        let revision = report.revision;
        self.status.publish(report.key.clone(), Some(report), revision);
    }

    fn note_dump(&mut self, failure: Option<&Failure>) {
        if self.dump_failure.as_ref() == failure {
            return;
        }
        match failure {
            Some(failure) => tracing::error!(%failure, "cannot read the policy table"),
            None => tracing::info!("policy table can be read again"),
        }
        self.dump_failure = failure.cloned();
    }
}

impl Sources {
    fn completeness(self) -> Completeness {
        match (self.policies, self.locals, self.remotes) {
            (Completeness::Complete, Completeness::Complete, Completeness::Complete) => {
                Completeness::Complete
            }
            _ => Completeness::Loading,
        }
    }
}

fn note_apply(outcomes: &[(ObjectId, Outcome)], elapsed: Duration) {
    let mut failed = outcomes.iter().filter_map(|(id, outcome)| match outcome {
        Outcome::Applied => None,
        Outcome::Failed(failure) => Some((id, failure)),
    });
    let elapsed_us = elapsed.as_micros();
    match failed.next() {
        None => tracing::debug!(objects = outcomes.len(), elapsed_us, "policy objects written"),
        Some((object, failure)) => {
            let count = 1 + failed.count();
            tracing::warn!(count, %object, %failure, elapsed_us, "policy objects refused");
        }
    }
}

#[cfg(test)]
mod tests;
