// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon is gone for a moment: the plugin waits, and whoever is attached stays as it is.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use fabric_tests::{Netns, Port, Process, cable, eventually, require};

use super::scene::{Container, DUAL, Doorman, NODE_V4, NODE_V6, PATIENCE, Scene};

/// Whether something has come to pass.
type Condition = fn(&Scene) -> Result<bool>;

#[test]
fn the_plugin_waits_for_a_daemon_that_restarts() -> Result<()> {
    require!("ip", "nft");
    let mut scene = Scene::new("waits", &DUAL)?;
    let (a, a_added) = Container::attached(&scene, "a")?;
    let b = Container::new("b")?;

    // Asked while nobody is there.
    scene.node.kill();
    let add = scene.runtime.start_add(b.attachment(), &[])?;
    let mut config = scene.runtime.config().clone();
    config["prevResult"] = a_added.body.clone();
    let check = scene.runtime.start("CHECK", a.attachment(), &config)?;
    scene.start()?;
    let b_added = add.finish()?.success()?;
    check.finish()?.success()?;
    scene.runtime.check(b.attachment(), &b_added)?.success()?;

    // Asked, and killed before it answered or a moment later.
    let moments: [(&str, Condition); 3] = [
        ("at once", |_| Ok(true)),
        ("record", |scene| Ok(scene.records()?.len() == 3)),
        ("link", |scene| Ok(scene.footprint()?.links.len() == 3)),
    ];
    for (moment, has_come) in moments {
        let c = Container::new(moment.split(' ').next().unwrap_or_default())?;
        let add = scene.runtime.start_add(c.attachment(), &[])?;
        eventually(PATIENCE, "the request came far enough", || {
            ensure!(has_come(&scene)?, "not yet: {moment}");
            Ok(())
        })?;
        scene.node.kill();
        scene.node.start()?;
        let added = add.finish()?.success().with_context(|| format!("killed {moment}"))?;
        scene.runtime.check(c.attachment(), &added)?.success()?;
        scene.runtime.del(c.attachment())?.success()?;
        eventually(PATIENCE, "the record is gone", || {
            ensure!(scene.records()?.len() == 2, "{:?}", scene.records()?);
            Ok(())
        })?;
    }
    Ok(())
}

/// Writes down what a kernel says about its changes.
struct Ear {
    _process: Process,
    log: PathBuf,
    netns: Netns,
    /// Makes and unmakes something, with a number in it.
    mark: fn(&Netns, u32) -> Result<String>,
    marks: u32,
}

impl Ear {
    fn new(
        netns: &Netns,
        name: &str,
        words: &[&str],
        mark: fn(&Netns, u32) -> Result<String>,
    ) -> Result<Self> {
        let log = netns.dir().join(name);
        let mut command = netns.command(words[0]);
        command.args(&words[1..]);
        let process = Process::spawn(name, &mut command, &log)?;
        let mut ear = Self { _process: process, log, netns: netns.clone(), mark, marks: 0 };
        ear.hear()?;
        Ok(ear)
    }

    fn links(netns: &Netns) -> Result<Self> {
        Self::new(netns, "ip-monitor", &["ip", "monitor", "all"], |netns, number| {
            let priority = 20_000 + number;
            netns.run(&format!("ip rule add priority {priority} lookup main"))?;
            netns.run(&format!("ip rule del priority {priority}"))?;
            Ok(format!("{priority}:"))
        })
    }

    fn rules(netns: &Netns) -> Result<Self> {
        Self::new(netns, "nft-monitor", &["nft", "monitor"], |netns, number| {
            netns.run(&format!("nft add table inet ear{number}"))?;
            netns.run(&format!("nft delete table inet ear{number}"))?;
            Ok(format!("ear{number}"))
        })
    }

