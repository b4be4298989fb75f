// SPDX-License-Identifier: MIT OR Apache-2.0
use std::net::IpAddr;

use super::*;
use crate::kernel::marks::{Alias, LIVE_GROUP};
use crate::model::{NetnsId, WorkloadId};

const OWN: u32 = 4711;

fn node_link(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        up: true,
        carrier: true,
        mtu: 1500,
        mac: None,
        group: 0,
        alias: None,
        peer: None,
        peer_netns: None,
        inet: None,
        inet6: None,
    }
}

fn workload_link(index: u32, name: &str) -> Link {
    let id = WorkloadId::try_new("abc", "eth0").unwrap();
    let alias = Some(Alias { id, netns: NetnsId { dev: 4, ino: 5 } });
    Link { group: LIVE_GROUP, alias, peer_netns: Some(0), ..node_link(index, name) }
}

/// An eye that knows an uplink (2), a workload's link (3), a dead one (4) and another interface (5).
fn eye(configured: &[&str]) -> Eye {
    let configured: Vec<_> = configured.iter().map(|name| (*name).to_owned()).collect();
    let dead = Link { group: DEAD_GROUP, ..workload_link(4, "rtd4") };
    let links = vec![node_link(2, "up0"), workload_link(3, "rtd3"), dead, node_link(5, "docker0")];
    Eye::new(&[OWN], &configured, links)
}

fn see(eye: &mut Eye, burst: Vec<(bool, What)>) -> Findings {
    let burst: Vec<_> = burst.into_iter().map(|(own, what)| Event { own, what }).collect();
    let mut findings = Findings::default();
    eye.look(&burst, &mut findings);
    findings
}

fn links(findings: &Findings) -> Vec<&str> {
    let mut names: Vec<_> = findings.links.iter().map(LinkKey::as_str).collect();
    names.sort_unstable();
    names
}

fn route(index: Option<u32>, protocol: u8, came: bool, replaces: bool) -> What {
    let key = RouteKey { prefix: "10.9.0.1/32".parse().unwrap(), table: 254, metric: 0 };
    What::Route { key, protocol, came, replaces, index }
}

fn nothing(findings: &Findings) -> bool {
    findings.links.is_empty()
        && findings.routes.is_empty()
        && !findings.all_routes
        && !findings.uplinks
        && !findings.switches
}

#[test]
fn our_own_ports_are_known() {
    assert!(eye(&[]).is_own(OWN));
    assert!(!eye(&[]).is_own(0));
}

#[test]
fn a_workload_link_that_changes_is_looked_at_and_its_carrier_is_not() {
    let mut eye = eye(&[]);
    let carrier = Link { carrier: false, ..workload_link(3, "rtd3") };
    assert!(nothing(&see(&mut eye, vec![(false, What::Link(Box::new(carrier)))])));
    for changed in [
        Link { up: false, ..workload_link(3, "rtd3") },
        Link { mtu: 1300, ..workload_link(3, "rtd3") },
        Link { alias: None, ..workload_link(3, "rtd3") },
    ] {
        let findings = see(&mut eye, vec![(false, What::Link(Box::new(changed)))]);
        assert_eq!(links(&findings), ["rtd3"]);
        assert!(!findings.uplinks && !findings.all_routes);
    }
}

#[test]
fn a_link_of_ours_comes_into_being_without_a_finding() {
    let mut eye = eye(&[]);
    let made = Link { up: false, alias: None, ..workload_link(6, "rtd6") };
    assert!(nothing(&see(&mut eye, vec![(true, What::Link(Box::new(made)))])));
    let finished = Link { carrier: false, ..workload_link(6, "rtd6") };
    assert!(nothing(&see(&mut eye, vec![(false, What::Link(Box::new(finished)))])));
    let in_use = workload_link(6, "rtd6");
    assert!(nothing(&see(&mut eye, vec![(false, What::Link(Box::new(in_use)))])));
    let moved = Link { peer_netns: None, ..workload_link(6, "rtd6") };
    assert_eq!(links(&see(&mut eye, vec![(false, What::Link(Box::new(moved)))])), ["rtd6"]);
}

#[test]
fn a_workload_link_that_vanishes_is_looked_at_unless_it_was_dead() {
    let mut eye = eye(&[]);
    let gone = What::LinkGone(Box::new(workload_link(3, "rtd3")));
    assert_eq!(links(&see(&mut eye, vec![(false, gone)])), ["rtd3"]);
    let dead = Link { group: DEAD_GROUP, ..workload_link(4, "rtd4") };
    assert!(nothing(&see(&mut eye, vec![(false, What::LinkGone(Box::new(dead)))])));
}

#[test]
fn what_a_buried_link_takes_along_is_no_finding_though_it_is_told_first() {
    let mut eye = eye(&[]);
    let buried = Link { group: DEAD_GROUP, up: false, ..workload_link(3, "rtd3") };
    let gateway = IpAddr::V6(GATEWAY_V6);
    let workload = "10.9.0.1".parse().unwrap();
    let burst = vec![
        (false, route(Some(3), PROTOCOL_LOCAL, false, false)),
        (false, What::Address { index: 3, address: gateway, came: false }),
        (false, What::Neighbour { index: 3, address: workload }),
        (false, What::Link(Box::new(buried))),
    ];
    assert!(nothing(&see(&mut eye, burst)));
}

