// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node as pure route reflector between real speakers of its AS.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Result, ensure};
use fabric_tests::peer::routed::Routed;
use fabric_tests::peer::{self, Config, Kind, Peer, Prefix, Session};
use fabric_tests::{Netns, Port, cable, eventually, require};

const PATIENCE: Duration = Duration::from_secs(45);
const ASN: u32 = 65_000;
const REFLECTOR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

const NODE: &str = r#"apiVersion: routed.dev/v1
kind: NodeConfig
metadata: { name: reflector }
spec:
  asNumber: 65000
  routerId: 10.0.0.1
  uplinks: [br0]
  blocks: []
  kernel: { routes: false, policy: false }
"#;

fn client(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, 10 + index)
}

fn own_prefix(index: u8) -> Result<Prefix> {
    format!("10.99.{index}.0/24").parse()
}

/// Speakers on one network with the reflector, which has an address on it.
fn scene(kinds: &[Kind]) -> Result<(Netns, Vec<Box<dyn Peer>>)> {
    let center = Netns::new("reflector")?;
    center.run("ip link add br0 type bridge")?;
    center.run(&format!("ip address add {REFLECTOR}/24 dev br0"))?;
    center.run("ip link set br0 up")?;
    let mut peers = Vec::new();
    for (index, kind) in (0_u8..).zip(kinds) {
        let netns = Netns::new("client")?;
        let port = format!("c{index}");
        cable(
            &Port::new(&center, &port, &[]),
            &Port::new(&netns, "eth0", &[&format!("{}/24", client(index))]),
        )?;
        center.run(&format!("ip link set {port} master br0"))?;
        let session = Session::new(client(index).into(), REFLECTOR.into(), ASN);
        peers.push(peer::start(*kind, &netns, Config::new(ASN, client(index)).session(session))?);
    }
    Ok((center, peers))
}

fn peers_yaml(count: usize) -> String {
    let mut text = String::new();
    for index in (0_u8..).take(count) {
        text += &format!(
            "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{ name: c{index} }}\n\
             spec: {{ peerIP: {}, asNumber: {ASN} }}\n",
            client(index)
        );
    }
    text + "---\napiVersion: routed.dev/v1\nkind: BGPPeerProfile\nmetadata: { name: clients }\n\
            spec: { peers: [\"c*\"], families: [ipv4], routeReflectorClient: true }\n"
}

/// Everybody but its origin holds the path, with the origin as next hop and an empty AS path.
fn expect_everywhere(peers: &[Box<dyn Peer>], origin: u8) -> Result<()> {
    for (index, peer) in (0_u8..).zip(peers).filter(|(index, _)| *index != origin) {
        eventually(PATIENCE, &format!("the path of client {origin} at client {index}"), || {
            let paths = peer.paths(own_prefix(origin)?)?;
            ensure!(paths.len() == 1, "{paths:?}");
            ensure!(paths[0].next_hop == IpAddr::from(client(origin)), "{paths:?}");
            ensure!(paths[0].as_path.is_empty(), "{paths:?}");
            Ok(())
        })?;
    }
    Ok(())
}

fn reflect(kinds: &[Kind]) -> Result<()> {
    let (center, mut peers) = scene(kinds)?;
    let mut node = Routed::new(&center)?;
    node.configure("node.yaml", NODE)?;
    node.configure("fabric/peers.yaml", &peers_yaml(kinds.len()))?;
    node.start()?;
    for (index, peer) in (0_u8..).zip(&mut peers) {
        peer.wait_established(REFLECTOR.into(), PATIENCE)?;
        peer.originate(own_prefix(index)?)?;
    }
    for index in (0_u8..).take(kinds.len()) {
        expect_everywhere(&peers, index)?;
    }
    let listed = node.json(&["bgp", "peers"])?;
    for peer in listed["items"].as_array().into_iter().flatten() {
        let family = &peer["families"][0];
        ensure!(family["received"] == 1 && family["accepted"] == 1, "{peer}");
        ensure!(family["advertised"] == kinds.len() - 1, "{peer}");
    }
    let routes = center.run("ip route show proto 83")?;
    ensure!(routes.trim().is_empty(), "a pure reflector installs nothing: {routes}");

    peers[0].withdraw(own_prefix(0)?)?;
    for peer in &peers[1..] {
        peer.wait_forgotten(own_prefix(0)?, PATIENCE)?;
    }
    peers[0].originate(own_prefix(0)?)?;
    expect_everywhere(&peers, 0)?;
    // A client that dies takes its paths along.
    let last = peers.len() - 1;
    peers[last].kill();
    for peer in &peers[..last] {
        peer.wait_forgotten(own_prefix(u8::try_from(last)?)?, PATIENCE)?;
    }
    node.stop()
}

#[test]
fn a_pure_reflector_between_birds() -> Result<()> {
    require!("ip", "bird", "birdc");
    reflect(&[Kind::Bird; 3])
}

#[test]
fn a_pure_reflector_between_three_programs() -> Result<()> {
    require!("ip", "bird", "birdc", "zebra", "bgpd", "vtysh", "gobgpd", "gobgp");
    reflect(&Kind::ALL)
}
