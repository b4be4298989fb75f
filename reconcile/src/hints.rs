// SPDX-License-Identifier: MIT OR Apache-2.0
//! Coalescing drift hints from a monitor to a reconciler.
//!
//! Kernel events are hints, never the truth: they may be lost, late or doubled. A hint therefore
//! carries no value, only where to look again; hints of the same key coalesce.

use std::hash::Hash;

use crate::mailbox::Mailbox;
use crate::status::{Drift, Revision};

/// From here on a dump is cheaper than looking at the keys one by one.
const MANY: usize = 4096;

/// Shared handle of a box of hints; clones refer to the same box.
///
/// A monitor must not hint at the reconciler's own writes (netlink notifications carry the port of
/// the writer): a hint about a known key leads to a write, and that write to the next event.
pub struct Hints<K> {
    /// `None` stands for [`Drift::All`].
    inner: Mailbox<Option<K>, ()>,
}

impl<K> Clone for Hints<K> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<K> Default for Hints<K> {
    fn default() -> Self {
        Self { inner: Mailbox::new() }
    }
}

impl<K> std::fmt::Debug for Hints<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hints").field("len", &self.inner.len()).finish_non_exhaustive()
    }
}

impl<K> Hints<K> {
    /// An empty box.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether no hint is waiting.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Waits until a hint is there; returns at once if one is. Cancel-safe.
    #[cfg(feature = "rt")]
    pub async fn changed(&self) {
        self.inner.changed().await;
    }
}

impl<K: Hash + Eq + Clone> Hints<K> {
    /// Adds a hint. Very many waiting keys become one [`Drift::All`].
    pub fn hint(&self, drift: Drift<K>) {
        let key = match drift {
            Drift::Key(key) if self.inner.len() < MANY => Some(key),
            Drift::Key(_) | Drift::All => {
                self.inner.take();
                None
            }
        };
        self.inner.publish(key, Some(()), Revision::default());
    }

    /// Takes all hints; just [`Drift::All`] if that is among them.
    pub fn take(&self) -> Vec<Drift<K>> {
        let keys = self.inner.take().entries.into_iter().map(|(key, _)| key);
        keys.map(|key| key.map(Drift::Key))
            .collect::<Option<Vec<_>>>()
            .unwrap_or_else(|| vec![Drift::All])
    }
}

#[cfg(test)]
mod tests;