#[test]
fn routes_of_ours_that_go_or_are_replaced_are_looked_at() {
    let mut eye = eye(&[]);
    let boot = 3;
    for (what, matters) in [
        (route(Some(2), PROTOCOL_LEARNED, false, false), true),
        (route(Some(3), PROTOCOL_LOCAL, false, false), true),
        (route(Some(4), PROTOCOL_LOCAL, false, false), false),
        (route(None, PROTOCOL_LEARNED, false, false), true),
        (route(Some(2), PROTOCOL_LEARNED, true, false), true),
        (route(Some(2), boot, true, true), true),
        (route(Some(2), boot, true, false), false),
        (route(Some(2), boot, false, false), false),
    ] {
        let text = format!("{what:?}");
        assert_eq!(!see(&mut eye, vec![(false, what)]).routes.is_empty(), matters, "{text}");
    }
    let own = route(Some(2), PROTOCOL_LEARNED, true, false);
    assert!(nothing(&see(&mut eye, vec![(true, own)])));
}

#[test]
fn an_uplink_that_goes_down_or_up_makes_all_routes_suspect() {
    for configured in [&[][..], &["up0"]] {
        let mut eye = eye(configured);
        let down = Link { up: false, carrier: false, ..node_link(2, "up0") };
        let findings = see(&mut eye, vec![(false, What::Link(Box::new(down)))]);
        assert!(findings.all_routes && findings.uplinks);
        let up = node_link(2, "up0");
        let findings = see(&mut eye, vec![(false, What::Link(Box::new(up)))]);
        assert!(findings.all_routes && findings.uplinks);
        let gone = What::LinkGone(Box::new(node_link(2, "up0")));
        let findings = see(&mut eye, vec![(false, gone)]);
        assert!(findings.all_routes && findings.uplinks);
    }
}

#[test]
fn lost_carrier_of_an_uplink_is_told_without_suspecting_routes() {
    let mut eye = eye(&["up0"]);
    let lost = Link { carrier: false, ..node_link(2, "up0") };
    let findings = see(&mut eye, vec![(false, What::Link(Box::new(lost)))]);
    assert!(findings.uplinks && !findings.all_routes);
}

#[test]
fn with_configured_uplinks_other_interfaces_come_and_go_unnoticed_but_not_their_addresses() {
    let mut eye = eye(&["up0"]);
    let down = Link { up: false, ..node_link(5, "docker0") };
    assert!(nothing(&see(&mut eye, vec![(false, What::Link(Box::new(down)))])));
    let address = "172.17.0.1".parse().unwrap();
    let came = What::Address { index: 5, address, came: true };
    assert!(see(&mut eye, vec![(false, came)]).uplinks);
}

#[test]
fn an_uplink_renamed_away_is_noticed() {
    let mut eye = eye(&["up0"]);
    let renamed = node_link(2, "other");
    assert!(see(&mut eye, vec![(false, What::Link(Box::new(renamed)))]).uplinks);
}

#[test]
fn addresses_of_a_workload_link_are_looked_at_except_the_ones_we_add() {
    let mut eye = eye(&[]);
    let gateway = IpAddr::V6(GATEWAY_V6);
    let came = |address, came| What::Address { index: 3, address, came };
    assert!(nothing(&see(&mut eye, vec![(false, came(gateway, true))])));
    assert_eq!(links(&see(&mut eye, vec![(false, came(gateway, false))])), ["rtd3"]);
    let other = "10.1.1.1".parse().unwrap();
    assert_eq!(links(&see(&mut eye, vec![(false, came(other, true))])), ["rtd3"]);
}

#[test]
fn neighbours_of_a_workload_link_are_looked_at_except_what_the_kernel_learns() {
    let mut eye = eye(&[]);
    let neighbour =
        |index, address: &str| What::Neighbour { index, address: address.parse().unwrap() };
    assert_eq!(links(&see(&mut eye, vec![(false, neighbour(3, "10.9.0.1"))])), ["rtd3"]);
    for chatter in ["fe80::5", "ff02::16"] {
        assert!(nothing(&see(&mut eye, vec![(false, neighbour(3, chatter))])));
    }
    assert!(nothing(&see(&mut eye, vec![(false, neighbour(2, "10.1.1.1"))])));
}

#[test]
fn a_switch_turned_off_is_looked_at_where_it_belongs() {
    let mut eye = eye(&[]);
    let switch = |index, v6, forwarding, off| What::Switch { v6, index, forwarding, off };
    assert_eq!(links(&see(&mut eye, vec![(false, switch(3, false, false, true))])), ["rtd3"]);
    assert!(nothing(&see(&mut eye, vec![(false, switch(3, false, false, false))])));
    assert!(nothing(&see(&mut eye, vec![(false, switch(3, true, true, true))])));
    assert!(see(&mut eye, vec![(false, switch(2, false, true, true))]).switches);
    assert!(see(&mut eye, vec![(false, switch(-1, false, true, true))]).switches);
    assert!(nothing(&see(&mut eye, vec![(false, switch(-1, false, true, false))])));
}
