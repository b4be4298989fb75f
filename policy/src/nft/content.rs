// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an object holds, in a form that compares what we want with what the kernel has.
//!
//! Rules are never decoded from the kernel. The writer hashes the encoded rules of a chain and
//! leaves the hash, the position and the number of rules in the comment of every rule; the reader
//! trusts a chain only if all its rules carry the same mark in the right order. Reordering,
//! removing or adding a rule is therefore seen, and so is a version of routed that encodes the
//! same rule differently. An empty chain has the hash of no rules. Sets, elements and the hooks of
//! base chains are read back as they are.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::{
    ir::{BasePolicy, Object, Rule, SetSpec},
    nft::{
        encode::{self, Attachment},
        netlink::object::{MAX_COMMENT, cut},
    },
};

/// Keys of the chain hash; with other keys every chain is written anew at the next start.
const HASH_KEYS: (u64, u64) = (0x726f_7574_6564_2f31, 0x6e66_745f_6368_6169);

/// The content of an object: as the compiler made it, or as the kernel has it.
#[derive(Clone, Debug)]
pub struct Content(Form);

#[derive(Clone, Debug)]
enum Form {
    /// Made by the compiler, or read back completely.
    Object(Object),
    /// A chain read back: everything but the rules, and their hash.
    Chain { base: Option<(Attachment, BasePolicy)>, rules: u64 },
    /// Something that we have not written.
    Foreign,
}

impl Content {
    /// The object, unless this was read back in a form that cannot be written.
    pub fn object(&self) -> Option<&Object> {
        match &self.0 {
            Form::Object(object) => Some(object),
            Form::Chain { .. } | Form::Foreign => None,
        }
    }

    /// A chain as read back, with the hash of its rules.
    pub(crate) fn chain(base: Option<(Attachment, BasePolicy)>, rules: u64) -> Self {
        Self(Form::Chain { base, rules })
    }

    /// Something that differs from everything we could want.
    pub(crate) fn foreign() -> Self {
        Self(Form::Foreign)
    }
}

impl From<Object> for Content {
    fn from(object: Object) -> Self {
        Self(Form::Object(object))
    }
}

/// Equal means that nothing needs to be written; a set's comment is not worth a write.
impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Object(Object::Set(one)), Form::Object(Object::Set(two))) => {
                kind(one) == kind(two)
            }
            (Form::Object(one), Form::Object(two)) => one == two,
            (Form::Object(object), Form::Chain { base, rules })
            | (Form::Chain { base, rules }, Form::Object(object)) => {
                is_chain(object, *base, *rules)
            }
            (
                Form::Chain { base: base_one, rules: one },
                Form::Chain { base: base_two, rules: two },
            ) => (base_one, one) == (base_two, two),
            (Form::Foreign, Form::Foreign) => true,
            (Form::Foreign, _) | (_, Form::Foreign) => false,
        }
    }
}

/// What of a set cannot change without making it anew.
pub(crate) fn kind(spec: &SetSpec) -> (crate::ir::KeyType, bool, bool) {
    (spec.key, spec.interval, spec.verdicts)
}

fn is_chain(object: &Object, base: Option<(Attachment, BasePolicy)>, hash: u64) -> bool {
    match object {
        Object::Chain(rules) => base.is_none() && EncodedRules::new(rules).hash == hash,
        Object::BaseChain(chain) => {
            let attachment = Attachment { hook: chain.hook, priority: chain.priority };
            base == Some((attachment, chain.policy)) && EncodedRules::new(&chain.rules).hash == hash
        }
        Object::Set(_) | Object::Element | Object::Dispatch(_) => false,
    }
}

/// The rules of a chain, ready to be written.
#[derive(Debug)]
pub(crate) struct EncodedRules {
    /// Expressions and comment of each rule.
    pub(crate) rules: Vec<(Vec<u8>, String)>,
    /// What identifies these rules.
    pub(crate) hash: u64,
}

impl EncodedRules {
    /// Encodes the rules of a chain.
    pub(crate) fn new(rules: &[Rule]) -> Self {
        let mut hasher = SipHasher24::new_with_keys(HASH_KEYS.0, HASH_KEYS.1);
        let mut encoded = Vec::with_capacity(rules.len());
        for rule in rules {
            let program = encode::encode_rule(rule);
            let comment = rule.comment.as_deref().unwrap_or_default();
            for bytes in [program.as_slice(), comment.as_bytes()] {
                hasher.write(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
                hasher.write(bytes);
            }
            encoded.push((program, comment));
        }
        let hash = hasher.finish();
        let count = encoded.len();
        let rules = encoded
            .into_iter()
            .enumerate()
            .map(|(index, (program, comment))| (program, Mark { hash, index, count }.text(comment)))
            .collect();
        Self { rules, hash }
    }
}

/// What a rule's comment says about the chain it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The hash of all rules of the chain.
    pub(crate) hash: u64,
    /// The position of this rule.
    pub(crate) index: usize,
    /// The number of rules.
    pub(crate) count: usize,
}

