// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links: made, read back, given up.

use reconcile::{FailureKind, Outcome, Target};
use routed::kernel::{ContainerHandles, check};

use super::support::{Netns, attach, delete, dump, failure, put, spec, target};

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
    assert!(a.pings("169.254.1.1"));
    assert!(a.pings("fe80::1%eth0"));
}

#[test]
fn every_mix_of_families_is_read_back_as_wished_and_lets_nothing_in() {
    for (v4, v6) in [(true, true), (true, false), (false, true)] {
        let (node, a) = (Netns::new("node"), Netns::new("a"));
        let spec = spec(1, a.id(), v4, v6);
        node.enter(|| {
            let (mut links, handover) = target();
            attach(&mut links, &handover, &a, &spec);
            assert_eq!(dump(&mut links), [(spec.key(), spec.clone())]);
        });
        let addresses = node.ip("-o addr show dev rtd00000000001");
        assert_eq!(addresses.contains("inet 169.254.1.1/32 scope link"), v4, "{addresses}");
        assert_eq!(addresses.contains("inet6 fe80::1/64 scope link"), v6, "{addresses}");
        assert_eq!(addresses.lines().count(), usize::from(v4) + usize::from(v6), "{addresses}");
        let sysctl = |name: &str| node.exec(&format!("cat /proc/sys/net/{name}"));
        let conf = "conf/rtd00000000001";
        let neigh = "neigh/rtd00000000001";
        if v4 {
            assert_eq!(sysctl(&format!("ipv4/{conf}/proxy_arp")), "1\n");
            assert_eq!(sysctl(&format!("ipv4/{conf}/forwarding")), "1\n");
            assert_eq!(sysctl(&format!("ipv4/{neigh}/proxy_delay")), "0\n");
        }
        if v6 {
            assert_eq!(sysctl(&format!("ipv6/{conf}/accept_ra")), "0\n");
            assert_eq!(sysctl(&format!("ipv6/{conf}/proxy_ndp")), "1\n");
            assert_eq!(sysctl(&format!("ipv6/{neigh}/proxy_delay")), "0\n");
            assert_eq!(sysctl(&format!("ipv6/{conf}/disable_ipv6")), "0\n");
        } else {
            assert_eq!(sysctl(&format!("ipv6/{conf}/disable_ipv6")), "1\n");
        }
        let neighbours = a.ip("neigh");
        let to_host = "lladdr ee:ee:ee:ee:ee:ee PERMANENT";
        assert_eq!(neighbours.contains(&format!("169.254.1.1 dev eth0 {to_host}")), v4);
        assert_eq!(neighbours.contains(&format!("fe80::1 dev eth0 {to_host}")), v6);
    }
}

#[test]
fn a_second_put_of_the_same_link_writes_nothing_with_and_without_handles() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &spec);
        let before = links.stats().writes;
        let container = a.ip("-o addr").len();
        assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied);
        handover.offer_again(&spec.key(), a.handles());
        assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied);
        assert_eq!(links.stats().writes, before);
        assert_eq!(a.ip("-o addr").len(), container);
    });
}

#[test]
fn a_process_without_memory_finds_the_same_links_and_writes_nothing() {
    let (node, a, b) = (Netns::new("node"), Netns::new("a"), Netns::new("b"));
    let (first, second) = (spec(1, a.id(), true, true), spec(2, b.id(), true, false));
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &first);
        attach(&mut links, &handover, &b, &second);
    });
    node.enter(|| {
        let (mut links, _) = target();
        let wishes = vec![(first.key(), first.clone()), (second.key(), second.clone())];
        assert_eq!(dump(&mut links), wishes);
        assert_eq!(links.stats().writes, 0);
    });
}

#[test]
fn without_handles_a_missing_link_waits_for_a_new_request() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    node.enter(|| {
        let (mut links, handover) = target();
        assert_eq!(failure(put(&mut links, &spec.key(), &spec)).0, FailureKind::Gone);
        // Handles of another namespace are as good as none.
        let other = Netns::new("other");
        handover.offer(&spec.key(), other.handles());
        assert_eq!(failure(put(&mut links, &spec.key(), &spec)).0, FailureKind::Gone);
        // So are handles that were taken back.
        handover.offer(&spec.key(), a.handles());
        handover.revoke(&spec.key());
        assert_eq!(failure(put(&mut links, &spec.key(), &spec)).0, FailureKind::Gone);
        assert_eq!(dump(&mut links), []);
    });
}

