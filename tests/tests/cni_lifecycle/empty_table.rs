// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node without a default route and without BGP: whatever works there works by the links' own means.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use fabric_tests::{Netns, Port, cable, eventually, require};

use super::scene::{Container, DUAL, Doorman, NODE_V4, NODE_V6, PATIENCE, Scene};

/// Fails if the node has any route but those of its workloads, its blocks, and its own address.
fn ensure_empty(node: &Netns) -> Result<()> {
    for (family, far) in [("-4", "203.0.113.1"), ("-6", "2001:db8::1")] {
        let routes = node.run(&format!("ip {family} route show table main"))?;
        let foreign: Vec<_> = routes
            .lines()
            .filter(|route| !route.contains("proto 82"))
            // Those that the kernel makes of the addresses themselves.
            .filter(|route| !route.starts_with("fd00:") || route.contains('/'))
            .filter(|route| !route.starts_with("fe80::/64"))
            .collect();
        ensure!(foreign.is_empty(), "{foreign:?}");
        ensure!(node.run(&format!("ip {family} route get {far}")).is_err(), "a route to {far}");
    }
    Ok(())
}

fn of_family(addresses: &[IpAddr], v4: bool) -> Result<IpAddr> {
    addresses.iter().copied().find(|a| a.is_ipv4() == v4).context("an address of the family")
}

#[test]
fn workloads_reach_each_other_and_the_host_reaches_them_as_the_node() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("empty", &DUAL)?;
    // Another address of the node, which nobody named: a kernel without a hint may choose it.
    let wire = Netns::new("wire")?;
    cable(
        &Port::new(&scene.netns, "eth0", &["192.0.2.1/32", "fd00:2::1/128"]),
        &Port::new(&wire, "eth0", &[]),
    )?;
    let (a, a_added) = Container::attached(&scene, "a")?;
    let (b, b_added) = Container::attached(&scene, "b")?;
    ensure_empty(&scene.netns)?;
    let (at_a, at_b) = (Doorman::new(&a.netns)?, Doorman::new(&b.netns)?);
    for (v4, node) in [(true, NODE_V4), (false, NODE_V6)] {
        let (a_ip, b_ip) =
            (of_family(&a_added.addresses(), v4)?, of_family(&b_added.addresses(), v4)?);
        ensure!(at_b.visit(&a.netns, b_ip)? == a_ip, "a to b");
        ensure!(at_a.visit(&b.netns, a_ip)? == b_ip, "b to a");
        let node: IpAddr = node.parse()?;
        for (door, ip) in [(&at_a, a_ip), (&at_b, b_ip)] {
            let source = door.visit(&scene.netns, ip)?;
            ensure!(source == node, "the host came to {ip} as {source}, not as {node}");
        }
    }
    ensure_empty(&scene.netns)
}

#[test]
fn the_gateway_answers_with_an_empty_routing_table() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("gateway", &DUAL)?;
    let (a, _) = Container::attached(&scene, "a")?;
    let (b, b_added) = Container::attached(&scene, "b")?;
    let door = Doorman::new(&b.netns)?;
    for (v4, gateway) in [(true, "169.254.1.1"), (false, "fe80::1")] {
        let family = if v4 { "-4" } else { "-6" };
        let routes = a.netns.run(&format!("ip {family} route show default"))?;
        ensure!(routes.contains(&format!("default via {gateway} dev eth0")), "{routes}");
        let known = a.netns.run(&format!("ip {family} neighbour show {gateway}"))?;
        ensure!(known.contains("ee:ee:ee:ee:ee:ee PERMANENT"), "{known}");

        // A container that lost the entry asks, and the host answers.
        a.netns.run(&format!("ip {family} neighbour del {gateway} dev eth0"))?;
        door.visit(&a.netns, of_family(&b_added.addresses(), v4)?)?;
        eventually(PATIENCE, "the gateway is known again", || {
            let known = a.netns.run(&format!("ip {family} neighbour show {gateway}"))?;
            let answered = known.contains("ee:ee:ee:ee:ee:ee") && !known.contains("PERMANENT");
            ensure!(answered, "{known}");
            Ok(())
        })?;
    }
    ensure_empty(&scene.netns)
}
