// SPDX-License-Identifier: MIT OR Apache-2.0
//! BFD sessions: one for each peer that wants one, between the addresses of its BGP session.
//!
//! A peer on the subnet of an uplink is one hop away, and only that uplink counts. One with
//! `ebgpMultihop`, and one of our own AS elsewhere, is watched over several hops (RFC 5883).

use std::net::IpAddr;

use bgp::types::Family;

use super::{Inputs, address, speaker};
use crate::config::{Config, Peer};
use crate::model::{BfdSpec, BfdTimers, Uplinks};

/// The sessions there shall be, in the order of the peers; none while the node is not known.
pub fn derive(inputs: &Inputs) -> Vec<BfdSpec> {
    let (Some(config), Some(uplinks)) = (inputs.config(), inputs.uplinks()) else {
        return Vec::new();
    };
    let peers = config.peers.iter();
    peers.filter_map(|peer| Some(session(peer, peer.bfd?, config, uplinks))).collect()
}

fn session(peer: &Peer, timers: BfdTimers, config: &Config, uplinks: &Uplinks) -> BfdSpec {
    let bgp = speaker::complete(peer, config, uplinks);
    let facing = speaker::facing(config, uplinks, bgp.address).filter(|_| bgp.multihop.is_none());
    let family = match bgp.address {
        IpAddr::V4(_) => Family::Ipv4Unicast,
        IpAddr::V6(_) => Family::Ipv6Unicast,
    };
    let local = bgp.local_address.or_else(|| match facing {
        Some(uplink) => {
            let mut addresses = uplink.addresses.iter();
            let beside =
                |a: &&_| address::subnet(a).is_some_and(|net| net.contains_addr(bgp.address));
            addresses.find(beside).map(|a| a.address)
        }
        None => address::own(config, uplinks, family),
    });
    let is_internal = bgp.asn == config.node.asn;
    BfdSpec {
        peer: bgp.address,
        local,
        interface: facing.map(|uplink| uplink.name.clone()),
        multihop: bgp.multihop.is_some() || (facing.is_none() && is_internal),
        interval_micros: u32::try_from(timers.interval.as_micros()).unwrap_or(u32::MAX),
        multiplier: timers.multiplier,
    }
}
