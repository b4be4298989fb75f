// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed status`: one screen.

use std::time::{Duration, Instant};

use clap::Args;

use crate::model::count;
use crate::server::api::Status;

use super::context::{CliError, Globals, parse_duration};
use super::output;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  routed status\n  routed status --check && echo healthy\n  routed status --wait=30s"
)]
pub(super) struct StatusArgs {
    /// Exit 1 if the node is not ready or degraded
    #[arg(long)]
    check: bool,
    /// Wait until the node is ready; exit 6 when the time is over
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "30s", value_parser = parse_duration)]
    wait: Option<Duration>,
}

pub(super) fn run(globals: &Globals, args: &StatusArgs) -> Result<u8, CliError> {
    let status = match args.wait {
        Some(patience) => wait(globals, patience)?,
        None => globals.get::<Status>("/api/v1/status")?,
    };
    output::show(globals, &status, screen)?;
    Ok(u8::from(args.check && (status.degraded || !status.ready)))
}

/// Asks until the node is ready.
fn wait(globals: &Globals, patience: Duration) -> Result<Status, CliError> {
    let deadline = Instant::now() + patience;
    loop {
        let asked = globals.get::<Status>("/api/v1/status");
        match asked {
            Ok(status) if status.ready => return Ok(status),
            Ok(status) if Instant::now() >= deadline => {
                return Err(CliError::Timeout(format!("not ready: {}", status.reasons.join("; "))));
            }
            Err(error) if Instant::now() >= deadline => return Err(error),
            Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn screen(s: &Status) -> String {
    let state = match (s.ready, s.degraded) {
        (false, _) => "NOT READY",
        (true, true) => "DEGRADED",
        (true, false) => "OK",
    };
    let mut text = format!(
        "node {}   AS {}   id {}   routed {}   up {}   {state}\n",
        s.node,
        s.as_number,
        s.router_id,
        s.version,
        output::duration(s.uptime_seconds)
    );
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<10} {value}\n"));
    line("bgp", format!("{}/{} established", s.bgp.established, s.bgp.configured));
    line(
        "routes",
        format!(
            "{} programmed  {} pending  {} failed",
            s.routes.programmed, s.routes.pending, s.routes.failed
        ),
    );
    line(
        "workloads",
        format!(
            "{} ready  {} pending  {} failed",
            s.workloads.ready, s.workloads.pending, s.workloads.failed
        ),
    );
    let blocks: Vec<String> =
        s.ipam.iter().map(|b| format!("{}  {}/{} used", b.block, b.used, b.total)).collect();
    line("ipam", if blocks.is_empty() { "no blocks".to_owned() } else { blocks.join("   ") });
    line(
        "policy",
        format!(
            "rev {}  {}  {} pending",
            s.policy.revision,
            count(s.policy.policies, "policy", "policies"),
            s.policy.pending
        ),
    );
    let sync = if s.kernel.in_sync { "in sync" } else { "NOT in sync" };
    line("kernel", format!("{sync}  (drift repaired {})", s.kernel.drift_repaired));
    for reason in &s.reasons {
        line("!", reason.clone());
    }
    text
}
