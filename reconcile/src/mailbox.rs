// SPDX-License-Identifier: MIT OR Apache-2.0
//! Coalescing hand-over of the latest value per key.
//!
//! Between two tasks travels state, not a queue of events: a publication replaces an earlier one
//! of the same key that was not taken yet, in its place of the line. Memory is bounded by the
//! number of keys, a slow consumer only coalesces, and a key that is published over and over
//! cannot push others back.
//!
//! This is the one place of the crate with a lock; it is held for a few statements, never while
//! user code or an await runs.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "rt")]
use tokio::sync::Notify;

use crate::status::{Completeness, Revision};

/// The latest wish for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<V> {
    /// Revision of the publication.
    pub revision: Revision,
    /// The value, or `None` when the key is not wanted.
    pub value: Option<V>,
}

/// What a consumer takes from a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes<K, V> {
    /// Changed keys, in the order in which they were first published since the last take.
    pub entries: Vec<(K, Change<V>)>,
    /// Whether the source is complete, counting only what has been taken.
    pub completeness: Completeness,
}

impl<K, V> Default for Changes<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), completeness: Completeness::Loading }
    }
}

/// Shared handle of a mailbox; clones refer to the same box.
pub struct Mailbox<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    state: Mutex<State<K, V>>,
    #[cfg(feature = "rt")]
    notify: Notify,
}

struct State<K, V> {
    /// Waiting entries; the one at position `i` has ticket `first + i`.
    line: VecDeque<(K, Change<V>)>,
    first: u64,
    tickets: HashMap<K, u64>,
    completeness: Completeness,
    /// Completeness as told by the last take.
    told: Completeness,
}

impl<K, V> Clone for Mailbox<K, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, V> Default for Mailbox<K, V> {
    fn default() -> Self {
        let state = State {
            line: VecDeque::new(),
            first: 0,
            tickets: HashMap::new(),
            completeness: Completeness::Loading,
            told: Completeness::Loading,
        };
        let shared = Shared {
            state: Mutex::new(state),
            #[cfg(feature = "rt")]
            notify: Notify::new(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl<K, V> std::fmt::Debug for Mailbox<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("len", &self.lock().line.len()).finish_non_exhaustive()
    }
}

impl<K, V> Mailbox<K, V> {
    /// An empty mailbox whose source is loading.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says whether the source has published everything it knows.
    ///
    /// Call it after the last publication of the initial state.
    pub fn set_completeness(&self, completeness: Completeness) {
        self.lock().completeness = completeness;
        self.wake();
    }

    /// Whether no key is waiting.
    pub fn is_empty(&self) -> bool {
        self.lock().line.is_empty()
    }

    /// Number of keys waiting.
    pub fn len(&self) -> usize {
        self.lock().line.len()
    }

    /// Waits until a key is waiting or the completeness differs from the one last taken.
    ///
    /// Returns at once if that holds already. Cancel-safe: nothing is taken, a wake-up is never
    /// lost.
    #[cfg(feature = "rt")]
    pub async fn changed(&self) {
        loop {
            // It counts from its creation: a publication after the look is not missed.
            let notified = self.shared.notify.notified();
            if self.lock().has_news() {
                return;
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        // No user code runs under the lock except `Hash` and `Eq` of the key, and each statement
        // leaves the state usable: a poisoned lock carries no broken state.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        #[cfg(feature = "rt")]
        self.shared.notify.notify_waiters();
    }
}

impl<K: Hash + Eq + Clone, V> Mailbox<K, V> {
    /// Publishes the latest value of a key; `None` says that the key is not wanted.
    pub fn publish(&self, key: K, value: Option<V>, revision: Revision) {
        let replaced = self.lock().put(key, Change { revision, value });
        // What was replaced is dropped outside the lock: its destructor may be slow.
        drop(replaced);
        self.wake();
    }

    /// Takes all that is waiting.
    pub fn take(&self) -> Changes<K, V> {
        let mut state = self.lock();
        let line = std::mem::take(&mut state.line);
        let tickets = std::mem::take(&mut state.tickets);
        let completeness = state.tell();
        drop(state);
        drop(tickets);
        Changes { entries: line.into(), completeness }
    }

    /// Takes at most `limit` keys, those that wait longest first.
    ///
    /// As long as keys stay behind, a completeness that was not told before is not told either:
    /// the keys still in the box belong to it.
    pub fn take_up_to(&self, limit: usize) -> Changes<K, V> {
        let mut state = self.lock();
        let count = limit.min(state.line.len());
        let entries: Vec<_> = state.line.drain(..count).collect();
        for (key, _) in &entries {
            state.tickets.remove(key);
        }
        // usize always fits into u64 on the platforms we build for; a wrap would only mix tickets.
        state.first = state.first.wrapping_add(count as u64);
        let completeness = state.tell();
        drop(state);
        Changes { entries, completeness }
    }
}

impl<K, V> State<K, V> {
    #[cfg(feature = "rt")]
    fn has_news(&self) -> bool {
        !self.line.is_empty() || self.completeness != self.told
    }

    /// The completeness to tell after a take.
    fn tell(&mut self) -> Completeness {
        if self.line.is_empty() || self.completeness == Completeness::Loading {
            self.told = self.completeness;
        }
        self.told
    }
}

impl<K: Hash + Eq + Clone, V> State<K, V> {
    fn put(&mut self, key: K, change: Change<V>) -> Option<Change<V>> {
        if let Some(ticket) = self.tickets.get(&key) {
            let place = usize::try_from(ticket.wrapping_sub(self.first)).ok();
            if let Some((_, waiting)) = place.and_then(|place| self.line.get_mut(place)) {
                return Some(std::mem::replace(waiting, change));
            }
        }
        self.tickets.insert(key.clone(), self.first.wrapping_add(self.line.len() as u64));
        self.line.push_back((key, change));
        None
    }
}

#[cfg(test)]
mod tests;
