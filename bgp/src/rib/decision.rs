// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which paths of a prefix are used, and why the others are not.
//!
//! The decision process of RFC 4271 §9.1.2 as successive elimination. It looks at a *set* of
//! paths, never at two of them: MED is only comparable between paths of the same neighbouring
//! AS, so a pairwise "better than" would not be transitive and the winner would depend on the
//! order of arrival. Elimination depends on the set alone.
//!
//! | # | step | RFC |
//! |---|---|---|
//! | 0 | paths originated here | 4271 §9.1.1 (degree of preference, ours is highest) |
//! | 1 | highest LOCAL_PREF | 4271 §9.1.1 |
//! | 2 | shortest AS_PATH | 4271 §9.1.2.2 a |
//! | 3 | lowest ORIGIN | 4271 §9.1.2.2 b |
//! | 4 | lowest MED per neighbouring AS; a missing one is 0 | 4271 §9.1.2.2 c |
//! | 5 | external before internal | 4271 §9.1.2.2 d |
//! | – | lowest interior cost: every gateway is on a connected subnet, so all are equal | 4271 §9.1.2.2 e |
//! | 6 | lowest identifier of peer or originator | 4271 §9.1.2.2 f, 4456 §9 |
//! | 7 | shortest CLUSTER_LIST | 4456 §9 |
//! | 8 | lowest peer address, then lowest path identifier of the peer | 4271 §9.1.2.2 g |
//!
//! What is left before step 6 is equally good: these paths are used together (multipath), as
//! many as allowed and no next hop twice. Steps 6 to 8 rank them. Deviates: the neighbouring AS
//! of multipath paths may differ, because the two ToRs of a rack often have different numbers.

use std::cmp::Reverse;
use std::fmt;
use std::net::IpAddr;

use smallvec::SmallVec;

use super::attrs::AttrSet;
use crate::types::BgpId;

#[cfg(test)]
mod tests;

/// A step of the decision process; as a reason: the step that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// There was no other path.
    OnlyPath,
    /// Step 0: a path originated here exists.
    LocalOrigin,
    /// Step 1: highest LOCAL_PREF.
    LocalPref,
    /// Step 2: shortest AS_PATH.
    AsPathLength,
    /// Step 3: lowest ORIGIN.
    Origin,
    /// Step 4: lowest MED among paths of the same neighbouring AS.
    Med,
    /// Step 5: external before internal.
    External,
    /// Step 6: lowest BGP identifier.
    RouterId,
    /// Step 7: shortest CLUSTER_LIST.
    ClusterListLength,
    /// Step 8: lowest peer address.
    PeerAddress,
    /// Equally good, but a better ranked path has the same next hop.
    SameNextHop,
    /// Equally good, but enough paths are in use.
    MultipathLimit,
}

impl Step {
    /// Name as it appears in JSON, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnlyPath => "onlyPath",
            Self::LocalOrigin => "localOrigin",
            Self::LocalPref => "localPref",
            Self::AsPathLength => "asPathLength",
            Self::Origin => "origin",
            Self::Med => "med",
            Self::External => "external",
            Self::RouterId => "routerId",
            Self::ClusterListLength => "clusterListLength",
            Self::PeerAddress => "peerAddress",
            Self::SameNextHop => "sameNextHop",
            Self::MultipathLimit => "multipathLimit",
        }
    }

    /// What the step prefers, in words.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::OnlyPath => "only path",
            Self::LocalOrigin => "originated here",
            Self::LocalPref => "highest local preference",
            Self::AsPathLength => "shortest AS path",
            Self::Origin => "lowest origin",
            Self::Med => "lowest MED of the neighbouring AS",
            Self::External => "external before internal",
            Self::RouterId => "lowest router id",
            Self::ClusterListLength => "shortest cluster list",
            Self::PeerAddress => "lowest peer address",
            Self::SameNextHop => "next hop already in use",
            Self::MultipathLimit => "enough paths in use",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a path comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// Originated here.
    Local,
    /// From a peer in another AS.
    External,
    /// From a peer in our AS.
    Internal,
}

/// What the decision knows of a path's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SourceInfo {
    pub(crate) kind: SourceKind,
    /// BGP identifier of the peer.
    pub(crate) id: BgpId,
    /// Address of the peer: unique, so the last step always decides between peers.
    pub(crate) address: IpAddr,
    /// A client of ours as route reflector (RFC 4456 §6).
    pub(crate) client: bool,
}

/// What became of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The best; the step that beat its last competitor.
    Best(Step),
    /// Used beside the best.
    Multipath,
    /// Not used; the step that eliminated it.
    Lost(Step),
}

impl Verdict {
    /// True when packets use the path.
    pub(crate) const fn is_winner(self) -> bool {
        matches!(self, Self::Best(_) | Self::Multipath)
    }
}

/// One competitor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) attrs: &'a AttrSet,
    pub(crate) source: SourceInfo,
    /// Tells paths of the same peer apart (RFC 7911).
    pub(crate) path_id: u32,
}

