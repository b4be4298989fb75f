// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed workloads`: what is attached to this node.

use clap::Args;

use crate::server::api::{List, Workload};

use super::context::{CliError, Globals};
use super::output;
use super::output::Table;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  routed workloads\n  routed workloads web-11 -o json")]
pub(super) struct WorkloadsArgs {
    /// Id (`containerId/ifName`), container id, or name of one workload
    id: Option<String>,
}

pub(super) fn run(globals: &Globals, args: &WorkloadsArgs) -> Result<u8, CliError> {
    let mut list: List<Workload> = globals.get("/api/v1/workloads")?;
    if let Some(id) = &args.id {
        list.items.retain(|w| w.id == *id || w.container_id == *id || w.pod == *id);
        if list.items.is_empty() {
            return Err(CliError::NotFound(format!("no workload {id}")));
        }
    }
    output::show(globals, &list, |list| table(&list.items).render(globals.no_headers))?;
    Ok(0)
}

fn table(workloads: &[Workload]) -> Table {
    let mut table =
        Table::new(&["NAMESPACE", "NAME", "ADDRESSES", "INTERFACE", "STATE", "LABELS", "ID"]);
    for w in workloads {
        let addresses: Vec<String> = w.addresses.iter().map(ToString::to_string).collect();
        let labels: Vec<String> = w.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        table.row(vec![
            w.namespace.clone(),
            w.pod.clone(),
            addresses.join(","),
            w.host_interface.clone(),
            w.state.clone(),
            labels.join(","),
            w.id.clone(),
        ]);
    }
    table
}