impl Mark {
    /// The comment: what people shall read, then the mark.
    fn text(self, comment: &str) -> String {
        let Self { hash, index, count } = self;
        let mark = format!("#{hash:016x}.{index}/{count}");
        let room = MAX_COMMENT.saturating_sub(mark.len() + 1);
        match cut(comment, room) {
            "" => mark,
            comment => format!("{comment} {mark}"),
        }
    }

    /// Reads the mark at the end of a comment.
    pub(crate) fn parse(comment: &str) -> Option<Self> {
        let (_, mark) = comment.rsplit_once('#')?;
        let (hash, position) = mark.split_once('.')?;
        let (index, count) = position.split_once('/')?;
        if hash.len() != 16 {
            return None;
        }
        Some(Self {
            hash: u64::from_str_radix(hash, 16).ok()?,
            index: index.parse().ok()?,
            count: count.parse().ok()?,
        })
    }
}

/// The hash that the marks of a chain's rules, in order, agree on; `None` if they do not.
pub(crate) fn agreed_hash(marks: &[Option<Mark>]) -> Option<u64> {
    let Some(first) = marks.first() else { return Some(EncodedRules::new(&[]).hash) };
    let hash = (*first)?.hash;
    marks
        .iter()
        .enumerate()
        .all(|(index, mark)| *mark == Some(Mark { hash, index, count: marks.len() }))
        .then_some(hash)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ir::{Hook, Match, Target, Verdict};

    fn rule(target: Target, comment: &str) -> Rule {
        Rule {
            matches: vec![Match::IcmpType(8)],
            counter: false,
            verdict: Verdict::To(target),
            comment: Some(Arc::from(comment)),
        }
    }

    fn marks(encoded: &EncodedRules) -> Vec<Option<Mark>> {
        encoded.rules.iter().map(|(_, comment)| Mark::parse(comment)).collect()
    }

    #[test]
    fn marks_read_back_and_agree() {
        let encoded =
            EncodedRules::new(&[rule(Target::Accept, "a # b.c/d"), rule(Target::Drop, "")]);
        let marks = marks(&encoded);
        assert_eq!(agreed_hash(&marks), Some(encoded.hash));
        assert!(encoded.rules[0].1.starts_with("a # b.c/d #"));
    }

    #[test]
    fn removed_added_and_swapped_rules_are_noticed() {
        let encoded = EncodedRules::new(&[rule(Target::Accept, "a"), rule(Target::Drop, "b")]);
        let marks = marks(&encoded);
        assert_eq!(agreed_hash(&marks[..1]), None);
        assert_eq!(agreed_hash(&marks[1..]), None);
        assert_eq!(agreed_hash(&[marks[1], marks[0]]), None);
        assert_eq!(agreed_hash(&[marks[0], marks[1], None]), None);
        assert_eq!(agreed_hash(&[marks[0], marks[1], marks[1]]), None);
        assert_ne!(agreed_hash(&[]), Some(encoded.hash));
    }

    #[test]
    fn long_comments_leave_room_for_the_mark() {
        let encoded = EncodedRules::new(&[rule(Target::Accept, &"é".repeat(200))]);
        let comment = &encoded.rules[0].1;
        assert!(comment.len() <= MAX_COMMENT, "{}", comment.len());
        assert_eq!(agreed_hash(&marks(&encoded)), Some(encoded.hash));
    }

    #[test]
    fn a_chain_equals_its_read_back_form_only_with_the_same_rules() {
        let rules: Arc<[Rule]> = Arc::from([rule(Target::Accept, "a")]);
        let hash = EncodedRules::new(&rules).hash;
        let wanted = Content::from(Object::Chain(Arc::clone(&rules)));
        assert_eq!(wanted, Content::chain(None, hash));
        assert_eq!(Content::chain(None, hash), wanted);
        assert_ne!(wanted, Content::chain(None, hash ^ 1));
        assert_ne!(wanted, Content::foreign());
        let attachment = Attachment { hook: Hook::Forward, priority: 0 };
        assert_ne!(wanted, Content::chain(Some((attachment, BasePolicy::Drop)), hash));

        let base = crate::ir::BaseChain {
            hook: Hook::Forward,
            priority: 0,
            policy: BasePolicy::Drop,
            rules,
        };
        let wanted = Content::from(Object::BaseChain(base));
        assert_eq!(wanted, Content::chain(Some((attachment, BasePolicy::Drop)), hash));
        assert_ne!(wanted, Content::chain(Some((attachment, BasePolicy::Accept)), hash));
        let elsewhere = Attachment { priority: 1, ..attachment };
        assert_ne!(wanted, Content::chain(Some((elsewhere, BasePolicy::Drop)), hash));
    }

    #[test]
    fn every_part_of_a_rule_changes_the_hash() {
        let base = rule(Target::Accept, "a");
        let hash = |rule: Rule| EncodedRules::new(&[rule]).hash;
        let first = hash(base.clone());
        assert_ne!(first, hash(rule(Target::Drop, "a")));
        assert_ne!(first, hash(rule(Target::Accept, "b")));
        assert_ne!(first, hash(Rule { counter: true, ..base.clone() }));
        assert_ne!(first, hash(Rule { matches: Vec::new(), ..base }));
    }
}
