// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two (or three) speakers under virtual time: sessions, collisions, restarts, feeds.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing step fails the test")]

#[path = "pair/limit.rs"]
mod limit;
#[path = "pair/reflector.rs"]
mod reflector;
mod sim;

use std::time::Duration;

use bgp::wire::{MessageType, NotificationCode};
use bgp::{
    Asn, By, DownReason, Family, FamilySet, Originate, RibQuery, RibView, RouteReason, Shutdown,
    Start, State, Step,
};
use sim::{World, node, peer};

const SECOND: Duration = Duration::from_secs(1);
const V4: &str = "10.64.1.0/26";
const V6: &str = "fd00:64:1::/122";

fn up(world: &mut World) {
    world.until("established", SECOND * 5, |w| w.is_up(0) && w.is_up(1));
}

#[test]
fn a_session_comes_up_and_carries_both_families_both_ways() {
    let mut world = World::pair(1);
    for (node, prefixes) in [(0, [V4, V6]), (1, ["10.64.2.0/26", "fd00:64:2::/122"])] {
        prefixes.into_iter().for_each(|prefix| world.originate(node, prefix));
    }
    up(&mut world);
    world.until("routes", SECOND, |w| {
        [V4, V6].iter().all(|p| w.has_route(1, p))
            && ["10.64.2.0/26", "fd00:64:2::/122"].iter().all(|p| w.has_route(0, p))
    });
    let paths = &world.hosts[1].routes[&V4.parse().unwrap()];
    assert_eq!(paths.next_hops().collect::<Vec<_>>(), [sim::address(0)]);
    assert_eq!(paths.winners[0].attrs.as_path.to_string(), "65001");
    assert_eq!(&*paths.winners[0].peer, "n0");
    let status = world.status(1);
    assert_eq!(status.families.len(), 2);
    assert_eq!((status.families[0].received, status.families[0].accepted), (1, 1));
    assert_eq!(status.families[1].advertised, 1);

    world.withdraw(0, V4);
    world.until("withdraw", SECOND, |w| !w.has_route(1, V4));
    assert!(world.has_route(1, V6));
    world.run(SECOND * 60);
    assert_eq!(world.status(0).established_transitions, 1);
}

#[test]
fn an_internal_session_carries_local_preference_and_no_as_path() {
    let mut world = World::pair_with(1, |configs| {
        configs[1].asn = Asn(65001);
        configs[0].peers[0].asn = Asn(65001);
    });
    let attrs = Originate { local_pref: Some(200), med: Some(5), ..Originate::default() };
    world.speaker(0).originate(V4.parse().unwrap(), Some(attrs));
    world.originate(0, V6);
    up(&mut world);
    world.until("routes", SECOND, |w| w.has_route(1, V4) && w.has_route(1, V6));
    let first = &world.hosts[1].routes[&V4.parse().unwrap()].winners[0].attrs;
    assert_eq!((first.local_pref, first.med), (Some(200), Some(5)));
    assert!(first.as_path.is_empty());
    let second = &world.hosts[1].routes[&V6.parse().unwrap()].winners[0].attrs;
    assert_eq!(second.local_pref, Some(100));
}

#[test]
fn nothing_learned_is_passed_on() {
    let mut world = World::new(1);
    let mut middle = node(1, 65002);
    middle.peers = vec![peer(0, 65001), peer(2, 65003)];
    let mut left = node(0, 65001);
    left.peers = vec![peer(1, 65002)];
    let mut right = node(2, 65003);
    right.peers = vec![peer(1, 65002)];
    for config in [left, middle, right] {
        world.add(config);
    }
    (0..3).for_each(|node| world.start(node, Start::Cold));
    world.originate(0, V4);
    world.until("route at the middle", SECOND * 5, |w| w.has_route(1, V4) && w.is_up(2));
    world.run(SECOND * 30);
    assert!(!world.has_route(2, V4));
}

