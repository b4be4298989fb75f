// SPDX-License-Identifier: MIT OR Apache-2.0
//! The demo as an outsider sees it: stock tools look at the racks, daemons are killed under traffic, and nothing is left
//! behind. One test, since there is one demo on a machine.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fabric_tests::peer::routed::find_program;
use fabric_tests::probe::{Echo, Probe};
use fabric_tests::{Netns, Process, command, eventually, lab, output, run};
use serde_json::Value;

/// How often a daemon is killed.
const RESTARTS: usize = 10;
const LAB_RESTARTS: usize = 50;
/// The port of the echo servers.
const PORT: u16 = 7007;
/// How long each restart is watched.
const WINDOW: Duration = Duration::from_secs(3);
/// A restart must be over long before the peers' restart timer (30 s).
const PATIENCE: Duration = Duration::from_secs(25);

/// A running demo; taken down when dropped.
struct Demo {
    routed: PathBuf,
    base: PathBuf,
}

impl Demo {
    fn up() -> Result<Self> {
        let routed = find_program("ROUTED_BIN", "routed", "routed")?;
        let plugin = find_program("ROUTED_CNI_BIN", "routed-cni", "cni-plugin")?;
        let up = output(command(&routed).args(["demo", "up", "--plugin"]).arg(plugin))?;
        ensure!(up.status.success(), "demo up: {}", text(&up));
        // Not before it is ours: dropping the handle takes the demo down.
        Ok(Self { routed, base: std::env::temp_dir().join("rtd-demo") })
    }

    fn command(&self) -> Command {
        command(&self.routed)
    }

    fn down(&self) -> Result<Output> {
        output(self.command().args(["demo", "down"]))
    }

    fn socket(&self, node: &str) -> PathBuf {
        self.base.join(node).join("run/routed.sock")
    }

