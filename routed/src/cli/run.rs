// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed run`: the node daemon.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::node::{self, Options};

use super::context::{CliError, Globals};
use super::validate;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  routed run\n  routed run --config /etc/routed --check-only\n  routed run --config ./n1/config --run-dir ./n1/run --state-dir ./n1/state"
)]
pub(super) struct RunArgs {
    /// Configuration tree
    #[arg(long, value_name = "DIR", default_value = "/etc/routed")]
    config: PathBuf,
    /// Sockets, workload records, lock
    #[arg(long, value_name = "DIR", default_value = "/run/routed")]
    run_dir: PathBuf,
    /// Last good configuration, saved switches
    #[arg(long, value_name = "DIR", default_value = "/var/lib/routed")]
    state_dir: PathBuf,
    /// Log lines for people or for machines; the filter is $ROUTED_LOG (default info)
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Load the configuration, print its problems, and end: 0 good, 1 bad
    #[arg(long)]
    check_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

pub(super) fn run(globals: &Globals, args: &RunArgs) -> Result<u8, CliError> {
    if args.check_only {
        validate::load(&args.config)?;
        return Ok(0);
    }
    globals.refuse_json("the daemon prints no JSON; its log does: --log-format json")?;
    start_log(args.log_format);
    node::run(&Options {
        config: args.config.clone(),
        run_dir: args.run_dir.clone(),
        state_dir: args.state_dir.clone(),
    })?;
    Ok(0)
}

pub(super) fn start_log(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("ROUTED_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
