// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 7606 §3 to §5: lists, repetitions, missing attributes, prefixes, multiprotocol attributes.

use bgp::types::{Family, FamilySet};
use bgp::wire::{
    AttrError, AttrErrorKind, CodecCtx, Error, NotificationCode as Code, Outcome, UpdateError, code,
};

use crate::craft::*;

/// The error of an UPDATE that must reset the session.
#[track_caller]
fn reset(octets: &[u8], ctx: &CodecCtx) -> UpdateError {
    match decode(octets, ctx) {
        Err(Error::Update(error)) => error,
        other => panic!("expected a reset, got {other:?}"),
    }
}

#[track_caller]
fn withdrawn(octets: &[u8], ctx: &CodecCtx) -> AttrError {
    match decode(octets, ctx).unwrap().outcome {
        Outcome::TreatAsWithdraw(error) => error,
        other => panic!("expected treat as withdraw, got {other:?}"),
    }
}

#[test]
fn length_fields_must_fit_the_message() {
    for (body, offset) in [
        (&[0, 1, 0, 0][..], 22),
        (&[0, 5, 0, 0], 19),
        (&[0xff, 0xff, 0, 0], 19),
        (&[0, 0, 0, 1], 21),
        (&[0, 0, 0xff, 0xff, 0x40, 1, 1, 0], 21),
        (&[0, 2, 8, 10, 0], 23),
        (&[0, 2, 8, 10, 0, 1], 23),
    ] {
        let error = reset(&message(UPDATE, body), &ebgp());
        assert_eq!(error, UpdateError::Lengths { offset }, "{body:?}");
        assert_eq!(error.notification().code, Code::MALFORMED_ATTRIBUTE_LIST);
    }
}

#[test]
fn an_update_cut_inside_of_its_lists_has_bad_lengths() {
    let withdrawn = [24, 198, 51, 100];
    let whole = update(&withdrawn, &mandatory(), &NLRI)[19..].to_vec();
    let attrs_at = 2 + withdrawn.len();
    let nlri_at = whole.len() - NLRI.len();
    for len in 4..whole.len() {
        let result = decode(&message(UPDATE, &whole[..len]), &ebgp()).map(|_| ());
        let lengths = |offset| Err(Error::Update(UpdateError::Lengths { offset: offset + 19 }));
        let expected = if len < attrs_at {
            lengths(0)
        } else if len < nlri_at {
            lengths(attrs_at)
        } else if len == nlri_at {
            // Attributes without prefixes are of no use, but no error.
            Ok(())
        } else {
            Err(Error::Update(UpdateError::Network { offset: nlri_at + 19 }))
        };
        assert_eq!(result, expected, "{len} octets");
    }
}

#[test]
fn malformed_prefixes_of_the_classic_fields_reset() {
    for (field, at) in [
        (&[33, 10, 0, 0, 0, 0][..], 0),
        (&[255, 10], 0),
        (&[8], 0),
        (&[24, 10, 0], 0),
        (&[8, 10, 32, 10, 0, 0], 2),
        (&[0, 0, 0, 9, 10], 3),
    ] {
        let in_nlri = update(&[], &mandatory(), field);
        let offset = in_nlri.len() - field.len() + at;
        assert_eq!(reset(&in_nlri, &ebgp()), UpdateError::Network { offset });
        let error = reset(&update(field, &[], &[]), &ebgp());
        assert_eq!(error, UpdateError::Network { offset: 21 + at });
        assert_eq!(error.notification().code, Code::INVALID_NETWORK_FIELD);
    }
}

#[test]
fn host_bits_of_a_prefix_are_of_no_meaning() {
    let octets = update(&[], &mandatory(), &[9, 10, 0xff, 0, 24, 203, 0, 113]);
    let update = decode(&octets, &ebgp()).unwrap();
    assert_eq!(prefixes(&update).1, ["10.128.0.0/9", "0.0.0.0/0", "203.0.113.0/24"]);
}

#[test]
fn a_missing_mandatory_attribute_treats_as_withdraw() {
    for code in [code::ORIGIN, code::AS_PATH, code::NEXT_HOP] {
        let attrs: Vec<_> = mandatory().into_iter().filter(|attr| attr[1] != code).collect();
        let octets = update(&[], &attrs, &NLRI);
        let offset = u16::try_from(octets.len() - NLRI.len()).unwrap();
        let error = AttrError { code, offset, kind: AttrErrorKind::Missing };
        assert_eq!(withdrawn(&octets, &ebgp()), error);
    }
    // With MP_REACH_NLRI, NEXT_HOP is not needed but the others are.
    let reach = attr(OPTIONAL, code::MP_REACH_NLRI, &mp_reach(Family::Ipv6Unicast, &HOP6, &NLRI6));
    let octets = update(&[], &[reach.clone(), origin(), as_path(&[65101])], &[]);
    assert_eq!(decode(&octets, &ebgp()).unwrap().outcome, Outcome::Ok);
    assert_eq!(withdrawn(&update(&[], &[reach], &[]), &ebgp()).code, code::ORIGIN);
    // Withdrawals need none.
    assert_eq!(decode(&update(&NLRI, &[], &[]), &ebgp()).unwrap().outcome, Outcome::Ok);
}

