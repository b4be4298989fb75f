// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed bgp …`: sessions, paths and why.

use clap::{Args, Subcommand, ValueEnum};

use crate::server::api::{BgpPeer, BgpRoute, BgpWhy, List};

use super::context::{CliError, Globals, encode};
use super::output;
use super::output::Table;

#[derive(Debug, Subcommand)]
pub(super) enum BgpVerb {
    /// Sessions, one line a family
    #[command(after_help = "Examples:\n  routed bgp peers\n  routed bgp peers tor1a -o json")]
    Peers {
        /// Name or address of one peer
        peer: Option<String>,
    },
    /// Paths in the loc-rib; `*` is the best path, `=` is used beside it
    #[command(
        after_help = "Examples:\n  routed bgp routes\n  routed bgp routes 10.64.2.0/26\n  routed bgp routes --from tor1a --rejected"
    )]
    Routes(RoutesArgs),
    /// Explain the decision for one prefix
    #[command(
        after_help = "Examples:\n  routed bgp why 10.64.2.0/26\n  routed bgp why fd00:64:2::/122 -o json"
    )]
    Why {
        /// The prefix
        prefix: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct RoutesArgs {
    /// A prefix; an address asks for the longest match
    prefix: Option<String>,
    /// Also more specific prefixes
    #[arg(long, requires = "prefix")]
    longer: bool,
    /// One family
    #[arg(long, value_enum)]
    family: Option<Family>,
    /// What this peer sent and the import filter accepted
    #[arg(long)]
    from: Option<String>,
    /// What was refused, and why
    #[arg(long)]
    rejected: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Family {
    V4,
    V6,
}

pub(super) fn run(globals: &Globals, verb: &BgpVerb) -> Result<u8, CliError> {
    match verb {
        BgpVerb::Peers { peer } => peers(globals, peer.as_deref())?,
        BgpVerb::Routes(args) => routes(globals, args)?,
        BgpVerb::Why { prefix } => why(globals, prefix)?,
    }
    Ok(0)
}

fn peers(globals: &Globals, wanted: Option<&str>) -> Result<(), CliError> {
    let mut list: List<BgpPeer> = globals.get("/api/v1/bgp/peers")?;
    if let Some(wanted) = wanted {
        list.items.retain(|p| p.name == wanted || p.address == wanted);
        if list.items.is_empty() {
            return Err(CliError::NotFound(format!("no peer {wanted}")));
        }
    }
    output::show(globals, &list, |list| peers_table(&list.items).render(globals.no_headers))
}

fn peers_table(peers: &[BgpPeer]) -> Table {
    let mut table = Table::new(&[
        "PEER",
        "ADDRESS",
        "AS",
        "STATE",
        "SINCE",
        "FAMILY",
        "RCVD",
        "ACPT",
        "ADV",
        "LAST EVENT",
    ]);
    for p in peers {
        let event = match (&p.last_down, p.next_retry_seconds) {
            (Some(down), Some(retry)) => format!("{}, retry in {retry}s", down.reason),
            (Some(down), None) => down.reason.clone(),
            (None, Some(retry)) => format!("retry in {retry}s"),
            (None, None) => String::new(),
        };
        let mut state = p.state.clone();
        if let Some(first) = state.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let head = vec![
            p.name.clone(),
            p.address.clone(),
            p.peer_as.to_string(),
            state,
            output::duration(p.state_seconds),
        ];
        if p.families.is_empty() {
            let empty = std::iter::repeat_n(String::new(), 4);
            table.row(head.into_iter().chain(empty).chain([event]).collect());
            continue;
        }
        for (index, f) in p.families.iter().enumerate() {
            let counts = [
                f.family.clone(),
                f.received.to_string(),
                f.accepted.to_string(),
                f.advertised.to_string(),
            ];
            let (head, event) = if index == 0 {
                (head.clone(), event.clone())
            } else {
                (vec![" ".to_owned(); 5], " ".to_owned())
            };
            table.row(head.into_iter().chain(counts).chain([event]).collect());
        }
    }
    table
}

fn routes(globals: &Globals, args: &RoutesArgs) -> Result<(), CliError> {
    let mut query = Vec::new();
    if let Some(prefix) = &args.prefix {
        query.push(format!("prefix={}", encode(prefix)));
    }
    if args.longer {
        query.push("longer=true".to_owned());
    }
    if let Some(family) = args.family {
        let name = match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        query.push(format!("family={name}"));
    }
    if let Some(from) = &args.from {
        query.push(format!("from={}", encode(from)));
    }
    if args.rejected {
        query.push("rejected=true".to_owned());
    }
    let list: List<BgpRoute> = globals.get(&format!("/api/v1/bgp/routes?{}", query.join("&")))?;
    output::show(globals, &list, |list| routes_table(&list.items).render(globals.no_headers))
}

fn routes_table(routes: &[BgpRoute]) -> Table {
    let mut table = Table::new(&[
        " ",
        "PREFIX",
        "NEXT HOP",
        "FROM",
        "AS PATH",
        "LP",
        "MED",
        "COMMUNITIES",
        "WHY",
    ]);
    for r in routes {
        let mark = match (r.best, r.multipath, r.stale) {
            (_, _, true) => "s",
            (true, _, _) => "*",
            (_, true, _) => "=",
            _ => " ",
        };
        let communities: Vec<&str> =
            r.communities.iter().chain(&r.large_communities).map(String::as_str).collect();
        table.row(vec![
            mark.to_owned(),
            r.prefix.clone(),
            r.next_hop.clone().unwrap_or_default(),
            r.peer.clone(),
            r.as_path.join(" "),
            r.local_pref.to_string(),
            r.med.map(|m| m.to_string()).unwrap_or_default(),
            communities.join(" "),
            r.reason.clone(),
        ]);
    }
    table
}

fn why(globals: &Globals, prefix: &str) -> Result<(), CliError> {
    let why: BgpWhy = globals.get(&format!("/api/v1/bgp/why?prefix={}", encode(prefix)))?;
    output::show(globals, &why, |why| {
        let mut table = Table::new(&["STEP", "RESULT", "REASON"]);
        for step in &why.steps {
            table.row(vec![step.name.clone(), step.result.clone(), step.reason.clone()]);
        }
        format!("{}\n{}", why.prefix, table.render(globals.no_headers))
    })
}
