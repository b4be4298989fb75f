// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed routes`: what this node wants in the kernel and what became of it.

use clap::Args;

use crate::server::api::{List, Route};

use super::context::{CliError, Globals};
use super::output;
use super::output::Table;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  routed routes\n  routed routes 10.64.2.0/26 -o json")]
pub(super) struct RoutesArgs {
    /// Only this prefix
    prefix: Option<String>,
}

pub(super) fn run(globals: &Globals, args: &RoutesArgs) -> Result<u8, CliError> {
    let mut list: List<Route> = globals.get("/api/v1/routes")?;
    if let Some(prefix) = &args.prefix {
        list.items.retain(|r| r.prefix == *prefix);
        if list.items.is_empty() {
            return Err(CliError::NotFound(format!("no route {prefix}")));
        }
    }
    output::show(globals, &list, |list| table(&list.items).render(globals.no_headers))?;
    Ok(0)
}

fn table(routes: &[Route]) -> Table {
    let mut table = Table::new(&["PREFIX", "VIA", "DEV", "PROTO", "METRIC", "STATE"]);
    for r in routes {
        let proto = match r.protocol {
            82 => "local".to_owned(),
            83 => "bgp".to_owned(),
            other => other.to_string(),
        };
        let via: Vec<String> =
            r.next_hops.iter().filter_map(|n| n.via.map(|v| v.to_string())).collect();
        let dev: Vec<&str> = r.next_hops.iter().map(|n| n.dev.as_str()).collect();
        let dev = if r.next_hops.is_empty() { "blackhole".to_owned() } else { dev.join(",") };
        table.row(vec![
            r.prefix.clone(),
            via.join(","),
            dev,
            proto,
            r.metric.to_string(),
            r.state.clone(),
        ]);
    }
    table
}
