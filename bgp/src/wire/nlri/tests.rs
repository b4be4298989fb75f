// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

const V4: Family = Family::Ipv4Unicast;
const V6: Family = Family::Ipv6Unicast;

fn show(view: NlriView<'_>) -> Vec<String> {
    view.iter().map(|nlri| nlri.to_string()).collect()
}

#[test]
fn each_length_takes_the_octets_it_needs() {
    for family in Family::ALL {
        for len in 0..=family.max_len() {
            let octets = usize::from(len).div_ceil(8);
            let mut field = vec![len];
            field.resize(1 + octets, 0xff);
            let view = NlriView::check(family, false, &field).unwrap();
            let got: Vec<Nlri> = view.iter().collect();
            assert_eq!(got.len(), 1);
            assert_eq!(got[0].prefix.prefix_len(), len);
            assert_eq!(encoded_len(got[0].prefix, false), field.len());
            let mut again = Vec::new();
            encode(&mut again, got[0], false);
            assert_eq!(again.len(), field.len());
            assert_eq!(NlriView::check(family, false, &again).unwrap().iter().next(), Some(got[0]));
            // One octet less is an error, one bit too many as well.
            field.pop();
            assert_eq!(NlriView::check(family, false, &field).is_ok(), len == 0, "{len}");
        }
        let field = [&[family.max_len() + 1][..], &[0; 20]].concat();
        assert_eq!(NlriView::check(family, false, &field), Err(0));
    }
}

#[test]
fn a_short_prefix_is_not_mixed_with_the_octets_behind_it() {
    let field = [8, 10, 9, 11, 0xff, 16, 172, 16, 0, 12, 10, 0xff];
    let view = NlriView::check(V4, false, &field).unwrap();
    assert_eq!(
        show(view),
        ["10.0.0.0/8", "11.128.0.0/9", "172.16.0.0/16", "0.0.0.0/0", "10.240.0.0/12"]
    );
    let field = [16, 0x20, 0x01, 17, 0xfd, 0x00, 0xff, 0];
    let view = NlriView::check(V6, false, &field).unwrap();
    assert_eq!(show(view), ["2001::/16", "fd00:8000::/17", "::/0"]);
}

#[test]
fn the_offset_is_that_of_the_bad_prefix() {
    assert_eq!(NlriView::check(V4, false, &[8, 10, 0, 33, 1, 2, 3, 4, 5]), Err(3));
    assert_eq!(NlriView::check(V4, true, &[0, 0, 0, 1, 8, 10, 0, 0, 0, 1]), Err(6));
    assert_eq!(NlriView::check(V4, true, &[0, 0, 0]), Err(0));
}

#[test]
fn path_identifiers_come_first() {
    let field = [0, 0, 0, 1, 8, 10, 0xff, 0xff, 0xff, 0xff, 0];
    let view = NlriView::check(V4, true, &field).unwrap();
    assert_eq!(show(view), ["10.0.0.0/8#1", "0.0.0.0/0#4294967295"]);
    let mut again = Vec::new();
    view.iter().for_each(|nlri| encode(&mut again, nlri, true));
    assert_eq!(again, field);
    let mut without = Vec::new();
    encode(&mut without, Nlri::from(Prefix::DEFAULT_V4), true);
    assert_eq!(without, [0; 5], "a missing identifier is 0");
}

#[test]
fn typed_iterators_belong_to_their_family() {
    let view = NlriView::check(V4, false, &[8, 10, 0]).unwrap();
    assert_eq!((view.iter_v4().count(), view.iter_v6().count()), (2, 0));
    let view = NlriView::check(V6, false, &[8, 0xfd, 0]).unwrap();
    assert_eq!((view.iter_v4().count(), view.iter_v6().count()), (0, 2));
    assert!(!view.is_empty() && NlriView::check(V6, false, &[]).unwrap().is_empty());
}
