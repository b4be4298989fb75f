// SPDX-License-Identifier: MIT OR Apache-2.0
//! Documents put together: what they say to this node, and where they contradict each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use bgp::types::{Asn, BgpId, Prefix};
use bgp::{PeerConfig, SpeakerConfig};
use policy::model::{EndpointKey, Labels};

use super::document::{Document, Documents};
use super::error::{ConfigError, Place};
use super::node::RawNode;
use super::peer::{self, RawPeer, RawProfile};
use super::pool::{RawPool, block_lengths};
use super::read::{At, Problems};
use super::types::{Config, Node, Peer, Pool, StaticEndpoint};
use crate::model::Block;

/// The AS number of a node without peers that names none: Calico's default.
const DEFAULT_ASN: Asn = Asn(64_512);

/// TCP port of BGP (RFC 4271 §8).
const BGP_PORT: u16 = 179;

/// Puts the documents together; `None` if that made no sense. Problems are noted either way.
pub(super) fn assemble(
    documents: &Documents,
    default_name: &str,
    problems: &Problems,
) -> Option<Config> {
    let node = the_node(documents, problems)?;
    let name = node.name.clone().unwrap_or_else(|| default_name.to_owned());
    let defaults = the_defaults(documents, problems);
    let pools = pools(documents, &node.spec.labels, problems);
    let unsure = documents.is_broken("IPPool") || documents.is_broken("NodeConfig");
    let blocks = if unsure { Vec::new() } else { blocks(node, &pools, problems) };
    let peers = peers(documents, &name, &node.spec.labels, problems);
    let asn = node.spec.asn.or(defaults.0).or_else(|| {
        let unsure = documents.is_broken("NodeConfig") || documents.is_broken("BGPConfiguration");
        if !peers.is_empty() && !unsure {
            let place = Place { field: "spec.asNumber".to_owned(), ..node.place.clone() };
            let hint = "here, or in the BGPConfiguration default";
            problems.push(ConfigError::new(place, "the field is missing").hint(hint));
        }
        Some(DEFAULT_ASN)
    })?;
    let RawNode { uplinks, listen, router_id, kernel, workloads, .. } = node.spec.clone();
    Some(Config {
        blocks,
        peers,
        policies: documents.policies.clone(),
        endpoints: endpoints(documents, problems),
        pools: pools.into_iter().map(|(name, pool)| (name, pool.pool)).collect(),
        node: Node {
            name,
            labels: node.spec.labels.clone(),
            asn,
            router_id,
            uplinks,
            listen,
            port: node.spec.port.or(defaults.1).unwrap_or(BGP_PORT),
            transit: node.spec.transit,
            address_v4: node.spec.address_v4,
            address_v6: node.spec.address_v6,
            kernel,
            workloads,
        },
    })
}

fn the_node<'a>(documents: &'a Documents, problems: &Problems) -> Option<&'a Document<RawNode>> {
    let mut nodes = documents.nodes.iter();
    let Some(first) = nodes.next() else {
        if documents.is_broken("NodeConfig") {
            return None;
        }
        let hint = "it needs one NodeConfig, in node.yaml by custom";
        let place = Place::file("node.yaml");
        problems.push(ConfigError::new(place, "the directory has no NodeConfig").hint(hint));
        return None;
    };
    for other in nodes.filter(|other| other.name != first.name) {
        let problem = format!("a second NodeConfig, the first is at {}", first.place);
        problems.push(ConfigError::new(other.place.clone(), problem));
    }
    Some(first)
}

fn the_defaults(documents: &Documents, problems: &Problems) -> (Option<Asn>, Option<u16>) {
    let mut defaults = (None, None);
    for document in &documents.bgp {
        if document.name.as_deref() == Some("default") {
            defaults = (document.spec.asn, document.spec.port);
        } else {
            let problem = "only the BGPConfiguration named default is supported yet";
            problems.push(ConfigError::new(document.place.clone(), problem));
        }
    }
    defaults
}

struct PlacedPool {
    pool: Pool,
    place: Place,
}

