// SPDX-License-Identifier: MIT OR Apache-2.0
//! Any story at all: whatever happens in whatever order, the node ends where it should.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::world::*;
use crate::core::Reply;
use crate::model::{RouteKind, WorkloadId};

#[derive(Clone, Debug)]
enum Op {
    Add { n: usize, ns: u64 },
    Del { n: usize, ns: Option<u64> },
    Step(Which),
    Deliver(Which),
    Settle,
    Kill { ns: u64 },
    Wait(u64),
    Restart,
    Disk(bool),
    Stuck(Which, bool),
    Uplinks(bool),
    Blocks(usize),
}

fn which() -> impl Strategy<Value = Which> {
    proptest::sample::select(Which::ALL.to_vec())
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..5usize, 0..7u64).prop_map(|(n, ns)| Op::Add { n, ns }),
        5 => (0..5usize, proptest::option::of(0..7u64)).prop_map(|(n, ns)| Op::Del { n, ns }),
        20 => which().prop_map(Op::Step),
        20 => which().prop_map(Op::Deliver),
        4 => Just(Op::Settle),
        2 => (0..7u64).prop_map(|ns| Op::Kill { ns }),
        2 => (0..400u64).prop_map(Op::Wait),
        1 => Just(Op::Restart),
        1 => proptest::bool::ANY.prop_map(Op::Disk),
        1 => (which(), proptest::bool::ANY).prop_map(|(lane, stuck)| Op::Stuck(lane, stuck)),
        1 => proptest::bool::ANY.prop_map(Op::Uplinks),
        1 => (0..3usize).prop_map(Op::Blocks),
    ]
}

const BLOCKS: [&str; 3] = [
    "10.0.0.0/30, \"fd00::/126\"",
    "10.0.0.0/30, \"fd00::/126\", 10.1.0.0/32",
    "10.1.0.0/31, \"fd00::/126\"",
];

/// What is true after every step.
fn check(world: &World) {
    let mut holders: BTreeMap<IpAddr, WorkloadId> = BTreeMap::new();
    for view in world.core.workloads() {
        for address in view.record.addresses() {
            let other = holders.insert(address, view.record.id.clone());
            assert_eq!(other, None, "{address} is held twice");
        }
    }
    for link in world.out.links.actual.values() {
        let addresses = link.v4.map(IpAddr::V4).into_iter().chain(link.v6.map(IpAddr::V6));
        for address in addresses {
            let holder = holders.get(&address);
            assert_eq!(holder, Some(&link.id), "{address} is on a link of somebody else");
        }
    }
    for prefix in world.out.adverts.keys().filter(|prefix| !prefix.is_host()) {
        let route = world.out.routes.actual.iter().find(|(key, _)| key.prefix == *prefix);
        let blackhole = route.is_some_and(|(_, spec)| spec.kind == RouteKind::Blackhole);
        assert!(blackhole, "{prefix} is advertised without its blackhole");
    }
}

fn run(world: &mut World, op: &Op) {
    match *op {
        Op::Add { n, ns } => {
            world.dead.remove(&netns(ns));
            world.attach(&add(n, ns));
        }
        Op::Del { n, ns } => {
            world.detach(&del(n, ns));
        }
        Op::Step(which) => {
            world.step(which);
        }
        Op::Deliver(which) => {
            world.deliver(which);
        }
        Op::Settle => world.settle(),
        Op::Kill { ns } => world.kill_netns(netns(ns)),
        Op::Wait(seconds) => world.wait(Duration::from_secs(seconds)),
        Op::Restart => world.restart(),
        Op::Disk(fails) => world.out.disk_fails = fails,
        Op::Stuck(Which::Link, stuck) => world.out.links.stuck = stuck,
        Op::Stuck(Which::Route, stuck) => world.out.routes.stuck = stuck,
        Op::Stuck(Which::Endpoint, stuck) => world.out.endpoints.stuck = stuck,
        Op::Stuck(Which::Advert, _) => {}
        Op::Uplinks(both) => {
            let loopback: &[&str] = if both { &["10.255.0.1"] } else { &[] };
            world.set_uplinks(uplinks(loopback));
        }
        Op::Blocks(n) => world.set_config(config(BLOCKS[n], "")),
    }
}

