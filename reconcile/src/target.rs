// SPDX-License-Identifier: MIT OR Apache-2.0
//! The effect seam: where desired state meets the world.

use crate::status::{Failure, Outcome};

/// Writes to be made together: at most as many as the driver's batch limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<K, V> {
    /// Keys to create or replace, by ascending rank.
    pub puts: Vec<(K, V)>,
    /// Keys to remove, by descending rank; to be done after the puts.
    pub deletes: Vec<K>,
}

impl<K, V> Default for Batch<K, V> {
    fn default() -> Self {
        Self { puts: Vec::new(), deletes: Vec::new() }
    }
}

impl<K, V> Batch<K, V> {
    /// Number of writes.
    pub fn len(&self) -> usize {
        self.puts.len() + self.deletes.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.deletes.is_empty()
    }
}

/// A subsystem that can be read back and written: the only place with effects.
///
/// Keys are the subsystem's own keys, so that no alias hides; what identifies the object beyond
/// the key belongs into the value, so that it is seen as a change.
pub trait Target {
    /// Identity of an object.
    type Key;
    /// What the object shall look like; two equal values need no write.
    type Value;

    /// Reads everything that carries our ownership mark.
    ///
    /// # Errors
    /// The driver asks again after a backoff, whatever the kind.
    #[expect(clippy::type_complexity, reason = "a dump is a list of pairs; a name would hide it")]
    fn dump(&mut self) -> Result<Vec<(Self::Key, Self::Value)>, Failure>;

    /// Writes a batch and says for each key what became of it.
    ///
    /// Puts are idempotent. A delete of an absent object is [`Outcome::Applied`]. A key without an
    /// outcome counts as failed and is tried again.
    fn apply(&mut self, batch: &Batch<Self::Key, Self::Value>) -> Vec<(Self::Key, Outcome)>;

    /// Order of writes: puts ascending (parents first), deletes descending (children first).
    ///
    /// Few distinct values; constant per key.
    fn rank(&self, key: &Self::Key) -> u32 {
        let _ = key;
        0
    }
}
