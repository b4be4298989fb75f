// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links: made, read back, repaired, given up.

use super::support::{Netns, attach, dump, spec, target};

#[test]
fn two_workloads_reach_each_other_over_an_empty_routing_table() {
    let (node, a, b) = (Netns::new("node"), Netns::new("a"), Netns::new("b"));
    let (first, second) = (spec(1, a.id(), true, true), spec(2, b.id(), true, true));
    node.exec("sysctl -qw net.ipv4.ip_forward=1");
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &first);
        attach(&mut links, &handover, &b, &second);
        let wishes = vec![(first.key(), first.clone()), (second.key(), second.clone())];
        assert_eq!(dump(&mut links), wishes);
    });
    for spec in [&first, &second] {
        let dev = &spec.host_interface;
        node.ip(&format!("route add {} dev {dev} scope link", spec.v4.unwrap()));
        node.ip(&format!("-6 route add {} dev {dev}", spec.v6.unwrap()));
    }
    assert!(a.pings("10.90.0.2"));
    assert!(b.pings("10.90.0.1"));
    assert!(a.pings("fd90::2"));
    assert!(b.pings("fd90::1"));
}
