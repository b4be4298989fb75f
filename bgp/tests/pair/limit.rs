// SPDX-License-Identifier: MIT OR Apache-2.0
//! How much of a peer is accepted: number of prefixes, and our own AS in its paths.

use std::time::Duration;

use bgp::{DownReason, PrefixLimit, RejectReason, RibQuery, RibView, RouteReason, Start, State};

use crate::sim::{World, node, peer};

const SECOND: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_secs(60);

/// Node 1 takes five prefixes a family from node 0.
fn limited(teardown: bool) -> World {
    let limit = PrefixLimit { teardown, restart: REST, ..PrefixLimit::new(5) };
    let mut world = World::pair_with(1, |configs| configs[1].peers[0].prefix_limit = Some(limit));
    (0..5).for_each(|index| world.originate(0, &format!("10.0.{index}.0/24")));
    (0..5).for_each(|index| world.originate(0, &format!("fd00:{index}::/32")));
    world.until("routes", SECOND * 5, |w| w.hosts[1].routes.len() == 10);
    world
}

#[test]
fn a_peer_over_its_limit_is_ended_and_rests() {
    let mut world = limited(true);
    world.originate(0, "10.0.5.0/24");
    world.until("the end", SECOND, |w| !w.is_up(1));
    let down = world.status(1).last_down.unwrap();
    assert_eq!((down.reason, down.code, down.subcode), (DownReason::PrefixLimit, 6, 1));
    world.run(Duration::from_millis(10));
    let told = world.status(0).last_down.unwrap();
    assert_eq!((told.reason, told.code, told.subcode), (DownReason::NotificationReceived, 6, 1));
    assert!(world.hosts[1].routes.is_empty());
    // Whatever the other side tries meanwhile is refused.
    world.run(REST - SECOND * 6);
    assert_eq!(world.status(1).state, State::Idle);
    assert_eq!(world.status(1).established_transitions, 1);
    world.withdraw(0, "10.0.5.0/24");
    world.until("the session again", SECOND * 30, |w| w.is_up(0) && w.is_up(1));
    world.until("routes", SECOND * 5, |w| w.hosts[1].routes.len() == 10);
}

#[test]
fn a_limit_that_only_warns_ends_nothing() {
    let mut world = limited(false);
    world.originate(0, "10.0.5.0/24");
    world.run(SECOND * 5);
    assert_eq!(world.hosts[1].routes.len(), 11);
    assert_eq!(world.status(1).established_transitions, 1);
}

#[test]
fn a_lower_limit_counts_at_once() {
    let mut world = limited(true);
    let mut config = world.hosts[1].config.clone();
    config.peers[0].prefix_limit = Some(PrefixLimit::new(4));
    let diff = world.apply(1, config);
    assert_eq!(diff.changed, ["n0"]);
    world.run(SECOND);
    assert_eq!(world.status(1).last_down.unwrap().reason, DownReason::PrefixLimit);
}

/// Two sites of one AS with a transit between them.
fn sites(allow_own_as: u8) -> World {
    let mut world = World::new(1);
    let (mut left, mut right) = (node(0, 65_001), node(2, 65_001));
    left.peers = vec![peer(1, 65_002)];
    right.peers = vec![peer(1, 65_002)];
    right.peers[0].allow_own_as = allow_own_as;
    let mut middle = node(1, 65_002);
    middle.peers = vec![peer(0, 65_001), peer(2, 65_001)];
    middle.peers.iter_mut().for_each(|peer| peer.transit = true);
    for config in [left, middle, right] {
        let node = world.add(config);
        world.start(node, Start::Cold);
        world.complete(node);
    }
    world.originate(0, "10.0.0.0/24");
    world.until("the transit has it", SECOND * 10, |w| w.has_route(1, "10.0.0.0/24"));
    world.run(SECOND * 10);
    world
}

#[test]
fn our_own_as_in_a_path_is_accepted_as_often_as_configured() {
    let mut world = sites(0);
    assert!(!world.has_route(2, "10.0.0.0/24"));
    let view = RibView::Rejected;
    let refused = world.speaker(2).rib(&RibQuery { view, ..RibQuery::default() });
    assert_eq!(refused[0].reason, RouteReason::Rejected(RejectReason::AsLoop));
    // What was refused is judged again, without a new session.
    let mut config = world.hosts[2].config.clone();
    config.peers[0].allow_own_as = 1;
    let diff = world.apply(2, config);
    assert!(diff.import && diff.reset.is_empty());
    world.until("the route", SECOND, |w| w.has_route(2, "10.0.0.0/24"));
    assert!(sites(1).has_route(2, "10.0.0.0/24"));
}
