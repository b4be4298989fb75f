// SPDX-License-Identifier: MIT OR Apache-2.0
//! Routes: every kind, replaced, deleted, and everybody else's left alone.

use std::collections::BTreeMap;

use reconcile::{
    Action, Batch, Completeness, Driver, DriverConfig, FailureKind, Mailbox, Outcome, Revision,
    Target,
};
use routed::kernel::RouteTarget;
use routed::model::{
    NextHop, PROTOCOL_LEARNED, PROTOCOL_LOCAL, RouteClass, RouteKey, RouteKind, RouteScope,
    RouteSpec, TABLE_MAIN,
};

use super::support::{Netns, delete, failure, put};

/// A node with two uplinks, up, with an address of either family, and their far ends.
fn node() -> (Netns, Netns) {
    let (node, far) = (Netns::new("node"), Netns::new("far"));
    for n in [1, 2] {
        node.ip(&format!("link add up{n} type veth peer name far{n} netns {}", far.name));
        node.ip(&format!("addr add 10.0.{n}.1/24 dev up{n}"));
        node.ip(&format!("addr add fd00:{n}::1/64 dev up{n} nodad"));
        node.ip(&format!("link set up{n} up"));
        far.ip(&format!("link set far{n} up"));
    }
    node.ip("link set lo up");
    (node, far)
}

fn key(prefix: &str) -> RouteKey {
    RouteKey { prefix: prefix.parse().unwrap(), table: TABLE_MAIN, metric: 1024 }
}

fn hop(n: u8, last: u8, weight: u16, v4: bool) -> NextHop {
    let via = if v4 { format!("10.0.{n}.{last}") } else { format!("fd00:{n}::{last:x}") };
    NextHop { dev: format!("up{n}"), via: via.parse().unwrap(), weight }
}

fn learned(hops: Vec<NextHop>) -> RouteSpec {
    RouteSpec {
        protocol: PROTOCOL_LEARNED,
        kind: RouteKind::Gateways(hops),
        scope: RouteScope::Universe,
        prefer_src: None,
        class: RouteClass::Learned,
    }
}

fn local(kind: RouteKind, scope: RouteScope) -> RouteSpec {
    RouteSpec { protocol: PROTOCOL_LOCAL, kind, scope, prefer_src: None, class: RouteClass::Local }
}

fn device(scope: RouteScope) -> RouteSpec {
    local(RouteKind::Device { dev: "up1".to_owned() }, scope)
}

fn with_source(spec: RouteSpec, source: &str) -> RouteSpec {
    RouteSpec { prefer_src: Some(source.parse().unwrap()), ..spec }
}

fn read(routes: &mut RouteTarget) -> BTreeMap<RouteKey, RouteSpec> {
    routes.dump().unwrap().into_iter().collect()
}

/// Values of every shape for one family.
fn shapes(v4: bool) -> Vec<RouteSpec> {
    let (source, scope) =
        if v4 { ("10.0.1.1", RouteScope::Link) } else { ("fd00:1::1", RouteScope::Universe) };
    let two = vec![hop(1, 2, 1, v4), hop(2, 2, 1, v4)];
    let weighted = vec![hop(1, 2, 1, v4), hop(1, 3, 7, v4), hop(2, 2, 256, v4)];
    vec![
        device(scope),
        with_source(device(scope), source),
        learned(vec![hop(1, 2, 1, v4)]),
        learned(two.clone()),
        with_source(learned(two), source),
        learned(weighted),
        local(RouteKind::Blackhole, RouteScope::Universe),
        learned(vec![hop(2, 9, 1, v4)]),
    ]
}

#[test]
fn every_shape_is_read_back_as_wished_alone_and_after_every_other() {
    let (node, _far) = node();
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        for (prefix, v4) in [("10.9.0.0/26", true), ("fd09::/122", false)] {
            let key = key(prefix);
            for first in &shapes(v4) {
                for second in &shapes(v4) {
                    for spec in [first, second] {
                        assert_eq!(put(&mut routes, &key, spec), Outcome::Applied, "{spec:?}");
                        let want = BTreeMap::from([(key, spec.clone())]);
                        assert_eq!(read(&mut routes), want);
                    }
                }
            }
            assert_eq!(delete(&mut routes, &key), Outcome::Applied);
            assert_eq!(read(&mut routes), BTreeMap::new());
        }
    });
}

