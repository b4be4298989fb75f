// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed routes`: what this node wants in the kernel and what became of it.

use std::fmt;
use std::net::IpAddr;

use bgp::types::{ParsePrefixError, Prefix};
use clap::Args;

use crate::server::api::{List, Route};

use super::context::{CliError, Globals};
use super::output;
use super::output::Table;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  routed routes\n  routed routes 10.64.2.0/26 -o json\n  routed routes 10.64.2.9"
)]
pub(super) struct RoutesArgs {
    /// A prefix; an address asks for the longest match
    #[arg(value_name = "PREFIX", value_parser = parse_wanted)]
    wanted: Option<Wanted>,
}

/// Which routes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Prefix(Prefix),
    Address(IpAddr),
}

fn parse_wanted(text: &str) -> Result<Wanted, ParsePrefixError> {
    match text.parse() {
        Ok(address) => Ok(Wanted::Address(address)),
        Err(_) => text.parse().map(Wanted::Prefix),
    }
}

impl Wanted {
    /// Leaves only what was asked for.
    fn choose(self, routes: &mut Vec<Route>) {
        let prefix = |route: &Route| route.prefix.parse::<Prefix>().ok();
        let wanted = match self {
            Self::Prefix(wanted) => Some(wanted),
            Self::Address(address) => {
                let around = routes.iter().filter_map(prefix).filter(|p| p.contains_addr(address));
                around.max_by_key(|prefix| prefix.prefix_len())
            }
        };
        routes.retain(|route| wanted.is_some() && prefix(route) == wanted);
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => fmt::Display::fmt(prefix, f),
            Self::Address(address) => fmt::Display::fmt(address, f),
        }
    }
}

pub(super) fn run(globals: &Globals, args: &RoutesArgs) -> Result<u8, CliError> {
    let mut list: List<Route> = globals.get("/api/v1/routes")?;
    if let Some(wanted) = args.wanted {
        wanted.choose(&mut list.items);
        if list.items.is_empty() {
            return Err(CliError::NotFound(format!("no route {wanted}")));
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
