// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed policy …`: what is loaded and what it says.

use clap::Subcommand;

use crate::model::count;
use crate::server::api::{List, Policy, PolicyDetail};

use super::context::{CliError, Globals, encode};
use super::output;
use super::output::Table;

#[derive(Debug, Subcommand)]
pub(super) enum PolicyVerb {
    /// Policies in evaluation order
    #[command(after_help = "Examples:\n  routed policy list\n  routed policy list -o json")]
    List,
    /// One policy with its rules
    #[command(
        after_help = "Examples:\n  routed policy show default-deny\n  routed policy show shop/api-in"
    )]
    Show {
        /// Name of a GlobalNetworkPolicy, or NAMESPACE/NAME of a NetworkPolicy
        name: String,
    },
}

pub(super) fn run(globals: &Globals, verb: &PolicyVerb) -> Result<u8, CliError> {
    match verb {
        PolicyVerb::List => {
            let list: List<Policy> = globals.get("/api/v1/policies")?;
            output::show(globals, &list, |list| table(&list.items).render(globals.no_headers))?;
        }
        PolicyVerb::Show { name } => {
            let path = format!("/api/v1/policies/show?name={}", encode(name));
            let detail: PolicyDetail = globals.get(&path)?;
            output::show(globals, &detail, |d| show(d, globals.no_headers))?;
        }
    }
    Ok(0)
}

fn full_name(policy: &Policy) -> String {
    match &policy.namespace {
        Some(namespace) => format!("{namespace}/{}", policy.name),
        None => policy.name.clone(),
    }
}

fn order(policy: &Policy) -> String {
    policy.order.map(|o| o.to_string()).unwrap_or_default()
}

fn table(policies: &[Policy]) -> Table {
    let mut table =
        Table::new(&["KIND", "NAME", "TIER", "ORDER", "TYPES", "ENDPOINTS", "REVISION"]);
    for p in policies {
        table.row(vec![
            p.kind.clone(),
            full_name(p),
            p.tier.clone(),
            order(p),
            p.types.join(","),
            p.endpoints.to_string(),
            p.revision.to_string(),
        ]);
    }
    table
}

fn show(detail: &PolicyDetail, no_headers: bool) -> String {
    let p = &detail.policy;
    let mut text = format!(
        "{} {}   tier {}   order {}   {}\nselector {}   {}   {}\n",
        p.kind,
        full_name(p),
        p.tier,
        p.order.map_or_else(|| "-".to_owned(), |o| o.to_string()),
        p.types.join(", "),
        detail.selector,
        count(p.endpoints, "local endpoint", "local endpoints"),
        detail.source
    );
    let mut table = Table::new(&["DIRECTION", "RULE", "ACTION", "MATCHES", "FROM"]);
    for r in &detail.rules {
        table.row(vec![
            r.direction.clone(),
            r.index.to_string(),
            r.action.clone(),
            r.matches.clone(),
            r.source.clone(),
        ]);
    }
    text.push_str(&table.render(no_headers));
    text
}
