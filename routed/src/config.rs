// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configuration: a directory of YAML documents becomes one checked value.

mod types;

pub use types::{Config, Forwarding, Kernel, Mtu, Node, Pool, StaticEndpoint, Workloads};