/// All faults end, and everything comes to rest.
fn heal(world: &mut World) {
    world.out.disk_fails = false;
    world.out.links.stuck = false;
    world.out.routes.stuck = false;
    world.out.endpoints.stuck = false;
    for _ in 0..3 {
        world.wait(Duration::from_secs(61));
        world.settle();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn any_story_ends_well(ops in proptest::collection::vec(op(), 1..120)) {
        let mut world = World::with(config(BLOCKS[0], ""));
        let mut lost = Vec::new();
        for op in ops {
            if matches!(op, Op::Restart) {
                lost.extend((1..=world.tickets).filter(|t| !world.answers.contains_key(t)));
            }
            run(&mut world, &op);
            check(&world);
        }
        heal(&mut world);
        check(&world);
        for ticket in 1..=world.tickets {
            prop_assert!(world.answers.contains_key(&ticket) || lost.contains(&ticket));
        }
        for view in world.core.workloads() {
            let state = view.state.as_str();
            prop_assert!(state == "ready" || state == "failed", "{:?}", view);
            prop_assert_eq!(world.out.disk.get(&view.record.id), Some(&view.record));
            let link = world.out.links.actual.get(&view.record.link_key());
            prop_assert_eq!(link.is_some(), state == "ready", "{:?}", view);
        }
        prop_assert_eq!(world.out.disk.len(), world.core.workloads().count());
        for n in 0..5 {
            let ticket = world.detach(&del(n, None));
            world.settle();
            prop_assert_eq!(&world.answers[&ticket], &Ok(Reply::Detached));
        }
        prop_assert!(world.is_empty());
        let now = world.now + Duration::from_secs(30);
        for block in world.core.ipam(now) {
            prop_assert_eq!((block.in_use, block.cooling), (0, 0));
        }
    }
}

/// A fixed story; only what the lanes do in between varies.
fn story() -> Vec<Op> {
    vec![
        Op::Add { n: 1, ns: 1 },
        Op::Add { n: 2, ns: 2 },
        Op::Add { n: 3, ns: 3 },
        Op::Uplinks(false),
        Op::Del { n: 2, ns: Some(2) },
        Op::Add { n: 1, ns: 4 },
        Op::Blocks(2),
        Op::Add { n: 4, ns: 5 },
        Op::Uplinks(true),
        Op::Blocks(0),
    ]
}

fn told(schedule: &[(usize, Which, bool)]) -> World {
    let mut world = World::with(config(BLOCKS[0], ""));
    for (at, op) in story().iter().enumerate() {
        run(&mut world, op);
        for (_, which, step) in schedule.iter().filter(|(turn, _, _)| *turn == at) {
            if *step {
                world.step(*which);
            } else {
                world.deliver(*which);
            }
        }
    }
    world.settle();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn when_the_lanes_work_does_not_matter(
        schedule in proptest::collection::vec((0..10usize, which(), proptest::bool::ANY), 0..150),
    ) {
        let (world, reference) = (told(&schedule), told(&[]));
        prop_assert_eq!(&world.out.links.actual, &reference.out.links.actual);
        prop_assert_eq!(&world.out.routes.actual, &reference.out.routes.actual);
        prop_assert_eq!(&world.out.endpoints.actual, &reference.out.endpoints.actual);
        prop_assert_eq!(&world.out.adverts, &reference.out.adverts);
        prop_assert_eq!(&world.out.disk, &reference.out.disk);
        prop_assert_eq!(world.core.counts(), reference.core.counts());
        prop_assert_eq!(reference.core.counts().ready, 3);
    }
}