#[test]
fn a_silent_peer_is_given_up_after_the_hold_time_and_its_routes_go_at_once() {
    let mut world = World::pair(2);
    world.originate(0, V4);
    up(&mut world);
    world.until("route", SECOND, |w| w.has_route(1, V4));
    world.set_partition(true);
    let took = world.until("loss", SECOND * 12, |w| !w.is_up(1));
    assert!(took >= SECOND * 6 && took <= SECOND * 9, "{took:?}");
    world.run(Duration::from_millis(1));
    assert!(!world.has_route(1, V4));
    let down = world.status(1).last_down.unwrap();
    assert_eq!((down.by, down.reason), (By::Local, DownReason::HoldTimerExpired));
    assert_eq!((down.code, down.subcode), (4, 0));
    world.set_partition(false);
    world.until("return", SECOND * 15, |w| w.is_up(0) && w.is_up(1) && w.has_route(1, V4));
}

#[test]
fn keepalives_hold_a_quiet_session_for_an_hour() {
    let mut world = World::pair(3);
    up(&mut world);
    world.run(SECOND * 3600);
    assert_eq!(world.status(0).established_transitions, 1);
    let keepalives = world.messages(0, MessageType::Keepalive).count();
    assert!((1200..=1700).contains(&keepalives), "{keepalives} in an hour at 3 s less jitter");
}

#[test]
fn two_speakers_that_dial_at_once_end_with_one_session_two_hundred_times() {
    for seed in 0..200 {
        let mut world = World::pair_with(seed, |configs| {
            if seed % 2 == 1 {
                // The other one has the higher identifier.
                configs[0].router_id = "10.9.9.9".parse().unwrap();
            }
            if seed % 5 == 0 {
                configs[1].router_id = configs[0].router_id;
            }
        });
        world.latency = Duration::from_micros(100 + seed * 50);
        world.jitter = Duration::from_millis(seed % 7);
        world.until("established", SECOND * 2, |w| w.is_up(0) && w.is_up(1));
        world.run(SECOND * 20);
        for node in 0..2 {
            let status = world.status(node);
            assert_eq!(status.state, State::Established, "seed {seed}");
            assert_eq!(status.established_transitions, 1, "seed {seed}");
            assert_eq!(status.last_down, None, "seed {seed}");
        }
    }
}

#[test]
fn a_connection_nobody_answers_is_given_up_after_seconds() {
    let mut world = World::pair_with(4, |configs| configs[1].peers[0].passive = true);
    world.set_partition(true);
    world.run(SECOND * 3);
    assert_eq!(world.status(0).state, State::Connect);
    world.run(SECOND * 2);
    let down = world.status(0).last_down.unwrap();
    assert_eq!(down.reason, DownReason::ConnectFailed);
    world.set_partition(false);
    world.until("established", SECOND * 6, |w| w.is_up(0));
}

#[test]
fn both_sides_passive_never_connect_and_do_not_dial() {
    let mut world = World::pair_with(4, |configs| {
        configs.iter_mut().for_each(|config| config.peers[0].passive = true);
    });
    world.run(SECOND * 120);
    assert_eq!(world.status(0).state, State::Active);
    assert!(world.sent.is_empty());
}

#[test]
fn a_wrong_as_is_refused_with_its_reason_on_both_sides_and_retried_ever_slower() {
    let mut world = World::pair_with(5, |configs| configs[0].peers[0].asn = Asn(65099));
    world.until("refusal", SECOND * 3, |w| w.status(0).last_down.is_some());
    world.run(SECOND);
    let (ours, theirs) = (world.status(0).last_down.unwrap(), world.status(1).last_down.unwrap());
    assert_eq!((ours.reason, ours.by), (DownReason::OpenRefused, By::Local));
    assert_eq!((ours.code, ours.subcode), (2, 2));
    assert!(ours.text.contains("65002") && ours.text.contains("65099"), "{}", ours.text);
    assert_eq!((theirs.reason, theirs.by), (DownReason::NotificationReceived, By::Remote));
    assert_eq!((theirs.code, theirs.subcode), (2, 2));
    world.run(SECOND * 300);
    let opens = world.messages(0, MessageType::Open).count();
    assert!((8..=40).contains(&opens), "{opens} attempts in five minutes");
    assert_eq!(world.status(0).established_transitions, 0);
}

