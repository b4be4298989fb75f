// SPDX-License-Identifier: MIT OR Apache-2.0
//! The interop matrix: every peer × eBGP, iBGP × IPv4 over IPv4, IPv6 over IPv6, both over IPv4 × who dials.
//!
//! Each cell: Established, routes both ways with the right next hop, withdraw, loss of the session removes the routes,
//! and everything comes back. What the node learned is read from its kernel, what it advertised from the peer.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fabric_tests::node::{NodeConfig, PeerConfig, gateways};
use fabric_tests::peer::routed::Routed;
use fabric_tests::peer::{self, Config, Kind, Peer, Prefix, Session};
use fabric_tests::{Netns, Port, cable, eventually, lab};

/// FRR waits before its first advertisement, GoBGP before it dials; two cells share two cores.
const PATIENCE: Duration = Duration::from_secs(45);

/// Far below the 30 s for which the first synchronisation waits for every peer.
const WITHDRAWN: Duration = Duration::from_secs(10);

const NODE_ASN: u32 = 4_200_000_111;
const TOR_ASN: u32 = 65_101;

#[derive(Clone, Copy)]
enum Bgp {
    External,
    Internal,
}

#[derive(Clone, Copy)]
enum Families {
    V4OverV4,
    V6OverV6,
    BothOverV4,
}

#[derive(Clone, Copy)]
enum Dials {
    Node,
    Peer,
}

/// One route each way in one family.
struct Way {
    from_peer: &'static str,
    peer_gateway: &'static str,
    from_node: &'static str,
    node_gateway: &'static str,
}

const V4: Way = Way {
    from_peer: "10.99.0.0/16",
    peer_gateway: "10.0.0.2",
    from_node: "10.64.1.0/26",
    node_gateway: "10.0.0.1",
};
const V6: Way = Way {
    from_peer: "fd99::/32",
    peer_gateway: "fd00::2",
    from_node: "fd00:64:1::/122",
    node_gateway: "fd00::1",
};

