// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node-wide switches: forwarding, multipath hashing, and what uplinks answer.
//!
//! In `manage` mode the switches are ours: what differs is written, and the value found before our
//! first write of a switch is kept in the state directory for good, so that it can be put back. In
//! `require` mode nothing is written and every difference is a failure. A node that is as it shall
//! be sees reads only.

mod plan;
mod saved;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustix::net::netdevice;

use super::error::Error;
use super::proc::Switch;
use super::socket::Socket;
use plan::{Need, needs};
use saved::Saved;

/// Whose the switches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchMode {
    /// Ours: what differs is written.
    Manage,
    /// The operator's: what differs is a failure.
    Require,
}

/// A switch that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchChange {
    /// The file.
    pub path: PathBuf,
    /// What it held.
    pub from: i64,
    /// What it holds now.
    pub to: i64,
}

/// A switch that is not as it must be.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// `require` mode, and it differs.
    #[error("{path} is {found}, must be {wanted}")]
    Differs {
        /// The file.
        path: String,
        /// What it holds.
        found: i64,
        /// What it must hold.
        wanted: i64,
    },
    /// It cannot be read or written.
    #[error(transparent)]
    File(#[from] Error),
}

/// What became of the switches.
#[derive(Debug, Default)]
pub struct SwitchReport {
    /// Written just now.
    pub changed: Vec<SwitchChange>,
    /// Still wrong.
    pub errors: Vec<SwitchError>,
}

/// The node-wide switches.
#[derive(Debug)]
pub struct Switches {
    mode: SwitchMode,
    saved: Saved,
}

impl Switches {
    /// Switches whose previous values are kept in `state_dir`.
    pub fn new(mode: SwitchMode, state_dir: &Path) -> Self {
        Self { mode, saved: Saved::new(state_dir) }
    }

    /// Makes every switch as it must be, for these uplinks; those that do not exist are left out.
    ///
    /// To be called before the first link is made, whenever an uplink appears, and whenever a
    /// monitor hints at it.
    pub fn ensure(&self, uplinks: &[String]) -> SwitchReport {
        let mut report = SwitchReport::default();
        let read = |switch: &Switch| switch.read().ok();
        let holds_ra_default = || match ra_default_interfaces() {
            Ok(interfaces) => interfaces,
            Err(error) => {
                tracing::warn!(%error, "routes by router advertisement cannot be read");
                BTreeSet::new()
            }
        };
        for need in needs(uplinks, &read, &holds_ra_default) {
            match self.meet(&need) {
                Ok(change) => report.changed.extend(change),
                Err(error) => report.errors.push(error),
            }
        }
        report
    }

    fn meet(&self, need: &Need) -> Result<Option<SwitchChange>, SwitchError> {
        let Need { switch, found, wanted } = need;
        if self.mode == SwitchMode::Require {
            let path = switch.path().display().to_string();
            return Err(SwitchError::Differs { path, found: *found, wanted: *wanted });
        }
        self.saved.remember(switch.name(), *found)?;
        switch.write(*wanted)?;
        Ok(Some(SwitchChange { path: switch.path(), from: *found, to: *wanted }))
    }
}

/// The interfaces over which a default route was learned by router advertisement.
fn ra_default_interfaces() -> Result<BTreeSet<String>, Error> {
    let mut socket = Socket::open()?;
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.protocol = RouteProtocol::Ra;
    let mut names = BTreeSet::new();
    for found in socket.dump("routes", &RouteNetlinkMessage::GetRoute(message))? {
        let RouteNetlinkMessage::NewRoute(found) = found else { continue };
        if found.header.destination_prefix_length != 0 {
            continue;
        }
        let mut indexes = Vec::new();
        for attribute in &found.attributes {
            match attribute {
                RouteAttribute::Oif(index) => indexes.push(*index),
                RouteAttribute::MultiPath(next_hops) => {
                    indexes.extend(next_hops.iter().map(|next_hop| next_hop.interface_index));
                }
                _ => {}
            }
        }
        names.extend(indexes.iter().filter_map(|i| netdevice::index_to_name(&socket, *i).ok()));
    }
    Ok(names)
}
