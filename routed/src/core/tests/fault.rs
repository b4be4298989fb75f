// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes wrong and is put right, one story per test.

use std::time::Duration;

use reconcile::FailureKind;

use super::world::*;
use crate::core::Refusal;

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
