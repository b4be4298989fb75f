// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table against itself: however it got there, it holds what a fresh one would.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::decision::{SourceKind, Verdict};
use super::*;
use crate::rib::{AttrSet, Interner};
use crate::types::{BgpId, Prefix4};

const SOURCES: u16 = 4;

fn key(index: u8) -> Prefix4 {
    Prefix4::new_masked(u32::from_be_bytes([10, index, 0, 0]), 16)
}

fn source(id: SourceId) -> SourceInfo {
    let octet = u8::try_from(id.0 % 250).unwrap() + 1;
    let address = Ipv4Addr::new(0, 0, 0, octet);
    let kind = if id == SourceId::LOCAL { SourceKind::Local } else { SourceKind::External };
    SourceInfo {
        kind,
        id: BgpId::try_new(address).unwrap(),
        address: address.into(),
        client: false,
    }
}

fn attrs(interner: &mut Interner, med: u8) -> Arc<AttrSet> {
    let next_hop = Some(Ipv4Addr::new(10, 0, 0, med).into());
    interner.intern(AttrSet { med: Some(med.into()), next_hop, ..AttrSet::default() })
}

fn drain(table: &mut Table<Prefix4>) {
    while table.decide_next(2, source).is_some() {}
}

type Content = BTreeMap<Prefix4, Vec<(SourceId, Option<u32>, PathState)>>;

/// What is in a table, comparable: winners in their order, the others, whose order means
/// nothing, by source.
fn content(table: &Table<Prefix4>) -> Content {
    let paths = |list: &[Path]| {
        let winners = winners(list).len();
        let mut list: Vec<_> =
            list.iter().map(|path| (path.source, path.attrs.med, path.state)).collect();
        list[winners..].sort_by_key(|(source, ..)| *source);
        list
    };
    table.iter().map(|(key, list)| (key, paths(list))).collect()
}

