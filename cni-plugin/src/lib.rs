// SPDX-License-Identifier: MIT OR Apache-2.0
//! The CNI plugin of routed: a small, blocking client of the node daemon.
//!
//! The binary `routed-cni` is executed by a container runtime once per ADD, DEL, CHECK or VERSION.
//! It checks what the runtime says, opens a `NETLINK_ROUTE` socket inside the container's network
//! namespace, hands that socket and the namespace to the daemon and prints the daemon's answer in
//! the shape of the CNI version asked for. It programs nothing itself, with one exception that no
//! netlink message can express: it enables IPv6 inside the container.
//!
//! ```
//! use cni_plugin::spec::{CniVersion, ContainerId, IfName};
//!
//! let id: ContainerId = "4fd5c1".parse()?;
//! let ifname: IfName = "eth0".parse()?;
//! assert!("../etc".parse::<ContainerId>().is_err());
//! assert!("eth0/1".parse::<IfName>().is_err());
//! assert_eq!(CniVersion::SUPPORTED.map(|v| v.as_str()), ["0.3.1", "0.4.0", "1.0.0"]);
//! # Ok::<(), cni_plugin::spec::InvalidId>(())
//! ```
//!
//! Layers, lowest first: [`spec`] (the CNI specification: environment, configuration, result,
//! errors; pure), [`rpc`] (the protocol with the daemon; pure), `render` (the answer to the runtime;
//! pure), `netns` (the container's namespace), [`client`] (the connection to the daemon), `plugin`
//! (one execution).
//!
//! Absent on purpose: an async runtime (one request, one answer), caching, kernel programming.
#![forbid(unsafe_code)]

pub mod client;
mod netns;
mod plugin;
mod render;
pub mod rpc;
pub mod spec;

pub use self::plugin::main;
