// SPDX-License-Identifier: MIT OR Apache-2.0
//! A ruleset as text for snapshots, close to what `nft list table` prints.

use std::fmt::Write as _;

use policy::ir::{CtStates, Interface, Key, Match, Object, ObjectId, Rule, Side, Target, Verdict};

/// Renders objects in the order in which a batch puts them.
pub(crate) fn render<'a>(objects: impl IntoIterator<Item = (&'a ObjectId, &'a Object)>) -> String {
    let mut objects: Vec<_> = objects.into_iter().collect();
    objects.sort_by_key(|(id, _)| id.rank());
    let mut out = String::new();
    for (id, object) in objects {
        let _ = write!(out, "{} {id}", id.rank());
        match object {
            Object::Set(spec) => {
                let _ = write!(out, ": {:?}", spec.key);
                for (on, word) in [(spec.interval, " interval"), (spec.verdicts, " : verdict")] {
                    out.push_str(if on { word } else { "" });
                }
                comment(&mut out, spec.comment.as_deref());
            }
            Object::Chain(own) => rules(&mut out, own),
            Object::BaseChain(chain) => {
                let (hook, policy) = (chain.hook, chain.policy);
                let _ = write!(out, ": {hook:?} {} policy {policy:?}", chain.priority);
                rules(&mut out, &chain.rules);
            }
            Object::Element => {}
            Object::Dispatch(to) => {
                let _ = write!(out, " : {}", target(to));
            }
        }
        out.push('\n');
    }
    out
}

fn comment(out: &mut String, comment: Option<&str>) {
    if let Some(comment) = comment {
        let _ = write!(out, " # {comment}");
    }
}

fn rules(out: &mut String, rules: &[Rule]) {
    for rule in rules {
        out.push_str("\n    ");
        for condition in &rule.matches {
            let _ = write!(out, "{} ", matched(condition));
        }
        out.push_str(if rule.counter { "counter " } else { "" });
        match &rule.verdict {
            Verdict::To(to) => out.push_str(&target(to)),
            Verdict::Vmap(interface, map) => {
                let _ = write!(out, "{} vmap @{map}", name_of(*interface));
            }
        }
        comment(out, rule.comment.as_deref());
    }
}

fn target(target: &Target) -> String {
    match target {
        Target::Accept => "accept".to_owned(),
        Target::Drop => "drop".to_owned(),
        Target::Return => "return".to_owned(),
        Target::Jump(name) => format!("jump {name}"),
        Target::Goto(name) => format!("goto {name}"),
    }
}

fn matched(condition: &Match) -> String {
    let not = |negated: &bool| if *negated { "!= " } else { "" };
    match condition {
        Match::IfName { interface, name, prefix, negated } => {
            let star = if *prefix { "*" } else { "" };
            format!("{} {}\"{name}{star}\"", name_of(*interface), not(negated))
        }
        Match::CtState(states) => {
            let names = [
                (CtStates::INVALID, "invalid"),
                (CtStates::ESTABLISHED, "established"),
                (CtStates::RELATED, "related"),
                (CtStates::NEW, "new"),
            ];
            let names = names.iter().filter(|(state, _)| states.0 & state.0 != 0);
            format!("ct state {}", names.map(|(_, name)| *name).collect::<Vec<_>>().join(","))
        }
        Match::Family(family) => format!("{family:?}"),
        Match::Protocol { protocol, negated } => format!("l4proto {}{protocol}", not(negated)),
        Match::AddressIn { side, set, negated, .. } => {
            format!("{}addr {}@{set}", end(*side), not(negated))
        }
        Match::AddressNet { side, network, length, negated } => {
            format!("{}addr {}{network}/{length}", end(*side), not(negated))
        }
        Match::SourceIn { set, .. } => format!("iifname . saddr @{set}"),
        Match::PortRange { side, start, end: last, negated } => {
            format!("{}port {}{}", end(*side), not(negated), range(*start, *last))
        }
        Match::PortIn { side, set, negated } => {
            format!("{}port {}@{set}", end(*side), not(negated))
        }
        Match::IcmpType(kind) => format!("icmp type {kind}"),
    }
}

fn range(start: u16, end: u16) -> String {
    if start == end { start.to_string() } else { format!("{start}-{end}") }
}

fn name_of(interface: Interface) -> &'static str {
    match interface {
        Interface::Input => "iifname",
        Interface::Output => "oifname",
    }
}

fn end(side: Side) -> &'static str {
    match side {
        Side::Source => "s",
        Side::Destination => "d",
    }
}

/// Keys of elements, for assertions.
pub(crate) fn keys<'a>(ids: impl IntoIterator<Item = &'a ObjectId>) -> Vec<String> {
    let key = |id: &ObjectId| match id {
        ObjectId::Element(set, key) => Some((set.to_string(), Key::to_string(key))),
        _ => None,
    };
    ids.into_iter().filter_map(key).map(|(set, key)| format!("{set} {key}")).collect()
}
