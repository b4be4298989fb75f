// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration as the daemon uses it: checked, complete, without files and YAML.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bgp::types::{Asn, BgpId, Prefix};
use policy::model::{EndpointKey, Labels, Policy, PolicyId};

use crate::model::{BfdTimers, Block};

/// Everything that the files of a configuration directory say to one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node itself.
    pub node: Node,
    /// Pools, by name.
    pub pools: BTreeMap<String, Pool>,
    /// The node's blocks, in the order of the file. They do not overlap, and each lies in a pool.
    pub blocks: Vec<Block>,
    /// The peers of this node, by name. Next hops are not filled in: they follow from the uplinks.
    pub peers: Vec<Peer>,
    /// Network policies.
    pub policies: BTreeMap<PolicyId, Arc<Policy>>,
    /// Static workload endpoints of all nodes, keyed `namespace/name`. No two share an address.
    pub endpoints: BTreeMap<EndpointKey, StaticEndpoint>,
}

/// Identity and switches of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels: what a node selector sees.
    pub labels: Labels,
    /// Its autonomous system.
    pub asn: Asn,
    /// Its BGP identifier; derived from its addresses when absent.
    pub router_id: Option<BgpId>,
    /// Interfaces towards the fabric; empty means those whose subnets hold a peer.
    pub uplinks: Vec<String>,
    /// Where sessions are accepted; `None` means on the uplinks' addresses.
    pub listen: Option<Vec<IpAddr>>,
    /// TCP port on which sessions are accepted.
    pub port: u16,
    /// Pass learned paths on to every peer: this node is a router of the fabric.
    pub transit: bool,
    /// The node's own IPv4 address; chosen from its interfaces when absent.
    pub address_v4: Option<Ipv4Addr>,
    /// The node's own IPv6 address; chosen from its interfaces when absent.
    pub address_v6: Option<Ipv6Addr>,
    /// What the daemon may write into the kernel.
    pub kernel: Kernel,
    /// How workloads are attached.
    pub workloads: Workloads,
}

/// What the daemon may write into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// Links and routes.
    pub routes: bool,
    /// The policy table.
    pub policy: bool,
    /// The node-wide forwarding switches.
    pub forwarding: Forwarding,
}

/// What to do about the node-wide forwarding switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Turn them on, remember what they were.
    Manage,
    /// Only check that they are on.
    Require,
}

/// How workloads are attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workloads {
    /// First letters of every host interface of a workload.
    pub interface_prefix: String,
    /// MTU of workload links.
    pub mtu: Mtu,
}

/// MTU of workload links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtu {
    /// The smallest MTU of the uplinks.
    Auto,
    /// This many bytes.
    Fixed(u32),
}

/// A BGP peer of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What the files say.
    pub speaker: bgp::PeerConfig,
    /// Sessions start from the node's own address.
    pub use_node_address: bool,
    /// The path to it is watched.
    pub bfd: Option<BfdTimers>,
}

/// An address pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its addresses.
    pub cidr: Prefix,
    /// Length of its blocks, if the file says it.
    pub block_size: Option<u8>,
    /// No new workload gets an address of it.
    pub disabled: bool,
    /// The pool serves this node.
    pub selected: bool,
}

/// A workload that a file describes: one of another node, or more labels for one of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticEndpoint {
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The node it runs on, if the file says it.
    pub node: Option<String>,
}
