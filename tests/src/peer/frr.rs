// SPDX-License-Identifier: MIT OR Apache-2.0
//! FRR: zebra and bgpd.
//!
//! Both drop to the user `frr`, who must be able to read the files and to write the directory of
//! the sockets. bgpd waits a second and more before its first advertisement on a new session.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::config::{Config, Family, Session};
use super::prefix::Prefix;
use super::speaker::{Learned, Peer};
use crate::diag::{self, Diagnose};
use crate::netns::Netns;
use crate::process::{Process, command, run};
use crate::wait::eventually;

const PROGRAMS: &str = "/usr/lib/frr";
/// In the order of their start.
const DAEMONS: [&str; 3] = ["zebra", "bfdd", "bgpd"];

/// A pair of zebra and bgpd.
pub(super) struct Frr {
    name: String,
    netns: Netns,
    config: Config,
    originated: BTreeSet<Prefix>,
    /// bgpd first: it is ended first.
    processes: Vec<Process>,
    shell: Rc<Shell>,
}

/// Talks to both through `vtysh`.
struct Shell {
    netns: Netns,
    dir: PathBuf,
}

impl Frr {
    /// Not started yet.
    pub(super) fn new(netns: &Netns, config: Config) -> Self {
        let shell = Rc::new(Shell { netns: netns.clone(), dir: netns.dir().join("frr") });
        diag::register(&shell);
        let name = format!("frr in {}", netns.name());
        let (originated, processes) = (BTreeSet::new(), Vec::new());
        Self { name, netns: netns.clone(), config, originated, processes, shell }
    }

    fn spawn(&self, daemon: &str) -> Result<Process> {
        let dir = &self.shell.dir;
        let mut command = self.netns.command(format!("{PROGRAMS}/{daemon}"));
        command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
        command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
        command.arg("-z").arg(dir.join("zserv.api")).arg("--vty_socket").arg(dir);
        command.args(["--log", "stdout"]);
        if daemon == "bfdd" {
            command.arg("--bfdctl").arg(dir.join("bfdd.sock"));
        }
        let log = self.netns.dir().join(format!("{daemon}.log"));
        let mut process =
            Process::spawn(&format!("{daemon} in {}", self.netns.name()), &mut command, &log)?;
        let vty = dir.join(format!("{daemon}.vty"));
        eventually(Duration::from_secs(10), &format!("{daemon} listens"), || {
            ensure!(process.is_running(), "{daemon} ended: {}", process.log_tail());
            ensure!(vty.exists(), "no {}", vty.display());
            Ok(())
        })?;
        Ok(process)
    }

    fn network(&self, verb: &str, prefix: Prefix) -> Result<()> {
        let family = family_name(Family::of(prefix.address));
        let answer = self.shell.ask(&[
            "configure terminal",
            &format!("router bgp {}", self.config.asn),
            &format!("address-family {family} unicast"),
            &format!("{verb} {prefix}"),
        ])?;
        // Complaints come with exit code 0.
        ensure!(!answer.contains('%'), "vtysh: {verb} {prefix}: {answer}");
        Ok(())
    }

    fn clear(&mut self) {
        for process in self.processes.drain(..) {
            // FRR keeps a directory for its own crash logs outside ours; a pid that was never
            // there is none of our business.
            let pid = process.pid();
            drop(process);
            for daemon in DAEMONS {
                let _absent = fs::remove_dir_all(format!("/var/tmp/frr/{daemon}.{pid}"));
            }
        }
        for daemon in DAEMONS {
            // Left behind by SIGKILL; the next start waits for a new one.
            let _absent = fs::remove_file(self.shell.dir.join(format!("{daemon}.vty")));
        }
    }
}

