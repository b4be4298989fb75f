// SPDX-License-Identifier: MIT OR Apache-2.0
//! ToR switches of the demo: FRR (zebra and bgpd) in one rack, BIRD in the other.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::server::api::{BgpPeer, List};
use crate::server::client;

use super::node::{self, NodeDirs};
use super::plan::{Router, TorKind};
use super::system::{self, Process};

const ZEBRA: &str = "/usr/lib/frr/zebra";
const BGPD: &str = "/usr/lib/frr/bgpd";
const BIRD: &str = "/usr/sbin/bird";

/// Which of the real ToR programs are missing, with the command that installs them.
pub(super) fn missing(kinds: &[TorKind]) -> Option<String> {
    let mut packages = Vec::new();
    if kinds.contains(&TorKind::Frr) && !(Path::new(ZEBRA).exists() && Path::new(BGPD).exists()) {
        packages.push("frr");
    }
    if kinds.contains(&TorKind::Bird) && !Path::new(BIRD).exists() {
        packages.push("bird2");
    }
    (!packages.is_empty())
        .then(|| format!("apt-get install --no-install-recommends {}", packages.join(" ")))
}

/// The version that the program prints of itself.
pub(super) fn version(kind: TorKind) -> String {
    let output = match kind {
        TorKind::Frr => system::run(system::command(BGPD).arg("--version")),
        TorKind::Bird => {
            // BIRD prints its version on standard error.
            let out = system::command(BIRD).arg("--version").output();
            out.map(|o| String::from_utf8_lossy(&o.stderr).into_owned()).map_err(Into::into)
        }
        TorKind::Routed => return env!("CARGO_PKG_VERSION").to_owned(),
    };
    let text = output.unwrap_or_default();
    let word = text.split_whitespace().find(|w| w.starts_with(|c: char| c.is_ascii_digit()));
    word.unwrap_or("?").to_owned()
}

/// Starts the ToR and returns its processes.
///
/// # Errors
/// A program that cannot be started or does not answer within ten seconds.
pub(super) fn start(tor: &Router, kind: TorKind, dir: &Path) -> Result<Vec<Process>> {
    fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
    match kind {
        TorKind::Frr => start_frr(tor, dir),
        TorKind::Bird => start_bird(tor, dir).map(|p| vec![p]),
        TorKind::Routed => {
            let dirs = NodeDirs::at(dir);
            node::configure_tor(tor, &dirs)?;
            let routed = std::env::current_exe().context("finding this program")?;
            node::start(tor, &dirs, &routed).map(|p| vec![p])
        }
    }
}

fn start_frr(tor: &Router, dir: &Path) -> Result<Vec<Process>> {
    let socket = dir.join("zserv.api");
    fs::write(dir.join("zebra.conf"), format!("hostname {}\n", tor.name))?;
    fs::write(dir.join("bgpd.conf"), frr_config(tor))?;
    give_to("frr", dir)?;
    let mut processes = Vec::new();
    for (program, name, config) in [(ZEBRA, "zebra", "zebra.conf"), (BGPD, "bgpd", "bgpd.conf")] {
        let mut command = system::inside(&tor.netns(), program);
        command.arg("-f").arg(dir.join(config)).arg("-z").arg(&socket);
        command.arg("-i").arg(dir.join(format!("{name}.pid"))).arg("--vty_socket").arg(dir);
        let log = dir.join(format!("{name}.log"));
        let process = system::spawn(&format!("{name} of {}", tor.name), &mut command, &log)?;
        let vty = dir.join(format!("{name}.vty"));
        let up = system::wait_for(Duration::from_secs(10), || vty.exists().then_some(()));
        processes.push(process);
        if up.is_none() {
            processes.iter().for_each(Process::end);
            bail!("{name} of {} did not start: {}", tor.name, tail(&log));
        }
    }
    Ok(processes)
}

fn start_bird(tor: &Router, dir: &Path) -> Result<Process> {
    let config = dir.join("bird.conf");
    fs::write(&config, bird_config(tor))?;
    let control = dir.join("bird.ctl");
    let mut command = system::inside(&tor.netns(), BIRD);
    command.arg("-f").arg("-c").arg(&config).arg("-s").arg(&control);
    command.arg("-P").arg(dir.join("bird.pid"));
    let log = dir.join("bird.log");
    let process = system::spawn(&format!("bird of {}", tor.name), &mut command, &log)?;
    if system::wait_for(Duration::from_secs(10), || control.exists().then_some(())).is_none() {
        process.end();
        bail!("bird of {} did not start: {}", tor.name, tail(&log));
    }
    Ok(process)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().take(5).collect::<Vec<_>>().join(" | ")
}

