// SPDX-License-Identifier: MIT OR Apache-2.0
//! Desired beside actual, key by key.
//!
//! For each key the map knows what is wanted and what the target is believed to hold. What is
//! believed is one of four: absent, exactly the wanted value (stored once), another value, or
//! unknown — after a write that failed, a drift hint, or before the first dump. A key needs a
//! write exactly when the two sides differ; every touch costs O(1).

use std::collections::hash_map::Entry as Slot;
use std::hash::Hash;

use crate::hash::{Map, Seeded};
use crate::status::Revision;

/// The write that a key needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Desired and actual agree.
    Nothing,
    /// Wanted, and not known to be there as wanted.
    Put,
    /// Not wanted, and not known to be absent.
    Delete,
}

/// Sizes of a [`DeltaMap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeltaStats {
    /// Keys that are wanted.
    pub desired: usize,
    /// Keys that the target is known to hold.
    pub actual: usize,
    /// Keys where the two sides differ.
    pub pending: usize,
}

/// Desired and actual values per key.
#[derive(Debug)]
pub struct DeltaMap<K, V> {
    entries: Map<K, Entry<V>>,
    stats: DeltaStats,
    /// Whether the actual side was read at least once.
    known: bool,
    /// Agreements that a later dump contradicted.
    drifted: u64,
}

#[derive(Debug)]
struct Entry<V> {
    want: Option<V>,
    have: Have<V>,
    revision: Revision,
    /// Whether agreement at this revision has been told; true for orphans, which nobody asks for.
    settled: bool,
}

#[derive(Debug)]
enum Have<V> {
    Absent,
    Unknown,
    /// The wanted value.
    Same,
    /// A value that differs from the wanted one (or nothing is wanted).
    Other(V),
}

impl<V> Entry<V> {
    fn need(&self) -> Need {
        match (&self.want, &self.have) {
            (Some(_), Have::Same) | (None, Have::Absent) => Need::Nothing,
            (Some(_), _) => Need::Put,
            (None, _) => Need::Delete,
        }
    }

    fn weight(&self) -> DeltaStats {
        DeltaStats {
            desired: usize::from(self.want.is_some()),
            actual: usize::from(matches!(self.have, Have::Same | Have::Other(_))),
            pending: usize::from(self.need() != Need::Nothing),
        }
    }
}

impl DeltaStats {
    fn add(&mut self, other: Self) {
        self.desired += other.desired;
        self.actual += other.actual;
        self.pending += other.pending;
    }

    fn subtract(&mut self, other: Self) {
        self.desired -= other.desired;
        self.actual -= other.actual;
        self.pending -= other.pending;
    }
}

impl<K, V> Default for DeltaMap<K, V> {
    fn default() -> Self {
        Self::with_seed(0)
    }
}

impl<K, V> DeltaMap<K, V> {
    /// An empty map whose actual side is unknown; the seed fixes the order of iteration.
    pub fn with_seed(seed: u64) -> Self {
        let entries = Map::with_hasher(Seeded(seed));
        Self { entries, stats: DeltaStats::default(), known: false, drifted: 0 }
    }

    /// How many wanted keys on which both sides agreed were found different by a later dump.
    pub fn drifted(&self) -> u64 {
        self.drifted
    }

    /// Sizes, kept as counters.
    pub fn stats(&self) -> DeltaStats {
        self.stats
    }

    /// Whether [`replace_actual`](Self::replace_actual) was called at least once.
    pub fn is_known(&self) -> bool {
        self.known
    }
}

impl<K: Hash + Eq + Clone, V: PartialEq> DeltaMap<K, V> {
    /// What is wanted for a key.
    pub fn desired(&self, key: &K) -> Option<&V> {
        self.entries.get(key)?.want.as_ref()
    }

    /// Everything that is wanted, in no particular order.
    pub fn iter_desired(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().filter_map(|(key, entry)| Some((key, entry.want.as_ref()?)))
    }

    /// What the target is known to hold; `None` if absent or unknown.
    pub fn actual(&self, key: &K) -> Option<&V> {
        let entry = self.entries.get(key)?;
        match &entry.have {
            Have::Absent | Have::Unknown => None,
            Have::Same => entry.want.as_ref(),
            Have::Other(value) => Some(value),
        }
    }

    /// Whether the key is wanted, or not known to be absent, or waits to be told.
    pub fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// The write that a key needs.
    pub fn need(&self, key: &K) -> Need {
        self.entries.get(key).map_or(Need::Nothing, Entry::need)
    }

