// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the compiler makes of policies, as reviewed snapshots, and how little a change touches.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use policy::{
    Change, CompileOptions, Endpoint, Engine, HostAction, Labels, LocalEndpoint, PolicyId,
    RemoteEndpoint,
    ir::{Object, ObjectId},
    load::{Document, parse},
};

use support::render::{keys, render};

const SHOP: &str = r#"
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: default-deny }
spec: { order: 1000, selector: env == "prod", types: [Ingress, Egress] }
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: api-in, namespace: shop }
spec:
  order: 100
  selector: app == "api"
  types: [Ingress]
  ingress:
  - { action: Allow, protocol: TCP, source: { selector: app == "web" }, destination: { ports: [8080, "9000:9010"] } }
  - { action: Deny, source: { nets: [192.0.2.0/24, 198.51.100.7, 2001:db8::/32] } }
  - { action: Allow, protocol: ICMP, source: { notSelector: has(quarantine) } }
  - { action: Allow, ipVersion: 6, notProtocol: UDP, destination: { notNets: [fd00::/64] } }
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: web-out, namespace: shop }
spec:
  selector: app == "web"
  egress:
  - { action: Allow, protocol: UDP, destination: { nets: [10.0.0.53/32], ports: [53] } }
  - { action: Allow, protocol: TCP, destination: { notPorts: [25] } }
"#;

fn endpoint(labels: &[(&str, &str)], addresses: &[&str]) -> Endpoint {
    let labels: Labels = labels.iter().copied().collect();
    Endpoint::new("shop", &labels, addresses.iter().map(|a| a.parse().unwrap()).collect())
}

fn local(labels: &[(&str, &str)], addresses: &[&str]) -> Option<LocalEndpoint> {
    Some(LocalEndpoint(endpoint(labels, addresses)))
}

fn remote(labels: &[(&str, &str)], addresses: &[&str]) -> Option<RemoteEndpoint> {
    Some(RemoteEndpoint(endpoint(labels, addresses)))
}

fn load(engine: &mut Engine, text: &str) {
    for document in parse("shop.yaml", text).unwrap() {
        let Document::Policy(policy) = document else { panic!("{document:?}") };
        engine.apply(Change::Policy(policy.id.clone(), Some(policy)));
    }
}

fn shop() -> Engine {
    let mut engine = Engine::new(&CompileOptions::default());
    load(&mut engine, SHOP);
    let api = local(&[("app", "api"), ("env", "prod")], &["10.64.1.2", "fd00:64::2"]);
    engine.apply(Change::Local("rtdapi".into(), api));
    engine.apply(Change::Local("rtdweb".into(), local(&[("app", "web")], &["10.64.1.3"])));
    engine.apply(Change::Local("rtdplain".into(), local(&[], &["10.64.1.4"])));
    engine.apply(Change::Remote("shop/web-2".into(), remote(&[("app", "web")], &["10.64.2.3"])));
    let bad = remote(&[("quarantine", "yes")], &["10.64.2.4", "fd00:64:2::4"]);
    engine.apply(Change::Remote("shop/bad".into(), bad));
    engine
}

fn changed(engine: &mut Engine) -> Vec<String> {
    let sign = |object: &Option<Object>| if object.is_some() { '+' } else { '-' };
    engine.take_changes().iter().map(|(id, object)| format!("{}{id}", sign(object))).collect()
}

#[test]
fn base_ruleset_is_closed() {
    let mut engine = Engine::new(&CompileOptions::default());
    let base: BTreeMap<_, _> = engine.take_changes().into_iter().collect();
    let base = base.iter().map(|(id, object)| (id, object.as_ref().unwrap()));
    insta::assert_snapshot!("base", render(base));
}

#[test]
fn options_change_the_base_ruleset() {
    let options = CompileOptions {
        interface_prefix: "wl".to_owned(),
        endpoint_to_host: HostAction::Return,
        anti_spoofing: false,
    };
    let base = Engine::new(&options).rebuild();
    let shown = ["chain antispoof", "chain to_node", "chain raw_prerouting"];
    let base = base.iter().filter(|(id, _)| shown.contains(&id.to_string().as_str()));
    insta::assert_snapshot!("options", render(base));
}

#[test]
fn policies_become_chains_and_sets() {
    let mut engine = shop();
    let objects: BTreeMap<_, _> = engine.take_changes().into_iter().collect();
    let generated = objects
        .iter()
        .filter(|(id, _)| !id.is_fixed())
        .map(|(id, object)| (id, object.as_ref().unwrap()));
    insta::assert_snapshot!("shop", render(generated));
}

