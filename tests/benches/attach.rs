// SPDX-License-Identifier: MIT OR Apache-2.0
//! CNI ADD and DEL beside ptp with host-local, the plugins of Debian's `containernetworking-plugins`.
//!
//! `make bench` prints the table and writes `target/bench/attach.json`; `docs/benchmarks.md` holds
//! the last one. The real daemon runs unprivileged in a namespace of its own, the real plugins are
//! executed as a runtime executes them, and each container is a fresh namespace.

#[path = "attach/crowd.rs"]
mod crowd;
#[path = "attach/machine.rs"]
mod machine;
#[path = "attach/node.rs"]
mod node;
#[path = "attach/plugin.rs"]
mod plugin;
#[path = "attach/table.rs"]
mod table;
#[path = "attach/usage.rs"]
mod usage;
#[path = "attach/work.rs"]
mod work;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fabric_tests::missing;
use serde_json::json;

use node::{Families, Node};

fn main() -> Result<()> {
    let absent = missing(&["ip", "nft", "setpriv", "nsenter"]).or_else(node::missing_incumbents);
    if let Some(reason) = absent {
        bail!("{reason}");
    }
    let begun = Instant::now();
    let ours = Node::routed("v4", Families::V4)?;
    let ptp = Node::ptp("ptp4", Families::V4)?;
    // The first executions read the files from the disk.
    work::binary(&ours, &ptp)?;

    let mut rows = work::plain(&ours, &ptp)?;
    rows.extend(work::dual(&ours, &Node::routed("v46", Families::Dual)?)?);
    rows.extend(work::parallel(&ours, &ptp)?);
    rows.extend(work::full(&ours)?);
    rows.extend(work::binary(&ours, &ptp)?);

    let facts = machine::facts(&ours)?;
    for (name, value) in &facts {
        println!("{name}: {value}");
    }
    println!("measured in {:.0} s\n\n{}", begun.elapsed().as_secs_f64(), table::markdown(&rows));
    let facts: serde_json::Map<_, _> =
        facts.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    write(&json!({ "machine": facts, "rows": table::json(&rows) }).to_string())
}

fn write(text: &str) -> Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?;
    let folder = workspace.join("target/bench");
    std::fs::create_dir_all(&folder).context("creating target/bench")?;
    std::fs::write(folder.join("attach.json"), text).context("writing attach.json")
}