#[test]
fn tables_metrics_and_lengths_tell_routes_apart() {
    let (node, _far) = node();
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        let mut want = BTreeMap::new();
        for prefix in
            ["0.0.0.0/0", "10.9.0.0/16", "10.9.0.0/17", "10.9.0.1/32", "::/0", "fd09::1/128"]
        {
            for table in [TABLE_MAIN, 100, 70_000] {
                for metric in [1024, 2000] {
                    let key = RouteKey { table, metric, ..key(prefix) };
                    want.insert(key, learned(vec![hop(1, 2, 1, key.prefix.addr().is_ipv4())]));
                }
            }
        }
        want.insert(RouteKey { metric: 0, ..key("10.9.0.0/16") }, device(RouteScope::Link));
        let puts = want.iter().map(|(key, spec)| (*key, spec.clone())).collect();
        let outcomes = routes.apply(&Batch { puts, deletes: Vec::new() });
        assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Applied), "{outcomes:?}");
        assert_eq!(read(&mut routes), want);
        let gone: Vec<_> = want.keys().filter(|key| key.metric == 2000).copied().collect();
        routes.apply(&Batch { puts: Vec::new(), deletes: gone });
        want.retain(|key, _| key.metric != 2000);
        assert_eq!(read(&mut routes), want);
    });
}

#[test]
fn foreign_routes_are_never_shown_touched_or_deleted() {
    let (node, _far) = node();
    // Same prefix with a better metric, same key, and a route that looks just like ours.
    node.ip("route add 10.9.0.0/26 via 10.0.1.7 metric 5 proto static");
    node.ip("route add 10.9.1.0/26 via 10.0.1.7 metric 1024 proto static");
    node.ip("-6 route add fd09:1::/64 via fd00:1::7 metric 1024 proto static");
    node.ip("route add blackhole 10.9.2.0/26 proto 186");
    let before = (node.ip("route"), node.ip("-6 route"));
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        assert_eq!(read(&mut routes), BTreeMap::new());
        let v4 = learned(vec![hop(1, 2, 1, true)]);
        let v6 = learned(vec![hop(1, 2, 1, false)]);
        let beside = key("10.9.0.0/26");
        assert_eq!(put(&mut routes, &beside, &v4), Outcome::Applied);
        for (key, spec) in [(key("10.9.1.0/26"), &v4), (key("fd09:1::/64"), &v6)] {
            let (kind, reason) = failure(put(&mut routes, &key, spec));
            assert_eq!(kind, FailureKind::Retry);
            assert!(reason.starts_with("conflict: a foreign route"), "{reason}");
            assert_eq!(delete(&mut routes, &key), Outcome::Applied);
        }
        assert_eq!(delete(&mut routes, &key("10.9.2.0/26")), Outcome::Applied);
        assert_eq!(read(&mut routes), BTreeMap::from([(beside, v4)]));
        assert_eq!(delete(&mut routes, &beside), Outcome::Applied);
        // With the foreign one gone, the place is free.
        node.ip("route del 10.9.1.0/26");
        let spec = learned(vec![hop(1, 2, 1, true)]);
        assert_eq!(put(&mut routes, &key("10.9.1.0/26"), &spec), Outcome::Applied);
        assert_eq!(delete(&mut routes, &key("10.9.1.0/26")), Outcome::Applied);
        node.ip("route add 10.9.1.0/26 via 10.0.1.7 metric 1024 proto static");
    });
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&node.ip("route")), sorted(&before.0));
    assert_eq!(sorted(&node.ip("-6 route")), sorted(&before.1));
}

#[test]
fn a_place_of_ours_that_somebody_took_is_taken_back() {
    let (node, _far) = node();
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        for (prefix, via, v4) in
            [("10.9.0.0/26", "10.0.2.9", true), ("fd09::/64", "fd00:2::9", false)]
        {
            let spec = learned(vec![hop(1, 2, 1, v4), hop(2, 2, 1, v4)]);
            assert_eq!(put(&mut routes, &key(prefix), &spec), Outcome::Applied);
            node.ip(&format!("route replace {prefix} via {via} metric 1024 proto static"));
            assert_eq!(read(&mut routes), BTreeMap::new());
            assert_eq!(put(&mut routes, &key(prefix), &spec), Outcome::Applied);
            assert_eq!(read(&mut routes), BTreeMap::from([(key(prefix), spec)]));
            assert_eq!(delete(&mut routes, &key(prefix)), Outcome::Applied);
        }
    });
}

