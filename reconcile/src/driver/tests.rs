// SPDX-License-Identifier: MIT OR Apache-2.0
use std::collections::BTreeMap;

use super::*;
use crate::fake::{Fault, MemTarget};
use crate::mailbox::Change;
use crate::target::Target;

struct Bench {
    driver: Driver<u32, u32>,
    target: MemTarget<u32, u32>,
    now: Instant,
}

impl Bench {
    fn new(config: DriverConfig) -> Self {
        Self { driver: Driver::new(config), target: MemTarget::new(), now: Instant::now() }
    }

    fn holding(entries: &[(u32, u32)]) -> Self {
        let mut bench = Self::new(DriverConfig::default());
        for (key, value) in entries {
            let _ = bench.target.write_behind(*key, Some(*value));
        }
        bench
    }

    fn want(&mut self, revision: u64, entries: &[(u32, Option<u32>)], completeness: Completeness) {
        let entries = entries
            .iter()
            .map(|(key, value)| (*key, Change { revision: Revision(revision), value: *value }))
            .collect();
        self.driver.on_changes(Changes { entries, completeness });
    }

    /// Acts until idle; returns until when.
    fn work(&mut self) -> Option<Instant> {
        for _ in 0..10_000 {
            match self.driver.next_by_rank(self.now, |key| self.target.rank(key)) {
                Action::Dump => self.driver.on_dump(self.target.dump(), self.now),
                Action::Apply(batch) => {
                    let outcomes = self.target.apply(&batch);
                    self.driver.on_outcomes(outcomes, self.now);
                }
                Action::Idle(until) => return until,
            }
        }
        panic!("never idle");
    }

    fn reports(&mut self) -> Vec<(u32, u64, bool, bool)> {
        let mut reports = Vec::new();
        while let Some(report) = self.driver.poll_report() {
            let applied = report.outcome == Outcome::Applied;
            reports.push((report.key, report.revision.0, report.present, applied));
        }
        reports.sort_unstable();
        reports
    }
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "injected")
}

const LOADING: Completeness = Completeness::Loading;
const COMPLETE: Completeness = Completeness::Complete;

#[test]
fn dumps_before_it_writes() {
    let mut bench = Bench::holding(&[]);
    bench.want(1, &[(1, Some(1))], COMPLETE);
    bench.target.inject(Fault::Dump(failure(FailureKind::Retry)));
    let until = bench.work().expect("a retry of the dump is planned");
    assert!(bench.target.batches.is_empty());
    bench.now = until;
    bench.work();
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 1)]));
}

#[test]
fn failing_dumps_come_later_and_later_whatever_is_hinted() {
    let mut bench = Bench::holding(&[]);
    bench.work();
    (0..5).for_each(|_| bench.target.inject(Fault::Dump(failure(FailureKind::Resync))));
    let mut waits = Vec::new();
    bench.driver.on_drift(Drift::All);
    bench.now += Duration::from_secs(1);
    for _ in 0..5 {
        let until = bench.work().expect("retry planned");
        bench.driver.on_drift(Drift::All);
        assert_eq!(bench.driver.next(bench.now), Action::Idle(Some(until)));
        waits.push(until - bench.now);
        bench.now = until;
    }
    assert!(waits.windows(2).all(|pair| pair[0] * 3 / 2 < pair[1]), "{waits:?}");
    bench.work();
    assert_eq!(bench.driver.stats().dumps, 2);
}

#[test]
fn dump_equal_to_desired_writes_nothing_and_reports_every_key() {
    let mut bench = Bench::holding(&[(1, 10), (2, 20)]);
    bench.want(7, &[(1, Some(10)), (2, Some(20)), (3, None)], COMPLETE);
    assert_eq!(bench.work(), None);
    assert_eq!(bench.target.writes(), 0);
    assert_eq!(bench.reports(), [(1, 7, true, true), (2, 7, true, true), (3, 7, false, true)]);
}

#[test]
fn an_audit_without_difference_reports_nothing_again() {
    let mut bench = Bench::holding(&[]);
    bench.driver = Driver::new(DriverConfig {
        audit_interval: Some(Duration::from_secs(600)),
        ..DriverConfig::default()
    });
    bench.want(1, &[(1, Some(1))], COMPLETE);
    let until = bench.work().expect("audit planned");
    assert_eq!(until, bench.now + Duration::from_secs(600));
    assert_eq!(bench.reports().len(), 1);
    let _ = bench.target.write_behind(2, Some(2));
    bench.now = until;
    bench.work();
    assert_eq!(bench.target.dumps, 2);
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 1)]));
    assert_eq!(bench.reports(), [], "neither the key at rest nor the orphan");
}

