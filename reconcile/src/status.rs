// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is said about a key: how new it is, whether its source is complete, and what became of it.

use std::fmt;

/// Monotone counter of input changes.
///
/// The producer of a mailbox raises it with every change; a [`Report`] names the revision that is
/// in force, so that a waiter knows whether its own change has been applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a source has delivered everything it knows.
///
/// As long as a source is loading, an object that nobody wants yet may still be wanted: nothing is
/// deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Completeness {
    /// More wishes may come; deletes are withheld.
    #[default]
    Loading,
    /// All wishes are known; what is not wanted may go.
    Complete,
}

/// What a failure means for the next decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// Try the key again after its own backoff.
    Retry,
    /// What is known about the target is not reliable any more: dump again.
    Resync,
    /// The parent of the object vanished; wait for a new publication or a drift hint.
    Gone,
    /// Trying the same value again is pointless; wait for another value.
    Fatal,
}

/// Why a write or a dump failed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The decision that follows.
    pub kind: FailureKind,
    /// For people: what happened.
    pub reason: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Failure {}

/// What became of one key of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target holds the value, or the key is absent after a delete.
    Applied,
    /// The target may or may not hold the value.
    Failed(Failure),
}

/// The state of one published change, for whoever waits for it.
///
/// Only keys that were published are reported; the removal of an object that nobody ever mentioned
/// (an orphan found by a dump) is not. Per key the revisions never decrease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report<K> {
    /// The key that was published.
    pub key: K,
    /// The revision that is in force (or that failed).
    pub revision: Revision,
    /// Applied, or why not.
    pub outcome: Outcome,
    /// Whether the change at this revision is a value (`true`) or a removal (`false`).
    pub present: bool,
}

/// A hint that the target changed behind our back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Drift<K> {
    /// This key may have changed.
    Key(K),
    /// Anything may have changed.
    All,
}
