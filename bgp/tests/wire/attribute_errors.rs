// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 7606 §3 c and §7: flags, lengths and values of each attribute, with the exact action.

use bgp::types::Family;
use bgp::wire::{AttrError, AttrErrorKind, CodecCtx, Outcome, code};

use crate::craft::*;

/// Code, right flags, a right value, the lengths that are right (up to 24).
struct Known {
    code: u8,
    flags: u8,
    value: Vec<u8>,
    lengths: fn(usize) -> bool,
}

fn known(code: u8, flags: u8, value: &[u8], lengths: fn(usize) -> bool) -> Known {
    Known { code, flags, value: value.to_vec(), lengths }
}

/// Every attribute that we know but those of RFC 4760, on a four-octet session.
fn all_known() -> Vec<Known> {
    let list4 = |len| len > 0 && len % 4 == 0;
    vec![
        known(code::ORIGIN, WELL_KNOWN, &[0], |len| len == 1),
        known(code::AS_PATH, WELL_KNOWN, &sequence(&[65101]), |len| len == 0),
        known(code::NEXT_HOP, WELL_KNOWN, &[192, 0, 2, 1], |len| len == 4),
        known(code::MULTI_EXIT_DISC, OPTIONAL, &[0, 0, 0, 5], |len| len == 4),
        known(code::LOCAL_PREF, WELL_KNOWN, &[0, 0, 0, 100], |len| len == 4),
        known(code::ATOMIC_AGGREGATE, WELL_KNOWN, &[], |len| len == 0),
        known(code::AGGREGATOR, OPTIONAL_TRANSITIVE, &[0, 0, 1, 0, 10, 0, 0, 1], |len| len == 8),
        known(code::COMMUNITIES, OPTIONAL_TRANSITIVE, &[0, 1, 0, 2], list4),
        known(code::ORIGINATOR_ID, OPTIONAL, &[10, 0, 0, 1], |len| len == 4),
        known(code::CLUSTER_LIST, OPTIONAL, &[10, 0, 0, 1], list4),
        known(code::EXT_COMMUNITIES, OPTIONAL_TRANSITIVE, &[0, 2, 0, 0, 0, 0, 0, 1], |len| {
            len > 0 && len % 8 == 0
        }),
        known(code::LARGE_COMMUNITIES, OPTIONAL_TRANSITIVE, &[1; 12], |len| {
            len > 0 && len % 12 == 0
        }),
    ]
}

/// The mandatory attributes with one of them replaced, or one more.
fn with(known: &Known, flags: u8, value: &[u8]) -> Vec<Vec<u8>> {
    let mut attrs: Vec<_> = mandatory().into_iter().filter(|attr| attr[1] != known.code).collect();
    attrs.insert(0, attr(flags, known.code, value));
    attrs
}

fn outcome(attrs: &[Vec<u8>], ctx: &CodecCtx) -> Outcome {
    let octets = update(&[], attrs, &NLRI);
    let update = decode(&octets, ctx).unwrap();
    let withdrawn = prefixes(&update).0;
    match update.outcome {
        Outcome::TreatAsWithdraw(_) => {
            assert_eq!(withdrawn, ["203.0.113.0/24"]);
            assert_eq!(update.reach().count(), 0);
        }
        Outcome::Ok | Outcome::AttributeDiscard(_) => {
            assert!(withdrawn.is_empty());
            assert_eq!(update.reach().count(), 1);
        }
    }
    update.outcome
}

fn error(code: u8, kind: AttrErrorKind) -> AttrError {
    AttrError { code, offset: u16::try_from(FIRST_ATTR).unwrap(), kind }
}

fn internal_only(code: u8) -> bool {
    matches!(code, code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST)
}

#[test]
fn right_attributes_are_accepted() {
    for known in all_known() {
        assert_eq!(outcome(&with(&known, known.flags, &known.value), &ibgp()), Outcome::Ok);
    }
}

#[test]
fn wrong_optional_or_transitive_flags_treat_as_withdraw() {
    for known in all_known() {
        for flags in [0x00, 0x40, 0x80, 0xc0] {
            let got = outcome(&with(&known, flags, &known.value), &ibgp());
            if flags == known.flags {
                assert_eq!(got, Outcome::Ok, "attribute {}", known.code);
            } else {
                let error = error(known.code, AttrErrorKind::Flags(flags));
                assert_eq!(got, Outcome::TreatAsWithdraw(error));
            }
        }
    }
}

#[test]
fn partial_unused_and_extended_flags_do_not_matter() {
    for known in all_known() {
        for extra in [0x20, 0x0f, 0x01] {
            let got = outcome(&with(&known, known.flags | extra, &known.value), &ibgp());
            assert_eq!(got, Outcome::Ok, "attribute {} with {extra:#x}", known.code);
        }
        let mut long = with(&known, known.flags, &known.value);
        let len = u8::try_from(known.value.len()).unwrap();
        long[0] = [&[known.flags | 0x10, known.code, 0, len][..], &known.value].concat();
        assert_eq!(outcome(&long, &ibgp()), Outcome::Ok, "attribute {}", known.code);
    }
}

