// SPDX-License-Identifier: MIT OR Apache-2.0
//! The decision against a naive oracle that shares nothing with it but the steps' names.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::types::Asn;
use crate::wire::{AsPath, Origin};

/// A path in plain numbers. Small ranges, so that every step gets to decide.
#[derive(Clone, Debug, PartialEq)]
struct Plain {
    local: bool,
    internal: bool,
    local_pref: Option<u32>,
    path: Vec<u32>,
    origin: u8,
    med: Option<u32>,
    id: u8,
    originator: Option<u8>,
    clusters: u8,
    hop: u8,
    /// Unique per path.
    address: u8,
}

fn plain() -> impl Strategy<Value = Plain> {
    let first = (
        prop::bool::weighted(0.05),
        any::<bool>(),
        prop::option::of(99..102_u32),
        prop::collection::vec(1..3_u32, 0..3),
        0..3_u8,
        prop::option::of(0..3_u32),
    );
    let second = (1..4_u8, prop::option::weighted(0.2, 1..4_u8), 0..2_u8, 0..4_u8);
    (first, second).prop_map(|((local, internal, local_pref, path, origin, med), second)| {
        let (id, originator, clusters, hop) = second;
        let address = 0;
        let local_pref = local_pref.filter(|_| internal);
        Plain {
            local,
            internal,
            local_pref,
            path,
            origin,
            med,
            id,
            originator,
            clusters,
            hop,
            address,
        }
    })
}

