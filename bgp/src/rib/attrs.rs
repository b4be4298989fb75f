// SPDX-License-Identifier: MIT OR Apache-2.0
//! Path attributes as far as this speaker uses them, and their interning.
//!
//! A plain node passes no learned path on, so it keeps only what its decision process, its
//! loop checks and its operator look at; everything else is gone before it costs memory. A
//! speaker that passes paths on keeps that as well, in [`Extra`].
//! Equal sets are one allocation: a full table has a hundred times fewer sets than prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hashbrown::HashSet;

use crate::types::{BgpId, Community, ExtCommunity, LargeCommunity};
use crate::wire::{
    Aggregator, AsPath, Attributes, Communities, CommunitySet, NextHop, Origin, Partial,
    Reflection, UnknownAttrs,
};

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
    /// What only those need who pass the path on; absent if there is none of it.
    pub extra: Option<Box<Extra>>,
}

/// Attributes that play no role for a node itself, kept to be passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Extra {
    /// The link-local next hop beside the global one (RFC 2545 §3).
    pub link_local: Option<Ipv6Addr>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// Extended communities.
    pub ext_communities: CommunitySet<ExtCommunity>,
    /// CLUSTER_LIST: the reflectors it passed, latest first.
    pub cluster_list: Box<[Ipv4Addr]>,
    /// Transitive attributes that we do not know.
    pub unknown: UnknownAttrs,
    /// Which known attributes somebody on the way did not know.
    pub partial: Partial,
}

impl AttrSet {
    /// What this speaker keeps of the attributes in an UPDATE; all of them if it `passes_on`.
    pub(crate) fn learned(attrs: Attributes, next_hop: NextHop, passes_on: bool) -> Self {
        let cluster_list_len = u8::try_from(attrs.reflection.cluster_list.len()).unwrap_or(u8::MAX);
        let extra = passes_on.then_some(Extra {
            link_local: match next_hop {
                NextHop::V6Pair { link_local, .. } => Some(link_local),
                NextHop::V4(_) | NextHop::V6(_) => None,
            },
            atomic_aggregate: attrs.atomic_aggregate,
            aggregator: attrs.aggregator,
            ext_communities: attrs.communities.extended,
            cluster_list: attrs.reflection.cluster_list,
            unknown: attrs.unknown,
            partial: attrs.partial,
        });
        Self {
            origin: attrs.origin,
            as_path: attrs.as_path,
            next_hop: Some(next_hop.address()),
            med: attrs.med,
            local_pref: attrs.local_pref,
            communities: attrs.communities.standard,
            large_communities: attrs.communities.large,
            originator_id: attrs.reflection.originator_id,
            cluster_list_len,
            extra: extra.filter(|extra| *extra != Extra::default()).map(Box::new),
        }
    }

    /// The attributes as they are written.
    pub(crate) fn to_wire(&self) -> Attributes {
        let extra = self.extra.as_deref().cloned().unwrap_or_default();
        let next_hop = self.next_hop.map(|hop| match (hop, extra.link_local) {
            (IpAddr::V4(v4), _) => NextHop::V4(v4),
            (IpAddr::V6(global), Some(link_local)) => NextHop::V6Pair { global, link_local },
            (IpAddr::V6(v6), None) => NextHop::V6(v6),
        });
        Attributes {
            origin: self.origin,
            as_path: self.as_path.clone(),
            next_hop,
            med: self.med,
            local_pref: self.local_pref,
            atomic_aggregate: extra.atomic_aggregate,
            aggregator: extra.aggregator,
            communities: Communities {
                standard: self.communities.clone(),
                extended: extra.ext_communities,
                large: self.large_communities.clone(),
            },
            reflection: Reflection {
                originator_id: self.originator_id,
                cluster_list: extra.cluster_list,
            },
            unknown: extra.unknown,
            partial: extra.partial,
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