#[test]
fn a_peer_with_our_identifier_inside_our_as_is_refused() {
    let mut world = World::pair_with(6, |configs| {
        configs[1].asn = Asn(65001);
        configs[0].peers[0].asn = Asn(65001);
        configs[1].router_id = configs[0].router_id;
    });
    world.until("refusal", SECOND * 3, |w| w.status(0).last_down.is_some());
    let down = world.status(0).last_down.unwrap();
    assert_eq!((down.code, down.subcode), (2, 3));
}

#[test]
fn families_without_overlap_are_refused_and_overlap_is_used() {
    let mut world = World::pair_with(7, |configs| {
        configs[0].peers[0].families = FamilySet::only(Family::Ipv4Unicast);
        configs[1].peers[0].families = FamilySet::only(Family::Ipv6Unicast);
    });
    world.run(SECOND * 5);
    let down = world.status(0).last_down.unwrap();
    assert_eq!((down.code, down.subcode), (2, 7));
    let mut config = world.hosts[1].config.clone();
    config.peers[0].families = FamilySet::ALL;
    world.apply(1, config);
    world.originate(1, V4);
    world.originate(1, V6);
    world.until("established", SECOND * 40, |w| w.is_up(0) && w.is_up(1));
    world.until("route", SECOND, |w| w.has_route(0, V4));
    world.run(SECOND);
    assert!(!world.has_route(0, V6));
}

#[test]
fn hold_time_zero_needs_no_keepalives() {
    let mut world = World::pair_with(8, |configs| {
        configs[0].peers[0].timers.hold_time = Duration::ZERO;
    });
    up(&mut world);
    let before = world.messages(0, MessageType::Keepalive).count();
    world.run(SECOND * 600);
    assert_eq!(world.messages(0, MessageType::Keepalive).count(), before);
    assert_eq!(world.status(1).established_transitions, 1);
}

#[test]
fn a_cold_start_offers_no_forwarding_and_a_later_session_does() {
    let mut world = World::pair(9);
    world.complete(0);
    world.complete(1);
    up(&mut world);
    let restart = world.last_open(0).capabilities.graceful_restart().unwrap();
    assert!(!restart.restarted);
    assert_eq!(restart.forwarding(Family::Ipv4Unicast), Some(false));
    world.until("synced", SECOND * 2, |w| w.hosts[0].synced.is_some());
    world.kill(1);
    world.start(1, Start::Cold);
    world.until("established", SECOND * 5, |w| w.is_up(0) && w.is_up(1));
    let restart = world.last_open(0).capabilities.graceful_restart().unwrap();
    assert!(!restart.restarted);
    assert_eq!(restart.forwarding(Family::Ipv4Unicast), Some(true));
}

#[test]
fn a_restarted_speaker_says_so_and_publishes_nothing_before_every_end_of_rib() {
    restart_while_one_peer_is_absent(1, 2);
    restart_while_one_peer_is_absent(2, 1);
}

fn restart_while_one_peer_is_absent(present: usize, absent: usize) {
    let mut world = World::new(10);
    let mut middle = node(0, 65001);
    middle.peers = vec![peer(1, 65002), peer(2, 65003)];
    world.add(middle);
    for index in [1, 2] {
        let mut config = node(index, 65001 + u32::try_from(index).unwrap());
        config.peers = vec![peer(0, 65001)];
        world.add(config);
    }
    for index in 0..3 {
        world.start(index, Start::Cold);
        world.complete(index);
    }
    world.originate(1, "10.64.2.0/26");
    world.originate(2, "10.64.2.0/26");
    world.until("ecmp", SECOND * 5, |w| {
        let route = w.hosts[0].routes.get(&"10.64.2.0/26".parse().unwrap());
        route.is_some_and(|paths| paths.winners.len() == 2)
    });
    let collisions = world.messages(0, MessageType::Notification).count();
    world.stop(0, &Shutdown::GracefulRestart);
    assert_eq!(world.messages(0, MessageType::Notification).count(), collisions);
    world.kill(absent);
    let kept = FamilySet::only(Family::Ipv4Unicast);
    world.start(0, Start::Restarted { forwarding_kept: kept });
    world.until("first peer", SECOND * 5, |w| w.status(present).established_transitions == 2);
    let restart = world.last_open(0).capabilities.graceful_restart().unwrap();
    assert!(restart.restarted);
    assert_eq!(restart.restart_time, SECOND * 30);
    assert_eq!(restart.forwarding(Family::Ipv4Unicast), Some(true));
    assert_eq!(restart.forwarding(Family::Ipv6Unicast), Some(false));
    world.run(SECOND * 5);
    assert_eq!(world.hosts[0].published, 0, "a path was published before all peers were heard");
    assert!(world.hosts[0].synced.is_none());
    let waiting = RibQuery { view: RibView::Loc, ..RibQuery::default() };
    assert_eq!(world.speaker(0).rib(&waiting)[0].reason, RouteReason::Pending);

    world.start(absent, Start::Cold);
    world.originate(absent, "10.64.2.0/26");
    world.complete(absent);
    world.until("complete", SECOND * 10, |w| w.hosts[0].synced.is_some());
    assert_eq!(world.hosts[0].published, 1, "the first picture is the whole picture");
    let paths = &world.hosts[0].routes[&"10.64.2.0/26".parse().unwrap()];
    assert_eq!(paths.winners.len(), 2);
}