impl Drop for Frr {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Peer for Frr {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&mut self) -> Result<()> {
        let dir = &self.shell.dir;
        fs::create_dir_all(dir).context("creating FRR's directory")?;
        fs::write(dir.join("zebra.conf"), "hostname zebra\n").context("writing zebra.conf")?;
        let text = config_text(&self.config, &self.originated);
        fs::write(dir.join("bgpd.conf"), text).context("writing bgpd.conf")?;
        if let Some(millis) = self.config.bfd {
            fs::write(dir.join("bfdd.conf"), bfd_text(millis)).context("writing bfdd.conf")?;
        }
        run(command("chown").args(["-R", "frr:frr"]).arg(dir))?;
        let with_bfd = self.config.bfd.is_some();
        for daemon in DAEMONS.into_iter().filter(|daemon| with_bfd || *daemon != "bfdd") {
            let process = self.spawn(daemon)?;
            self.processes.insert(0, process);
        }
        eventually(Duration::from_secs(10), "bgpd answers", || {
            self.shell.ask(&["show bgp summary json"])
        })?;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        let stopped = self
            .processes
            .iter_mut()
            .try_for_each(|process| process.stop(Duration::from_secs(10)).map(|_| ()));
        self.clear();
        stopped
    }

    fn kill(&mut self) {
        self.clear();
    }

    fn state(&self, remote: IpAddr) -> Result<String> {
        let text = self.shell.ask(&[&format!("show bgp neighbors {remote} json")])?;
        let json: Value = serde_json::from_str(&text).context("vtysh JSON")?;
        let state = json[remote.to_string()]["bgpState"].as_str();
        Ok(state.with_context(|| format!("no session with {remote}: {text}"))?.to_owned())
    }

    fn bfd(&self, remote: IpAddr) -> Result<(String, u64)> {
        let find = |question: &str| -> Result<Value> {
            let text = self.shell.ask(&[question])?;
            let json: Value = serde_json::from_str(&text).context("vtysh JSON")?;
            let mut peers = json.as_array().into_iter().flatten();
            let peer = peers.find(|peer| peer["peer"] == remote.to_string()).cloned();
            peer.with_context(|| format!("no BFD session with {remote}: {text}"))
        };
        let state = find("show bfd peers json")?["status"].as_str().unwrap_or_default().to_owned();
        let downs = find("show bfd peers counters json")?["session-down"].as_u64();
        Ok((state, downs.context("no counter session-down")?))
    }

    fn learned(&self, family: Family) -> Result<BTreeSet<Learned>> {
        let text = self.shell.ask(&[&format!("show bgp {} unicast json", family_name(family))])?;
        parse_routes(&serde_json::from_str(&text).context("vtysh JSON")?)
    }

    fn originate(&mut self, prefix: Prefix) -> Result<()> {
        self.originated.insert(prefix);
        self.network("network", prefix)
    }

    fn withdraw(&mut self, prefix: Prefix) -> Result<()> {
        self.originated.remove(&prefix);
        self.network("no network", prefix)
    }
}

impl Shell {
    fn ask(&self, lines: &[&str]) -> Result<String> {
        let mut command = self.netns.command("vtysh");
        command.arg("--vty_socket").arg(&self.dir);
        lines.iter().for_each(|line| {
            command.args(["-c", line]);
        });
        run(&mut command)
    }
}

