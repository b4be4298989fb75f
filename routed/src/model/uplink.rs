// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is observed of the node's own interfaces.

use std::collections::BTreeSet;
use std::net::IpAddr;

/// Observation of the loopback, the configured uplinks and the node's own addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uplinks {
    /// Addresses of `lo`, in the kernel's order.
    pub loopback: Vec<InterfaceAddress>,
    /// The configured uplinks that exist, in configured order. Without a configured uplink: every
    /// interface except `lo` and workload links, by index.
    pub interfaces: Vec<Uplink>,
    /// Every unicast address of the node that may be used: all interfaces except workload links.
    pub local: BTreeSet<IpAddr>,
}

/// One uplink as the kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// Interface name.
    pub name: String,
    /// Interface index.
    pub index: u32,
    /// Administratively up with carrier.
    pub up: bool,
    /// MTU in bytes.
    pub mtu: u32,
    /// Addresses, in the kernel's order.
    pub addresses: Vec<InterfaceAddress>,
}

/// One address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address itself.
    pub address: IpAddr,
    /// Length of its subnet.
    pub prefix_len: u8,
    /// Scope is global (not link, not host).
    pub global: bool,
    /// The kernel marks it secondary (IPv4) or temporary, tentative or deprecated (IPv6).
    pub secondary: bool,
}
