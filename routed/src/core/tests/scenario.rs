// SPDX-License-Identifier: MIT OR Apache-2.0
//! One story per test.

use std::time::Duration;

use super::world::*;
use crate::core::{Handover, Refusal, Table};
use crate::model::{AttachRequest, LinkKey, RouteKind, Stage, WorkloadId};
use crate::store::Quarantined;
use policy::model::EndpointKey;
use reconcile::FailureKind;

#[test]
fn an_attached_workload_has_link_routes_and_policy_before_the_answer() {
    let mut world = World::new();
    let ticket = world.attach(&add(1, 1));
    assert_eq!(world.out.disk[&id(1)].stage, Stage::Pending, "recorded before any effect");
    world.settle();
    let answer = world.attached(1, 1);
    assert!(world.answers[&ticket].is_ok());
    assert_eq!(answer.v4.unwrap().to_string(), "10.0.0.0");
    assert_eq!(answer.v6.unwrap().to_string(), "fd00::");
    assert_eq!(answer.mtu, 1400, "the uplink's");
    let name = answer.host_interface;
    assert!(name.starts_with("rtd") && name.len() == 14, "{name}");
    assert_eq!(answer.mac.0[0] & 3, 2, "unicast, locally administered");
    assert_eq!(world.out.links.actual[&LinkKey(name.clone())].netns, netns(1));
    assert!(world.out.endpoints.actual.contains_key(&EndpointKey::new(&name)));
    let to_it = RouteKind::Device { dev: name };
    let routes = world.out.routes.actual.values().filter(|spec| spec.kind == to_it);
    let sources: Vec<_> = routes.map(|spec| spec.prefer_src.unwrap().to_string()).collect();
    assert_eq!(sources, ["10.255.0.1", "fd00:ffff::1"], "the node's own addresses");
    assert_eq!(world.out.disk[&id(1)].stage, Stage::Attached);
    assert_eq!(world.state(1), Some("ready"));
}

/// The answer waits for each part, in whatever order the parts come.
#[test]
fn the_answer_waits_for_every_part() {
    for missing in [Which::Link, Which::Route, Which::Endpoint] {
        let mut world = World::new();
        world.settle();
        match missing {
            Which::Link => world.out.links.stuck = true,
            Which::Route => world.out.routes.stuck = true,
            Which::Endpoint | Which::Advert => world.out.endpoints.stuck = true,
        }
        let ticket = world.attach(&add(1, 1));
        world.settle();
        assert!(!world.answers.contains_key(&ticket), "{missing:?}");
        assert_eq!(world.state(1), Some("pending"));
        world.wait(Duration::from_secs(10));
        assert!(matches!(world.answers[&ticket], Err(Refusal::TryAgain(_))), "{missing:?}");
        assert_eq!(world.state(1), Some("pending"), "it stays wanted");
        world.out.links.stuck = false;
        world.out.routes.stuck = false;
        world.out.endpoints.stuck = false;
        world.settle();
        assert_eq!(world.state(1), Some("ready"));
    }
}

#[test]
fn the_refusal_names_what_is_missing() {
    let mut world = World::new();
    world.settle();
    world.out.endpoints.stuck = true;
    let ticket = world.attach(&add(1, 1));
    world.settle();
    world.wait(Duration::from_secs(10));
    let text = world.refusal(ticket);
    assert!(text.starts_with("policy of rtd") && text.ends_with(" is not in force"), "{text}");
}

#[test]
fn a_repeated_request_gets_the_same_answer_without_a_write() {
    let mut world = World::new();
    let first = world.attached(1, 1);
    let writes = (world.out.links.writes, world.out.routes.writes, world.out.endpoints.writes);
    world.tickets += 1;
    assert_eq!(world.core.attach(world.tickets, &add(1, 1), world.now), Handover::NotNeeded);
    world.flush();
    assert_eq!(world.attached(1, 1), first);
    assert_eq!(
        writes,
        (world.out.links.writes, world.out.routes.writes, world.out.endpoints.writes)
    );
}

#[test]
fn a_request_repeated_while_the_first_is_served_gets_the_same_answer() {
    let mut world = World::new();
    let first = world.attach(&add(1, 1));
    let second = world.attach(&add(1, 1));
    world.settle();
    assert_eq!(world.answers[&first], world.answers[&second]);
    assert!(world.answers[&first].is_ok());
}

#[test]
fn another_namespace_means_a_new_link_with_the_same_addresses() {
    let mut world = World::new();
    let first = world.attached(1, 1);
    let again = world.attached(1, 2);
    assert_eq!(again, first);
    let link = &world.out.links.actual[&LinkKey(first.host_interface)];
    assert_eq!(link.netns, netns(2));
    assert_eq!(world.out.routes.actual.len(), 4, "two hosts, two blackholes");
}

