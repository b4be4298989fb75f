// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole lane under foreign hands: what somebody damages is put right by itself.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reconcile::{FailureKind, Outcome, Revision};
use routed::kernel::check;
use routed::model::{RouteKind, RouteScope};

use super::lane::{Ends, Wish, host_routes, with_lane};
use super::support::{Netns, eventually, failure, spec};

/// Waits until a link is as wished, with its routes.
fn whole(ends: &Ends, a: &Netns, spec: &routed::model::LinkSpec, node: &Netns) -> Duration {
    let began = Instant::now();
    let whole = || node.enter(|| check(a.handles(), spec).unwrap().is_empty());
    eventually("the link and its routes", whole);
    let _ = ends;
    began.elapsed()
}

#[test]
fn what_is_damaged_is_repaired_within_a_second_and_our_own_writes_are_no_news() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    let dev = &spec.host_interface;
    with_lane(&node, &Wish::default(), |ends| {
        ends.attach(&a, &spec);
        whole(ends, &a, &spec, &node);
        // Each put answers a wish; the monitor has nothing to add to our own writes.
        eventually("quiet", || ends.link_status.is_empty() && ends.route_status.len() == 2);
        assert_eq!(ends.link_counts.read(), (1, 1));
        let damages = [
            format!("ip addr flush dev {dev}"),
            format!("ip addr del 169.254.1.1/32 dev {dev}"),
            format!("ip neigh flush dev {dev} nud permanent"),
            "ip neigh flush all nud permanent".to_owned(),
            format!("sysctl -qw net.ipv4.conf.{dev}.proxy_arp=0"),
            format!("sysctl -qw net.ipv4.conf.{dev}.forwarding=0"),
            format!("sysctl -qw net.ipv6.conf.{dev}.proxy_ndp=0"),
            format!("ip link set {dev} mtu 1280"),
            format!("ip link set {dev} address 02:00:00:00:00:02"),
            format!("ip link set {dev} down"),
            "ip route flush table main".to_owned(),
            "ip -6 route flush table main".to_owned(),
            "ip route del 10.90.0.1".to_owned(),
            format!("ip route replace 10.90.0.1 via 10.1.2.3 dev {dev} onlink"),
            "ip route replace blackhole 10.90.0.1".to_owned(),
            "ip -6 route replace blackhole fd90::1 metric 1024".to_owned(),
        ];
        for damage in &damages {
            node.exec(damage);
            let took = whole(ends, &a, &spec, &node);
            assert!(took < Duration::from_secs(5), "{damage}: {took:?}");
            println!("{took:>12?} {damage}");
        }
        // Down and up in one breath: nothing tells that the IPv4 route went with it.
        node.exec(&format!("ip link set {dev} down up"));
        node.exec(&format!("ip link set {dev} down"));
        node.exec(&format!("ip link set {dev} up"));
        whole(ends, &a, &spec, &node);
        assert!(node.pings("10.90.0.1") && node.pings("fd90::1"));
    });
}

#[test]
fn attach_and_detach_make_no_further_dump() {
    let (node, a, b) = (Netns::new("node"), Netns::new("a"), Netns::new("b"));
    let (first, second) = (spec(1, a.id(), true, true), spec(2, b.id(), true, true));
    with_lane(&node, &Wish::default(), |ends| {
        ends.attach(&a, &first);
        ends.attach(&b, &second);
        whole(ends, &b, &second, &node);
        whole(ends, &a, &first, &node);
        ends.detach(&first);
        eventually("the end of the link", || !node.ip("-o link").contains("rtd00000000001"));
        eventually("the end of its routes", || {
            !node.ip("route").contains("10.90.0.1") && !node.ip("-6 route").contains("fd90::1 ")
        });
        // What the reaper does now is no news either: the next one is dealt with at once.
        let third = spec(3, a.id(), true, false);
        ends.attach(&a, &third);
        whole(ends, &a, &third, &node);
        assert_eq!(ends.link_counts.read(), (3, 1));
        assert_eq!(ends.route_counts.read(), (5, 1));
    });
}

#[test]
fn a_container_that_ends_without_a_word_is_reported() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    with_lane(&node, &Wish::default(), |ends| {
        ends.attach(&a, &spec);
        whole(ends, &a, &spec, &node);
        ends.link_status.take();
        drop(a);
        eventually("the report", || !ends.link_status.is_empty());
        let report = ends.link_status.take().entries.remove(0).1.value.unwrap();
        assert_eq!(failure(report.outcome).0, FailureKind::Gone);
        eventually("reports of its routes", || {
            let reports = ends.route_status.take().entries;
            reports.into_iter().any(|(_, change)| change.value.unwrap().outcome != Outcome::Applied)
        });
    });
}

