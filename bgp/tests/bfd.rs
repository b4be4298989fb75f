// SPDX-License-Identifier: MIT OR Apache-2.0
//! A session whose path BFD saw fail, in virtual time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing step fails the test")]
#![expect(dead_code, reason = "the world serves other tests too")]

mod sim;

use std::time::Duration;

use bgp::wire::NotificationCode;
use bgp::{By, DownReason};
use sim::World;

const SECOND: Duration = Duration::from_secs(1);
const V4: &str = "10.64.1.0/26";

#[test]
fn a_failed_path_ends_the_session_at_once_and_it_comes_back_without_bfd() {
    let mut world = World::pair(1);
    world.originate(0, V4);
    world.until("route", SECOND * 5, |w| w.is_up(0) && w.has_route(1, V4));
    world.set_partition(true);
    let now = world.now;
    assert!(world.speaker(1).bfd_down(sim::address(0), now));
    world.drain(1);
    world.until("the route is gone", Duration::from_millis(1), |w| !w.has_route(1, V4));
    let down = world.status(1).last_down.unwrap();
    assert_eq!((down.by, down.reason), (By::Local, DownReason::BfdDown));
    let code = NotificationCode::BFD_DOWN;
    assert_eq!((down.code, down.subcode), (code.code, code.subcode));

    world.set_partition(false);
    world.until("again, whatever BFD thinks", SECOND * 40, |w| w.has_route(1, V4));
    let told = world.status(0).last_down.unwrap();
    assert_eq!((told.reason, told.code, told.subcode), (DownReason::NotificationReceived, 6, 10));
}

#[test]
fn an_attempt_to_connect_and_a_stranger_are_left_alone() {
    let mut world = World::pair(1);
    world.set_partition(true);
    world.run(SECOND);
    let (state, now) = (world.status(1).state, world.now);
    assert!(!world.speaker(1).bfd_down(sim::address(0), now));
    assert!(!world.speaker(1).bfd_down("192.0.2.1".parse().unwrap(), now));
    assert_eq!(world.status(1).state, state);
    assert!(world.status(1).last_down.is_none_or(|down| down.reason != DownReason::BfdDown));
}