#[test]
fn the_first_of_repeated_attributes_counts() {
    for repeated in [
        attr(WELL_KNOWN, code::ORIGIN, &[2]),
        attr(WELL_KNOWN, code::ORIGIN, &[99]),
        as_path(&[1, 2]),
        attr(WELL_KNOWN, code::NEXT_HOP, &[0; 9]),
    ] {
        let octets = update(&[], &mandatory_and(std::slice::from_ref(&repeated)), &NLRI);
        let update = decode(&octets, &ebgp()).unwrap();
        let offset = u16::try_from(octets.len() - NLRI.len() - repeated.len()).unwrap();
        let error = AttrError { code: repeated[1], offset, kind: AttrErrorKind::Repeated };
        assert_eq!(update.outcome, Outcome::AttributeDiscard(vec![error]));
        assert_eq!(update.attrs.origin.number(), 0);
        assert_eq!(update.attrs.as_path.to_string(), "65101");
    }
    // Unknown ones, too; even one whose flags would end the session if it counted.
    let unknown = [attr(OPTIONAL_TRANSITIVE, 99, &[1]), attr(0x00, 99, &[2])];
    let octets = update(&[], &mandatory_and(&unknown), &NLRI);
    let update = decode(&octets, &ebgp()).unwrap();
    assert!(matches!(&update.outcome, Outcome::AttributeDiscard(list) if list.len() == 1));
    let kept: Vec<_> = update.attrs.unknown.iter().map(|attr| attr.value.to_vec()).collect();
    assert_eq!(kept, [[1]]);
}

#[test]
fn only_so_many_discards_are_listed() {
    let many = vec![attr(OPTIONAL_TRANSITIVE, 99, &[]); 100];
    let octets = update(&[], &mandatory_and(&many), &NLRI);
    let outcome = decode(&octets, &ebgp()).unwrap().outcome;
    assert!(matches!(outcome, Outcome::AttributeDiscard(list) if list.len() == 32));
}

#[test]
fn a_repeated_multiprotocol_attribute_resets() {
    let reach = attr(OPTIONAL, code::MP_REACH_NLRI, &mp_reach(Family::Ipv6Unicast, &HOP6, &NLRI6));
    let unreach = attr(OPTIONAL, code::MP_UNREACH_NLRI, &mp_unreach(Family::Ipv6Unicast, &NLRI6));
    for repeated in [reach, unreach] {
        let octets = update(&[], &[repeated.clone(), origin(), repeated.clone()], &[]);
        let error = reset(&octets, &ebgp());
        let offset = octets.len() - repeated.len();
        let expected = UpdateError::RepeatedMultiprotocol { code: repeated[1], offset };
        assert_eq!(error, expected);
        assert_eq!(error.notification().code, Code::MALFORMED_ATTRIBUTE_LIST);
    }
}

#[test]
fn an_attribute_past_the_end_of_the_list_treats_as_withdraw() {
    // RFC 7606 §4: the prefixes are still where the lengths of the message say.
    let fits = mandatory().concat().len();
    for (tail, code) in [
        (&[0x80][..], 0),
        (&[0x80, 4], 4),
        (&[0x80, 4, 4, 0, 0, 0], 4),
        (&[0x90, 4, 0], 4),
        (&[0xd0, 99, 0xff, 0xff, 1], 99),
        (&[0x80, 4, 255], 4),
    ] {
        let octets = update(&[], &mandatory_and(&[tail.to_vec()]), &NLRI);
        let offset = u16::try_from(FIRST_ATTR + fits).unwrap();
        let error = AttrError { code, offset, kind: AttrErrorKind::Overrun };
        assert_eq!(withdrawn(&octets, &ebgp()), error, "{tail:?}");
        assert_eq!(prefixes(&decode(&octets, &ebgp()).unwrap()).0, ["203.0.113.0/24"]);
    }
}

