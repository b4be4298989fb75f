// SPDX-License-Identifier: MIT OR Apache-2.0
//! BFD with real FRR and BIRD: a node with two ToRs, sessions over IPv4 and IPv6 to each; and
//! between two nodes of ours.
//!
//! BFD runs at 300 ms × 3 and the hold time is 9 s, so what happens within five detection times
//! happened because of BFD.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fabric_tests::node::{NodeConfig, PeerConfig, gateways};
use fabric_tests::peer::routed::Routed;
use fabric_tests::peer::{self, Config, Kind, Peer, Session};
use fabric_tests::{Netns, Port, cable, eventually, lab};
use serde_json::Value;

/// FRR waits before its first advertisement; two scenarios share two cores.
const PATIENCE: Duration = Duration::from_secs(45);
const INTERVAL_MS: u32 = 300;
/// Five detection times, half of the hold time.
const SOON: Duration = Duration::from_millis(5 * 3 * INTERVAL_MS as u64);
const NODE_ASN: u32 = 4_200_000_111;
const ROUTES: [&str; 2] = ["10.99.0.0/16", "fd99::/32"];

/// A node and two ToRs.
struct Rack {
    node_ns: Netns,
    tor_ns: [Netns; 2],
    node: Routed,
    tors: [Box<dyn Peer>; 2],
}

fn address(tor: usize, host: u8, v6: bool) -> String {
    if v6 { format!("fd00:{}::{host}", tor + 1) } else { format!("10.0.{}.{host}", tor + 1) }
}

fn ip(tor: usize, host: u8, v6: bool) -> IpAddr {
    address(tor, host, v6).parse().expect("an address")
}

impl Rack {
    /// Everything runs, except the BFD process of the node.
    fn new(kind: Kind, graceful_restart: bool) -> Result<Self> {
        let node_ns = Netns::new("node")?;
        let tor_ns = [Netns::new("tor0")?, Netns::new("tor1")?];
        let mut wanted = NodeConfig::new("n1", NODE_ASN);
        wanted.router_id = "10.0.1.1".to_owned();
        let mut tors = Vec::new();
        for (tor, netns) in tor_ns.iter().enumerate() {
            let interface = format!("eth{tor}");
            let ends = [1, 2].map(|host| {
                [
                    format!("{}/24", address(tor, host, false)),
                    format!("{}/64", address(tor, host, true)),
                ]
            });
            let [ours, theirs] = ends.each_ref().map(|end| end.each_ref().map(String::as_str));
            cable(&Port::new(&node_ns, &interface, &ours), &Port::new(netns, "up0", &theirs))?;
            let asn = 65_101 + u32::try_from(tor)?;
            let mut config = Config::new(asn, format!("10.0.{}.2", tor + 1).parse()?);
            config.bfd = Some(INTERVAL_MS);
            config.graceful_restart = graceful_restart;
            for v6 in [false, true] {
                let (remote, local) = (ip(tor, 1, v6), ip(tor, 2, v6));
                config = config.session(Session::new(local, remote, NODE_ASN));
                wanted.peers.push(PeerConfig {
                    name: format!("tor{tor}-{}", if v6 { "v6" } else { "v4" }),
                    address: local.to_string(),
                    asn,
                    passive: false,
                    families: vec![if v6 { "ipv6" } else { "ipv4" }],
                    bfd: Some(INTERVAL_MS),
                });
            }
            wanted.uplinks.push(interface);
            let mut running = peer::start(kind, netns, config)?;
            for route in ROUTES {
                running.originate(route.parse()?)?;
            }
            tors.push(running);
        }
        let mut node = Routed::new(&node_ns)?;
        wanted.write(&node)?;
        node.start()?;
        let tors = tors.try_into().ok().context("two ToRs")?;
        Ok(Self { node_ns, tor_ns, node, tors })
    }

    /// The same with BFD, everything up.
    fn with_bfd(kind: Kind, graceful_restart: bool) -> Result<Self> {
        let mut rack = Self::new(kind, graceful_restart)?;
        rack.node.start_bfd()?;
        rack.wait_up()?;
        Ok(rack)
    }

    fn peers(&self) -> Result<Vec<Value>> {
        let list = self.node.json(&["bgp", "peers"])?;
        Ok(list["items"].as_array().context("a list")?.clone())
    }

