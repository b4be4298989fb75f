// SPDX-License-Identifier: MIT OR Apache-2.0
//! What BGP originates: own blocks, and single addresses that no block covers.
//!
//! A workload outside every own block keeps running after its block left the configuration. Its
//! address is then advertised alone, so that the change of a file never cuts it off.

use bgp::Originate;
use bgp::types::Prefix;

use super::{Inputs, Status, gate};

/// Every prefix that may be wanted.
pub fn keys(inputs: &Inputs) -> Vec<Prefix> {
    let blocks = inputs.blocks().iter().map(|block| block.prefix);
    let alone = inputs.addresses().filter(|address| inputs.block_of(*address).is_none());
    blocks.chain(alone.map(Prefix::host)).collect()
}

/// The advert of a prefix, once its gate is open.
pub fn derive(inputs: &Inputs, status: &Status, prefix: Prefix) -> Option<Originate> {
    if !inputs.config()?.node.kernel.routes {
        return None;
    }
    let open = match inputs.block(prefix) {
        Some(_) if !prefix.is_host() => gate::block_is_open(inputs, status, prefix),
        Some(_) => gate::host_is_open(inputs, status, prefix.addr()),
        None => {
            prefix.is_host()
                && inputs.block_of(prefix.addr()).is_none()
                && gate::host_is_open(inputs, status, prefix.addr())
        }
    };
    open.then(Originate::default)
}
