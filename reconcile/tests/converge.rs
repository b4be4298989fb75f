// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any inputs and any faults that end lead to actual == desired, with writes that were needed, and
//! without a delete while the source was loading.
//!
//! The oracle is a model of its own: what was published, what the driver was told, and what it can
//! believe about the target from dumps and outcomes alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use reconcile::fake::{Fault, MemTarget};
use reconcile::{
    Action, BackoffConfig, Batch, Changes, Completeness, Drift, Driver, DriverConfig, Failure,
    FailureKind, Mailbox, Outcome, Report, Revision, Target,
};

const MAX_BATCH: usize = 3;
const AUDIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Step {
    Publish(u8, Option<u8>),
    Complete(bool),
    Actions(usize),
    Pass(u64),
    /// Somebody else writes; the event is heard or lost.
    Alien(u8, Option<u8>, bool),
    Hint(Drift<u8>),
    Fault(Fault),
    Bad(u8, Option<FailureKind>),
    MarkStale,
    /// A batch is handed out and its outcomes are lost; meanwhile something is published.
    Crash(u8, Option<u8>),
    /// Something is published and hinted at while a batch is under way.
    Overlap(u8, Option<u8>, bool),
}

/// What the driver can know about one key of the target.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Belief {
    Unknown,
    Known(Option<u8>),
}

struct World {
    driver: Driver<u8, u8>,
    target: MemTarget<u8, u8>,
    mailbox: Mailbox<u8, u8>,
    now: Instant,
    revision: Revision,
    published: BTreeMap<u8, (Revision, Option<u8>)>,
    told: BTreeMap<u8, Option<u8>>,
    told_complete: bool,
    belief: BTreeMap<u8, Belief>,
    dumped: bool,
    reports: BTreeMap<u8, Report<u8>>,
}

fn rank(key: &u8) -> u32 {
    u32::from(key % 3)
}

impl World {
    fn new(contents: &BTreeMap<u8, u8>, seed: u64) -> Self {
        let backoff = BackoffConfig {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(5),
            jitter_percent: 25,
        };
        let audit_interval = Some(AUDIT);
        let config = DriverConfig { max_batch: MAX_BATCH, audit_interval, backoff, seed };
        let mut target = MemTarget::new().with_rank(rank);
        for (key, value) in contents {
            let _ = target.write_behind(*key, Some(*value));
        }
        Self {
            driver: Driver::new(config),
            target,
            mailbox: Mailbox::new(),
            now: Instant::now(),
            revision: Revision(0),
            published: BTreeMap::new(),
            told: BTreeMap::new(),
            told_complete: false,
            belief: BTreeMap::new(),
            dumped: false,
            reports: BTreeMap::new(),
        }
    }

    fn publish(&mut self, key: u8, value: Option<u8>) {
        self.revision = self.revision.next();
        self.published.insert(key, (self.revision, value));
        self.mailbox.publish(key, value, self.revision);
    }

    fn tell(&mut self, limit: Option<usize>) {
        let changes: Changes<u8, u8> = match limit {
            Some(limit) => self.mailbox.take_up_to(limit),
            None => self.mailbox.take(),
        };
        self.told_complete = changes.completeness == Completeness::Complete;
        for (key, change) in &changes.entries {
            self.told.insert(*key, change.value);
        }
        self.driver.on_changes(changes);
    }

    fn hint(&mut self, drift: Drift<u8>) {
        if let Drift::Key(key) = drift
            && (self.wanted(key).is_some() || self.belief(key) != Belief::Known(None))
        {
            self.belief.insert(key, Belief::Unknown);
        }
        self.driver.on_drift(drift);
    }

    fn wanted(&self, key: u8) -> Option<u8> {
        self.told.get(&key).copied().flatten()
    }

    fn belief(&self, key: u8) -> Belief {
        let unseen = if self.dumped { Belief::Known(None) } else { Belief::Unknown };
        self.belief.get(&key).copied().unwrap_or(unseen)
    }

    /// One action; false when the driver is idle.
    fn act(&mut self) -> bool {
        match self.driver.next_by_rank(self.now, rank) {
            Action::Dump => {
                let found = self.target.dump();
                self.learn_dump(&found);
                self.driver.on_dump(found, self.now);
            }
            Action::Apply(batch) => {
                self.check(&batch);
                let outcomes = self.target.apply(&batch);
                self.learn_outcomes(&batch, &outcomes);
                self.driver.on_outcomes(outcomes, self.now);
            }
            Action::Idle(_) => return false,
        }
        self.drain();
        true
    }

