// SPDX-License-Identifier: MIT OR Apache-2.0
//! BIRD 2.
//!
//! Its own retry times are minutes, so the configuration shortens them; originated prefixes are
//! static routes, changed by rewriting the file and `configure`, which leaves sessions alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::config::{Config, Family, Session};
use super::prefix::Prefix;
use super::speaker::{Learned, Peer};
use crate::diag::{self, Diagnose};
use crate::netns::Netns;
use crate::process::{Process, run};
use crate::wait::eventually;

/// A BIRD process.
pub(super) struct Bird {
    name: String,
    netns: Netns,
    config: Config,
    originated: BTreeSet<Prefix>,
    process: Option<Process>,
    control: Rc<Control>,
}

/// Talks to BIRD's control socket.
struct Control {
    netns: Netns,
    socket: PathBuf,
}

impl Bird {
    /// Not started yet.
    pub(super) fn new(netns: &Netns, config: Config) -> Self {
        let name = format!("bird in {}", netns.name());
        let control =
            Rc::new(Control { netns: netns.clone(), socket: netns.dir().join("bird.ctl") });
        diag::register(&control);
        let originated = BTreeSet::new();
        Self { name, netns: netns.clone(), config, originated, process: None, control }
    }

    fn file(&self) -> PathBuf {
        self.netns.dir().join("bird.conf")
    }

    fn write(&self) -> Result<()> {
        let text = config_text(&self.config, &self.originated);
        fs::write(self.file(), text).context("writing bird.conf")
    }

    fn reconfigure(&self) -> Result<()> {
        self.write()?;
        let answer = self.control.configure()?;
        ensure!(answer.contains("econfigur"), "birdc configure: {answer}");
        Ok(())
    }

    fn protocol(&self, remote: IpAddr) -> Result<String> {
        let index = self.config.sessions.iter().position(|session| session.remote == remote);
        Ok(format!("p{}", index.with_context(|| format!("no session with {remote}"))?))
    }
}

impl Peer for Bird {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&mut self) -> Result<()> {
        self.write()?;
        let dir = self.netns.dir();
        let mut command = self.netns.command("/usr/sbin/bird");
        command.arg("-f").arg("-c").arg(self.file()).arg("-s").arg(&self.control.socket);
        command.arg("-P").arg(dir.join("bird.pid"));
        if self.config.graceful_restart {
            command.arg("-R");
        }
        let process = Process::spawn(&self.name, &mut command, &dir.join("bird.log"))?;
        let process = self.process.insert(process);
        eventually(Duration::from_secs(10), "bird answers", || {
            ensure!(process.is_running(), "bird ended: {}", process.log_tail());
            self.control.ask(&["show", "status"])
        })?;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(Duration::from_secs(10))?;
        }
        Ok(())
    }

    fn kill(&mut self) {
        self.process = None;
    }

    fn state(&self, remote: IpAddr) -> Result<String> {
        let answer = self.control.ask(&["show", "protocols", "all", &self.protocol(remote)?])?;
        let states = answer.lines().filter_map(|line| line.trim().strip_prefix("BGP state:"));
        let mut states = states.map(|state| state.trim().to_owned());
        // Without that line the protocol is down as a whole.
        Ok(states.next().unwrap_or_else(|| "down".to_owned()))
    }

    fn bfd(&self, remote: IpAddr) -> Result<(String, u64)> {
        let answer = self.control.ask(&["show", "bfd", "sessions"])?;
        let remote = remote.to_string();
        // IP address, interface, state, since, interval, timeout.
        let mut lines = answer.lines().map(str::split_whitespace);
        let line = lines.find(|words| words.clone().next() == Some(&remote));
        let state = line.and_then(|mut words| words.nth(2)).context("no BFD session")?;
        let log = fs::read_to_string(self.netns.dir().join("bird.log")).unwrap_or_default();
        let downs = log.matches("BFD session down").count();
        Ok((state.to_lowercase(), u64::try_from(downs)?))
    }

    fn learned(&self, family: Family) -> Result<BTreeSet<Learned>> {
        let table = match family {
            Family::V4 => "master4",
            Family::V6 => "master6",
        };
        let question = ["show", "route", "all", "table", table, "where", "source", "=", "RTS_BGP"];
        parse_routes(&self.control.ask(&question)?)
    }

    fn originate(&mut self, prefix: Prefix) -> Result<()> {
        self.originated.insert(prefix);
        self.reconfigure()
    }

    fn withdraw(&mut self, prefix: Prefix) -> Result<()> {
        self.originated.remove(&prefix);
        self.reconfigure()
    }
}

impl Control {
    fn ask(&self, question: &[&str]) -> Result<String> {
        let mut command = self.netns.command("/usr/sbin/birdc");
        run(command.arg("-r").arg("-s").arg(&self.socket).args(question))
    }

    fn configure(&self) -> Result<String> {
        let mut command = self.netns.command("/usr/sbin/birdc");
        run(command.arg("-s").arg(&self.socket).arg("configure"))
    }
}