#[test]
fn deletes_wait_for_completeness_and_puts_do_not() {
    let mut bench = Bench::holding(&[(1, 1), (2, 2)]);
    bench.want(1, &[(2, Some(3)), (4, Some(4))], LOADING);
    bench.work();
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 1), (2, 3), (4, 4)]));
    bench.want(2, &[(4, None)], LOADING);
    bench.work();
    assert!(bench.target.contents().contains_key(&4));
    bench.want(2, &[], COMPLETE);
    bench.work();
    assert_eq!(bench.target.contents(), &BTreeMap::from([(2, 3)]));
    assert_eq!(
        bench.reports(),
        [(2, 1, true, true), (4, 1, true, true), (4, 2, false, true)],
        "the orphan is not reported"
    );
}

#[test]
fn a_bad_key_waits_alone() {
    let mut bench = Bench::new(DriverConfig { max_batch: 1, ..DriverConfig::default() });
    bench.target.set_bad(1, Some(failure(FailureKind::Retry)));
    bench.want(1, &[(1, Some(1)), (2, Some(2)), (3, Some(3))], COMPLETE);
    let until = bench.work().expect("retry planned");
    assert_eq!(bench.target.contents(), &BTreeMap::from([(2, 2), (3, 3)]));
    assert_eq!(bench.driver.stats().failed, 1);
    assert_eq!(bench.driver.failed().collect::<Vec<_>>(), [(&1, &failure(FailureKind::Retry))]);
    assert_eq!(bench.reports(), [(1, 1, true, false), (2, 1, true, true), (3, 1, true, true)]);
    bench.target.heal();
    bench.now = until;
    bench.work();
    assert_eq!(bench.reports(), [(1, 1, true, true)]);
    assert_eq!(bench.driver.stats().failed, 0);
}

#[test]
fn churn_of_lower_ranks_does_not_starve_a_retry_a_rank_or_a_delete() {
    let mut bench = Bench::new(DriverConfig { max_batch: 4, ..DriverConfig::default() });
    bench.target = MemTarget::new().with_rank(|key| u32::from(*key >= 100));
    let _ = bench.target.write_behind(300, Some(1));
    bench.target.set_bad(200, Some(failure(FailureKind::Retry)));
    bench.want(1, &[(200, Some(1))], COMPLETE);
    bench.work();
    bench.target.heal();
    let _ = bench.target.write_behind(300, Some(1));
    bench.driver.on_drift(Drift::All);
    bench.want(2, &[(201, Some(1))], COMPLETE);
    let mut batches = 0;
    while !(bench.target.contents().contains_key(&200)
        && bench.target.contents().contains_key(&201)
        && !bench.target.contents().contains_key(&300))
    {
        // Every turn brings more changes of rank 0 than fit into a batch.
        let churn: Vec<_> = (0..8).map(|key| (key, Some(batches))).collect();
        bench.want(3 + u64::from(batches), &churn, COMPLETE);
        bench.now += Duration::from_millis(100);
        match bench.driver.next_by_rank(bench.now, |key| bench.target.rank(key)) {
            Action::Dump => bench.driver.on_dump(bench.target.dump(), bench.now),
            Action::Apply(batch) => {
                let outcomes = bench.target.apply(&batch);
                bench.driver.on_outcomes(outcomes, bench.now);
            }
            Action::Idle(_) => panic!("there is always something to do"),
        }
        batches += 1;
        assert!(batches < 3 * 64, "starved: {:?}", bench.target.contents().keys());
        if batches > 10 {
            assert!(bench.target.contents().contains_key(&200), "the retry comes first");
        }
    }
}

#[test]
fn a_resync_dumps_at_once_and_then_less_and_less_often() {
    let mut bench = Bench::holding(&[]);
    bench.want(1, &[(1, Some(1))], COMPLETE);
    bench.target.inject(Fault::Apply { failure: failure(FailureKind::Resync), effective: true });
    bench.work();
    assert_eq!((bench.target.dumps, bench.target.writes()), (2, 1), "the dump shows the value");
    bench.target.inject(Fault::Apply { failure: failure(FailureKind::Resync), effective: false });
    bench.want(2, &[(1, Some(3))], COMPLETE);
    bench.work();
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 3)]), "tried again after the dump");
    bench.reports();

    let bad = [2, 3, 4];
    bad.iter().for_each(|key| bench.target.set_bad(*key, Some(failure(FailureKind::Resync))));
    bench.want(3, &bad.map(|key| (key, Some(2))), COMPLETE);
    let dumps = bench.target.dumps;
    let mut waits = Vec::new();
    for _ in 0..6 {
        let until = bench.work().expect("retry planned");
        waits.push(until - bench.now);
        bench.now = until;
    }
    assert!(waits.windows(2).all(|pair| pair[0] * 2 == pair[1]), "{waits:?}");
    assert_eq!(bench.target.dumps - dumps, 6, "one for all keys of a batch");
}