#[test]
fn an_interface_name_taken_in_the_container_is_told_and_the_other_one_untouched() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    a.ip("link add eth0 type veth peer name other");
    a.ip("addr add 192.0.2.7/24 dev eth0");
    let before = a.ip("-o addr");
    let spec = spec(1, a.id(), true, true);
    node.enter(|| {
        let (mut links, handover) = target();
        handover.offer(&spec.key(), a.handles());
        let (kind, reason) = failure(put(&mut links, &spec.key(), &spec));
        assert_eq!(kind, FailureKind::Fatal);
        assert_eq!(reason, "interface eth0 already exists in the container");
        assert_eq!(dump(&mut links), []);
    });
    assert_eq!(a.ip("-o addr"), before);
    assert!(!node.ip("-o link").contains("rtd"));
}

#[test]
fn a_foreign_interface_with_our_name_is_never_touched() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    for kind in ["bridge", "veth peer name other"] {
        node.ip(&format!("link add {} type {kind}", spec.host_interface));
        node.ip(&format!("link set {} alias web-frontend", spec.host_interface));
        let before = node.ip("-d -o link");
        node.enter(|| {
            let (mut links, handover) = target();
            assert_eq!(dump(&mut links), []);
            handover.offer(&spec.key(), a.handles());
            let (kind, reason) = failure(put(&mut links, &spec.key(), &spec));
            assert_eq!(kind, FailureKind::Fatal);
            assert_eq!(reason, "interface rtd00000000001 exists and is not ours");
            assert_eq!(delete(&mut links, &spec.key()), Outcome::Applied);
            assert_eq!(links.stats().writes, 0);
        });
        assert_eq!(node.ip("-d -o link"), before);
        node.ip(&format!("link del {}", spec.host_interface));
    }
}

#[test]
fn a_link_left_by_a_process_killed_while_making_it_is_swept_and_made_anew() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    let half_made = || {
        let peer = format!("peer name eth0 netns {}", a.name);
        let group = routed::kernel::marks::LIVE_GROUP;
        node.ip(&format!("link add {} group {group} type veth {peer}", spec.host_interface));
    };
    node.enter(|| {
        let (mut links, handover) = target();
        half_made();
        handover.offer(&spec.key(), a.handles());
        assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied);
        assert_eq!(dump(&mut links), [(spec.key(), spec.clone())]);
    });
    node.ip(&format!("link del {}", spec.host_interface));
    half_made();
    node.enter(|| assert_eq!(dump(&mut target().0), []));
    assert!(!node.ip("-o link").contains("rtd"));
}

#[test]
fn the_same_workload_in_a_new_namespace_gets_a_new_link() {
    let (node, a, b) = (Netns::new("node"), Netns::new("a"), Netns::new("b"));
    let (old, new) = (spec(1, a.id(), true, true), spec(1, b.id(), true, true));
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &old);
        attach(&mut links, &handover, &b, &new);
        assert_eq!(dump(&mut links), [(new.key(), new.clone())]);
    });
    assert!(!a.ip("-o link").contains("eth0"));
    assert!(b.ip("-o link").contains("eth0"));
}

#[test]
fn another_address_mac_and_mtu_reach_both_ends_of_a_living_link() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let old = spec(1, a.id(), true, true);
    let mut new = old.clone();
    new.v4 = Some([10, 90, 0, 99].into());
    new.v6 = Some("fd90::99".parse().unwrap());
    new.mac.0[5] = 0x99;
    new.mtu = 1280;
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &old);
        attach(&mut links, &handover, &a, &new);
        assert_eq!(dump(&mut links), [(new.key(), new.clone())]);
        for address in ["10.90.0.99/32", "fd90::99/128"] {
            node.ip(&format!("route add {address} dev rtd00000000001"));
        }
        assert_eq!(check(a.handles(), &new).unwrap(), []);
    });
    assert!(node.pings("10.90.0.99"));
    assert!(node.pings("fd90::99"));
}

#[test]
fn a_second_interface_of_a_container_stands_behind_the_first() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let first = spec(1, a.id(), true, true);
    let mut second = spec(2, a.id(), true, true);
    second.id = routed::model::WorkloadId::try_new("container-1", "net1").unwrap();
    second.container_interface = "net1".to_owned();
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &first);
        attach(&mut links, &handover, &a, &second);
        assert_eq!(delete(&mut links, &second.key()), Outcome::Applied);
        assert_eq!(dump(&mut links), [(first.key(), first.clone())]);
    });
    assert!(a.ip("route get 192.0.2.1").contains("dev eth0"));
}