    /// The daemon of a node, found by its run directory.
    fn daemon(&self, node: &str) -> Result<i32> {
        let run_dir = self.base.join(node).join("run");
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments: Vec<&[u8]> = arguments.split(|b| *b == 0).collect();
            let is_ours = arguments.first().is_some_and(|a| a.ends_with(b"routed"))
                && arguments.contains(&run_dir.as_os_str().as_encoded_bytes());
            if is_ours {
                return Ok(pid);
            }
        }
        anyhow::bail!("no daemon of {node}")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // After a good test it is down already.
        let _down = self.down();
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn netns(name: &str) -> Result<Netns> {
    Netns::existing(&format!("rtd-demo-{name}"))
}

#[test]
fn the_demo_holds_to_stock_tools_survives_kills_and_leaves_nothing() -> Result<()> {
    let programs = ["bird", "birdc", "bgpd", "zebra", "vtysh", "nft", "ping", "strace", "setpriv"];
    if let Some(reason) = fabric_tests::missing(&programs) {
        return fabric_tests::skip(&reason);
    }
    let demo = Demo::up()?;
    tors_show_sessions_and_blocks(&demo)?;
    nodes_show_routes_and_policy()?;
    workloads_reach_each_other()?;
    daemons_are_unprivileged(&demo)?;
    the_command_line_answers(&demo)?;
    let second = output(demo.command().args(["demo", "up"]))?;
    ensure!(!second.status.success(), "a second demo must be refused");
    let rounds = lab::rounds(RESTARTS, LAB_RESTARTS);
    let (mut sent, mut slowest) = (0, Duration::ZERO);
    for round in 0..rounds {
        let seen = kill_and_restart(&demo, round).with_context(|| format!("restart {round}"))?;
        (sent, slowest) = (sent + seen.0, slowest.max(seen.1));
    }
    lab::record(
        "restart",
        &[
            ("restarts", rounds.to_string()),
            ("requests", sent.to_string()),
            ("lost", "0".to_owned()),
            ("writes", "0".to_owned()),
            ("slowest from kill to healthy status", format!("{:.1} s", slowest.as_secs_f64())),
        ],
    )?;
    links_that_come_back_carry_both_families(&demo)?;
    let pids = ["r1n1", "r1n2", "r2n1", "r2n2"].map(|node| demo.daemon(node));
    let status = output(demo.command().args(["demo", "status"]))?;
    // Daemons restarted by this test are unknown to the demo; everything else must hold.
    ensure!(!text(&status).contains("FAILED"), "{}", text(&status));
    let down = demo.down()?;
    ensure!(down.status.success(), "demo down: {}", text(&down));
    for pid in pids.into_iter().flatten() {
        ensure!(is_dead(pid), "daemon {pid} is still there");
    }
    nothing_is_left(&demo)?;
    our_own_speaker_as_tor(&demo)
}

/// Only when asked for, and never as a proof of interoperability.
fn our_own_speaker_as_tor(demo: &Demo) -> Result<()> {
    let plugin = find_program("ROUTED_CNI_BIN", "routed-cni", "cni-plugin")?;
    let all = output(demo.command().args(["demo", "--tor", "routed", "--plugin"]).arg(plugin))?;
    ensure!(all.status.success(), "{}", text(&all));
    ensure!(text(&all).contains("no proof of interoperability"), "{}", text(&all));
    nothing_is_left(demo)
}

fn tors_show_sessions_and_blocks(demo: &Demo) -> Result<()> {
    for tor in ["tor1a", "tor1b"] {
        let vty = demo.base.join(tor);
        let ask = |what: &str| -> Result<Value> {
            let answer = run(command("vtysh").arg("--vty_socket").arg(&vty).args(["-c", what]))?;
            serde_json::from_str(&answer).context("vtysh JSON")
        };
        let peers = ask("show bgp ipv4 unicast summary json")?;
        let peers = peers["peers"].as_object().context("peers")?;
        ensure!(
            peers.len() == 4 && peers.values().all(|p| p["state"] == "Established"),
            "{peers:?}"
        );
        for (family, block) in [("ipv4", "10.64.1.0/26"), ("ipv6", "fd00:64:1::/122")] {
            let routes = ask(&format!("show bgp {family} unicast json"))?;
            ensure!(routes["routes"][block].is_array(), "{tor}: no {block}: {routes}");
        }
    }
    for tor in ["tor2a", "tor2b"] {
        let control = demo.base.join(tor).join("bird.ctl");
        let ask = |words: &[&str]| run(command("birdc").arg("-s").arg(&control).args(words));
        let protocols = ask(&["show", "protocols"])?;
        let up = protocols.lines().filter(|l| l.contains("BGP") && l.contains("Established"));
        ensure!(up.count() == 4, "{tor}: {protocols}");
        for block in ["10.64.2.64/26", "fd00:64:2::40/122", "10.64.1.0/26"] {
            let found = ask(&["show", "route", block])?;
            ensure!(found.contains(block), "{tor}: {found}");
        }
    }
    Ok(())
}

fn nodes_show_routes_and_policy() -> Result<()> {
    let node = netns("r1n1")?;
    for (family, block) in [("-4", "10.64.2.0/26"), ("-6", "fd00:64:2::/122")] {
        let routes = node.run(&format!("ip -j {family} route show {block} proto 83"))?;
        let routes: Value = serde_json::from_str(&routes)?;
        ensure!(routes[0]["nexthops"].as_array().map(Vec::len) == Some(2), "{routes}");
    }
    let table = node.run("nft list table inet routed")?;
    for word in ["5432", "rtd", "chain", "type filter hook forward"] {
        ensure!(table.contains(word), "no {word} in\n{table}");
    }
    Ok(())
}

fn workloads_reach_each_other() -> Result<()> {
    for (from, to) in [("web-11", "10.64.2.1"), ("web-22", "fd00:64:1::1")] {
        netns(from)?.run(&format!("ping -n -c 2 -W 2 {to}"))?;
    }
    Ok(())
}

fn daemons_are_unprivileged(demo: &Demo) -> Result<()> {
    for node in ["r1n1", "r1n2", "r2n1", "r2n2"] {
        let status = fs::read_to_string(format!("/proc/{}/status", demo.daemon(node)?))?;
        let field = |name: &str| {
            status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned()
        };
        // Bits 10 and 12: CAP_NET_BIND_SERVICE and CAP_NET_ADMIN.
        for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
            ensure!(field(set) == "0000000000001400", "{node} {set} {}", field(set));
        }
        ensure!(field("NoNewPrivs:") == "1", "{status}");
        ensure!(!field("Uid:").split_whitespace().any(|uid| uid == "0"), "{status}");
    }
    Ok(())
}