#[test]
fn a_preferred_source_that_vanishes_takes_the_route_along_until_it_is_written_without() {
    let (node, _far) = node();
    node.ip("addr add 10.255.0.1/32 dev lo");
    node.ip("addr add fd00:255::1/128 dev lo nodad");
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        for (prefix, source, v4) in
            [("10.9.0.0/26", "10.255.0.1", true), ("fd09::/64", "fd00:255::1", false)]
        {
            let without = learned(vec![hop(1, 2, 1, v4)]);
            let with = with_source(without.clone(), source);
            let nodad = if v4 { "" } else { " nodad" };
            assert_eq!(put(&mut routes, &key(prefix), &with), Outcome::Applied);
            node.ip(&format!("addr del {source} dev lo"));
            assert_ne!(read(&mut routes), BTreeMap::from([(key(prefix), with.clone())]));
            assert_eq!(failure(put(&mut routes, &key(prefix), &with)).0, FailureKind::Retry);
            assert_eq!(put(&mut routes, &key(prefix), &without), Outcome::Applied);
            assert_eq!(read(&mut routes), BTreeMap::from([(key(prefix), without)]));
            node.ip(&format!("addr add {source} dev lo{nodad}"));
            assert_eq!(put(&mut routes, &key(prefix), &with), Outcome::Applied);
            assert_eq!(read(&mut routes), BTreeMap::from([(key(prefix), with)]));
            assert_eq!(delete(&mut routes, &key(prefix)), Outcome::Applied);
        }
    });
}

#[test]
fn an_interface_that_is_missing_or_down_is_waited_for() {
    let (node, _far) = node();
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        let mut missing = hop(1, 2, 1, true);
        missing.dev = "nowhere".to_owned();
        let (kind, reason) =
            failure(put(&mut routes, &key("10.9.0.0/26"), &learned(vec![missing])));
        assert_eq!((kind, reason.as_str()), (FailureKind::Gone, "no interface nowhere"));
        node.ip("link set up1 down");
        for (prefix, v4) in [("10.9.0.0/26", true), ("fd09::/64", false)] {
            let spec = learned(vec![hop(1, 2, 1, v4), hop(2, 2, 1, v4)]);
            let (kind, reason) = failure(put(&mut routes, &key(prefix), &spec));
            assert!(matches!(kind, FailureKind::Gone | FailureKind::Retry), "{reason}");
        }
        // Down and up again: the routes are gone without a word, and a put brings them back.
        let spec = learned(vec![hop(2, 2, 1, true)]);
        assert_eq!(put(&mut routes, &key("10.9.0.0/26"), &spec), Outcome::Applied);
        node.ip("link set up2 down");
        node.ip("link set up2 up");
        assert_eq!(read(&mut routes), BTreeMap::new());
        assert_eq!(put(&mut routes, &key("10.9.0.0/26"), &spec), Outcome::Applied);
        assert_eq!(read(&mut routes), BTreeMap::from([(key("10.9.0.0/26"), spec)]));
    });
}

#[test]
fn a_wish_that_contradicts_itself_is_final() {
    let (node, _far) = node();
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        let v4 = learned(vec![hop(1, 2, 1, true)]);
        let v6 = learned(vec![hop(1, 2, 1, false)]);
        let zero = RouteKey { metric: 0, ..key("fd09::/64") };
        for (key, spec) in [
            (key("10.9.0.0/26"), &v6),
            (key("fd09::/64"), &v4),
            (zero, &v6),
            (key("10.9.0.0/26"), &with_source(v4.clone(), "fd00:1::1")),
            (key("10.9.0.0/26"), &learned(Vec::new())),
            (key("10.9.0.0/26"), &learned(vec![hop(1, 2, 0, true), hop(2, 2, 1, true)])),
            (key("10.9.0.0/26"), &learned(vec![hop(1, 2, 257, true), hop(2, 2, 1, true)])),
        ] {
            assert_eq!(failure(put(&mut routes, &key, spec)).0, FailureKind::Fatal, "{spec:?}");
        }
        assert_eq!(read(&mut routes), BTreeMap::new());
    });
}

