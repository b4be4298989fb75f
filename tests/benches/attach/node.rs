// SPDX-License-Identifier: MIT OR Apache-2.0
//! The nodes that are measured: one with our daemon, one with ptp and host-local.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fabric_tests::node::NodeConfig;
use fabric_tests::peer::routed::Routed;
use fabric_tests::{Netns, eventually};
use serde_json::{Value, json};

use crate::plugin::Plugin;
use crate::usage;

/// Where Debian keeps the plugins.
const INCUMBENTS: &str = "/usr/lib/cni";
/// The largest blocks there are: room for every workload, cooling addresses included.
const BLOCK: &str = "10.64.0.0/20";
const BLOCK_V6: &str = "fd00:64:1::/116";
const POOLS: &str = "\
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: pool-v4 }
spec: { cidr: 10.64.0.0/16, blockSize: 20, ipipMode: Never, vxlanMode: Never }
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: pool-v6 }
spec: { cidr: \"fd00:64::/32\", blockSize: 116 }
";

/// Which families a container gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Families {
    V4,
    Dual,
}

/// A node, its plugin, and our daemon if it is ours.
pub(crate) struct Node {
    pub(crate) plugin: Plugin,
    daemon: Option<Routed>,
}

impl Families {
    fn count(self) -> usize {
        match self {
            Self::V4 => 1,
            Self::Dual => 2,
        }
    }
}

impl Node {
    /// A daemon in a fresh namespace, ready.
    pub(crate) fn routed(label: &str, families: Families) -> Result<Self> {
        let netns = Netns::new(label)?;
        netns.run("ip address add 10.255.0.1/32 dev lo")?;
        netns.run("ip address add fd00:255::1/128 dev lo")?;
        let mut daemon = Routed::new(&netns)?;
        let mut config = NodeConfig::new(label, 4_200_000_111);
        config.addresses = Some(("10.255.0.1".to_owned(), "fd00:255::1".to_owned()));
        config.blocks = vec![BLOCK.to_owned()];
        if families == Families::Dual {
            config.blocks.push(BLOCK_V6.to_owned());
        }
        config.write(&daemon)?;
        daemon.configure("fabric/pools.yaml", POOLS)?;
        daemon.start()?;
        eventually(Duration::from_secs(20), "the node is ready", || {
            let status = daemon.json(&["status"])?;
            ensure!(status["ready"] == true, "{status}");
            Ok(())
        })?;
        let socket = daemon.cni_socket();
        let config = json!({
            "cniVersion": "1.0.0", "name": "fabric", "type": "routed-cni", "socket": socket,
        });
        let plugin = Plugin::new(&netns, &routed_cni()?, &config, families.count());
        Ok(Self { plugin, daemon: Some(daemon) })
    }

    /// ptp with host-local in a fresh namespace; no masquerading.
    pub(crate) fn ptp(label: &str, families: Families) -> Result<Self> {
        let netns = Netns::new(label)?;
        let config = json!({
            "cniVersion": "1.0.0", "name": label, "type": "ptp", "ipMasq": false,
            "ipam": host_local(&netns.dir().join("ipam"), families),
        });
        let program = Path::new(INCUMBENTS).join("ptp");
        Ok(Self { plugin: Plugin::new(&netns, &program, &config, families.count()), daemon: None })
    }

    /// Process id of the daemon.
    pub(crate) fn daemon_pid(&self) -> Option<u32> {
        self.daemon.as_ref().and_then(Routed::pid)
    }

    /// Version of our daemon.
    pub(crate) fn version(&self) -> Result<String> {
        let daemon = self.daemon.as_ref().context("no daemon of ours")?;
        let answer = daemon.cli(&["version"])?;
        let text = String::from_utf8_lossy(&answer.stdout);
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// Waits until the node has no more links than this and its daemon rests. Our daemon answers DEL
    /// before the kernel has removed the link, and while the kernel does so it lets nobody else
    /// change a link in any namespace; what follows shall not be measured beside that.
    pub(crate) fn settle(&self, links: usize) -> Result<()> {
        eventually(Duration::from_secs(60), "the links are gone", || {
            let left = self.links()?;
            ensure!(left <= links, "{left} links");
            let idle = self.daemon_pid().map_or(Ok(true), usage::is_idle)?;
            ensure!(idle, "the daemon is busy");
            Ok(())
        })
    }

    /// Number of links beside the loopback.
    pub(crate) fn links(&self) -> Result<usize> {
        let text = self.plugin.node().enter(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
        let text = text.context("reading the links")?;
        Ok(text.lines().skip(2).filter(|line| !line.trim_start().starts_with("lo:")).count())
    }
}

/// Why the others cannot be measured, if they cannot.
pub(crate) fn missing_incumbents() -> Option<String> {
    let absent = ["ptp", "host-local"].map(|name| Path::new(INCUMBENTS).join(name));
    let absent = absent.iter().find(|path| !path.is_file())?;
    Some(format!("no {} (tests/install-peers.sh bench)", absent.display()))
}

/// The plugin under test.
fn routed_cni() -> Result<PathBuf> {
    let path =
        std::env::var_os("ROUTED_CNI_BIN").context("ROUTED_CNI_BIN is not set: `make bench`")?;
    let path = PathBuf::from(path);
    path.canonicalize().with_context(|| format!("resolving {}", path.display()))
}

fn host_local(state: &Path, families: Families) -> Value {
    let mut ranges = vec![json!([{ "subnet": "10.66.0.0/16" }])];
    let mut routes = vec![json!({ "dst": "0.0.0.0/0" })];
    if families == Families::Dual {
        ranges.push(json!([{ "subnet": "fd00:66::/64" }]));
        routes.push(json!({ "dst": "::/0" }));
    }
    json!({ "type": "host-local", "dataDir": state, "ranges": ranges, "routes": routes })
}
