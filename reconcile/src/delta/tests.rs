// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

const R1: Revision = Revision(1);
const R2: Revision = Revision(2);

fn known(entries: &[(u32, u32)]) -> DeltaMap<u32, u32> {
    let mut map = DeltaMap::default();
    map.replace_actual(entries.to_vec());
    map
}

#[test]
fn before_the_first_dump_nothing_is_known() {
    let mut map = DeltaMap::default();
    map.set_desired(1, Some(1), R1);
    map.set_desired(2, None, R1);
    assert_eq!((map.need(&1), map.need(&2)), (Need::Put, Need::Delete));
    let mut touched = map.replace_actual(vec![(1, 1)]);
    touched.sort_unstable();
    assert_eq!(touched, [1, 2], "both agree now, which is not told yet");
    assert_eq!((map.settle(&1), map.settle(&2)), (Some((R1, true)), Some((R1, false))));
    assert_eq!((map.settle(&1), map.contains(&2)), (None, false));
}

#[test]
fn going_back_to_the_actual_value_needs_no_write() {
    let mut map = known(&[(1, 1)]);
    map.set_desired(1, Some(1), R1);
    assert_eq!(map.need(&1), Need::Nothing);
    map.set_desired(1, Some(2), R1);
    assert_eq!((map.need(&1), map.actual(&1)), (Need::Put, Some(&1)));
    map.set_desired(1, None, R1);
    assert_eq!((map.need(&1), map.actual(&1)), (Need::Delete, Some(&1)));
    map.set_desired(1, Some(1), R2);
    assert_eq!((map.need(&1), map.actual(&1)), (Need::Nothing, Some(&1)));
    assert_eq!(map.settle(&1), Some((R2, true)));
}

#[test]
fn unknown_needs_a_write_even_if_equal() {
    let mut map = known(&[(1, 1)]);
    map.set_desired(1, Some(1), R1);
    map.mark_unknown(&1);
    assert_eq!((map.need(&1), map.actual(&1)), (Need::Put, None));
    map.mark_applied(&1);
    assert_eq!((map.need(&1), map.actual(&1)), (Need::Nothing, Some(&1)));
    map.set_actual(&1, Some(5));
    assert_eq!(map.need(&1), Need::Put);
    map.set_actual(&1, Some(1));
    assert_eq!(map.need(&1), Need::Nothing);
}

#[test]
fn orphans_are_deleted_without_being_told() {
    let mut map = known(&[(1, 1)]);
    assert_eq!((map.need(&1), map.revision(&1)), (Need::Delete, None));
    map.set_actual(&1, None);
    assert_eq!(map.settle(&1), None);
    assert!(!map.contains(&1));
}

#[test]
fn revisions_do_not_go_back() {
    let mut map = known(&[]);
    map.set_desired(1, Some(1), R2);
    map.set_desired(1, Some(2), R1);
    assert_eq!(map.revision(&1), Some(R2));
}

#[test]
fn counters_equal_a_recount() {
    let mut map = known(&[(1, 1), (2, 2), (3, 3)]);
    map.set_desired(1, Some(1), R1);
    map.set_desired(2, Some(9), R1);
    map.set_desired(4, Some(4), R1);
    map.mark_unknown(&3);
    assert_eq!(map.stats(), DeltaStats { desired: 3, actual: 2, pending: 3 });
    map.replace_actual(vec![(2, 9), (5, 5)]);
    assert_eq!(map.stats(), DeltaStats { desired: 3, actual: 2, pending: 3 });
    (1..=5).for_each(|key| map.mark_applied(&key));
    assert_eq!((1..=5).filter_map(|key| map.settle(&key)).count(), 3);
    assert_eq!(map.stats(), DeltaStats { desired: 3, actual: 3, pending: 0 });
}