#[test]
fn a_drift_hint_rewrites_a_known_key_and_dumps_for_others() {
    let mut bench = Bench::holding(&[]);
    bench.want(1, &[(1, Some(1)), (2, Some(2))], COMPLETE);
    bench.work();
    let event = bench.target.write_behind(1, None);
    bench.driver.on_drift(event);
    bench.work();
    let batch = bench.target.batches.last().expect("a batch");
    assert_eq!((&batch.puts[..], bench.target.dumps), (&[(1, 1)][..], 1));

    bench.now += Duration::from_secs(1);
    let event = bench.target.write_behind(9, Some(9));
    bench.driver.on_drift(event);
    bench.work();
    assert_eq!(bench.target.dumps, 2);
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 1), (2, 2)]));
}

#[test]
fn a_storm_of_hints_costs_one_dump_per_interval() {
    let mut bench = Bench::holding(&[]);
    bench.work();
    for _ in 0..100 {
        bench.driver.on_drift(Drift::All);
        bench.now += Duration::from_millis(5);
        bench.work();
    }
    assert!((4..=6).contains(&bench.target.dumps), "{}", bench.target.dumps);
}

#[test]
fn gone_waits_for_a_publication_or_a_hint() {
    let mut bench = Bench::holding(&[]);
    bench.target.set_bad(1, Some(failure(FailureKind::Gone)));
    bench.want(1, &[(1, Some(1))], COMPLETE);
    assert_eq!(bench.work(), None, "no timer");
    let tries = |bench: &Bench| bench.target.batches.len();
    assert_eq!(tries(&bench), 1);
    bench.want(2, &[(1, Some(1))], COMPLETE);
    bench.work();
    assert_eq!(tries(&bench), 2, "the same value again");
    bench.driver.on_drift(Drift::Key(1));
    bench.work();
    assert_eq!(tries(&bench), 3, "a hint on the key");
    bench.target.heal();
    bench.driver.on_drift(Drift::All);
    bench.work();
    assert_eq!(tries(&bench), 4, "a hint on anything");
    assert_eq!(bench.driver.stats().failed, 0);
    assert_eq!(bench.reports().last(), Some(&(1, 2, true, true)));
}

#[test]
fn gone_on_a_delete_is_success() {
    let mut bench = Bench::holding(&[(1, 1)]);
    bench.want(1, &[(1, Some(1))], COMPLETE);
    bench.work();
    bench.target.set_bad(1, Some(failure(FailureKind::Gone)));
    bench.want(2, &[(1, None)], COMPLETE);
    bench.work();
    assert_eq!(bench.reports(), [(1, 1, true, true), (1, 2, false, true)]);
    assert_eq!(bench.driver.stats().failed, 0);
}

#[test]
fn fatal_is_not_tried_again_until_the_value_changes_and_is_answered() {
    let mut bench = Bench::holding(&[]);
    bench.target.set_bad(1, Some(failure(FailureKind::Fatal)));
    bench.want(1, &[(1, Some(1))], COMPLETE);
    bench.work();
    bench.want(2, &[(1, Some(1))], COMPLETE);
    bench.driver.on_drift(Drift::All);
    bench.now += Duration::from_secs(3600);
    bench.work();
    assert_eq!(bench.target.batches.len(), 1);
    assert_eq!(bench.reports(), [(1, 1, true, false), (1, 2, true, false)]);
    bench.target.heal();
    bench.want(3, &[(1, Some(2))], COMPLETE);
    bench.work();
    assert_eq!(bench.reports(), [(1, 3, true, true)]);
}

#[test]
fn another_value_ends_the_wait_of_a_failing_key() {
    let mut bench = Bench::holding(&[]);
    bench.target.set_bad(1, Some(failure(FailureKind::Retry)));
    bench.want(1, &[(1, Some(1))], COMPLETE);
    bench.work();
    bench.target.heal();
    bench.want(2, &[(1, Some(1))], COMPLETE);
    bench.work();
    assert_eq!(bench.target.batches.len(), 1, "the same value keeps its wait");
    bench.want(3, &[(1, Some(2))], COMPLETE);
    bench.work();
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 2)]));
}

#[test]
fn a_key_without_outcome_counts_as_failed() {
    let mut bench = Bench::holding(&[]);
    bench.want(1, &[(1, Some(1)), (2, Some(2))], COMPLETE);
    bench.target.inject(Fault::PartialBatch(1));
    bench.driver.on_dump(bench.target.dump(), bench.now);
    let Action::Apply(batch) = bench.driver.next(bench.now) else { panic!("a write is due") };
    let outcomes = bench.target.apply(&batch);
    bench.driver.on_outcomes(outcomes, bench.now);
    assert_eq!(bench.driver.stats().failed, 1, "told at once");
    let until = bench.work().expect("retry planned");
    bench.now = until;
    bench.work();
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 1), (2, 2)]));
}

