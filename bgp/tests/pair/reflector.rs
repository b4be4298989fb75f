// SPDX-License-Identifier: MIT OR Apache-2.0
//! Learned paths that go on: reflected inside an AS, and passed on between ASs.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sim::{self, Node, World, node, peer};
use bgp::wire::MessageType;
use bgp::{Originate, Prefix, RibQuery, RibView, Shutdown, Start, types::Community};

const SECOND: Duration = Duration::from_secs(1);
const AS: u32 = 65_001;
const P: &str = "10.64.1.0/26";

/// Node 0 is the reflector of the others, which are clients up to `clients`.
fn reflector(seed: u64, clients: usize, others: usize) -> World {
    let mut world = World::new(seed);
    let mut center = node(0, AS);
    let nodes = 1..=clients + others;
    center.peers = nodes
        .clone()
        .map(|index| {
            let mut config = peer(index, AS);
            config.route_reflector_client = index <= clients;
            config
        })
        .collect();
    world.add(center);
    for index in nodes {
        let mut config = node(index, AS);
        config.peers = vec![peer(0, AS)];
        world.add(config);
    }
    for index in 0..=clients + others {
        world.start(index, Start::Cold);
        world.complete(index);
    }
    world
}

fn all_up(world: &mut World) {
    let count = world.hosts.len();
    world.until("all sessions are up", SECOND * 10, |w| {
        let now = w.now;
        w.speaker(0).peers(now).iter().filter(|p| p.state == bgp::State::Established).count()
            == count - 1
    });
}

fn holders(world: &World, prefix: &str) -> Vec<Node> {
    (0..world.hosts.len()).filter(|node| world.has_route(*node, prefix)).collect()
}

#[test]
fn paths_of_clients_go_to_all_and_others_only_to_clients() {
    let mut world = reflector(1, 2, 2);
    all_up(&mut world);
    world.originate(1, P);
    world.originate(3, "10.64.3.0/26");
    world.run(SECOND);
    assert_eq!(holders(&world, P), [0, 2, 3, 4]);
    assert_eq!(holders(&world, "10.64.3.0/26"), [0, 1, 2]);
    let reflected = world.hosts[2].routes[&P.parse::<Prefix>().unwrap()].winners[0].clone();
    assert_eq!(reflected.next_hop, sim::address(1), "the next hop stays");
    assert_eq!(reflected.attrs.originator_id.unwrap().to_string(), "10.0.0.2");
    assert_eq!(reflected.attrs.cluster_list_len, 1);
    assert_eq!(reflected.attrs.local_pref, Some(100));
    world.withdraw(1, P);
    world.run(SECOND);
    assert_eq!(holders(&world, P), [0; 0]);
}

#[test]
fn the_peer_that_brought_the_best_path_is_not_told_it() {
    let mut world = reflector(1, 3, 0);
    all_up(&mut world);
    let prefer = |local_pref| Originate { local_pref: Some(local_pref), ..Originate::default() };
    let prefix: Prefix = P.parse().unwrap();
    let received = |w: &mut World, node: Node| {
        let view = RibView::Received { peer: "n0".to_owned(), rejected: true };
        w.speaker(node).rib(&RibQuery { view, ..RibQuery::default() }).len()
    };
    world.speaker(1).originate(prefix, Some(prefer(200)));
    world.run(SECOND);
    assert_eq!([1, 2, 3].map(|node| received(&mut world, node)), [0, 1, 1]);
    // A better one from node 2: node 1 hears of it, node 2 no longer of node 1's.
    world.speaker(2).originate(prefix, Some(prefer(300)));
    world.run(SECOND);
    assert_eq!([1, 2, 3].map(|node| received(&mut world, node)), [1, 0, 1]);
    let view = RibView::Advertised { peer: "n2".to_owned() };
    assert_eq!(world.speaker(0).rib(&RibQuery { view, ..RibQuery::default() }), []);
    // And back again.
    world.speaker(2).originate(prefix, None);
    world.run(SECOND);
    assert_eq!([1, 2, 3].map(|node| received(&mut world, node)), [0, 1, 1]);
}

#[test]
fn equal_peers_get_the_same_octets_and_few_messages() {
    let mut world = reflector(1, 3, 0);
    all_up(&mut world);
    for index in 0..200_u32 {
        world.originate(1, &format!("10.65.{index}.0/24"));
    }
    world.until("routes", SECOND * 5, |w| w.hosts[3].routes.len() == 200);
    let updates: Vec<_> = world.messages(0, MessageType::Update).collect();
    let twins = updates
        .iter()
        .filter(|a| updates.iter().filter(|b| b.octets.as_ptr() == a.octets.as_ptr()).count() == 2);
    assert!(twins.count() >= 2, "chunks are shared, not copied");
}

#[test]
fn who_comes_late_is_told_everything() {
    let mut world = reflector(1, 3, 0);
    world.kill(3);
    world.run(SECOND * 5);
    for index in 0..50_u32 {
        world.originate(1 + index as usize % 2, &format!("10.65.{index}.0/24"));
    }
    world.run(SECOND);
    world.start(3, Start::Cold);
    world.complete(3);
    world.until("routes", SECOND * 20, |w| w.hosts[3].routes.len() == 50);
    world.until("End-of-RIB", SECOND * 5, |w| w.hosts[3].synced.is_some());
    assert_eq!(world.hosts[3].routes_at_sync, 50, "End-of-RIB comes behind the routes");
}

