// SPDX-License-Identifier: MIT OR Apache-2.0
//! Nodes of the demo: a configuration tree and an unprivileged daemon each.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::plan::{Plan, Router, block_v4, block_v6};
use super::system::{self, Process};

/// The daemon's user: `nobody`.
pub(super) const UID: u32 = 65534;
/// All a node daemon may do: configure the network and bind port 179.
const CAPABILITIES: &str = "+net_admin,+net_bind_service";

/// The directories of one node.
#[derive(Clone, Debug)]
pub(super) struct NodeDirs {
    pub(super) config: PathBuf,
    pub(super) run: PathBuf,
    pub(super) state: PathBuf,
    pub(super) log: PathBuf,
}

impl NodeDirs {
    pub(super) fn new(base: &Path, node: &str) -> Self {
        Self::at(&base.join(node))
    }

    pub(super) fn at(dir: &Path) -> Self {
        Self {
            config: dir.join("config"),
            run: dir.join("run"),
            state: dir.join("state"),
            log: dir.join("routed.log"),
        }
    }

    pub(super) fn admin_socket(&self) -> PathBuf {
        self.run.join("routed.sock")
    }

    pub(super) fn cni_socket(&self) -> PathBuf {
        self.run.join("cni.sock")
    }

    /// Whether the daemon is there to answer.
    pub(super) fn answers(&self) -> bool {
        std::os::unix::net::UnixStream::connect(self.cni_socket()).is_ok()
    }
}

/// Writes the configuration tree of a node and hands the writable directories to the daemon's user.
pub(super) fn configure(plan: &Plan, node: &Router, dirs: &NodeDirs) -> Result<()> {
    let files = [
        ("node.yaml", node_yaml(node)),
        ("fabric/pools.yaml", pools_yaml()),
        ("fabric/bgp.yaml", bgp_yaml(node)),
        ("policies/demo.yaml", POLICY.to_owned()),
        ("workloads.d/demo.yaml", endpoints_yaml(plan)),
    ];
    write(&files, dirs)
}

/// The same for a ToR played by routed: it passes routes on and has no workloads.
pub(super) fn configure_tor(tor: &Router, dirs: &NodeDirs) -> Result<()> {
    let uplinks: Vec<&str> = tor.neighbours.iter().map(|n| n.local.name.as_str()).collect();
    let node = format!(
        "apiVersion: routed.dev/v1\nkind: NodeConfig\nmetadata: {{ name: {} }}\nspec:\n  \
         asNumber: {}\n  routerId: {}\n  uplinks: [{}]\n  blocks: []\n  \
         addresses: {{ v4: {}, v6: \"{}\" }}\n  bgp: {{ transit: true }}\n  \
         kernel: {{ routes: true, policy: false }}\n",
        tor.name,
        tor.asn,
        tor.loopback_v4,
        uplinks.join(", "),
        tor.loopback_v4,
        tor.loopback_v6,
    );
    write(&[("node.yaml", node), ("fabric/bgp.yaml", bgp_yaml(tor))], dirs)
}

fn write(files: &[(&str, String)], dirs: &NodeDirs) -> Result<()> {
    for (name, text) in files {
        let path = dirs.config.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    for dir in [&dirs.run, &dirs.state] {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        chown(dir, Some(UID), Some(UID)).with_context(|| format!("chown {}", dir.display()))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o750))?;
    }
    Ok(())
}

/// Starts the daemon of a node without privileges and waits until it is ready.
///
/// # Errors
/// The daemon ended, or was not ready within ten seconds; the error carries the end of its log.
pub(super) fn start(node: &Router, dirs: &NodeDirs, routed: &Path) -> Result<Process> {
    let mut command = system::inside(&node.netns(), "setpriv");
    command
        .arg(format!("--reuid={UID}"))
        .arg(format!("--regid={UID}"))
        .arg("--clear-groups")
        .arg(format!("--inh-caps=-all,{CAPABILITIES}"))
        .arg(format!("--ambient-caps=-all,{CAPABILITIES}"))
        .arg(format!("--bounding-set=-all,{CAPABILITIES}"))
        .arg("--no-new-privs")
        .arg(routed)
        .arg("run")
        .arg("--config")
        .arg(&dirs.config)
        .arg("--run-dir")
        .arg(&dirs.run)
        .arg("--state-dir")
        .arg(&dirs.state);
    let process = system::spawn(&format!("routed of {}", node.name), &mut command, &dirs.log)?;
    let socket = dirs.admin_socket();
    let up = system::wait_for(Duration::from_secs(10), || {
        (socket.exists() || !process.is_alive()).then_some(())
    });
    if up.is_none() || !process.is_alive() {
        process.end();
        let log = fs::read_to_string(&dirs.log).unwrap_or_default();
        let end: Vec<&str> = log.lines().rev().take(8).collect();
        bail!("the daemon of {} did not start:\n  {}", node.name, end.join("\n  "));
    }
    Ok(process)
}