    /// Every session of both protocols, seen from both sides, and every route over both ToRs.
    fn wait_up(&self) -> Result<()> {
        eventually(PATIENCE, "bgp and bfd up everywhere", || {
            for peer in self.peers()? {
                ensure!(peer["state"] == "established", "{peer}");
                ensure!(peer["bfd"]["state"] == "up", "{peer}");
            }
            for (tor, running) in self.tors.iter().enumerate() {
                for v6 in [false, true] {
                    let (state, _) = running.bfd(ip(tor, 1, v6))?;
                    ensure!(state == "up", "{}: {state}", running.name());
                }
            }
            self.expect_gateways(&[0, 1])
        })
    }

    fn expect_gateways(&self, tors: &[usize]) -> Result<()> {
        for (route, v6) in ROUTES.into_iter().zip([false, true]) {
            let expected: Vec<String> = tors.iter().map(|tor| address(*tor, 2, v6)).collect();
            let found = gateways(&self.node_ns, route)?;
            ensure!(found == expected, "{route} via {found:?}, not {expected:?}");
        }
        Ok(())
    }

    /// How often the ToRs saw BFD go down.
    fn losses(&self) -> Result<Vec<u64>> {
        let sessions = (0..2).flat_map(|tor| [false, true].map(|v6| (tor, v6)));
        sessions.map(|(tor, v6)| Ok(self.tors[tor].bfd(ip(tor, 1, v6))?.1)).collect()
    }

    /// What the node counted: failures of BFD, and how often BGP came up.
    fn counters(&self) -> Result<Vec<(u64, u64)>> {
        let count = |value: &Value| value.as_u64().context("a counter");
        let peers = self.peers()?;
        let both =
            |p: &Value| Ok((count(&p["bfd"]["failures"])?, count(&p["establishedTransitions"])?));
        peers.iter().map(both).collect()
    }
}

/// A path that dies silently: link and processes stay up, every packet is lost.
fn dead_path(kind: Kind) -> Result<()> {
    if let Some(reason) = fabric_tests::missing(kind.programs()) {
        return fabric_tests::skip(&reason);
    }
    let rack = Rack::with_bfd(kind, false)?;
    rack.tor_ns[0].run("nft add table inet cut")?;
    for hook in ["input", "output"] {
        let rule = format!("{{ type filter hook {hook} priority 0; policy drop; }}");
        rack.tor_ns[0].run(&format!("nft add chain inet cut {hook} {rule}"))?;
    }
    let cut = Instant::now();
    eventually(SOON, "all routes over the second ToR", || rack.expect_gateways(&[1]))?;
    let took = format!("{} ms", cut.elapsed().as_millis());
    println!("{kind:?}: every route over the second ToR {took} after the path died");
    lab::record("bfd-dead-path", &[("peer", format!("{kind:?}")), ("second path", took)])?;
    for peer in
        rack.peers()?.iter().filter(|p| p["name"].as_str().is_some_and(|n| n.starts_with("tor0")))
    {
        let down = &peer["lastDown"];
        ensure!(down["reason"] == "bfdDown" && down["by"] == "local", "{peer}");
        ensure!(down["code"] == 6 && down["subcode"] == 10, "{peer}");
        ensure!(peer["bfd"]["diag"] == "controlDetectionTimeExpired", "{peer}");
    }
    rack.tor_ns[0].run("nft delete table inet cut")?;
    rack.wait_up()
}

#[test]
fn frr_a_dead_path_is_left_within_the_detection_time() -> Result<()> {
    dead_path(Kind::Frr)
}

#[test]
fn bird_a_dead_path_is_left_within_the_detection_time() -> Result<()> {
    dead_path(Kind::Bird)
}

/// The daemon is killed and comes back: no peer sees its path fail.
fn daemon_dies(kind: Kind) -> Result<()> {
    if let Some(reason) = fabric_tests::missing(kind.programs()) {
        return fabric_tests::skip(&reason);
    }
    // Without graceful restart BIRD drops BFD together with the BGP session.
    let mut rack = Rack::with_bfd(kind, true)?;
    let before = rack.losses()?;
    rack.node.kill();
    // The peers notice that, so the daemon is really gone while BFD is watched.
    for (tor, running) in rack.tors.iter().enumerate() {
        eventually(PATIENCE, "the ToR lost its BGP session", || {
            ensure!(!running.is_established(ip(tor, 1, false))?, "still established");
            Ok(())
        })?;
    }
    rack.node.start()?;
    rack.wait_up()?;
    let after = rack.losses()?;
    ensure!(
        after == before,
        "a ToR saw BFD go down: {before:?}, then {after:?}: {:?}",
        rack.peers()?.iter().map(|p| p["bfd"].to_string()).collect::<Vec<_>>()
    );
    for (failures, transitions) in rack.counters()? {
        ensure!((failures, transitions) == (0, 1), "{failures} failures, {transitions} times up");
    }
    Ok(())
}

