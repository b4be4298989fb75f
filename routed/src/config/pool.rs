// SPDX-License-Identifier: MIT OR Apache-2.0
//! `IPPool`: where addresses come from.

use bgp::types::{Family, Prefix};
use policy::Selector;

use super::node::read_prefix;
use super::read::{At, Field, Fields, NOT_YET};

/// What an `IPPool` says.
#[derive(Clone, Debug)]
pub(super) struct RawPool {
    pub(super) cidr: At<Prefix>,
    pub(super) block_size: Option<u8>,
    pub(super) selector: Selector,
    pub(super) disabled: bool,
}

const SPEC: Fields = Fields {
    known: &[
        "cidr",
        "blockSize",
        "nodeSelector",
        "disabled",
        "natOutgoing",
        "ipipMode",
        "vxlanMode",
    ],
    refused: &["namespaceSelector", "disableBGPExport", "allowedUses", "assignmentMode"],
    ignored: &[],
};

/// Prefix lengths that a block may have: at most 4,096 addresses, as in Calico.
pub(super) fn block_lengths(family: Family) -> std::ops::RangeInclusive<u8> {
    match family {
        Family::Ipv4Unicast => 20..=32,
        Family::Ipv6Unicast => 116..=128,
    }
}

pub(super) fn read(spec: &Field<'_>) -> Option<RawPool> {
    let spec = spec.object(SPEC)?;
    let cidr = spec.require("cidr").and_then(|field| Some(field.at(read_prefix(&field)?)));
    let family = cidr.as_ref().map_or(Family::Ipv4Unicast, |cidr| cidr.value.family());
    let block_size = spec.get("blockSize").and_then(|field| {
        let size = field.integer(block_lengths(family))?;
        let length = cidr.as_ref().map_or(0, |cidr| cidr.value.prefix_len());
        if size < length {
            field.report(&format!("a block of /{size} is larger than the pool's /{length}"), None);
        }
        Some(size)
    });
    let selector = spec.get("nodeSelector").map(|field| read_selector(&field));
    let disabled = spec.get("disabled").and_then(|field| field.boolean()).unwrap_or(false);
    if let Some(field) = spec.get("natOutgoing")
        && field.boolean() == Some(true)
    {
        field.report(NOT_YET, None);
    }
    for name in ["ipipMode", "vxlanMode"] {
        if let Some(field) = spec.get(name) {
            check_tunnel(&field);
        }
    }
    let selector = selector.unwrap_or_else(|| Some(Selector::all()))?;
    Some(RawPool { cidr: cidr?, block_size, selector, disabled })
}

/// A selector over labels.
pub(super) fn read_selector(field: &Field<'_>) -> Option<Selector> {
    match field.text()?.parse() {
        Ok(selector) => Some(selector),
        Err(error) => {
            let error: policy::model::SelectorError = error;
            field.report(&format!("not a selector: {error}"), None);
            None
        }
    }
}

/// Packets are routed as they are: no tunnel of any kind.
fn check_tunnel(field: &Field<'_>) {
    match field.text() {
        None | Some("Never") => {}
        Some("Always" | "CrossSubnet") => {
            field.report(NOT_YET, Some("Never, or leave the field out".to_owned()));
        }
        Some(_) => {
            field.word(&[("Never", ()), ("Always", ()), ("CrossSubnet", ())]);
        }
    }
}