#[test]
fn a_peer_that_takes_nothing_delays_nobody_and_catches_up() {
    let mut world = reflector(1, 3, 0);
    all_up(&mut world);
    world.run(SECOND);
    // What the reflector sends to node 3 is not taken: its window closes.
    world.set_deaf(3, true);
    for round in 0..40_u32 {
        for index in 0..20_u32 {
            let prefix: Prefix = format!("10.65.{index}.0/24").parse().unwrap();
            let attrs = Originate { med: Some(round), ..Originate::default() };
            world.speaker(1).originate(prefix, Some(attrs));
        }
        world.drain(1);
        world.run(Duration::from_millis(20));
        let med = |w: &World| {
            let path = w.hosts[2].routes.get(&"10.65.7.0/24".parse::<Prefix>().unwrap());
            path.and_then(|paths| paths.winners[0].attrs.med)
        };
        assert_eq!(med(&world), Some(round), "node 2 is up to date");
    }
    world.set_deaf(3, false);
    world.until("node 3 catches up", SECOND * 5, |w| {
        w.hosts[3].routes.len() == 20
            && w.hosts[3].routes.values().all(|p| p.winners[0].attrs.med == Some(39))
    });
    let now = world.now;
    assert_eq!(world.speaker(0).peers(now)[2].established_transitions, 1);
}

/// Three ASs in a row; the one in the middle is a transit.
fn row(transit: bool) -> World {
    let mut world = World::new(1);
    let mut middle = node(1, 65_002);
    middle.peers = vec![peer(0, 65_001), peer(2, 65_003)];
    middle.peers.iter_mut().for_each(|peer| peer.transit = transit);
    let (mut left, mut right) = (node(0, 65_001), node(2, 65_003));
    left.peers = vec![peer(1, 65_002)];
    right.peers = vec![peer(1, 65_002)];
    for config in [left, middle, right] {
        world.add(config);
    }
    for node in 0..3 {
        world.start(node, Start::Cold);
        world.complete(node);
    }
    world
}

#[test]
fn transit_passes_paths_on_with_its_own_as_and_next_hop() {
    let mut world = row(true);
    let attrs = Originate {
        med: Some(7),
        communities: vec!["65001:5".parse().unwrap()],
        ..Originate::default()
    };
    world.speaker(0).originate(P.parse().unwrap(), Some(attrs));
    world.until("the route", SECOND * 5, |w| w.has_route(2, P));
    let path = world.hosts[2].routes[&P.parse::<Prefix>().unwrap()].winners[0].clone();
    assert_eq!(path.attrs.as_path.to_string(), "65002 65001");
    assert_eq!((path.next_hop, path.attrs.med), (sim::address(1), None));
    assert_eq!(path.attrs.communities.len(), 1);
    world.withdraw(0, P);
    world.until("the withdrawal", SECOND, |w| !w.has_route(2, P));
    world.originate(0, P);
    world.until("the route again", SECOND, |w| w.has_route(2, P));
    world.kill(0);
    world.until("the loss", SECOND * 5, |w| !w.has_route(2, P));
}

#[test]
fn communities_keep_paths_from_being_passed_on() {
    for (community, reaches) in [
        (Community::NO_EXPORT, false),
        (Community::NO_ADVERTISE, false),
        (Community::NO_PEER, true),
    ] {
        let mut world = row(true);
        let attrs = Originate { communities: vec![community], ..Originate::default() };
        world.speaker(0).originate(P.parse().unwrap(), Some(attrs));
        world.run(SECOND * 10);
        assert_eq!((world.has_route(1, P), world.has_route(2, P)), (true, reaches));
    }
}

/// Whatever happens, in the end every client holds what the other clients originate.
#[test]
fn a_reflector_converges_whatever_happens() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = reflector(seed, 4, 0);
        world.jitter = Duration::from_millis(3);
        let mut model = vec![BTreeSet::<String>::new(); 5];
        let mut alive = [true; 5];
        for _ in 0..60 {
            let node = rng.usize(1..5);
            match rng.u8(0..12) {
                0 if alive[node] => {
                    world.kill(node);
                    alive[node] = false;
                    model[node].clear();
                }
                1 if alive[node] => {
                    let cease = Shutdown::Cease { subcode: 2, text: String::new() };
                    world.stop(node, &cease);
                    alive[node] = false;
                    model[node].clear();
                }
                0..4 if !alive[node] => {
                    world.start(node, Start::Cold);
                    world.complete(node);
                    alive[node] = true;
                }
                4 => world.set_deaf(node, rng.bool()),
                5..9 if alive[node] => {
                    let prefix = format!("10.{node}.{}.0/24", rng.u8(0..6));
                    let med = Some(rng.u32(0..3));
                    let attrs = Originate { med, ..Originate::default() };
                    world.speaker(node).originate(prefix.parse().unwrap(), Some(attrs));
                    world.drain(node);
                    model[node].insert(prefix);
                }
                9 if alive[node] => {
                    let prefix = format!("10.{node}.{}.0/24", rng.u8(0..6));
                    world.withdraw(node, &prefix);
                    model[node].remove(&prefix);
                }
                _ => world.run(Duration::from_millis(rng.u64(0..400))),
            }
        }
        (1..5).for_each(|node| world.set_deaf(node, false));
        for node in (1..5).filter(|node| !alive[*node]) {
            world.start(node, Start::Cold);
            world.complete(node);
        }
        world.run(SECOND * 40);
        for node in 1..5 {
            let expected: BTreeSet<String> = (1..5)
                .filter(|other| *other != node)
                .flat_map(|other| model[other].iter().cloned())
                .collect();
            let held: BTreeSet<String> =
                world.hosts[node].routes.keys().map(ToString::to_string).collect();
            assert_eq!(held, expected, "seed {seed}, node {node}");
        }
    }
}
