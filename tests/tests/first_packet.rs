// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first packet: while A floods every address of B's blocks, B is attached and detached again and again.
//!
//! What policy denies never arrives, not even in the moment between the birth of the interface and the answer to ADD.
//! What it allows arrives from the first packet after that answer on. Once with A on B's node, once with A on another
//! node behind a BIRD.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fabric_tests::node::{NodeConfig, PeerConfig, gateways};
use fabric_tests::peer::routed::Routed;
use fabric_tests::peer::{self, Config, Kind, Peer, Session};
use fabric_tests::probe::{Flood, Sink};
use fabric_tests::workload::{Attachment, Runtime};
use fabric_tests::{Netns, Port, cable, eventually, forward, lab, require};

/// How often B is attached.
const ROUNDS: usize = 100;
/// Between two packets of a flood; there is one flood per family.
const PAUSE: Duration = Duration::from_micros(20);
/// How long an allowed packet may take before it counts as lost.
const LATE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(30);

const DENIED: u16 = 7000;
const ALLOWED: u16 = 7001;

/// B takes nothing but datagrams to one port.
const POLICY: &str = r#"apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: b-in }
spec:
  selector: app == "b"
  types: [Ingress]
  ingress: [{ action: Allow, protocol: UDP, destination: { ports: [7001] } }]
"#;

/// Two of each family, so that a hundred addresses are there although released ones rest for a while.
const BLOCKS: [&str; 4] = ["10.64.1.0/26", "10.64.1.64/26", "fd00:64:1::/122", "fd00:64:1::40/122"];

/// Every address of [`BLOCKS`] of one family.
fn block_addresses(v4: bool) -> Vec<IpAddr> {
    let nth = |n: u8| match v4 {
        true => IpAddr::from([10, 64, 1, n]),
        false => Ipv6Addr::new(0xfd00, 0x64, 1, 0, 0, 0, 0, n.into()).into(),
    };
    (0..128).map(nth).collect()
}

/// A attached somewhere, and the node that B comes to.
struct Scene {
    a: Netns,
    runtime: Runtime,
    /// Everything else that must live on.
    _rest: Vec<Box<dyn std::any::Any>>,
}

/// What became of B's packets.
#[derive(Debug, Default)]
struct Tally {
    /// Denied packets that arrived, by round and address.
    leaked: Vec<(usize, BTreeMap<IpAddr, usize>)>,
    /// Rounds and addresses whose first allowed packet did not arrive.
    lost: Vec<(usize, IpAddr)>,
    /// Allowed first packets that arrived, v4 and v6.
    first: [usize; 2],
}

/// A's sockets for single packets.
struct Sender {
    v4: UdpSocket,
    v6: UdpSocket,
}

impl Sender {
    fn new(netns: &Netns) -> Result<Self> {
        let bind =
            |address: IpAddr| netns.enter(|| UdpSocket::bind((address, 0)))?.context("binding");
        Ok(Self {
            v4: bind(Ipv4Addr::UNSPECIFIED.into())?,
            v6: bind(Ipv6Addr::UNSPECIFIED.into())?,
        })
    }

    fn send(&self, payload: &[u8], to: IpAddr, port: u16) -> Result<()> {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        socket.send_to(payload, (to, port)).with_context(|| format!("sending to {to}"))?;
        Ok(())
    }
}

/// Takes allowed packets at B until one with this payload came from each family; says which families they were.
fn receive(socket: &UdpSocket, payload: &[u8]) -> Result<[bool; 2]> {
    let (deadline, mut seen) = (Instant::now() + LATE, [false; 2]);
    let mut buffer = [0; 64];
    while seen != [true; 2] && Instant::now() < deadline {
        socket.set_read_timeout(Some(LATE)).context("setting a deadline")?;
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { break };
        if &buffer[..length] == payload {
            seen[usize::from(from.ip().to_canonical().is_ipv6())] = true;
        }
    }
    Ok(seen)
}