#[test]
fn an_error_in_a_batch_belongs_to_its_own_route() {
    const COUNT: u32 = 1_700;
    let (node, _far) = node();
    // The gateway of every seventh is not on the link.
    let is_bad = |n: u32| n.is_multiple_of(7);
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        let puts: Vec<_> = (0..COUNT)
            .map(|n| {
                let mut only = hop(1, 2, 1, true);
                if is_bad(n) {
                    only.via = "192.0.2.1".parse().unwrap();
                }
                (key(&format!("10.9.{}.{}/32", n / 256, n % 256)), learned(vec![only]))
            })
            .collect();
        let outcomes = routes.apply(&Batch { puts: puts.clone(), deletes: Vec::new() });
        assert_eq!(outcomes.len(), puts.len());
        let outcomes: BTreeMap<_, _> = outcomes.into_iter().collect();
        for ((key, _), n) in puts.iter().zip(0..) {
            assert_eq!(outcomes[key] != Outcome::Applied, is_bad(n), "{key}: {:?}", outcomes[key]);
        }
        assert_eq!(routes.stats().sends, u64::from(COUNT.div_ceil(500)));
        assert_eq!(
            read(&mut routes).len(),
            puts.iter().zip(0..).filter(|(_, n)| !is_bad(*n)).count()
        );
        // Deletes of what never was are no errors.
        let deletes: Vec<_> = puts.iter().map(|(key, _)| *key).collect();
        let outcomes = routes.apply(&Batch { puts: Vec::new(), deletes });
        assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Applied));
        assert_eq!(read(&mut routes), BTreeMap::new());
    });
}

#[test]
fn answers_that_do_not_fit_the_buffer_make_everything_suspect_and_the_socket_goes_on() {
    let (node, _far) = node();
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        routes.shrink_receive_buffer(2048).unwrap();
        let mut bad = hop(1, 2, 1, true);
        bad.via = "192.0.2.1".parse().unwrap();
        let puts: Vec<_> = (0..500)
            .map(|n| (key(&format!("10.9.{}.{}/32", n / 256, n % 256)), learned(vec![bad.clone()])))
            .collect();
        let outcomes = routes.apply(&Batch { puts, deletes: Vec::new() });
        assert!(outcomes.into_iter().all(|(_, o)| failure(o).0 == FailureKind::Resync));
        let spec = learned(vec![hop(1, 2, 1, true)]);
        assert_eq!(put(&mut routes, &key("10.9.0.0/26"), &spec), Outcome::Applied);
        assert_eq!(read(&mut routes), BTreeMap::from([(key("10.9.0.0/26"), spec)]));
    });
}

/// Lets a driver work until it has nothing to do; false if a key failed.
fn settle(driver: &mut Driver<RouteKey, RouteSpec>, routes: &mut RouteTarget) -> bool {
    loop {
        let now = std::time::Instant::now();
        match driver.next(now) {
            Action::Dump => driver.on_dump(routes.dump(), now),
            Action::Apply(batch) => driver.on_outcomes(routes.apply(&batch), now),
            Action::Idle(_) => return driver.stats().failed == 0,
        }
    }
}

#[test]
fn twenty_thousand_ecmp_routes_go_in_are_read_back_and_a_restart_writes_nothing() {
    const COUNT: u32 = 10_000;
    let (node, _far) = node();
    let wishes = Mailbox::new();
    let mut want = BTreeMap::new();
    for n in 0..COUNT {
        let (high, low) = (n / 256, n % 256);
        let v4 = learned(vec![hop(1, 2, 1, true), hop(2, 2, 1, true)]);
        let v6 = learned(vec![hop(1, 2, 1, false), hop(2, 2, 1, false)]);
        want.insert(key(&format!("10.{}.{low}.0/26", 64 + high)), with_source(v4, "10.0.1.1"));
        want.insert(key(&format!("fd09:{high:x}:{low:x}::/64")), v6);
    }
    let publish = || {
        for (key, spec) in &want {
            wishes.publish(*key, Some(spec.clone()), Revision(1));
        }
        wishes.set_completeness(Completeness::Complete);
    };
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        let mut driver = Driver::new(DriverConfig::default());
        publish();
        driver.on_changes(wishes.take());
        let began = std::time::Instant::now();
        assert!(settle(&mut driver, &mut routes));
        let installed = began.elapsed();
        let began = std::time::Instant::now();
        assert_eq!(read(&mut routes), want);
        println!("{} routes in {installed:?}, read in {:?}", want.len(), began.elapsed());
    });
    node.enter(|| {
        let mut routes = RouteTarget::new().unwrap();
        let mut driver = Driver::new(DriverConfig::default());
        publish();
        driver.on_changes(wishes.take());
        assert!(settle(&mut driver, &mut routes));
        assert_eq!(routes.stats().writes, 0);
        // What nobody wishes any more goes, once the source is complete.
        for key in want.keys() {
            wishes.publish(*key, None, Revision(2));
        }
        driver.on_changes(wishes.take());
        assert!(settle(&mut driver, &mut routes));
        assert_eq!(read(&mut routes), BTreeMap::new());
    });
}