#[test]
fn frr_does_not_notice_that_the_daemon_was_killed() -> Result<()> {
    daemon_dies(Kind::Frr)
}

#[test]
fn bird_does_not_notice_that_the_daemon_was_killed() -> Result<()> {
    daemon_dies(Kind::Bird)
}

/// Without the process everything works but BFD, and everybody is told.
fn no_process(kind: Kind) -> Result<()> {
    if let Some(reason) = fabric_tests::missing(kind.programs()) {
        return fabric_tests::skip(&reason);
    }
    let mut rack = Rack::new(kind, false)?;
    expect_no_process(&rack)?;
    rack.node.start_bfd()?;
    rack.wait_up()?;
    let status = rack.node.json(&["status"])?;
    ensure!(status["degraded"] == false, "{status}");
    // To both ToRs even AdminDown is a reason to end the session; to us losing the process is none.
    rack.node.stop_bfd()?;
    expect_no_process(&rack)?;
    for peer in rack.peers()? {
        ensure!(peer["lastDown"].is_null() || peer["lastDown"]["by"] == "remote", "{peer}");
    }

    rack.node.start_bfd()?;
    rack.wait_up()?;
    // Here the ToRs see a failure, and come back without BFD.
    rack.node.kill_bfd();
    expect_no_process(&rack)
}

fn expect_no_process(rack: &Rack) -> Result<()> {
    eventually(PATIENCE, "peers run without bfd", || {
        for peer in rack.peers()? {
            ensure!(peer["bfd"]["state"] == "noProcess", "{peer}");
            ensure!(peer["state"] == "established", "{peer}");
        }
        rack.expect_gateways(&[0, 1])?;
        let status = rack.node.json(&["status"])?;
        let reasons = status["reasons"].as_array().context("reasons")?;
        ensure!(status["degraded"] == true, "{status}");
        ensure!(reasons.iter().any(|reason| reason == "peer tor0-v4: bfd noProcess"), "{status}");
        Ok(())
    })
}

#[test]
fn frr_peers_run_without_bfd_while_its_process_is_absent() -> Result<()> {
    no_process(Kind::Frr)
}

#[test]
fn bird_peers_run_without_bfd_while_its_process_is_absent() -> Result<()> {
    no_process(Kind::Bird)
}

/// Two nodes of ours, side by side.
struct Pair {
    nodes: [Routed; 2],
    configs: [NodeConfig; 2],
    netns: [Netns; 2],
}

impl Pair {
    fn new(bfd_ms: u32) -> Result<Self> {
        let netns = [Netns::new("left")?, Netns::new("right")?];
        let config = |own: u8| {
            let mut config = NodeConfig::new(&format!("n{own}"), 65_000 + u32::from(own));
            config.router_id = format!("10.0.1.{own}");
            config.uplinks = vec!["eth0".to_owned()];
            config.blocks = vec![format!("10.64.{own}.0/26")];
            config.peers = vec![PeerConfig {
                name: "other".to_owned(),
                address: format!("10.0.1.{}", 3 - own),
                asn: 65_000 + u32::from(3 - own),
                passive: own == 1,
                families: vec!["ipv4"],
                bfd: Some(bfd_ms),
            }];
            config
        };
        let configs = [config(1), config(2)];
        let nodes = [Routed::new(&netns[0])?, Routed::new(&netns[1])?];
        let mut pair = Self { nodes, configs, netns };
        pair.plug()?;
        for (node, config) in pair.nodes.iter_mut().zip(&pair.configs) {
            config.write(node)?;
            node.start()?;
            node.start_bfd()?;
        }
        pair.wait_up()?;
        Ok(pair)
    }

    fn plug(&self) -> Result<()> {
        let [left, right] = &self.netns;
        cable(
            &Port::new(left, "eth0", &["10.0.1.1/24"]),
            &Port::new(right, "eth0", &["10.0.1.2/24"]),
        )
    }

    fn wait_up(&self) -> Result<()> {
        eventually(PATIENCE, "bgp and bfd up", || {
            for node in 0..2 {
                let peer = self.peer(node)?;
                ensure!(peer["state"] == "established" && peer["bfd"]["state"] == "up", "{peer}");
            }
            Ok(())
        })
    }

    fn peer(&self, node: usize) -> Result<Value> {
        Ok(self.nodes[node].json(&["bgp", "peers"])?["items"][0].clone())
    }

