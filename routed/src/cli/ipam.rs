// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed ipam show`: pools, blocks and who owns an address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::{Args, Subcommand};

use crate::server::api::{IpamBlock, List, Workload};

use super::context::{CliError, Globals};
use super::output;
use super::output::Table;

#[derive(Debug, Subcommand)]
pub(super) enum IpamVerb {
    /// Use of pools and blocks, or who owns an address
    #[command(
        after_help = "Examples:\n  routed ipam show --blocks\n  routed ipam show --ip 10.64.1.5"
    )]
    Show(ShowArgs),
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct ShowArgs {
    /// Also each block
    #[arg(long)]
    blocks: bool,
    /// Who owns this address
    #[arg(long)]
    ip: Option<IpAddr>,
    /// Addresses of one workload (id, container id or name)
    #[arg(long)]
    workload: Option<String>,
}

pub(super) fn run(globals: &Globals, verb: &IpamVerb) -> Result<u8, CliError> {
    let IpamVerb::Show(args) = verb;
    if args.ip.is_some() || args.workload.is_some() {
        return owners(globals, args);
    }
    let list: List<IpamBlock> = globals.get("/api/v1/ipam")?;
    output::show(globals, &list, |list| {
        table(&list.items, args.blocks).render(globals.no_headers)
    })?;
    Ok(0)
}

fn owners(globals: &Globals, args: &ShowArgs) -> Result<u8, CliError> {
    let mut list: List<Workload> = globals.get("/api/v1/workloads")?;
    let matches = |w: &Workload| match (&args.ip, &args.workload) {
        (Some(ip), _) => w.addresses.contains(ip),
        (None, Some(id)) => w.id == *id || w.container_id == *id || w.pod == *id,
        (None, None) => false,
    };
    list.items.retain(matches);
    if list.items.is_empty() {
        let what = args.ip.map(|ip| ip.to_string()).or_else(|| args.workload.clone());
        return Err(CliError::NotFound(format!("nobody owns {}", what.unwrap_or_default())));
    }
    output::show(globals, &list, |list| {
        let mut table = Table::new(&["ADDRESS", "NAMESPACE", "NAME", "ID"]);
        for w in &list.items {
            for address in &w.addresses {
                table.row(vec![
                    address.to_string(),
                    w.namespace.clone(),
                    w.pod.clone(),
                    w.id.clone(),
                ]);
            }
        }
        table.render(globals.no_headers)
    })?;
    Ok(0)
}

fn table(blocks: &[IpamBlock], with_blocks: bool) -> Table {
    let mut table = Table::new(&[
        "GROUPING",
        "NAME",
        "CIDR",
        "IPS TOTAL",
        "IN USE",
        "RESERVED",
        "COOLING",
        "FREE",
    ]);
    let mut pools: BTreeMap<&str, Vec<&IpamBlock>> = BTreeMap::new();
    for block in blocks {
        pools.entry(&block.pool).or_default().push(block);
    }
    for (pool, blocks) in pools {
        let sum = |f: fn(&IpamBlock) -> u64| {
            blocks.iter().fold(0u64, |n, b| n.saturating_add(f(b))).to_string()
        };
        table.row(vec![
            "Pool".to_owned(),
            pool.to_owned(),
            String::new(),
            sum(|b| b.total),
            sum(|b| b.in_use),
            sum(|b| b.reserved),
            sum(|b| b.cooling),
            sum(|b| b.free),
        ]);
        for b in blocks.iter().filter(|_| with_blocks) {
            table.row(vec![
                "Block".to_owned(),
                String::new(),
                b.cidr.clone(),
                b.total.to_string(),
                b.in_use.to_string(),
                b.reserved.to_string(),
                b.cooling.to_string(),
                b.free.to_string(),
            ]);
        }
    }
    table
}
