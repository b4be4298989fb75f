// SPDX-License-Identifier: MIT OR Apache-2.0
//! The tables of both families behind one interface.

use super::adj_in::{Path, SourceId};
use super::decision::SourceInfo;
use super::table::{Counts, Decided, DestId, Table};
use crate::reason::RejectReason;
use crate::types::{Family, Prefix, Prefix4, Prefix6};

/// The tables of both families.
#[derive(Debug, Default)]
pub(crate) struct Rib {
    v4: Table<Prefix4>,
    v6: Table<Prefix6>,
    /// The family whose turn it is to be decided.
    v6_next: bool,
}

/// Asks the table of a family.
macro_rules! ask {
    ($rib:ident, $family:expr, $($call:tt)+) => {
        match $family {
            Family::Ipv4Unicast => $rib.v4.$($call)+,
            Family::Ipv6Unicast => $rib.v6.$($call)+,
        }
    };
}

/// Asks the table of a prefix, with the key of the prefix in it.
macro_rules! ask_for {
    ($rib:ident, $prefix:expr, $method:ident $(, $argument:expr)*) => {
        match $prefix {
            Prefix::V4(key) => $rib.v4.$method(key $(, $argument)*),
            Prefix::V6(key) => $rib.v6.$method(key $(, $argument)*),
        }
    };
}

impl Rib {
    /// See [`Table::insert`].
    pub(crate) fn insert(&mut self, prefix: Prefix, path: Path) -> bool {
        ask_for!(self, prefix, insert, path)
    }

    /// See [`Table::remove`].
    pub(crate) fn remove(&mut self, prefix: Prefix, source: SourceId, path_id: u32) -> bool {
        ask_for!(self, prefix, remove, source, path_id)
    }

    /// See [`Table::remove_source`].
    pub(crate) fn remove_source(&mut self, source: SourceId) {
        self.v4.remove_source(source);
        self.v6.remove_source(source);
    }

    /// See [`Table::reimport`].
    pub(crate) fn reimport(&mut self, check: impl Fn(Prefix, &Path) -> Result<(), RejectReason>) {
        self.v4.reimport(|key, path| check(Prefix::V4(key), path));
        self.v6.reimport(|key, path| check(Prefix::V6(key), path));
    }

    /// See [`Table::decide_next`]; the families take turns, so neither can hold up the other.
    pub(crate) fn decide_next(
        &mut self,
        max_paths: usize,
        source: impl Fn(SourceId) -> SourceInfo,
    ) -> Option<Decided<Prefix>> {
        self.v6_next = !self.v6_next;
        for v6 in [self.v6_next, !self.v6_next] {
            let decided = match v6 {
                false => self.v4.decide_next(max_paths, &source).map(|d| d.map(Prefix::V4)),
                true => self.v6.decide_next(max_paths, &source).map(|d| d.map(Prefix::V6)),
            };
            if decided.is_some() {
                return decided;
            }
        }
        None
    }

    /// Decides a prefix now, if it waits for its decision.
    pub(crate) fn decide(
        &mut self,
        prefix: Prefix,
        max_paths: usize,
        source: impl Fn(SourceId) -> SourceInfo,
    ) -> Option<Decided<Prefix>> {
        let id = self.find(prefix)?;
        match prefix {
            Prefix::V4(_) => self.v4.decide(id, max_paths, source).map(|d| d.map(Prefix::V4)),
            Prefix::V6(_) => self.v6.decide(id, max_paths, source).map(|d| d.map(Prefix::V6)),
        }
    }

    /// See [`Table::find`].
    pub(crate) fn find(&self, prefix: Prefix) -> Option<DestId> {
        ask_for!(self, prefix, find)
    }

    /// The prefix of a destination.
    pub(crate) fn prefix(&self, family: Family, id: DestId) -> Option<Prefix> {
        match family {
            Family::Ipv4Unicast => self.v4.key(id).map(Prefix::V4),
            Family::Ipv6Unicast => self.v6.key(id).map(Prefix::V6),
        }
    }

    /// See [`Table::best`].
    pub(crate) fn best(&self, family: Family, id: DestId) -> Option<&Path> {
        ask!(self, family, best(id))
    }

    /// See [`Table::bests`].
    pub(crate) fn bests(&self, family: Family) -> Box<dyn Iterator<Item = (DestId, &Path)> + '_> {
        match family {
            Family::Ipv4Unicast => Box::new(self.v4.bests()),
            Family::Ipv6Unicast => Box::new(self.v6.bests()),
        }
    }

    /// See [`Table::hold`].
    pub(crate) fn hold(&mut self, family: Family, id: DestId) {
        ask!(self, family, hold(id));
    }

    /// See [`Table::release`].
    pub(crate) fn release(&mut self, family: Family, id: DestId) {
        ask!(self, family, release(id));
    }

    /// See [`Table::paths`].
    pub(crate) fn paths(&self, prefix: Prefix) -> &[Path] {
        ask_for!(self, prefix, paths)
    }

    /// Every prefix with its paths, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Prefix, &[Path])> {
        let v4 = self.v4.iter().map(|(key, paths)| (Prefix::V4(key), paths));
        v4.chain(self.v6.iter().map(|(key, paths)| (Prefix::V6(key), paths)))
    }

    /// See [`Table::mark_all`].
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
        ask!(self, family, counts(source))
    }
}
