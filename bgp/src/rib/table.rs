// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table of one family: every path of every prefix, judged.
//!
//! A *destination* is a prefix with its paths. It has a small number that stays the same while
//! anybody needs it: while it has paths, waits for its decision, or an update group has said
//! something about it that is to be taken back ([`Table::hold`]). So whatever concerns many
//! destinations is a set of bits, and finding one by its prefix is done once per message.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;

use super::adj_in::{Path, PathState, SourceId};
use super::decision::{Candidate, SourceInfo, Step, Verdict, decide};
use super::paths::Paths;
use super::slab::Slab;
use crate::reason::RejectReason;
use crate::types::{Prefix4, Prefix6};

#[cfg(test)]
mod tests;

/// Number of a destination.
pub(crate) type DestId = u32;

/// A prefix of one family.
pub(crate) trait Key: Copy + Eq {
    /// The bits that count, as a number, and how many they are.
    fn number(self) -> (u128, u8);
}

impl Key for Prefix4 {
    fn number(self) -> (u128, u8) {
        let len = self.prefix_len();
        (u128::from(self.bits()) >> (32 - len), len)
    }
}

impl Key for Prefix6 {
    fn number(self) -> (u128, u8) {
        let len = self.prefix_len();
        (self.bits().checked_shr(128 - u32::from(len)).unwrap_or(0), len)
    }
}

/// Paths of one source in one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Paths the source sent.
    pub(crate) received: usize,
    /// Of these, those the import filter let in.
    pub(crate) accepted: usize,
}

/// What a destination has to do with the queue of those that wait for their decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// Not in it.
    No,
    /// In it.
    Dirty,
    /// In it without need: it was decided out of turn.
    Decided,
}

#[derive(Debug)]
struct Dest<K> {
    key: K,
    wait: Wait,
    /// Update groups that know of it.
    held: u16,
    paths: Paths,
}

impl<K> Dest<K> {
    fn is_needed(&self) -> bool {
        self.wait != Wait::No || self.held > 0 || !self.paths.is_empty()
    }
}

/// A decided destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided<K> {
    pub(crate) id: DestId,
    pub(crate) key: K,
    /// Another path than before is the best, or none is.
    pub(crate) best_changed: bool,
}

impl<K> Decided<K> {
    pub(crate) fn map<T>(self, change: impl FnOnce(K) -> T) -> Decided<T> {
        let Self { id, key, best_changed } = self;
        Decided { id, key: change(key), best_changed }
    }
}

/// All paths of one family.
#[derive(Debug)]
pub(crate) struct Table<K> {
    index: HashTable<DestId>,
    /// Seeded: a peer cannot choose prefixes that collide.
    hasher: DefaultHashBuilder,
    dests: Slab<Dest<K>>,
    dirty: VecDeque<DestId>,
    /// By peer slot.
    counts: Vec<Counts>,
    /// Destinations with a path.
    len: usize,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            dests: Slab::default(),
            dirty: VecDeque::new(),
            counts: Vec::new(),
            len: 0,
        }
    }
}

