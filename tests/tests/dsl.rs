// SPDX-License-Identifier: MIT OR Apache-2.0
//! The scenario language itself: the peers are proven against each other before anything else is
//! tested against them, probes count what is lost, and nothing is left behind.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fabric_tests::capture::Capture;
use fabric_tests::peer::{self, Config, Kind, Learned, Peer, Prefix, Session};
use fabric_tests::probe::{Echo, Flood, Probe, Sink, TcpEcho, tcp_round_trip};
use fabric_tests::{Netns, Port, Process, cable, eventually, forward, require};

/// FRR waits before its first advertisement, GoBGP before it dials.
const PATIENCE: Duration = Duration::from_secs(30);

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

/// Two namespaces with one cable: 10.0.0.1 and .2, fd00::1 and ::2.
fn pair() -> Result<(Netns, Netns)> {
    let (left, right) = (Netns::new("left")?, Netns::new("right")?);
    let ports = (
        Port::new(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]),
        Port::new(&right, "eth0", &["10.0.0.2/24", "fd00::2/64"]),
    );
    cable(&ports.0, &ports.1)?;
    Ok((left, right))
}

/// Both families over one IPv4 session, the right side waiting.
fn dual_configs(left_asn: u32, right_asn: u32) -> Result<(Config, Config)> {
    let (a, b) = (ip("10.0.0.1"), ip("10.0.0.2"));
    let left = Session::new(a, b, right_asn).dual("fd00::1".parse()?);
    let right = Session::new(b, a, left_asn).dual("fd00::2".parse()?).passive();
    Ok((
        Config::new(left_asn, "10.0.0.1".parse()?).session(left),
        Config::new(right_asn, "10.0.0.2".parse()?).session(right),
    ))
}

fn expect_path(peer: &dyn Peer, what: &str, next_hop: &str, as_path: &[u32]) -> Result<()> {
    let paths = peer.wait_learned(prefix(what), PATIENCE)?;
    let expected =
        Learned { prefix: prefix(what), next_hop: ip(next_hop), as_path: as_path.to_vec() };
    ensure!(paths == [expected], "{}: {paths:?}", peer.name());
    Ok(())
}

/// Up, a route of each family each way, withdraw, loss of the session, up again.
fn exchange(left: Kind, right: Kind, left_asn: u32, right_asn: u32) -> Result<()> {
    let (left_ns, right_ns) = pair()?;
    let (left_config, right_config) = dual_configs(left_asn, right_asn)?;
    let mut right = peer::start(right, &right_ns, right_config)?;
    let mut left = peer::start(left, &left_ns, left_config)?;
    left.wait_established(ip("10.0.0.2"), PATIENCE)?;
    right.wait_established(ip("10.0.0.1"), PATIENCE)?;

    for (peer, index) in [(&mut left, 1), (&mut right, 2)] {
        peer.originate(prefix(&format!("10.{index}.0.0/16")))?;
        peer.originate(prefix(&format!("fd00:{index}::/32")))?;
    }
    let external = left_asn != right_asn;
    let path = |asn: u32| if external { vec![asn] } else { Vec::new() };
    expect_path(&*left, "10.2.0.0/16", "10.0.0.2", &path(right_asn))?;
    expect_path(&*left, "fd00:2::/32", "fd00::2", &path(right_asn))?;
    expect_path(&*right, "10.1.0.0/16", "10.0.0.1", &path(left_asn))?;
    expect_path(&*right, "fd00:1::/32", "fd00::1", &path(left_asn))?;

    left.withdraw(prefix("10.1.0.0/16"))?;
    right.wait_forgotten(prefix("10.1.0.0/16"), PATIENCE)?;
    ensure!(right.paths(prefix("fd00:1::/32"))?.len() == 1, "only one was withdrawn");

    left.stop()?;
    right.wait_forgotten(prefix("fd00:1::/32"), PATIENCE)?;
    left.start()?;
    expect_path(&*right, "fd00:1::/32", "fd00::1", &path(left_asn))?;
    ensure!(right.paths(prefix("10.1.0.0/16"))?.is_empty(), "withdrawn before the restart");
    right.kill();
    left.wait_forgotten(prefix("10.2.0.0/16"), PATIENCE)
}

fn require_peers(kinds: &[Kind]) -> Option<String> {
    let programs = kinds.iter().flat_map(|kind| kind.programs());
    fabric_tests::missing(&programs.copied().collect::<Vec<_>>())
}

macro_rules! exchange_tests {
    ($($name:ident: $left:ident $left_asn:literal, $right:ident $right_asn:literal;)+) => { $(
        #[test]
        fn $name() -> Result<()> {
            if let Some(reason) = require_peers(&[Kind::$left, Kind::$right]) {
                return fabric_tests::skip(&reason);
            }
            exchange(Kind::$left, Kind::$right, $left_asn, $right_asn)
        }
    )+ };
}

