// SPDX-License-Identifier: MIT OR Apache-2.0
//! BGP beside the incumbents: the same sessions, the same octets, one device after the other.
//!
//! ```text
//! cargo bench -p fabric-tests --bench bgp -- [ROW]… [--only NAME,…] [--runs N] [--markdown]
//! ```
//!
//! A row runs device by device, then again from the beginning (A B A B), so that a slow minute of
//! the machine hits everybody; the table shows medians and ratios. Device and load generator are
//! in two namespaces joined by a veth. The generator shares no code with the crate under test and
//! compares every prefix of every UPDATE with what was sent. Everything also goes to
//! `target/bench/bgp.json`; `--markdown` prints the table as in `docs/benchmarks.md`.

#[path = "bgp/args.rs"]
mod args;
#[path = "bgp/bench.rs"]
mod bench;
#[path = "bgp/client.rs"]
mod client;
#[path = "bgp/codec.rs"]
mod codec;
#[path = "bgp/device.rs"]
mod device;
#[path = "bgp/held.rs"]
mod held;
#[path = "bgp/kernel.rs"]
mod kernel;
#[path = "bgp/lab.rs"]
mod lab;
#[path = "bgp/load.rs"]
mod load;
#[path = "bgp/message.rs"]
mod message;
#[path = "bgp/netlink.rs"]
mod netlink;
#[path = "bgp/proc.rs"]
mod proc;
#[path = "bgp/report.rs"]
mod report;
#[path = "bgp/rows.rs"]
mod rows;
#[path = "bgp/swarm.rs"]
mod swarm;
#[path = "bgp/table.rs"]
mod table;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fabric_tests::{command, run};

use args::Args;
use bench::{Bench, Values};
use device::Kind;
use lab::Lab;
use report::{Cell, Measured, Report};
use swarm::Silent;
use table::{ROWS, Row};

fn main() -> Result<()> {
    let Some(args) = Args::parse(std::env::args().skip(1))? else { return Ok(()) };
    if let Some(reason) = fabric_tests::missing(&["ip", "nsenter", "setpriv"]) {
        return fabric_tests::skip(&reason);
    }
    let (target, speaker) = build()?;
    let mut bench = Bench { lab: Lab::enter()?, speaker, no_transit: false };
    let mut report = Report::new(&args);
    for row in ROWS.iter().filter(|row| args.wants(row.name)) {
        report.add(measure(&mut bench, row, &args));
        report.print_last();
        report.write(&target.join("bench/bgp.json"))?;
    }
    if args.markdown {
        println!("{}", report.markdown());
    }
    Ok(())
}

/// Builds the program around our speaker; returns the target directory and the program.
fn build() -> Result<(PathBuf, PathBuf)> {
    // TARGET/release/deps/bgp-HASH
    let own = std::env::current_exe().context("the path of this program")?;
    let target = own.ancestors().nth(3).context("no target directory")?.to_owned();
    if let Some(speaker) = std::env::var_os("ROUTED_SPEAKER_BIN") {
        return Ok((target, speaker.into()));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    run(command(cargo)
        .args(["build", "--quiet", "--release", "-p", "bgp", "--example", "speaker"])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&target))?;
    let speaker = target.join("release/examples/speaker");
    Ok((target, speaker))
}

/// Runs a row A B A B; a device that fails once is left out of the rest of it.
fn measure(bench: &mut Bench, row: &'static Row, args: &Args) -> Measured {
    let devices = row.devices.iter().copied().filter(|kind| args.includes(*kind));
    let mut cells: Vec<Cell> = devices.map(Cell::new).collect();
    for number in 0..args.runs.unwrap_or(row.runs) {
        for cell in cells.iter_mut().filter(|cell| cell.failure.is_none()) {
            eprintln!("{}: {} run {}", row.name, cell.kind.name(), number + 1);
            match once(bench, row, cell.kind) {
                Ok(values) => cell.runs.push(values),
                Err(error) => {
                    let unbuilt = cell.kind == Kind::Routed && row.transit && error.is::<Silent>();
                    let why = if unbuilt { "not built yet".into() } else { format!("{error:#}") };
                    eprintln!("{}: {}: {why}", row.name, cell.kind.name());
                    cell.failure = Some(why);
                    if unbuilt {
                        bench.no_transit = true;
                    }
                }
            }
        }
    }
    Measured { row, cells }
}

fn once(bench: &Bench, row: &Row, kind: Kind) -> Result<Values> {
    if kind == Kind::Routed && row.transit && bench.no_transit {
        return Err(Silent.into());
    }
    if let Some(program) = kind.program()
        && let Some(reason) = fabric_tests::missing(&[program])
    {
        anyhow::bail!(reason);
    }
    (row.measure)(bench, kind)
}
