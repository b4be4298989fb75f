// SPDX-License-Identifier: MIT OR Apache-2.0
//! The enforcer over a table in memory.

use std::collections::BTreeSet;

use reconcile::{FailureKind, fake::MemTarget};

use super::*;
use crate::{
    ir::Target as To,
    load::{Document, parse},
    model::{Endpoint, Labels},
};

const POLICY: &str = r#"
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: api-in, namespace: shop }
spec:
  selector: app == "api"
  ingress:
  - { action: Allow, protocol: TCP, source: { selector: app == "web" }, destination: { ports: [80] } }
"#;

type Memory = MemTarget<ObjectId, Content>;

struct Bench {
    enforcer: Enforcer<Memory>,
    inputs: Inputs,
    status: Mailbox<EndpointKey, Report<EndpointKey>>,
    now: Instant,
}

impl Bench {
    fn new(target: Memory) -> Self {
        let (inputs, status) = (Inputs::default(), Mailbox::new());
        // One object at a time: what is not waited for is seen missing.
        let config = EnforcerConfig { max_batch: 1, ..EnforcerConfig::default() };
        let enforcer = Enforcer::new(&config, target, inputs.clone(), status.clone());
        Self { enforcer, inputs, status, now: Instant::now() }
    }

    fn empty() -> Self {
        Self::new(Memory::new().with_rank(ObjectId::rank))
    }

    /// Turns until there is nothing to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            if let Turn::Idle(_) = self.enforcer.turn(self.now) {
                return;
            }
        }
        panic!("the enforcer never rests");
    }

    fn add_policy(&self) {
        for document in parse("policy.yaml", POLICY).unwrap() {
            let Document::Policy(policy) = document else { panic!("{document:?}") };
            self.inputs.policies.publish(policy.id.clone(), Some(policy), Revision(1));
        }
    }

    fn add_local(&self, interface: &str, app: &str, address: &str, revision: u64) {
        let endpoint = LocalEndpoint(endpoint(app, address));
        self.inputs.locals.publish(interface.into(), Some(endpoint), Revision(revision));
    }

    fn complete(&self) {
        self.inputs.policies.set_completeness(Completeness::Complete);
        self.inputs.locals.set_completeness(Completeness::Complete);
        self.inputs.remotes.set_completeness(Completeness::Complete);
    }

    fn reports(&self) -> Vec<Report<EndpointKey>> {
        let entries = self.status.take().entries;
        entries.into_iter().filter_map(|(_, change)| change.value).collect()
    }

    fn contents(&self) -> Vec<ObjectId> {
        self.enforcer.target().contents().keys().cloned().collect()
    }

    /// The table a process leaves behind.
    fn leave(self) -> Memory {
        let mut target = Memory::new().with_rank(ObjectId::rank);
        for (id, content) in self.enforcer.target().contents() {
            let _ = target.write_behind(id.clone(), Some(content.clone()));
        }
        target
    }
}

fn endpoint(app: &str, address: &str) -> Endpoint {
    let labels: Labels = [("app", app)].into_iter().collect();
    Endpoint::new("shop", &labels, vec![address.parse().unwrap()])
}

fn applied(interface: &str, revision: u64, present: bool) -> Report<EndpointKey> {
    let (key, revision) = (interface.into(), Revision(revision));
    Report { key, revision, outcome: Outcome::Applied, present }
}

/// A node with a policy and two endpoints, in force.
fn running() -> Bench {
    let mut bench = Bench::empty();
    bench.add_policy();
    bench.add_local("rtdapi", "api", "10.64.1.2", 1);
    bench.add_local("rtdweb", "web", "10.64.1.3", 1);
    bench.complete();
    bench.settle();
    bench
}

#[test]
fn only_the_base_ruleset_is_in_force_until_every_source_is_complete() {
    let mut bench = Bench::empty();
    bench.add_local("rtdapi", "api", "10.64.1.2", 1);
    bench.settle();
    let base = bench.contents();
    assert!(!base.is_empty() && base.iter().all(ObjectId::is_fixed), "{base:?}");

    bench.inputs.locals.set_completeness(Completeness::Complete);
    bench.inputs.remotes.set_completeness(Completeness::Complete);
    bench.settle();
    assert_eq!(bench.contents(), base);
    assert!(bench.reports().is_empty() && bench.enforcer.stats().is_loading);
    assert_eq!(bench.enforcer.stats().waiting_endpoints, 1);

    bench.inputs.policies.set_completeness(Completeness::Complete);
    bench.settle();
    assert!(bench.contents().len() > base.len());
    assert_eq!(bench.reports(), [applied("rtdapi", 1, true)]);
    assert!(!bench.enforcer.stats().is_loading);
}

#[test]
fn the_kernel_ends_up_with_what_the_engine_says() {
    let bench = running();
    let truth: BTreeSet<_> = bench.enforcer.engine().rebuild().into_keys().collect();
    assert_eq!(bench.contents().into_iter().collect::<BTreeSet<_>>(), truth);
    for (id, object) in bench.enforcer.engine().rebuild() {
        assert_eq!(bench.enforcer.target().contents().get(&id), Some(&Content::from(object)));
    }
    let mut reports = bench.reports();
    reports.sort_by(|one, two| one.key.cmp(&two.key));
    assert_eq!(reports, [applied("rtdapi", 1, true), applied("rtdweb", 1, true)]);
}