/// Attaches B, sends it one packet per family, then what is denied, and detaches it.
fn round(scene: &Scene, sender: &Sender, number: usize, tally: &mut Tally) -> Result<()> {
    let b = Netns::new("b")?;
    let denied = Sink::start(&b, DENIED)?;
    let socket =
        b.enter(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, ALLOWED)))?.context("binding")?;
    let id = format!("b-{number}");
    let attachment = Attachment::new(&id, &b);
    let added = scene.runtime.add(attachment, &[("app", "b")])?.success()?;

    let addresses = added.addresses();
    ensure!(addresses.len() == 2, "an address of each family: {addresses:?}");
    let payload = format!("first {number}");
    for address in &addresses {
        sender.send(payload.as_bytes(), *address, ALLOWED)?;
    }
    let seen = receive(&socket, payload.as_bytes())?;
    for address in &addresses {
        let family = usize::from(address.is_ipv6());
        tally.first[family] += usize::from(seen[family]);
        if !seen[family] {
            tally.lost.push((number, *address));
        }
    }

    // What is denied stays denied; the last allowed ones tell that these have been judged.
    let payload = format!("last {number}");
    for address in &addresses {
        for _ in 0..20 {
            sender.send(b"denied", *address, DENIED)?;
        }
        sender.send(payload.as_bytes(), *address, ALLOWED)?;
    }
    ensure!(receive(&socket, payload.as_bytes())? == [true; 2], "round {number}: the last packets");
    scene.runtime.del(attachment)?.success()?;
    let leaked = denied.finish()?;
    if !leaked.is_empty() {
        tally.leaked.push((number, leaked));
    }
    Ok(())
}

/// The same B without the label: no policy selects it, and the flood gets through. Without this a silent flood or a
/// blind capture would look like a tight policy.
fn control(scene: &Scene) -> Result<()> {
    let b = Netns::new("control")?;
    let sink = Sink::start(&b, DENIED)?;
    let attachment = Attachment::new("control", &b);
    let added = scene.runtime.add(attachment, &[])?.success()?;
    eventually(PATIENCE, "the flood reaches a workload that no policy selects", || {
        ensure!(sink.count() > 50, "{}", sink.count());
        Ok(())
    })?;
    let counts = sink.finish()?;
    let addresses = added.addresses();
    ensure!(addresses.iter().all(|address| counts.contains_key(address)), "{counts:?}");
    scene.runtime.del(attachment)?.success()?;
    Ok(())
}

fn judge(from: &str, scene: &Scene) -> Result<()> {
    let flood = |v4| {
        let target = |address| SocketAddr::new(address, DENIED);
        Flood::start(&scene.a, block_addresses(v4).into_iter().map(target).collect(), PAUSE)
    };
    let floods = [flood(true)?, flood(false)?];
    let sender = Sender::new(&scene.a)?;
    let (mut tally, start) = (Tally::default(), Instant::now());
    for number in 0..ROUNDS {
        round(scene, &sender, number, &mut tally)?;
    }
    let elapsed = start.elapsed();
    control(scene)?;
    let mut flooded = 0;
    for flood in floods {
        let sent = flood.finish()?;
        flooded += sent;
        eprintln!("flood: {sent} packets");
        ensure!(sent > 100 * ROUNDS as u64, "only {sent} packets in {elapsed:?}");
    }
    eprintln!("{ROUNDS} rounds in {elapsed:?}, first packets {:?}", tally.first);
    ensure!(tally.leaked.is_empty() && tally.lost.is_empty(), "{tally:?}");
    ensure!(tally.first == [ROUNDS; 2], "{tally:?}");
    lab::record(
        "first-packet",
        &[
            ("A is on", from.to_owned()),
            ("ADDs of B", ROUNDS.to_string()),
            ("packets of the flood", flooded.to_string()),
            ("denied packets that arrived", "0".to_owned()),
            ("first IPv4 packets that arrived", tally.first[0].to_string()),
            ("first IPv6 packets that arrived", tally.first[1].to_string()),
        ],
    )
}

fn wait_for_policy(node: &Routed) -> Result<()> {
    eventually(PATIENCE, "the policy is in force", || {
        let status = node.json(&["status"])?;
        ensure!(status["ready"] == true && status["policy"]["policies"] == 1, "{status}");
        ensure!(status["policy"]["pending"] == 0, "{status}");
        Ok(())
    })
}

fn attach_a(runtime: &Runtime) -> Result<Netns> {
    let a = Netns::new("a")?;
    runtime.add(Attachment::new("a", &a), &[("app", "a")])?.success()?;
    Ok(a)
}

