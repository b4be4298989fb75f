// SPDX-License-Identifier: MIT OR Apache-2.0
//! A seeded hasher: maps iterate in the same order for the same seed (a simulation replays), while
//! an outsider who does not know the seed cannot choose keys that collide.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, DefaultHasher, Hasher};

/// A map with a seeded hasher.
pub(crate) type Map<K, V> = HashMap<K, V, Seeded>;
/// A set with a seeded hasher.
pub(crate) type Set<K> = HashSet<K, Seeded>;

/// Builds hashers from a seed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seeded(pub(crate) u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}
