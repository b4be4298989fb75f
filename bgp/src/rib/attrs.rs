// SPDX-License-Identifier: MIT OR Apache-2.0
//! Path attributes as far as this speaker uses them, and their interning.
//!
//! A plain node passes no learned path on, so it keeps only what its decision process, its
//! loop checks and its operator look at; everything else is gone before it costs memory.
//! Equal sets are one allocation: a full table has a hundred times fewer sets than prefixes.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::types::{Asn, BgpId, Community, LargeCommunity};

/// LOCAL_PREF of a path that carries none.
pub(crate) const DEFAULT_LOCAL_PREF: u32 = 100;

/// ORIGIN (RFC 4271 §5.1.1), best first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Interior to the originating AS.
    #[default]
    Igp,
    /// Learned by EGP.
    Egp,
    /// Learned by other means.
    Incomplete,
}

impl Origin {
    /// Name as it appears in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Igp => "igp",
            Self::Egp => "egp",
            Self::Incomplete => "incomplete",
        }
    }
}

/// One segment of an AS_PATH.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathSegment {
    /// AS_SEQUENCE: in order, nearest first.
    Sequence(Box<[Asn]>),
    /// AS_SET: aggregated, without order.
    Set(Box<[Asn]>),
}

impl PathSegment {
    /// The AS numbers of the segment.
    pub fn asns(&self) -> &[Asn] {
        match self {
            Self::Sequence(asns) | Self::Set(asns) => asns,
        }
    }
}

/// AS_PATH (RFC 4271 §5.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsPath(Box<[PathSegment]>);

impl AsPath {
    /// A path of these segments.
    pub fn new(segments: Vec<PathSegment>) -> Self {
        Self(segments.into_boxed_slice())
    }

    /// A path that is one sequence; empty when `asns` is.
    pub fn sequence(asns: &[Asn]) -> Self {
        if asns.is_empty() {
            return Self::default();
        }
        Self(Box::new([PathSegment::Sequence(asns.into())]))
    }

    /// The segments, nearest first.
    pub fn segments(&self) -> &[PathSegment] {
        &self.0
    }

    /// Length for the decision: a set counts as one (RFC 4271 §9.1.2.2 a).
    pub fn decision_len(&self) -> usize {
        let count = |segment: &PathSegment| match segment {
            PathSegment::Sequence(asns) => asns.len(),
            PathSegment::Set(_) => 1,
        };
        self.0.iter().map(count).sum()
    }

    /// The AS the path was received from: the first of a leading sequence.
    pub fn neighbor(&self) -> Option<Asn> {
        match self.0.first() {
            Some(PathSegment::Sequence(asns)) => asns.first().copied(),
            Some(PathSegment::Set(_)) | None => None,
        }
    }

    /// True when `asn` is anywhere in the path.
    pub fn contains(&self, asn: Asn) -> bool {
        self.0.iter().any(|segment| segment.asns().contains(&asn))
    }
}

impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for segment in &self.0 {
            match segment {
                PathSegment::Sequence(asns) => {
                    for asn in asns {
                        write!(f, "{space}{asn}")?;
                        space = " ";
                    }
                }
                PathSegment::Set(asns) => {
                    write!(f, "{space}{{")?;
                    for (index, asn) in asns.iter().enumerate() {
                        write!(f, "{}{asn}", if index == 0 { "" } else { "," })?;
                    }
                    f.write_str("}")?;
                    space = " ";
                }
            }
        }
        Ok(())
    }
}

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
    /// COMMUNITIES, sorted.
    pub communities: Box<[Community]>,
    /// LARGE_COMMUNITY, sorted.
    pub large_communities: Box<[LargeCommunity]>,
    /// ORIGINATOR_ID: who brought a reflected path into our AS (RFC 4456 §8).
    pub originator_id: Option<BgpId>,
    /// Length of CLUSTER_LIST: how often the path was reflected.
    pub cluster_list_len: u8,
}

impl AttrSet {
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

    #[test]
    fn a_set_counts_as_one_hop_and_prints_in_braces() {
        let path = AsPath::new(vec![
            PathSegment::Sequence(Box::new([Asn(1), Asn(2)])),
            PathSegment::Set(Box::new([Asn(3), Asn(4)])),
        ]);
        assert_eq!(path.decision_len(), 3);
        assert_eq!(path.to_string(), "1 2 {3,4}");
        assert_eq!(path.neighbor(), Some(Asn(1)));
        assert!(path.contains(Asn(4)) && !path.contains(Asn(5)));
    }
}