fn pools(
    documents: &Documents,
    labels: &Labels,
    problems: &Problems,
) -> BTreeMap<String, PlacedPool> {
    let mut pools: BTreeMap<String, PlacedPool> = BTreeMap::new();
    for document in &documents.pools {
        let RawPool { cidr, block_size, selector, disabled } = &document.spec;
        let overlaps = |other: &&PlacedPool| {
            other.pool.cidr.contains(&cidr.value) || cidr.value.contains(&other.pool.cidr)
        };
        let name = document.name.clone().unwrap_or_default();
        if let Some(other) = pools.values().find(overlaps) {
            let problem = format!("the pool overlaps the one at {}", other.place);
            let error = ConfigError::new(cidr.place.clone(), problem);
            problems.push(error.value(cidr.value.to_string()));
        }
        let pool = Pool {
            cidr: cidr.value,
            block_size: *block_size,
            disabled: *disabled,
            selected: selector.matches(labels),
        };
        let place = cidr.place.clone();
        pools.entry(name).or_insert_with(|| PlacedPool { pool, place });
    }
    pools
}

fn blocks(
    node: &Document<RawNode>,
    pools: &BTreeMap<String, PlacedPool>,
    problems: &Problems,
) -> Vec<Block> {
    let place = Place { field: "spec.blocks".to_owned(), ..node.place.clone() };
    let blocks = match &node.spec.blocks {
        Some(blocks) => blocks.as_slice(),
        None if !node.spec.kernel.routes => &[],
        None => {
            let hint = "list the blocks of this node, such as [10.64.1.0/26], or [] for none";
            problems.push(ConfigError::new(place, "the field is missing").hint(hint));
            return Vec::new();
        }
    };
    if let Some(first) = blocks.first().filter(|_| !node.spec.kernel.routes) {
        let problem = "a node with spec.kernel.routes false has no blocks";
        problems.push(ConfigError::new(first.place.clone(), problem));
    }
    let mut good: Vec<Block> = Vec::new();
    for At { value: prefix, place } in blocks {
        match check_block(*prefix, pools, &good) {
            Ok(block) => good.push(block),
            Err((problem, hint)) => {
                let error = ConfigError::new(place.clone(), problem).value(prefix.to_string());
                problems.push(ConfigError { hint, ..error });
            }
        }
    }
    good
}

/// The block with its pool, or what is wrong with it and what to do.
fn check_block(
    prefix: Prefix,
    pools: &BTreeMap<String, PlacedPool>,
    others: &[Block],
) -> Result<Block, (String, Option<String>)> {
    let overlaps = |other: &Prefix| other.contains(&prefix) || prefix.contains(other);
    if let Some(other) = others.iter().map(|block| block.prefix).find(overlaps) {
        return Err((format!("the block overlaps {other}"), None));
    }
    let covers = |(_, pool): &(&String, &PlacedPool)| pool.pool.cidr.contains(&prefix);
    let Some((name, PlacedPool { pool, .. })) = pools.iter().find(covers) else {
        return Err(("the block lies in no IPPool".to_owned(), Some(suggest_pool(prefix, pools))));
    };
    if !pool.selected {
        let problem = format!("the nodeSelector of IPPool {name} does not select this node");
        return Err((problem, Some("it looks at the labels of the NodeConfig".to_owned())));
    }
    let lengths = block_lengths(prefix.family());
    match pool.block_size {
        Some(size) if size != prefix.prefix_len() => {
            let problem = format!("the block is no /{size} as IPPool {name} has them");
            let hint = Prefix::new_masked(prefix.addr(), size).ok();
            return Err((problem, hint.map(|prefix| format!("such as {prefix}"))));
        }
        None if !lengths.contains(&prefix.prefix_len()) => {
            let (shortest, longest) = (lengths.start(), lengths.end());
            return Err((format!("a block is a /{shortest} to /{longest}"), None));
        }
        Some(_) | None => {}
    }
    Ok(Block { pool: name.clone(), prefix, enabled: !pool.disabled })
}

fn suggest_pool(prefix: Prefix, pools: &BTreeMap<String, PlacedPool>) -> String {
    let of_family = pools.iter().filter(|(_, p)| p.pool.cidr.family() == prefix.family());
    let known: Vec<_> =
        of_family.map(|(name, pool)| format!("{name} {}", pool.pool.cidr)).collect();
    if known.is_empty() {
        "add an IPPool that covers it".to_owned()
    } else {
        format!("pools: {}", known.join(", "))
    }
}

