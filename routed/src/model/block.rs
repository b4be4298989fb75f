// SPDX-License-Identifier: MIT OR Apache-2.0
//! Blocks: the addresses a node owns.

use bgp::types::Prefix;

/// A slice of a pool that this node owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Name of the pool it is a slice of.
    pub pool: String,
    /// Its addresses.
    pub prefix: Prefix,
    /// Whether new workloads may get addresses of it.
    pub enabled: bool,
}