/// Verdicts in the order of the candidates, and the indices of the winners, best first.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    pub(crate) verdicts: SmallVec<[Verdict; 4]>,
    pub(crate) winners: SmallVec<[usize; 4]>,
}

/// Runs the decision process over all accepted paths of one prefix.
///
/// At most `max_paths` win. The result does not depend on the order of `candidates`.
pub(crate) fn decide(candidates: &[Candidate<'_>], max_paths: usize) -> Decision {
    let mut contest = Contest {
        candidates,
        alive: (0..candidates.len()).collect(),
        verdicts: SmallVec::from_elem(Verdict::Multipath, candidates.len()),
        last: Step::OnlyPath,
    };
    contest.eliminate(Step::LocalOrigin, |c| c.source.kind != SourceKind::Local);
    contest.eliminate(Step::LocalPref, |c| Reverse(c.attrs.effective_local_pref()));
    contest.eliminate(Step::AsPathLength, |c| c.attrs.as_path.hops());
    contest.eliminate(Step::Origin, |c| c.attrs.origin);
    contest.eliminate_by_med();
    contest.eliminate(Step::External, |c| c.source.kind == SourceKind::Internal);
    contest.rank(max_paths)
}

struct Contest<'a> {
    candidates: &'a [Candidate<'a>],
    alive: SmallVec<[usize; 4]>,
    verdicts: SmallVec<[Verdict; 4]>,
    /// The last step that eliminated somebody.
    last: Step,
}

impl Contest<'_> {
    /// Keeps the candidates with the lowest key.
    fn eliminate<K: Ord>(&mut self, step: Step, key: impl Fn(&Candidate<'_>) -> K) {
        let Self { candidates, alive, verdicts, last } = self;
        if alive.len() < 2 {
            return;
        }
        let Some(best) = alive.iter().map(|&index| key(&candidates[index])).min() else { return };
        alive.retain(|index| {
            let keep = key(&candidates[*index]) == best;
            if !keep {
                verdicts[*index] = Verdict::Lost(step);
                *last = step;
            }
            keep
        });
    }

    /// Step 4: a path goes when another one of the same neighbouring AS has a lower MED.
    fn eliminate_by_med(&mut self) {
        let med = |index: usize| self.candidates[index].attrs.med.unwrap_or(0);
        let neighbor = |index: usize| self.candidates[index].attrs.as_path.first_as();
        let beaten: SmallVec<[usize; 4]> = self
            .alive
            .iter()
            .copied()
            .filter(|&a| self.alive.iter().any(|&b| neighbor(a) == neighbor(b) && med(b) < med(a)))
            .collect();
        for index in beaten {
            self.alive.retain(|alive| *alive != index);
            self.verdicts[index] = Verdict::Lost(Step::Med);
            self.last = Step::Med;
        }
    }

    /// Steps 6 to 8: orders the survivors and takes the first `max_paths` next hops.
    fn rank(mut self, max_paths: usize) -> Decision {
        let candidates = self.candidates;
        self.alive.sort_by(|&a, &b| rank_key(&candidates[a]).cmp(&rank_key(&candidates[b])));
        let mut winners: SmallVec<[usize; 4]> = SmallVec::new();
        for &index in &self.alive {
            let next_hop = candidates[index].attrs.next_hop;
            self.verdicts[index] = match winners.first() {
                None => {
                    winners.push(index);
                    continue;
                }
                Some(&best) if max_paths <= 1 => {
                    Verdict::Lost(ranking_step(&candidates[best], &candidates[index]))
                }
                Some(_) if winners.iter().any(|&w| candidates[w].attrs.next_hop == next_hop) => {
                    Verdict::Lost(Step::SameNextHop)
                }
                Some(_) if winners.len() >= max_paths => Verdict::Lost(Step::MultipathLimit),
                Some(_) => {
                    winners.push(index);
                    Verdict::Multipath
                }
            };
        }
        if let Some(&best) = self.alive.first() {
            let step = match self.alive.get(1) {
                Some(&second) => ranking_step(&candidates[best], &candidates[second]),
                None => self.last,
            };
            self.verdicts[best] = Verdict::Best(step);
        }
        Decision { verdicts: self.verdicts, winners }
    }
}

type RankKey = (u32, u8, IpAddr, u32);

fn rank_key(candidate: &Candidate<'_>) -> RankKey {
    let id = candidate.attrs.originator_id.unwrap_or(candidate.source.id);
    let Candidate { attrs, source, path_id } = candidate;
    (id.to_bits(), attrs.cluster_list_len, source.address, *path_id)
}

/// The first of the steps 6 to 8 in which the two differ.
fn ranking_step(a: &Candidate<'_>, b: &Candidate<'_>) -> Step {
    let (a, b) = (rank_key(a), rank_key(b));
    if a.0 != b.0 {
        Step::RouterId
    } else if a.1 != b.1 {
        Step::ClusterListLength
    } else {
        Step::PeerAddress
    }
}
