// SPDX-License-Identifier: MIT OR Apache-2.0
//! A target in memory that fails on demand, for tests of whoever uses a driver.

use std::collections::{BTreeMap, VecDeque};

use crate::status::{Drift, Failure, Outcome};
use crate::target::{Batch, Target};

/// What goes wrong with the next call of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The dump fails.
    Dump(Failure),
    /// The dump shows the contents as they were at the last [`MemTarget::mark_stale`].
    StaleDump,
    /// Every key of the batch fails; `effective` says whether the writes took place all the same.
    Apply {
        /// The failure of each key.
        failure: Failure,
        /// Whether the target holds the values in spite of the failure.
        effective: bool,
    },
    /// Only the first so many writes of the batch take place and are answered.
    PartialBatch(usize),
}

/// A map that behaves like a kernel table, with fault injection.
#[derive(Clone, Debug)]
pub struct MemTarget<K, V> {
    contents: BTreeMap<K, V>,
    snapshot: BTreeMap<K, V>,
    dump_faults: VecDeque<Fault>,
    apply_faults: VecDeque<Fault>,
    bad_keys: BTreeMap<K, Failure>,
    rank: fn(&K) -> u32,
    /// Every batch that was applied, in order.
    pub batches: Vec<Batch<K, V>>,
    /// Number of dumps, failed ones included.
    pub dumps: usize,
}

impl<K: Ord + Clone, V: Clone> Default for MemTarget<K, V> {
    fn default() -> Self {
        Self {
            contents: BTreeMap::new(),
            snapshot: BTreeMap::new(),
            dump_faults: VecDeque::new(),
            apply_faults: VecDeque::new(),
            bad_keys: BTreeMap::new(),
            rank: |_| 0,
            batches: Vec::new(),
            dumps: 0,
        }
    }
}

impl<K: Ord + Clone, V: Clone> MemTarget<K, V> {
    /// An empty target without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same target with another order of writes.
    #[must_use]
    pub fn with_rank(mut self, rank: fn(&K) -> u32) -> Self {
        self.rank = rank;
        self
    }

    /// What the target holds.
    pub fn contents(&self) -> &BTreeMap<K, V> {
        &self.contents
    }

    /// Somebody else writes. Returns the event a monitor would see; dropping it is a lost event.
    #[must_use]
    pub fn write_behind(&mut self, key: K, value: Option<V>) -> Drift<K> {
        match value {
            Some(value) => self.contents.insert(key.clone(), value),
            None => self.contents.remove(&key),
        };
        Drift::Key(key)
    }

    /// Lines a fault up for the next dump or batch, after those lined up before.
    pub fn inject(&mut self, fault: Fault) {
        match fault {
            Fault::Dump(_) | Fault::StaleDump => self.dump_faults.push_back(fault),
            Fault::Apply { .. } | Fault::PartialBatch(_) => self.apply_faults.push_back(fault),
        }
    }

    /// From now on writes of this key fail, until healed with `None`.
    pub fn set_bad(&mut self, key: K, failure: Option<Failure>) {
        match failure {
            Some(failure) => self.bad_keys.insert(key, failure),
            None => self.bad_keys.remove(&key),
        };
    }

    /// Ends all faults.
    pub fn heal(&mut self) {
        self.dump_faults.clear();
        self.apply_faults.clear();
        self.bad_keys.clear();
    }

    /// Remembers the contents for a later [`Fault::StaleDump`].
    pub fn mark_stale(&mut self) {
        self.snapshot = self.contents.clone();
    }

    /// Number of single writes in all batches so far.
    pub fn writes(&self) -> usize {
        self.batches.iter().map(Batch::len).sum()
    }

    fn write(&mut self, key: &K, value: Option<&V>) -> Outcome {
        if let Some(failure) = self.bad_keys.get(key) {
            return Outcome::Failed(failure.clone());
        }
        match value {
            Some(value) => self.contents.insert(key.clone(), value.clone()),
            None => self.contents.remove(key),
        };
        Outcome::Applied
    }
}

impl<K: Ord + Clone, V: Clone> Target for MemTarget<K, V> {
    type Key = K;
    type Value = V;

    fn dump(&mut self) -> Result<Vec<(K, V)>, Failure> {
        self.dumps += 1;
        let contents = match self.dump_faults.pop_front() {
            Some(Fault::Dump(failure)) => return Err(failure),
            Some(Fault::StaleDump) => &self.snapshot,
            Some(Fault::Apply { .. } | Fault::PartialBatch(_)) | None => &self.contents,
        };
        Ok(contents.iter().map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&mut self, batch: &Batch<K, V>) -> Vec<(K, Outcome)> {
        self.batches.push(batch.clone());
        let (mut limit, mut failed) = (usize::MAX, None);
        match self.apply_faults.pop_front() {
            Some(Fault::PartialBatch(count)) => limit = count,
            Some(Fault::Apply { failure, effective }) => {
                limit = if effective { usize::MAX } else { 0 };
                failed = Some(Outcome::Failed(failure));
            }
            Some(Fault::Dump(_) | Fault::StaleDump) | None => {}
        }
        let puts = batch.puts.iter().map(|(key, value)| (key, Some(value)));
        let writes: Vec<_> = puts.chain(batch.deletes.iter().map(|key| (key, None))).collect();
        let mut outcomes = Vec::with_capacity(writes.len());
        for (key, value) in &writes[..limit.min(writes.len())] {
            outcomes.push(((*key).clone(), self.write(key, *value)));
        }
        match failed {
            None => outcomes,
            Some(failed) => {
                writes.iter().map(|(key, _)| ((*key).clone(), failed.clone())).collect()
            }
        }
    }

    fn rank(&self, key: &K) -> u32 {
        (self.rank)(key)
    }
}
