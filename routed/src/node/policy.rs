// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policies as the JSON contract has them.

use policy::PolicySummary;
use policy::model::{Direction, Net, Peer, Policy, PortRange, Rule};

use crate::server::api;

/// The only tier there is so far.
const TIER: &str = "default";

/// A policy, for `policy list`.
pub(super) fn summary(s: &PolicySummary) -> api::Policy {
    api::Policy {
        kind: s.kind.to_owned(),
        namespace: s.namespace.clone(),
        name: s.name.clone(),
        tier: TIER.to_owned(),
        order: s.order,
        types: s.types.iter().map(|d| d.as_str().to_owned()).collect(),
        endpoints: s.endpoints,
        revision: s.revision.0,
    }
}

/// A policy with its rules, for `policy show`.
pub(super) fn detail(summary_of: &PolicySummary, policy: &Policy) -> api::PolicyDetail {
    let rules = [Direction::Ingress, Direction::Egress].into_iter().flat_map(|direction| {
        let rules = policy.rules(direction).unwrap_or_default();
        rules.iter().enumerate().map(move |(index, rule)| api::PolicyRule {
            direction: direction.as_str().to_ascii_lowercase(),
            index: index + 1,
            action: format!("{:?}", rule.action),
            matches: matches(rule),
            source: rule.position.to_string(),
        })
    });
    api::PolicyDetail {
        policy: summary(summary_of),
        selector: policy.subject.to_string(),
        source: policy.position.to_string(),
        rules: rules.collect(),
    }
}

/// What a rule matches, in the words of the file.
fn matches(rule: &Rule) -> String {
    let mut words = Vec::new();
    if let Some(version) = rule.ip_version {
        words.push(format!("ipVersion {version:?}"));
    }
    if let Some(protocol) = rule.protocol {
        words.push(protocol.to_string());
    }
    if let Some(protocol) = rule.not_protocol {
        words.push(format!("not {protocol}"));
    }
    peer("from", &rule.source, &mut words);
    peer("to", &rule.destination, &mut words);
    if words.is_empty() { "anything".to_owned() } else { words.join(" ") }
}

fn peer(word: &str, peer: &Peer, words: &mut Vec<String>) {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    let strings = |items: &[Net]| items.iter().map(ToString::to_string).collect();
    let ports = |items: &[PortRange]| items.iter().map(range).collect();
    let mut parts = Vec::new();
    if let Some(selector) = &peer.selector {
        parts.push(selector.to_string());
    }
    if let Some(selector) = &peer.not_selector {
        parts.push(format!("not ({selector})"));
    }
    if let Some(nets) = &peer.nets {
        parts.push(format!("nets {}", list(strings(nets))));
    }
    if !peer.not_nets.is_empty() {
        parts.push(format!("not nets {}", list(strings(&peer.not_nets))));
    }
    if let Some(items) = &peer.ports {
        parts.push(format!("ports {}", list(ports(items))));
    }
    if !peer.not_ports.is_empty() {
        parts.push(format!("not ports {}", list(ports(&peer.not_ports))));
    }
    if !parts.is_empty() {
        words.push(format!("{word} {}", parts.join(" ")));
    }
}

fn range(ports: &PortRange) -> String {
    if ports.start() == ports.end() {
        ports.start().to_string()
    } else {
        format!("{}:{}", ports.start(), ports.end())
    }
}
