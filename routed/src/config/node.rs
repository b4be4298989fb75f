// SPDX-License-Identifier: MIT OR Apache-2.0
//! `NodeConfig`: the one document that differs from node to node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bgp::types::{Asn, BgpId, Prefix};
use policy::load::Value;
use policy::model::Labels;

use super::read::{At, Field, Fields, NOT_YET};
use super::types::{Forwarding, Kernel, Mtu, Workloads};
use crate::model::{GATEWAY_V4, GATEWAY_V6, is_interface_name};

/// What a `NodeConfig` says, before it is put beside the other documents.
#[derive(Clone, Debug)]
pub(super) struct RawNode {
    pub(super) labels: Labels,
    pub(super) asn: Option<Asn>,
    pub(super) router_id: Option<BgpId>,
    pub(super) uplinks: Vec<String>,
    pub(super) listen: Option<Vec<IpAddr>>,
    pub(super) port: Option<u16>,
    pub(super) transit: bool,
    pub(super) blocks: Option<Vec<At<Prefix>>>,
    pub(super) kernel: Kernel,
    pub(super) address_v4: Option<Ipv4Addr>,
    pub(super) address_v6: Option<Ipv6Addr>,
    pub(super) workloads: Workloads,
}

const SPEC: Fields = Fields {
    known: &[
        "asNumber",
        "routerId",
        "uplinks",
        "bgp",
        "blocks",
        "kernel",
        "addresses",
        "workloads",
    ],
    refused: &["advertise", "labelsOverBgp", "metrics", "admin"],
    ignored: &[],
};
const BGP: Fields = Fields { known: &["listen", "port", "transit"], refused: &[], ignored: &[] };
const KERNEL: Fields =
    Fields { known: &["routes", "policy", "forwarding"], refused: &[], ignored: &[] };
const FAMILIES: Fields = Fields { known: &["v4", "v6"], refused: &[], ignored: &[] };
const WORKLOADS: Fields = Fields {
    known: &["interfacePrefix", "mtu", "gateway", "antiSpoofing"],
    refused: &["labels"],
    ignored: &[],
};

/// Longest prefix that leaves room for 11 digits in an interface name.
const MAX_PREFIX: usize = 4;

pub(super) fn read(spec: &Field<'_>, labels: Labels) -> Option<RawNode> {
    let spec = spec.object(SPEC)?;
    let (listen, port, transit) = spec.get("bgp").map(|bgp| read_bgp(&bgp)).unwrap_or_default();
    let addresses = spec.get("addresses").and_then(|addresses| addresses.object(FAMILIES));
    let address = |name| addresses.as_ref().and_then(|addresses| addresses.get(name));
    let uplinks = spec.get("uplinks").map(|uplinks| read_uplinks(&uplinks)).unwrap_or_default();
    Some(RawNode {
        labels,
        asn: spec.get("asNumber").and_then(|asn| read_asn(&asn)),
        router_id: spec
            .get("routerId")
            .and_then(|id| id.parse("a BGP identifier like 10.1.1.11, not 0.0.0.0")),
        listen,
        port,
        transit,
        blocks: spec.get("blocks").map(|blocks| read_blocks(&blocks)),
        kernel: read_kernel(spec.get("kernel").as_ref()),
        address_v4: address("v4").and_then(|field| read_v4(&field)),
        address_v6: address("v6").and_then(|field| read_v6(&field)),
        workloads: read_workloads(spec.get("workloads").as_ref(), &uplinks),
        uplinks,
    })
}

/// An AS number as Calico takes it: a number, or a string that may be in dotted notation.
pub(super) fn read_asn(field: &Field<'_>) -> Option<Asn> {
    let what = "an AS number from 1 to 4294967294";
    let asn = match &field.node.value {
        Value::Int(number) => u32::try_from(*number).ok().map(Asn),
        Value::Float(_) => {
            let hint = "put it in quotes: 1.10 without them is the number 1.1".to_owned();
            field.report(&format!("expected {what}"), Some(hint));
            return None;
        }
        _ => Some(field.parse(what)?),
    };
    // RFC 7607, RFC 6793 §9, RFC 7300.
    let usable = |asn: &Asn| !matches!(asn.0, 0 | 23_456 | 65_535 | u32::MAX);
    asn.filter(usable).or_else(|| field.expected(what))
}

fn read_bgp(field: &Field<'_>) -> (Option<Vec<IpAddr>>, Option<u16>, bool) {
    let Some(bgp) = field.object(BGP) else { return (None, None, false) };
    let listen = bgp.get("listen").and_then(|listen| listen.list());
    let address = |field: &Field<'_>| field.parse("an IP address");
    let listen = listen.map(|listen| listen.iter().filter_map(address).collect());
    let port = bgp.get("port").and_then(|port| port.integer(1..=u16::MAX));
    (listen, port, bgp.get("transit").and_then(|field| field.boolean()).unwrap_or(false))
}

