// SPDX-License-Identifier: MIT OR Apache-2.0
//! Configuration: a directory of YAML documents becomes one checked value.
//!
//! ```text
//!   directory ──▶ Sources ──▶ documents ──▶ Config
//!                    │
//!                    └──▶ LastGood (only what was good)
//! ```
//!
//! Any document may be in any file; what counts is its kind, namespace and name, and twice the
//! same is an error. All problems of all files are collected, each with file, line, column, field
//! and a hint, and one problem rejects the whole: there is no half configuration.
//!
//! `NetworkPolicy` and `GlobalNetworkPolicy` are read by the `policy` crate, everything else here.

mod assemble;
mod diff;
mod document;
mod endpoint;
mod error;
mod files;
mod load;
mod node;
mod peer;
mod pool;
mod read;
mod types;

pub use diff::{Difference, Impact, diff};
pub use error::{ConfigError, Place};
pub use files::{LastGood, Sources, is_document};
pub use load::{Loaded, load, parse};
pub use types::{Config, Forwarding, Kernel, Mtu, Node, Peer, Pool, StaticEndpoint, Workloads};

#[cfg(test)]
mod tests;