impl Families {
    fn ways(self) -> Vec<&'static Way> {
        match self {
            Self::V4OverV4 => vec![&V4],
            Self::V6OverV6 => vec![&V6],
            Self::BothOverV4 => vec![&V4, &V6],
        }
    }

    fn names(self) -> Vec<&'static str> {
        match self {
            Self::V4OverV4 => vec!["ipv4"],
            Self::V6OverV6 => vec!["ipv6"],
            Self::BothOverV4 => vec!["ipv4", "ipv6"],
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::V4OverV4 => "v4 over v4",
            Self::V6OverV6 => "v6 over v6",
            Self::BothOverV4 => "both over v4",
        }
    }

    /// Addresses of the session: the node's, the peer's.
    fn transport(self) -> (IpAddr, IpAddr) {
        let way = match self {
            Self::V6OverV6 => &V6,
            Self::V4OverV4 | Self::BothOverV4 => &V4,
        };
        let ip = |text: &str| text.parse().expect("an address");
        (ip(way.node_gateway), ip(way.peer_gateway))
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

fn cell(kind: Kind, bgp: Bgp, families: Families, dials: Dials) -> Result<()> {
    if let Some(reason) = fabric_tests::missing(kind.programs()) {
        return fabric_tests::skip(&reason);
    }
    let (node_ns, peer_ns) = (Netns::new("node")?, Netns::new("peer")?);
    cable(
        &Port::new(&node_ns, "eth0", &["10.0.0.1/24", "fd00::1/64"]),
        &Port::new(&peer_ns, "eth0", &["10.0.0.2/24", "fd00::2/64"]),
    )?;
    let peer_asn = match bgp {
        Bgp::External => TOR_ASN,
        Bgp::Internal => NODE_ASN,
    };
    let (node_address, peer_address) = families.transport();
    let mut session = Session::new(peer_address, node_address, NODE_ASN);
    if matches!(families, Families::BothOverV4) {
        session = session.dual("fd00::2".parse()?);
    }
    if matches!(dials, Dials::Node) {
        session = session.passive();
    }
    let config = Config::new(peer_asn, "10.0.0.2".parse()?).session(session);
    let mut peer = peer::start(kind, &peer_ns, config)?;

    let mut node = Routed::new(&node_ns)?;
    let mut wanted = NodeConfig::new("n1", NODE_ASN);
    wanted.router_id = "10.0.0.1".to_owned();
    wanted.uplinks = vec!["eth0".to_owned()];
    wanted.peers = vec![PeerConfig {
        name: "tor".to_owned(),
        address: peer_address.to_string(),
        asn: peer_asn,
        passive: matches!(dials, Dials::Peer),
        families: families.names(),
        bfd: None,
    }];
    wanted.write(&node)?;
    let started = Instant::now();
    node.start()?;

    peer.wait_established(node_address, PATIENCE)?;
    for way in families.ways() {
        peer.originate(prefix(way.from_peer))?;
    }
    for way in families.ways() {
        expect_route(&node_ns, way)?;
        expect_advert(&*peer, way)?;
    }
    let up = started.elapsed();

    let first = families.ways()[0];
    peer.withdraw(prefix(first.from_peer))?;
    expect_no_route(&node_ns, first)?;
    peer.originate(prefix(first.from_peer))?;
    expect_route(&node_ns, first)?;

    peer.kill();
    for way in families.ways() {
        expect_no_route(&node_ns, way)?;
    }
    let restarted = Instant::now();
    peer.start()?;
    peer.wait_established(node_address, PATIENCE)?;
    for way in families.ways() {
        expect_route(&node_ns, way)?;
        expect_advert(&*peer, way)?;
    }
    let back = restarted.elapsed();
    let peers = node.json(&["bgp", "peers"])?;
    ensure!(peers["items"][0]["state"] == "established", "{peers}");
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let dials = if matches!(dials, Dials::Node) { "we dial" } else { "they dial" };
    lab::record(
        "interop",
        &[
            ("peer", format!("{kind:?}")),
            ("session", if peer_asn == NODE_ASN { "iBGP" } else { "eBGP" }.to_owned()),
            ("families", families.as_str().to_owned()),
            ("who dials", dials.to_owned()),
            ("routes both ways", seconds(up)),
            ("withdraw, loss", "ok".to_owned()),
            ("routes again", seconds(back)),
        ],
    )?;
    node.stop()
}

/// After a cold start nothing has to be kept for a peer that was never heard: what another one withdraws goes at once,
/// long before the wait for the first is over.
#[test]
fn a_withdrawal_counts_while_another_peer_was_never_heard() -> Result<()> {
    if let Some(reason) = fabric_tests::missing(Kind::Bird.programs()) {
        return fabric_tests::skip(&reason);
    }
    let (node_ns, peer_ns) = (Netns::new("node")?, Netns::new("peer")?);
    cable(
        &Port::new(&node_ns, "eth0", &["10.0.0.1/24", "fd00::1/64"]),
        &Port::new(&peer_ns, "eth0", &["10.0.0.2/24", "fd00::2/64"]),
    )?;
    let (node_address, peer_address) = Families::V4OverV4.transport();
    let session = Session::new(peer_address, node_address, NODE_ASN).passive();
    let config = Config::new(TOR_ASN, "10.0.0.2".parse()?).session(session);
    let mut peer = peer::start(Kind::Bird, &peer_ns, config)?;
    let mut node = Routed::new(&node_ns)?;
    let mut wanted = NodeConfig::new("n1", NODE_ASN);
    wanted.router_id = "10.0.0.1".to_owned();
    wanted.uplinks = vec!["eth0".to_owned()];
    let peer_config = |name: &str, address: String| PeerConfig {
        name: name.to_owned(),
        address,
        asn: TOR_ASN,
        passive: false,
        families: vec!["ipv4"],
        bfd: None,
    };
    wanted.peers = vec![
        peer_config("tor", peer_address.to_string()),
        peer_config("absent", "10.0.0.3".to_owned()),
    ];
    wanted.write(&node)?;
    node.start()?;
    peer.originate(prefix(V4.from_peer))?;
    expect_route(&node_ns, &V4)?;
    peer.withdraw(prefix(V4.from_peer))?;
    eventually(WITHDRAWN, "the withdrawal reaches the kernel", || {
        ensure!(gateways(&node_ns, V4.from_peer).is_err(), "still there");
        Ok(())
    })?;
    node.stop()
}

fn expect_route(node: &Netns, way: &Way) -> Result<()> {
    eventually(PATIENCE, &format!("a kernel route to {}", way.from_peer), || {
        let found = gateways(node, way.from_peer)?;
        ensure!(found == [way.peer_gateway], "gateways {found:?}, not {}", way.peer_gateway);
        Ok(())
    })
}

fn expect_no_route(node: &Netns, way: &Way) -> Result<()> {
    eventually(PATIENCE, &format!("no kernel route to {}", way.from_peer), || {
        let found = gateways(node, way.from_peer);
        ensure!(found.is_err(), "still there over {found:?}");
        Ok(())
    })
}

fn expect_advert(peer: &dyn Peer, way: &Way) -> Result<()> {
    eventually(PATIENCE, &format!("the peer's path to {}", way.from_node), || {
        let paths = peer.paths(prefix(way.from_node))?;
        ensure!(paths.len() == 1, "{paths:?}");
        ensure!(paths[0].next_hop.to_string() == way.node_gateway, "{paths:?}");
        Ok(())
    })
}

macro_rules! matrix {
    ($($name:ident: $kind:ident $bgp:ident $families:ident $dials:ident;)+) => { $(
        #[test]
        fn $name() -> Result<()> {
            cell(Kind::$kind, Bgp::$bgp, Families::$families, Dials::$dials)
        }
    )+ };
}

matrix! {
    bird_ebgp_v4_we_dial: Bird External V4OverV4 Node;
    bird_ebgp_v4_they_dial: Bird External V4OverV4 Peer;
    bird_ebgp_v6_we_dial: Bird External V6OverV6 Node;
    bird_ebgp_v6_they_dial: Bird External V6OverV6 Peer;
    bird_ebgp_both_we_dial: Bird External BothOverV4 Node;
    bird_ebgp_both_they_dial: Bird External BothOverV4 Peer;
    bird_ibgp_v4_we_dial: Bird Internal V4OverV4 Node;
    bird_ibgp_v4_they_dial: Bird Internal V4OverV4 Peer;
    bird_ibgp_v6_we_dial: Bird Internal V6OverV6 Node;
    bird_ibgp_v6_they_dial: Bird Internal V6OverV6 Peer;
    bird_ibgp_both_we_dial: Bird Internal BothOverV4 Node;
    bird_ibgp_both_they_dial: Bird Internal BothOverV4 Peer;
    frr_ebgp_v4_we_dial: Frr External V4OverV4 Node;
    frr_ebgp_v4_they_dial: Frr External V4OverV4 Peer;
    frr_ebgp_v6_we_dial: Frr External V6OverV6 Node;
    frr_ebgp_v6_they_dial: Frr External V6OverV6 Peer;
    frr_ebgp_both_we_dial: Frr External BothOverV4 Node;
    frr_ebgp_both_they_dial: Frr External BothOverV4 Peer;
    frr_ibgp_v4_we_dial: Frr Internal V4OverV4 Node;
    frr_ibgp_v4_they_dial: Frr Internal V4OverV4 Peer;
    frr_ibgp_v6_we_dial: Frr Internal V6OverV6 Node;
    frr_ibgp_v6_they_dial: Frr Internal V6OverV6 Peer;
    frr_ibgp_both_we_dial: Frr Internal BothOverV4 Node;
    frr_ibgp_both_they_dial: Frr Internal BothOverV4 Peer;
    gobgp_ebgp_v4_we_dial: Gobgp External V4OverV4 Node;
    gobgp_ebgp_v4_they_dial: Gobgp External V4OverV4 Peer;
    gobgp_ebgp_v6_we_dial: Gobgp External V6OverV6 Node;
    gobgp_ebgp_v6_they_dial: Gobgp External V6OverV6 Peer;
    gobgp_ebgp_both_we_dial: Gobgp External BothOverV4 Node;
    gobgp_ebgp_both_they_dial: Gobgp External BothOverV4 Peer;
    gobgp_ibgp_v4_we_dial: Gobgp Internal V4OverV4 Node;
    gobgp_ibgp_v4_they_dial: Gobgp Internal V4OverV4 Peer;
    gobgp_ibgp_v6_we_dial: Gobgp Internal V6OverV6 Node;
    gobgp_ibgp_v6_they_dial: Gobgp Internal V6OverV6 Peer;
    gobgp_ibgp_both_we_dial: Gobgp Internal BothOverV4 Node;
    gobgp_ibgp_both_they_dial: Gobgp Internal BothOverV4 Peer;
}
