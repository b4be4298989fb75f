// SPDX-License-Identifier: MIT OR Apache-2.0
//! The private protocol between the plugin and the daemon.
//!
//! One connection carries one request and one answer. Each is a *frame*: a `u32` length in big
//! endian, then that many bytes of JSON. [`Add`] and [`Check`] carry two file descriptors as
//! `SCM_RIGHTS` on the first byte of the frame, in this order: the network namespace of the
//! container, then a `NETLINK_ROUTE` socket that was opened inside it. [`Del`] carries none.
//!
//! A change that an older side would misread raises [`MAJOR`]; a new optional field raises
//! [`MINOR`]. Unknown fields are ignored, an unknown major version is refused with both versions
//! named, so plugin and daemon may be upgraded one after the other.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

use crate::spec::{ContainerId, Error, IfName, Mac};

/// Major version of this protocol; the daemon refuses any other.
pub const MAJOR: u16 = 1;
/// Minor version of this protocol; informative.
pub const MINOR: u16 = 0;
/// Largest frame body, in bytes, in either direction.
pub const MAX_FRAME: usize = 1024 * 1024;
/// Number of bytes of the length in front of a frame.
pub const LENGTH: usize = 4;
/// Number of file descriptors that come with [`Add`] and [`Check`].
pub const FDS: usize = 2;
/// Where the daemon listens unless the plugin configuration says otherwise.
pub const DEFAULT_SOCKET: &str = "/run/routed/cni.sock";

/// The part of a request that every version of the protocol shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Incompatible generations of the protocol.
    pub major: u16,
    /// Additions within a generation.
    pub minor: u16,
}

impl Version {
    /// The version this build speaks.
    pub const CURRENT: Self = Self { major: MAJOR, minor: MINOR };
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// Reads only the version of a request, so that a daemon can name both versions in its refusal.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Envelope {
    /// Version of the sender.
    pub version: Version,
}

/// What the plugin asks of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Version of the sender.
    pub version: Version,
    /// Package version of the plugin, for logs.
    pub plugin: String,
    /// What is asked.
    pub call: Call,
}

impl Request {
    /// A request of this build.
    #[must_use]
    pub fn new(call: Call) -> Self {
        Self { version: Version::CURRENT, plugin: env!("CARGO_PKG_VERSION").to_owned(), call }
    }
}

/// The verbs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Call {
    /// Attach a workload; answered by [`Reply::Attached`].
    Add(Add),
    /// Detach a workload; answered by [`Reply::Done`], also when it is unknown.
    Del(Del),
    /// Compare a workload with what ADD promised; answered by [`Reply::Attached`].
    Check(Check),
}

impl Call {
    /// The CNI name of the verb.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Del(_) => "DEL",
            Self::Check(_) => "CHECK",
        }
    }

    /// How many file descriptors must accompany the request.
    #[must_use]
    pub fn fds(&self) -> usize {
        match self {
            Self::Add(_) | Self::Check(_) => FDS,
            Self::Del(_) => 0,
        }
    }

    /// The container the call is about.
    #[must_use]
    pub fn container_id(&self) -> &ContainerId {
        match self {
            Self::Add(add) => &add.container_id,
            Self::Del(del) => &del.container_id,
            Self::Check(check) => &check.container_id,
        }
    }

    /// The interface name inside the container the call is about.
    #[must_use]
    pub fn ifname(&self) -> &IfName {
        match self {
            Self::Add(add) => &add.ifname,
            Self::Del(del) => &del.ifname,
            Self::Check(check) => &check.ifname,
        }
    }
}

/// Attach a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    /// Container id given by the runtime.
    pub container_id: ContainerId,
    /// Interface to create inside the container.
    pub ifname: IfName,
    /// `name` of the network configuration.
    pub network: String,
    /// Identity of the container's network namespace; equals that of the first descriptor.
    pub netns: Netns,
    /// Addresses asked for, at most one per family; empty lets the daemon choose.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
    /// MAC address asked for.
    #[serde(default)]
    pub mac: Option<Mac>,
    /// Labels of the workload, all sources merged.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Namespace of the workload (`K8S_POD_NAMESPACE`).
    #[serde(default)]
    pub namespace: Option<String>,
    /// Name of the workload (`K8S_POD_NAME`).
    #[serde(default)]
    pub name: Option<String>,
    /// Why IPv6 could not be enabled inside the container, if it could not: worth showing when an
    /// IPv6 address is then refused by the kernel.
    #[serde(default)]
    pub ipv6_problem: Option<String>,
}

/// Detach a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Del {
    /// Container id given by the runtime.
    pub container_id: ContainerId,
    /// Interface inside the container.
    pub ifname: IfName,
    /// Identity of the container's network namespace, if it still exists. A workload that lives
    /// in another namespace by now must stay.
    #[serde(default)]
    pub netns: Option<Netns>,
}

/// Compare a workload with what ADD promised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Container id given by the runtime.
    pub container_id: ContainerId,
    /// Interface inside the container.
    pub ifname: IfName,
    /// Identity of the container's network namespace; equals that of the first descriptor.
    pub netns: Netns,
}

/// Identity of a network namespace: device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Netns {
    /// Device number of the namespace file system.
    pub dev: u64,
    /// Inode number of the namespace.
    pub ino: u64,
}

/// What the daemon answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// The workload is attached and its policy is in force (ADD), or is as promised (CHECK).
    Attached(Attached),
    /// The workload is gone (DEL).
    Done,
    /// The request failed.
    Error(Error),
}

/// An attached workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// Name of the host end of the link.
    pub host_interface: String,
    /// MAC address of the host end.
    pub host_mac: Mac,
    /// MAC address inside the container.
    pub mac: Mac,
    /// MTU of the link.
    pub mtu: u32,
    /// Addresses of the workload, IPv4 first, at most one per family.
    pub addresses: Vec<Address>,
    /// Routes programmed inside the container.
    pub routes: Vec<Route>,
}

/// One address of a workload; its prefix length is always 32 or 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Its gateway.
    pub gateway: IpAddr,
}

/// One route inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Destination, as `address/length`.
    pub dst: String,
    /// Gateway; none for a route to the link itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
}

/// Encodes a frame: the length, then the JSON text of `message`.
///
/// # Errors
/// The message cannot be encoded, or is longer than [`MAX_FRAME`].
pub fn encode_frame(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; LENGTH];
    serde_json::to_writer(&mut frame, message).map_err(FrameError::Json)?;
    let body = frame.len() - LENGTH;
    let length = u32::try_from(body).ok().filter(|_| body <= MAX_FRAME);
    let length = length.ok_or(FrameError::TooLong(body))?;
    frame[..LENGTH].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Reads the length in front of a frame.
///
/// # Errors
/// The length is larger than [`MAX_FRAME`].
pub fn decode_length(bytes: [u8; LENGTH]) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    if length > MAX_FRAME { Err(FrameError::TooLong(length)) } else { Ok(length) }
}

/// A frame that cannot be sent or received.
#[derive(Debug)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`], in bytes.
    TooLong(usize),
    /// Not the JSON text that is expected.
    Json(serde_json::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(n) => write!(f, "frame of {n} bytes is longer than {MAX_FRAME}"),
            Self::Json(e) => write!(f, "unexpected content: {e}"),
        }
    }
}

impl std::error::Error for FrameError {}