#[derive(Clone, Debug)]
enum Op {
    Insert {
        key: u8,
        source: u16,
        med: u8,
        rejected: bool,
    },
    Remove {
        key: u8,
        source: u16,
    },
    RemoveSource {
        source: u16,
    },
    /// Reject every path with this MED or above.
    Reimport {
        limit: u8,
    },
    Decide {
        count: u8,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let source = prop_oneof![0..SOURCES, Just(u16::MAX)];
    prop_oneof![
        8 => (0..6_u8, source.clone(), 0..4_u8, prop::bool::weighted(0.2))
            .prop_map(|(key, source, med, rejected)| Op::Insert { key, source, med, rejected }),
        4 => (0..6_u8, source).prop_map(|(key, source)| Op::Remove { key, source }),
        1 => (0..SOURCES).prop_map(|source| Op::RemoveSource { source }),
        1 => (0..5_u8).prop_map(|limit| Op::Reimport { limit }),
        4 => (0..4_u8).prop_map(|count| Op::Decide { count }),
    ]
}

type Model = BTreeMap<(u8, SourceId), (u8, Result<(), RejectReason>)>;

fn apply(op: &Op, table: &mut Table<Prefix4>, model: &mut Model, interner: &mut Interner) {
    let verdict = |rejected: bool| if rejected { Err(RejectReason::AsLoop) } else { Ok(()) };
    match *op {
        Op::Insert { key: index, source, med, rejected } => {
            let (source, import) = (SourceId(source), verdict(rejected));
            table.insert(key(index), Path::new(source, attrs(interner, med), import));
            model.insert((index, source), (med, import));
        }
        Op::Remove { key: index, source } => {
            let was = model.remove(&(index, SourceId(source))).is_some();
            assert_eq!(table.remove(key(index), SourceId(source), 0), was);
        }
        Op::RemoveSource { source } => {
            table.remove_source(SourceId(source));
            model.retain(|(_, id), _| *id != SourceId(source));
        }
        Op::Reimport { limit } => {
            let check = |med: u32| verdict(med >= u32::from(limit));
            table.reimport(|_, path| check(path.attrs.med.unwrap()));
            model.values_mut().for_each(|(med, import)| *import = check((*med).into()));
        }
        Op::Decide { count } => {
            for _ in 0..count {
                table.decide_next(2, source);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn incremental_equals_rebuilt(ops in prop::collection::vec(op(), 0..40)) {
        let (mut table, mut interner) = (Table::default(), Interner::default());
        let mut model = Model::new();
        for op in &ops {
            apply(op, &mut table, &mut model, &mut interner);
        }
        drain(&mut table);
        let mut fresh = Table::default();
        // Another order of arrival.
        for ((index, source), (med, import)) in model.iter().rev() {
            fresh.insert(key(*index), Path::new(*source, attrs(&mut interner, *med), *import));
        }
        drain(&mut fresh);
        prop_assert_eq!(content(&table), content(&fresh));
        for slot in 0..SOURCES {
            let paths = || model.iter().filter(|((_, id), _)| *id == SourceId(slot));
            let accepted = paths().filter(|(_, (_, import))| import.is_ok()).count();
            let counts = Counts { received: paths().count(), accepted };
            prop_assert_eq!(table.counts(SourceId(slot)), counts);
        }
        prop_assert_eq!(table.pending(), 0);
    }

    /// Whoever follows the decided keys and looks at the paths then knows the whole table.
    #[test]
    fn every_change_is_announced(ops in prop::collection::vec(op(), 0..40)) {
        let (mut table, mut interner) = (Table::default(), Interner::default());
        let (mut model, mut follower) = (Model::new(), BTreeMap::new());
        for op in &ops {
            apply(op, &mut table, &mut model, &mut interner);
            while let Some(Decided { key, .. }) = table.decide_next(2, source) {
                follower.insert(key, winners(table.paths(key)));
            }
        }
        follower.retain(|_, winners: &mut Vec<_>| !winners.is_empty());
        let mut actual: BTreeMap<_, _> =
            table.iter().map(|(key, paths)| (key, winners(paths))).collect();
        actual.retain(|_, winners| !winners.is_empty());
        // `Op::Decide` takes keys the follower does not see: only sequences without it count.
        if !ops.iter().any(|op| matches!(op, Op::Decide { .. })) {
            prop_assert_eq!(follower, actual);
        }
    }
}

fn winners(paths: &[Path]) -> Vec<(SourceId, Option<u32>)> {
    let is_winner = |path: &&Path| path.verdict().is_some_and(Verdict::is_winner);
    paths.iter().filter(is_winner).map(|path| (path.source, path.attrs.med)).collect()
}

#[test]
fn the_same_path_again_changes_nothing() {
    let (mut table, mut interner) = (Table::default(), Interner::default());
    let path = |interner: &mut Interner| Path::new(SourceId(0), attrs(interner, 1), Ok(()));
    assert!(table.insert(key(1), path(&mut interner)));
    drain(&mut table);
    assert!(!table.insert(key(1), path(&mut interner)));
    assert_eq!(table.pending(), 0);
    assert_eq!(table.counts(SourceId(0)), Counts { received: 1, accepted: 1 });
}

#[test]
fn a_rejected_path_concerns_no_decision() {
    let (mut table, mut interner) = (Table::default(), Interner::default());
    let rejected = Path::new(SourceId(0), attrs(&mut interner, 1), Err(RejectReason::OwnBlock));
    assert!(table.insert(key(1), rejected));
    assert_eq!(table.pending(), 0);
    assert!(table.remove(key(1), SourceId(0), 0));
    assert_eq!((table.pending(), table.len()), (0, 0));
}

#[test]
fn winners_come_first_and_best_first() {
    let (mut table, mut interner) = (Table::default(), Interner::default());
    for source in [3, 2, 1, 0] {
        let med = u8::try_from(source % 3).unwrap();
        table.insert(key(1), Path::new(SourceId(source), attrs(&mut interner, med), Ok(())));
    }
    drain(&mut table);
    let paths = table.paths(key(1));
    assert!(matches!(paths[0].verdict(), Some(Verdict::Best(_))));
    let order: Vec<_> = paths.iter().map(|path| path.source.0).collect();
    assert_eq!(order[0], 0);
    assert!(paths.windows(2).all(|pair| {
        let is_winner = |path: &Path| path.verdict().is_some_and(Verdict::is_winner);
        is_winner(&pair[0]) || !is_winner(&pair[1])
    }));
}

#[test]
fn a_held_destination_keeps_its_number_until_it_is_released() {
    let (mut table, mut interner) = (Table::default(), Interner::default());
    table.insert(key(1), Path::new(SourceId(0), attrs(&mut interner, 1), Ok(())));
    let id = table.decide_next(2, source).unwrap().id;
    table.hold(id);
    table.remove(key(1), SourceId(0), 0);
    let decided = table.decide_next(2, source).unwrap();
    assert_eq!((decided.id, decided.best_changed), (id, true));
    assert_eq!((table.key(id), table.len()), (Some(key(1)), 0));
    table.insert(key(2), Path::new(SourceId(0), attrs(&mut interner, 1), Ok(())));
    assert_ne!(table.find(key(2)), Some(id));
    table.release(id);
    assert_eq!((table.key(id), table.find(key(1))), (None, None));
}

#[test]
fn a_decision_says_whether_the_best_path_changed() {
    let (mut table, mut interner) = (Table::default(), Interner::default());
    let mut insert = |table: &mut Table<_>, source, med| {
        table.insert(key(1), Path::new(SourceId(source), attrs(&mut interner, med), Ok(())));
    };
    let changed = |table: &mut Table<_>| table.decide_next(2, source).unwrap().best_changed;
    insert(&mut table, 0, 1);
    assert!(changed(&mut table), "the first path");
    insert(&mut table, 1, 3);
    assert!(!changed(&mut table), "a worse path beside it");
    insert(&mut table, 1, 0);
    assert!(changed(&mut table), "a better path");
    table.remove(key(1), SourceId(0), 0);
    assert!(!changed(&mut table), "the worse path went");
    table.remove(key(1), SourceId(1), 0);
    assert!(changed(&mut table), "the last path went");
}

#[test]
fn a_decision_out_of_turn_is_made_once() {
    let (mut table, mut interner) = (Table::default(), Interner::default());
    table.insert(key(1), Path::new(SourceId(0), attrs(&mut interner, 1), Ok(())));
    let id = table.find(key(1)).unwrap();
    assert!(table.decide(id, 2, source).is_some());
    assert!(table.decide(id, 2, source).is_none());
    assert_eq!(table.decide_next(2, source), None);
    for _ in 0..10 {
        table.remove(key(1), SourceId(0), 0);
        table.insert(key(1), Path::new(SourceId(0), attrs(&mut interner, 1), Ok(())));
        table.decide(id, 2, source);
    }
    assert_eq!(table.pending(), 1, "in the queue once");
}

#[test]
fn paths_of_one_source_are_told_apart_by_their_identifiers() {
    let (mut table, mut interner) = (Table::default(), Interner::default());
    let mut path = |med, id| Path::new(SourceId(0), attrs(&mut interner, med), Ok(())).with_id(id);
    assert!(table.insert(key(1), path(1, 7)) && table.insert(key(1), path(2, 8)));
    assert!(!table.insert(key(1), path(2, 8)));
    drain(&mut table);
    assert_eq!(table.paths(key(1)).len(), 2);
    assert!(table.remove(key(1), SourceId(0), 7) && !table.remove(key(1), SourceId(0), 7));
    table.remove_source(SourceId(0));
    drain(&mut table);
    assert_eq!((table.len(), table.find(key(1))), (0, None));
}
