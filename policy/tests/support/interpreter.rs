// SPDX-License-Identifier: MIT OR Apache-2.0
//! A naive reading of the intermediate representation: what a kernel would do with a packet.
//!
//! It knows the rules of nftables (hooks, priorities, verdicts, sets), not how the compiler came
//! to them. Whatever the representation promises is checked on the way: no dangling name, no
//! address without its family, no port without its protocol.
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, net::IpAddr};

use policy::ir::{
    BasePolicy, CtStates, Family, Hook, Interface, Key, KeyType, Match, Name, Object, ObjectId,
    Part, Rule, SetSpec, Side, Target, Verdict,
};

/// A ruleset as the kernel would hold it.
pub(crate) type Ruleset = BTreeMap<ObjectId, Object>;

/// A packet as the kernel sees it.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Interface it came in through; none for a process of the node.
    pub(crate) input: Option<String>,
    /// Interface it leaves through; none for a process of the node.
    pub(crate) output: Option<String>,
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) icmp_type: Option<u8>,
    pub(crate) state: CtStates,
}

enum Outcome {
    Accept,
    Drop,
    Continue,
}

/// Whether the packet gets through all hooks on its way.
pub(crate) fn passes(ruleset: &Ruleset, frame: &Frame) -> bool {
    let hooks: &[Hook] = match (&frame.input, &frame.output) {
        (Some(_), Some(_)) => &[Hook::Prerouting, Hook::Forward],
        (Some(_), None) => &[Hook::Prerouting, Hook::Input],
        (None, _) => &[Hook::Output],
    };
    hooks.iter().all(|hook| {
        let mut chains: Vec<_> = ruleset
            .values()
            .filter_map(|object| match object {
                Object::BaseChain(chain) if chain.hook == *hook => Some(chain),
                _ => None,
            })
            .collect();
        chains.sort_by_key(|chain| chain.priority);
        assert!(
            chains.windows(2).all(|pair| pair[0].priority < pair[1].priority),
            "equal priorities have no order"
        );
        // A packet has an input interface from prerouting on, an output interface only once routed.
        let seen = match hook {
            Hook::Prerouting => Frame { output: None, ..frame.clone() },
            _ => frame.clone(),
        };
        chains.iter().all(|chain| match run(ruleset, &seen, &chain.rules, 0) {
            Outcome::Accept => true,
            Outcome::Drop => false,
            Outcome::Continue => chain.policy == BasePolicy::Accept,
        })
    })
}

fn run(ruleset: &Ruleset, frame: &Frame, rules: &[Rule], depth: usize) -> Outcome {
    assert!(depth < 16, "the kernel's jump stack ends here");
    for rule in rules {
        check_order(rule);
        if !rule.matches.iter().all(|condition| holds(ruleset, frame, condition)) {
            continue;
        }
        let target = match &rule.verdict {
            Verdict::To(target) => target.clone(),
            Verdict::Vmap(interface, map) => {
                match lookup_verdict(ruleset, frame, *interface, map) {
                    Some(target) => target,
                    None => continue,
                }
            }
        };
        match target {
            Target::Accept => return Outcome::Accept,
            Target::Drop => return Outcome::Drop,
            Target::Return => return Outcome::Continue,
            Target::Goto(name) => return run(ruleset, frame, chain(ruleset, &name), depth + 1),
            Target::Jump(name) => match run(ruleset, frame, chain(ruleset, &name), depth + 1) {
                Outcome::Continue => {}
                decided => return decided,
            },
        }
    }
    Outcome::Continue
}

fn chain<'a>(ruleset: &'a Ruleset, name: &Name) -> &'a [Rule] {
    match ruleset.get(&ObjectId::Chain(name.clone())) {
        Some(Object::Chain(rules)) => rules,
        _ => panic!("no chain {name}"),
    }
}

fn set<'a>(ruleset: &'a Ruleset, name: &Name) -> &'a SetSpec {
    match ruleset.get(&ObjectId::Set(name.clone())) {
        Some(Object::Set(spec)) => spec,
        _ => panic!("no set {name}"),
    }
}

fn lookup_verdict(
    ruleset: &Ruleset,
    frame: &Frame,
    interface: Interface,
    map: &Name,
) -> Option<Target> {
    let spec = set(ruleset, map);
    assert!(spec.verdicts && spec.key == KeyType::IfName);
    let name = interface_name(frame, interface)?;
    let key = Key::Single(Part::IfName(Name::new(name)));
    match ruleset.get(&ObjectId::Dispatch(map.clone(), key))? {
        Object::Dispatch(target) => Some(target.clone()),
        other => panic!("{other:?} is no verdict"),
    }
}

fn interface_name(frame: &Frame, interface: Interface) -> Option<&str> {
    match interface {
        Interface::Input => frame.input.as_deref(),
        Interface::Output => frame.output.as_deref(),
    }
}

fn family(frame: &Frame) -> Family {
    Family::of(frame.source)
}

fn address(frame: &Frame, side: Side) -> IpAddr {
    match side {
        Side::Source => frame.source,
        Side::Destination => frame.destination,
    }
}

/// Without ports in the packet no comparison of ports holds, negated or not: the load fails.
fn port(frame: &Frame, side: Side) -> Option<u16> {
    let (source, destination) = frame.ports?;
    Some(if side == Side::Source { source } else { destination })
}

