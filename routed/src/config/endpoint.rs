// SPDX-License-Identifier: MIT OR Apache-2.0
//! `WorkloadEndpoint`: a workload that a file describes.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::read::{At, Field, Fields};

/// What a `WorkloadEndpoint` says beside its metadata.
#[derive(Clone, Debug)]
pub(super) struct RawEndpoint {
    pub(super) node: Option<String>,
    pub(super) addresses: Vec<At<IpAddr>>,
}

const SPEC: Fields =
    Fields { known: &["node", "addresses", "ipNetworks"], refused: &[], ignored: &[] };

pub(super) fn read(spec: &Field<'_>) -> Option<RawEndpoint> {
    let spec = spec.object(SPEC)?;
    let node = spec.get("node").and_then(|field| field.text().map(str::to_owned));
    // Calico's name for the same list.
    let field = match (spec.get("addresses"), spec.get("ipNetworks")) {
        (Some(_), Some(networks)) => {
            networks.report("the same as addresses: have one of them", None);
            return None;
        }
        (None, Some(networks)) => networks,
        (addresses, None) => addresses.or_else(|| spec.require("addresses"))?,
    };
    let items = field.list()?;
    if items.is_empty() {
        field.report("the list is empty", None);
    }
    let addresses = items.iter().filter_map(|item| Some(item.at(read_address(item)?))).collect();
    Some(RawEndpoint { node, addresses })
}

/// An address, or a network of just one.
fn read_address(field: &Field<'_>) -> Option<IpAddr> {
    let network: IpNetwork = field.parse("an IP address")?;
    let single = network.prefix() == if network.is_ipv4() { 32 } else { 128 };
    let address = network.ip();
    let usable = single && !address.is_unspecified() && !address.is_multicast();
    if usable { Some(address) } else { field.expected("the address of one workload") }
}