    fn expect_established(&self) -> Result<()> {
        for node in 0..2 {
            let peer = self.peer(node)?;
            ensure!(
                peer["establishedTransitions"] == 1 && peer["state"] == "established",
                "{peer}"
            );
        }
        Ok(())
    }

    fn expect_no_flap(&self) -> Result<()> {
        for node in 0..2 {
            let peer = self.peer(node)?;
            ensure!(peer["bfd"]["failures"] == 0, "{peer}");
        }
        self.expect_established()
    }
}

#[test]
fn a_peer_whose_bfd_is_taken_down_in_order_keeps_its_session() -> Result<()> {
    fabric_tests::require!("ip");
    let mut pair = Pair::new(INTERVAL_MS)?;
    pair.nodes[1].stop_bfd()?;
    eventually(SOON, "the other side is told", || {
        let bfd = pair.peer(0)?["bfd"].clone();
        ensure!(bfd["state"] == "down" && bfd["remoteState"] == "adminDown", "{bfd}");
        ensure!(bfd["diag"] == "neighborSignaledSessionDown", "{bfd}");
        Ok(())
    })?;
    eventually(PATIENCE, "the process is missed", || {
        let peer = pair.peer(1)?;
        ensure!(peer["bfd"]["state"] == "noProcess", "{peer}");
        Ok(())
    })?;
    pair.expect_no_flap()
}

#[test]
fn timers_change_and_sessions_come_and_go_without_a_flap() -> Result<()> {
    fabric_tests::require!("ip");
    let mut pair = Pair::new(INTERVAL_MS)?;
    for (millis, detection) in [(1000, 3000), (100, 300)] {
        for node in 0..2 {
            pair.configs[node].peers[0].bfd = Some(millis);
            pair.configs[node].write(&pair.nodes[node])?;
        }
        eventually(PATIENCE, "the new detection time on both sides", || {
            for node in 0..2 {
                let bfd = pair.peer(node)?["bfd"].clone();
                ensure!(bfd["detectionMilliseconds"] == detection, "{bfd}");
            }
            Ok(())
        })?;
    }
    pair.expect_no_flap()?;
    pair.configs[0].peers[0].bfd = None;
    pair.configs[0].write(&pair.nodes[0])?;
    eventually(PATIENCE, "bfd is off on one side", || {
        let (ours, theirs) = (pair.peer(0)?, pair.peer(1)?);
        ensure!(ours["bfd"].is_null(), "{ours}");
        ensure!(theirs["bfd"]["state"] == "down", "{theirs}");
        Ok(())
    })?;
    pair.expect_established()?;
    pair.configs[0].peers[0].bfd = Some(INTERVAL_MS);
    pair.configs[0].write(&pair.nodes[0])?;
    eventually(PATIENCE, "bfd is back", || {
        let theirs = pair.peer(1)?;
        ensure!(theirs["bfd"]["state"] == "up", "{theirs}");
        Ok(())
    })?;
    pair.expect_no_flap()
}

/// The interface is deleted and comes back with another number; the process has to find it alone.
#[test]
fn a_new_cable_is_found_without_the_daemon() -> Result<()> {
    fabric_tests::require!("ip");
    let mut pair = Pair::new(INTERVAL_MS)?;
    pair.nodes[0].kill();
    pair.netns[0].run("ip link del eth0")?;
    let expect = |state: &str| {
        eventually(PATIENCE, &format!("bfd of the other side {state}"), || {
            let bfd = pair.peer(1)?["bfd"].clone();
            ensure!(bfd["state"] == state, "{bfd}");
            Ok(())
        })
    };
    expect("down")?;
    pair.plug()?;
    expect("up")?;
    pair.nodes[0].start()?;
    pair.wait_up()
}

/// Both nodes on a machine with so many times more to do than its cores can, until so many packets
/// came; how often BFD failed on either side.
fn flaps_under_load(pair: &Pair, load: usize, packets: u64) -> Result<u64> {
    let bfd = |node: usize| -> Result<Value> { Ok(pair.peer(node)?["bfd"].clone()) };
    let received = || bfd(0)?["packets"]["received"].as_u64().context("a counter");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..load * cores {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let wait = || {
            let before = received()?;
            // Far more than the packets need: half of them may be late or lost.
            let deadline = PATIENCE + Duration::from_millis(packets * 600);
            eventually(deadline, "packets on a busy machine", || {
                let now = received()?;
                ensure!(now >= before + packets, "{now} after {before}");
                Ok(())
            })
        };
        let done = wait();
        stop.store(true, Ordering::Relaxed);
        done
    })?;
    let failures = |node| bfd(node)?["failures"].as_u64().context("a counter");
    let flaps = failures(0)?.max(failures(1)?);
    let hours = started.elapsed().as_secs_f64() / 3600.0;
    let millis = pair.configs[0].peers[0].bfd.unwrap_or_default();
    lab::record(
        "bfd",
        &[
            ("timers", format!("{millis} ms × 3")),
            ("busy threads per core", load.to_string()),
            ("minutes", format!("{:.1}", hours * 60.0)),
            ("flaps per hour", format!("{:.1}", flaps as f64 / hours)),
        ],
    )?;
    println!("{millis} ms x 3, load {load}: {flaps} flaps in {:.0} s", hours * 3600.0);
    Ok(flaps)
}

