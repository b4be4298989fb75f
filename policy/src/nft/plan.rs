// SPDX-License-Identifier: MIT OR Apache-2.0
//! The messages of one transaction, in an order that the kernel accepts.
//!
//! 1. the table, where it has to be made first
//! 2. elements that go, so that their keys and chains are free
//! 3. new sets, then all new chains, so that rules may name any of them
//! 4. the rules of every chain that changes or goes are flushed
//! 5. elements of sets, then the new rules, then elements that name chains
//! 6. chains that go, then sets that go
//!
//! Nobody sees the order: the kernel switches from the old state to the new one at once. A chain
//! is replaced as a whole, and packets meet either all its old or all its new rules.

use std::ops::Range;

use rustc_hash::FxHashSet;

use crate::{
    ir::{BaseChain, Key, Name, Object, ObjectId, Rule, Target, Verdict},
    nft::{
        content::EncodedRules,
        encode::{self, Attachment},
        key::{self, Encoded, End},
        netlink::{
            attr::AttrWriter,
            batch::Batch,
            expr::{self, LIST_ELEM},
            message::{NF_HEADER, msg, nl},
            object::{element, push_userdata, table},
        },
        readback::Shadow,
    },
};

/// Bytes of elements in one message; the attribute that holds them counts in 16 bits.
const ELEMENT_BYTES: usize = 60_000;

/// One wish of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// What.
    pub(crate) id: &'a ObjectId,
    /// The content to be put; `None` for a removal.
    pub(crate) put: Option<Put<'a>>,
}

/// What a put writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Put<'a> {
    /// The wanted content.
    Object(&'a Object),
    /// For a chain whose content the kernel refused: drop everything.
    Closed,
}

/// What has to be done to the table itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableStep {
    /// It is there.
    Keep,
    /// It is missing: make it with these flags.
    Create(u32),
    /// It is there and shall be made anew with these flags.
    Recreate(u32),
}

/// Whom a message of the transaction serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The table.
    Table,
    /// The change with this index.
    Change(usize),
    /// Removes the old value of an element that the change with this index puts.
    Replaced(usize),
    /// Several elements: where in the message each begins, and the index of its change.
    Elements(Vec<(usize, usize)>),
}

/// A transaction and what its messages are about.
#[derive(Debug)]
pub(crate) struct Plan {
    /// The messages.
    pub(crate) batch: Batch,
    /// For each message.
    pub(crate) origins: Vec<Origin>,
}

/// Plans the changes with the given indices; `alone` gives every element a message of its own.
pub(crate) fn plan(
    batch: Batch,
    changes: &[(usize, Change<'_>)],
    step: TableStep,
    (shadow, alone): (&Shadow, bool),
) -> Plan {
    let mut planner = Planner { plan: Plan { batch, origins: Vec::new() }, shadow, alone };
    planner.table(step);
    planner.remove_elements(changes);
    planner.put_sets(changes);
    let rules = planner.put_chains(changes);
    planner.put_elements(changes, false);
    planner.put_rules(&rules);
    planner.put_elements(changes, true);
    planner.remove_containers(changes);
    planner.plan
}

struct Planner<'s> {
    plan: Plan,
    shadow: &'s Shadow,
    alone: bool,
}

/// An element to be written or removed.
struct Pending<'a> {
    set: &'a Name,
    key: &'a Key,
    verdict: Option<&'a Target>,
    change: usize,
}

/// A chain to be written.
struct PendingRules<'a> {
    name: &'a Name,
    rules: EncodedRules,
    change: usize,
}

