// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node of a scenario: the daemon with a configuration that a few words describe.

use std::fmt::Write as _;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::netns::Netns;
use crate::peer::routed::Routed;

/// What a node's configuration says.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Name of the node.
    pub name: String,
    /// Its AS number.
    pub asn: u32,
    /// Its router id.
    pub router_id: String,
    /// Its uplinks.
    pub uplinks: Vec<String>,
    /// Its own addresses, `v4` and `v6`, if they are not those of the uplink.
    pub addresses: Option<(String, String)>,
    /// Its blocks.
    pub blocks: Vec<String>,
    /// Its peers.
    pub peers: Vec<PeerConfig>,
}

/// One `BGPPeer` and what its profile says.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Name of the peer.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its AS number.
    pub asn: u32,
    /// Whether the node waits for the peer to connect.
    pub passive: bool,
    /// `ipv4`, `ipv6` or both.
    pub families: Vec<&'static str>,
    /// Milliseconds between BFD packets, of which three may be missing.
    pub bfd: Option<u32>,
}

impl NodeConfig {
    /// A node without uplinks and peers, with a /26 and a /122.
    pub fn new(name: &str, asn: u32) -> Self {
        Self {
            name: name.to_owned(),
            asn,
            router_id: "10.255.0.1".to_owned(),
            uplinks: Vec::new(),
            addresses: None,
            blocks: vec!["10.64.1.0/26".to_owned(), "fd00:64:1::/122".to_owned()],
            peers: Vec::new(),
        }
    }

    /// Writes the configuration tree.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, node: &Routed) -> Result<()> {
        let quoted: Vec<String> = self.blocks.iter().map(|b| format!("\"{b}\"")).collect();
        let addresses = self
            .addresses
            .as_ref()
            .map(|(v4, v6)| format!("  addresses: {{ v4: {v4}, v6: \"{v6}\" }}\n"));
        node.configure(
            "node.yaml",
            &format!(
                "apiVersion: routed.dev/v1\nkind: NodeConfig\nmetadata: {{ name: {} }}\nspec:\n  asNumber: {}\n  \
                 routerId: {}\n  uplinks: [{}]\n  blocks: [{}]\n{}",
                self.name,
                self.asn,
                self.router_id,
                self.uplinks.join(", "),
                quoted.join(", "),
                addresses.unwrap_or_default()
            ),
        )?;
        node.configure("fabric/pools.yaml", POOLS)?;
        node.configure("fabric/peers.yaml", &self.peers_yaml())
    }

    fn peers_yaml(&self) -> String {
        let mut text = String::new();
        for peer in &self.peers {
            let _infallible = write!(
                text,
                "---\napiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {{ name: {0} }}\n\
                 spec: {{ peerIP: \"{1}\", asNumber: {2} }}\n\
                 ---\napiVersion: routed.dev/v1\nkind: BGPPeerProfile\nmetadata: {{ name: {0} }}\n\
                 spec: {{ peers: [{0}], passive: {3}, families: [{4}], timers: {{ holdTime: 9s, keepalive: 3s }}{5} }}\n",
                peer.name,
                peer.address,
                peer.asn,
                peer.passive,
                peer.families.join(", "),
                peer.bfd.map(|ms| format!(", bfd: {{ interval: {ms}ms }}")).unwrap_or_default()
            );
        }
        text
    }
}

/// Pools that hold every block of the scenarios.
const POOLS: &str = "\
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: pool-v4 }
spec: { cidr: 10.64.0.0/16, blockSize: 26, ipipMode: Never, vxlanMode: Never }
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: pool-v6 }
spec: { cidr: \"fd00:64::/32\", blockSize: 122 }
";

/// The kernel's routes of a protocol in a namespace, as `ip -j` prints them.
///
/// # Errors
/// If `ip` fails.
pub fn kernel_routes(netns: &Netns, family: &str, protocol: u8) -> Result<Vec<Value>> {
    let text = netns.run(&format!("ip -j {family} route show proto {protocol}"))?;
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&text).context("JSON of ip route")
}

/// The gateways of a learned route, sorted; an error if there is no such route.
///
/// # Errors
/// If the route is not there.
pub fn gateways(netns: &Netns, prefix: &str) -> Result<Vec<String>> {
    let family = if prefix.contains(':') { "-6" } else { "-4" };
    let routes = kernel_routes(netns, family, 83)?;
    let mut found: Vec<String> = routes
        .iter()
        .filter(|route| route["dst"] == prefix)
        .flat_map(|route| match route["nexthops"].as_array() {
            Some(hops) => hops.clone(),
            None => vec![route.clone()],
        })
        .filter_map(|hop| hop["gateway"].as_str().map(str::to_owned))
        .collect();
    found.sort();
    ensure!(!found.is_empty(), "no learned route to {prefix} in {}", netns.name());
    Ok(found)
}
