// SPDX-License-Identifier: MIT OR Apache-2.0
//! Node-wide switches on a real node.

use std::fs;
use std::path::Path;

use routed::kernel::{SwitchMode, Switches};

use super::support::Netns;

fn node() -> (Netns, Netns, Vec<String>) {
    let (node, far) = (Netns::new("node"), Netns::new("far"));
    node.ip(&format!("link add up1 type veth peer name far1 netns {}", far.name));
    node.exec("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
    (node, far, vec!["up1".to_owned(), "absent".to_owned()])
}

fn value(node: &Netns, name: &str) -> String {
    node.exec(&format!("cat /proc/sys/net/{name}")).trim().to_owned()
}

const WANTED: [&str; 4] = [
    "ipv4/ip_forward",
    "ipv4/fib_multipath_hash_policy",
    "ipv6/fib_multipath_hash_policy",
    "ipv4/conf/up1/arp_ignore",
];

#[test]
fn managed_switches_are_written_once_and_their_first_values_kept() {
    let (node, _far, uplinks) = node();
    let state = tempfile::tempdir().unwrap();
    let ensure = || node.enter(|| Switches::new(SwitchMode::Manage, state.path()).ensure(&uplinks));
    let report = ensure();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert!(report.changed.len() >= WANTED.len(), "{:?}", report.changed);
    for name in WANTED {
        assert_eq!(value(&node, name), "1", "{name}");
    }
    let kept = fs::read_to_string(state.path().join("sysctl.json")).unwrap();
    for name in WANTED {
        assert!(kept.contains(&format!("\"{name}\": 0")), "{kept}");
    }
    // A restart finds nothing to write and nothing to keep.
    assert!(ensure().changed.is_empty());
    // Turned off, it is turned on again; what was there at first stays kept.
    node.exec("sysctl -qw net.ipv4.ip_forward=0 net.ipv4.fib_multipath_hash_policy=2");
    let report = ensure();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert_eq!(value(&node, "ipv4/ip_forward"), "1");
    assert_eq!(value(&node, "ipv4/fib_multipath_hash_policy"), "1");
    assert_eq!(fs::read_to_string(state.path().join("sysctl.json")).unwrap(), kept);
}

#[test]
fn required_switches_are_only_looked_at_and_named() {
    let (node, _far, uplinks) = node();
    let state = tempfile::tempdir().unwrap();
    let report = node.enter(|| Switches::new(SwitchMode::Require, state.path()).ensure(&uplinks));
    assert!(report.changed.is_empty());
    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    assert!(
        errors.contains(&"/proc/sys/net/ipv4/ip_forward is 0, must be 1".to_owned()),
        "{errors:?}"
    );
    assert_eq!(value(&node, "ipv4/ip_forward"), "0");
    assert!(fs::read_dir(state.path()).unwrap().next().is_none());
}

#[test]
fn without_a_place_to_keep_the_first_values_nothing_is_written() {
    let (node, _far, uplinks) = node();
    let nowhere = Path::new("/nonexistent/routed");
    let report = node.enter(|| Switches::new(SwitchMode::Manage, nowhere).ensure(&uplinks));
    assert!(report.changed.is_empty());
    assert!(report.errors.iter().all(|e| e.to_string().contains("/nonexistent/routed")));
    assert_eq!(value(&node, "ipv4/ip_forward"), "0");
}

#[test]
fn a_managed_node_forwards_both_families_between_its_uplink_and_a_workload() {
    use super::support::{attach, spec, target};
    let (node, far, uplinks) = node();
    let a = Netns::new("a");
    let spec = spec(1, a.id(), true, true);
    let state = tempfile::tempdir().unwrap();
    node.ip("addr add 10.0.1.1/24 dev up1");
    node.ip("addr add fd00:1::1/64 dev up1 nodad");
    node.ip("link set up1 up");
    far.ip("addr add 10.0.1.2/24 dev far1");
    far.ip("addr add fd00:1::2/64 dev far1 nodad");
    far.ip("link set far1 up");
    node.enter(|| {
        let report = Switches::new(SwitchMode::Manage, state.path()).ensure(&uplinks);
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &spec);
    });
    node.ip("route add 10.90.0.1 dev rtd00000000001 scope link");
    node.ip("route add fd90::1 dev rtd00000000001");
    far.ip("route add 10.90.0.1 via 10.0.1.1");
    far.ip("route add fd90::1 via fd00:1::1");
    assert!(far.pings("10.90.0.1"));
    assert!(far.pings("fd90::1"));
    assert!(a.pings("10.0.1.2"));
    assert!(a.pings("fd00:1::2"));
    // The gateway address of workloads is none of the uplink's.
    far.ip("route add 169.254.1.1 dev far1");
    assert!(!far.pings("169.254.1.1"));
}