impl Planner<'_> {
    fn table(&mut self, step: TableStep) {
        let flags = match step {
            TableStep::Keep => return,
            TableStep::Create(flags) => flags,
            TableStep::Recreate(flags) => {
                encode::delete_table(&mut self.plan.batch);
                self.plan.origins.push(Origin::Table);
                flags
            }
        };
        encode::create_table(&mut self.plan.batch, flags);
        self.plan.origins.push(Origin::Table);
    }

    fn remove_elements(&mut self, changes: &[(usize, Change<'_>)]) {
        let whole_sets: FxHashSet<&Name> = changes
            .iter()
            .filter_map(|(_, change)| match (change.id, change.put) {
                (ObjectId::Set(name), None) => Some(name),
                _ => None,
            })
            .collect();
        let pending: Vec<_> = changes
            .iter()
            .filter(|(_, change)| change.put.is_none())
            .filter_map(|(index, change)| match change.id {
                // They go with their set. Those that name a chain hold it and go before it.
                ObjectId::Element(set, _) if whole_sets.contains(set) => None,
                ObjectId::Element(set, key) | ObjectId::Dispatch(set, key) => {
                    Some(Pending { set, key, verdict: None, change: *index })
                }
                _ => None,
            })
            .collect();
        self.push_elements(msg::DEL_SET_ELEM, pending, Origin::Elements);

        let replaced: Vec<_> = changes
            .iter()
            .filter(|(_, change)| change.put.is_some())
            .filter_map(|(index, change)| match change.id {
                ObjectId::Dispatch(set, key)
                    if self.shadow.dispatch.contains(&(set.clone(), key.clone())) =>
                {
                    Some(Pending { set, key, verdict: None, change: *index })
                }
                _ => None,
            })
            .collect();
        for one in replaced {
            let change = one.change;
            self.push_elements(msg::DEL_SET_ELEM, vec![one], |_| Origin::Replaced(change));
        }
    }

    fn put_sets(&mut self, changes: &[(usize, Change<'_>)]) {
        for (index, change) in changes {
            if let (ObjectId::Set(name), Some(Put::Object(Object::Set(spec)))) =
                (change.id, change.put)
            {
                encode::put_set(&mut self.plan.batch, name, spec);
                self.plan.origins.push(Origin::Change(*index));
            }
        }
    }

    fn put_chains<'a>(&mut self, changes: &[(usize, Change<'a>)]) -> Vec<PendingRules<'a>> {
        let mut pending = Vec::new();
        for (index, change) in changes {
            let (name, base, rules) = match (change.id, change.put) {
                (ObjectId::Chain(name), Some(Put::Object(Object::Chain(rules)))) => {
                    (name, None, EncodedRules::new(rules))
                }
                (ObjectId::Chain(name), Some(Put::Closed)) => {
                    (name, None, EncodedRules::new(&[closing_rule()]))
                }
                (ObjectId::BaseChain(name), Some(Put::Object(Object::BaseChain(base)))) => {
                    (name, Some(base), EncodedRules::new(&base.rules))
                }
                _ => continue,
            };
            self.put_chain(name, base, *index);
            pending.push(PendingRules { name, rules, change: *index });
        }
        let flushed = pending.iter().map(|one| (one.name, one.change));
        let removed = changes.iter().filter(|(_, change)| change.put.is_none()).filter_map(
            |(index, change)| match change.id {
                ObjectId::Chain(name) | ObjectId::BaseChain(name) => Some((name, *index)),
                _ => None,
            },
        );
        for (name, index) in flushed.chain(removed) {
            encode::flush_chain(&mut self.plan.batch, name);
            self.plan.origins.push(Origin::Change(index));
        }
        pending
    }

    fn put_chain(&mut self, name: &Name, base: Option<&BaseChain>, index: usize) {
        let base =
            base.map(|base| (Attachment { hook: base.hook, priority: base.priority }, base.policy));
        if let (Some((attachment, _)), Some(Some(found))) = (base, self.shadow.chains.get(name))
            && attachment != *found
        {
            // A chain cannot move to another hook. The flush that follows meets the new chain.
            encode::delete_chain(&mut self.plan.batch, name);
            self.plan.origins.push(Origin::Change(index));
        }
        encode::put_chain(&mut self.plan.batch, name, base);
        self.plan.origins.push(Origin::Change(index));
    }

    fn put_rules(&mut self, chains: &[PendingRules<'_>]) {
        for PendingRules { name, rules, change } in chains {
            for (program, comment) in &rules.rules {
                encode::add_rule(&mut self.plan.batch, name, program, comment);
                self.plan.origins.push(Origin::Change(*change));
            }
        }
    }

    fn put_elements(&mut self, changes: &[(usize, Change<'_>)], dispatch: bool) {
        let pending = changes
            .iter()
            .filter_map(|(index, change)| match (change.id, change.put) {
                (ObjectId::Element(set, key), Some(_)) if !dispatch => {
                    Some(Pending { set, key, verdict: None, change: *index })
                }
                (ObjectId::Dispatch(set, key), Some(Put::Object(Object::Dispatch(verdict))))
                    if dispatch =>
                {
                    Some(Pending { set, key, verdict: Some(verdict), change: *index })
                }
                _ => None,
            })
            .collect();
        self.push_elements(msg::NEW_SET_ELEM, pending, Origin::Elements);
    }

    fn remove_containers(&mut self, changes: &[(usize, Change<'_>)]) {
        let removed = || changes.iter().filter(|(_, change)| change.put.is_none());
        for (index, change) in removed() {
            if let ObjectId::Chain(name) | ObjectId::BaseChain(name) = change.id {
                encode::delete_chain(&mut self.plan.batch, name);
                self.plan.origins.push(Origin::Change(*index));
            }
        }
        for (index, change) in removed() {
            if let ObjectId::Set(name) = change.id {
                encode::delete_set(&mut self.plan.batch, name);
                self.plan.origins.push(Origin::Change(*index));
            }
        }
    }

    /// Appends elements, as many as fit into a message as long as they are of the same set: the
    /// kernel searches the set once per message, and slowly.
    fn push_elements(
        &mut self,
        kind: u8,
        mut pending: Vec<Pending<'_>>,
        origin: impl Fn(Vec<(usize, usize)>) -> Origin,
    ) {
        pending.sort_by(|one, two| one.set.cmp(two.set));
        let encoded: Vec<_> = pending.iter().map(|one| key::encode(one.key)).collect();
        let mut start = 0;
        while start < pending.len() {
            let end = self.message_end(&pending, &encoded, start);
            self.push_message(kind, start..end, (&pending, &encoded), &origin);
            start = end;
        }
    }

    fn message_end(&self, pending: &[Pending<'_>], encoded: &[Encoded], start: usize) -> usize {
        let mut bytes = 0;
        let mut end = start;
        for (one, key) in pending.iter().zip(encoded).skip(start) {
            bytes += size(one, key);
            let full = bytes > ELEMENT_BYTES || self.alone || one.set != pending[start].set;
            if full && end > start {
                break;
            }
            end += 1;
        }
        end
    }

    fn push_message(
        &mut self,
        kind: u8,
        range: Range<usize>,
        (pending, encoded): (&[Pending<'_>], &[Encoded]),
        origin: &impl Fn(Vec<(usize, usize)>) -> Origin,
    ) {
        let Some(first) = pending.get(range.start) else { return };
        let mut places = Vec::with_capacity(range.len());
        let flags = if kind == msg::NEW_SET_ELEM { nl::F_CREATE } else { 0 };
        self.plan.batch.push(kind, flags, |attrs| {
            attrs.string(element::TABLE, crate::ir::TABLE);
            attrs.string(element::SET, first.set.as_str());
            attrs.nest(element::ELEMENTS, |list| {
                for (one, key) in pending.iter().zip(encoded).take(range.end).skip(range.start) {
                    places.push((NF_HEADER + list.written(), one.change));
                    push_element(list, key, one.verdict);
                }
            });
        });
        self.plan.origins.push(origin(places));
    }
}

/// Upper bound of the bytes an element takes in a message.
fn size(one: &Pending<'_>, key: &Encoded) -> usize {
    let ends = if key.end == End::Single { 1 } else { 2 };
    let chain = match one.verdict {
        Some(Target::Jump(name) | Target::Goto(name)) => name.as_str().len(),
        Some(Target::Accept | Target::Drop | Target::Return) | None => 0,
    };
    ends * (key.start.len() + 32) + chain + 48
}

fn push_element(list: &mut AttrWriter<'_>, key: &Encoded, verdict: Option<&Target>) {
    list.nest(LIST_ELEM, |one| {
        expr::value(one, element::KEY, &key.start);
        if let Some(verdict) = verdict {
            expr::verdict(one, element::DATA, encode::verdict_code(verdict));
        }
        if key.end == End::Open {
            let mut userdata = Vec::new();
            push_userdata(&mut userdata, element::UDATA_FLAGS, &element::UDATA_OPEN.to_ne_bytes());
            one.bytes(element::USERDATA, &userdata);
        }
    });
    if let End::Before(end) = &key.end {
        list.nest(LIST_ELEM, |one| {
            one.be32(element::FLAGS, element::F_INTERVAL_END);
            expr::value(one, element::KEY, end);
        });
    }
}

/// What a chain does whose content the kernel refused.
fn closing_rule() -> Rule {
    Rule {
        matches: Vec::new(),
        counter: true,
        verdict: Verdict::To(Target::Drop),
        comment: Some("closed: kernel refused the rules".into()),
    }
}

/// The flags of a table that we own and that outlives us.
pub(crate) const OWNED: u32 = table::F_OWNER | table::F_PERSIST;