fn holds(ruleset: &Ruleset, frame: &Frame, condition: &Match) -> bool {
    match condition {
        Match::IfName { interface, name, prefix, negated } => {
            let actual = interface_name(frame, *interface).unwrap_or("");
            let matches = match prefix {
                true => actual.starts_with(name.as_str()),
                false => actual == name.as_str(),
            };
            matches != *negated
        }
        Match::CtState(states) => states.0 & frame.state.0 != 0,
        Match::Family(wanted) => family(frame) == *wanted,
        Match::Protocol { protocol, negated } => (frame.protocol == *protocol) != *negated,
        Match::AddressIn { side, family, set: name, negated } => {
            let key = match family {
                Family::V4 => KeyType::Ipv4,
                Family::V6 => KeyType::Ipv6,
            };
            assert_eq!(set(ruleset, name).key, key);
            contains(ruleset, name, &Part::from(address(frame, *side))) != *negated
        }
        Match::AddressNet { side, network, length, negated } => {
            assert!(*length > 0);
            let bits = |address: IpAddr| match address {
                IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
                IpAddr::V6(v6) => (v6.to_bits(), 128),
            };
            let ((actual, _), (network, width)) = (bits(address(frame, *side)), bits(*network));
            let hosts = width - u32::from(*length);
            let cut = |bits: u128| bits.checked_shr(hosts).unwrap_or(0);
            assert_eq!(network, cut(network).checked_shl(hosts).unwrap_or(0), "host bits are set");
            (cut(actual) == cut(network)) != *negated
        }
        Match::SourceIn { family, set: name } => {
            let key = match family {
                Family::V4 => KeyType::IfNameIpv4,
                Family::V6 => KeyType::IfNameIpv6,
            };
            assert_eq!(set(ruleset, name).key, key);
            let Some(input) = &frame.input else { return false };
            let key = Key::Pair(Part::IfName(Name::new(input)), Part::from(frame.source));
            ruleset.contains_key(&ObjectId::Element(name.clone(), key))
        }
        Match::PortRange { side, start, end, negated } => {
            let port = port(frame, *side);
            port.is_some_and(|port| (*start..=*end).contains(&port) != *negated)
        }
        Match::PortIn { side, set: name, negated } => {
            assert_eq!(set(ruleset, name).key, KeyType::Port);
            let port = port(frame, *side);
            port.is_some_and(|port| contains(ruleset, name, &Part::Port(port)) != *negated)
        }
        Match::IcmpType(kind) => frame.icmp_type == Some(*kind),
    }
}

fn contains(ruleset: &Ruleset, name: &Name, part: &Part) -> bool {
    if !set(ruleset, name).interval {
        let key = Key::Single(part.clone());
        return ruleset.contains_key(&ObjectId::Element(name.clone(), key));
    }
    elements(ruleset, name).any(|key| match key {
        Key::Range(start, end) => start <= part && part <= end,
        other => panic!("{other} in an interval set"),
    })
}

/// The keys of a set.
pub(crate) fn elements<'a>(ruleset: &'a Ruleset, set: &Name) -> impl Iterator<Item = &'a Key> {
    ruleset.keys().filter_map(move |id| match id {
        ObjectId::Element(name, key) if name == set => Some(key),
        _ => None,
    })
}

/// Families before addresses, protocols before ports and types.
fn check_order(rule: &Rule) {
    let (mut family, mut protocol) = (None, None);
    for condition in &rule.matches {
        match condition {
            Match::Family(value) => family = Some(*value),
            Match::Protocol { protocol: value, negated: false } => protocol = Some(*value),
            Match::AddressIn { family: own, .. } | Match::SourceIn { family: own, .. } => {
                assert_eq!(family, Some(*own), "{rule:?}");
            }
            Match::AddressNet { network, .. } => {
                assert_eq!(family, Some(Family::of(*network)), "{rule:?}");
            }
            Match::PortRange { .. } | Match::PortIn { .. } => {
                assert!(matches!(protocol, Some(6 | 17 | 132)), "{rule:?}");
            }
            Match::IcmpType(_) => assert!(matches!(protocol, Some(1 | 58)), "{rule:?}"),
            Match::IfName { .. } | Match::CtState(_) | Match::Protocol { .. } => {}
        }
    }
}

/// Everything an object refers to.
pub(crate) fn references(id: &ObjectId, object: &Object) -> Vec<ObjectId> {
    let target = |target: &Target| match target {
        Target::Jump(name) | Target::Goto(name) => Some(ObjectId::Chain(name.clone())),
        Target::Accept | Target::Drop | Target::Return => None,
    };
    let rules = |rules: &[Rule]| {
        let mut ids = Vec::new();
        for rule in rules {
            match &rule.verdict {
                Verdict::To(to) => ids.extend(target(to)),
                Verdict::Vmap(_, map) => ids.push(ObjectId::Set(map.clone())),
            }
            for condition in &rule.matches {
                if let Match::AddressIn { set, .. }
                | Match::SourceIn { set, .. }
                | Match::PortIn { set, .. } = condition
                {
                    ids.push(ObjectId::Set(set.clone()));
                }
            }
        }
        ids
    };
    match object {
        Object::Set(_) => Vec::new(),
        Object::Chain(own) => rules(own),
        Object::BaseChain(chain) => rules(&chain.rules),
        Object::Element => vec![ObjectId::Set(id.name().clone())],
        Object::Dispatch(to) => {
            target(to).into_iter().chain([ObjectId::Set(id.name().clone())]).collect()
        }
    }
}