/// The route over the old interface of the same name is not taken for the new one.
#[test]
fn an_attachment_made_anew_is_not_answered_before_its_routes_are_written() {
    let mut world = World::new();
    world.attached(1, 1);
    world.out.routes.stuck = true;
    let ticket = world.attach(&add(1, 2));
    world.settle();
    assert!(!world.answers.contains_key(&ticket));
    world.out.routes.stuck = false;
    world.settle();
    assert!(world.answers[&ticket].is_ok());
    assert_eq!(world.out.routes.actual.len(), 4);
}

/// The kernel drops the routes over a link that is replaced; they must not count until then.
#[test]
fn routes_over_the_old_link_do_not_count_for_the_new_one() {
    let mut world = World::new();
    world.attached(1, 1);
    world.out.links.stuck = true;
    let ticket = world.attach(&add(1, 2));
    world.settle();
    world.out.links.stuck = false;
    while world.step(Which::Link) || world.deliver(Which::Link) {}
    assert!(!world.answers.contains_key(&ticket), "its routes are not there");
    world.settle();
    assert!(world.answers[&ticket].is_ok());
    assert_eq!(world.out.routes.actual.len(), 4);
}

#[test]
fn a_detached_workload_leaves_nothing_and_its_address_rests() {
    let mut world = World::new();
    let answer = world.attached(1, 1);
    let ticket = world.detach(&del(1, Some(1)));
    assert!(!world.is_detached(ticket), "not before the kernel has nothing of it");
    assert_eq!(world.out.disk[&id(1)].stage, Stage::Leaving);
    world.settle();
    assert!(world.is_detached(ticket));
    assert!(world.is_empty());
    assert_eq!(world.free(), [7, 7]);
    let next = world.attached(2, 2);
    assert_ne!(next.v4, answer.v4);
    world.wait(Duration::from_secs(30));
    assert_eq!(world.free(), [7, 7]);
}

#[test]
fn detaching_what_is_not_attached_is_success() {
    let mut world = World::new();
    let unknown = world.detach(&del(1, None));
    assert!(world.is_detached(unknown));
    world.attached(1, 1);
    let other = world.detach(&del(1, Some(9)));
    assert!(world.is_detached(other), "it lives in another namespace by now");
    world.settle();
    assert_eq!(world.state(1), Some("ready"));
    for ns in [Some(1), None, None] {
        let ticket = world.detach(&del(1, ns));
        world.settle();
        assert!(world.is_detached(ticket));
    }
    assert!(world.is_empty());
}

#[test]
fn two_interfaces_of_one_container_are_two_workloads() {
    let mut world = World::new();
    world.attached(1, 1);
    let other = WorkloadId::try_new("c1", "net1").unwrap();
    let request = AttachRequest { id: other.clone(), ..add(1, 1) };
    let ticket = world.attach(&request);
    world.settle();
    assert!(world.answers[&ticket].is_ok());
    let ticket = world.detach(&del(1, None));
    world.settle();
    assert!(world.is_detached(ticket));
    assert!(world.core.workload(&other).is_some());
    assert_eq!(world.out.links.actual.len(), 1);
}

#[test]
fn detaching_overtakes_a_running_attach() {
    for steps in 0..12 {
        let mut world = World::new();
        let attach = world.attach(&add(1, 1));
        for n in 0..steps {
            let which = Which::ALL[n % 4];
            world.step(which);
            world.deliver(which);
        }
        let detach = world.detach(&del(1, Some(1)));
        world.settle();
        assert!(world.is_detached(detach));
        assert!(world.answers.contains_key(&attach));
        assert!(world.is_empty(), "after {steps} steps");
        assert_eq!(world.tickets, 2);
    }
}

#[test]
fn attaching_again_while_it_is_cleared_away_keeps_the_addresses() {
    let mut world = World::new();
    let first = world.attached(1, 1);
    let detach = world.detach(&del(1, None));
    let again = world.attached(1, 2);
    assert!(world.is_detached(detach));
    assert_eq!(again, first);
}

#[test]
fn a_new_container_in_the_same_namespace_replaces_the_old_one() {
    let mut world = World::new();
    world.attached(1, 1);
    let ticket = world.attach(&add(2, 1));
    let both = |world: &World| world.out.links.mailbox.len();
    assert_eq!(both(&world), 2, "the old one goes, the new one waits");
    world.settle();
    assert!(world.answers[&ticket].is_ok());
    assert_eq!(world.state(1), None);
    assert_eq!(world.out.links.actual.len(), 1);
    assert_eq!(world.out.disk.len(), 1);
}

