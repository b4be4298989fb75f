// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests, one story per test.

use std::time::Duration;

use policy::model::EndpointKey;

use super::world::*;
use crate::core::{Core, Handover, Refusal, Settings};
use crate::model::{AttachRequest, LinkKey, RouteKind, Stage, WorkloadId};
use crate::store::Loaded;

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

#[test]
fn requests_can_be_decided_once_the_uplinks_were_seen() {
    let world = World::new();
    let mut core = Core::new(Settings::default(), Loaded::default());
    assert!(core.is_informed(), "they are refused without a configuration");
    core.on_config(config("10.0.0.0/26", ""), world.now);
    assert!(!core.is_informed());
    core.on_uplinks(uplinks(&["10.255.0.1"]));
    assert!(core.is_informed());
}

#[test]
fn check_finds_what_differs() {
    let mut world = World::new();
    let unknown = world.core.check(&id(1), netns(1)).unwrap_err();
    assert_eq!(unknown.to_string(), "c1/eth0 is not attached");
    let answer = world.attached(1, 1);
    let (spec, _) = world.core.check(&id(1), netns(1)).unwrap();
    assert_eq!(spec.host_interface, answer.host_interface);
    let moved = world.core.check(&id(1), netns(2)).unwrap_err();
    assert_eq!(moved.to_string(), "c1/eth0 is attached to namespace 4:1, not 4:2");
    world.kill_netns(netns(1));
    world.settle();
    assert!(matches!(world.core.check(&id(1), netns(1)), Err(Refusal::Differs(_))));
    // Moved to another namespace it is on its way, and not broken.
    world.out.routes.stuck = true;
    world.attach(&add(1, 2));
    world.settle();
    assert!(matches!(world.core.check(&id(1), netns(2)), Err(Refusal::TryAgain(_))));
    world.out.routes.stuck = false;
    world.settle();
    assert!(world.core.check(&id(1), netns(2)).is_ok());
    world.detach(&del(1, None));
    assert!(matches!(world.core.check(&id(1), netns(1)), Err(Refusal::Unknown(_))));
}