/// Makes the directory and its files readable and writable for a system user.
fn give_to(user: &str, dir: &Path) -> Result<()> {
    system::run(system::command("chown").arg("-R").arg(format!("{user}:{user}")).arg(dir))
        .map(|_| ())
}

/// FRR: one session a neighbour for both families, equal paths over different AS paths.
pub(super) fn frr_config(tor: &Router) -> String {
    let mut text = format!(
        "frr defaults datacenter\nhostname {}\nrouter bgp {}\n bgp router-id {}\n \
         no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n \
         bgp bestpath as-path multipath-relax\n",
        tor.name, tor.asn, tor.loopback_v4
    );
    let mut activate = String::new();
    for n in &tor.neighbours {
        let peer = n.remote.v4;
        let _infallible = writeln!(
            text,
            " neighbor {peer} remote-as {}\n neighbor {peer} description {}\n \
             neighbor {peer} timers 3 9\n neighbor {peer} timers connect 1",
            n.asn, n.name
        );
        let _infallible = writeln!(activate, "  neighbor {peer} activate");
    }
    for family in ["ipv4", "ipv6"] {
        let _infallible = writeln!(
            text,
            " address-family {family} unicast\n  maximum-paths 8\n{activate} exit-address-family"
        );
    }
    text
}

/// BIRD: the same, with the IPv6 next hop of each IPv4 session set by hand.
pub(super) fn bird_config(tor: &Router) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ scan time 2; }}\n\
         protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; merge paths on; }}\n\
         protocol kernel {{ ipv6 {{ import none; export where source = RTS_BGP; }}; merge paths on; }}\n",
        tor.loopback_v4
    );
    for n in &tor.neighbours {
        let _infallible = writeln!(
            text,
            "protocol bgp {} {{\n  local {} as {};\n  neighbor {} as {};\n  hold time 9; keepalive time 3;\n  \
             error wait time 1, 2; connect retry time 1; connect delay time 1;\n  \
             ipv4 {{ import all; export where source = RTS_BGP; }};\n  \
             ipv6 {{ import all; export where source = RTS_BGP; next hop address {}; }};\n}}",
            n.name, n.local.v4, tor.asn, n.remote.v4, n.asn, n.local.v6
        );
    }
    text
}

/// How many sessions of this ToR are Established, asked of the ToR itself.
pub(super) fn established(kind: TorKind, dir: &Path) -> Result<usize> {
    match kind {
        TorKind::Frr => {
            let text = system::run(
                system::command("vtysh")
                    .arg("--vty_socket")
                    .arg(dir)
                    .args(["-c", "show bgp neighbors json"]),
            )?;
            let json: serde_json::Value = serde_json::from_str(&text).context("vtysh JSON")?;
            let peers = json.as_object().context("vtysh JSON is no object")?;
            Ok(peers.values().filter(|p| p["bgpState"] == "Established").count())
        }
        TorKind::Bird => {
            let text = system::run(
                system::command("birdc")
                    .arg("-s")
                    .arg(dir.join("bird.ctl"))
                    .args(["show", "protocols"]),
            )?;
            let is_up = |l: &&str| l.contains(" BGP ") && l.contains("Established");
            Ok(text.lines().filter(is_up).count())
        }
        TorKind::Routed => {
            let socket = NodeDirs::at(dir).admin_socket();
            let peers: List<BgpPeer> =
                client::get(&socket, "/api/v1/bgp/peers", Duration::from_secs(5))?;
            Ok(peers.items.iter().filter(|peer| peer.state == "established").count())
        }
    }
}

/// The command with which a person looks at this ToR's sessions.
pub(super) fn look(kind: TorKind, dir: &Path) -> String {
    let dir: PathBuf = dir.to_owned();
    match kind {
        TorKind::Frr => format!("vtysh --vty_socket {} -c 'show bgp summary'", dir.display()),
        TorKind::Bird => format!("birdc -s {} show protocols", dir.join("bird.ctl").display()),
        TorKind::Routed => {
            format!("routed --socket {} bgp peers", NodeDirs::at(&dir).admin_socket().display())
        }
    }
}

/// FRR keeps a crash-log directory per process outside its own directory.
pub(super) fn remove_traces(pid: i32) {
    for name in ["zebra", "bgpd"] {
        // Most pids never had one.
        let _absent = fs::remove_dir_all(format!("/var/tmp/frr/{name}.{pid}"));
    }
    // FRR made the directory above, too; it stays if another FRR uses it.
    let _in_use = fs::remove_dir("/var/tmp/frr");
}
