// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policies to chains: one chain per policy and direction, one per ordered list of policies.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    names::{self, policy_chain},
    sets::{self, NetMatch, PortMatch, SetContent},
};
use crate::{
    ir::{Match, Name, Rule, Side, Target, Verdict},
    model::{self, Action, Direction, Family, Peer, Policy, PolicyId, PortRange},
};

/// A policy in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CompiledPolicy {
    /// The chain's rules.
    pub(crate) rules: Arc<[Rule]>,
    /// Every set the rules look into.
    pub(crate) sets: BTreeMap<Name, SetContent>,
}

/// Compiles the rules of a direction; `None` if the policy does not cover it.
pub(crate) fn compile_policy(policy: &Policy, direction: Direction) -> Option<CompiledPolicy> {
    let mut rules = Vec::new();
    let mut sets = BTreeMap::new();
    for (index, rule) in policy.rules(direction)?.iter().enumerate() {
        let comment = names::comment(&format!("rule {}", index + 1));
        for family in families(rule) {
            let builder = Builder { family, matches: Vec::new(), sets: BTreeMap::new() };
            let Some(builder) = builder.rule(rule) else { continue };
            sets.extend(builder.sets);
            rules.push(Rule {
                matches: builder.matches,
                counter: true,
                verdict: Verdict::To(match rule.action {
                    Action::Allow => Target::Accept,
                    Action::Deny => Target::Drop,
                }),
                comment: Some(Arc::clone(&comment)),
            });
        }
    }
    Some(CompiledPolicy { rules: rules.into(), sets })
}

/// The chain that tries policies in order and drops what none of them decides.
pub(crate) fn compile_signature(policies: &[PolicyId], direction: Direction) -> Arc<[Rule]> {
    let jump = |policy: &PolicyId| Rule {
        matches: Vec::new(),
        counter: false,
        verdict: Verdict::To(Target::Jump(policy_chain(policy, direction))),
        comment: None,
    };
    let drop = Rule {
        matches: Vec::new(),
        counter: true,
        verdict: Verdict::To(Target::Drop),
        comment: Some(names::comment("no policy allows it")),
    };
    policies.iter().map(jump).chain([drop]).collect()
}

/// The families a rule is compiled for; `None` is one rule for both.
fn families(rule: &model::Rule) -> Vec<Option<Family>> {
    let looks_at_addresses = |peer: &Peer| {
        peer.nets.is_some()
            || !peer.not_nets.is_empty()
            || peer.selector.is_some()
            || peer.not_selector.is_some()
    };
    match rule.ip_version {
        Some(family) => vec![Some(family)],
        None if looks_at_addresses(&rule.source) || looks_at_addresses(&rule.destination) => {
            vec![Some(Family::V4), Some(Family::V6)]
        }
        None => vec![None],
    }
}

/// Collects the matches of one rule in one family. Its methods give `None` as soon as the rule
/// can never match.
struct Builder {
    family: Option<Family>,
    matches: Vec<Match>,
    sets: BTreeMap<Name, SetContent>,
}

impl Builder {
    fn rule(mut self, rule: &model::Rule) -> Option<Self> {
        self.matches.extend(self.family.map(Match::Family));
        for (protocol, negated) in [(rule.protocol, false), (rule.not_protocol, true)] {
            let number = protocol.map(|protocol| protocol.0);
            self.matches.extend(number.map(|protocol| Match::Protocol { protocol, negated }));
        }
        let ends = [(Side::Source, &rule.source), (Side::Destination, &rule.destination)];
        if let Some(family) = self.family {
            for (side, peer) in ends {
                self.addresses(side, family, peer)?;
            }
        }
        for (side, peer) in ends {
            if let Some(ports) = &peer.ports {
                self.ports(side, ports, false)?;
            }
            self.ports(side, &peer.not_ports, true)?;
        }
        Some(self)
    }

    fn addresses(&mut self, side: Side, family: Family, peer: &Peer) -> Option<()> {
        if let Some(nets) = &peer.nets {
            match sets::nets(nets, family) {
                NetMatch::Never => return None,
                NetMatch::Always => {}
                other => self.nets(side, family, other, false),
            }
        }
        match sets::nets(&peer.not_nets, family) {
            NetMatch::Never => {}
            NetMatch::Always => return None,
            other => self.nets(side, family, other, true),
        }
        if let Some(selector) = &peer.selector {
            let (set, content) = sets::members(selector, family);
            self.sets.insert(set.clone(), content);
            self.matches.push(Match::AddressIn { side, family, set, negated: false });
        }
        if let Some(selector) = &peer.not_selector {
            let selector =
                model::EndpointSelector { scope: model::Scope::Any, selector: selector.clone() };
            let (set, content) = sets::members(&selector, family);
            self.sets.insert(set.clone(), content);
            self.matches.push(Match::AddressIn { side, family, set, negated: true });
        }
        Some(())
    }

    fn nets(&mut self, side: Side, family: Family, nets: NetMatch, negated: bool) {
        match nets {
            NetMatch::Never | NetMatch::Always => {}
            NetMatch::One(net) => self.matches.push(Match::AddressNet {
                side,
                network: net.address(),
                length: net.length(),
                negated,
            }),
            NetMatch::Set(set, content) => {
                self.sets.insert(set.clone(), content);
                self.matches.push(Match::AddressIn { side, family, set, negated });
            }
        }
    }

    fn ports(&mut self, side: Side, ports: &[PortRange], negated: bool) -> Option<()> {
        match (sets::ports(ports), negated) {
            (PortMatch::Never, false) | (PortMatch::Always, true) => return None,
            (PortMatch::Always, false) | (PortMatch::Never, true) => {}
            (PortMatch::One(range), _) => self.matches.push(Match::PortRange {
                side,
                start: range.start(),
                end: range.end(),
                negated,
            }),
            (PortMatch::Set(set, content), _) => {
                self.sets.insert(set.clone(), content);
                self.matches.push(Match::PortIn { side, set, negated });
            }
        }
        Some(())
    }
}