#[test]
fn the_nodes_own_namespace_is_no_container() {
    let node = Netns::new("node");
    let spec = spec(1, node.id(), true, true);
    node.enter(|| {
        let (mut links, handover) = target();
        handover.offer(&spec.key(), node.handles());
        assert_eq!(failure(put(&mut links, &spec.key(), &spec)).0, FailureKind::Fatal);
        assert_eq!(links.stats().writes, 0);
    });
}

#[test]
fn descriptors_that_are_something_else_are_refused() {
    let (a, b) = (Netns::new("a"), Netns::new("b"));
    let socket_of = |netns: &Netns| netns.raw_handles(|_, netlink| netlink);
    let refused = |netns, netlink| ContainerHandles::try_new(netns, netlink).unwrap_err();
    let text = refused(a.open(), socket_of(&b)).to_string();
    assert_eq!(text, "the passed socket belongs to another namespace");
    let file = std::fs::File::open("/proc/self/status").unwrap();
    assert!(refused(file.into(), socket_of(&a)).to_string().contains("another namespace"));
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert!(refused(a.open(), udp.into()).to_string().contains("not a NETLINK_ROUTE socket"));
    assert!(refused(a.open(), a.open()).to_string().contains("not a NETLINK_ROUTE socket"));
}

#[test]
fn both_descriptors_are_closed_once_the_link_is_made() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    let name = a.name.clone();
    let node = &node;
    node.enter(move || {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &spec);
        drop(a);
        // Nothing pins the namespace: it goes, and takes the link along.
        let gone = || !node.ip("-o link").contains("rtd");
        super::support::eventually(&format!("the end of {name}"), gone);
        assert_eq!(failure(put(&mut links, &spec.key(), &spec)).0, FailureKind::Gone);
    });
}

#[test]
fn check_names_every_difference_at_both_ends() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    node.enter(|| {
        let differences = || {
            let found = check(a.handles(), &spec).unwrap();
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let bare = ["host: missing interface rtd00000000001", "container: missing interface eth0"];
        assert_eq!(differences(), bare);
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &spec);
        node.ip("route add 10.90.0.1 dev rtd00000000001 scope link");
        assert_eq!(differences(), ["host: missing route fd90::1"]);
        node.ip("-6 route add fd90::1 dev rtd00000000001");
        assert_eq!(differences(), [""; 0]);
        a.ip("neigh del 169.254.1.1 dev eth0");
        a.ip("route del default");
        a.ip("-6 addr del fd90::1/128 dev eth0");
        a.ip("link set eth0 mtu 1300");
        node.ip("neigh del 10.90.0.1 dev rtd00000000001");
        let want = [
            "host: missing permanent neighbour 10.90.0.1 at 02:00:5e:00:00:01",
            "container: missing mtu 1400",
            "container: missing address fd90::1/128",
            "container: missing route default via 169.254.1.1",
            "container: missing permanent neighbour 169.254.1.1 at ee:ee:ee:ee:ee:ee",
        ];
        assert_eq!(differences(), want);
        // A repeated request repairs it all.
        handover.offer_again(&spec.key(), a.handles());
        assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied);
        assert_eq!(differences(), [""; 0]);
        // The container's end went elsewhere.
        a.ip("link set eth0 down");
        a.ip("link set eth0 name lan0");
        assert_eq!(differences(), ["container: missing interface eth0"]);
        handover.offer_again(&spec.key(), a.handles());
        assert_eq!(put(&mut links, &spec.key(), &spec), Outcome::Applied);
        assert!(differences().iter().all(|difference| difference.contains("host: missing route")));
    });
}

#[test]
fn one_that_needs_ipv6_fails_where_the_container_refuses_it_and_leaves_nothing() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    let handles = a.handles();
    a.exec("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    node.enter(|| {
        let (mut links, handover) = target();
        handover.offer(&spec.key(), handles);
        let (kind, reason) = failure(put(&mut links, &spec.key(), &spec));
        assert_eq!(kind, FailureKind::Fatal);
        assert!(reason.starts_with("container side: address"), "{reason}");
        assert_eq!(links.dump().unwrap(), []);
    });
}

#[test]
fn a_workload_of_ipv4_alone_needs_no_ipv6_anywhere() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    for netns in [&node, &a] {
        netns.exec(
            "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1",
        );
    }
    let spec = spec(1, a.id(), true, false);
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &spec);
        assert_eq!(dump(&mut links), [(spec.key(), spec.clone())]);
    });
    node.ip("route add 10.90.0.1 dev rtd00000000001 scope link");
    assert!(node.pings("10.90.0.1"));
}