    fn learn_dump(&mut self, found: &Result<Vec<(u8, u8)>, Failure>) {
        if let Ok(found) = found {
            self.dumped = true;
            self.belief = found.iter().map(|(k, v)| (*k, Belief::Known(Some(*v)))).collect();
        }
    }

    fn learn_outcomes(&mut self, batch: &Batch<u8, u8>, outcomes: &[(u8, Outcome)]) {
        let applied = |key: &u8| outcomes.contains(&(*key, Outcome::Applied));
        for (key, value) in &batch.puts {
            let belief = if applied(key) { Belief::Known(Some(*value)) } else { Belief::Unknown };
            self.belief.insert(*key, belief);
        }
        for key in &batch.deletes {
            let gone = outcomes.iter().any(|(k, outcome)| {
                k == key
                    && match outcome {
                        Outcome::Applied => true,
                        Outcome::Failed(failure) => failure.kind == FailureKind::Gone,
                    }
            });
            self.belief.insert(*key, if gone { Belief::Known(None) } else { Belief::Unknown });
        }
    }

    fn check(&self, batch: &Batch<u8, u8>) {
        assert!(self.dumped, "a write before the first dump");
        assert!((1..=MAX_BATCH).contains(&batch.len()), "batch of {}", batch.len());
        assert!(batch.puts.is_sorted_by_key(|(key, _)| rank(key)), "{batch:?}");
        assert!(batch.deletes.iter().rev().is_sorted_by_key(rank), "{batch:?}");
        for (key, value) in &batch.puts {
            assert_eq!(self.wanted(*key), Some(*value), "put of what is not wanted");
            assert_ne!(self.belief(*key), Belief::Known(Some(*value)), "needless put of {key}");
        }
        for key in &batch.deletes {
            assert!(self.told_complete, "delete of {key} while loading");
            assert_eq!(self.wanted(*key), None, "delete of what is wanted");
            assert_ne!(self.belief(*key), Belief::Known(None), "needless delete of {key}");
        }
    }

    fn drain(&mut self) {
        while let Some(report) = self.driver.poll_report() {
            let (newest, _) = self.published[&report.key];
            assert!(report.revision <= newest, "{report:?} is from the future");
            if let Some(last) = self.reports.get(&report.key) {
                assert!(last.revision <= report.revision, "{last:?} then {report:?}");
            }
            if report.outcome == Outcome::Applied && report.revision == newest {
                let (_, value) = self.published[&report.key];
                assert_eq!(report.present, value.is_some(), "{report:?}");
            }
            self.reports.insert(report.key, report);
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Publish(key, value) => self.publish(key, value),
            Step::Complete(true) => self.mailbox.set_completeness(Completeness::Complete),
            Step::Complete(false) => self.mailbox.set_completeness(Completeness::Loading),
            Step::Actions(count) => {
                // Often only a part of the mailbox, as a busy lane does.
                self.tell((count % 2 == 1).then_some(count));
                (0..count).all(|_| self.act());
            }
            Step::Pass(millis) => self.now += Duration::from_millis(millis),
            Step::Alien(key, value, heard) => {
                let event = self.target.write_behind(key, value);
                if heard {
                    self.hint(event);
                }
            }
            Step::Hint(drift) => self.hint(drift),
            Step::Fault(fault) => self.target.inject(fault),
            Step::Bad(key, kind) => {
                self.target.set_bad(key, kind.map(|kind| Failure::new(kind, "bad key")));
            }
            Step::MarkStale => self.target.mark_stale(),
            Step::Crash(key, value) => self.overlap(key, value, false, false),
            Step::Overlap(key, value, hint) => self.overlap(key, value, hint, true),
        }
        self.drain();
    }

    /// A key is published, perhaps hinted at, between the hand-out of a batch and its outcomes,
    /// which may get lost.
    fn overlap(&mut self, key: u8, value: Option<u8>, hint: bool, answered: bool) {
        self.tell(None);
        let Action::Apply(batch) = self.driver.next_by_rank(self.now, rank) else { return };
        self.check(&batch);
        let outcomes = if answered { self.target.apply(&batch) } else { Vec::new() };
        self.learn_outcomes(&batch, &outcomes);
        self.publish(key, value);
        self.tell(None);
        if hint {
            self.hint(Drift::Key(key));
            // Whatever the outcome says: the hint may be about a later moment.
            if batch.deletes.contains(&key) {
                self.belief.insert(key, Belief::Unknown);
            }
        }
        if answered {
            self.driver.on_outcomes(outcomes, self.now);
        }
    }