#[test]
fn complete_is_said_after_the_last_prefix_of_the_first_picture() {
    for start in [Start::Cold, Start::Restarted { forwarding_kept: FamilySet::ALL }] {
        let mut world = World::pair(27);
        world.kill(0);
        for index in 0..3000 {
            world.originate(1, &format!("10.{}.{}.0/24", 100 + index / 250, index % 250));
            world.originate(1, &format!("2001:db8:{index:x}::/48"));
        }
        world.complete(1);
        world.start(0, start);
        world.until("complete", SECOND * 10, |w| w.hosts[0].synced.is_some());
        assert_eq!(world.hosts[0].routes_at_sync, 6000, "{start:?}");
    }
}

#[test]
fn a_restarted_speaker_waits_no_longer_than_the_restart_time() {
    let mut world = World::pair(11);
    world.originate(1, "10.64.2.0/26");
    world.kill(0);
    world.start(0, Start::Restarted { forwarding_kept: FamilySet::ALL });
    // Node 1 never says that its set is complete, so it never sends End-of-RIB.
    up(&mut world);
    world.run(SECOND * 25);
    assert_eq!(world.hosts[0].published, 0);
    let waiting = world.status(0).graceful_restart.waiting.unwrap();
    assert!(waiting > SECOND && waiting <= SECOND * 5, "{waiting:?}");
    world.run(SECOND * 6);
    assert!(world.hosts[0].synced.is_some() && world.has_route(0, "10.64.2.0/26"));
    assert_eq!(world.status(0).graceful_restart.waiting, None);
}

#[test]
fn end_of_rib_waits_for_the_declared_set_and_is_sent_once_per_family() {
    let mut world = World::pair(12);
    world.originate(0, V4);
    up(&mut world);
    world.run(SECOND * 2);
    let markers = |w: &World| -> Vec<usize> {
        let lengths = w.messages(0, MessageType::Update).map(|sent| sent.octets.len());
        lengths.filter(|len| *len <= 30).collect()
    };
    assert_eq!(markers(&world), []);
    world.complete(0);
    world.run(SECOND * 2);
    assert_eq!(markers(&world), [23, 29], "one empty UPDATE, one empty MP_UNREACH");
    assert!(world.status(1).families.iter().all(|family| family.synced));
}

#[test]
fn without_graceful_restart_the_first_keepalive_says_that_all_is_said() {
    let mut world = World::pair_with(13, |configs| {
        configs[1].peers[0].graceful_restart.enabled = false;
    });
    world.originate(1, V4);
    up(&mut world);
    assert!(world.hosts[0].synced.is_none());
    let took = world.until("synced", SECOND * 5, |w| w.hosts[0].synced.is_some());
    assert!(took > SECOND, "{took:?}: the KEEPALIVE that made the session does not count");
    assert!(world.has_route(0, V4));
}

