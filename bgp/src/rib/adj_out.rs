// SPDX-License-Identifier: MIT OR Apache-2.0
//! What one peer was told in one family, and what it must still be told.
//!
//! Pending is a set of prefixes, not a queue of messages: a prefix that changes ten times while
//! the peer is slow is sent once, with its latest value, and memory is bounded by the number of
//! prefixes. What to say is computed when it can be written, by comparing with what was said.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::attrs::AttrSet;
use crate::types::Prefix;

/// What one batch says: prefixes to withdraw, and prefixes to advertise by attribute set.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Advert {
    pub(crate) withdrawn: Vec<Prefix>,
    pub(crate) reached: Vec<(Arc<AttrSet>, Vec<Prefix>)>,
}

impl Advert {
    /// True when there is nothing to say.
    pub(crate) fn is_empty(&self) -> bool {
        self.withdrawn.is_empty() && self.reached.is_empty()
    }
}

/// One peer's Adj-RIB-Out of one family.
#[derive(Debug, Default)]
pub(crate) struct AdjOut {
    /// What the peer holds; without attributes when they must be said again.
    sent: FxHashMap<Prefix, Option<Arc<AttrSet>>>,
    pending: FxHashSet<Prefix>,
    line: Vec<Prefix>,
}

impl AdjOut {
    /// The prefix may have changed.
    pub(crate) fn mark(&mut self, prefix: Prefix) {
        if self.pending.insert(prefix) {
            self.line.push(prefix);
        }
    }

    /// Everything advertised is said again, whether it changed or not (RFC 2918).
    pub(crate) fn refresh(&mut self) {
        let Self { sent, pending, line } = self;
        for (prefix, attrs) in sent {
            *attrs = None;
            if pending.insert(*prefix) {
                line.push(*prefix);
            }
        }
    }

    /// These could not be said after all.
    pub(crate) fn forget(&mut self, prefixes: &[Prefix]) {
        for prefix in prefixes {
            self.sent.remove(prefix);
        }
    }

    /// True when the peer was told about the prefix.
    pub(crate) fn contains(&self, prefix: Prefix) -> bool {
        self.sent.contains_key(&prefix)
    }

    /// Prefixes waiting to be said.
    pub(crate) fn pending(&self) -> usize {
        self.line.len()
    }

    /// Prefixes advertised now.
    pub(crate) fn advertised(&self) -> usize {
        self.sent.len()
    }

    /// What was said, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Prefix, Option<&Arc<AttrSet>>)> {
        self.sent.iter().map(|(prefix, attrs)| (*prefix, attrs.as_ref()))
    }

    /// Takes up to `limit` pending prefixes and says how they differ from what was sent.
    ///
    /// `wanted` is what the peer should be told now.
    pub(crate) fn take(
        &mut self,
        limit: usize,
        mut wanted: impl FnMut(Prefix) -> Option<Arc<AttrSet>>,
    ) -> Advert {
        let mut advert = Advert::default();
        let mut groups: FxHashMap<*const AttrSet, usize> = FxHashMap::default();
        for prefix in self.line.drain(self.line.len().saturating_sub(limit)..) {
            self.pending.remove(&prefix);
            let Some(attrs) = wanted(prefix) else {
                if self.sent.remove(&prefix).is_some() {
                    advert.withdrawn.push(prefix);
                }
                continue;
            };
            if self.sent.get(&prefix).is_some_and(|sent| is_same(sent.as_ref(), &attrs)) {
                continue;
            }
            let group = *groups.entry(Arc::as_ptr(&attrs)).or_insert_with(|| {
                advert.reached.push((Arc::clone(&attrs), Vec::new()));
                advert.reached.len() - 1
            });
            advert.reached[group].1.push(prefix);
            self.sent.insert(prefix, Some(attrs));
        }
        advert
    }
}

fn is_same(sent: Option<&Arc<AttrSet>>, wanted: &Arc<AttrSet>) -> bool {
    sent.is_some_and(|sent| Arc::ptr_eq(sent, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rib::Interner;

    fn prefix(index: u8) -> Prefix {
        format!("10.0.{index}.0/24").parse().unwrap()
    }

    fn set(interner: &mut Interner, med: u32) -> Arc<AttrSet> {
        interner.intern(AttrSet { med: Some(med), ..AttrSet::default() })
    }

    #[test]
    fn a_prefix_that_changes_often_is_said_once() {
        let mut out = AdjOut::default();
        for _ in 0..10 {
            out.mark(prefix(1));
        }
        assert_eq!(out.pending(), 1);
        let attrs = set(&mut Interner::default(), 7);
        let advert = out.take(100, |_| Some(Arc::clone(&attrs)));
        assert_eq!(advert.reached, vec![(Arc::clone(&attrs), vec![prefix(1)])]);
        out.mark(prefix(1));
        assert!(out.take(100, |_| Some(Arc::clone(&attrs))).is_empty());
    }

    #[test]
    fn prefixes_are_grouped_by_attribute_set() {
        let (mut out, mut interner) = (AdjOut::default(), Interner::default());
        let sets = [set(&mut interner, 0), set(&mut interner, 1)];
        (0..20).for_each(|index| out.mark(prefix(index)));
        let advert = out.take(100, |p| {
            let odd = p.to_string().split('.').nth(2).unwrap().parse::<usize>().unwrap() % 2;
            Some(Arc::clone(&sets[odd]))
        });
        assert_eq!(advert.reached.len(), 2);
        assert!(advert.reached.iter().all(|(_, prefixes)| prefixes.len() == 10));
    }

    #[test]
    fn only_what_was_advertised_is_withdrawn() {
        let mut out = AdjOut::default();
        let attrs = set(&mut Interner::default(), 0);
        out.mark(prefix(1));
        out.take(100, |_| Some(Arc::clone(&attrs)));
        out.mark(prefix(1));
        out.mark(prefix(2));
        assert_eq!(out.take(100, |_| None).withdrawn, vec![prefix(1)]);
        assert_eq!(out.advertised(), 0);
    }

    #[test]
    fn a_refresh_repeats_what_stands_and_withdraws_what_went() {
        let mut out = AdjOut::default();
        let attrs = set(&mut Interner::default(), 0);
        out.mark(prefix(1));
        out.mark(prefix(2));
        out.take(100, |_| Some(Arc::clone(&attrs)));
        out.mark(prefix(2));
        out.refresh();
        let advert = out.take(100, |p| (p == prefix(1)).then(|| Arc::clone(&attrs)));
        assert_eq!(advert.withdrawn, vec![prefix(2)]);
        assert_eq!(advert.reached, vec![(attrs, vec![prefix(1)])]);
    }

    #[test]
    fn a_batch_is_bounded() {
        let mut out = AdjOut::default();
        let attrs = set(&mut Interner::default(), 0);
        (0..100).for_each(|index| out.mark(prefix(index)));
        let advert = out.take(30, |_| Some(Arc::clone(&attrs)));
        assert_eq!(advert.reached[0].1.len(), 30);
        assert_eq!(out.pending(), 70);
    }
}