    /// Waits until it has heard everything that happened before. Gives what was no mark.
    fn hear(&mut self) -> Result<Vec<String>> {
        let (log, netns, mark, marks) = (&self.log, &self.netns, self.mark, &mut self.marks);
        let mut known = Vec::new();
        eventually(PATIENCE, "the monitor hears", || {
            *marks += 1;
            known.push(mark(netns, *marks)?);
            let text = fs::read_to_string(log).context("reading the log of a monitor")?;
            let last = known.last().map(String::as_str).unwrap_or_default();
            let heard = text.lines().filter(|line| line.contains(last)).count();
            ensure!(heard >= 2, "{last} was heard {heard} times");
            Ok(())
        })?;
        let text = fs::read_to_string(log).context("reading the log of a monitor")?;
        let is_mark = |line: &str| {
            // The last: a namespace of some other test that vanished while `ip` was listing all.
            line.starts_with('#')
                || line == "Error: Peer netns reference is invalid."
                || (line.contains("lookup main") && line.contains("200"))
                || line.contains("table inet ear")
        };
        let others = text.lines().filter(|line| !is_mark(line));
        Ok(others.map(str::to_owned).collect())
    }
}

#[test]
fn a_killed_daemon_adopts_its_workloads_without_a_write() -> Result<()> {
    require!("ip", "nft");
    let mut scene = Scene::new("adopts", &DUAL)?;
    scene.node.configure("policies/p.yaml", POLICY)?;
    // Otherwise the first link had index 2 at both ends; the kernel takes such a one for no pair, and tells of its
    // carrier up to a second late.
    let wire = Netns::new("wire")?;
    cable(&Port::new(&scene.netns, "eth0", &[]), &Port::new(&wire, "eth0", &[]))?;
    let mut attached = Vec::new();
    for number in 0..5 {
        let container = Container::new(&format!("c{number}"))?;
        let added = scene.runtime.add(container.attachment(), &[("app", "web")])?.success()?;
        attached.push((container, added));
    }
    eventually(PATIENCE, "the policy is in force", || {
        let status = scene.node.json(&["status"])?;
        ensure!(status["policy"]["policies"] == 1 && status["policy"]["pending"] == 0, "{status}");
        Ok(())
    })?;
    scene.wait_in_sync()?;
    let before = (scene.footprint()?, scene.records()?, scene.workloads()?);

    scene.node.kill();
    // Packets flow without it.
    let door = Doorman::new(&attached[0].0.netns)?;
    for address in attached[0].1.addresses() {
        door.visit(&attached[1].0.netns, address)?;
        let node = if address.is_ipv4() { NODE_V4 } else { NODE_V6 };
        ensure!(door.visit(&scene.netns, address)? == node.parse::<std::net::IpAddr>()?);
    }

    let mut ears = vec![("node", Ear::links(&scene.netns)?), ("nft", Ear::rules(&scene.netns)?)];
    for (container, _) in &attached[..2] {
        ears.push(("container", Ear::links(&container.netns)?));
    }
    scene.start()?;
    for (container, added) in &attached {
        scene.runtime.check(container.attachment(), added)?.success()?;
        let again = scene.runtime.add(container.attachment(), &[("app", "web")])?.success()?;
        ensure!(again.body == added.body, "{} is not {}", again.body, added.body);
    }
    scene.wait_in_sync()?;
    for (whose, ear) in &mut ears {
        let mut heard = ear.hear()?;
        // The one write that is allowed: ownership of the table is claimed again.
        heard.retain(|line| !line.starts_with("add table inet routed"));
        // Entries that the kernel made of its own accord grow old; ours are permanent.
        heard.retain(|line| !line.starts_with("[NEIGH]") || line.contains("PERMANENT"));
        ensure!(heard.is_empty(), "{whose}: {heard:#?}");
    }
    let after = (scene.footprint()?, scene.records()?, scene.workloads()?);
    ensure!(after == before, "{after:#?} is not {before:#?}");
    ensure!(scene.node.json(&["status"])?["degraded"] == false);

    // It knows them well enough to take one away.
    let (container, _) = &attached[0];
    scene.runtime.del(container.attachment())?.success()?;
    container.wait_bare()?;
    ensure!(!ears[0].1.hear()?.is_empty(), "the ear hears what is taken away");
    ensure!(!ears[1].1.hear()?.is_empty(), "the other ear, too");
    Ok(())
}

const POLICY: &str = "\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: web }
spec:
  selector: app == \"web\"
  types: [Ingress]
  ingress: [{ action: Allow }]
";
