// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed version`: this program and the daemon.

use crate::server::api::Version;

use super::context::{CliError, Globals};
use super::output;

pub(super) fn run(globals: &Globals) -> Result<u8, CliError> {
    let daemon = globals.get::<Version>("/api/v1/version").ok().and_then(|v| v.daemon);
    let version = Version {
        client: env!("CARGO_PKG_VERSION").to_owned(),
        daemon,
        cni_protocol: cni_plugin::rpc::Version::CURRENT.to_string(),
    };
    output::show(globals, &version, |v| {
        format!(
            "routed {}\ndaemon {}\nCNI protocol {}\n",
            v.client,
            v.daemon.as_deref().unwrap_or("not reachable"),
            v.cni_protocol
        )
    })?;
    Ok(0)
}
