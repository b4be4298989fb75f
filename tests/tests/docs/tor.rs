// SPDX-License-Identifier: MIT OR Apache-2.0
//! The README's node and the README's ToR, as printed, against each other: default routes one way, blocks the other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fabric_tests::node::gateways;
use fabric_tests::peer::routed::Routed;
use fabric_tests::{Netns, Port, Process, cable, command, eventually, run};

use crate::page::Page;
use crate::tree;

/// FRR waits before its first advertisement.
const PATIENCE: Duration = Duration::from_secs(45);

#[test]
fn the_node_of_the_readme_meets_its_frr() -> Result<()> {
    if let Some(reason) = fabric_tests::missing(&["zebra", "bgpd", "ip"]) {
        return fabric_tests::skip(&reason);
    }
    meets("router bgp ", |tor, config| {
        let dir = tor.dir().join("frr");
        fs::create_dir_all(&dir).context("creating FRR's directory")?;
        fs::write(dir.join("zebra.conf"), "hostname tor\n").context("zebra.conf")?;
        fs::write(dir.join("bgpd.conf"), config).context("bgpd.conf")?;
        run(command("chown").args(["-R", "frr:frr"]).arg(&dir))?;
        let mut daemons = Vec::new();
        for daemon in ["zebra", "bgpd"] {
            let mut command = tor.command(Path::new("/usr/lib/frr").join(daemon));
            command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
            command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
            command.arg("-z").arg(dir.join("zserv.api")).arg("--vty_socket").arg(&dir);
            let log = tor.dir().join(format!("{daemon}.log"));
            let mut process = Process::spawn(daemon, &mut command, &log)?;
            let vty = dir.join(format!("{daemon}.vty"));
            eventually(PATIENCE, &format!("{daemon} listens"), || {
                ensure!(process.is_running(), "{daemon} ended: {}", process.log_tail());
                ensure!(vty.exists(), "no {}", vty.display());
                Ok(())
            })?;
            daemons.insert(0, process);
        }
        Ok(daemons)
    })
}

#[test]
fn the_node_of_the_readme_meets_its_bird() -> Result<()> {
    if let Some(reason) = fabric_tests::missing(&["bird", "ip"]) {
        return fabric_tests::skip(&reason);
    }
    meets("protocol bgp ", |tor, config| {
        let file = tor.dir().join("bird.conf");
        fs::write(&file, config).context("bird.conf")?;
        let mut command = tor.command("/usr/sbin/bird");
        command.arg("-f").arg("-c").arg(file).arg("-s").arg(tor.dir().join("bird.ctl"));
        command.arg("-P").arg(tor.dir().join("bird.pid"));
        Ok(vec![Process::spawn("bird", &mut command, &tor.dir().join("bird.log"))?])
    })
}

/// Starts the ToR whose configuration holds `word`, and the node; both must learn what the other has.
fn meets(word: &str, start: impl FnOnce(&Netns, &str) -> Result<Vec<Process>>) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = Page::read(&root, "README.md")?;
    let mut texts = readme.blocks.iter().filter(|block| block.language == "text");
    let config = texts.find(|block| block.text.contains(word)).context("the ToR's block")?;
    let mut samples = readme.blocks.iter().filter(|block| block.language == "yaml");
    let sample = samples.find(|block| block.text.contains("kind: NodeConfig"));
    let sample = sample.context("the node's block")?;

    let (node_ns, tor_ns) = (Netns::new("node")?, Netns::new("tor")?);
    cable(
        &Port::new(&node_ns, "eth0", &["10.1.1.11/24", "fd00:1::11/64"]),
        &Port::new(&tor_ns, "eth0", &["10.1.1.1/24", "fd00:1::1/64"]),
    )?;
    let tor = Tor(start(&tor_ns, &config.text)?);
    let mut node = Routed::new(&node_ns)?;
    for (name, text) in tree::split(&sample.text)? {
        node.configure(&name, &text)?;
    }
    node.start()?;
    for (family, gateway) in [("-4", "10.1.1.1"), ("-6", "fd00:1::1")] {
        eventually(PATIENCE, &format!("the node's default route over {gateway}"), || {
            let routes = node_ns.run(&format!("ip {family} route show proto 83"))?;
            ensure!(routes.contains(&format!("default via {gateway} ")), "{routes}");
            Ok(())
        })?;
    }
    let blocks = [("-4", "10.64.1.0/26", "10.1.1.11"), ("-6", "fd00:64:1::/122", "fd00:1::11")];
    for (family, block, gateway) in blocks {
        eventually(PATIENCE, &format!("the ToR's route to {block}"), || {
            let routes = tor_ns.run(&format!("ip {family} route show {block}"))?;
            ensure!(routes.contains(&format!("via {gateway} ")), "{routes}");
            Ok(())
        })?;
        ensure!(gateways(&node_ns, block).is_err(), "the node learned its own block");
    }
    node.stop()?;
    drop(tor);
    Ok(())
}

/// The ToR's programs.
struct Tor(Vec<Process>);

impl Drop for Tor {
    fn drop(&mut self) {
        for process in self.0.drain(..) {
            let pid = process.pid();
            drop(process);
            for daemon in ["zebra", "bgpd"] {
                // FRR keeps a directory for crash logs outside ours; BIRD has none.
                let _absent = fs::remove_dir_all(format!("/var/tmp/frr/{daemon}.{pid}"));
            }
        }
    }
}
