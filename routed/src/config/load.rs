// SPDX-License-Identifier: MIT OR Apache-2.0
//! From files to the configuration in one go.

use std::path::Path;
use std::sync::Arc;

use super::assemble;
use super::document::Documents;
use super::error::ConfigError;
use super::files::Sources;
use super::read::Problems;
use super::types::Config;

/// A good configuration and the files it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the files say.
    pub config: Arc<Config>,
    /// The files, for [`LastGood::save`](super::LastGood::save).
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
    let problems = Problems::default();
    let mut documents = Documents::default();
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