#[test]
fn each_wrong_length_has_the_action_of_rfc_7606() {
    for known in all_known() {
        for len in 0..=24 {
            let value = vec![1; len];
            let got = outcome(&with(&known, known.flags, &value), &ibgp());
            if (known.lengths)(len) {
                assert_eq!(got, Outcome::Ok, "attribute {} length {len}", known.code);
                continue;
            }
            let kind = if known.code == code::AS_PATH {
                // Octets of value 1: a set with one member, then rubbish.
                AttrErrorKind::Segment
            } else {
                AttrErrorKind::Length(u16::try_from(len).unwrap())
            };
            if known.code == code::AS_PATH && len % 6 == 0 {
                assert_eq!(got, Outcome::Ok, "sets of AS 16843009");
                continue;
            }
            let error = error(known.code, kind);
            let expected = match known.code {
                code::ATOMIC_AGGREGATE | code::AGGREGATOR => Outcome::AttributeDiscard(vec![error]),
                _ => Outcome::TreatAsWithdraw(error),
            };
            assert_eq!(got, expected, "attribute {} length {len}", known.code);
        }
    }
}

#[test]
fn internal_attributes_are_discarded_on_external_sessions_whatever_is_in_them() {
    for known in all_known().iter().filter(|known| internal_only(known.code)) {
        for value in [known.value.clone(), vec![1; 3], vec![]] {
            let attrs = with(known, known.flags, &value);
            let error = error(known.code, AttrErrorKind::Unexpected);
            assert_eq!(outcome(&attrs, &ebgp()), Outcome::AttributeDiscard(vec![error]));
            let octets = update(&[], &attrs, &NLRI);
            let attrs = decode(&octets, &ebgp()).unwrap().attrs;
            assert_eq!((attrs.local_pref, attrs.reflection), (None, Default::default()));
        }
    }
}

#[test]
fn values_that_cannot_be_treat_as_withdraw() {
    let origin = &all_known()[0];
    for number in 0..=255 {
        let got = outcome(&with(origin, WELL_KNOWN, &[number]), &ebgp());
        let expected = Outcome::TreatAsWithdraw(error(code::ORIGIN, AttrErrorKind::Value));
        assert_eq!(got, if number < 3 { Outcome::Ok } else { expected });
    }
    let next_hop = &all_known()[2];
    for (hop, good) in [
        ([0, 0, 0, 0], false),
        ([224, 0, 0, 1], false),
        ([240, 0, 0, 1], false),
        ([255, 255, 255, 255], false),
        ([223, 255, 255, 255], true),
        ([10, 0, 0, 1], true),
    ] {
        let got = outcome(&with(next_hop, WELL_KNOWN, &hop), &ebgp());
        let expected = Outcome::TreatAsWithdraw(error(code::NEXT_HOP, AttrErrorKind::Value));
        assert_eq!(got, if good { Outcome::Ok } else { expected }, "{hop:?}");
    }
    let originator = &all_known()[8];
    assert_eq!(
        outcome(&with(originator, OPTIONAL, &[0; 4]), &ibgp()),
        Outcome::TreatAsWithdraw(error(code::ORIGINATOR_ID, AttrErrorKind::Value))
    );
}

#[test]
fn a_next_hop_beside_mp_reach_alone_is_not_looked_at() {
    // RFC 4760 §3.
    let reach = mp_reach(Family::Ipv6Unicast, &HOP6, &NLRI6);
    let attrs = [
        attr(OPTIONAL, code::MP_REACH_NLRI, &reach),
        origin(),
        as_path(&[65101]),
        attr(WELL_KNOWN, code::NEXT_HOP, &[0, 0, 0, 0]),
    ];
    let octets = update(&[], &attrs, &[]);
    let update = decode(&octets, &ebgp()).unwrap();
    assert_eq!(update.outcome, Outcome::Ok);
    assert_eq!(update.attrs.next_hop.map(|hop| hop.to_string()).as_deref(), Some("2001:db8::1"));
}

#[test]
fn next_hops_of_mp_reach_must_be_hosts() {
    let link_local = [&[0xfe, 0x80][..], &[0; 13], &[1]].concat();
    for (hop, good) in [
        (vec![0; 16], false),
        ([&[0xff, 0x02][..], &[0; 13], &[1]].concat(), false),
        (HOP6.to_vec(), true),
        (link_local.clone(), true),
        ([HOP6.to_vec(), link_local.clone()].concat(), true),
        ([vec![0; 16], link_local].concat(), true),
        (vec![0; 32], false),
    ] {
        let value = mp_reach(Family::Ipv6Unicast, &hop, &NLRI6);
        let attrs = [attr(OPTIONAL, code::MP_REACH_NLRI, &value), origin(), as_path(&[65101])];
        let octets = update(&[], &attrs, &[]);
        let update = decode(&octets, &ebgp()).unwrap();
        let expected = Outcome::TreatAsWithdraw(error(code::MP_REACH_NLRI, AttrErrorKind::Value));
        assert_eq!(update.outcome, if good { Outcome::Ok } else { expected }, "{hop:?}");
    }
}

