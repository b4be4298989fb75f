// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real packets against a compiled ruleset.

use crate::{
    enforcer::{Lane, POLICY},
    support::{Namespace, eventually, output, run},
};

/// A workload's namespace, attached to the node that the thread is in.
struct Workload {
    namespace: Namespace,
}

impl Workload {
    fn attach(interface: &str, address: &str) -> Self {
        let namespace = Namespace::create();
        let peer = namespace.name().to_owned();
        for args in [
            &["link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", &peer][..],
            &["address", "add", "169.254.1.1/32", "dev", interface],
            &["link", "set", interface, "up"],
            &["route", "add", &format!("{address}/32"), "dev", interface],
            &["-n", &peer, "address", "add", &format!("{address}/32"), "dev", "eth0"],
            &["-n", &peer, "link", "set", "eth0", "up"],
            &[
                "-n",
                &peer,
                "route",
                "add",
                "default",
                "via",
                "169.254.1.1",
                "dev",
                "eth0",
                "onlink",
            ],
        ] {
            run("ip", args);
        }
        Self { namespace }
    }

    fn pings(&self, address: &str) -> bool {
        let netns = format!("--net=/run/netns/{}", self.namespace.name());
        output("nsenter", &[&netns, "ping", "-c1", "-W0.5", "-q", address]).status.success()
    }
}

fn node_pings(address: &str) -> bool {
    output("ping", &["-c1", "-W0.5", "-q", address]).status.success()
}

#[test]
fn an_unknown_interface_with_our_prefix_is_shut_and_a_known_one_open() {
    let _node = Namespace::enter();
    run("sysctl", &["-qw", "net.ipv4.ip_forward=1"]);
    let one = Workload::attach("rtd1", "10.64.1.1");
    let two = Workload::attach("rtd2", "10.64.1.2");
    // Before the lane starts nothing is in the way.
    assert!(one.pings("10.64.1.2"));

    let lane = Lane::start();
    eventually(|| output("nft", &["list", "chain", "inet", "routed", "egress"]).status.success());
    assert!(!one.pings("10.64.1.2"));
    assert!(!one.pings("169.254.1.1"));

    lane.add_local("rtd1", "web", &["10.64.1.1"]);
    lane.complete();
    lane.wait_for("rtd1", true);
    assert!(!one.pings("10.64.1.2"), "the receiver is still unknown");
    assert!(one.pings("169.254.1.1"));
    assert!(node_pings("10.64.1.1"));
    lane.add_local("rtd2", "web", &["10.64.1.2"]);
    lane.wait_for("rtd2", true);
    assert!(one.pings("10.64.1.2"));
    assert!(two.pings("10.64.1.1"));

    // A policy that selects the receiver shuts it for pings.
    lane.add_policies(POLICY);
    lane.add_local("rtd2", "api", &["10.64.1.2"]);
    lane.wait_for("rtd2", true);
    assert!(!one.pings("10.64.1.2"));
    assert!(two.pings("10.64.1.1"));
    assert!(node_pings("10.64.1.2"), "the node always reaches its workloads");

    // The daemon is gone, the policy stays.
    drop(lane);
    assert!(!one.pings("10.64.1.2"));
    assert!(two.pings("10.64.1.1"));
}

#[test]
fn a_workload_that_sends_from_another_address_is_shut() {
    let _node = Namespace::enter();
    run("sysctl", &["-qw", "net.ipv4.ip_forward=1"]);
    let one = Workload::attach("rtd1", "10.64.1.1");
    let _two = Workload::attach("rtd2", "10.64.1.2");
    let lane = Lane::start();
    lane.add_local("rtd1", "web", &["10.64.1.7"]);
    lane.add_local("rtd2", "web", &["10.64.1.2"]);
    lane.complete();
    lane.wait_for("rtd1", true);
    assert!(!one.pings("10.64.1.2"));
    lane.add_local("rtd1", "web", &["10.64.1.1"]);
    lane.wait_for("rtd1", true);
    assert!(one.pings("10.64.1.2"));
}
