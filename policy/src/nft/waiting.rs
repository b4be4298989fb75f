// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which endpoints wait for which objects.
//!
//! An endpoint is in force when every object that makes it up is. Most of them are shared and long
//! in the kernel when the endpoint arrives, so it waits only for those with a write under way.
//! A removed endpoint waits in the same way until its objects are gone.

use reconcile::{Outcome, Report, Revision};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::{ir::ObjectId, model::EndpointKey};

/// Endpoints that are not answered yet, and the objects that keep them.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Published objects without an answer to their newest revision.
    unsettled: FxHashMap<ObjectId, Revision>,
    /// Who waits for an object.
    waiters: FxHashMap<ObjectId, FxHashSet<EndpointKey>>,
    endpoints: FxHashMap<EndpointKey, Pending>,
}

#[derive(Debug)]
struct Pending {
    revision: Revision,
    present: bool,
    missing: FxHashSet<ObjectId>,
}

impl Waiting {
    /// Number of endpoints that wait.
    pub(crate) fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// An object was handed to the driver.
    pub(crate) fn on_published(&mut self, id: &ObjectId, revision: Revision) {
        self.unsettled.insert(id.clone(), revision);
    }

    /// An endpoint was published: `ids` make it up now or did so before. Answers at once if
    /// nothing of it is under way.
    pub(crate) fn on_endpoint(
        &mut self,
        key: &EndpointKey,
        (revision, present): (Revision, bool),
        ids: impl IntoIterator<Item = ObjectId>,
    ) -> Option<Report<EndpointKey>> {
        let mut missing = self.forget(key);
        missing.extend(ids.into_iter().filter(|id| self.unsettled.contains_key(id)));
        if missing.is_empty() {
            return Some(applied(key, revision, present));
        }
        for id in &missing {
            self.waiters.entry(id.clone()).or_default().insert(key.clone());
        }
        self.endpoints.insert(key.clone(), Pending { revision, present, missing });
        None
    }

    /// The driver said what became of an object; returns what follows for endpoints.
    pub(crate) fn on_report(&mut self, report: &Report<ObjectId>) -> Vec<Report<EndpointKey>> {
        match &report.outcome {
            Outcome::Applied => {
                let newest = self.unsettled.get(&report.key);
                if newest.is_none_or(|newest| *newest > report.revision) {
                    return Vec::new();
                }
                self.unsettled.remove(&report.key);
                let waiters = self.waiters.remove(&report.key).unwrap_or_default();
                waiters.iter().filter_map(|key| self.settle(key, &report.key)).collect()
            }
            Outcome::Failed(failure) => {
                let waiters = self.waiters.get(&report.key).into_iter().flatten();
                let pending = waiters.filter_map(|key| Some((key, self.endpoints.get(key)?)));
                pending
                    .map(|(key, pending)| {
                        let mut failure = failure.clone();
                        failure.reason = format!("{}: {}", report.key, failure.reason);
                        Report {
                            outcome: Outcome::Failed(failure),
                            ..applied(key, pending.revision, pending.present)
                        }
                    })
                    .collect()
            }
        }
    }

    fn settle(&mut self, key: &EndpointKey, id: &ObjectId) -> Option<Report<EndpointKey>> {
        let pending = self.endpoints.get_mut(key)?;
        pending.missing.remove(id);
        if !pending.missing.is_empty() {
            return None;
        }
        let Pending { revision, present, .. } = self.endpoints.remove(key)?;
        Some(applied(key, revision, present))
    }

    /// Ends the wait of an endpoint and returns what it waited for.
    fn forget(&mut self, key: &EndpointKey) -> FxHashSet<ObjectId> {
        let Some(pending) = self.endpoints.remove(key) else { return FxHashSet::default() };
        for id in &pending.missing {
            if let Some(waiters) = self.waiters.get_mut(id) {
                waiters.remove(key);
                if waiters.is_empty() {
                    self.waiters.remove(id);
                }
            }
        }
        pending.missing
    }
}

fn applied(key: &EndpointKey, revision: Revision, present: bool) -> Report<EndpointKey> {
    Report { key: key.clone(), revision, outcome: Outcome::Applied, present }
}

#[cfg(test)]
mod tests {
    use reconcile::{Failure, FailureKind};

    use super::*;
    use crate::ir::Name;

    fn id(text: &str) -> ObjectId {
        ObjectId::Chain(Name::new(text))
    }

    fn report(text: &str, revision: u64, outcome: Outcome) -> Report<ObjectId> {
        Report { key: id(text), revision: Revision(revision), outcome, present: true }
    }

    fn key() -> EndpointKey {
        EndpointKey::new("rtd1")
    }

    #[test]
    fn an_endpoint_waits_for_all_its_unsettled_objects() {
        let mut waiting = Waiting::default();
        waiting.on_published(&id("a"), Revision(1));
        waiting.on_published(&id("b"), Revision(1));
        let ids = [id("a"), id("b"), id("settled")];
        assert_eq!(waiting.on_endpoint(&key(), (Revision(7), true), ids), None);
        assert_eq!(waiting.on_report(&report("a", 1, Outcome::Applied)), []);
        let answer = waiting.on_report(&report("b", 1, Outcome::Applied));
        assert_eq!(answer, [applied(&key(), Revision(7), true)]);
        assert_eq!(waiting.len(), 0);
    }

    #[test]
    fn an_endpoint_of_settled_objects_is_answered_at_once() {
        let mut waiting = Waiting::default();
        let answer = waiting.on_endpoint(&key(), (Revision(3), false), [id("a")]);
        assert_eq!(answer, Some(applied(&key(), Revision(3), false)));
    }

    #[test]
    fn an_answer_to_an_older_revision_does_not_count() {
        let mut waiting = Waiting::default();
        waiting.on_published(&id("a"), Revision(1));
        waiting.on_published(&id("a"), Revision(2));
        assert_eq!(waiting.on_endpoint(&key(), (Revision(7), true), [id("a")]), None);
        assert_eq!(waiting.on_report(&report("a", 1, Outcome::Applied)), []);
        assert_eq!(waiting.on_report(&report("a", 2, Outcome::Applied)).len(), 1);
    }

    #[test]
    fn a_failure_is_told_and_the_wait_goes_on() {
        let mut waiting = Waiting::default();
        waiting.on_published(&id("a"), Revision(1));
        assert_eq!(waiting.on_endpoint(&key(), (Revision(7), true), [id("a")]), None);
        let failure = Failure::new(FailureKind::Fatal, "refused");
        let told = waiting.on_report(&report("a", 1, Outcome::Failed(failure)));
        let [Report { outcome: Outcome::Failed(failure), revision: Revision(7), .. }] = &told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!(failure.reason, "chain a: refused");
        assert_eq!(waiting.on_report(&report("a", 1, Outcome::Applied)).len(), 1);
    }

    #[test]
    fn a_newer_endpoint_inherits_what_is_still_missing() {
        let mut waiting = Waiting::default();
        waiting.on_published(&id("a"), Revision(1));
        assert_eq!(waiting.on_endpoint(&key(), (Revision(1), true), [id("a")]), None);
        assert_eq!(waiting.on_endpoint(&key(), (Revision(2), false), []), None);
        let answer = waiting.on_report(&report("a", 1, Outcome::Applied));
        assert_eq!(answer, [applied(&key(), Revision(2), false)]);
        assert_eq!(waiting.len(), 0);
        assert!(waiting.waiters.is_empty() && waiting.unsettled.is_empty());
    }
}
