// SPDX-License-Identifier: MIT OR Apache-2.0
//! One rule of a policy.

use std::sync::Arc;

use super::{
    Value,
    decode::{Cursor, Fields, Mapping, Problems},
    error::did_you_mean,
};
use crate::model::{
    Action, EndpointSelector, Family, Net, Peer, PortRange, Protocol, Rule, Scope, Selector,
};

const RULE: Fields = Fields {
    known: &["action", "ipVersion", "protocol", "notProtocol", "source", "destination", "metadata"],
    refused: &["icmp", "notICMP", "http"],
    ignored: &[],
};

const PEER: Fields = Fields {
    known: &[
        "nets",
        "notNets",
        "selector",
        "notSelector",
        "namespaceSelector",
        "ports",
        "notPorts",
    ],
    refused: &["serviceAccounts", "services"],
    ignored: &[],
};

const METADATA: Fields = Fields { known: &["annotations"], refused: &[], ignored: &[] };

/// Whose rule it is.
pub(super) struct Owner {
    /// The namespace of a namespaced policy.
    pub(super) namespace: Option<String>,
}

impl Owner {
    /// Where its selectors look unless they say otherwise.
    pub(super) fn scope(&self) -> Scope {
        match &self.namespace {
            Some(namespace) => Scope::Namespace(Arc::from(namespace.as_str())),
            None => Scope::Any,
        }
    }
}

/// `None` if there was a problem.
pub(super) fn decode_rule(at: &Cursor<'_>, owner: &Owner, problems: &mut Problems) -> Option<Rule> {
    let rule = at.mapping(&RULE, problems)?;
    let action = decode_action(&rule, problems);
    let ip_version = optional(&rule, "ipVersion", problems, decode_ip_version);
    let protocol = optional(&rule, "protocol", problems, decode_protocol);
    let not_protocol = optional(&rule, "notProtocol", problems, decode_protocol);
    let source = optional(&rule, "source", problems, |at, p| decode_peer(at, owner, p));
    let destination = optional(&rule, "destination", problems, |at, p| decode_peer(at, owner, p));
    if let Some(metadata) = rule.get("metadata") {
        metadata.mapping(&METADATA, problems);
    }
    let rule = Rule {
        action: action?,
        ip_version: ip_version?,
        protocol: protocol?,
        not_protocol: not_protocol?,
        source: source?.unwrap_or_default(),
        destination: destination?.unwrap_or_default(),
        position: problems.position(at.node),
    };
    check(at, &rule, problems);
    Some(rule)
}

/// `Some(None)` if the field is absent, `None` if there was a problem.
#[expect(clippy::option_option, reason = "absent and wrong are different things")]
fn optional<'n, T>(
    mapping: &Mapping<'n>,
    name: &str,
    problems: &mut Problems,
    decode: impl FnOnce(&Cursor<'n>, &mut Problems) -> Option<T>,
) -> Option<Option<T>> {
    match mapping.get(name) {
        None => Some(None),
        Some(at) => decode(&at, problems).map(Some),
    }
}

fn decode_action(rule: &Mapping<'_>, problems: &mut Problems) -> Option<Action> {
    let at = rule.require("action", problems)?;
    match at.text(problems)? {
        "Allow" => Some(Action::Allow),
        "Deny" => Some(Action::Deny),
        "Log" | "Pass" => {
            problems.report(&at, "this action is not supported yet", None);
            None
        }
        other => {
            let hint = did_you_mean(other, ["Allow", "Deny", "Log", "Pass"])
                .or_else(|| Some("known: Allow, Deny".to_owned()));
            problems.report(&at, "unknown action", hint);
            None
        }
    }
}

fn decode_ip_version(at: &Cursor<'_>, problems: &mut Problems) -> Option<Family> {
    match at.node.value {
        Value::Int(4) => Some(Family::V4),
        Value::Int(6) => Some(Family::V6),
        _ => {
            at.expected("4 or 6", problems);
            None
        }
    }
}

fn decode_protocol(at: &Cursor<'_>, problems: &mut Problems) -> Option<Protocol> {
    let number = match &at.node.value {
        Value::Int(number) => u8::try_from(*number).ok(),
        Value::Text(text) => {
            let named = Protocol::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
            if let Some((_, protocol)) = named {
                return Some(*protocol);
            }
            text.parse().ok()
        }
        _ => None,
    };
    let protocol = number.filter(|number| *number != 0).map(Protocol);
    if protocol.is_none() {
        match at.node.as_str() {
            Some(text) => {
                let names = Protocol::NAMES.map(|(name, _)| name);
                let hint = did_you_mean(text, names).or_else(|| {
                    Some(format!("known: {}, or a number from 1 to 255", names.join(", ")))
                });
                problems.report(at, "unknown protocol", hint);
            }
            None => at.expected("a protocol name or a number from 1 to 255", problems),
        }
    }
    protocol
}

