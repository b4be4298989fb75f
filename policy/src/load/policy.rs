// SPDX-License-Identifier: MIT OR Apache-2.0
//! A document of kind `NetworkPolicy` or `GlobalNetworkPolicy` to a [`Policy`].

use super::{
    Value,
    decode::{Cursor, Fields, Mapping, Problems},
    error::did_you_mean,
    rule::{Owner, decode_namespace_selector, decode_rule, decode_selector},
};
use crate::model::{Direction, EndpointSelector, Order, Policy, PolicyId, Rule, Scope, Selector};

const DOCUMENT: Fields =
    Fields { known: &["apiVersion", "kind", "metadata", "spec"], refused: &[], ignored: &[] };

const METADATA: Fields = Fields {
    known: &["name", "namespace"],
    refused: &[],
    ignored: &[
        "annotations",
        "labels",
        // What a server adds to a dump.
        "clusterName",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "managedFields",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ],
};

const GLOBAL_SPEC: Fields = Fields {
    known: &[
        "order",
        "selector",
        "namespaceSelector",
        "types",
        "ingress",
        "egress",
        "tier",
        "doNotTrack",
        "preDNAT",
        "applyOnForward",
    ],
    refused: &["serviceAccountSelector"],
    ignored: &["performanceHints"],
};

const NAMESPACED_SPEC: Fields = Fields {
    known: &["order", "selector", "types", "ingress", "egress", "tier"],
    refused: &["serviceAccountSelector"],
    ignored: &["performanceHints"],
};

/// Switches that stand for other behaviour when on; off is the behaviour there is.
const SWITCHES: [&str; 3] = ["doNotTrack", "preDNAT", "applyOnForward"];

/// Longest names that Kubernetes and Calico take.
const MAX_NAME: usize = 253;
const MAX_NAMESPACE: usize = 63;

pub(super) fn decode_policy(
    at: &Cursor<'_>,
    namespaced: bool,
    problems: &mut Problems,
) -> Option<Policy> {
    let document = at.mapping(&DOCUMENT, problems)?;
    let metadata = document.require("metadata", problems);
    let id = metadata.and_then(|metadata| decode_id(&metadata, namespaced, problems));
    let spec = document.require("spec", problems)?;
    let fields = if namespaced { &NAMESPACED_SPEC } else { &GLOBAL_SPEC };
    let spec = spec.mapping(fields, problems)?;

    let owner = Owner { namespace: id.as_ref().and_then(PolicyId::namespace).map(str::to_owned) };
    let order = decode_order(&spec, problems);
    let subject = decode_subject(&spec, &owner, problems);
    let ingress = decode_rules(&spec, "ingress", &owner, problems);
    let egress = decode_rules(&spec, "egress", &owner, problems);
    let types = decode_types(&spec, problems);
    refuse_modes(&spec, problems);

    let (covers_ingress, covers_egress) = match types {
        Some(types) => (types.contains(&Direction::Ingress), types.contains(&Direction::Egress)),
        // Calico's default: egress if there are egress rules; ingress unless there are only those.
        None => {
            let has_egress = egress.as_ref().is_some_and(|rules| !rules.is_empty());
            (!has_egress || ingress.as_ref().is_some_and(|rules| !rules.is_empty()), has_egress)
        }
    };
    for (name, covered, rules) in
        [("ingress", covers_ingress, &ingress), ("egress", covers_egress, &egress)]
    {
        if let Some(at) = spec.get(name).filter(|_| !covered)
            && rules.as_ref().is_some_and(|rules| !rules.is_empty())
        {
            let hint = Some("add the direction to types, or remove the rules".to_owned());
            problems.report(&at, "types leaves this direction out", hint);
        }
    }
    Some(Policy {
        id: id?,
        order: order?,
        subject: subject?,
        ingress: covers_ingress.then(|| ingress.unwrap_or_default()),
        egress: covers_egress.then(|| egress.unwrap_or_default()),
        position: problems.position(at.node),
    })
}