impl Diagnose for Shell {
    fn diagnose(&self) -> String {
        let mut text = format!("frr in {}:", self.netns.name());
        for question in [
            "show bgp neighbors",
            "show bgp ipv4 unicast",
            "show bgp ipv6 unicast",
            "show bfd peers",
        ] {
            let answer = self.ask(&[question]).unwrap_or_else(|error| format!("{error:#}"));
            let _infallible = write!(text, "\n$ {question}\n{answer}");
        }
        text
    }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

fn config_text(config: &Config, originated: &BTreeSet<Prefix>) -> String {
    let mut text = format!(
        "frr defaults datacenter\nhostname bgpd\nrouter bgp {}\n bgp router-id {}\n \
         no bgp ebgp-requires-policy\n no bgp network import-check\n \
         no bgp default ipv4-unicast\n bgp bestpath as-path multipath-relax\n coalesce-time 10\n",
        config.asn, config.router_id
    );
    text.push_str(if config.graceful_restart {
        " bgp graceful-restart\n bgp graceful-restart restart-time 30\n"
    } else {
        // By default it is a helper.
        " bgp graceful-restart-disable\n"
    });
    for Session { local, remote, remote_asn, passive, .. } in &config.sessions {
        let _infallible = write!(
            text,
            " neighbor {remote} remote-as {remote_asn}\n neighbor {remote} timers 3 9\n \
             neighbor {remote} timers connect 1\n neighbor {remote} update-source {local}\n"
        );
        if *passive {
            let _infallible = writeln!(text, " neighbor {remote} passive");
        }
        if config.bfd.is_some() {
            let _infallible =
                write!(text, " neighbor {remote} bfd\n neighbor {remote} bfd profile {PROFILE}\n");
        }
    }
    for family in [Family::V4, Family::V6] {
        text.push_str(&family_text(config, originated, family));
    }
    for (index, session) in config.sessions.iter().enumerate() {
        if let Some(address) = session.next_hop_v6 {
            let _infallible = write!(
                text,
                "route-map next-hop-{index} permit 10\n set ipv6 next-hop global {address}\n"
            );
        }
    }
    text
}

/// Name of the BFD profile.
const PROFILE: &str = "fast";

fn bfd_text(millis: u32) -> String {
    format!(
        "hostname bfdd\nbfd\n profile {PROFILE}\n  receive-interval {millis}\n  \
         transmit-interval {millis}\n  detect-multiplier 3\n exit\nexit\n"
    )
}

fn family_text(config: &Config, originated: &BTreeSet<Prefix>, family: Family) -> String {
    let mut text = format!(" address-family {} unicast\n  maximum-paths 8\n", family_name(family));
    for (index, session) in config.sessions.iter().enumerate() {
        if session.carries(family) {
            let _infallible = writeln!(text, "  neighbor {} activate", session.remote);
        }
        if family == Family::V6 && session.next_hop_v6.is_some() {
            let _infallible =
                writeln!(text, "  neighbor {} route-map next-hop-{index} out", session.remote);
        }
    }
    for prefix in originated.iter().filter(|prefix| Family::of(prefix.address) == family) {
        let _infallible = writeln!(text, "  network {prefix}");
    }
    text.push_str(" exit-address-family\n");
    text
}

fn parse_routes(json: &Value) -> Result<BTreeSet<Learned>> {
    let mut learned = BTreeSet::new();
    let Some(routes) = json["routes"].as_object() else { return Ok(learned) };
    for (prefix, paths) in routes {
        let prefix: Prefix = prefix.parse()?;
        let paths = paths.as_array().map(Vec::as_slice).unwrap_or_default();
        // What it originates itself has no peer.
        for path in paths.iter().filter(|path| path["peerId"] != "(unspec)") {
            let hops = path["nexthops"].as_array().map(Vec::as_slice).unwrap_or_default();
            let global =
                hops.iter().find(|hop| hop["scope"] != "link-local").or_else(|| hops.first());
            let next_hop = global.and_then(|hop| hop["ip"].as_str()).context("no next hop")?;
            let as_path = path["path"].as_str().unwrap_or_default();
            let as_path = as_path.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            learned.insert(Learned { prefix, next_hop: next_hop.parse()?, as_path });
        }
    }
    Ok(learned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_networks_are_not_learned_and_the_global_next_hop_counts() {
        let routes = json!({ "routes": {
            "fd00:1::/64": [
                { "peerId": "fd00::2", "path": "65002 65003", "nexthops": [
                    { "ip": "fe80::1", "afi": "ipv6", "scope": "link-local", "used": true },
                    { "ip": "fd00::2", "afi": "ipv6", "scope": "global" } ] },
            ],
            "fd00:2::/64": [ { "peerId": "(unspec)", "path": "", "nexthops": [ { "ip": "::" } ] } ],
        } });
        let learned: Vec<_> = parse_routes(&routes).expect("routes").into_iter().collect();
        assert_eq!(learned.len(), 1);
        assert_eq!(learned[0].prefix.to_string(), "fd00:1::/64");
        assert_eq!(learned[0].next_hop.to_string(), "fd00::2");
        assert_eq!(learned[0].as_path, [65002, 65003]);
    }
}