fn plains(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Plain>> {
    // Independent paths hardly ever tie up to the last steps: half of them copy the first one.
    let likeness = prop_oneof![Just(0.0), Just(0.5), Just(0.9)];
    let flags = likeness.prop_flat_map(|p| prop::collection::vec(prop::bool::weighted(p), 16));
    (prop::collection::vec(plain(), count), flags).prop_map(|(mut list, flags)| {
        for (index, is_copy) in (1..list.len()).zip(flags) {
            if is_copy {
                let Plain { id, originator, clusters, hop, .. } = list[index];
                list[index] = Plain { id, originator, clusters, hop, ..list[0].clone() };
            }
        }
        for (address, path) in (1..).zip(&mut list) {
            path.address = address;
        }
        // Only one path can be originated here.
        let mut seen = false;
        for path in &mut list {
            path.local &= !seen;
            seen |= path.local;
        }
        list
    })
}

fn id(value: u8) -> BgpId {
    BgpId::try_new(Ipv4Addr::new(0, 0, 0, value)).unwrap()
}

impl Plain {
    fn attrs(&self) -> AttrSet {
        AttrSet {
            origin: Origin::from_number(self.origin).unwrap(),
            as_path: AsPath::sequence(self.path.iter().copied().map(Asn)),
            next_hop: Some(Ipv4Addr::new(10, 0, 0, self.hop).into()),
            med: self.med,
            local_pref: self.local_pref,
            originator_id: self.originator.map(id),
            cluster_list_len: self.clusters,
            ..AttrSet::default()
        }
    }

    fn source(&self) -> SourceInfo {
        let kind = match (self.local, self.internal) {
            (true, _) => SourceKind::Local,
            (false, true) => SourceKind::Internal,
            (false, false) => SourceKind::External,
        };
        SourceInfo {
            kind,
            id: id(self.id),
            address: Ipv4Addr::new(1, 1, 1, self.address).into(),
            client: false,
        }
    }

    /// Steps 6 to 8.
    fn rank(&self) -> (u8, u8, u8) {
        (self.originator.unwrap_or(self.id), self.clusters, self.address)
    }
}

fn run(list: &[Plain], max_paths: usize) -> Vec<Verdict> {
    let attrs: Vec<_> = list.iter().map(Plain::attrs).collect();
    let candidates: Vec<_> = attrs
        .iter()
        .zip(list)
        .map(|(attrs, path)| Candidate { attrs, source: path.source(), path_id: 0 })
        .collect();
    let decision = decide(&candidates, max_paths);
    let winners = decision.verdicts.iter().filter(|verdict| verdict.is_winner()).count();
    assert_eq!(winners, decision.winners.len());
    for (position, &index) in decision.winners.iter().enumerate() {
        assert_eq!(matches!(decision.verdicts[index], Verdict::Best(_)), position == 0);
    }
    decision.verdicts.to_vec()
}

/// For each path: eliminated in which step, and what of the rest.
fn oracle(list: &[Plain], max_paths: usize) -> Vec<Verdict> {
    let mut verdicts = vec![None; list.len()];
    let mut last = Step::OnlyPath;
    type Beats = fn(&Plain, &Plain) -> bool;
    let steps: [(Step, Beats); 6] = [
        (Step::LocalOrigin, |a, b| a.local && !b.local),
        (Step::LocalPref, |a, b| a.local_pref.unwrap_or(100) > b.local_pref.unwrap_or(100)),
        (Step::AsPathLength, |a, b| a.path.len() < b.path.len()),
        (Step::Origin, |a, b| a.origin < b.origin),
        (Step::Med, |a, b| {
            a.path.first() == b.path.first() && a.med.unwrap_or(0) < b.med.unwrap_or(0)
        }),
        (Step::External, |a, b| !a.internal && b.internal),
    ];
    for (step, beats) in steps {
        let alive: Vec<_> = (0..list.len()).filter(|&i| verdicts[i].is_none()).collect();
        for &i in &alive {
            // What is originated here is neither internal nor external.
            let beaten = alive.iter().any(|&j| beats(&list[j], &list[i]));
            if beaten && !(step == Step::External && list[i].local) {
                verdicts[i] = Some(Verdict::Lost(step));
                last = step;
            }
        }
    }
    let mut ranked: Vec<_> = (0..list.len()).filter(|&i| verdicts[i].is_none()).collect();
    ranked.sort_by_key(|&i| list[i].rank());
    let differ = |i: usize, j: usize| {
        let (a, b) = (list[i].rank(), list[j].rank());
        match (a.0 == b.0, a.1 == b.1) {
            (false, _) => Step::RouterId,
            (true, false) => Step::ClusterListLength,
            (true, true) => Step::PeerAddress,
        }
    };
    let mut hops = Vec::new();
    for (position, &i) in ranked.iter().enumerate() {
        verdicts[i] = Some(if position == 0 {
            hops.push(list[i].hop);
            Verdict::Best(ranked.get(1).map_or(last, |&second| differ(i, second)))
        } else if max_paths == 1 {
            Verdict::Lost(differ(ranked[0], i))
        } else if hops.contains(&list[i].hop) {
            Verdict::Lost(Step::SameNextHop)
        } else if hops.len() == max_paths {
            Verdict::Lost(Step::MultipathLimit)
        } else {
            hops.push(list[i].hop);
            Verdict::Multipath
        });
    }
    verdicts.into_iter().map(Option::unwrap).collect()
}

fn best(list: &[Plain]) -> usize {
    let verdicts = run(list, 1);
    verdicts.iter().position(|verdict| matches!(verdict, Verdict::Best(_))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn equals_the_oracle(list in plains(0..8), max_paths in 1..4_usize) {
        prop_assert_eq!(run(&list, max_paths), oracle(&list, max_paths));
    }

    #[test]
    fn does_not_depend_on_the_order_of_arrival(
        list in plains(1..8),
        keys in prop::collection::vec(any::<u32>(), 8),
        max_paths in 1..4_usize,
    ) {
        let mut order: Vec<_> = (0..list.len()).collect();
        order.sort_by_key(|&i| keys[i]);
        let shuffled: Vec<_> = order.iter().map(|&i| list[i].clone()).collect();
        let (here, there) = (run(&list, max_paths), run(&shuffled, max_paths));
        for (position, &i) in order.iter().enumerate() {
            prop_assert_eq!(here[i], there[position]);
        }
    }

    /// Among paths of one neighbouring AS, where MED is comparable, "wins against" is a strict
    /// total order, and the best of a set wins against each of its members.
    #[test]
    fn is_a_strict_total_order(list in plains(3..6)) {
        let list: Vec<_> = list
            .into_iter()
            .map(|path| Plain { path: path.path.iter().map(|_| 1).collect(), ..path })
            .collect();
        let beats = |i: usize, j: usize| best(&[list[i].clone(), list[j].clone()]) == 0;
        for i in 0..list.len() {
            for j in 0..list.len() {
                prop_assert_eq!(beats(i, j), i == j || !beats(j, i), "{} {}", i, j);
                for k in 0..list.len() {
                    if i != j && j != k && i != k && beats(i, j) && beats(j, k) {
                        prop_assert!(beats(i, k), "{} {} {}", i, j, k);
                    }
                }
            }
        }
        let winner = best(&list);
        prop_assert!((0..list.len()).all(|i| i == winner || beats(winner, i)));
    }

    #[test]
    fn names_every_winner_once_and_no_next_hop_twice(list in plains(1..9), max in 1..5_usize) {
        let verdicts = run(&list, max);
        let winners: Vec<_> = (0..list.len()).filter(|&i| verdicts[i].is_winner()).collect();
        prop_assert!((1..=max).contains(&winners.len()));
        let mut hops: Vec<_> = winners.iter().map(|&i| list[i].hop).collect();
        hops.sort_unstable();
        hops.dedup();
        prop_assert_eq!(hops.len(), winners.len());
    }
}

fn base(address: u8) -> Plain {
    Plain {
        local: false,
        internal: false,
        local_pref: None,
        path: vec![1, 2],
        origin: 0,
        med: None,
        id: 1,
        originator: None,
        clusters: 0,
        hop: address,
        address,
    }
}

#[test]
fn each_step_decides_and_is_named() {
    type Change = fn(&mut Plain);
    let cases: [(Step, Change); 9] = [
        (Step::LocalOrigin, |a| a.local = true),
        (Step::LocalPref, |a| a.local_pref = Some(101)),
        (Step::AsPathLength, |a| a.path = vec![1]),
        (Step::Origin, |a| a.origin = 0),
        (Step::Med, |a| a.med = Some(4)),
        (Step::External, |a| a.internal = false),
        (Step::RouterId, |a| a.id = 1),
        (Step::ClusterListLength, |a| a.clusters = 0),
        (Step::PeerAddress, |_| {}),
    ];
    for (step, change) in cases {
        let mut other = Plain { origin: 1, med: Some(5), id: 2, clusters: 1, ..base(9) };
        other.internal = step == Step::External;
        let mut winner = Plain { address: 1, hop: 1, ..other.clone() };
        change(&mut winner);
        assert_eq!(run(&[other, winner], 1), [Verdict::Lost(step), Verdict::Best(step)], "{step}");
    }
}

#[test]
fn one_path_needs_no_step() {
    assert_eq!(run(&[base(1)], 4), [Verdict::Best(Step::OnlyPath)]);
    assert!(run(&[], 4).is_empty());
}

#[test]
fn med_is_not_compared_between_neighbours() {
    // The cycle that a pairwise comparison would run into: c beats a by MED, a beats b and b
    // beats c by router id.
    let a = Plain { path: vec![1], med: Some(10), id: 1, ..base(1) };
    let b = Plain { path: vec![2], med: Some(20), id: 2, ..base(2) };
    let c = Plain { path: vec![1], med: Some(5), id: 3, ..base(3) };
    for list in [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a]] {
        let list = list.map(Clone::clone);
        assert_eq!(list[best(&list)], b);
    }
}

#[test]
fn equal_paths_of_different_neighbours_are_used_together() {
    let list = [Plain { path: vec![7, 2], ..base(2) }, Plain { path: vec![8, 2], ..base(1) }];
    assert_eq!(run(&list, 2), [Verdict::Multipath, Verdict::Best(Step::PeerAddress)]);
}