fn node_yaml(node: &Router) -> String {
    let uplinks: Vec<&str> = node.neighbours.iter().map(|n| n.local.name.as_str()).collect();
    let index = node.name.chars().last().and_then(|c| c.to_digit(10)).unwrap_or(1);
    let index = u8::try_from(index).unwrap_or(1);
    format!(
        "apiVersion: routed.dev/v1\nkind: NodeConfig\nmetadata:\n  name: {}\n  labels: {{ rack: \"{}\" }}\n\
         spec:\n  asNumber: {}\n  routerId: {}\n  uplinks: [{}]\n  blocks: [{}, \"{}\"]\n  \
         addresses: {{ v4: {}, v6: \"{}\" }}\n",
        node.name,
        node.rack,
        node.asn,
        node.loopback_v4,
        uplinks.join(", "),
        block_v4(node.rack, index),
        block_v6(node.rack, index),
        node.loopback_v4,
        node.loopback_v6,
    )
}

/// Pools are the same on all nodes: one a rack and family.
fn pools_yaml() -> String {
    let mut text = String::new();
    for rack in 1..=2u8 {
        for (family, cidr, size) in
            [("v4", format!("10.64.{rack}.0/24"), 26), ("v6", format!("fd00:64:{rack}::/112"), 122)]
        {
            let _infallible = write!(
                text,
                "---\napiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {{ name: rack{rack}-{family} }}\n\
                 spec: {{ cidr: \"{cidr}\", blockSize: {size}, nodeSelector: rack == \"{rack}\", natOutgoing: false, \
                 ipipMode: Never, vxlanMode: Never }}\n"
            );
        }
    }
    text
}

/// One session to each ToR of the rack, both families on it.
fn bgp_yaml(node: &Router) -> String {
    let mut text = String::from(
        "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: { name: default }\n\
         spec: { nodeToNodeMeshEnabled: false }\n",
    );
    for n in &node.neighbours {
        let _infallible = write!(
            text,
            "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{ name: {} }}\n\
             spec: {{ peerIP: {}, asNumber: {} }}\n",
            n.name, n.remote.v4, n.asn
        );
    }
    text.push_str(
        "---\napiVersion: routed.dev/v1\nkind: BGPPeerProfile\nmetadata: { name: tors }\nspec:\n  \
         peers: [\"*\"]\n  families: [ipv4, ipv6]\n  timers: { holdTime: 9s, keepalive: 3s }\n  \
         gracefulRestart: { enabled: true, restartTime: 30s }\n",
    );
    text
}

/// What the other nodes' workloads are called: policy selects by these labels.
fn endpoints_yaml(plan: &Plan) -> String {
    let mut text = String::new();
    for w in &plan.workloads {
        let _infallible = write!(
            text,
            "---\napiVersion: routed.dev/v1\nkind: WorkloadEndpoint\nmetadata:\n  name: {}\n  \
             labels: {{ app: {} }}\nspec: {{ node: {}, addresses: [{}, \"{}\"] }}\n",
            w.name, w.app, w.node, w.v4, w.v6
        );
    }
    text
}

/// A Calico file: databases answer web servers on their port and to ping, and nobody else.
pub(super) const POLICY: &str = "\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: db-in }
spec:
  order: 100
  selector: app == \"db\"
  types: [Ingress]
  ingress:
  - { action: Allow, protocol: TCP, source: { selector: app == \"web\" }, destination: { ports: [5432] } }
  - { action: Allow, protocol: ICMP, source: { selector: app == \"web\" } }
  - { action: Allow, protocol: ICMPv6, source: { selector: app == \"web\" } }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_gets_its_own_blocks_and_both_tors() {
        let plan = Plan::new();
        let node = plan.nodes.iter().find(|n| n.name == "r2n2").expect("r2n2");
        let text = node_yaml(node);
        assert!(text.contains("blocks: [10.64.2.64/26, \"fd00:64:2::40/122\"]"), "{text}");
        assert!(text.contains("uplinks: [eth0, eth1]"), "{text}");
        let peers = bgp_yaml(node);
        assert!(peers.contains("name: tor2a") && peers.contains("name: tor2b"), "{peers}");
        assert!(!peers.contains("tor1a"), "{peers}");
    }
}
