// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workloads: the record on disk, and the requests that make and end one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{LinkKey, MacAddr, NetnsId, WorkloadId};

/// A workload's record: an input, durable before any effect, and the allocation of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Who it is.
    pub id: WorkloadId,
    /// The namespace its container end lives in.
    pub netns: NetnsId,
    /// Orchestrator namespace; `default` without one.
    pub namespace: String,
    /// Name for people: pod or task name, else the container id.
    pub name: String,
    /// Labels that selectors see.
    pub labels: BTreeMap<String, String>,
    /// IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// IPv6 address.
    pub v6: Option<Ipv6Addr>,
    /// Hardware address of the container end.
    pub mac: MacAddr,
    /// MTU in bytes.
    pub mtu: u32,
    /// Name of the host end.
    pub host_interface: String,
    /// When it was first attached, in seconds since the Unix epoch (for people only).
    pub created: u64,
    /// How far its life has got.
    pub stage: Stage,
}

/// How far a workload's life has got, as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The record is written, the runtime has not been answered yet.
    Pending,
    /// The runtime has been answered.
    Attached,
    /// Detached; the record only holds the addresses until everything of it is gone (gate G2).
    Leaving,
}

impl Workload {
    /// Its addresses, IPv4 first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + use<> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }

    /// The kernel's key of its link.
    pub fn link_key(&self) -> LinkKey {
        LinkKey(self.host_interface.clone())
    }
}

/// Address families a workload asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Families {
    /// Wants an IPv4 address.
    pub v4: bool,
    /// Wants an IPv6 address.
    pub v6: bool,
}

/// A request to attach a container (CNI ADD).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachRequest {
    /// Who it is.
    pub id: WorkloadId,
    /// The container's network namespace.
    pub netns: NetnsId,
    /// Orchestrator namespace, if the runtime named one.
    pub namespace: Option<String>,
    /// Pod or task name, if the runtime named one.
    pub name: Option<String>,
    /// Labels that selectors see.
    pub labels: BTreeMap<String, String>,
    /// Families asked for; `None` = every family this node has blocks of.
    pub families: Option<Families>,
    /// Addresses asked for by value, at most one per family; must lie in own blocks.
    pub addresses: Vec<IpAddr>,
    /// Hardware address asked for.
    pub mac: Option<MacAddr>,
    /// MTU asked for; `None` = the node's.
    pub mtu: Option<u32>,
    /// When the request arrived, in seconds since the Unix epoch (for people only).
    pub received: u64,
}

/// The answer to an attach request: what the runtime is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachAnswer {
    /// Who it is.
    pub id: WorkloadId,
    /// Name of the host end; its hardware address is [`super::HOST_MAC`].
    pub host_interface: String,
    /// Hardware address of the container end.
    pub mac: MacAddr,
    /// MTU of both ends.
    pub mtu: u32,
    /// IPv4 address (/32); its gateway is [`super::GATEWAY_V4`].
    pub v4: Option<Ipv4Addr>,
    /// IPv6 address (/128); its gateway is [`super::GATEWAY_V6`].
    pub v6: Option<Ipv6Addr>,
}

/// A request to end an attachment (CNI DEL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachRequest {
    /// Who it is.
    pub id: WorkloadId,
    /// The namespace named in the request; `None` if the runtime no longer has one.
    pub netns: Option<NetnsId>,
}