#[test]
fn malformed_paths_treat_as_withdraw() {
    let path = &all_known()[1];
    let confederation = [3, 1, 0, 0, 0xfd, 0xe8];
    for (value, kind) in [
        (vec![2], AttrErrorKind::Segment),
        (vec![2, 0], AttrErrorKind::Segment),
        (vec![1, 0], AttrErrorKind::Segment),
        (vec![2, 1, 0, 0, 1], AttrErrorKind::Segment),
        (vec![0, 1, 0, 0, 0, 1], AttrErrorKind::Segment),
        (vec![5, 1, 0, 0, 0, 1], AttrErrorKind::Segment),
        (confederation.to_vec(), AttrErrorKind::Segment),
        (vec![4, 1, 0, 0, 0, 1], AttrErrorKind::Segment),
        ([sequence(&[1]), vec![2]].concat(), AttrErrorKind::Segment),
        ([sequence(&[1]), vec![2, 2, 0, 0, 0, 1]].concat(), AttrErrorKind::Segment),
        (sequence(&[65101, 0]), AttrErrorKind::Value),
        (vec![1, 1, 0, 0, 0, 0], AttrErrorKind::Value),
        (sequence(&[7; 250]).repeat(4), AttrErrorKind::TooManyHops(0)),
        (
            [sequence(&[7; 250]).repeat(4), sequence(&[7])].concat(),
            AttrErrorKind::TooManyHops(1001),
        ),
    ] {
        let got = outcome(&with(path, WELL_KNOWN, &value), &ibgp());
        let accepted = kind == AttrErrorKind::TooManyHops(0);
        let expected = Outcome::TreatAsWithdraw(error(code::AS_PATH, kind));
        assert_eq!(got, if accepted { Outcome::Ok } else { expected }, "{value:?}");
    }
}

#[test]
fn paths_of_two_octets_are_read_with_two_octets() {
    let two = CodecCtx { as4: false, ..ebgp() };
    let path = attr(WELL_KNOWN, code::AS_PATH, &[2, 2, 0xfd, 0xe8, 0, 7]);
    let octets = update(&[], &[origin(), path.clone(), next_hop()], &NLRI);
    assert_eq!(decode(&octets, &two).unwrap().attrs.as_path.to_string(), "65000 7");
    // The same octets on a four-octet session run past the end.
    let got = decode(&octets, &ebgp()).unwrap().outcome;
    assert!(matches!(got, Outcome::TreatAsWithdraw(e) if e.kind == AttrErrorKind::Segment));
    // And four octets on a two-octet session leave a rest.
    let octets = update(&[], &mandatory(), &NLRI);
    assert!(matches!(decode(&octets, &two).unwrap().outcome, Outcome::TreatAsWithdraw(_)));
}

#[test]
fn aggregators_have_the_width_of_the_session_and_no_as_zero() {
    let two = CodecCtx { as4: false, ..ebgp() };
    let with = |ctx: &CodecCtx, value: &[u8]| {
        let path = if ctx.as4 { sequence(&[7]) } else { vec![2, 1, 0, 7] };
        let attrs = [
            attr(OPTIONAL_TRANSITIVE, code::AGGREGATOR, value),
            origin(),
            attr(WELL_KNOWN, code::AS_PATH, &path),
            next_hop(),
        ];
        let octets = update(&[], &attrs, &NLRI);
        let update = decode(&octets, ctx).unwrap();
        (update.outcome, update.attrs.aggregator.map(|a| (a.asn.0, a.address.to_string())))
    };
    let discard = |kind| (Outcome::AttributeDiscard(vec![error(code::AGGREGATOR, kind)]), None);
    let good = (Outcome::Ok, Some((7, "10.0.0.1".to_owned())));
    assert_eq!(with(&ebgp(), &[0, 0, 0, 7, 10, 0, 0, 1]), good);
    assert_eq!(with(&two, &[0, 7, 10, 0, 0, 1]), good);
    assert_eq!(with(&ebgp(), &[0, 7, 10, 0, 0, 1]), discard(AttrErrorKind::Length(6)));
    assert_eq!(with(&two, &[0, 0, 0, 7, 10, 0, 0, 1]), discard(AttrErrorKind::Length(8)));
    assert_eq!(with(&ebgp(), &[0, 0, 0, 0, 10, 0, 0, 1]), discard(AttrErrorKind::Value));
    assert_eq!(with(&two, &[0, 0, 10, 0, 0, 1]), discard(AttrErrorKind::Value));
}