#[test]
fn a_new_container_waits_until_the_old_link_is_gone() {
    let mut world = World::new();
    world.attached(1, 1);
    world.out.routes.stuck = true;
    let ticket = world.attach(&add(2, 1));
    world.settle();
    assert_eq!(world.state(2), Some("pending"));
    assert!(world.out.links.actual.values().all(|link| link.id != id(2)));
    world.out.routes.stuck = false;
    world.settle();
    assert!(world.answers[&ticket].is_ok());
}

/// Two containers that change places, and places that are left before they were taken.
#[test]
fn those_who_wait_for_a_place_are_let_in_whoever_leaves_it() {
    let stories: [&[(usize, u64)]; 3] = [
        &[(4, 0), (2, 0), (4, 0)],
        &[(1, 6), (2, 6), (1, 0)],
        &[(4, 1), (2, 1), (4, 3), (2, 3), (4, 4)],
    ];
    for story in stories {
        for settled in [false, true] {
            let mut world = World::new();
            world.attached(2, 7);
            world.kill_netns(netns(7));
            world.settle();
            for (n, ns) in story {
                world.attach(&add(*n, *ns));
                if settled {
                    world.settle();
                }
            }
            world.settle();
            for view in world.core.workloads() {
                let state = view.state.as_str();
                assert!(state == "ready", "{story:?} {settled}: {view:?}");
            }
            assert!((1..=world.tickets).all(|ticket| world.answers.contains_key(&ticket)));
        }
    }
}

/// The kernel gives the number of a dead namespace to a new one.
#[test]
fn a_namespace_may_have_the_number_of_a_dead_one() {
    let mut world = World::new();
    world.attached(1, 7);
    world.kill_netns(netns(7));
    world.settle();
    assert_eq!(world.state(1), Some("failed"));
    world.dead.clear();
    world.attached(2, 7);
    assert_eq!(world.state(1), None);
}

#[test]
fn a_vanished_link_takes_everything_but_the_address_with_it() {
    let mut world = World::new();
    let answer = world.attached(1, 1);
    world.kill_netns(netns(1));
    world.settle();
    assert!(world.out.links.actual.is_empty());
    assert!(world.out.endpoints.actual.is_empty());
    assert_eq!(world.out.routes.actual.len(), 2, "only the blackholes");
    assert_eq!(world.state(1), Some("failed"));
    assert_eq!(world.free(), [7, 7]);
    assert_ne!(world.attached(2, 2).v4, answer.v4);
    assert_eq!(world.attached(1, 3).v4, answer.v4, "its own address waits for it");
    world.kill_netns(netns(3));
    world.settle();
    let ticket = world.detach(&del(1, None));
    world.settle();
    assert!(world.is_detached(ticket));
    assert_eq!(world.state(1), None);
}

#[test]
fn the_address_of_a_vanished_workload_is_let_go_at_last() {
    let mut world = World::new();
    world.attached(1, 1);
    world.kill_netns(netns(1));
    world.settle();
    world.wait(Duration::from_secs(15 * 60 - 1));
    world.settle();
    assert_eq!(world.state(1), Some("failed"));
    world.wait(Duration::from_secs(1));
    world.settle();
    assert!(world.is_empty());
}

#[test]
fn a_link_that_cannot_be_made_is_told_and_leaves_nothing() {
    let mut world = World::new();
    world.settle();
    let ticket = world.attach(&add(1, 1));
    let key = world.core.workload(&id(1)).unwrap().record.link_key();
    world.out.links.broken.insert(key, FailureKind::Fatal);
    world.settle();
    assert_eq!(world.refusal(ticket), "the kernel refused: injected");
    assert!(world.is_empty());
}

#[test]
fn a_link_that_cannot_be_made_yet_is_waited_for() {
    let mut world = World::new();
    world.settle();
    let ticket = world.attach(&add(1, 1));
    let key = world.core.workload(&id(1)).unwrap().record.link_key();
    world.out.links.broken.insert(key, FailureKind::Retry);
    world.settle();
    assert_eq!(world.state(1), Some("failed"));
    world.wait(Duration::from_secs(10));
    let text = world.refusal(ticket);
    assert!(text.starts_with("link rtd") && text.ends_with("is not in force: injected"), "{text}");
    world.out.links.broken.clear();
    world.handles.insert(id(1), netns(1));
    world.wait(Duration::from_secs(60));
    world.settle();
    assert_eq!(world.state(1), Some("ready"));
}

