// SPDX-License-Identifier: MIT OR Apache-2.0
//! GoBGP, without a kernel table.
//!
//! Prefixes are put into its RIB by its command line, with the next hop spelled out: what it fills
//! in by itself for IPv6 over an IPv4 session is unusable.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::config::{Config, Family, Session};
use super::prefix::Prefix;
use super::speaker::{Learned, Peer};
use crate::diag::{self, Diagnose};
use crate::netns::Netns;
use crate::process::{Process, run};
use crate::wait::eventually;

/// `SESSION_STATE` of its API.
const STATES: [&str; 7] =
    ["unknown", "idle", "connect", "active", "opensent", "openconfirm", "established"];

/// A gobgpd process.
pub(super) struct Gobgp {
    name: String,
    netns: Netns,
    config: Config,
    originated: BTreeSet<Prefix>,
    process: Option<Process>,
    client: Rc<Client>,
}

/// Talks to the daemon's API in the same namespace.
struct Client {
    netns: Netns,
}

impl Gobgp {
    /// Not started yet.
    pub(super) fn new(netns: &Netns, config: Config) -> Self {
        let client = Rc::new(Client { netns: netns.clone() });
        diag::register(&client);
        let name = format!("gobgp in {}", netns.name());
        let originated = BTreeSet::new();
        Self { name, netns: netns.clone(), config, originated, process: None, client }
    }

    fn change(&self, verb: &str, prefix: Prefix) -> Result<()> {
        let family = Family::of(prefix.address);
        let session = self.config.sessions.iter().find(|session| session.carries(family));
        let session = session.with_context(|| format!("no session carries {prefix}"))?;
        let next_hop = match (family, session.next_hop_v6) {
            (Family::V6, Some(address)) => address.into(),
            _ => session.local,
        };
        let (prefix, next_hop) = (prefix.to_string(), next_hop.to_string());
        let words = ["global", "rib", verb, &prefix, "nexthop", &next_hop];
        self.client.ask(&[&words[..], &["-a", family_name(family)]].concat())?;
        Ok(())
    }
}

impl Peer for Gobgp {
    fn name(&self) -> &str {
        &self.name
    }

    fn start(&mut self) -> Result<()> {
        let file = self.netns.dir().join("gobgp.toml");
        fs::write(&file, config_text(&self.config)).context("writing gobgp.toml")?;
        let mut command = self.netns.command("gobgpd");
        command.arg("-f").arg(&file).args(["--api-hosts", "127.0.0.1:50051"]);
        command.args(["--pprof-disable", "-p"]);
        let log = self.netns.dir().join("gobgpd.log");
        let process = Process::spawn(&self.name, &mut command, &log)?;
        let process = self.process.insert(process);
        eventually(Duration::from_secs(10), "gobgpd answers", || {
            ensure!(process.is_running(), "gobgpd ended: {}", process.log_tail());
            // Its API is up before its configuration is read.
            for session in &self.config.sessions {
                self.client.ask(&["-j", "neighbor", &session.remote.to_string()])?;
            }
            self.client.ask(&["global"])
        })?;
        self.originated.iter().try_for_each(|prefix| self.change("add", *prefix))
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
        let text = self.client.ask(&["-j", "neighbor", &remote.to_string()])?;
        let json: Value = serde_json::from_str(&text).context("gobgp JSON")?;
        let number = json["state"]["session_state"].as_u64().unwrap_or_default();
        let state = usize::try_from(number).ok().and_then(|number| STATES.get(number));
        Ok((*state.with_context(|| format!("unknown state {number}"))?).to_owned())
    }

    fn bfd(&self, _remote: IpAddr) -> Result<(String, u64)> {
        anyhow::bail!("GoBGP has no BFD")
    }

    fn learned(&self, family: Family) -> Result<BTreeSet<Learned>> {
        let text = self.client.ask(&["-j", "global", "rib", "-a", family_name(family)])?;
        parse_routes(&serde_json::from_str(&text).context("gobgp JSON")?)
    }

    fn originate(&mut self, prefix: Prefix) -> Result<()> {
        self.originated.insert(prefix);
        self.change("add", prefix)
    }

