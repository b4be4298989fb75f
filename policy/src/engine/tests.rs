// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::{
    load::{Document, parse},
    model::Labels,
};

const POLICY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: p }
spec:
  selector: app == 'db'
  ingress:
  - { action: Allow, protocol: TCP, source: { selector: app == 'web', notSelector: has(bad) }, destination: { ports: [1, 3] } }
  - { action: Deny, source: { selector: app == 'web' } }
  egress:
  - { action: Allow, destination: { selector: app == 'web' } }
";

fn policy(text: &str) -> Arc<Policy> {
    match &parse("p.yaml", text).unwrap()[..] {
        [Document::Policy(policy)] => Arc::clone(policy),
        other => panic!("{other:?}"),
    }
}

fn endpoint(app: &str, address: &str) -> Endpoint {
    let labels: Labels = [("app", app)].into_iter().collect();
    Endpoint::new("shop", &labels, vec![address.parse().unwrap()])
}

#[test]
fn nothing_is_kept_of_what_is_gone() {
    let mut engine = Engine::new(&CompileOptions::default());
    let policy = policy(POLICY);
    for round in 0..3 {
        let db = LocalEndpoint(endpoint("db", "10.0.0.1"));
        engine.apply(Change::Local("rtd1".into(), Some(db)));
        engine.apply(Change::Policy(policy.id.clone(), Some(Arc::clone(&policy))));
        let web = RemoteEndpoint(endpoint("web", "10.0.0.2"));
        engine.apply(Change::Remote("web".into(), Some(web)));
        assert_eq!(engine.members.len(), 2, "each selector once");
        // Every order of going.
        let mut last = vec![
            Change::Local("rtd1".into(), None),
            Change::Policy(policy.id.clone(), None),
            Change::Remote("web".into(), None),
        ];
        last.rotate_left(round);
        for change in last {
            engine.apply(change);
        }
        assert_eq!(engine.members.len(), 0);
        assert!(engine.chains.is_empty() && engine.judged.is_empty());
        assert!(engine.sets.is_empty() && engine.signatures.is_empty());
    }
}

#[test]
fn policies_that_select_nobody_cost_no_sets() {
    let mut engine = Engine::new(&CompileOptions::default());
    let policy = policy(POLICY);
    engine.apply(Change::Policy(policy.id.clone(), Some(policy)));
    let web = LocalEndpoint(endpoint("web", "10.0.0.1"));
    engine.apply(Change::Local("rtd1".into(), Some(web)));
    assert!(engine.sets.is_empty() && engine.chains.is_empty());
    let db = LocalEndpoint(endpoint("db", "10.0.0.1"));
    engine.apply(Change::Local("rtd1".into(), Some(db)));
    assert_eq!(engine.chains.len(), 2);
}

#[test]
fn every_change_has_its_revision() {
    let mut engine = Engine::new(&CompileOptions::default());
    let first = engine.apply(Change::Local("rtd1".into(), None));
    let second = engine.apply(Change::Local("rtd1".into(), None));
    assert!(first < second);
    assert_eq!(engine.revision(), second);
}