fn peers(documents: &Documents, node: &str, labels: &Labels, problems: &Problems) -> Vec<Peer> {
    let good: Vec<_> =
        documents.profiles.iter().filter(|profile| check_profile(profile, problems)).collect();
    let mut peers: BTreeMap<&str, (Peer, &Place)> = BTreeMap::new();
    for document in &documents.peers {
        let name = document.name.as_deref().unwrap_or_default();
        let profile = the_profile(name, &good, problems);
        let speaker = peer::build(name, &document.spec, profile);
        check_peer(&speaker, &document.place, problems);
        if !selects(&document.spec, node, labels) {
            continue;
        }
        let address = speaker.address;
        let same = |(peer, _): &&(Peer, &Place)| peer.speaker.address == address;
        if let Some((other, place)) = peers.values().find(same) {
            let problem = format!("the address is that of peer {} at {place}", other.speaker.name);
            let error = ConfigError::new(document.spec.address.place.clone(), problem);
            problems.push(error.value(address.to_string()));
        }
        let use_node_address = document.spec.use_node_address;
        let bfd = profile.and_then(|profile| profile.bfd);
        let peer = Peer { speaker, use_node_address, bfd };
        peers.entry(name).or_insert((peer, &document.place));
    }
    peers.into_values().map(|(peer, _)| peer).collect()
}

fn selects(peer: &RawPeer, node: &str, labels: &Labels) -> bool {
    peer.node.as_deref().is_none_or(|name| name == node)
        && peer.selector.as_ref().is_none_or(|selector| selector.matches(labels))
}

fn the_profile<'a>(
    peer: &str,
    profiles: &[&'a Document<RawProfile>],
    problems: &Problems,
) -> Option<&'a RawProfile> {
    let covers = |profile: &&&Document<RawProfile>| {
        profile.spec.peers.iter().any(|glob| peer::matches_glob(glob, peer))
    };
    let mut profiles = profiles.iter().filter(covers);
    let first = profiles.next()?;
    if let Some(second) = profiles.next() {
        let problem = format!("peer {peer} has a profile already, at {}", first.place);
        problems.push(ConfigError::new(second.place.clone(), problem));
    }
    Some(&first.spec)
}

/// Lets the speaker judge a profile, with a peer that has nothing wrong with it.
fn check_profile(profile: &Document<RawProfile>, problems: &Problems) -> bool {
    let name = profile.name.as_deref().unwrap_or_default();
    check_peer(&peer::build_example(name, &profile.spec), &profile.place, problems)
}

/// Lets the speaker judge a peer on its own.
fn check_peer(peer: &PeerConfig, place: &Place, problems: &Problems) -> bool {
    let Some(id) = BgpId::try_new(Ipv4Addr::new(192, 0, 2, 1)) else { return true };
    let speaker =
        SpeakerConfig { peers: vec![peer.clone()], ..SpeakerConfig::new(DEFAULT_ASN, id) };
    let Err(error) = speaker.validate() else { return true };
    let place = Place { field: "spec".to_owned(), ..place.clone() };
    let text = error.to_string();
    let problem = text.strip_prefix(&format!("peer {}: ", peer.name)).unwrap_or(&text);
    problems.push(ConfigError::new(place, problem));
    false
}

fn endpoints(documents: &Documents, problems: &Problems) -> BTreeMap<EndpointKey, StaticEndpoint> {
    let mut endpoints = BTreeMap::new();
    let mut holders: BTreeMap<IpAddr, &Place> = BTreeMap::new();
    for document in &documents.endpoints {
        let name = document.name.as_deref().unwrap_or_default();
        for address in &document.spec.addresses {
            if let Some(first) = holders.insert(address.value, &address.place) {
                let problem = format!("the address is named already, at {first}");
                let error = ConfigError::new(address.place.clone(), problem);
                problems.push(error.value(address.value.to_string()));
            }
        }
        let endpoint = StaticEndpoint {
            namespace: document.namespace.clone(),
            labels: document.labels.clone(),
            addresses: document.spec.addresses.iter().map(|at| at.value).collect(),
            node: document.spec.node.clone(),
        };
        let key = EndpointKey::new(&format!("{}/{name}", document.namespace));
        endpoints.insert(key, endpoint);
    }
    endpoints
}