fn read_uplinks(field: &Field<'_>) -> Vec<String> {
    let mut uplinks: Vec<String> = Vec::new();
    for item in field.list().unwrap_or_default() {
        let Some(name) = item.text() else { continue };
        if !is_interface_name(name) || name == "lo" {
            item.expected::<()>("the name of an interface towards the fabric");
        } else if uplinks.iter().any(|uplink| uplink == name) {
            item.report("the uplink is there twice", None);
        } else {
            uplinks.push(name.to_owned());
        }
    }
    uplinks
}

fn read_blocks(field: &Field<'_>) -> Vec<At<Prefix>> {
    if matches!(&field.node.value, Value::Text(text) if text == "derived") {
        let hint = "list the blocks of this node".to_owned();
        field.report(NOT_YET, Some(hint));
        return Vec::new();
    }
    let items = field.list().unwrap_or_default();
    items.iter().filter_map(|item| Some(item.at(read_prefix(item)?))).collect()
}

/// A prefix without host bits.
pub(super) fn read_prefix(field: &Field<'_>) -> Option<Prefix> {
    let text = field.text()?;
    if let Ok(prefix) = text.parse() {
        return Some(prefix);
    }
    // Reads more than it should: addresses without a length, and host bits.
    let network = text.parse::<ipnetwork::IpNetwork>().ok();
    let meant = network.and_then(|net| Prefix::new_masked(net.ip(), net.prefix()).ok());
    let hint = meant.map(|prefix| format!("did you mean {prefix}?"));
    field.report("expected a prefix like 10.64.1.0/26, no bit set behind the length", hint);
    None
}

fn read_kernel(field: Option<&Field<'_>>) -> Kernel {
    let kernel = field.and_then(|kernel| kernel.object(KERNEL));
    let get = |name| kernel.as_ref().and_then(|kernel| kernel.get(name));
    let words = [("manage", Forwarding::Manage), ("require", Forwarding::Require)];
    Kernel {
        routes: get("routes").and_then(|field| field.boolean()).unwrap_or(true),
        policy: get("policy").and_then(|field| field.boolean()).unwrap_or(true),
        forwarding: get("forwarding")
            .and_then(|field| field.word(&words))
            .unwrap_or(Forwarding::Manage),
    }
}

fn read_v4(field: &Field<'_>) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = field.parse("an IPv4 address")?;
    let usable = !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast();
    if usable { Some(address) } else { field.expected("an IPv4 address of this node") }
}

fn read_v6(field: &Field<'_>) -> Option<Ipv6Addr> {
    let address: Ipv6Addr = field.parse("an IPv6 address")?;
    let usable = !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_unicast_link_local();
    if usable { Some(address) } else { field.expected("a global IPv6 address of this node") }
}

fn read_workloads(field: Option<&Field<'_>>, uplinks: &[String]) -> Workloads {
    let workloads = field.and_then(|workloads| workloads.object(WORKLOADS));
    let get = |name| workloads.as_ref().and_then(|workloads| workloads.get(name));
    if let Some(gateway) = get("gateway") {
        check_gateway(&gateway);
    }
    if let Some(spoofing) = get("antiSpoofing") {
        spoofing.word(&[("strict", ())]);
    }
    let prefix = get("interfacePrefix").and_then(|field| read_interface_prefix(&field, uplinks));
    Workloads {
        interface_prefix: prefix.unwrap_or_else(|| "rtd".to_owned()),
        mtu: get("mtu").and_then(|field| read_mtu(&field)).unwrap_or(Mtu::Auto),
    }
}

fn read_interface_prefix(field: &Field<'_>, uplinks: &[String]) -> Option<String> {
    let prefix = field.text()?;
    let good = (1..=MAX_PREFIX).contains(&prefix.len())
        && prefix.starts_with(|c: char| c.is_ascii_lowercase())
        && prefix.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if !good {
        return field.expected("1 to 4 of a-z and 0-9, starting with a letter");
    }
    let lo = "lo".to_owned();
    if let Some(name) = uplinks.iter().chain([&lo]).find(|name| name.starts_with(prefix)) {
        field.report(&format!("the prefix matches {name}, which is no workload's"), None);
        return None;
    }
    Some(prefix.to_owned())
}

fn read_mtu(field: &Field<'_>) -> Option<Mtu> {
    match &field.node.value {
        Value::Text(text) if text == "auto" => Some(Mtu::Auto),
        Value::Int(mtu) => {
            let mtu = u32::try_from(*mtu).ok().filter(|mtu| (1280..=65_535).contains(mtu));
            mtu.map(Mtu::Fixed).or_else(|| field.expected("auto or a number from 1280 to 65535"))
        }
        _ => field.expected("auto or a number from 1280 to 65535"),
    }
}

/// The gateways are the same on every node: naming them is allowed, changing them is not.
fn check_gateway(field: &Field<'_>) {
    let Some(gateway) = field.object(FAMILIES) else { return };
    let fixed = [("v4", IpAddr::V4(GATEWAY_V4)), ("v6", IpAddr::V6(GATEWAY_V6))];
    for (name, fixed) in fixed {
        let Some(field) = gateway.get(name) else { continue };
        let given = field.parse::<IpAddr>("an IP address");
        if given.is_some_and(|given| given != fixed) {
            field.report("the gateway is fixed", Some(format!("it is {fixed} on every node")));
        }
    }
}
