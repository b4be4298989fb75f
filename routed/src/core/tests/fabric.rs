// SPDX-License-Identifier: MIT OR Apache-2.0
//! Adverts, addresses and configuration, one story per test.

use std::time::Duration;

use policy::model::EndpointKey;

use super::world::*;
use crate::core::{Refusal, Table};
use crate::model::AttachRequest;
use crate::store::Quarantined;

#[test]
fn before_the_first_configuration_nothing_is_published() {
    let mut world = World::new();
    world.attached(1, 1);
    let record = world.out.disk[&id(1)].clone();
    let loaded = crate::store::Loaded { workloads: vec![record], quarantined: vec![] };
    let mut core = crate::core::Core::new(Default::default(), loaded);
    let before = world.out.links.mailbox.len();
    world.out.complete.clear();
    core.on_uplinks(uplinks(&[]));
    core.attach(1, &add(2, 2), world.now);
    core.flush(&mut world.out, world.now);
    assert_eq!(world.out.links.mailbox.len(), before);
    assert!(world.out.complete.is_empty(), "so nothing may be deleted");
    let event = core.poll_event().unwrap();
    assert!(matches!(event.reply, Err(Refusal::TryAgain(_))), "{event:?}");
}

#[test]
fn a_block_is_advertised_once_its_blackhole_is_there() {
    let mut world = World::new();
    assert!(world.out.adverts.is_empty());
    assert!(!world.out.complete.contains(&Table::Adverts));
    world.settle();
    let shown: Vec<_> = world.out.adverts.keys().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/29", "fd00::/125"]);
    world.flush();
    assert!(world.out.complete.contains(&Table::Adverts));
}

#[test]
fn peers_do_not_wait_for_ever_for_a_block_that_cannot_be() {
    let mut world = World::new();
    world.out.routes.stuck = true;
    world.settle();
    assert!(!world.out.complete.contains(&Table::Adverts));
    assert!(world.core.poll_timeout().is_some());
    world.wait(Duration::from_secs(10));
    assert!(world.out.complete.contains(&Table::Adverts));
    assert!(world.out.adverts.is_empty());
}

/// A deadline in the past that nothing comes of would keep the lane spinning.
#[test]
fn nothing_is_due_that_cannot_be_done() {
    let mut world = World::new();
    world.core = crate::core::Core::new(Default::default(), Default::default());
    world.out.complete.clear();
    world.core.on_config(config("10.0.0.0/29", ""), world.now);
    world.wait(Duration::from_secs(60));
    assert_eq!(world.core.poll_timeout(), None);
}

#[test]
fn a_block_of_one_address_is_advertised_with_its_workload_and_has_no_blackhole() {
    let mut world = World::with(config("10.0.0.7/32", ""));
    world.settle();
    assert!(world.out.routes.actual.is_empty());
    assert!(world.out.adverts.is_empty());
    world.attached(1, 1);
    let shown: Vec<_> = world.out.adverts.keys().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.7/32"]);
    let ticket = world.detach(&del(1, None));
    assert!(world.out.adverts.is_empty(), "withdrawn at once");
    world.settle();
    assert!(world.is_detached(ticket));
    assert!(world.is_empty());
}

/// G2: while a peer may still send packets for it, an address is not free.
#[test]
fn an_address_is_not_free_before_it_is_withdrawn() {
    let mut world = World::with(config("10.0.0.7/32", ""));
    world.attached(1, 1);
    let ticket = world.detach(&del(1, None));
    let held = std::mem::take(&mut world.out.advert_reports);
    world.settle();
    assert!(world.is_detached(ticket), "the runtime need not wait for it");
    assert_eq!(world.state(1), Some("leaving"));
    assert_eq!(world.out.disk.len(), 1);
    world.out.advert_reports = held;
    world.settle();
    assert!(world.is_empty());
}

#[test]
fn an_old_withdrawal_does_not_free_an_address_that_is_advertised_anew() {
    let mut world = World::with(config("10.0.0.7/32", ""));
    world.attached(1, 1);
    world.detach(&del(1, None));
    let old = std::mem::take(&mut world.out.advert_reports);
    world.attach(&add(1, 2));
    while Which::ALL[..3].iter().any(|which| world.step(*which) || world.deliver(*which)) {}
    assert_eq!(world.out.adverts.len(), 1);
    world.detach(&del(1, None));
    let new = std::mem::replace(&mut world.out.advert_reports, old);
    world.settle();
    assert_eq!(world.state(1), Some("leaving"));
    world.out.advert_reports = new;
    world.settle();
    assert!(world.is_empty());
}