impl Diagnose for Control {
    fn diagnose(&self) -> String {
        let ask = |question: &[&str]| self.ask(question).unwrap_or_else(|e| format!("{e:#}"));
        let (protocols, routes) =
            (ask(&["show", "protocols", "all"]), ask(&["show", "route", "all"]));
        format!("bird in {}:\n{protocols}\n{routes}", self.netns.name())
    }
}

fn config_text(config: &Config, originated: &BTreeSet<Prefix>) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {};\nprotocol device {{ scan time 1; }}\n",
        config.router_id
    );
    if let Some(millis) = config.bfd {
        let _infallible = writeln!(
            text,
            "protocol bfd {{ interface \"*\" {{ interval {millis} ms; idle tx interval 1 s; \
             multiplier 3; }}; }}"
        );
    }
    for (family, is_v4) in [("ipv4", true), ("ipv6", false)] {
        let _infallible = writeln!(
            text,
            "protocol kernel {{ {family} {{ import none; export where source = RTS_BGP; }}; \
             merge paths on; }}\nprotocol static {{ {family};"
        );
        for prefix in originated.iter().filter(|prefix| prefix.is_v4() == is_v4) {
            let _infallible = writeln!(text, "  route {prefix} blackhole;");
        }
        text.push_str("}\n");
    }
    for (index, session) in config.sessions.iter().enumerate() {
        text.push_str(&session_text(config, index, session));
    }
    text
}

fn session_text(config: &Config, index: usize, session: &Session) -> String {
    let mut text = format!(
        "protocol bgp p{index} {{\n  local {} as {};\n  neighbor {} as {};\n  direct;\n  \
         hold time 9; keepalive time 3;\n  error wait time 1, 2; connect retry time 1; \
         connect delay time 1;\n",
        session.local, config.asn, session.remote, session.remote_asn
    );
    if session.passive {
        text.push_str("  passive on;\n");
    }
    if config.bfd.is_some() {
        text.push_str("  bfd on;\n");
    }
    text.push_str(if config.graceful_restart {
        "  graceful restart on; graceful restart time 30;\n"
    } else {
        // By default it is a helper, for plain and long-lived restart.
        "  graceful restart off; long lived graceful restart off;\n"
    });
    for family in &session.families {
        let (name, next_hop) = match (family, session.next_hop_v6) {
            (Family::V4, _) => ("ipv4", String::new()),
            (Family::V6, Some(address)) => ("ipv6", format!(" next hop address {address};")),
            (Family::V6, None) => ("ipv6", String::new()),
        };
        let _infallible = writeln!(
            text,
            "  {name} {{ import all; export where source ~ [RTS_BGP, RTS_STATIC];{next_hop} }};"
        );
    }
    text.push_str("}\n");
    text
}

/// A route is a line that begins with its prefix, or with white space and `unicast` for another
/// path to the same prefix; its attributes follow on indented lines.
fn parse_routes(text: &str) -> Result<BTreeSet<Learned>> {
    let mut learned = BTreeSet::new();
    let mut prefix: Option<Prefix> = None;
    let mut as_path = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if let Ok(found) = first.parse() {
            prefix = Some(found);
        } else if let Some(path) = line.trim().strip_prefix("BGP.as_path:") {
            as_path = parse_as_path(path)?;
        } else if first == "BGP.next_hop:" {
            let next_hop = words.next().context("no next hop")?.parse()?;
            let Some(prefix) = prefix else { bail!("attributes before a prefix:\n{text}") };
            learned.insert(Learned { prefix, next_hop, as_path: std::mem::take(&mut as_path) });
        }
    }
    Ok(learned)
}

fn parse_as_path(text: &str) -> Result<Vec<u32>> {
    text.split_whitespace()
        .map(|asn| asn.parse().with_context(|| format!("not an AS: {asn:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_with_all_their_paths() {
        let text = "BIRD 2.0.12 ready.\nTable master4:\n\
            10.1.0.0/24          unicast [p0 12:00:00.000] * (100) [AS65002i]\n\
            \tvia 10.0.0.2 on eth0\n\tType: BGP univ\n\tBGP.origin: IGP\n\
            \tBGP.as_path: 65002 65003\n\tBGP.next_hop: 10.0.0.2\n\tBGP.local_pref: 100\n\
            \x20                    unicast [p1 12:00:00.000] (100) [AS65004i]\n\
            \tBGP.as_path: \n\tBGP.next_hop: 10.0.1.2 fe80::1\n";
        let prefix: Prefix = "10.1.0.0/24".parse().expect("a prefix");
        let learned: Vec<_> = parse_routes(text).expect("routes").into_iter().collect();
        let path = |next_hop: [u8; 4], as_path: &[u32]| Learned {
            prefix,
            next_hop: next_hop.into(),
            as_path: as_path.to_vec(),
        };
        assert_eq!(learned, [path([10, 0, 0, 2], &[65002, 65003]), path([10, 0, 1, 2], &[])]);
    }
}
