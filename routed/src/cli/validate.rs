// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed validate`: check a configuration tree without a daemon.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::config::{self, ConfigError, Loaded};
use crate::model::count;
use crate::server::api::ErrorLocation;

use super::context::{CliError, Globals};
use super::output;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  routed validate\n  routed validate ./n1/config\n  routed validate ./n1/config -o json"
)]
pub(super) struct ValidateArgs {
    /// Configuration tree
    #[arg(default_value = "/etc/routed")]
    path: PathBuf,
}

/// Loads a tree as a daemon on this machine would.
pub(super) fn load(dir: &Path) -> Result<Loaded, CliError> {
    config::load(dir, &crate::node::host_name())
        .map_err(|errors| CliError::Config(errors.iter().map(location).collect()))
}

pub(super) fn run(globals: &Globals, args: &ValidateArgs) -> Result<u8, CliError> {
    let config = load(&args.path)?.config;
    let summary = serde_json::json!({
        "node": config.node.name,
        "pools": config.pools.len(),
        "blocks": config.blocks.len(),
        "peers": config.peers.len(),
        "policies": config.policies.len(),
        "endpoints": config.endpoints.len(),
    });
    output::show(globals, &summary, |_| {
        let counted = [
            count(config.pools.len(), "pool", "pools"),
            count(config.blocks.len(), "block", "blocks"),
            count(config.peers.len(), "peer", "peers"),
            count(config.policies.len(), "policy", "policies"),
            count(config.endpoints.len(), "static endpoint", "static endpoints"),
        ];
        let counted = counted.join(", ");
        format!("{}: node {}, {counted}: good\n", args.path.display(), config.node.name)
    })?;
    Ok(0)
}

/// A problem as the JSON contract has it.
pub(crate) fn location(error: &ConfigError) -> ErrorLocation {
    let message = match &error.value {
        Some(value) => format!("{}, found {value}", error.problem),
        None => error.problem.clone(),
    };
    ErrorLocation {
        file: error.place.file.to_string(),
        line: error.place.line.into(),
        column: error.place.column.into(),
        path: error.place.field.clone(),
        message,
        hint: error.hint.clone(),
    }
}