#[test]
fn a_busy_machine_is_no_dead_path() -> Result<()> {
    fabric_tests::require!("ip");
    let pair = Pair::new(INTERVAL_MS)?;
    let flaps = flaps_under_load(&pair, 4, lab::rounds(40, 1200).try_into()?)?;
    ensure!(flaps == 0, "{flaps} failures of BFD");
    pair.expect_no_flap()
}

/// At 50 ms × 3 a busy machine may take a path for dead: it is counted, and both sides recover.
#[test]
fn at_fifty_milliseconds_flaps_are_counted_and_sessions_recover() -> Result<()> {
    fabric_tests::require!("ip");
    let pair = Pair::new(50)?;
    let packets = lab::rounds(100, 3000).try_into()?;
    for load in [0, 4] {
        let flaps = flaps_under_load(&pair, load, packets)?;
        eventually(PATIENCE, "up again", || {
            for node in 0..2 {
                let peer = pair.peer(node)?;
                ensure!(peer["state"] == "established" && peer["bfd"]["state"] == "up", "{peer}");
                let ended = peer["establishedTransitions"].as_u64().context("a counter")? - 1;
                ensure!(flaps > 0 || ended == 0, "{ended} sessions ended without a failure");
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Two nodes with a router between them: packets arrive with a TTL of 254, and on the other port.
#[test]
fn over_several_hops_a_session_runs_and_notices_a_dead_router() -> Result<()> {
    fabric_tests::require!("ip");
    let netns = [Netns::new("left")?, Netns::new("router")?, Netns::new("right")?];
    for (own, at) in [(1, 0), (2, 2)] {
        let (ours, theirs) = ([format!("10.0.{own}.1/24")], [format!("10.0.{own}.9/24")]);
        let [ours, theirs] = [&ours, &theirs].map(|end| end.each_ref().map(String::as_str));
        let port = format!("eth{own}");
        cable(&Port::new(&netns[at], "eth0", &ours), &Port::new(&netns[1], &port, &theirs))?;
        netns[at].run(&format!("ip route add default via 10.0.{own}.9"))?;
    }
    fabric_tests::forward(&netns[1])?;
    let mut nodes = [Routed::new(&netns[0])?, Routed::new(&netns[2])?];
    for (own, node) in (1u8..).zip(&mut nodes) {
        let other = 3 - own;
        let mut config = NodeConfig::new(&format!("n{own}"), 65_000 + u32::from(own));
        config.router_id = format!("10.0.{own}.1");
        config.uplinks = vec!["eth0".to_owned()];
        config.write(node)?;
        node.configure(
            "fabric/peers.yaml",
            &format!(
                "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{ name: far }}\n\
                 spec: {{ peerIP: 10.0.{other}.1, asNumber: {} }}\n---\n\
                 apiVersion: routed.dev/v1\nkind: BGPPeerProfile\nmetadata: {{ name: far }}\n\
                 spec: {{ peers: [far], ebgpMultihop: 2, bfd: {{ interval: {INTERVAL_MS}ms }} }}\n",
                65_000 + u32::from(other)
            ),
        )?;
        node.start()?;
        node.start_bfd()?;
    }
    let peer = |node: usize| -> Result<Value> {
        Ok(nodes[node].json(&["bgp", "peers"])?["items"][0].clone())
    };
    eventually(PATIENCE, "bgp and bfd up", || {
        for peer in [peer(0)?, peer(1)?] {
            ensure!(peer["state"] == "established" && peer["bfd"]["state"] == "up", "{peer}");
        }
        Ok(())
    })?;
    netns[1].sysctl("net.ipv4.ip_forward", "0")?;
    eventually(SOON, "both sides gave the path up", || {
        for peer in [peer(0)?, peer(1)?] {
            ensure!(peer["lastDown"]["reason"] == "bfdDown", "{peer}");
        }
        Ok(())
    })
}