#[test]
fn a_change_during_a_write_is_written_afterwards_and_reported_with_its_revision() {
    let mut bench = Bench::holding(&[]);
    bench.want(1, &[(1, Some(1))], COMPLETE);
    bench.driver.on_dump(bench.target.dump(), bench.now);
    let Action::Apply(batch) = bench.driver.next(bench.now) else { panic!("a write is due") };
    bench.want(2, &[(1, Some(2))], COMPLETE);
    let outcomes = bench.target.apply(&batch);
    bench.driver.on_outcomes(outcomes, bench.now);
    assert_eq!(bench.reports(), [(1, 1, true, true)]);
    assert_eq!(bench.driver.has(&1), Some(&1));
    bench.work();
    assert_eq!(bench.reports(), [(1, 2, true, true)]);
    assert_eq!((bench.driver.wants(&1), bench.driver.has(&1)), (Some(&2), Some(&2)));
}

#[test]
fn an_outdated_value_that_failed_does_not_delay_the_new_one() {
    let mut bench = Bench::holding(&[]);
    bench.want(1, &[(1, Some(1)), (2, Some(1))], COMPLETE);
    bench.driver.on_dump(bench.target.dump(), bench.now);
    let Action::Apply(batch) = bench.driver.next(bench.now) else { panic!("a write is due") };
    // One key gets another value during the write that fails, the other the same one again.
    bench.want(2, &[(1, Some(2)), (2, Some(1))], COMPLETE);
    let failed = Fault::Apply { failure: failure(FailureKind::Retry), effective: false };
    bench.target.inject(failed);
    let outcomes = bench.target.apply(&batch);
    bench.driver.on_outcomes(outcomes, bench.now);
    assert_eq!(bench.reports(), [(1, 1, true, false), (2, 2, true, false)]);
    bench.work();
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 2)]), "the other one waits");
}

#[test]
fn a_final_failure_answers_what_was_published_during_the_write() {
    let mut bench = Bench::holding(&[]);
    bench.target.set_bad(1, Some(failure(FailureKind::Fatal)));
    bench.want(1, &[(1, Some(1))], COMPLETE);
    bench.driver.on_dump(bench.target.dump(), bench.now);
    let Action::Apply(batch) = bench.driver.next(bench.now) else { panic!("a write is due") };
    bench.want(2, &[(1, Some(1))], COMPLETE);
    let outcomes = bench.target.apply(&batch);
    bench.driver.on_outcomes(outcomes, bench.now);
    assert_eq!(bench.reports(), [(1, 2, true, false)]);
}

#[test]
fn a_hint_during_a_write_leaves_the_key_unknown() {
    let mut bench = Bench::holding(&[]);
    bench.want(1, &[(1, Some(1))], COMPLETE);
    bench.driver.on_dump(bench.target.dump(), bench.now);
    let Action::Apply(batch) = bench.driver.next(bench.now) else { panic!("a write is due") };
    let outcomes = bench.target.apply(&batch);
    let event = bench.target.write_behind(1, None);
    bench.driver.on_drift(event);
    bench.driver.on_outcomes(outcomes, bench.now);
    bench.work();
    assert_eq!(bench.target.contents(), &BTreeMap::from([(1, 1)]));
}

#[test]
fn nothing_is_remembered_about_keys_that_are_gone() {
    let mut bench = Bench::holding(&[(1, 1), (2, 2)]);
    bench.want(1, &[(1, Some(1)), (2, None), (3, Some(3)), (4, None)], COMPLETE);
    bench.work();
    bench.want(2, &[(1, None), (3, None)], COMPLETE);
    bench.work();
    assert!(bench.target.contents().is_empty());
    assert!((1..=4).all(|key| !bench.driver.delta.contains(&key)));
    let stats = bench.driver.stats();
    assert_eq!((stats.desired, stats.actual, stats.pending), (0, 0, 0));
}

#[test]
fn ranks_order_writes_over_batches() {
    let mut bench = Bench::new(DriverConfig { max_batch: 10, ..DriverConfig::default() });
    bench.target = MemTarget::new().with_rank(|key| key % 3);
    let all: Vec<_> = (0..90).map(|key| (key, Some(0))).collect();
    bench.want(1, &all, COMPLETE);
    bench.work();
    let puts = bench.target.batches.iter().flat_map(|batch| batch.puts.iter());
    assert!(puts.map(|(key, _)| key % 3).is_sorted());
    assert_eq!(bench.target.batches.len(), 9);

    let none: Vec<_> = (0..90).map(|key| (key, None)).collect();
    bench.want(2, &none, COMPLETE);
    bench.work();
    let deletes = bench.target.batches.iter().flat_map(|batch| batch.deletes.iter());
    assert!(deletes.map(|key| 3 - key % 3).is_sorted());
}