#[test]
fn uplinks_and_addresses_are_observed_and_a_replaced_uplink_gets_its_routes_back() {
    let (node, far) = (Netns::new("node"), Netns::new("far"));
    let make = || {
        node.ip(&format!("link add up1 type veth peer name far1 netns {}", far.name));
        node.ip("addr add 10.0.1.1/24 dev up1");
        node.ip("link set up1 up");
        far.ip("link set far1 up");
    };
    node.ip("link set lo up");
    make();
    let wish = Wish { uplinks: vec!["up1".to_owned(), "up2".to_owned()], ..Wish::default() };
    with_lane(&node, &wish, |ends| {
        let seen = |what: &str, test: &dyn Fn(&routed::model::Uplinks) -> bool| {
            eventually(what, || ends.uplinks.borrow().as_ref().is_some_and(test));
        };
        seen("an uplink that is up", &|u| {
            u.interfaces.len() == 1 && u.interfaces[0].up && u.interfaces[0].mtu == 1500
        });
        let address = |u: &routed::model::Uplinks| u.interfaces[0].addresses[0];
        let first = address(ends.uplinks.borrow().as_ref().unwrap());
        assert_eq!((first.address, first.prefix_len), ("10.0.1.1".parse().unwrap(), 24));
        assert!(first.global && !first.secondary);
        node.ip("addr add 10.255.0.1/32 dev lo");
        let own = "10.255.0.1".parse().unwrap();
        seen("an address of lo", &|u| {
            u.local.contains(&own) && u.loopback.iter().any(|a| a.address == own && a.global)
        });
        node.ip("addr add 10.0.1.9/24 dev up1");
        seen("a secondary address", &|u| u.interfaces[0].addresses.iter().any(|a| a.secondary));
        node.ip("link set up1 mtu 1400");
        seen("another mtu", &|u| u.interfaces[0].mtu == 1400);
        far.ip("link set far1 down");
        seen("no carrier", &|u| !u.interfaces[0].up);
        far.ip("link set far1 up");
        seen("carrier", &|u| u.interfaces[0].up);
        node.ip("addr del 10.255.0.1/32 dev lo");
        seen("no address of lo", &|u| !u.local.contains(&own));

        let (key, mut route) = host_routes(&spec(7, node.id(), true, false)).remove(0);
        let dev = "up1".to_owned();
        let via = "10.0.1.2".parse().unwrap();
        route.kind = RouteKind::Gateways(vec![routed::model::NextHop { dev, via, weight: 1 }]);
        route.scope = RouteScope::Universe;
        ends.routes.publish(key, Some(route), Revision(1));
        let has_route = || node.ip("route").contains("10.90.0.7 via 10.0.1.2 dev up1");
        eventually("the route", has_route);
        node.ip("link set up1 down");
        node.ip("link set up1 up");
        eventually("the route after down and up", has_route);
        let before = ends.uplinks.borrow().as_ref().unwrap().interfaces[0].index;
        node.ip("link del up1");
        seen("no uplink", &|u| u.interfaces.is_empty());
        make();
        seen("a new uplink", &|u| u.interfaces.first().is_some_and(|up| up.index != before));
        eventually("the route over the new uplink", has_route);
    });
}

#[test]
fn without_configured_uplinks_every_interface_but_workloads_is_one() {
    let (node, far, a) = (Netns::new("node"), Netns::new("far"), Netns::new("a"));
    node.ip(&format!("link add up1 type veth peer name far1 netns {}", far.name));
    let spec = spec(1, a.id(), true, true);
    with_lane(&node, &Wish::default(), |ends| {
        ends.attach(&a, &spec);
        whole(ends, &a, &spec, &node);
        node.ip("addr add 10.0.1.1/24 dev up1");
        let address = "10.0.1.1".parse().unwrap();
        eventually("the address", || {
            ends.uplinks.borrow().as_ref().is_some_and(|u| u.local.contains(&address))
        });
        let uplinks = ends.uplinks.borrow().clone().unwrap();
        assert_eq!(uplinks.interfaces.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["up1"]);
        assert!(!uplinks.local.contains(&"169.254.1.1".parse().unwrap()));
    });
}

#[test]
fn lost_notifications_lead_to_a_look_at_everything() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    let wish = Wish { small_buffer: true, ..Wish::default() };
    with_lane(&node, &wish, |ends| {
        ends.attach(&a, &spec);
        whole(ends, &a, &spec, &node);
        let dumps = ends.route_counts.dumps.load(Ordering::SeqCst);
        // The kernel tells of all of them in one breath, far more than fits, ours among them.
        let mut script = tempfile::NamedTempFile::new().unwrap();
        for n in 0..2_000 {
            writeln!(script, "route add fd77::{n:x} dev {} metric 5", spec.host_interface).unwrap();
        }
        node.ip(&format!("-batch {}", script.path().display()));
        node.ip("-6 route flush table main");
        whole(ends, &a, &spec, &node);
        assert!(ends.route_counts.dumps.load(Ordering::SeqCst) > dumps);
    });
}

#[test]
fn a_node_wide_switch_turned_off_rings_the_bell() {
    let node = Netns::new("node");
    node.exec("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    with_lane(&node, &Wish::default(), |ends| {
        for switch in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
            node.exec(&format!("sysctl -qw {switch}=0"));
            runtime.block_on(async {
                let rung = ends.switches.rung();
                tokio::time::timeout(super::support::DEADLINE, rung).await.expect(switch);
            });
        }
    });
}
