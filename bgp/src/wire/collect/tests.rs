// SPDX-License-Identifier: MIT OR Apache-2.0
use super::super::attr::attr_error;
use super::*;

#[test]
fn a_set_of_codes_knows_each_code_once_and_in_order() {
    let mut set = CodeSet::default();
    for code in (0..=255).rev() {
        assert!(!set.contains(code) && set.insert(code) && !set.insert(code) && set.contains(code));
    }
    assert_eq!(set.iter().collect::<Vec<_>>(), (0..=255).collect::<Vec<u8>>());
    let mut few = CodeSet::default();
    for code in [255, 128, 127, 0] {
        few.insert(code);
    }
    assert_eq!(few.iter().collect::<Vec<_>>(), [0, 127, 128, 255]);
    assert_eq!(CodeSet::default().iter().count(), 0);
}

#[test]
fn the_fault_with_the_lowest_code_is_kept() {
    let fault = |code, kind| attr_error(code, 23, kind);
    let mut faults = Faults::default();
    faults.add(fault(code::COMMUNITIES, AttrErrorKind::Length(3)));
    faults.add(fault(code::ORIGIN, AttrErrorKind::Value));
    faults.add(fault(code::NEXT_HOP, AttrErrorKind::Length(3)));
    faults.add(fault(code::AGGREGATOR, AttrErrorKind::Length(3)));
    assert_eq!(faults.withdraw, Some(fault(code::ORIGIN, AttrErrorKind::Value)));
    assert_eq!(faults.discarded, [fault(code::AGGREGATOR, AttrErrorKind::Length(3))]);
}