#[test]
fn a_container_that_is_gone_before_it_is_attached_keeps_its_record_for_a_while() {
    let mut world = World::new();
    world.settle();
    world.kill_netns(netns(1));
    let ticket = world.attach(&add(1, 1));
    world.settle();
    assert_eq!(world.refusal(ticket), "injected");
    assert_eq!(world.state(1), Some("failed"));
    world.wait(Duration::from_secs(5 * 60));
    world.settle();
    assert!(world.is_empty());
}

#[test]
fn without_a_disk_nothing_is_attached_and_everything_is_detached() {
    let mut world = World::new();
    world.attached(1, 1);
    world.out.disk_fails = true;
    let ticket = world.attach(&add(2, 2));
    let text = world.refusal(ticket);
    assert!(text.starts_with("cannot write workloads"), "{text}");
    assert!(matches!(world.answers[&ticket], Err(Refusal::TryAgain(_))));
    assert_eq!(world.state(2), None);
    assert_eq!(world.free(), [7, 7], "the address was never used");
    let ticket = world.detach(&del(1, None));
    world.settle();
    assert!(world.is_detached(ticket));
    assert!(world.out.links.actual.is_empty());
    assert_eq!(world.state(1), Some("leaving"), "the record is still there");
    assert_eq!(world.free(), [7, 7], "so the address is not free");
    world.out.disk_fails = false;
    world.wait(Duration::from_secs(1));
    world.settle();
    assert!(world.is_empty());
}

#[test]
fn a_record_that_could_not_be_marked_is_removed_all_the_same() {
    let mut world = World::new();
    world.attached(1, 1);
    world.out.disk_fails = true;
    world.out.routes.stuck = true;
    world.detach(&del(1, None));
    world.settle();
    world.out.disk_fails = false;
    world.out.routes.stuck = false;
    while world.step(Which::Route) {}
    assert_eq!(world.out.routes.reports.len(), 2);
    world.deliver(Which::Route);
    // The mark is due for another try at the very moment the last part is reported gone.
    world.now += Duration::from_secs(2);
    world.deliver(Which::Route);
    assert!(world.is_empty());
}

#[test]
fn a_restart_takes_over_without_a_write() {
    let mut world = World::new();
    for n in 0..5 {
        world.attached(n, n as u64);
    }
    let answer = world.attached(3, 3);
    let writes = |world: &World| {
        (world.out.links.writes, world.out.routes.writes, world.out.endpoints.writes)
    };
    let before = writes(&world);
    let adverts = world.out.adverts.clone();
    world.restart();
    world.settle();
    assert_eq!(writes(&world), before);
    assert_eq!(world.out.adverts, adverts);
    assert_eq!(world.attached(3, 3), answer);
    assert_eq!(writes(&world), before);
    assert_eq!(world.core.counts().ready, 5);
}

#[test]
fn a_restart_finishes_what_was_begun() {
    for steps in 0..16 {
        let mut world = World::new();
        world.attached(9, 9);
        world.attach(&add(1, 1));
        world.detach(&del(9, None));
        for n in 0..steps {
            let which = Which::ALL[n % 4];
            world.step(which);
            world.deliver(which);
        }
        world.restart();
        world.settle();
        assert_eq!(world.state(9), None, "a detached workload stays detached ({steps})");
        let ticket = world.attach(&add(1, 1));
        world.settle();
        assert!(world.answers[&ticket].is_ok(), "the retry completes it ({steps})");
        assert_eq!(world.out.disk.len(), 1);
    }
}

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
fn check_finds_what_differs() {
    let mut world = World::new();
    let unknown = world.core.check(&id(1), netns(1)).unwrap_err();
    assert_eq!(unknown.to_string(), "c1/eth0 is not attached");
    let answer = world.attached(1, 1);
    let spec = world.core.check(&id(1), netns(1)).unwrap();
    assert_eq!(spec.host_interface, answer.host_interface);
    let moved = world.core.check(&id(1), netns(2)).unwrap_err();
    assert_eq!(moved.to_string(), "c1/eth0 is attached to namespace 4:1, not 4:2");
    world.kill_netns(netns(1));
    world.settle();
    assert!(matches!(world.core.check(&id(1), netns(1)), Err(Refusal::Differs(_))));
    world.detach(&del(1, None));
    assert!(matches!(world.core.check(&id(1), netns(1)), Err(Refusal::Unknown(_))));
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
fn a_detach_that_takes_too_long_says_so_and_goes_on() {
    let mut world = World::new();
    world.attached(1, 1);
    world.out.links.stuck = true;
    let ticket = world.detach(&del(1, None));
    world.settle();
    world.wait(Duration::from_secs(10));
    assert_eq!(world.refusal(ticket), "c1/eth0 is still being cleared away");
    world.out.links.stuck = false;
    world.settle();
    assert!(world.is_empty());
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