#[test]
fn first_packets_from_the_same_node() -> Result<()> {
    require!("ip", "nft");
    let netns = Netns::new("node")?;
    let mut node = Routed::new(&netns)?;
    let mut wanted = NodeConfig::new("n1", 4_200_000_111);
    wanted.addresses = Some(("10.255.0.1".to_owned(), "fd00:255::1".to_owned()));
    netns.run("ip address add 10.255.0.1/32 dev lo")?;
    netns.run("ip address add fd00:255::1/128 dev lo")?;
    wanted.blocks = BLOCKS.map(str::to_owned).to_vec();
    wanted.write(&node)?;
    node.configure("policies/b.yaml", POLICY)?;
    node.start()?;
    wait_for_policy(&node)?;
    let runtime = Runtime::new(&netns, &node.cni_socket())?;
    let a = attach_a(&runtime)?;
    judge("B's node", &Scene { a, runtime, _rest: vec![Box::new(node)] })
}

/// A node beside the ToR, on a network of its own.
fn node_at(tor: &Netns, index: u8, blocks: &[&str]) -> Result<(Netns, Routed)> {
    let netns = Netns::new(&format!("node{index}"))?;
    let (v4, v6) = (format!("10.0.{index}"), format!("fd00:{index}:"));
    cable(
        &Port::new(&netns, "eth0", &[&format!("{v4}.1/24"), &format!("{v6}:1/64")]),
        &Port::new(tor, &format!("node{index}"), &[&format!("{v4}.2/24"), &format!("{v6}:2/64")]),
    )?;
    let mut node = Routed::new(&netns)?;
    let mut wanted = NodeConfig::new(&format!("n{index}"), 4_200_000_110 + u32::from(index));
    wanted.router_id = format!("{v4}.1");
    wanted.uplinks = vec!["eth0".to_owned()];
    wanted.blocks = blocks.iter().map(|block| (*block).to_owned()).collect();
    wanted.peers = vec![PeerConfig {
        name: "tor".to_owned(),
        address: format!("{v4}.2"),
        asn: TOR_ASN,
        passive: false,
        families: vec!["ipv4", "ipv6"],
        bfd: None,
    }];
    wanted.write(&node)?;
    node.configure("policies/b.yaml", POLICY)?;
    node.start()?;
    wait_for_policy(&node)?;
    Ok((netns, node))
}

const TOR_ASN: u32 = 65_101;

#[test]
fn first_packets_from_another_node() -> Result<()> {
    require!("ip", "nft", "bird");
    let tor = Netns::new("tor")?;
    forward(&tor)?;
    let (near, b_node) = node_at(&tor, 1, &BLOCKS)?;
    let (far, a_node) = node_at(&tor, 2, &["10.64.2.0/26", "fd00:64:2::/122"])?;
    let mut config = Config::new(TOR_ASN, "10.0.1.2".parse()?);
    for index in [1_u8, 2] {
        let (here, there) =
            (format!("10.0.{index}.2").parse()?, format!("10.0.{index}.1").parse()?);
        let session = Session::new(here, there, 4_200_000_110 + u32::from(index));
        config = config.session(session.dual(format!("fd00:{index}::2").parse()?).passive());
    }
    let bird: Box<dyn Peer> = peer::start(Kind::Bird, &tor, config)?;
    for (netns, prefixes, tor) in [
        (&near, ["10.64.2.0/26", "fd00:64:2::/122"], ["10.0.1.2", "fd00:1::2"]),
        (&far, ["10.64.1.0/26", "fd00:64:1::/122"], ["10.0.2.2", "fd00:2::2"]),
        (&far, ["10.64.1.64/26", "fd00:64:1::40/122"], ["10.0.2.2", "fd00:2::2"]),
    ] {
        for (prefix, gateway) in prefixes.iter().zip(tor) {
            eventually(PATIENCE, &format!("a route to {prefix}"), || {
                let found = gateways(netns, prefix)?;
                ensure!(found == [gateway], "{found:?}");
                Ok(())
            })?;
        }
    }
    let a = attach_a(&Runtime::new(&far, &a_node.cni_socket())?)?;
    let runtime = Runtime::new(&near, &b_node.cni_socket())?;
    let rest: Vec<Box<dyn std::any::Any>> =
        vec![Box::new(bird), Box::new(a_node), Box::new(b_node)];
    judge("another node, behind BIRD", &Scene { a, runtime, _rest: rest })
}