impl<K: Key> Table<K> {
    /// Puts a path in place of the source's former one with the same identifier; false when
    /// nothing changed.
    pub(crate) fn insert(&mut self, key: K, path: Path) -> bool {
        let Some(id) = self.intern(key) else { return false };
        let Self { dests, dirty, counts, len, .. } = self;
        let Some(dest) = dests.get_mut(id) else { return false };
        let source = path.source;
        let accepted = path.is_accepted();
        let known = dest.paths.as_mut_slice().iter_mut().find(|known| known.is_same(&path));
        let was_accepted = match known {
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
                count(counts, source, |counts| counts.accepted -= usize::from(was_accepted));
                was_accepted
            }
            None => {
                *len += usize::from(dest.paths.is_empty());
                dest.paths.push(path);
                count(counts, source, |counts| counts.received += 1);
                false
            }
        };
        count(counts, source, |counts| counts.accepted += usize::from(accepted));
        // A path that was and is refused concerns no decision.
        if accepted || was_accepted {
            mark(dirty, id, dest);
        }
        true
    }

    /// Takes a path of the source away; false when there was none.
    pub(crate) fn remove(&mut self, key: K, source: SourceId, path_id: u32) -> bool {
        let Some(id) = self.find(key) else { return false };
        let Some(dest) = self.dests.get_mut(id) else { return false };
        let is_it = |path: &Path| path.source == source && path.path_id == path_id;
        let Some(index) = dest.paths.as_slice().iter().position(is_it) else { return false };
        take(dest, id, index, &mut self.dirty, &mut self.counts);
        self.len -= usize::from(dest.paths.is_empty());
        self.release_unneeded(id);
        true
    }

    /// Takes every path of the source away: its session has ended. O(table).
    pub(crate) fn remove_source(&mut self, source: SourceId) {
        for id in 0..self.dests.bound() {
            let Some(dest) = self.dests.get_mut(id) else { continue };
            let mut any = false;
            while let Some(index) = dest.paths.as_slice().iter().position(|p| p.source == source) {
                take(dest, id, index, &mut self.dirty, &mut self.counts);
                any = true;
            }
            if any {
                self.len -= usize::from(dest.paths.is_empty());
                self.release_unneeded(id);
            }
        }
        count(&mut self.counts, source, |counts| *counts = Counts::default());
    }

    /// Judges every learned path again after the import rules changed. O(table).
    pub(crate) fn reimport(&mut self, check: impl Fn(K, &Path) -> Result<(), RejectReason>) {
        let Self { dests, dirty, counts, .. } = self;
        for id in 0..dests.bound() {
            let Some(dest) = dests.get_mut(id) else { continue };
            let mut changed = false;
            for path in dest.paths.as_mut_slice() {
                let verdict = check(dest.key, path);
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
                mark(dirty, id, dest);
            }
        }
    }

    /// Takes the destination that waits longest for its decision and decides it.
    ///
    /// The paths are left in an order where winners come first, best first.
    pub(crate) fn decide_next(
        &mut self,
        max_paths: usize,
        source: impl Fn(SourceId) -> SourceInfo,
    ) -> Option<Decided<K>> {
        loop {
            let id = self.dirty.pop_front()?;
            let Some(dest) = self.dests.get_mut(id) else { continue };
            let is_dirty = dest.wait == Wait::Dirty;
            dest.wait = Wait::No;
            if is_dirty {
                return self.decide_now(id, max_paths, &source);
            }
            self.release_unneeded(id);
        }
    }

    /// Decides a destination now if it waits for its decision.
    pub(crate) fn decide(
        &mut self,
        id: DestId,
        max_paths: usize,
        source: impl Fn(SourceId) -> SourceInfo,
    ) -> Option<Decided<K>> {
        let dest = self.dests.get_mut(id).filter(|dest| dest.wait == Wait::Dirty)?;
        dest.wait = Wait::Decided;
        self.decide_now(id, max_paths, source)
    }

    fn decide_now(
        &mut self,
        id: DestId,
        max_paths: usize,
        source: impl Fn(SourceId) -> SourceInfo,
    ) -> Option<Decided<K>> {
        let dest = self.dests.get_mut(id)?;
        let key = dest.key;
        let identity = |path: &Path| (path.source, path.path_id, Arc::as_ptr(&path.attrs));
        let before = best(dest.paths.as_slice()).map(identity);
        judge(dest.paths.as_mut_slice(), max_paths, source);
        let after = best(dest.paths.as_slice()).map(identity);
        self.release_unneeded(id);
        Some(Decided { id, key, best_changed: before.is_none() || before != after })
    }

    /// The number of a destination.
    pub(crate) fn find(&self, key: K) -> Option<DestId> {
        let is_it = |id: &DestId| self.dests.get(*id).is_some_and(|dest| dest.key == key);
        self.index.find(place(&self.hasher, key), is_it).copied()
    }

    /// The prefix of a destination.
    pub(crate) fn key(&self, id: DestId) -> Option<K> {
        self.dests.get(id).map(|dest| dest.key)
    }

    /// The best path of a destination, if it is decided.
    pub(crate) fn best(&self, id: DestId) -> Option<&Path> {
        best(self.dests.get(id)?.paths.as_slice())
    }

    /// An update group knows of the destination: its number stays until [`Self::release`].
    pub(crate) fn hold(&mut self, id: DestId) {
        if let Some(dest) = self.dests.get_mut(id) {
            dest.held += 1;
        }
    }

    /// An update group has nothing to say or take back any more.
    pub(crate) fn release(&mut self, id: DestId) {
        if let Some(dest) = self.dests.get_mut(id) {
            dest.held -= 1;
            self.release_unneeded(id);
        }
    }

    /// The paths of a destination; winners first, best first, if it is decided.
    pub(crate) fn paths_of(&self, id: DestId) -> &[Path] {
        self.dests.get(id).map(|dest| dest.paths.as_slice()).unwrap_or_default()
    }

    /// The paths of a prefix; winners first, best first, if it is decided.
    pub(crate) fn paths(&self, key: K) -> &[Path] {
        self.find(key).map(|id| self.paths_of(id)).unwrap_or_default()
    }

    /// Every prefix with paths, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &[Path])> {
        let all = self.dests.iter().map(|(_, dest)| (dest.key, dest.paths.as_slice()));
        all.filter(|(_, paths)| !paths.is_empty())
    }

    /// Every destination with a best path.
    pub(crate) fn bests(&self) -> impl Iterator<Item = (DestId, &Path)> {
        self.dests.iter().filter_map(|(id, dest)| Some((id, best(dest.paths.as_slice())?)))
    }

    /// Marks every prefix for a new decision. O(table).
    pub(crate) fn mark_all(&mut self) {
        for id in 0..self.dests.bound() {
            if let Some(dest) = self.dests.get_mut(id).filter(|dest| !dest.paths.is_empty()) {
                mark(&mut self.dirty, id, dest);
            }
        }
    }

    /// Prefixes waiting for a decision.
    pub(crate) fn pending(&self) -> usize {
        self.dirty.len()
    }

    /// Prefixes with a path.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What the source has in this table.
    pub(crate) fn counts(&self, source: SourceId) -> Counts {
        source.slot().and_then(|slot| self.counts.get(slot)).copied().unwrap_or_default()
    }

    /// The number of a prefix, a new one if need be; none when there are too many.
    fn intern(&mut self, key: K) -> Option<DestId> {
        let Self { index, dests, hasher, .. } = self;
        let is_it = |id: &DestId| dests.get(*id).is_some_and(|dest| dest.key == key);
        let rehash = |id: &DestId| dests.get(*id).map_or(0, |dest| place(hasher, dest.key));
        let vacant = match index.entry(place(hasher, key), is_it, rehash) {
            Entry::Occupied(known) => return Some(*known.get()),
            Entry::Vacant(vacant) => vacant,
        };
        let dest = Dest { key, wait: Wait::No, held: 0, paths: Paths::None };
        let id = dests.insert(dest).ok()?;
        vacant.insert(id);
        Some(id)
    }

    /// Frees the number of a destination that nobody needs.
    fn release_unneeded(&mut self, id: DestId) {
        let Self { index, dests, hasher, .. } = self;
        let Some(dest) = dests.get(id).filter(|dest| !dest.is_needed()) else { return };
        if let Ok(known) = index.find_entry(place(hasher, dest.key), |known| *known == id) {
            known.remove();
        }
        dests.remove(id);
        // Memory returns, at constant cost per prefix.
        if index.len() * 8 < index.capacity() && index.capacity() > 1024 {
            let rehash = |id: &DestId| dests.get(*id).map_or(0, |dest| place(hasher, dest.key));
            index.shrink_to(index.len() * 2, rehash);
        }
        if self.dirty.is_empty() && self.dirty.capacity() > 1024 {
            self.dirty = VecDeque::new();
        }
    }
}