    fn withdraw(&mut self, prefix: Prefix) -> Result<()> {
        self.originated.remove(&prefix);
        self.change("del", prefix)
    }
}

impl Client {
    fn ask(&self, words: &[&str]) -> Result<String> {
        run(self.netns.command("gobgp").args(words))
    }
}

impl Diagnose for Client {
    fn diagnose(&self) -> String {
        let mut text = format!("gobgp in {}:", self.netns.name());
        for question in ["neighbor", "global rib -a ipv4", "global rib -a ipv6"] {
            let answer = self.ask(&question.split(' ').collect::<Vec<_>>());
            let answer = answer.unwrap_or_else(|error| format!("{error:#}"));
            let _infallible = write!(text, "\n$ gobgp {question}\n{answer}");
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

fn config_text(config: &Config) -> String {
    let mut text = format!(
        "[global.config]\nas = {}\nrouter-id = \"{}\"\nport = 179\n",
        config.asn, config.router_id
    );
    for session in &config.sessions {
        text.push_str(&session_text(session, config.graceful_restart));
    }
    text
}

fn session_text(session: &Session, graceful_restart: bool) -> String {
    let Session { local, remote, remote_asn, passive, families, .. } = session;
    let mut text = format!(
        "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{remote}\"\n\
         peer-as = {remote_asn}\n[neighbors.transport.config]\npassive-mode = {passive}\n\
         local-address = \"{local}\"\n[neighbors.timers.config]\nhold-time = 9\n\
         keepalive-interval = 3\nconnect-retry = 1\nidle-hold-time-after-reset = 1\n"
    );
    if graceful_restart {
        text.push_str("[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = 30\n");
    }
    for family in families {
        let _infallible = write!(
            text,
            "[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \
             \"{}-unicast\"\n",
            family_name(*family)
        );
        if graceful_restart {
            text.push_str("[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true\n");
        }
    }
    text
}

fn parse_routes(json: &Value) -> Result<BTreeSet<Learned>> {
    let mut learned = BTreeSet::new();
    let Some(routes) = json.as_object() else { return Ok(learned) };
    for (prefix, paths) in routes {
        let prefix: Prefix = prefix.parse()?;
        let paths = paths.as_array().map(Vec::as_slice).unwrap_or_default();
        for path in paths {
            // What it originates itself has no neighbour.
            let neighbor = path["neighbor-ip"].as_str().unwrap_or_default();
            if neighbor.parse::<IpAddr>().is_ok_and(|address| !address.is_unspecified()) {
                let (next_hop, as_path) = attributes(path)?;
                learned.insert(Learned { prefix, next_hop, as_path });
            }
        }
    }
    Ok(learned)
}

/// Next hop (of `NEXT_HOP` or `MP_REACH_NLRI`) and AS path.
fn attributes(path: &Value) -> Result<(IpAddr, Vec<u32>)> {
    let attributes = path["attrs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let next_hop = attributes.iter().find_map(|attribute| attribute["nexthop"].as_str());
    let segments = attributes.iter().find_map(|attribute| attribute["as_paths"].as_array());
    let asns = segments.into_iter().flatten().filter_map(|segment| segment["asns"].as_array());
    let as_path = asns.flatten().filter_map(|asn| u32::try_from(asn.as_u64()?).ok()).collect();
    Ok((next_hop.context("no next hop")?.parse()?, as_path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn own_prefixes_are_not_learned() {
        let routes = json!({
            "10.1.0.0/24": [ { "neighbor-ip": "10.0.0.1", "attrs": [
                { "type": 1, "value": 0 },
                { "type": 2, "as_paths": [ { "segment_type": 2, "num": 1, "asns": [65001] } ] },
                { "type": 3, "nexthop": "10.0.0.1" } ] } ],
            "10.2.0.0/24": [ { "neighbor-ip": "<nil>", "attrs": [ { "type": 3, "nexthop": "10.0.0.2" } ] } ],
        });
        let learned: Vec<_> = parse_routes(&routes).expect("routes").into_iter().collect();
        assert_eq!(learned.len(), 1);
        assert_eq!(learned[0].as_path, [65001]);
        assert_eq!(learned[0].next_hop.to_string(), "10.0.0.1");
    }
}
