// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a figure depends on beside the code: the machine and the versions.

use std::fs;

use anyhow::{Context, Result};
use fabric_tests::{command, run};

use crate::node::Node;

/// Names and values, for the reader of the table.
pub(crate) fn facts(ours: &Node) -> Result<Vec<(&'static str, String)>> {
    let cores = std::thread::available_parallelism().context("counting cores")?;
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("reading {path}"));
    let processor = read("/proc/cpuinfo")?
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(|| "unknown".to_owned(), |(_, name)| name.trim().to_owned());
    Ok(vec![
        ("cores", cores.to_string()),
        ("processor", processor),
        ("kernel", read("/proc/sys/kernel/osrelease")?.trim().to_owned()),
        (
            "load (1, 5, 15 minutes)",
            read("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(", "),
        ),
        ("routed", ours.version()?),
        ("containernetworking-plugins", package("containernetworking-plugins")?),
    ])
}

fn package(name: &str) -> Result<String> {
    run(command("dpkg-query").args(["-W", "-f=${Version}", name]))
}