#[test]
fn a_restart_with_the_same_inputs_writes_nothing_in_any_order_of_arrival() {
    let mut next = Bench::new(running().leave());
    next.add_local("rtdapi", "api", "10.64.1.2", 1);
    next.add_local("rtdweb", "web", "10.64.1.3", 1);
    next.inputs.locals.set_completeness(Completeness::Complete);
    next.settle();
    // A ruleset without policies would open the endpoint now.
    assert_eq!(next.enforcer.target().writes(), 0);
    next.add_policy();
    next.inputs.policies.set_completeness(Completeness::Complete);
    next.settle();
    assert_eq!(next.enforcer.target().writes(), 0);
    next.complete();
    next.settle();
    assert_eq!(next.enforcer.target().writes(), 0);
    assert_eq!(next.reports().len(), 2);
}

#[test]
fn what_a_dead_process_left_goes_when_all_sources_are_complete() {
    let mut next = Bench::new(running().leave());
    next.add_policy();
    next.add_local("rtdapi", "api", "10.64.1.2", 1);
    next.settle();
    let gone = |id: &ObjectId| id.to_string().contains("rtdweb");
    assert!(next.contents().iter().any(gone));
    next.complete();
    next.settle();
    assert!(!next.contents().iter().any(gone));
    assert!(next.contents().iter().any(|id| id.to_string().contains("rtdapi")));
}

#[test]
fn an_endpoint_is_answered_after_all_its_objects() {
    let mut bench = running();
    bench.reports();
    bench.add_local("rtdnew", "api", "10.64.1.4", 9);
    let mut answered = false;
    while bench.enforcer.turn(bench.now) == Turn::Busy {
        let reports = bench.reports();
        let wanted = bench.enforcer.engine().objects_of(&"rtdnew".into());
        let in_force = wanted.iter().all(|id| bench.enforcer.target().contents().contains_key(id));
        assert_eq!(!reports.is_empty(), in_force && !answered);
        answered |= !reports.is_empty();
        assert!(reports.is_empty() || reports == [applied("rtdnew", 9, true)]);
    }
    assert!(answered);
}

#[test]
fn a_removed_endpoint_is_answered_when_its_elements_are_gone() {
    let mut bench = running();
    bench.reports();
    let own = |id: &ObjectId| {
        let text = id.to_string();
        text.contains("rtdweb") || text.ends_with(" 10.64.1.3")
    };
    assert_eq!(bench.contents().iter().filter(|id| own(id)).count(), 4);
    bench.inputs.locals.publish("rtdweb".into(), None, Revision(5));
    while bench.enforcer.turn(bench.now) == Turn::Busy {
        let reports = bench.reports();
        if !reports.is_empty() {
            assert_eq!(reports, [applied("rtdweb", 5, false)]);
            assert!(!bench.contents().iter().any(own));
            return;
        }
    }
    panic!("no answer");
}

#[test]
fn an_endpoint_with_an_object_that_fails_is_told_so_and_stays_closed() {
    let mut bench = Bench::empty();
    bench.add_policy();
    bench.add_local("rtdapi", "api", "10.64.1.2", 3);
    bench.complete();
    // The policy chain cannot be written.
    let mut probe = running();
    probe.settle();
    let chain = probe.contents().into_iter().find(|id| id.rank() == 5).expect("a policy chain");
    let failure = Failure::new(FailureKind::Fatal, "refused");
    bench.enforcer.target.set_bad(chain.clone(), Some(failure));
    bench.settle();
    let reports = bench.reports();
    let [Report { outcome: Outcome::Failed(failure), revision: Revision(3), .. }] = &reports[..]
    else {
        panic!("{reports:?}")
    };
    assert!(failure.reason.contains(&chain.to_string()), "{}", failure.reason);
    assert_eq!(bench.enforcer.stats().waiting_endpoints, 1);
    assert_eq!(bench.enforcer.failures().count(), 1);
}

#[test]
fn an_endpoint_that_publishes_the_same_again_is_answered_at_once() {
    let mut bench = running();
    bench.reports();
    let writes = bench.enforcer.target().writes();
    bench.add_local("rtdapi", "api", "10.64.1.2", 8);
    bench.settle();
    assert_eq!(bench.reports(), [applied("rtdapi", 8, true)]);
    assert_eq!(bench.enforcer.target().writes(), writes);
}

#[test]
fn a_policy_that_goes_opens_what_it_had_closed() {
    let mut bench = running();
    let ids: Vec<_> = bench.enforcer.engine().summaries().into_iter().collect();
    assert_eq!(ids.len(), 1);
    for document in parse("policy.yaml", POLICY).unwrap() {
        let Document::Policy(policy) = document else { panic!("{document:?}") };
        bench.inputs.policies.publish(policy.id.clone(), None, Revision(2));
    }
    bench.settle();
    let open = bench.enforcer.target().contents().iter().filter(|(id, content)| {
        matches!(id, ObjectId::Dispatch(..))
            && content.object() == Some(&Object::Dispatch(To::Accept))
    });
    assert_eq!(open.count(), 4);
    assert!(bench.contents().iter().all(|id| !matches!(id, ObjectId::Chain(_)) || id.is_fixed()));
}

#[test]
fn a_table_that_cannot_be_read_is_reported_and_nothing_is_written() {
    let mut bench = Bench::empty();
    let failure = Failure::new(FailureKind::Fatal, "table inet routed exists and is not ours");
    bench.enforcer.target.inject(reconcile::fake::Fault::Dump(failure.clone()));
    assert!(matches!(bench.enforcer.turn(bench.now), Turn::Busy));
    bench.settle();
    assert_eq!(bench.enforcer.stats().dump_failure, Some(failure));
    assert_eq!(bench.enforcer.target().writes(), 0);
    bench.now += Duration::from_secs(60);
    bench.settle();
    assert_eq!(bench.enforcer.stats().dump_failure, None);
    assert!(bench.enforcer.target().writes() > 0);
}
