// SPDX-License-Identifier: MIT OR Apache-2.0
//! A workload's link: one veth pair, its host end in our namespace.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{LinkKey, MacAddr, NetnsId, WorkloadId};

/// The fixed hardware address of every host end.
pub const HOST_MAC: MacAddr = MacAddr([0xee; 6]);

/// The fixed IPv4 gateway of every workload; also the address of every host end.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The fixed IPv6 gateway of every workload; also the link-local address of every host end.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// What a workload's link shall be. Keyed by its host interface name ([`LinkKey`]).
///
/// The identity (id, namespace) sits in the value, so a delete and an add that coalesce in a
/// mailbox are still seen as a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LinkSpec {
    /// Whose link this is; goes into the interface alias in full.
    pub id: WorkloadId,
    /// Host interface name: the workloads' prefix and 11 hexadecimal digits.
    pub host_interface: String,
    /// Interface name inside the container.
    pub container_interface: String,
    /// Hardware address of the container end.
    pub mac: MacAddr,
    /// MTU of both ends, in bytes.
    pub mtu: u32,
    /// IPv4 address of the container end (/32), if any.
    pub v4: Option<Ipv4Addr>,
    /// IPv6 address of the container end (/128), if any.
    pub v6: Option<Ipv6Addr>,
    /// The namespace the container end lives in.
    pub netns: NetnsId,
}

impl LinkSpec {
    /// The kernel's key of this link.
    pub fn key(&self) -> LinkKey {
        LinkKey(self.host_interface.clone())
    }
}
