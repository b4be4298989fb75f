// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints what `make lab` saw as a page of Markdown: `lab-report FOLDER`.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use fabric_tests::{command, lab, run};

/// Tables in the order of the page: file, heading, what it shows.
const TABLES: &[(&str, &str, &str)] = &[
    (
        "interop",
        "Interop matrix",
        "Every cell: Established, routes both ways with the right next hop, withdraw, loss of the session removes the \
         routes, everything comes back. Times run from the start of our daemon, and from the restart of the peer, to \
         routes in the kernel and at the peer.",
    ),
    (
        "first-packet",
        "First packet",
        "A floods every address of B's blocks while B is attached and detached. Denied packets must never arrive, and \
         the first allowed packet after ADD returned must.",
    ),
    (
        "restart",
        "Restart under traffic",
        "kill -9 of a node's daemon and restart, under echo requests at 1 kHz between the racks in both families and \
         directions, ToRs with graceful restart. Writes are netlink writes and writes below /proc/sys afterwards.",
    ),
    (
        "bfd-dead-path",
        "A path that dies silently",
        "BFD at 300 ms × 3, four sessions over both families to two ToRs: every packet to and from one of them is \
         dropped. Time until all routes in the kernel lead over the other, up to 50 ms of looking included.",
    ),
    (
        "bfd",
        "BFD under load",
        "Two nodes of ours, every core with so many busy threads beside them; a flap is a failure of BFD although no \
         packet was lost on the way.",
    ),
];

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: lab-report FOLDER")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("kernel release")?;
    let cores = std::thread::available_parallelism().context("cores")?;
    let date = run(command("date").args(["-u", "+%Y-%m-%d"]))?;
    println!("# Lab\n");
    println!("Long loops and full matrices, written by `make lab`.\n");
    println!("Machine: {cores} cores, Linux {}. Date: {}.", kernel.trim(), date.trim());
    println!("Peers: {}.", versions());
    for (file, heading, what) in TABLES {
        let path = Path::new(&folder).join(format!("{file}.jsonl"));
        let Ok(lines) = fs::read_to_string(&path) else { continue };
        println!("\n## {heading}\n\n{what}\n\n{}", lab::table(&lines)?.trim_end());
    }
    Ok(())
}

/// Versions of the peers as Debian counts them.
fn versions() -> String {
    let packages = ["bird2", "frr", "gobgpd"];
    let found = packages.iter().filter_map(|package| {
        let asked = command("dpkg-query").args(["-W", "-f=${Version}", package]).output().ok()?;
        let version = String::from_utf8(asked.stdout).ok().filter(|_| asked.status.success())?;
        Some(format!("{package} {version}"))
    });
    found.collect::<Vec<_>>().join(", ")
}