#[test]
fn a_block_that_leaves_the_configuration_keeps_its_workloads_reachable() {
    let mut world = World::new();
    let answer = world.attached(1, 1);
    world.set_config(config("10.1.0.0/29", ""));
    world.settle();
    let shown: Vec<_> = world.out.adverts.keys().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/32", "10.1.0.0/29", "fd00::/128"]);
    assert_eq!(world.state(1), Some("ready"));
    assert_eq!(world.attached(2, 2).v4.unwrap().to_string(), "10.1.0.0");
    world.restart();
    world.settle();
    assert_eq!(world.out.adverts.len(), 3, "after a restart too");
    world.set_config(config("10.0.0.0/29, \"fd00::/125\"", ""));
    world.settle();
    let shown: Vec<_> = world.out.adverts.keys().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.0/29", "10.1.0.0/32", "fd00::/125"]);
    assert_eq!(world.attached(1, 1), answer);
}

#[test]
fn a_block_that_comes_back_is_advertised_again() {
    let mut world = World::new();
    world.settle();
    let (with, without) = (config("10.0.0.0/29, \"fd00::/125\"", ""), config("10.1.0.0/29", ""));
    world.core.on_config(without, world.now);
    world.core.on_config(with, world.now);
    world.flush();
    assert!(world.out.adverts.is_empty(), "its gate waits for a new report");
    world.settle();
    assert_eq!(world.out.adverts.len(), 2);
}

#[test]
fn routes_carry_the_address_of_the_node_as_long_as_it_has_it() {
    let mut world = World::with(config("10.0.0.0/29", ", addresses: { v4: 10.255.0.1 }"));
    world.attached(1, 1);
    let source = |world: &World| {
        let mut hosts = world.out.routes.actual.iter().filter(|(key, _)| key.prefix.is_host());
        hosts.next().unwrap().1.prefer_src
    };
    assert_eq!(source(&world), Some(ip("10.255.0.1")));
    world.set_uplinks(uplinks(&[]));
    world.settle();
    assert_eq!(source(&world), None, "the configured one or none");
    world.set_uplinks(uplinks(&["10.255.0.1"]));
    world.settle();
    assert_eq!(source(&world), Some(ip("10.255.0.1")));
    world.set_config(config("10.0.0.0/29", ""));
    world.set_uplinks(uplinks(&[]));
    world.settle();
    assert_eq!(source(&world), Some(ip("192.0.2.10")), "the uplink's");
}

#[test]
fn nothing_is_deleted_before_the_own_addresses_are_known() {
    let mut world = World::new();
    world.attached(1, 1);
    let routes = world.out.routes.actual.clone();
    let workloads = world.out.disk.values().cloned().collect();
    let loaded = crate::store::Loaded { workloads, quarantined: vec![] };
    world.core = crate::core::Core::new(Default::default(), loaded);
    world.out.complete.clear();
    world.core.on_config(config("10.0.0.0/29, \"fd00::/125\"", ""), world.now);
    world.flush();
    assert!(!world.out.complete.contains(&Table::Routes));
    let told = world.out.routes.mailbox.take().entries;
    let hosts = told.iter().filter(|(key, change)| key.prefix.is_host() && change.value.is_some());
    assert_eq!(hosts.count(), 0, "a route without its source would be written twice");
    world.out.complete.clear();
    world.restart();
    world.settle();
    assert_eq!(world.out.routes.actual, routes);
}

#[test]
fn a_fixed_address_is_honoured_and_its_loss_is_not_silent() {
    let mut world = World::new();
    let request = AttachRequest { addresses: vec![ip("10.0.0.5")], ..add(1, 1) };
    let ticket = world.attach(&request);
    world.settle();
    assert!(world.answers[&ticket].is_ok());
    assert_eq!(world.attached(1, 1).v4.unwrap().to_string(), "10.0.0.5");
    let other = AttachRequest { addresses: vec![ip("10.0.0.5")], ..add(2, 2) };
    let ticket = world.attach(&other);
    assert_eq!(world.refusal(ticket), "address 10.0.0.5 is in use by c1/eth0");
    let moved = AttachRequest { addresses: vec![ip("10.0.0.6")], ..add(1, 1) };
    let ticket = world.attach(&moved);
    assert_eq!(world.refusal(ticket), "c1/eth0 is still attached with another address");
    world.settle();
    let ticket = world.attach(&moved);
    world.settle();
    assert!(world.answers[&ticket].is_ok());
}

