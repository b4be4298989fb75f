// SPDX-License-Identifier: MIT OR Apache-2.0
//! Path attributes as far as this speaker uses them, and their interning.
//!
//! A plain node passes no learned path on, so it keeps only what its decision process, its
//! loop checks and its operator look at; everything else is gone before it costs memory.
//! Equal sets are one allocation: a full table has a hundred times fewer sets than prefixes.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::types::{BgpId, Community, LargeCommunity};
use crate::wire::{AsPath, Attributes, CommunitySet, NextHop, Origin};

/// LOCAL_PREF of a path that carries none.
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

/// The attributes of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AttrSet {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH.
    pub as_path: AsPath,
    /// Where packets go; absent for what this node originates.
    pub next_hop: Option<IpAddr>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF, of internal paths only.
    pub local_pref: Option<u32>,
    /// COMMUNITIES.
    pub communities: CommunitySet<Community>,
    /// LARGE_COMMUNITY.
    pub large_communities: CommunitySet<LargeCommunity>,
    /// ORIGINATOR_ID: who brought a reflected path into our AS (RFC 4456 §8).
    pub originator_id: Option<BgpId>,
    /// Length of CLUSTER_LIST: how often the path was reflected.
    pub cluster_list_len: u8,
}

impl AttrSet {
    /// What this speaker keeps of the attributes in an UPDATE.
    pub(crate) fn learned(attrs: &Attributes, next_hop: NextHop) -> Self {
        Self {
            origin: attrs.origin,
            as_path: attrs.as_path.clone(),
            next_hop: Some(next_hop.address()),
            med: attrs.med,
            local_pref: attrs.local_pref,
            communities: attrs.communities.standard.clone(),
            large_communities: attrs.communities.large.clone(),
            originator_id: attrs.reflection.originator_id,
            cluster_list_len: u8::try_from(attrs.reflection.cluster_list.len()).unwrap_or(u8::MAX),
        }
    }

    /// LOCAL_PREF as the decision sees it.
    pub fn effective_local_pref(&self) -> u32 {
        self.local_pref.unwrap_or(DEFAULT_LOCAL_PREF)
    }
}

/// One allocation per distinct attribute set.
///
/// The interner holds a reference of its own; sets that nobody else refers to are dropped in a
/// sweep whenever the table has doubled since the last one, so it is never larger than twice
/// what is in use (plus a constant), at constant cost per set.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    sets: HashSet<Arc<AttrSet>>,
    sweep_at: usize,
}

impl Interner {
    const SWEEP_MIN: usize = 1024;

    /// The shared allocation equal to `set`.
    pub(crate) fn intern(&mut self, set: AttrSet) -> Arc<AttrSet> {
        if let Some(known) = self.sets.get(&set) {
            return Arc::clone(known);
        }
        if self.sets.len() >= self.sweep_at.max(Self::SWEEP_MIN) {
            self.sets.retain(|set| Arc::strong_count(set) > 1);
            self.sweep_at = self.sets.len() * 2;
        }
        let set = Arc::new(set);
        self.sets.insert(Arc::clone(&set));
        set
    }

    /// Number of sets held.
    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(med: u32) -> AttrSet {
        AttrSet { med: Some(med), ..AttrSet::default() }
    }

    #[test]
    fn equal_sets_share_one_allocation() {
        let mut interner = Interner::default();
        let (a, b) = (interner.intern(set(1)), interner.intern(set(1)));
        assert!(Arc::ptr_eq(&a, &b));
        assert_eq!(interner.len(), 1);
    }

    #[test]
    fn unused_sets_do_not_pile_up() {
        let mut interner = Interner::default();
        let kept: Vec<_> = (0..10).map(|med| interner.intern(set(med))).collect();
        for med in 0..100_000 {
            drop(interner.intern(set(med)));
        }
        assert!(interner.len() <= 2 * Interner::SWEEP_MIN, "{} sets", interner.len());
        assert!(kept.iter().all(|set| Arc::ptr_eq(set, &interner.intern((**set).clone()))));
    }
}