fn the_command_line_answers(demo: &Demo) -> Result<()> {
    let ask = |words: &[&str]| -> Result<Value> {
        let socket = demo.socket("r1n1");
        let answer =
            run(demo.command().arg("--socket").arg(socket).args(["-o", "json"]).args(words))?;
        serde_json::from_str(&answer).context("JSON")
    };
    let status = ask(&["status", "--check"])?;
    ensure!(status["ready"] == true && status["degraded"] == false, "{status}");
    ensure!(status["bgp"]["established"] == 2, "{status}");
    ensure!(ask(&["bgp", "peers"])?["items"].as_array().map(Vec::len) == Some(2));
    ensure!(ask(&["workloads"])?["items"].as_array().map(Vec::len) == Some(2));
    let why = ask(&["bgp", "why", "10.64.2.0/26"])?;
    ensure!(why["steps"].as_array().is_some_and(|steps| !steps.is_empty()), "{why}");
    let socket = demo.socket("r1n1");
    let nosuch =
        output(demo.command().arg("--socket").arg(&socket).args(["bgp", "peers", "nosuch"]))?;
    ensure!(nosuch.status.code() == Some(4), "an unknown peer is exit code 4: {}", text(&nosuch));
    let nobody = output(demo.command().args(["--socket", "/nonexistent", "status"]))?;
    ensure!(nobody.status.code() == Some(3), "no daemon is exit code 3: {}", text(&nobody));
    Ok(())
}

/// What every node has with its ToRs: their names, states and counts of each family.
fn sessions(demo: &Demo) -> Result<Vec<(Value, Value, Value)>> {
    let mut sessions = Vec::new();
    for node in ["r1n1", "r1n2", "r2n1", "r2n2"] {
        let socket = demo.socket(node);
        let peers = run(demo.command().arg("--socket").arg(socket).args(["-j", "bgp", "peers"]))?;
        let peers: Value = serde_json::from_str(&peers).context("JSON")?;
        for peer in peers["items"].as_array().context("items")? {
            let field = |name: &str| peer[name].clone();
            sessions.push((field("name"), field("state"), field("families")));
        }
    }
    Ok(sessions)
}

