// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links: one veth pair per workload.

use super::Inputs;
use crate::model::{LinkKey, LinkSpec};

/// The link with this host interface.
///
/// Needs no look at the uplinks: everything about a link is settled in the record.
pub fn derive(inputs: &Inputs, key: &LinkKey) -> Option<LinkSpec> {
    if !inputs.config()?.node.kernel.routes {
        return None;
    }
    let live = inputs.by_interface(key.as_str()).filter(|live| live.is_wanted())?;
    let record = &live.record;
    Some(LinkSpec {
        id: record.id.clone(),
        host_interface: record.host_interface.clone(),
        container_interface: record.id.ifname().to_owned(),
        mac: record.mac,
        mtu: record.mtu,
        v4: record.v4,
        v6: record.v6,
        netns: record.netns,
    })
}