#[test]
fn a_peer_that_never_comes_is_waited_for_a_bounded_time() {
    let mut world = World::pair(14);
    world.kill(1);
    world.run(SECOND * 29);
    assert!(world.hosts[0].synced.is_none());
    world.run(SECOND * 2);
    assert!(world.hosts[0].synced.is_some());
}

#[test]
fn a_speaker_without_peers_is_complete_at_once() {
    let mut world = World::new(15);
    world.add(node(0, 65001));
    world.start(0, Start::Restarted { forwarding_kept: FamilySet::ALL });
    world.run(Duration::from_millis(1));
    assert!(world.hosts[0].synced.is_some());
}

#[test]
fn a_graceful_end_is_silent_and_a_cease_speaks() {
    let mut world = World::pair(16);
    up(&mut world);
    world.stop(0, &Shutdown::GracefulRestart);
    world.run(SECOND / 10);
    let down = world.status(1).last_down.unwrap();
    assert_eq!((down.reason, down.code), (DownReason::ConnectionClosed, 0));

    let mut world = World::pair(17);
    up(&mut world);
    let kind = Shutdown::Cease { subcode: 2, text: "maintenance until noon".to_owned() };
    world.stop(0, &kind);
    world.run(SECOND / 10);
    let down = world.status(1).last_down.unwrap();
    assert_eq!((down.code, down.subcode), (6, 2));
    assert_eq!(NotificationCode::new(down.code, down.subcode).reason(), "administrativeShutdown");
    assert_eq!(down.text, "maintenance until noon");
}

#[test]
fn a_peer_that_restarted_unseen_replaces_its_old_session() {
    let mut world = World::pair_with(18, |configs| configs[1].peers[0].passive = false);
    world.originate(1, V4);
    up(&mut world);
    world.run(SECOND * 10);
    // Node 1 dies without a word (its host lost power) and is back within the hold time.
    world.power_off(1);
    world.run(SECOND);
    world.start(1, Start::Cold);
    world.originate(1, "10.64.9.0/26");
    let took = world.until("new session", SECOND * 5, |w| w.has_route(0, "10.64.9.0/26"));
    assert!(took < SECOND * 4, "{took:?}: the hold timer was not waited for");
    assert!(!world.has_route(0, V4));
    let status = world.status(0);
    assert_eq!(status.last_down.unwrap().reason, DownReason::PeerRestarted);
    assert_eq!(status.established_transitions, 2);
}

#[test]
fn sleeping_for_a_minute_costs_no_session_when_the_peer_slept_as_well() {
    let mut world = World::pair(19);
    up(&mut world);
    for _ in 0..5 {
        world.run(SECOND * 4);
        world.freeze(SECOND * 60);
    }
    world.run(SECOND * 30);
    assert_eq!(world.status(0).established_transitions, 1);
    assert_eq!(world.status(1).established_transitions, 1);
}

#[test]
fn a_peer_that_takes_nothing_bounds_our_memory_and_is_given_up() {
    let mut world = World::pair(20);
    up(&mut world);
    world.run(SECOND);
    world.hosts[0].stuck = true;
    let before = world.messages(0, MessageType::Update).count();
    for round in 0..50_u32 {
        for index in 0..200_u32 {
            let prefix = format!("10.{}.{}.0/24", 100 + index / 200, index % 200);
            let attrs = Originate { med: Some(round), ..Originate::default() };
            world.speaker(0).originate(prefix.parse().unwrap(), Some(attrs));
        }
        world.drain(0);
        world.run(SECOND / 10);
    }
    let made = world.messages(0, MessageType::Update).count() - before;
    assert!(made <= 200, "{made} UPDATEs were made for a peer that takes none");
    assert!(world.status(0).queued <= 300);
    world.until("loss", SECOND * 30, |w| !w.is_up(0));
}

#[test]
fn without_a_hold_time_the_send_hold_timer_gives_up_a_peer_that_takes_nothing() {
    let mut world = World::pair_with(26, |configs| {
        configs[0].peers[0].timers.hold_time = Duration::ZERO;
    });
    up(&mut world);
    world.run(SECOND * 100);
    world.hosts[0].stuck = true;
    world.originate(0, V4);
    let took = world.until("loss", SECOND * 20, |w| !w.is_up(0));
    assert!(took >= SECOND * 17, "{took:?}");
    let down = world.status(0).last_down.unwrap();
    assert_eq!((down.reason, down.code), (DownReason::SendHoldTimerExpired, 8));
}