/// A ToR's link goes down and comes back, and the paths of both families with it: over FRR and over BIRD.
fn links_that_come_back_carry_both_families(demo: &Demo) -> Result<()> {
    let before = sessions(demo)?;
    ensure!(before.iter().all(|(_, state, _)| state == "established"), "{before:?}");
    for tor in ["tor1a", "tor2a"] {
        netns(tor)?.run("ip link set n1 down")?;
        eventually(PATIENCE, "a session is down", || {
            let now = sessions(demo)?;
            ensure!(now.iter().any(|(_, state, _)| state != "established"), "{now:?}");
            Ok(())
        })?;
        netns(tor)?.run("ip link set n1 up")?;
        eventually(PATIENCE, "every path is back", || {
            let now = sessions(demo)?;
            ensure!(now == before, "{now:?} before {before:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// Kill -9 under a 1 kHz ping between the racks in both families; back within 5 s; nothing lost, nothing written.
fn kill_and_restart(demo: &Demo, round: usize) -> Result<(u64, Duration)> {
    let (near, far) = (netns("web-11")?, netns("web-21")?);
    let (_echo_near, _echo_far) = (Echo::start(&near, PORT)?, Echo::start(&far, PORT)?);
    let target = |address: &str| -> Result<SocketAddr> {
        Ok(SocketAddr::new(address.parse::<IpAddr>()?, PORT))
    };
    let probes = [
        ("IPv4 out", Probe::start(&near, None, target("10.64.2.1")?)?),
        ("IPv6 out", Probe::start(&near, None, target("fd00:64:2::1")?)?),
        ("IPv4 in", Probe::start(&far, None, target("10.64.1.1")?)?),
        ("IPv6 in", Probe::start(&far, None, target("fd00:64:1::1")?)?),
    ];
    let daemon = demo.daemon("r1n1")?;
    let pid = rustix::process::Pid::from_raw(daemon).context("a pid")?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
    eventually(PATIENCE, "the daemon is dead", || {
        ensure!(is_dead(daemon), "killed {pid:?}, it is still there");
        Ok(())
    })?;
    let killed = Instant::now();
    let trace = demo.base.join(format!("strace-{round}"));
    restart(demo, &trace)?;
    eventually(PATIENCE, "the node is itself again", || {
        let status = output(
            demo.command().arg("--socket").arg(demo.socket("r1n1")).args(["status", "--check"]),
        )?;
        ensure!(status.status.success(), "{}", text(&status));
        Ok(())
    })?;
    let back = killed.elapsed();
    ensure!(back < PATIENCE, "back after {back:?}");
    // What the restart might still break (a late sweep, a stale timer) must show in the probes.
    eventually(PATIENCE, "the window is over", || {
        ensure!(killed.elapsed() > WINDOW, "still watching");
        Ok(())
    })?;
    let mut sent = 0;
    for (name, probe) in probes {
        let loss = probe.finish()?;
        ensure!(loss.sent > 500, "{name}: the probe ran: {loss:?}");
        ensure!(loss.lost == 0, "{name}: {loss:?}");
        sent += loss.sent;
    }
    let written = writes(&fs::read_to_string(&trace).context("reading the trace")?);
    ensure!(
        written.is_empty(),
        "written after a restart with unchanged inputs:\n{}",
        written.join("\n")
    );
    Ok((sent, back))
}

/// Whether all threads have ended: until then the process may hold its files and locks.
fn is_dead(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    threads == 0 || (threads == 1 && status.contains("State:\tZ"))
}

/// Starts the daemon of r1n1 as the demo does, under strace.
fn restart(demo: &Demo, trace: &Path) -> Result<()> {
    let dir = demo.base.join("r1n1");
    let capabilities = "-all,+net_admin,+net_bind_service";
    let mut daemon = netns("r1n1")?.command("strace");
    daemon
        .args(["-f", "-y", "-s", "256", "-e", "trace=sendto,sendmsg,write,writev,pwrite64", "-o"])
        .arg(trace)
        .args(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"])
        .arg(format!("--inh-caps={capabilities}"))
        .arg(format!("--ambient-caps={capabilities}"))
        .arg(format!("--bounding-set={capabilities}"))
        .arg(&demo.routed)
        .arg("run");
    for (flag, name) in [("--config", "config"), ("--run-dir", "run"), ("--state-dir", "state")] {
        daemon.arg(flag).arg(dir.join(name));
    }
    // It outlives this handle: the demo takes it down with its namespace.
    let process = Process::spawn("routed of r1n1", &mut daemon, &dir.join("routed-again.log"))?;
    std::mem::forget(process);
    Ok(())
}

/// What counts as a kernel write: everything but claiming the policy table again.
fn writes(trace: &str) -> Vec<String> {
    let is_write = |line: &&str| {
        let netlink = ["RTM_NEW", "RTM_DEL", "RTM_SET", "NFT_MSG_NEW", "NFT_MSG_DEL"];
        let netlink = netlink.iter().any(|word| line.contains(word));
        let claims = line.contains("NFT_MSG_NEWTABLE")
            && !line.replace("NFT_MSG_NEWTABLE", "").contains("NFT_MSG_NEW");
        (netlink && !claims) || (line.contains("write") && line.contains("</proc/sys"))
    };
    trace.lines().filter(is_write).map(str::to_owned).collect()
}

fn nothing_is_left(demo: &Demo) -> Result<()> {
    ensure!(!demo.base.exists(), "{} is left", demo.base.display());
    let namespaces = run(command("ip").args(["netns", "list"]))?;
    ensure!(!namespaces.contains("rtd-demo-"), "{namespaces}");
    for name in ["bird", "bgpd", "zebra", "routed"] {
        for entry in fs::read_dir("/proc")?.flatten() {
            let arguments = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let arguments = String::from_utf8_lossy(&arguments);
            ensure!(!arguments.contains("/rtd-demo/"), "{name} is left: {arguments}");
        }
    }
    Ok(())
}

#[test]
fn writes_are_recognised_in_a_trace() {
    let line = |text: &str| writes(text).len();
    assert_eq!(line("1 sendto(9<NETLINK>, [{nlmsg_type=RTM_NEWROUTE, ...}])"), 1);
    assert_eq!(line("1 sendto(9<NETLINK>, [{nlmsg_type=RTM_GETROUTE, ...}])"), 0);
    assert_eq!(
        line("1 sendto(27, [NFNL_MSG_BATCH_BEGIN, NFT_MSG_NEWTABLE, NFNL_MSG_BATCH_END])"),
        0
    );
    assert_eq!(line("1 sendto(27, [NFT_MSG_NEWTABLE, NFT_MSG_NEWCHAIN])"), 1);
    assert_eq!(line("1 write(5</proc/sys/net/ipv4/ip_forward>, \"1\", 1) = 1"), 1);
    assert_eq!(line("1 write(2</tmp/log>, \"x\", 1) = 1"), 0);
}
