// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an update group was told in one family, and what it must still be told.
//!
//! Both are sets of destinations, one bit each: what was said about one follows from its best
//! path. What is to be said lies in buckets of equal attributes and source, so that each message
//! is filled with all prefixes that share them, however they came in. A destination is at most
//! once in all buckets: when its best path changes while it waits, it stays where it is and is put
//! into its new bucket when its old one is emptied. So a prefix that changes ten times while the
//! peers are slow is sent once, with its latest value, and memory is bounded by the prefixes.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::adj_in::SourceId;
use super::attrs::AttrSet;
use super::bits::Bits;
use super::table::DestId;

/// What should be said about a destination: attributes as learned, and from whom.
pub(crate) type Wanted<'a> = Option<(&'a Arc<AttrSet>, SourceId)>;

/// Address of the attributes, which the bucket keeps alive, and the source.
type BucketKey = (usize, SourceId);

#[derive(Clone, Debug)]
struct Bucket {
    attrs: Arc<AttrSet>,
    ids: Vec<DestId>,
}

/// A piece of news for the group.
#[derive(Debug)]
pub(crate) enum News {
    /// These are no longer reachable. The group lets go of them.
    Withdraw(Vec<DestId>),
    /// These are reachable with these attributes.
    Reach {
        attrs: Arc<AttrSet>,
        source: SourceId,
        ids: Vec<DestId>,
        /// Those of them about which something was said before.
        again: Vec<DestId>,
    },
    /// Nothing is to be said about these after all. The group lets go of them.
    Nothing(Vec<DestId>),
}

/// One update group's Adj-RIB-Out of one family.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outbox {
    sent: Bits,
    pending: Bits,
    buckets: FxHashMap<BucketKey, Bucket>,
    /// Every bucket once, oldest first.
    order: VecDeque<BucketKey>,
    gone: Vec<DestId>,
}

impl Outbox {
    /// What should be said about the destination may have changed; true when the group knows of it
    /// from now on and must hold it.
    pub(crate) fn mark(&mut self, id: DestId, wanted: Wanted<'_>) -> bool {
        let is_known = self.sent.contains(id);
        if (wanted.is_none() && !is_known) || !self.pending.insert(id) {
            return false;
        }
        self.queue(id, wanted);
        !is_known
    }

    /// Everything that was said is said again, whether it changed or not (RFC 2918).
    pub(crate) fn refresh<'a>(&mut self, wanted: impl Fn(DestId) -> Wanted<'a>) {
        for id in self.sent.iter().collect::<Vec<_>>() {
            if self.pending.insert(id) {
                self.queue(id, wanted(id));
            }
        }
    }

    /// The next piece of news about at most `limit` destinations; none when all is said.
    ///
    /// `wanted` is what should be said now.
    pub(crate) fn next<'a>(
        &mut self,
        limit: usize,
        wanted: impl Fn(DestId) -> Wanted<'a>,
    ) -> Option<News> {
        if !self.gone.is_empty() {
            return Some(self.next_gone(limit, wanted));
        }
        let key = *self.order.front()?;
        let mut bucket = self.buckets.remove(&key)?;
        let rest = bucket.ids.len().saturating_sub(limit);
        let taken = bucket.ids.split_off(rest);
        let attrs = Arc::clone(&bucket.attrs);
        if bucket.ids.is_empty() {
            self.order.pop_front();
        } else {
            self.buckets.insert(key, bucket);
        }
        let (mut ids, mut again, mut nothing) = (Vec::with_capacity(taken.len()), vec![], vec![]);
        for id in taken {
            match wanted(id) {
                Some((now, source)) if Arc::ptr_eq(now, &attrs) && source == key.1 => {
                    self.pending.remove(id);
                    if !self.sent.insert(id) {
                        again.push(id);
                    }
                    ids.push(id);
                }
                None if !self.sent.contains(id) => {
                    self.pending.remove(id);
                    nothing.push(id);
                }
                other => self.queue(id, other),
            }
        }
        if !nothing.is_empty() {
            // Rare: said in a piece of its own, the others come again.
            for id in ids.drain(..) {
                self.pending.insert(id);
                if !again.contains(&id) {
                    self.sent.remove(id);
                }
                self.queue(id, Some((&attrs, key.1)));
            }
            return Some(News::Nothing(nothing));
        }
        Some(News::Reach { attrs, source: key.1, ids, again })
    }

    fn next_gone<'a>(&mut self, limit: usize, wanted: impl Fn(DestId) -> Wanted<'a>) -> News {
        let rest = self.gone.len().saturating_sub(limit);
        let mut ids = Vec::new();
        for id in self.gone.split_off(rest) {
            match wanted(id) {
                None => {
                    self.pending.remove(id);
                    self.sent.remove(id);
                    ids.push(id);
                }
                other => self.queue(id, other),
            }
        }
        News::Withdraw(ids)
    }

    /// These could not be said after all; nothing stands with the peers about them.
    pub(crate) fn forget(&mut self, ids: &[DestId]) {
        for id in ids {
            self.sent.remove(*id);
        }
    }

    /// True when something was said about the destination and still stands.
    pub(crate) fn contains(&self, id: DestId) -> bool {
        self.sent.contains(id)
    }

    /// True when there is something to say about the destination.
    pub(crate) fn is_pending(&self, id: DestId) -> bool {
        self.pending.contains(id)
    }

    /// Destinations about which there is something to say.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Destinations that the peers hold.
    pub(crate) fn sent(&self) -> usize {
        self.sent.len()
    }

    /// What the peers hold, ascending.
    pub(crate) fn iter_sent(&self) -> impl Iterator<Item = DestId> {
        self.sent.iter()
    }

    /// Every destination that the group holds.
    pub(crate) fn iter_held(&self) -> impl Iterator<Item = DestId> {
        let unsaid = self.pending.iter().filter(|id| !self.sent.contains(*id));
        self.sent.iter().chain(unsaid)
    }

    fn queue(&mut self, id: DestId, wanted: Wanted<'_>) {
        let Some((attrs, source)) = wanted else { return self.gone.push(id) };
        let key = (Arc::as_ptr(attrs).addr(), source);
        let bucket = self.buckets.entry(key).or_insert_with(|| {
            self.order.push_back(key);
            Bucket { attrs: Arc::clone(attrs), ids: Vec::new() }
        });
        bucket.ids.push(id);
    }
}

#[cfg(test)]
mod tests;