#[test]
fn the_own_addresses_and_those_of_broken_records_are_not_handed_out() {
    let node = config("10.255.0.0/31", "");
    let mut world = World::with(node);
    assert_eq!(world.attached(1, 1).v4.unwrap().to_string(), "10.255.0.0");
    let ticket = world.attach(&add(2, 2));
    assert_eq!(world.refusal(ticket), "pool v4 exhausted 2/2 (0 cooling)");
    let addresses = vec![ip("10.0.0.0"), ip("10.0.0.1")];
    let bad = Quarantined { file: "x.bad".to_owned(), reason: "broken".to_owned(), addresses };
    let loaded = crate::store::Loaded { workloads: vec![], quarantined: vec![bad] };
    let mut world = World::new();
    world.core = crate::core::Core::new(Default::default(), loaded);
    world.out.complete.clear();
    world.core.on_config(config("10.0.0.0/29", ""), world.now);
    world.core.on_uplinks(uplinks(&[]));
    world.flush();
    assert_eq!(world.attached(1, 1).v4.unwrap().to_string(), "10.0.0.2");
    assert_eq!(world.core.quarantined().len(), 1);
}

#[test]
fn a_file_may_give_labels_and_a_namespace_to_a_workload_of_this_node() {
    let described = "---\napiVersion: routed.dev/v1\nkind: WorkloadEndpoint\n\
        metadata: { name: api, namespace: shop, labels: { app: api } }\n\
        spec: { addresses: [10.0.0.0] }\n---\napiVersion: routed.dev/v1\nkind: WorkloadEndpoint\n\
        metadata: { name: far, labels: { app: db } }\nspec: { addresses: [10.9.0.1] }\n---\n\
        apiVersion: routed.dev/v1\nkind: WorkloadEndpoint\n\
        metadata: { name: moved }\nspec: { addresses: [10.1.0.0] }\n";
    let mut world = World::with(config_with("10.0.0.0/29", "", described));
    let mut request = add(1, 1);
    request.labels.insert("app".to_owned(), "web".to_owned());
    request.labels.insert("tier".to_owned(), "front".to_owned());
    world.attach(&request);
    world.settle();
    let endpoint = world.out.endpoints.actual.values().next().unwrap();
    assert_eq!(endpoint.0.namespace(), "shop");
    assert_eq!(endpoint.0.labels().get("app"), Some("api"));
    assert_eq!(endpoint.0.labels().get("tier"), Some("front"));
    let remotes: Vec<_> = world.out.remotes.keys().map(EndpointKey::as_str).collect();
    assert_eq!(remotes, ["default/far", "default/moved"], "what is here is not elsewhere");
    // An address outside every block counts as here as soon as a workload has it.
    world.set_config(config_with("10.1.0.0/29", "", described));
    world.attached(2, 2);
    world.set_config(config_with("10.0.0.0/29", "", described));
    world.settle();
    let remotes: Vec<_> = world.out.remotes.keys().map(EndpointKey::as_str).collect();
    assert_eq!(remotes, ["default/far"]);
    world.detach(&del(2, None));
    world.settle();
    assert_eq!(world.out.remotes.len(), 2);
}

#[test]
fn a_node_that_writes_no_routes_attaches_nothing() {
    let text = "apiVersion: routed.dev/v1\nkind: NodeConfig\n\
                spec: { kernel: { routes: false, policy: false } }\n";
    let sources = [("node.yaml", text)].into_iter().collect();
    let mut world = World::with(crate::config::parse(sources, "rr").unwrap().config);
    let ticket = world.attach(&add(1, 1));
    assert_eq!(world.answers[&ticket], Err(Refusal::NoWorkloads));
    assert!(world.out.complete.contains(&Table::Adverts), "there is nothing to wait for");
}

#[test]
fn a_node_that_enforces_no_policy_does_not_wait_for_it() {
    let mut world = World::with(config("10.0.0.0/29", ", kernel: { policy: false }"));
    world.out.endpoints.stuck = true;
    world.attached(1, 1);
    let ticket = world.detach(&del(1, None));
    world.settle();
    assert!(world.is_detached(ticket));
}

#[test]
fn an_mtu_comes_from_the_request_the_file_or_the_uplinks() {
    let mut world = World::with(config("10.0.0.0/29", ", workloads: { mtu: 9000 }"));
    assert_eq!(world.attached(1, 1).mtu, 9000);
    let ticket = world.attach(&AttachRequest { mtu: Some(1300), ..add(2, 2) });
    world.settle();
    assert!(world.answers[&ticket].is_ok());
    assert_eq!(world.core.workload(&id(2)).unwrap().record.mtu, 1300);
    let ticket = world.attach(&AttachRequest { mtu: Some(100), ..add(3, 3) });
    assert_eq!(world.refusal(ticket), "the kernel refused: an MTU of 100 is less than 1280");
}
