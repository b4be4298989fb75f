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
mod node;
mod peer;
mod pool;
mod read;
mod types;

use std::path::Path;
use std::sync::Arc;

pub use diff::{Difference, Impact, diff};
pub use error::{ConfigError, Place};
pub use files::{LastGood, Sources};
pub use types::{Config, Forwarding, Kernel, Mtu, Node, Peer, Pool, StaticEndpoint, Workloads};

/// A good configuration and the files it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the files say.
    pub config: Arc<Config>,
    /// The files, for [`LastGood::save`].
    pub sources: Sources,
}

/// Reads a configuration directory.
///
/// `node_name` is the node's name unless its `NodeConfig` has one.
///
/// # Errors
/// Every problem found, by file and place.
pub fn load(dir: &Path, node_name: &str) -> Result<Loaded, Vec<ConfigError>> {
    parse(Sources::read(dir)?, node_name)
}

/// Reads a configuration from the texts of its files.
///
/// # Errors
/// Every problem found, by file and place.
pub fn parse(sources: Sources, node_name: &str) -> Result<Loaded, Vec<ConfigError>> {
    let problems = read::Problems::default();
    let mut documents = document::Documents::default();
    for (name, text) in sources.iter() {
        documents.read_file(name, text, &problems);
    }
    let config = assemble::assemble(&documents, node_name, &problems);
    match (config, problems.into_sorted()) {
        (Some(config), problems) if problems.is_empty() => {
            Ok(Loaded { config: Arc::new(config), sources })
        }
        (_, problems) => Err(problems),
    }
}

#[cfg(test)]
mod tests;