fn decode_id(at: &Cursor<'_>, namespaced: bool, problems: &mut Problems) -> Option<PolicyId> {
    let metadata = at.mapping(&METADATA, problems)?;
    let name = metadata.require("name", problems).and_then(|name| {
        let text = name.text(problems)?;
        // Calico stores policies of the default tier under this prefix.
        let text = text.strip_prefix("default.").unwrap_or(text);
        valid_name(&name, text, MAX_NAME, problems).then_some(text)
    });
    let namespace = metadata.get("namespace");
    if !namespaced {
        if let Some(namespace) = namespace {
            let hint = Some("a NetworkPolicy has one; remove the field here".to_owned());
            problems.report(&namespace, "a GlobalNetworkPolicy has no namespace", hint);
        }
        return name.map(PolicyId::global);
    }
    let namespace = match namespace {
        None => Some("default"),
        Some(at) => at.text(problems).filter(|text| valid_name(&at, text, MAX_NAMESPACE, problems)),
    };
    namespace.zip(name).map(|(namespace, name)| PolicyId::namespaced(namespace, name))
}

fn valid_name(at: &Cursor<'_>, text: &str, longest: usize, problems: &mut Problems) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<&u8>| byte.is_some_and(|byte| inner(*byte));
    let bytes = text.as_bytes();
    let valid = bytes.len() <= longest
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| inner(*byte) || matches!(byte, b'-' | b'.'));
    if !valid {
        let problem = format!(
            "a name has 1 to {longest} of a-z, 0-9, `-` and `.`, letters or digits at both ends"
        );
        problems.report(at, &problem, None);
    }
    valid
}

/// `None` if there was a problem.
fn decode_order(spec: &Mapping<'_>, problems: &mut Problems) -> Option<Order> {
    let Some(at) = spec.get("order") else { return Some(Order::UNSET) };
    let order = match at.node.value {
        Value::Float(number) => Order::try_new(number),
        #[expect(clippy::cast_precision_loss, reason = "the format's number is a float")]
        Value::Int(number) => Order::try_new(number as f64),
        _ => None,
    };
    if order.is_none() {
        at.expected("a finite number", problems);
    }
    order
}

/// `None` if there was a problem.
fn decode_subject(
    spec: &Mapping<'_>,
    owner: &Owner,
    problems: &mut Problems,
) -> Option<EndpointSelector> {
    let selector = match spec.get("selector") {
        None => Some(Selector::all()),
        // Here, and only here, blank text is Calico's way to select everything.
        Some(at) => decode_selector(&at, true, problems),
    };
    let scope = match spec.get("namespaceSelector") {
        None => Some(owner.scope()),
        Some(at) => decode_namespace_selector(&at, problems).map(Scope::Selected),
    };
    Some(EndpointSelector { scope: scope?, selector: selector? })
}

/// The rules of a direction; rules with problems are left out, since the file is rejected anyway.
fn decode_rules(
    spec: &Mapping<'_>,
    name: &str,
    owner: &Owner,
    problems: &mut Problems,
) -> Option<Vec<Rule>> {
    let items = spec.get(name)?.list(problems)?;
    Some(items.iter().filter_map(|item| decode_rule(item, owner, problems)).collect())
}

fn decode_types(spec: &Mapping<'_>, problems: &mut Problems) -> Option<Vec<Direction>> {
    let hint = "remove the field for the default, or name Ingress, Egress or both";
    let items = spec.get("types")?.filled_list(hint, problems)?;
    let mut types = Vec::new();
    for item in items {
        let Some(text) = item.text(problems) else { continue };
        let known = [Direction::Ingress, Direction::Egress];
        match known.into_iter().find(|direction| direction.as_str() == text) {
            Some(direction) => types.push(direction),
            None => {
                let hint = did_you_mean(text, known.map(Direction::as_str))
                    .or_else(|| Some("known: Ingress, Egress".to_owned()));
                problems.report(&item, "unknown type", hint);
            }
        }
    }
    Some(types)
}

fn refuse_modes(spec: &Mapping<'_>, problems: &mut Problems) {
    if let Some(tier) = spec.get("tier")
        && tier.text(problems).is_some_and(|text| text != "default")
    {
        problems.report(&tier, "tiers other than \"default\" are not supported yet", None);
    }
    for name in SWITCHES {
        if let Some(switch) = spec.get(name)
            && switch.boolean(problems) == Some(true)
        {
            problems.report(&switch, "not supported yet", None);
        }
    }
}
