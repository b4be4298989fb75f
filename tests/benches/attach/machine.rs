// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a figure depends on beside the code: the machine and the versions.

use std::fs;

use anyhow::{Context, Result};
use fabric_tests::{command, run};

use crate::node::Node;

/// `TMPFS_MAGIC` of `linux/magic.h`.
const TMPFS_MAGIC: i64 = 0x0102_1994;

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
        ("state of routed and of host-local", file_system(ours)?.to_owned()),
        ("routed", ours.version()?),
        ("containernetworking-plugins", package("containernetworking-plugins")?),
    ])
}

/// Both keep their records under `/run` or `/var`; on a real node the former is in memory. Here
/// both are where `TMPDIR` says.
fn file_system(ours: &Node) -> Result<&'static str> {
    let found =
        rustix::fs::statfs(ours.plugin.node().dir()).context("asking for the file system")?;
    Ok(if found.f_type == TMPFS_MAGIC { "in memory (tmpfs)" } else { "on a disk" })
}

fn package(name: &str) -> Result<String> {
    run(command("dpkg-query").args(["-W", "-f=${Version}", name]))
}