/// `None` if there was a problem.
fn decode_peer(at: &Cursor<'_>, owner: &Owner, problems: &mut Problems) -> Option<Peer> {
    let peer = at.mapping(&PEER, problems)?;
    let nets = optional(&peer, "nets", problems, |at, p| decode_list(at, p, decode_net));
    let not_nets = optional(&peer, "notNets", problems, |at, p| decode_list(at, p, decode_net));
    let ports = optional(&peer, "ports", problems, |at, p| decode_list(at, p, decode_ports));
    let not_ports = optional(&peer, "notPorts", problems, |at, p| decode_list(at, p, decode_ports));
    let selector = optional(&peer, "selector", problems, |at, p| decode_selector(at, false, p));
    let not_selector =
        optional(&peer, "notSelector", problems, |at, p| decode_selector(at, false, p));
    let namespaces = optional(&peer, "namespaceSelector", problems, decode_namespace_selector);

    let (selector, not_selector, namespaces) = (selector?, not_selector?, namespaces?);
    let selects = selector.is_some() || not_selector.is_some() || namespaces.is_some();
    let scope = namespaces.map_or_else(|| owner.scope(), Scope::Selected);
    // As soon as any selector is used the traffic must come from an endpoint in scope; without a
    // scope a negated selector alone also takes what is no endpoint at all.
    let selector = (selector.is_some() || (selects && scope != Scope::Any))
        .then(|| EndpointSelector { scope, selector: selector.unwrap_or_else(Selector::all) });
    Some(Peer {
        nets: nets?,
        not_nets: not_nets?.unwrap_or_default(),
        selector,
        not_selector,
        ports: ports?,
        not_ports: not_ports?.unwrap_or_default(),
    })
}

fn decode_list<'n, T>(
    at: &Cursor<'n>,
    problems: &mut Problems,
    decode: fn(&Cursor<'n>, &mut Problems) -> Option<T>,
) -> Option<Vec<T>> {
    let items = at.filled_list("remove the field if nothing is to be restricted", problems)?;
    let decoded: Vec<_> = items.iter().filter_map(|item| decode(item, problems)).collect();
    (decoded.len() == items.len()).then_some(decoded)
}

fn decode_net(at: &Cursor<'_>, problems: &mut Problems) -> Option<Net> {
    match at.text(problems)?.parse() {
        Ok(net) => Some(net),
        Err(error) => {
            let error: crate::model::NetError = error;
            problems.report(at, &error.to_string(), None);
            None
        }
    }
}

fn decode_ports(at: &Cursor<'_>, problems: &mut Problems) -> Option<PortRange> {
    let range = match &at.node.value {
        Value::Int(number) => {
            u16::try_from(*number).ok().and_then(|port| PortRange::new(port, port))
        }
        Value::Text(text) => {
            let (start, end) = text.split_once(':').unwrap_or((text, text));
            let name_like = text.bytes().any(|byte| byte.is_ascii_alphabetic());
            if name_like && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                let hint = Some("give the number instead of the name".to_owned());
                problems.report(at, "named ports are not supported yet", hint);
                return None;
            }
            start.parse().ok().zip(end.parse().ok()).and_then(|(a, b)| PortRange::new(a, b))
        }
        _ => None,
    };
    if range.is_none() {
        at.expected("a port from 0 to 65535 or a range \"first:last\"", problems);
    }
    range
}

/// `blank` says whether blank text is taken as `all()`.
pub(super) fn decode_selector(
    at: &Cursor<'_>,
    blank: bool,
    problems: &mut Problems,
) -> Option<Selector> {
    let text = at.text(problems)?;
    if text.trim().is_empty() && !blank {
        let hint = "write all() for every endpoint, or remove the field".to_owned();
        problems.report(at, "the selector is empty", Some(hint));
        return None;
    }
    match text.parse() {
        Ok(selector) => Some(selector),
        Err(error) => {
            let error: crate::model::SelectorError = error;
            problems.report(at, &format!("not a selector: {error}"), None);
            None
        }
    }
}

/// A selector over the labels of namespaces, of which only the name is known.
pub(super) fn decode_namespace_selector(
    at: &Cursor<'_>,
    problems: &mut Problems,
) -> Option<Selector> {
    let selector = decode_selector(at, false, problems)?;
    for key in selector.keys() {
        if !Selector::NAMESPACE_KEYS.contains(&key.as_ref()) {
            let problem = format!("labels of namespaces are not supported yet: `{key}`");
            let hint = format!("known: {}", Selector::NAMESPACE_KEYS.join(", "));
            problems.report(at, &problem, Some(hint));
            return None;
        }
    }
    Some(selector)
}

/// Parts of a rule that contradict each other.
fn check(at: &Cursor<'_>, rule: &Rule, problems: &mut Problems) {
    let has_ports = rule.protocol.is_some_and(Protocol::has_ports);
    for (name, peer) in [("source", &rule.source), ("destination", &rule.destination)] {
        let Some(node) = at.node.get(name) else { continue };
        let peer_at = Cursor { node, path: format!("{}.{name}", at.path) };
        for field in ["ports", "notPorts"] {
            if let Some(node) = node.get(field).filter(|_| !has_ports) {
                let at = Cursor { node, path: format!("{}.{field}", peer_at.path) };
                let hint = Some("add protocol: TCP, UDP or SCTP to the rule".to_owned());
                problems.report(&at, "ports need a protocol that has them", hint);
            }
        }
        let nets = peer.nets.iter().flatten().chain(&peer.not_nets);
        for net in nets.filter(|net| rule.ip_version.is_some_and(|family| family != net.family())) {
            problems.report(&peer_at, &format!("{net} is not of the rule's ipVersion"), None);
        }
    }
    let other = match rule.protocol {
        Some(Protocol::ICMP) => Some(Family::V6),
        Some(Protocol::ICMPV6) => Some(Family::V4),
        _ => None,
    };
    if other.is_some() && rule.ip_version == other {
        problems.report(at, "the protocol does not belong to the rule's ipVersion", None);
    }
}