exchange_tests! {
    bird_and_frr_exchange_routes: Bird 65001, Frr 65002;
    gobgp_and_bird_exchange_routes: Gobgp 65001, Bird 65002;
    frr_and_gobgp_exchange_routes: Frr 65001, Gobgp 65002;
    frr_and_bird_exchange_routes_in_one_as: Frr 65000, Bird 65000;
    bird_and_gobgp_exchange_routes_in_one_as: Bird 65000, Gobgp 65000;
}

#[test]
fn ipv6_sessions_come_up_and_carry_ipv6() -> Result<()> {
    if let Some(reason) = require_peers(&Kind::ALL) {
        return fabric_tests::skip(&reason);
    }
    let (a, b) = (ip("fd00::1"), ip("fd00::2"));
    for (left, right) in
        [(Kind::Bird, Kind::Frr), (Kind::Frr, Kind::Gobgp), (Kind::Gobgp, Kind::Bird)]
    {
        let (left_ns, right_ns) = pair()?;
        let left_config = Config::new(65001, "10.0.0.1".parse()?);
        let right_config = Config::new(65002, "10.0.0.2".parse()?);
        let left_config = left_config.session(Session::new(a, b, 65002));
        let right_config = right_config.session(Session::new(b, a, 65001).passive());
        let mut right = peer::start(right, &right_ns, right_config)?;
        let left = peer::start(left, &left_ns, left_config)?;
        left.wait_established(b, PATIENCE)?;
        right.originate(prefix("fd00:2::/32"))?;
        expect_path(&*left, "fd00:2::/32", "fd00::2", &[65002])?;
    }
    Ok(())
}

#[test]
fn helpers_keep_the_routes_of_a_peer_that_restarts_gracefully() -> Result<()> {
    if let Some(reason) = require_peers(&Kind::ALL) {
        return fabric_tests::skip(&reason);
    }
    for helper in Kind::ALL {
        let (left_ns, right_ns) = pair()?;
        let (left_config, right_config) = dual_configs(65001, 65002)?;
        let graceful = |config| Config { graceful_restart: true, ..config };
        let helper = peer::start(helper, &right_ns, graceful(right_config))?;
        let mut left = peer::start(Kind::Bird, &left_ns, graceful(left_config))?;
        left.wait_established(ip("10.0.0.2"), PATIENCE)?;
        left.originate(prefix("10.1.0.0/16"))?;
        helper.wait_learned(prefix("10.1.0.0/16"), PATIENCE)?;
        left.kill();
        eventually(PATIENCE, "the helper notices", || {
            ensure!(!helper.is_established(ip("10.0.0.1"))?, "still up");
            Ok(())
        })?;
        ensure!(!helper.paths(prefix("10.1.0.0/16"))?.is_empty(), "{} dropped it", helper.name());
    }
    Ok(())
}

/// left - router - right, so that the way can be cut without a link going down at the ends.
fn line() -> Result<(Netns, Netns, Netns)> {
    let (left, router, right) = (Netns::new("left")?, Netns::new("router")?, Netns::new("right")?);
    cable(
        &Port::new(&left, "eth0", &["10.0.1.2/24", "fd00:1::2/64"]),
        &Port::new(&router, "left", &["10.0.1.1/24", "fd00:1::1/64"]),
    )?;
    cable(
        &Port::new(&right, "eth0", &["10.0.2.2/24", "fd00:2::2/64"]),
        &Port::new(&router, "right", &["10.0.2.1/24", "fd00:2::1/64"]),
    )?;
    forward(&router)?;
    for (end, index) in [(&left, 1), (&right, 2)] {
        end.run(&format!("ip route add default via 10.0.{index}.1"))?;
        end.run(&format!("ip -6 route add default via fd00:{index}::1"))?;
    }
    Ok((left, router, right))
}

#[test]
fn a_probe_loses_nothing_on_a_good_way_and_sees_an_outage() -> Result<()> {
    require!("ip", "nft");
    let (left, router, right) = line()?;
    let _echo = Echo::start(&right, 7000)?;
    for target in ["10.0.2.2", "fd00:2::2"] {
        let target = SocketAddr::new(ip(target), 7000);
        let seen = Capture::start(&right, |packet| packet.is_udp_to(7000))?;
        let probe = Probe::start(&left, None, target)?;
        eventually(PATIENCE, "500 probes arrive", || {
            ensure!(seen.count() >= 500, "{}", seen.count());
            Ok(())
        })?;
        let good = probe.finish()?;
        ensure!(good.lost == 0 && good.sent >= 500, "{good:?}");

        let probe = Probe::start(&left, None, target)?;
        let cut = cut(&router, target, &seen)?;
        let bad = probe.finish()?;
        ensure!(bad.lost > 0 && bad.lost < bad.sent, "{bad:?}");
        ensure!(bad.longest_gap + Duration::from_millis(50) >= cut, "{bad:?}, cut for {cut:?}");
        ensure!(bad.longest_gap < cut + Duration::from_secs(5), "{bad:?}, cut for {cut:?}");
    }
    Ok(())
}

