// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `/proc` says about a process and its children.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Octets of resident memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

/// CPU time that the process, its threads and its children have used, to the nanosecond.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let mut total = 0;
    for pid in family(pid)? {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("reading its threads")?;
        for task in tasks.flatten() {
            // A thread may have ended in between.
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            let first = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
            total += first.unwrap_or(0);
        }
    }
    Ok(Duration::from_nanos(total))
}

/// CPU time of the calling process's first thread, which is the generator.
pub(crate) fn generator() -> Duration {
    // Without it the number is zero, and only context.
    let text = fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let first = text.split_whitespace().next().and_then(|word| word.parse().ok());
    Duration::from_nanos(first.unwrap_or(0))
}

/// Memory of the process and its children, summed.
pub(crate) fn memory(pid: u32) -> Result<Memory> {
    let mut sum = Memory::default();
    for pid in family(pid)? {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).context("reading status")?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kibibytes.unwrap_or(0_u64) * 1024
        };
        sum.now += field("VmRSS:");
        sum.peak += field("VmHWM:");
    }
    Ok(sum)
}

/// A process and all below it.
fn family(pid: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("reading /proc")?.flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // The name in parentheses may hold anything; state and parent follow it.
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        parents.extend(parent.and_then(|word| word.parse::<u32>().ok()).map(|up| (child, up)));
    }
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        found.extend(parents.iter().filter(|(_, up)| *up == pid).map(|(child, _)| *child));
        at += 1;
    }
    Ok(found)
}
