// SPDX-License-Identifier: MIT OR Apache-2.0
//! Drift at the host end: seen by a dump, repaired by a put, nothing else written.

use reconcile::Outcome;

use super::support::{Netns, attach, dump, put, spec, target};

#[test]
fn every_kind_of_damage_is_seen_and_repaired_and_then_there_is_nothing_to_do() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    let dev = &spec.host_interface;
    let conf = |family: &str, name: &str, value: u32| {
        format!("sysctl -qw net.{family}.conf.{dev}.{name}={value}")
    };
    let damages = [
        format!("ip addr flush dev {dev}"),
        format!("ip -6 addr flush dev {dev}"),
        format!("ip addr del 169.254.1.1/32 dev {dev}"),
        format!("ip neigh flush dev {dev} nud permanent"),
        format!("ip neigh del {} dev {dev}", spec.v6.unwrap()),
        format!("ip neigh replace {} dev {dev} lladdr 02:00:00:00:00:01", spec.v4.unwrap()),
        format!("ip neigh add 10.1.2.3 dev {dev} lladdr 02:00:00:00:00:01 nud permanent"),
        format!("ip link set {dev} down"),
        format!("ip link set {dev} mtu 1280"),
        format!("ip link set {dev} address 02:00:00:00:00:02"),
        format!("ip link set {dev} group 0"),
        format!("ip link set {dev} addrgenmode eui64"),
        conf("ipv4", "proxy_arp", 0),
        conf("ipv4", "forwarding", 0),
        conf("ipv6", "accept_ra", 1),
        conf("ipv6", "proxy_ndp", 0),
        conf("ipv6", "disable_ipv6", 1),
        conf("ipv6", "force_forwarding", 0),
        format!("sysctl -qw net.ipv4.neigh.{dev}.proxy_delay=80"),
        format!("sysctl -qw net.ipv6.neigh.{dev}.proxy_delay=80"),
    ];
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &spec);
        let wish = [(spec.key(), spec.clone())];
        for damage in &damages {
            node.exec(damage);
            let found = dump(&mut links);
            assert_eq!(found.len(), 1, "{damage}");
            assert_ne!(found, wish, "not seen: {damage}");
            assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied, "{damage}");
            assert_eq!(dump(&mut links), wish, "not repaired: {damage}");
            let before = links.stats().writes;
            assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied, "{damage}");
            assert_eq!(links.stats().writes, before, "{damage}");
        }
    });
    node.ip(&format!("route add {} dev {dev}", spec.v4.unwrap()));
    node.ip(&format!("route add {} dev {dev}", spec.v6.unwrap()));
    assert!(node.pings("10.90.0.1"));
    assert!(node.pings("fd90::1"));
}

#[test]
fn a_repaired_link_hints_at_its_routes() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    node.enter(|| {
        let handover = routed::kernel::Handover::new(reconcile::Hints::new());
        let routes = reconcile::Hints::new();
        let bell = routed::kernel::Bell::new();
        let made = routed::kernel::LinkTarget::new(handover.clone(), bell, routes.clone());
        let mut links = made.unwrap();
        let taken = || {
            let mut keys: Vec<_> = routes.take().iter().map(|hint| format!("{hint:?}")).collect();
            keys.sort();
            keys.len()
        };
        attach(&mut links, &handover, &a, &spec);
        assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied);
        assert_eq!(taken(), 0);
        node.ip(&format!("link set {} down", spec.host_interface));
        assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied);
        assert_eq!(taken(), 2);
    });
}