#[test]
fn a_slow_peer_gets_the_latest_state_only() {
    let mut world = World::pair(21);
    up(&mut world);
    world.hosts[0].stuck = true;
    for med in 0..1000 {
        let attrs = Originate { med: Some(med), ..Originate::default() };
        world.speaker(0).originate(V4.parse().unwrap(), Some(attrs));
        world.drain(0);
        world.run(Duration::from_millis(1));
    }
    let updates = world.messages(0, MessageType::Update).count();
    assert!(updates <= 20, "{updates} UPDATEs for one prefix");
}

#[test]
fn two_tors_are_used_together_and_each_alone() {
    let mut world = World::new(22);
    let mut config = node(0, 65001);
    config.peers = vec![peer(1, 65101), peer(2, 65101)];
    world.add(config);
    for index in [1, 2] {
        let mut tor = node(index, 65101);
        tor.peers = vec![peer(0, 65001)];
        world.add(tor);
    }
    (0..3).for_each(|index| world.start(index, Start::Cold));
    world.originate(1, V4);
    world.originate(2, V4);
    let hops = |w: &World| -> Vec<_> {
        let paths = w.hosts[0].routes.get(&V4.parse().unwrap());
        paths.map(|paths| paths.next_hops().collect()).unwrap_or_default()
    };
    world.until("ecmp", SECOND * 5, |w| hops(w) == [sim::address(1), sim::address(2)]);
    world.kill(1);
    world.until("fail-over", SECOND / 10, |w| hops(w) == [sim::address(2)]);
    let mut config = world.hosts[0].config.clone();
    config.max_paths = 1;
    world.apply(0, config);
    world.start(1, Start::Cold);
    world.originate(1, V4);
    world.until("best", SECOND * 5, |w| hops(w) == [sim::address(1)]);
    let paths = &world.hosts[0].routes[&V4.parse().unwrap()];
    assert_eq!(paths.losers[0].1, Step::RouterId);
    let mut config = world.hosts[0].config.clone();
    config.max_paths = 2;
    world.apply(0, config);
    world.until("ecmp again", SECOND / 10, |w| hops(w) == [sim::address(1), sim::address(2)]);
}

#[test]
fn a_new_configuration_disturbs_only_the_peers_it_changes() {
    let mut world = World::new(23);
    let mut config = node(0, 65001);
    config.peers = vec![peer(1, 65002), peer(2, 65003)];
    world.add(config.clone());
    for (index, asn) in [(1, 65002), (2, 65003)] {
        let mut other = node(index, asn);
        other.peers = vec![peer(0, 65001)];
        world.add(other);
    }
    (0..3).for_each(|index| world.start(index, Start::Cold));
    world.originate(1, V4);
    world.originate(2, V4);
    world.originate(0, V6);
    world.until("up", SECOND * 5, |w| w.is_up(1) && w.is_up(2) && w.has_route(0, V4));
    world.until("v6", SECOND * 5, |w| w.has_route(1, V6) && w.has_route(2, V6));

    // A live change: the next hop is said again, the session stays.
    config.peers[0].next_hop_v6 = Some("fd00::77".parse().unwrap());
    let diff = world.apply(0, config.clone());
    assert_eq!((diff.changed, diff.reset.len()), (vec!["n1".to_owned()], 0));
    world.until("new next hop", SECOND, |w| {
        let hop = w.hosts[1].routes[&V6.parse().unwrap()].next_hops().next();
        hop == Some("fd00::77".parse().unwrap())
    });
    // A change of OPEN: this session only.
    config.peers[0].timers.hold_time = SECOND * 30;
    config.peers[0].timers.send_hold = SECOND * 60;
    assert_eq!(world.apply(0, config.clone()).reset, ["n1"]);
    world.until("again", SECOND * 5, |w| w.status(1).established_transitions == 2);
    assert_eq!(world.status(1).last_down.unwrap().subcode, 6);
    // Own blocks: routes are judged again without any message.
    config.own_blocks = vec![V4.parse().unwrap()];
    assert!(world.apply(0, config.clone()).import);
    world.run(SECOND);
    assert!(!world.has_route(0, V4));
    config.own_blocks.clear();
    world.apply(0, config.clone());
    world.run(SECOND);
    assert!(world.has_route(0, V4));
    // A removed peer.
    config.peers.remove(0);
    assert_eq!(world.apply(0, config.clone()).removed, ["n1"]);
    world.run(SECOND);
    assert_eq!(world.status(1).last_down.unwrap().subcode, 3);
    assert!(!world.is_up(1) && world.is_up(2));
    let paths = &world.hosts[0].routes[&V4.parse().unwrap()];
    assert_eq!(paths.next_hops().collect::<Vec<_>>(), [sim::address(2)]);
    assert_eq!(world.status(2).established_transitions, 1);
}