    /// The newest revision of a key; `None` for an orphan and for a key not in the map.
    pub fn revision(&self, key: &K) -> Option<Revision> {
        let entry = self.entries.get(key)?;
        (entry.want.is_some() || !entry.settled).then_some(entry.revision)
    }

    /// Says what is wanted for a key. A lower revision than the one known is raised to it.
    ///
    /// Returns the value wanted before, unless it lives on as the actual one.
    pub fn set_desired(&mut self, key: K, value: Option<V>, revision: Revision) -> Option<V> {
        let entry = match self.entries.entry(key) {
            Slot::Occupied(slot) => slot.into_mut(),
            Slot::Vacant(slot) => {
                let have = if self.known { Have::Absent } else { Have::Unknown };
                let entry = slot.insert(Entry { want: None, have, revision, settled: false });
                self.stats.add(entry.weight());
                entry
            }
        };
        self.stats.subtract(entry.weight());
        entry.revision = entry.revision.max(revision);
        entry.settled = false;
        let mut before = std::mem::replace(&mut entry.want, value);
        match &entry.have {
            Have::Same if before != entry.want => {
                entry.have = before.take().map_or(Have::Unknown, Have::Other);
            }
            Have::Other(actual) if entry.want.as_ref() == Some(actual) => entry.have = Have::Same,
            Have::Same | Have::Other(_) | Have::Absent | Have::Unknown => {}
        }
        self.stats.add(entry.weight());
        before
    }

    /// Replaces the actual side by what a dump found.
    ///
    /// Returns the keys that need a write or whose agreement is not told yet. O(all keys).
    pub fn replace_actual(&mut self, dump: Vec<(K, V)>) -> Vec<K> {
        self.known = true;
        for entry in self.entries.values_mut() {
            entry.have = Have::Absent;
        }
        for (key, value) in dump {
            match self.entries.entry(key) {
                Slot::Occupied(mut slot) => {
                    let same = slot.get().want.as_ref() == Some(&value);
                    slot.get_mut().have = if same { Have::Same } else { Have::Other(value) };
                }
                Slot::Vacant(slot) => {
                    let (have, revision) = (Have::Other(value), Revision::default());
                    slot.insert(Entry { want: None, have, revision, settled: true });
                }
            }
        }
        self.stats = DeltaStats::default();
        let mut touched = Vec::new();
        for (key, entry) in &mut self.entries {
            self.stats.add(entry.weight());
            if entry.need() == Need::Put {
                self.drifted += u64::from(entry.settled);
                entry.settled = false;
            }
            if !entry.settled || entry.want.is_none() {
                touched.push(key.clone());
            }
        }
        touched
    }

    /// The target may hold anything for this key: a write failed, or somebody else wrote.
    pub fn mark_unknown(&mut self, key: &K) {
        self.update(key, |entry| {
            entry.have = Have::Unknown;
            if entry.want.is_some() {
                entry.settled = false;
            }
        });
    }

    /// The target now holds what is wanted: the value, or nothing.
    pub fn mark_applied(&mut self, key: &K) {
        self.update(key, |entry| {
            entry.have = if entry.want.is_some() { Have::Same } else { Have::Absent };
        });
    }

    /// The target now holds this value, or nothing; it may differ from what is wanted.
    pub fn set_actual(&mut self, key: &K, value: Option<V>) {
        self.update(key, |entry| {
            entry.have = match value {
                None => Have::Absent,
                same if same == entry.want => Have::Same,
                Some(other) => Have::Other(other),
            };
        });
    }

    /// If both sides agree and that was not told yet: the revision and whether a value is there.
    ///
    /// Forgets a key that is neither wanted nor there.
    pub fn settle(&mut self, key: &K) -> Option<(Revision, bool)> {
        let entry = self.entries.get_mut(key).filter(|entry| entry.need() == Need::Nothing)?;
        let news = (!entry.settled).then_some((entry.revision, entry.want.is_some()));
        entry.settled = true;
        if entry.want.is_none() {
            self.entries.remove(key);
        }
        news
    }

    fn update(&mut self, key: &K, change: impl FnOnce(&mut Entry<V>)) {
        if let Some(entry) = self.entries.get_mut(key) {
            self.stats.subtract(entry.weight());
            change(entry);
            self.stats.add(entry.weight());
        }
    }
}

#[cfg(test)]
mod tests;