/// Drops packets to the target at the router until a second capture saw 100 of them; returns for
/// how long at least.
fn cut(router: &Netns, target: SocketAddr, arriving: &Capture) -> Result<Duration> {
    let before = arriving.count();
    eventually(PATIENCE, "probes arrive", || {
        ensure!(arriving.count() > before + 50, "{}", arriving.count());
        Ok(())
    })?;
    router.run("nft add table inet cut")?;
    router.run("nft add chain inet cut forward { type filter hook forward priority 0 ; }")?;
    let family = if target.is_ipv4() { "ip" } else { "ip6" };
    router.run(&format!("nft add rule inet cut forward {family} daddr {} drop", target.ip()))?;
    let start = Instant::now();
    let dropped = Capture::start(router, |packet| packet.is_udp_to(7000))?;
    eventually(PATIENCE, "probes are dropped", || {
        ensure!(dropped.count() > 100, "{}", dropped.count());
        Ok(())
    })?;
    let length = start.elapsed();
    router.run("nft delete table inet cut")?;
    let after = arriving.count();
    eventually(PATIENCE, "probes arrive again", || {
        ensure!(arriving.count() > after + 50, "{}", arriving.count());
        Ok(())
    })?;
    Ok(length)
}

#[test]
fn a_sink_counts_from_the_first_packet_of_an_interface_that_comes_later() -> Result<()> {
    require!("ip");
    let (left, right) = (Netns::new("left")?, Netns::new("right")?);
    let sink = Sink::start(&right, 7001)?;
    cable(
        &Port::new(&left, "eth0", &["10.0.0.1/24", "fd00::1/64"]),
        &Port::new(&right, "eth0", &["10.0.0.2/24", "fd00::2/64"]),
    )?;
    for target in ["10.0.0.2", "fd00::2"] {
        let targets = vec![SocketAddr::new(ip(target), 7001), SocketAddr::new(ip(target), 7002)];
        let before = sink.count();
        let flood = Flood::start(&left, targets, Duration::from_micros(100))?;
        eventually(PATIENCE, "packets arrive", || {
            ensure!(sink.count() > before + 100, "{}", sink.count());
            Ok(())
        })?;
        ensure!(flood.finish()? > 200, "half of them go to the other port");
    }
    let counts = sink.finish()?;
    ensure!(counts.keys().copied().eq([ip("10.0.0.2"), ip("fd00::2")]), "{counts:?}");
    ensure!(counts.values().all(|count| *count > 100), "{counts:?}");
    Ok(())
}

#[test]
fn a_tcp_round_trip_needs_a_listener() -> Result<()> {
    require!("ip");
    let (left, right) = pair()?;
    let (v4, v6) = (SocketAddr::new(ip("10.0.0.2"), 7003), SocketAddr::new(ip("fd00::2"), 7003));
    ensure!(tcp_round_trip(&left, v4, Duration::from_secs(2)).is_err(), "nobody listens");
    let _echo = TcpEcho::start(&right, 7003)?;
    for _ in 0..3 {
        tcp_round_trip(&left, v4, Duration::from_secs(2))?;
        tcp_round_trip(&left, v6, Duration::from_secs(2))?;
    }
    Ok(())
}

#[test]
fn nothing_is_left_behind_by_a_scenario_that_panics() -> Result<()> {
    require!("ip");
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let scenario = std::thread::spawn(move || {
        let (left, _right) = pair().expect("two namespaces");
        let log = left.dir().join("log");
        let mut command = left.command("tail");
        let process = Process::spawn("tail", command.args(["-f", "/dev/null"]), &log);
        let process = process.expect("a process");
        sender.send((left.path(), left.dir().to_owned(), process.pid())).expect("a receiver");
        panic!("{process:?} ends here");
    });
    let (path, dir, pid) = receiver.recv().context("the scenario starts")?;
    ensure!(scenario.join().is_err(), "the scenario panics");
    for gone in [&path, &dir, &Path::new("/proc").join(pid.to_string())] {
        ensure!(!gone.exists(), "{} is left behind", gone.display());
    }
    Ok(())
}

#[test]
fn giving_up_says_what_was_waited_for_and_why() {
    let start = Instant::now();
    let result = eventually(Duration::from_millis(100), "pigs fly", || -> Result<()> {
        bail!("no wings");
    });
    let text = format!("{:#}", result.expect_err("they do not"));
    assert!(text.contains("pigs fly") && text.contains("no wings"), "{text}");
    assert!(start.elapsed() >= Duration::from_millis(100));
}
