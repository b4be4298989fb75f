// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of one family: every path of every prefix, judged.

use std::collections::VecDeque;
use std::hash::Hash;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::adj_in::{Path, PathState, SourceId};
use super::decision::{Candidate, SourceInfo, decide};
use crate::reason::RejectReason;
use crate::types::{Family, Prefix, Prefix4, Prefix6};

#[cfg(test)]
mod tests;

/// Paths of one source in one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Paths the source sent.
    pub(crate) received: usize,
    /// Of these, those the import filter let in.
    pub(crate) accepted: usize,
}

#[derive(Debug, Default)]
struct Entry {
    paths: SmallVec<[Path; 1]>,
    /// In the dirty queue.
    dirty: bool,
}

/// All paths of one family.
#[derive(Debug)]
pub(crate) struct LocRib<K> {
    entries: FxHashMap<K, Entry>,
    dirty: VecDeque<K>,
    /// By peer slot.
    counts: Vec<Counts>,
}

impl<K> Default for LocRib<K> {
    fn default() -> Self {
        Self { entries: FxHashMap::default(), dirty: VecDeque::new(), counts: Vec::new() }
    }
}

impl<K: Copy + Eq + Hash> LocRib<K> {
    /// Puts a path in place of the source's former one; false when nothing changed.
    pub(crate) fn insert(&mut self, key: K, path: Path) -> bool {
        let source = path.source;
        let accepted = path.is_accepted();
        let entry = self.entries.entry(key).or_default();
        let was_accepted = match entry.paths.iter_mut().find(|known| known.source == source) {
            Some(known) => {
                let same_import = match (known.state, path.state) {
                    (PathState::Rejected(before), PathState::Rejected(after)) => before == after,
                    (PathState::Rejected(_), _) | (_, PathState::Rejected(_)) => false,
                    _ => true,
                };
                if same_import && Arc::ptr_eq(&known.attrs, &path.attrs) {
                    return false;
                }
                let was_accepted = known.is_accepted();
                *known = path;
                count(&mut self.counts, source, |counts| {
                    counts.accepted -= usize::from(was_accepted);
                });
                was_accepted
            }
            None => {
                entry.paths.push(path);
                count(&mut self.counts, source, |counts| counts.received += 1);
                false
            }
        };
        count(&mut self.counts, source, |counts| counts.accepted += usize::from(accepted));
        // A path that was and is refused concerns no decision.
        if accepted || was_accepted {
            mark(&mut self.dirty, key, entry);
        }
        true
    }

    /// Takes the source's path away; false when there was none.
    pub(crate) fn remove(&mut self, key: K, source: SourceId) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        let Some(index) = entry.paths.iter().position(|path| path.source == source) else {
            return false;
        };
        let path = entry.paths.swap_remove(index);
        let accepted = path.is_accepted();
        count(&mut self.counts, source, |counts| {
            counts.received -= 1;
            counts.accepted -= usize::from(accepted);
        });
        if accepted {
            mark(&mut self.dirty, key, entry);
        }
        if entry.paths.is_empty() && !entry.dirty {
            self.entries.remove(&key);
        }
        true
    }

    /// Takes every path of the source away: its session has ended. O(table).
    pub(crate) fn remove_source(&mut self, source: SourceId) {
        let Self { entries, dirty, counts } = self;
        entries.retain(|key, entry| {
            if let Some(index) = entry.paths.iter().position(|path| path.source == source)
                && entry.paths.swap_remove(index).is_accepted()
            {
                mark(dirty, *key, entry);
            }
            !entry.paths.is_empty() || entry.dirty
        });
        count(counts, source, |counts| *counts = Counts::default());
    }

    /// Judges every learned path again after the import rules changed. O(table).
    pub(crate) fn reimport(&mut self, check: impl Fn(K, &Path) -> Result<(), RejectReason>) {
        let Self { entries, dirty, counts } = self;
        for (key, entry) in entries {
            let mut changed = false;
            for path in &mut entry.paths {
                let verdict = check(*key, path);
                let before = path.is_accepted();
                match verdict {
                    Err(reason) => path.state = PathState::Rejected(reason),
                    Ok(()) if before => continue,
                    Ok(()) => path.state = PathState::Undecided,
                }
                changed |= before != path.is_accepted();
                let after = usize::from(path.is_accepted());
                count(counts, path.source, |counts| {
                    counts.accepted = counts.accepted + after - usize::from(before);
                });
            }
            if changed {
                mark(dirty, *key, entry);
            }
        }
    }

    /// Takes the prefix that waits longest for its decision and decides it.
    ///
    /// The paths are left in an order where winners come first, best first.
    pub(crate) fn decide_next(
        &mut self,
        max_paths: usize,
        source: impl Fn(SourceId) -> SourceInfo,
    ) -> Option<K> {
        let key = self.dirty.pop_front()?;
        let Some(entry) = self.entries.get_mut(&key) else { return Some(key) };
        entry.dirty = false;
        if entry.paths.is_empty() {
            self.entries.remove(&key);
            return Some(key);
        }
        judge(&mut entry.paths, max_paths, source);
        Some(key)
    }

    /// The paths of a prefix; winners first, best first, if it is decided.
    pub(crate) fn paths(&self, key: K) -> &[Path] {
        self.entries.get(&key).map(|entry| entry.paths.as_slice()).unwrap_or_default()
    }

    /// Every prefix with its paths, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &[Path])> {
        self.entries.iter().map(|(key, entry)| (*key, entry.paths.as_slice()))
    }

    /// Marks every prefix for a new decision. O(table).
    pub(crate) fn mark_all(&mut self) {
        for (key, entry) in &mut self.entries {
            mark(&mut self.dirty, *key, entry);
        }
    }

    /// Prefixes waiting for a decision.
    pub(crate) fn pending(&self) -> usize {
        self.dirty.len()
    }

    /// Prefixes with a path.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What the source has in this table.
    pub(crate) fn counts(&self, source: SourceId) -> Counts {
        source.slot().and_then(|slot| self.counts.get(slot)).copied().unwrap_or_default()
    }
}