/// Where a key is in the index: neighbouring prefixes lie side by side.
///
/// Tables come and go in runs of neighbours, and memory is read a line at a time; so only what is
/// common to sixteen neighbours is hashed, and the rest chooses the place among sixteen.
fn place<K: Key>(hasher: &DefaultHashBuilder, key: K) -> u64 {
    let (number, len) = key.number();
    let low = (number & 15) as u64;
    let block = hasher.hash_one((number >> 4, len)) & !15;
    // The upper bits tell entries of a line apart.
    block ^ low ^ (low << 57)
}

fn best(paths: &[Path]) -> Option<&Path> {
    // Where another path came in place of the best, the best is not decided yet.
    paths.first().filter(|path| matches!(path.verdict(), Some(Verdict::Best(_))))
}

/// Takes a path out of its destination.
fn take<K>(
    dest: &mut Dest<K>,
    id: DestId,
    index: usize,
    dirty: &mut VecDeque<DestId>,
    counts: &mut Vec<Counts>,
) {
    let Some(path) = dest.paths.swap_remove(index) else { return };
    let accepted = path.is_accepted();
    count(counts, path.source, |counts| {
        counts.received -= 1;
        counts.accepted -= usize::from(accepted);
    });
    if accepted {
        mark(dirty, id, dest);
    }
}

/// Decides one prefix and orders its paths: winners first, best first.
fn judge(paths: &mut [Path], max_paths: usize, source: impl Fn(SourceId) -> SourceInfo) {
    if let [path] = paths {
        if path.is_accepted() {
            path.state = PathState::Decided(Verdict::Best(Step::OnlyPath));
        }
        return;
    }
    let accepted: SmallVec<[usize; 4]> =
        (0..paths.len()).filter(|&index| paths[index].is_accepted()).collect();
    let decision = {
        let candidate = |&index: &usize| Candidate {
            attrs: &paths[index].attrs,
            source: source(paths[index].source),
            path_id: paths[index].path_id,
        };
        let candidates: SmallVec<[Candidate<'_>; 4]> = accepted.iter().map(candidate).collect();
        decide(&candidates, max_paths)
    };
    for (&index, verdict) in accepted.iter().zip(&decision.verdicts) {
        paths[index].state = PathState::Decided(*verdict);
    }
    let name = |path: &Path| (path.source, path.path_id);
    let rank: SmallVec<[(SourceId, u32); 4]> =
        decision.winners.iter().map(|&winner| name(&paths[accepted[winner]])).collect();
    paths.sort_by_key(|path| {
        let position = rank.iter().position(|winner| *winner == name(path));
        (position.unwrap_or(usize::MAX), path.source, path.path_id)
    });
}

fn mark<K>(dirty: &mut VecDeque<DestId>, id: DestId, dest: &mut Dest<K>) {
    if dest.wait == Wait::No {
        dirty.push_back(id);
    }
    dest.wait = Wait::Dirty;
}

fn count(counts: &mut Vec<Counts>, source: SourceId, change: impl FnOnce(&mut Counts)) {
    let Some(slot) = source.slot() else { return };
    if counts.len() <= slot {
        counts.resize(slot + 1, Counts::default());
    }
    change(&mut counts[slot]);
}

const _: () = {
    // What a full table costs per prefix, besides its place in the index.
    assert!(size_of::<Option<Dest<Prefix4>>>() == 24);
    assert!(size_of::<Option<Dest<Prefix6>>>() == 40);
};
