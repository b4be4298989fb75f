// SPDX-License-Identifier: MIT OR Apache-2.0
//! The speaker's configuration: what the files say, completed by what the node looks like.

use std::net::{IpAddr, SocketAddr};

use bgp::types::{BgpId, Family, Prefix};
use bgp::{PeerConfig, SpeakerConfig};

use super::{Inputs, address, advert};
use crate::config::{Config, Peer};
use crate::model::{Uplink, Uplinks};

/// Why there is nothing to configure the speaker with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// No configuration is in force.
    #[error("no configuration is in force")]
    NoConfig,
    /// The node's interfaces were not observed yet.
    #[error("the node's interfaces were not observed yet")]
    NoUplinks,
    /// The node has no IPv4 address to serve as its BGP identifier.
    #[error("no IPv4 address to serve as routerId: set spec.routerId")]
    NoRouterId,
}

/// Configures the speaker.
///
/// # Errors
/// Says what is missing.
pub fn derive(inputs: &Inputs) -> Result<SpeakerConfig, NotReady> {
    let config = inputs.config().ok_or(NotReady::NoConfig)?;
    let uplinks = inputs.uplinks().ok_or(NotReady::NoUplinks)?;
    let router_id = router_id(config, uplinks).ok_or(NotReady::NoRouterId)?;
    let mut speaker = SpeakerConfig::new(config.node.asn, router_id);
    speaker.listen = listen(config, uplinks);
    speaker.own_blocks = advert::keys(inputs);
    speaker.own_addresses = uplinks.local.iter().copied().collect();
    if config.node.kernel.routes {
        speaker.connected = connected(config, uplinks);
    } else {
        // A pure speaker sends no packets by what it learns: gateways may be anywhere.
        speaker.publish = false;
    }
    speaker.peers = config.peers.iter().map(|peer| complete(peer, config, uplinks)).collect();
    Ok(speaker)
}

/// The configured one; else the primary IPv4 address of the uplink towards the first peer that is
/// on an uplink; else the node's own address.
fn router_id(config: &Config, uplinks: &Uplinks) -> Option<BgpId> {
    let v4 = Family::Ipv4Unicast;
    let towards_peer = || {
        let mut facing =
            config.peers.iter().filter_map(|p| facing(config, uplinks, p.speaker.address));
        facing.find_map(|uplink| address::first(&uplink.addresses, v4))
    };
    config.node.router_id.or_else(|| {
        match towards_peer().or_else(|| address::own(config, uplinks, v4)) {
            Some(IpAddr::V4(address)) => BgpId::try_new(address),
            Some(IpAddr::V6(_)) | None => None,
        }
    })
}

fn listen(config: &Config, uplinks: &Uplinks) -> Vec<SocketAddr> {
    let configured = config.node.listen.clone();
    let addresses = configured.unwrap_or_else(|| {
        address::selected(config, uplinks)
            .flat_map(|uplink| &uplink.addresses)
            .filter(|a| a.global && !a.secondary)
            .map(|a| a.address)
            .collect()
    });
    addresses.into_iter().map(|address| SocketAddr::new(address, config.node.port)).collect()
}

fn connected(config: &Config, uplinks: &Uplinks) -> Vec<Prefix> {
    let selected = address::selected(config, uplinks);
    let mut subnets: Vec<_> =
        selected.flat_map(|uplink| &uplink.addresses).filter_map(address::subnet).collect();
    subnets.sort_unstable();
    subnets.dedup();
    subnets
}

/// Fills in the next hop of the family that the session itself does not run over, and the address
/// that sessions start from.
pub(super) fn complete(peer: &Peer, config: &Config, uplinks: &Uplinks) -> PeerConfig {
    let Peer { speaker: mut peer, use_node_address, .. } = peer.clone();
    peer.transit = config.node.transit;
    if use_node_address && peer.local_address.is_none() {
        let v4 = peer.address.is_ipv4();
        let family = if v4 { Family::Ipv4Unicast } else { Family::Ipv6Unicast };
        peer.local_address = address::own(config, uplinks, family);
    }
    let facing = facing(config, uplinks, peer.address);
    if peer.address.is_ipv4() {
        let own = config.node.address_v6.map(IpAddr::V6);
        if let Some(IpAddr::V6(v6)) = next_hop(own, facing, uplinks, Family::Ipv6Unicast) {
            peer.next_hop_v6 = Some(v6);
        }
    } else {
        let own = config.node.address_v4.map(IpAddr::V4);
        if let Some(IpAddr::V4(v4)) = next_hop(own, facing, uplinks, Family::Ipv4Unicast) {
            peer.next_hop_v4 = Some(v4);
        }
    }
    peer
}

/// An address by which the peer reaches this node: one of the uplink it is on, the configured one
/// of the node first; without an address there, the configured one wherever it is.
fn next_hop(
    own: Option<IpAddr>,
    facing: Option<&Uplink>,
    uplinks: &Uplinks,
    family: Family,
) -> Option<IpAddr> {
    let own = own.filter(|own| uplinks.local.contains(own));
    let on_uplink = |own: &IpAddr| {
        facing.is_some_and(|uplink| uplink.addresses.iter().any(|a| a.address == *own))
    };
    own.filter(on_uplink).or_else(|| address::first(&facing?.addresses, family)).or(own)
}

pub(super) fn facing<'a>(
    config: &'a Config,
    uplinks: &'a Uplinks,
    peer: IpAddr,
) -> Option<&'a Uplink> {
    address::selected(config, uplinks).find(|uplink| address::reaches(uplink, peer))
}