    /// The faults end; time passes until the second audit found nothing to do.
    fn settle(&mut self) {
        self.target.heal();
        self.mailbox.set_completeness(Completeness::Complete);
        // A final failure ends with another value, a vanished parent with the event of its return.
        let fatal: Vec<u8> = self
            .driver
            .failed()
            .filter(|(_, failure)| failure.kind == FailureKind::Fatal)
            .map(|(key, _)| *key)
            .collect();
        for key in fatal {
            let value = if self.wanted(key).is_some() { None } else { Some(200) };
            self.publish(key, value);
        }
        self.tell(None);
        self.hint(Drift::All);
        self.drain();
        let enough = self.target.dumps + 3;
        let mut turns = 0;
        while self.target.dumps < enough {
            while self.act() {}
            let until = match self.driver.next_by_rank(self.now, rank) {
                Action::Idle(until) => until.expect("an audit is planned"),
                Action::Dump | Action::Apply(_) => self.now,
            };
            assert!(until > self.now, "idle until {until:?}, which has passed");
            self.now = until;
            turns += 1;
            assert!(turns < 1000, "does not come to rest: {:?}", self.driver.stats());
        }
        while self.act() {}
    }

    fn assert_converged(&self) {
        let wanted: BTreeMap<u8, u8> = self
            .published
            .iter()
            .filter_map(|(key, (_, value))| value.map(|value| (*key, value)))
            .collect();
        assert_eq!(self.target.contents(), &wanted);
        for (key, (revision, value)) in &self.published {
            let report = self.reports.get(key).expect("every publication is answered");
            assert_eq!(report.outcome, Outcome::Applied, "{report:?}");
            assert_eq!((report.revision, report.present), (*revision, value.is_some()), "{key}");
        }
        let stats = self.driver.stats();
        assert_eq!((stats.desired, stats.actual), (wanted.len(), wanted.len()));
        assert_eq!((stats.pending, stats.failed), (0, 0));
    }
}

fn key() -> impl Strategy<Value = u8> {
    0..10u8
}

fn value() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![2 => (0..3u8).prop_map(Some), 1 => Just(None)]
}

fn kind() -> impl Strategy<Value = FailureKind> {
    use FailureKind::{Fatal, Gone, Resync, Retry};
    prop_oneof![4 => Just(Retry), 3 => Just(Resync), 2 => Just(Gone), 1 => Just(Fatal)]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        kind().prop_map(|kind| Fault::Dump(Failure::new(kind, "dump"))),
        Just(Fault::StaleDump),
        (kind(), any::<bool>()).prop_map(|(kind, effective)| {
            Fault::Apply { failure: Failure::new(kind, "batch"), effective }
        }),
        (0..MAX_BATCH).prop_map(Fault::PartialBatch),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (key(), value()).prop_map(|(k, v)| Step::Publish(k, v)),
        1 => any::<bool>().prop_map(Step::Complete),
        6 => (1..6usize).prop_map(Step::Actions),
        3 => (0..8000u64).prop_map(Step::Pass),
        3 => (key(), value(), any::<bool>()).prop_map(|(k, v, heard)| Step::Alien(k, v, heard)),
        2 => key().prop_map(|k| Step::Hint(Drift::Key(k))),
        1 => Just(Step::Hint(Drift::All)),
        3 => fault().prop_map(Step::Fault),
        2 => (key(), proptest::option::of(kind())).prop_map(|(k, kind)| Step::Bad(k, kind)),
        1 => Just(Step::MarkStale),
        1 => (key(), value()).prop_map(|(k, v)| Step::Crash(k, v)),
        2 => (key(), value(), any::<bool>()).prop_map(|(k, v, hint)| Step::Overlap(k, v, hint)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn any_inputs_and_faults_that_end_converge(
        contents in proptest::collection::btree_map(key(), 0..3u8, 0..8),
        steps in proptest::collection::vec(step(), 0..60),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(&contents, seed);
        for step in steps {
            world.step(step);
        }
        world.settle();
        world.assert_converged();

        // At rest, an audit writes nothing.
        let writes = world.target.writes();
        world.now += AUDIT * 2;
        while world.act() {}
        prop_assert_eq!(world.target.writes(), writes);
    }

    #[test]
    fn same_seed_and_inputs_give_the_same_actions(
        steps in proptest::collection::vec(step(), 0..40),
        seed in any::<u64>(),
    ) {
        let run = |steps: &[Step], start: Instant| {
            let mut world = World::new(&BTreeMap::from([(1, 1), (2, 0), (5, 2)]), seed);
            world.now = start;
            steps.iter().for_each(|step| world.step(step.clone()));
            world.settle();
            world.target.batches
        };
        let start = Instant::now();
        prop_assert_eq!(run(&steps, start), run(&steps, start));
    }
}