#[test]
fn an_error_without_prefixes_to_withdraw_resets() {
    // RFC 7606 §5.2.
    let bad_med = attr(OPTIONAL, code::MULTI_EXIT_DISC, &[1]);
    let unreach = attr(OPTIONAL, code::MP_UNREACH_NLRI, &mp_unreach(Family::Ipv6Unicast, &NLRI6));
    for octets in [
        update(&[], std::slice::from_ref(&bad_med), &[]),
        update(&NLRI, std::slice::from_ref(&bad_med), &[]),
        update(&[], &[unreach.clone(), bad_med.clone()], &[]),
    ] {
        let error = reset(&octets, &ebgp());
        assert!(matches!(error, UpdateError::NothingToWithdraw(e) if e.code == 4), "{error:?}");
        assert_eq!(error.notification().code, Code::ATTRIBUTE_LENGTH);
        assert_eq!(Error::from(error).attribute(), Some(4));
    }
    // Discards do not reset, and withdrawals with sound attributes are fine.
    let discard = attr(WELL_KNOWN, code::ATOMIC_AGGREGATE, &[1]);
    let octets = update(&NLRI, &[discard], &[]);
    let outcome = decode(&octets, &ebgp()).unwrap().outcome;
    assert!(matches!(outcome, Outcome::AttributeDiscard(_)));
    // Wrong flags on MP_UNREACH_NLRI alone: its prefixes are withdrawn anyway.
    let flags = attr(OPTIONAL_TRANSITIVE, code::MP_UNREACH_NLRI, &unreach[3..]);
    let octets = update(&[], &[flags], &[]);
    assert_eq!(withdrawn(&octets, &ebgp()).kind, AttrErrorKind::Flags(0xc0));
    assert_eq!(prefixes(&decode(&octets, &ebgp()).unwrap()).0, ["2001:db8:1::/48"]);
}

#[test]
fn reset_codes_follow_rfc_4271_where_nothing_can_be_withdrawn() {
    for (bad, expected) in [
        (attr(WELL_KNOWN, code::ORIGIN, &[7]), Code::INVALID_ORIGIN),
        (attr(WELL_KNOWN, code::ORIGIN, &[]), Code::ATTRIBUTE_LENGTH),
        (attr(OPTIONAL, code::ORIGIN, &[0]), Code::ATTRIBUTE_FLAGS),
        (attr(WELL_KNOWN, code::AS_PATH, &[9, 9]), Code::MALFORMED_AS_PATH),
        (attr(WELL_KNOWN, code::NEXT_HOP, &[1]), Code::ATTRIBUTE_LENGTH),
        (attr(OPTIONAL_TRANSITIVE, code::COMMUNITIES, &[1]), Code::OPTIONAL_ATTRIBUTE),
        (vec![0x40, 1, 9], Code::MALFORMED_ATTRIBUTE_LIST),
    ] {
        let error = reset(&update(&[], std::slice::from_ref(&bad), &[]), &ebgp());
        assert_eq!(error.notification().code, expected, "{bad:?}");
    }
}

#[test]
fn unknown_well_known_attributes_reset() {
    for code in [0, 11, 12, 13, 19, 31, 33, 40, 99, 128, 255] {
        for flags in [0x00, 0x40] {
            let strange = attr(flags, code, &[1, 2, 3]);
            let octets = update(&[], &mandatory_and(std::slice::from_ref(&strange)), &NLRI);
            let error = reset(&octets, &ebgp());
            assert_eq!(error.notification().code, Code::UNRECOGNIZED_WELL_KNOWN);
            assert_eq!(error.notification().data, strange, "the attribute goes back");
            let offset = octets.len() - NLRI.len() - strange.len();
            assert_eq!(Error::from(error).offset(), offset);
        }
    }
}

#[test]
fn malformed_multiprotocol_attributes_reset_with_their_offset() {
    let v6 = Family::Ipv6Unicast;
    let reach = |hop: &[u8], nlri: &[u8]| (code::MP_REACH_NLRI, mp_reach(v6, hop, nlri));
    let cases = [
        ((code::MP_REACH_NLRI, vec![]), 0),
        ((code::MP_REACH_NLRI, vec![0, 2]), 0),
        ((code::MP_REACH_NLRI, vec![0, 2, 1]), 6),
        ((code::MP_REACH_NLRI, vec![0, 2, 1, 16, 1]), 6),
        ((code::MP_REACH_NLRI, [&[0, 2, 1, 16][..], &HOP6].concat()), 6),
        (reach(&[], &NLRI6), 6),
        (reach(&[10, 0, 0, 1], &NLRI6), 6),
        (reach(&HOP6[..15], &NLRI6), 6),
        (reach(&[HOP6, HOP6].concat()[..24], &NLRI6), 6),
        (reach(&[HOP6, HOP6, HOP6].concat(), &NLRI6), 6),
        (reach(&HOP6, &[129, 1]), 24),
        (reach(&HOP6, &[48, 0x20, 1]), 24),
        (reach(&HOP6, &[&NLRI6[..], &[64, 0x20]].concat()), 31),
        ((code::MP_UNREACH_NLRI, vec![]), 0),
        ((code::MP_UNREACH_NLRI, vec![0, 2]), 0),
        ((code::MP_UNREACH_NLRI, mp_unreach(v6, &[129])), 6),
        ((code::MP_UNREACH_NLRI, mp_unreach(v6, &[&NLRI6[..], &[48, 1]].concat())), 13),
        ((code::MP_UNREACH_NLRI, mp_unreach(Family::Ipv4Unicast, &[33, 1, 2, 3, 4, 5])), 6),
    ];
    for ((code, value), at) in cases {
        let strange = attr(OPTIONAL, code, &value);
        let octets = update(&[], &[origin(), strange.clone(), as_path(&[65101])], &[]);
        let error = reset(&octets, &ebgp());
        let offset = FIRST_ATTR + origin().len() + at;
        let attribute = strange.clone().into();
        assert_eq!(error, UpdateError::Multiprotocol { code, offset, attribute }, "{value:?}");
        assert_eq!(error.notification().code, Code::OPTIONAL_ATTRIBUTE);
        assert_eq!(error.notification().data, strange);
    }
}