#[test]
fn a_new_endpoint_with_known_policies_adds_elements_only() {
    let mut engine = shop();
    engine.take_changes();
    let api = local(&[("app", "api"), ("env", "prod")], &["10.64.1.9"]);
    engine.apply(Change::Local("rtdnew".into(), api.clone()));
    let changes = engine.take_changes();
    assert!(
        changes.iter().all(|(id, object)| object.is_some()
            && matches!(id, ObjectId::Element(..) | ObjectId::Dispatch(..))),
        "{changes:?}"
    );
    let keys = keys(changes.iter().map(|(id, _)| id));
    assert_eq!(keys, ["sel4-366f3c5ca2314e35 10.64.1.9", "source_ipv4 rtdnew . 10.64.1.9"]);
    assert_eq!(changes.len(), 4, "besides the way in and the way out");
    engine.apply(Change::Local("rtdnew".into(), api));
    assert!(engine.take_changes().is_empty(), "nothing new");
}

#[test]
fn a_relabelled_remote_endpoint_moves_elements_only() {
    let mut engine = shop();
    engine.take_changes();
    let moved = remote(&[("app", "db"), ("quarantine", "no")], &["10.64.2.3"]);
    engine.apply(Change::Remote("shop/web-2".into(), moved));
    insta::assert_snapshot!("relabelled", changed(&mut engine).join("\n"));
}

#[test]
fn an_edited_policy_keeps_what_stays() {
    let mut engine = shop();
    engine.take_changes();
    load(&mut engine, &SHOP.replace("8080", "8081"));
    insta::assert_snapshot!("edited", changed(&mut engine).join("\n"));
}

#[test]
fn a_policy_without_local_endpoints_is_not_compiled() {
    let mut engine = shop();
    engine.take_changes();
    load(&mut engine, &SHOP.replace("api-in", "other").replace("app == \"api\"", "app == \"x\""));
    assert!(changed(&mut engine).is_empty());
    let summaries = engine.summaries();
    let other = summaries.iter().find(|policy| policy.name == "other").unwrap();
    assert_eq!(other.endpoints, 0);
}

#[test]
fn summaries_come_in_order_of_evaluation() {
    let mut engine = shop();
    let revision = engine.revision();
    let listed: Vec<_> = engine
        .summaries()
        .iter()
        .map(|p| {
            format!(
                "{} {:?} {} {:?} {:?} {}",
                p.kind, p.namespace, p.name, p.order, p.types, p.endpoints
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            "NetworkPolicy Some(\"shop\") api-in Some(100.0) [Ingress] 1",
            "GlobalNetworkPolicy None default-deny Some(1000.0) [Ingress, Egress] 1",
            "NetworkPolicy Some(\"shop\") web-out None [Egress] 1",
        ]
    );
    load(&mut engine, &SHOP.replace("order: 100\n", "order: 2000\n"));
    let summaries = engine.summaries();
    assert_eq!(summaries[1].name, "api-in", "after default-deny now");
    assert!(summaries[1].revision > revision);
    assert!(summaries[0].revision < revision, "unchanged content keeps its revision");
    let id = PolicyId::namespaced("shop", "api-in");
    assert_eq!(engine.policy(&id).unwrap().order.value(), Some(2000.0));
}

#[test]
fn an_endpoint_names_what_it_needs() {
    let engine = shop();
    let of = |key: &str| {
        let objects = engine.objects_of(&key.into());
        let own = objects.iter().filter(|id| !id.is_fixed());
        own.map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!("objects_of_api", of("rtdapi"));
    insta::assert_snapshot!("objects_of_web", of("rtdweb"));
    assert!(engine.objects_of(&"rtdghost".into()).is_empty());
}

#[test]
fn the_same_policy_twice_changes_nothing() {
    let mut engine = shop();
    engine.take_changes();
    load(&mut engine, SHOP);
    assert!(engine.take_changes().is_empty());
    let id = PolicyId::global("default-deny");
    let policy = Arc::clone(engine.policy(&id).unwrap());
    engine.apply(Change::Policy(id.clone(), None));
    engine.apply(Change::Policy(id, Some(policy)));
    let rebuilt = engine.rebuild();
    for (id, object) in engine.take_changes() {
        assert_eq!(rebuilt.get(&id), object.as_ref(), "{id}");
    }
}
