// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names of objects: stable, valid in nftables' own syntax, and readable where they can be.
//!
//! Fixed objects have names of letters and `_` only. Policy chains carry the policy's name behind
//! a `/`. Everything shared by content carries a hash of the content; its comment tells people
//! what it is.

use std::{hash::Hasher, sync::Arc};

use siphasher::sip::SipHasher24;

use crate::{
    ir::{MAX_COMMENT, MAX_NAME, Name},
    model::{Direction, EndpointSelector, Family, PolicyId},
};

/// Verdict map from the interface a workload sends through to its egress chain.
pub(super) const FROM_WORKLOAD: &str = "from_workload";
/// Verdict map from the interface a workload receives through to its ingress chain.
pub(super) const TO_WORKLOAD: &str = "to_workload";
/// The chain that checks where packets of workloads come from.
pub(super) const ANTISPOOF: &str = "antispoof";
/// Dispatch of what workloads send.
pub(super) const EGRESS: &str = "egress";
/// Dispatch of what workloads receive.
pub(super) const INGRESS: &str = "ingress";
/// Dispatch of what workloads send to the node itself.
pub(super) const INPUT_EGRESS: &str = "input_egress";
/// What a workload may do with the node.
pub(super) const TO_NODE: &str = "to_node";

/// The set of an endpoint's `interface . source address` pairs.
pub(super) fn source_set(family: Family) -> Name {
    Name::new(match family {
        Family::V4 => "source_ipv4",
        Family::V6 => "source_ipv6",
    })
}

/// The chain of a policy's rules in one direction.
pub(crate) fn policy_chain(id: &PolicyId, direction: Direction) -> Name {
    let word = match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    };
    let text = match id.namespace() {
        Some(namespace) => format!("{word}/{namespace}/{}", id.name()),
        None => format!("global-{word}/{}", id.name()),
    };
    if text.len() < MAX_NAME {
        return Name::new(&text);
    }
    // Names of policies are ASCII, so any cut is a character boundary; a `.` or `-` before the
    // hash is fine.
    let hash = format!("-{:016x}", hash(&text));
    let kept = text.get(..MAX_NAME - 1 - hash.len()).unwrap_or_default();
    Name::new(&format!("{kept}{hash}"))
}

/// The chain that runs the policies of an endpoint in order.
pub(crate) fn signature_chain(policies: &[PolicyId], direction: Direction) -> Name {
    let mut content = String::new();
    for policy in policies {
        content.push_str(policy_chain(policy, direction).as_str());
        content.push('\n');
    }
    let word = match direction {
        Direction::Ingress => "to",
        Direction::Egress => "from",
    };
    Name::new(&format!("{word}-{:016x}", hash(&content)))
}

/// The set of the addresses of a selector.
pub(crate) fn selector_set(selector: &EndpointSelector, family: Family) -> Name {
    by_content("sel", family_digit(family), &selector.to_string())
}

/// A set of networks.
pub(super) fn net_set(content: &str, family: Family) -> Name {
    by_content("net", family_digit(family), content)
}

/// A set of ports.
pub(super) fn port_set(content: &str) -> Name {
    by_content("port", "", content)
}

/// A comment from any text: short enough, and printable between double quotes.
pub(super) fn comment(text: &str) -> Arc<str> {
    let mut out = String::new();
    for c in text.chars() {
        let c = match c {
            '"' => '\'',
            '\\' => '/',
            c if c.is_control() => '?',
            c => c,
        };
        if out.len() + c.len_utf8() >= MAX_COMMENT {
            while out.len() + '…'.len_utf8() >= MAX_COMMENT {
                out.pop();
            }
            out.push('…');
            break;
        }
        out.push(c);
    }
    Arc::from(out)
}

fn by_content(word: &str, digit: &str, content: &str) -> Name {
    Name::new(&format!("{word}{digit}-{:016x}", hash(content)))
}

fn family_digit(family: Family) -> &'static str {
    match family {
        Family::V4 => "4",
        Family::V6 => "6",
    }
}

/// The same on every run and machine, so that a restarted daemon recognises its objects.
fn hash(content: &str) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(0x726f_7574_6564, 0x706f_6c69_6379);
    hasher.write(content.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_short_and_distinct() {
        let long = "a".repeat(253);
        let first = policy_chain(&PolicyId::namespaced("ns", &long), Direction::Ingress);
        let second =
            policy_chain(&PolicyId::namespaced("ns", &format!("{long}b")), Direction::Ingress);
        assert!(first.as_str().len() < MAX_NAME && second.as_str().len() < MAX_NAME);
        assert_ne!(first, second);
        assert!(!first.is_fixed());
    }

    #[test]
    fn kinds_and_directions_never_share_a_chain() {
        let mut names = std::collections::BTreeSet::new();
        for direction in [Direction::Ingress, Direction::Egress] {
            names.insert(policy_chain(&PolicyId::global("a"), direction));
            names.insert(policy_chain(&PolicyId::namespaced("a", "a"), direction));
            names.insert(policy_chain(&PolicyId::namespaced("b", "a"), direction));
            names.insert(signature_chain(&[PolicyId::global("a")], direction));
            names.insert(signature_chain(&[], direction));
        }
        assert_eq!(names.len(), 10);
    }

    #[test]
    fn comments_are_printable_and_bounded() {
        assert_eq!(&*comment("a == \"b\"\\\n"), "a == 'b'/?");
        for text in ["x".repeat(500), "ü".repeat(500), "a".repeat(71), "…".repeat(24)] {
            assert!(comment(&text).len() < MAX_COMMENT, "{text}");
        }
        assert_eq!(&*comment(&"a".repeat(71)), "a".repeat(71));
    }
}
