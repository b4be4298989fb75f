// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

fn asns(list: &[u32]) -> Vec<Asn> {
    list.iter().copied().map(Asn).collect()
}

/// `[(is_set, members)]` as a path.
fn path(segments: &[(bool, &[u32])]) -> AsPath {
    let mut value = Vec::new();
    for (is_set, members) in segments {
        value.extend_from_slice(&[
            if *is_set { 1 } else { 2 },
            u8::try_from(members.len()).unwrap(),
        ]);
        members.iter().for_each(|asn| value.extend_from_slice(&asn.to_be_bytes()));
    }
    AsPath::decode(&value, true).unwrap()
}

#[test]
fn a_sequence_is_split_where_it_is_too_long_for_a_segment() {
    for (count, sizes) in [
        (0, &[][..]),
        (1, &[1]),
        (255, &[255]),
        (256, &[1, 255]),
        (510, &[255, 255]),
        (600, &[90, 255, 255]),
    ] {
        let path = AsPath::sequence((1..=count).map(Asn));
        let got: Vec<_> = path.segments().map(|segment| segment.asns().len()).collect();
        assert_eq!(got, sizes, "{count} hops");
        assert_eq!(path.asns().collect::<Vec<_>>(), (1..=count).map(Asn).collect::<Vec<_>>());
        assert_eq!((path.hops(), path.is_empty()), (count as usize, count == 0));
    }
}

#[test]
fn prepending_opens_a_segment_only_when_it_must() {
    let sizes = |path: &AsPath| path.segments().map(|s| s.asns().len()).collect::<Vec<_>>();
    let base = path(&[(false, &[1, 2]), (true, &[3, 4])]);
    assert_eq!(sizes(&base.prepend(Asn(9), 2)), [4, 2]);
    assert_eq!(base.prepend(Asn(9), 1).to_string(), "9 1 2 {3,4}");
    let set = path(&[(true, &[3, 4]), (false, &[5])]);
    assert_eq!(set.prepend(Asn(9), 1).to_string(), "9 {3,4} 5");
    assert_eq!(set.prepend(Asn(9), 0), set);
    let full = AsPath::sequence((1..=255).map(Asn));
    assert_eq!(sizes(&full.prepend(Asn(9), 1)), [1, 255]);
    assert_eq!(sizes(&full.prepend(Asn(9), 255)), [255, 255]);
    let almost = AsPath::sequence((1..=254).map(Asn));
    assert_eq!(sizes(&almost.prepend(Asn(9), 2)), [1, 255]);
}

#[test]
fn ends_are_known_only_where_they_are_sequences() {
    let mixed = path(&[(false, &[1, 2]), (true, &[3, 4])]);
    assert_eq!((mixed.first_as(), mixed.origin_as()), (Some(Asn(1)), None));
    let mixed = path(&[(true, &[3, 4]), (false, &[1, 2])]);
    assert_eq!((mixed.first_as(), mixed.origin_as()), (None, Some(Asn(2))));
    let empty = AsPath::default();
    assert_eq!((empty.first_as(), empty.origin_as(), empty.hops()), (None, None, 0));
    assert!(mixed.has_set() && !empty.has_set() && !AsPath::sequence(asns(&[1])).has_set());
    assert!(mixed.contains(Asn(4)) && !mixed.contains(Asn(5)));
    assert_eq!(mixed.hops(), 3);
    assert_eq!(mixed.members(), 4);
}

#[test]
fn two_octets_and_four_octets_say_the_same() {
    let path = path(&[(false, &[65000, 70000]), (true, &[1, 2])]);
    let two = path.to_two_octets();
    assert_eq!(two, [2, 2, 0xfd, 0xe8, 0x5b, 0xa0, 1, 2, 0, 1, 0, 2]);
    let back = AsPath::decode(&two, false).unwrap();
    assert_eq!(back.to_string(), "65000 23456 {1,2}");
    assert_eq!(back.merge_as4(&path), path);
    assert!(path.has_four_octet() && !back.has_four_octet());
}

#[test]
fn merging_is_stable() {
    // What merging makes must merge with its own two-octet form to itself.
    let long: Vec<u32> = (1..=200).map(|asn| asn + 65535).collect();
    let path2 = path(&[(false, &[1]), (false, &[2, 3]), (true, &[4]), (false, &[5; 200])]);
    let as4 = path(&[(false, &long), (false, &[70000, 70001])]);
    let merged = path2.merge_as4(&as4);
    assert_eq!(merged.hops(), path2.hops());
    let two = AsPath::decode(&merged.to_two_octets(), false).unwrap();
    assert_eq!(two.merge_as4(&merged), merged);
}

#[test]
fn short_paths_stay_inline() {
    assert!(!AsPath::sequence(asns(&[1, 2, 3, 4, 5])).octets.spilled());
    assert!(AsPath::sequence(asns(&[1, 2, 3, 4, 5, 6])).octets.spilled());
}