#[test]
fn a_contradictory_configuration_changes_nothing() {
    let mut world = World::pair(24);
    up(&mut world);
    let mut config = world.hosts[0].config.clone();
    config.peers.push(peer(1, 65002));
    let now = world.now;
    assert!(world.speaker(0).apply_config(config, now).is_err());
    world.run(SECOND * 20);
    assert_eq!(world.status(0).established_transitions, 1);
}

#[test]
fn v6_without_a_v6_address_is_not_advertised_and_says_why() {
    let mut world = World::pair_with(25, |configs| configs[0].peers[0].next_hop_v6 = None);
    world.originate(0, V4);
    world.originate(0, V6);
    world.complete(0);
    up(&mut world);
    world.until("v4", SECOND, |w| w.has_route(1, V4));
    world.run(SECOND * 2);
    assert!(!world.has_route(1, V6));
    let family = world.status(0).families[1];
    assert_eq!(family.suppressed.map(|reason| reason.as_str()), Some("noNextHop"));
    let why = world.speaker(0).why(V6.parse().unwrap());
    let export = why.iter().find(|step| step.name == "export").unwrap();
    assert_eq!((export.result, export.reason.as_str()), ("notAdvertised", "noNextHop"));
}

/// Kills, partitions, sleeps and changes at random; whatever happened, the end is the same.
#[test]
fn after_any_history_the_tables_agree_with_what_is_originated() {
    for seed in 0..60 {
        let mut world = World::pair(seed);
        let mut rng = fastrand::Rng::with_seed(seed);
        world.jitter = Duration::from_millis(rng.u64(0..20));
        let mut wanted = [Vec::new(), Vec::new()];
        for _ in 0..40 {
            let node = rng.usize(0..2);
            match rng.u8(0..10) {
                0 => {
                    world.kill(node);
                    world.run(Duration::from_millis(rng.u64(0..3000)));
                    world.start(node, Start::Cold);
                    let prefixes: &Vec<String> = &wanted[node];
                    prefixes.clone().iter().for_each(|prefix| world.originate(node, prefix));
                }
                1 => {
                    world.set_partition(true);
                    world.run(Duration::from_millis(rng.u64(0..15_000)));
                    world.set_partition(false);
                }
                2 => world.freeze(Duration::from_millis(rng.u64(0..20_000))),
                3..6 if !wanted[node].is_empty() => {
                    let index = rng.usize(0..wanted[node].len());
                    let prefix = wanted[node].swap_remove(index);
                    world.withdraw(node, &prefix);
                }
                _ => {
                    let prefix = format!("10.{}.{}.0/24", 64 + node, rng.u8(..));
                    world.originate(node, &prefix);
                    if !wanted[node].contains(&prefix) {
                        wanted[node].push(prefix);
                    }
                }
            }
            world.run(Duration::from_millis(rng.u64(0..2000)));
        }
        world.until("agreement", SECOND * 120, |w| {
            w.is_up(0) && w.is_up(1) && (0..2).all(|n| agrees(w, n, &wanted[1 - n]))
        });
    }
}

fn agrees(world: &World, node: usize, wanted: &[String]) -> bool {
    world.hosts[node].routes.len() == wanted.len()
        && wanted.iter().all(|prefix| world.has_route(node, prefix))
}