/// Decides one prefix and orders its paths: winners first, best first.
fn judge(paths: &mut [Path], max_paths: usize, source: impl Fn(SourceId) -> SourceInfo) {
    let accepted: SmallVec<[usize; 4]> =
        (0..paths.len()).filter(|&index| paths[index].is_accepted()).collect();
    let decision = {
        let candidate = |&index: &usize| Candidate {
            attrs: &paths[index].attrs,
            source: source(paths[index].source),
        };
        let candidates: SmallVec<[Candidate<'_>; 4]> = accepted.iter().map(candidate).collect();
        decide(&candidates, max_paths)
    };
    for (&index, verdict) in accepted.iter().zip(&decision.verdicts) {
        paths[index].state = PathState::Decided(*verdict);
    }
    let rank: SmallVec<[SourceId; 4]> =
        decision.winners.iter().map(|&winner| paths[accepted[winner]].source).collect();
    paths.sort_by_key(|path| {
        let position = rank.iter().position(|source| *source == path.source);
        (position.unwrap_or(usize::MAX), path.source)
    });
}

fn mark<K: Copy>(dirty: &mut VecDeque<K>, key: K, entry: &mut Entry) {
    if !entry.dirty {
        entry.dirty = true;
        dirty.push_back(key);
    }
}

fn count(counts: &mut Vec<Counts>, source: SourceId, change: impl FnOnce(&mut Counts)) {
    let Some(slot) = source.slot() else { return };
    if counts.len() <= slot {
        counts.resize(slot + 1, Counts::default());
    }
    change(&mut counts[slot]);
}

/// The tables of both families behind one interface.
#[derive(Debug, Default)]
pub(crate) struct Rib {
    v4: LocRib<Prefix4>,
    v6: LocRib<Prefix6>,
    /// The family whose turn it is to be decided.
    v6_next: bool,
}

impl Rib {
    /// See [`LocRib::insert`].
    pub(crate) fn insert(&mut self, prefix: Prefix, path: Path) -> bool {
        match prefix {
            Prefix::V4(key) => self.v4.insert(key, path),
            Prefix::V6(key) => self.v6.insert(key, path),
        }
    }

    /// See [`LocRib::remove`].
    pub(crate) fn remove(&mut self, prefix: Prefix, source: SourceId) -> bool {
        match prefix {
            Prefix::V4(key) => self.v4.remove(key, source),
            Prefix::V6(key) => self.v6.remove(key, source),
        }
    }

    /// See [`LocRib::remove_source`].
    pub(crate) fn remove_source(&mut self, source: SourceId) {
        self.v4.remove_source(source);
        self.v6.remove_source(source);
    }

    /// See [`LocRib::reimport`].
    pub(crate) fn reimport(&mut self, check: impl Fn(Prefix, &Path) -> Result<(), RejectReason>) {
        self.v4.reimport(|key, path| check(Prefix::V4(key), path));
        self.v6.reimport(|key, path| check(Prefix::V6(key), path));
    }

    /// See [`LocRib::decide_next`]; the families take turns, so neither can hold up the other.
    pub(crate) fn decide_next(
        &mut self,
        max_paths: usize,
        source: impl Fn(SourceId) -> SourceInfo,
    ) -> Option<Prefix> {
        self.v6_next = !self.v6_next;
        for v6 in [self.v6_next, !self.v6_next] {
            let decided = match v6 {
                false => self.v4.decide_next(max_paths, &source).map(Prefix::V4),
                true => self.v6.decide_next(max_paths, &source).map(Prefix::V6),
            };
            if decided.is_some() {
                return decided;
            }
        }
        None
    }

    /// See [`LocRib::paths`].
    pub(crate) fn paths(&self, prefix: Prefix) -> &[Path] {
        match prefix {
            Prefix::V4(key) => self.v4.paths(key),
            Prefix::V6(key) => self.v6.paths(key),
        }
    }

    /// Every prefix with its paths, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Prefix, &[Path])> {
        let v4 = self.v4.iter().map(|(key, paths)| (Prefix::V4(key), paths));
        v4.chain(self.v6.iter().map(|(key, paths)| (Prefix::V6(key), paths)))
    }

    /// See [`LocRib::mark_all`].
    pub(crate) fn mark_all(&mut self) {
        self.v4.mark_all();
        self.v6.mark_all();
    }

    /// Prefixes waiting for a decision.
    pub(crate) fn pending(&self) -> usize {
        self.v4.pending() + self.v6.pending()
    }

    /// After so many decisions everything that waits now is decided, whatever comes meanwhile.
    pub(crate) fn backlog(&self) -> usize {
        2 * self.v4.pending().max(self.v6.pending())
    }

    /// Prefixes with a path.
    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// What the source has in the table of `family`.
    pub(crate) fn counts(&self, family: Family, source: SourceId) -> Counts {
        match family {
            Family::Ipv4Unicast => self.v4.counts(source),
            Family::Ipv6Unicast => self.v6.counts(source),
        }
    }
}
