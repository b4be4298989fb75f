// SPDX-License-Identifier: MIT OR Apache-2.0
//! All order between subsystems, as conditions over what the lanes reported.
//!
//! ```text
//!   G0  base ruleset ─▶ link           the fabric lane starts when the ruleset is there; then
//!       {link, route, endpoint} are written in parallel: what has no endpoint is closed
//!   G1  {link, route, endpoint} ─▶ advert      a block: its blackhole ─▶ advert
//!   G2  {link, route, endpoint, advert gone} ─▶ the address is free, after a rest
//! ```
//!
//! The graph has no cycle. The conditions hold after a crash too, because reports come from dumps.

use std::net::IpAddr;

use bgp::types::Prefix;
use policy::model::EndpointKey;
use reconcile::Revision;

use super::{Inputs, KeyState, Live, Status, route};

/// The workload's link, routes and endpoint are all in force: ADD may be answered.
pub fn is_ready(inputs: &Inputs, status: &Status, live: &Live) -> bool {
    live.is_wanted() && is_open(inputs, status, live)
}

/// Nothing of the workload's link, routes and endpoint is left: DEL may be answered.
pub fn is_cleared(inputs: &Inputs, status: &Status, live: &Live) -> bool {
    let gone = |state: Option<&KeyState>| state.is_some_and(|state| state.is_absent(live.since));
    !live.is_wanted()
        && gone(status.links.get(&live.record.link_key()))
        && route_states(status, live).all(gone)
        && (!is_enforced(inputs) || gone(endpoint_state(status, live)))
}

/// G2: once it is cleared, and nobody is told any more that its addresses are here.
pub fn is_free(status: &Status, live: &Live) -> bool {
    live.record.addresses().all(|a| !status.adverts.contains_key(&Prefix::host(a)))
}

/// A workload that is to be attached may be: no other one claims its interface any more.
pub fn has_slot(inputs: &Inputs, live: &Live) -> bool {
    let record = &live.record;
    inputs.by_slot(record.netns, record.id.ifname()).all(|id| *id == record.id)
}

/// G1 of a block: packets for it have somewhere to go, and no loop to run in.
pub fn block_is_open(inputs: &Inputs, status: &Status, prefix: Prefix) -> bool {
    let present = |since| present(status.routes.get(&route::key(prefix)), since);
    inputs.block_since(prefix).is_some_and(present)
}

/// G1 of a single address: the workload behind it can be reached.
pub fn host_is_open(inputs: &Inputs, status: &Status, address: IpAddr) -> bool {
    inputs.by_address(address).is_some_and(|live| is_ready(inputs, status, live))
}

fn is_open(inputs: &Inputs, status: &Status, live: &Live) -> bool {
    let open = |state| present(state, live.since);
    open(status.links.get(&live.record.link_key()))
        && route_states(status, live).all(open)
        && (!is_enforced(inputs) || open(endpoint_state(status, live)))
}

/// Whether there is a policy table at all.
fn is_enforced(inputs: &Inputs) -> bool {
    inputs.config().is_some_and(|config| config.node.kernel.policy)
}

fn route_states<'a>(status: &'a Status, live: &Live) -> impl Iterator<Item = Option<&'a KeyState>> {
    live.record.addresses().map(|address| status.routes.get(&route::host_key(address)))
}

fn endpoint_state<'a>(status: &'a Status, live: &Live) -> Option<&'a KeyState> {
    status.endpoints.get(&EndpointKey::new(&live.record.host_interface))
}

fn present(state: Option<&KeyState>, since: Revision) -> bool {
    state.is_some_and(|state| state.is_present(since))
}
