// SPDX-License-Identifier: MIT OR Apache-2.0
//! The line of keys that wait to be written.
//!
//! Keys are served by rank, and first come, first served within a rank. Ranks alone would let a
//! steady churn of one rank starve another, and let it starve retries: so each key carries the
//! count of batches at which it came, and [`Queue::pop_older`] serves those left behind.
//!
//! A key is in the line at most once; whether it still needs the write is asked when it is served.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use crate::hash::{Seeded, Set};

#[derive(Debug)]
pub(crate) struct Queue<K> {
    /// Keys whose rank has not been asked yet.
    intake: Vec<(u64, K)>,
    ranks: BTreeMap<u32, VecDeque<(u64, K)>>,
    members: Set<K>,
}

/// From which end ranks are served.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    Ascending,
    Descending,
}

impl<K: Hash + Eq + Clone> Queue<K> {
    pub(crate) fn new(seed: u64) -> Self {
        let members = Set::with_hasher(Seeded(seed));
        Self { intake: Vec::new(), ranks: BTreeMap::new(), members }
    }

    /// Lines a key up behind the others of its rank; `stamp` never decreases between calls.
    pub(crate) fn push(&mut self, stamp: u64, key: &K) {
        if self.members.insert(key.clone()) {
            self.intake.push((stamp, key.clone()));
        }
    }

    /// Lines a key up before the others of its rank and counts it as left behind.
    pub(crate) fn push_urgent(&mut self, key: &K) {
        self.push(0, key);
    }

    /// Sorts new keys into their ranks; to be called before serving.
    pub(crate) fn assort(&mut self, rank: &impl Fn(&K) -> u32) {
        for (stamp, key) in self.intake.drain(..) {
            let line = self.ranks.entry(rank(&key)).or_default();
            if stamp == 0 { line.push_front((stamp, key)) } else { line.push_back((stamp, key)) }
        }
    }

    /// Serves the next key by rank.
    pub(crate) fn pop(&mut self, order: Order) -> Option<K> {
        let rank = match order {
            Order::Ascending => self.ranks.first_key_value(),
            Order::Descending => self.ranks.last_key_value(),
        };
        let rank = *rank?.0;
        self.pop_from(rank)
    }

    /// Serves the key that waits longest, if it came before this stamp. O(ranks).
    pub(crate) fn pop_older(&mut self, stamp: u64) -> Option<K> {
        let fronts = self.ranks.iter().filter_map(|(rank, line)| Some((line.front()?.0, *rank)));
        let (_, rank) = fronts.min().filter(|(front, _)| *front < stamp)?;
        self.pop_from(rank)
    }

    fn pop_from(&mut self, rank: u32) -> Option<K> {
        let line = self.ranks.get_mut(&rank)?;
        let served = line.pop_front();
        if line.is_empty() {
            self.ranks.remove(&rank);
        }
        let (_, key) = served?;
        self.members.remove(&key);
        Some(key)
    }
}