#[test]
fn mp_reach_cut_anywhere_resets_unless_a_prefix_ends_there() {
    let value = mp_reach(Family::Ipv6Unicast, &HOP6, &[&NLRI6[..], &[0], &NLRI6].concat());
    let ends = [21, 28, 29, 36];
    for len in 0..=value.len() {
        let attrs =
            [attr(OPTIONAL, code::MP_REACH_NLRI, &value[..len]), origin(), as_path(&[65101])];
        let octets = update(&[], &attrs, &[]);
        let result = decode(&octets, &ebgp());
        assert_eq!(result.is_ok(), ends.contains(&len), "{len}: {result:?}");
    }
}

#[test]
fn families_not_in_use_are_skipped_not_refused() {
    let v4_only = CodecCtx { families: FamilySet::only(Family::Ipv4Unicast), ..ebgp() };
    let v6_only = CodecCtx { families: FamilySet::only(Family::Ipv6Unicast), ..ebgp() };
    let reach = attr(OPTIONAL, code::MP_REACH_NLRI, &mp_reach(Family::Ipv6Unicast, &HOP6, &NLRI6));
    let vpn = attr(OPTIONAL, code::MP_REACH_NLRI, &[0, 1, 128, 2, 1, 2, 0, 99, 99]);
    let unreach = attr(OPTIONAL, code::MP_UNREACH_NLRI, &[0, 25, 70, 99, 99]);
    for (ctx, octets, skipped) in [
        (v4_only, update(&[], &[reach, origin(), as_path(&[1])], &[]), "ipv6Unicast"),
        (ebgp(), update(&[], &[vpn, origin(), as_path(&[1])], &[]), "1/128"),
        (ebgp(), update(&[], &[unreach], &[]), "25/70"),
        (v6_only, update(&[], &mandatory(), &NLRI), "ipv4Unicast"),
        (v6_only, update(&NLRI, &[], &[]), "ipv4Unicast"),
    ] {
        let update = decode(&octets, &ctx).unwrap();
        assert_eq!(update.outcome, Outcome::Ok);
        assert_eq!(update.skipped.map(|numbers| numbers.to_string()).as_deref(), Some(skipped));
        assert_eq!(prefixes(&update), (vec![], vec![]));
        assert_eq!(update.end_of_rib, None);
    }
    // A skipped MP_REACH_NLRI still counts as prefixes: no reset by RFC 7606 §5.2.
    let vpn = attr(OPTIONAL, code::MP_REACH_NLRI, &[0, 1, 128, 2, 1, 2, 0, 99, 99]);
    let octets = update(&[], &[vpn, attr(WELL_KNOWN, code::ORIGIN, &[9])], &[]);
    assert_eq!(withdrawn(&octets, &ebgp()).code, code::ORIGIN);
}

#[test]
fn of_several_errors_the_strongest_counts_and_then_the_lowest_code() {
    let bad_origin = attr(WELL_KNOWN, code::ORIGIN, &[9]);
    let bad_med = attr(OPTIONAL, code::MULTI_EXIT_DISC, &[9]);
    let discard = attr(WELL_KNOWN, code::ATOMIC_AGGREGATE, &[9]);
    let mut attrs = vec![discard, bad_med, bad_origin, as_path(&[1]), next_hop()];
    for _ in 0..attrs.len() {
        attrs.rotate_left(1);
        let error = withdrawn(&update(&[], &attrs, &NLRI), &ebgp());
        assert_eq!((error.code, error.kind), (code::ORIGIN, AttrErrorKind::Value));
    }
    let reach = attr(OPTIONAL, code::MP_REACH_NLRI, &[]);
    attrs.push(reach);
    let error = reset(&update(&[], &attrs, &NLRI), &ebgp());
    assert!(matches!(error, UpdateError::Multiprotocol { code: code::MP_REACH_NLRI, .. }));
}
