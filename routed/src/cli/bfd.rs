// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed bfd`: the process that watches paths and outlives the daemon.

use std::path::PathBuf;

use clap::Args;

use super::run::{LogFormat, start_log};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  routed bfd\n  routed bfd --run-dir ./n1/run\n\nIt needs no privilege. The daemon of the same run directory tells it the sessions."
)]
pub(super) struct BfdArgs {
    /// Configuration tree; not read, since the daemon says what it holds
    #[arg(long, value_name = "DIR", default_value = "/etc/routed")]
    config: PathBuf,
    /// Where bfd.sock is
    #[arg(long, value_name = "DIR", default_value = "/run/routed")]
    run_dir: PathBuf,
    /// Log lines for people or for machines; the filter is $ROUTED_LOG (default info)
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

pub(super) fn run(args: &BfdArgs) -> anyhow::Result<u8> {
    start_log(args.log_format);
    tracing::debug!(config = %args.config.display(), run_dir = %args.run_dir.display(), "bfd starts");
    crate::bfd::run(&args.run_dir)?;
    Ok(0)
}
