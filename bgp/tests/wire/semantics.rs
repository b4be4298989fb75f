// SPDX-License-Identifier: MIT OR Apache-2.0
//! What sound messages mean, beyond a plain prefix.

use bgp::types::{Asn, Family, FamilySet, Prefix};
use bgp::wire::{
    self, Aggregator, AsPath, Attributes, CodecCtx, EncodeError, NextHop, Nlri, Outcome, Partial,
    UpdateView, code,
};

use crate::craft::*;

fn two_octet() -> CodecCtx {
    CodecCtx { as4: false, ..ebgp() }
}

/// The value of an AS_PATH with two-octet numbers.
fn segments2(list: &[(u8, &[u16])]) -> Vec<u8> {
    let mut value = Vec::new();
    for (kind, asns) in list {
        value.extend_from_slice(&[*kind, u8::try_from(asns.len()).unwrap()]);
        asns.iter().for_each(|asn| value.extend_from_slice(&asn.to_be_bytes()));
    }
    value
}

fn segments4(list: &[(u8, &[u32])]) -> Vec<u8> {
    let mut value = Vec::new();
    for (kind, asns) in list {
        value.extend_from_slice(&[*kind, u8::try_from(asns.len()).unwrap()]);
        asns.iter().for_each(|asn| value.extend_from_slice(&asn.to_be_bytes()));
    }
    value
}

/// AS_PATH and AS4_PATH of a two-octet speaker, merged.
fn merged(path: &[(u8, &[u16])], as4: &[(u8, &[u32])]) -> (Outcome, String) {
    let attrs = [
        origin(),
        attr(OPTIONAL_TRANSITIVE, code::AS4_PATH, &segments4(as4)),
        attr(WELL_KNOWN, code::AS_PATH, &segments2(path)),
        next_hop(),
    ];
    let octets = update(&[], &attrs, &NLRI);
    let update = decode(&octets, &two_octet()).unwrap();
    (update.outcome, update.attrs.as_path.to_string())
}

#[test]
fn as4_path_replaces_the_tail_of_as_path() {
    // RFC 6793 §4.2.3.
    let ok = |text: &str| (Outcome::Ok, text.to_owned());
    assert_eq!(
        merged(&[(2, &[64500, 23456, 64501])], &[(2, &[70000, 64501])]),
        ok("64500 70000 64501")
    );
    assert_eq!(merged(&[(2, &[23456, 23456])], &[(2, &[70000, 70001])]), ok("70000 70001"));
    assert_eq!(
        merged(&[(2, &[64500]), (1, &[1, 2]), (2, &[23456])], &[(2, &[70000])]),
        ok("64500 {1,2} 70000"),
        "a set counts as one"
    );
    assert_eq!(merged(&[(1, &[1, 2]), (2, &[5, 23456])], &[(2, &[70000])]), ok("{1,2} 5 70000"));
    assert_eq!(
        merged(&[(2, &[1, 2, 3, 23456])], &[(1, &[70000, 70001])]),
        ok("1 2 3 {70000,70001}")
    );
    assert_eq!(
        merged(&[(2, &[23456])], &[(2, &[70000, 70001])]),
        ok("23456"),
        "a longer AS4_PATH is ignored"
    );
    assert_eq!(
        merged(&[(2, &[64500, 23456])], &[(3, &[9]), (2, &[70000])]),
        ok("64500 70000"),
        "confederation segments are left out"
    );
}

#[test]
fn a_malformed_as4_path_is_discarded() {
    for as4 in [&[(2, &[][..])][..], &[(7, &[1])], &[(2, &[70000, 0])]] {
        let (outcome, path) = merged(&[(2, &[64500, 23456])], as4);
        assert!(matches!(outcome, Outcome::AttributeDiscard(_)), "{as4:?}: {outcome:?}");
        assert_eq!(path, "64500 23456");
    }
}

#[test]
fn a_merged_path_may_not_exceed_the_limit_either() {
    let many = [7_u16; 250];
    let set = [70000_u32; 250];
    let path = [(2, &many[..]), (2, &many), (2, &many), (2, &many[..249])];
    let (outcome, _) = merged(&path, &[(1, &set), (2, &[70000])]);
    assert!(matches!(outcome, Outcome::TreatAsWithdraw(error) if error.code == code::AS_PATH));
}

#[test]
fn as4_aggregator_counts_only_beside_as_trans() {
    // RFC 6793 §4.2.3: if AGGREGATOR is not AS_TRANS, neither AS4_AGGREGATOR nor AS4_PATH counts.
    for (asn, aggregator, path) in
        [(23456_u16, "70001 10.0.0.2", "64500 70000"), (64999, "64999 10.0.0.1", "64500 23456")]
    {
        let [high, low] = asn.to_be_bytes();
        let attrs = [
            attr(OPTIONAL_TRANSITIVE, code::AS4_AGGREGATOR, &[0, 1, 0x11, 0x71, 10, 0, 0, 2]),
            attr(OPTIONAL_TRANSITIVE, code::AS4_PATH, &segments4(&[(2, &[70000])])),
            origin(),
            attr(WELL_KNOWN, code::AS_PATH, &segments2(&[(2, &[64500, 23456])])),
            next_hop(),
            attr(OPTIONAL_TRANSITIVE, code::AGGREGATOR, &[high, low, 10, 0, 0, 1]),
        ];
        let octets = update(&[], &attrs, &NLRI);
        let attrs = decode(&octets, &two_octet()).unwrap().attrs;
        let got = attrs.aggregator.unwrap();
        assert_eq!(format!("{} {}", got.asn, got.address), aggregator);
        assert_eq!(attrs.as_path.to_string(), path);
    }
}

#[test]
fn four_octet_numbers_cross_a_two_octet_session() {
    // RFC 6793 §4.2.2.
    let mut attrs = attrs_via(NextHop::V4([192, 0, 2, 1].into()));
    attrs.as_path = AsPath::sequence([Asn(64500), Asn(70000)]);
    attrs.aggregator = Some(Aggregator { asn: Asn(70001), address: [10, 0, 0, 1].into() });
    let prefix: Prefix = "203.0.113.0/24".parse().unwrap();
    let mut out = Vec::new();
    let family = Family::Ipv4Unicast;
    wire::encode_reach(&two_octet(), family, &attrs, [prefix.into()], &mut out).unwrap();
    assert_eq!(decode(&out, &two_octet()).unwrap().attrs, attrs);
    // Numbers that fit travel alone.
    attrs.as_path = AsPath::sequence([Asn(64500)]);
    attrs.aggregator = Some(Aggregator { asn: Asn(64500), address: [10, 0, 0, 1].into() });
    out.clear();
    wire::encode_reach(&two_octet(), family, &attrs, [prefix.into()], &mut out).unwrap();
    let view = UpdateView::parse(&out[19..]).unwrap();
    let codes: Vec<_> = view.attributes().map(|attr| attr.unwrap().code).collect();
    assert_eq!(codes, [code::ORIGIN, code::AS_PATH, code::NEXT_HOP, code::AGGREGATOR]);
}

#[test]
fn four_octet_twins_are_discarded_between_four_octet_speakers() {
    let attrs = mandatory_and(&[
        attr(OPTIONAL_TRANSITIVE, code::AS4_PATH, &segments4(&[(2, &[70000])])),
        attr(OPTIONAL_TRANSITIVE, code::AS4_AGGREGATOR, &[0, 1, 0x11, 0x71, 10, 0, 0, 2]),
    ]);
    let octets = update(&[], &attrs, &NLRI);
    let update = decode(&octets, &ebgp()).unwrap();
    assert!(matches!(update.outcome, Outcome::AttributeDiscard(list) if list.len() == 2));
    assert_eq!(update.attrs.as_path.to_string(), "65101");
    assert_eq!(update.attrs.aggregator, None);
}

#[test]
fn unknown_attributes_are_kept_if_transitive() {
    let attrs = mandatory_and(&[
        attr(OPTIONAL_TRANSITIVE, 200, &[1, 2, 3]),
        attr(OPTIONAL, 99, &[4, 5]),
        attr(OPTIONAL_TRANSITIVE, 40, &[0; 300]),
        attr(OPTIONAL_TRANSITIVE, 35, &[]),
    ]);
    let octets = update(&[], &attrs, &NLRI);
    let attrs = decode(&octets, &ebgp()).unwrap().attrs;
    let kept: Vec<_> =
        attrs.unknown.iter().map(|attr| (attr.code, attr.flags, attr.value.len())).collect();
    assert_eq!(kept, [(35, 0xe0, 0), (40, 0xe0, 300), (200, 0xe0, 3)], "sorted, Partial set");

    let mut out = Vec::new();
    let prefix: Prefix = "203.0.113.0/24".parse().unwrap();
    let family = Family::Ipv4Unicast;
    wire::encode_reach(&ebgp(), family, &attrs, [prefix.into()], &mut out).unwrap();
    let view = UpdateView::parse(&out[19..]).unwrap();
    let sent = view.attributes().map(Result::unwrap).filter(|attr| attr.code > 32);
    let sent: Vec<_> = sent.map(|attr| (attr.code, attr.flags, attr.value.to_vec())).collect();
    let expected = [(35, 0xe0, vec![]), (40, 0xf0, vec![0; 300]), (200, 0xe0, vec![1, 2, 3])];
    assert_eq!(sent, expected);

    let plain = CodecCtx { keep_unknown: false, ..ebgp() };
    assert!(decode(&octets, &plain).unwrap().attrs.unknown.is_empty());
}

#[test]
fn partial_flags_of_known_attributes_survive() {
    let attrs = mandatory_and(&[
        attr(0xe0, code::COMMUNITIES, &[0, 1, 0, 2]),
        attr(0xc0, code::LARGE_COMMUNITIES, &[1; 12]),
        attr(0xe0, code::AGGREGATOR, &[0, 0, 0, 7, 10, 0, 0, 1]),
    ]);
    let octets = update(&[], &attrs, &NLRI);
    let attrs = decode(&octets, &ebgp()).unwrap().attrs;
    assert!(attrs.partial.contains(code::COMMUNITIES) && attrs.partial.contains(code::AGGREGATOR));
    assert!(!attrs.partial.contains(code::LARGE_COMMUNITIES));
    let mut out = Vec::new();
    let prefix: Prefix = "203.0.113.0/24".parse().unwrap();
    let family = Family::Ipv4Unicast;
    wire::encode_reach(&ebgp(), family, &attrs, [prefix.into()], &mut out).unwrap();
    assert_eq!(decode(&out, &ebgp()).unwrap().attrs, attrs);
    // An attribute that is discarded takes its flag along.
    let attrs = mandatory_and(&[attr(0xe0, code::AGGREGATOR, &[0; 3])]);
    let octets = update(&[], &attrs, &NLRI);
    assert_eq!(decode(&octets, &ebgp()).unwrap().attrs.partial, Partial::default());
}

#[test]
fn communities_are_sets() {
    let attrs = mandatory_and(&[
        attr(OPTIONAL_TRANSITIVE, code::COMMUNITIES, &[0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0]),
        attr(OPTIONAL_TRANSITIVE, code::LARGE_COMMUNITIES, &[[2; 12], [1; 12], [2; 12]].concat()),
    ]);
    let octets = update(&[], &attrs, &NLRI);
    let communities = decode(&octets, &ebgp()).unwrap().attrs.communities;
    let standard: Vec<_> = communities.standard.iter().map(ToString::to_string).collect();
    assert_eq!(standard, ["1:0", "2:0"]);
    assert_eq!(communities.large.len(), 2);
    assert!(communities.standard.contains("2:0".parse().unwrap()));
    assert!(!communities.standard.contains("3:0".parse().unwrap()));
}

#[test]
fn end_of_rib_is_an_update_that_says_nothing() {
    // RFC 4724 §2.
    let marker = |family| attr(OPTIONAL, code::MP_UNREACH_NLRI, &mp_unreach(family, &[]));
    let end = |octets: &[u8], ctx: &CodecCtx| decode(octets, ctx).unwrap().end_of_rib;
    let (v4, v6) = (Family::Ipv4Unicast, Family::Ipv6Unicast);
    assert_eq!(end(&update(&[], &[], &[]), &ebgp()), Some(v4));
    assert_eq!(end(&update(&[], &[marker(v6)], &[]), &ebgp()), Some(v6));
    assert_eq!(end(&update(&[], &[marker(v4)], &[]), &ebgp()), Some(v4));
    for family in Family::ALL {
        let mut out = Vec::new();
        wire::encode_end_of_rib(family, &mut out);
        assert_eq!(end(&out, &ebgp()), Some(family));
        let without = CodecCtx { families: FamilySet::EMPTY, ..ebgp() };
        assert_eq!(end(&out, &without), None, "family not in use");
    }
    for not_the_end in [
        update(&[], &[origin()], &[]),
        update(&[], &[marker(v6), origin()], &[]),
        update(&NLRI, &[marker(v6)], &[]),
        update(&[], &mandatory(), &NLRI),
    ] {
        assert_eq!(end(&not_the_end, &ebgp()), None, "{not_the_end:?}");
    }
}

#[test]
fn one_update_may_carry_everything() {
    let v6 = Family::Ipv6Unicast;
    let attrs = mandatory_and(&[
        attr(OPTIONAL, code::MP_UNREACH_NLRI, &mp_unreach(v6, &[16, 0xfd, 0])),
        attr(OPTIONAL, code::MP_REACH_NLRI, &mp_reach(v6, &HOP6, &NLRI6)),
    ]);
    let octets = update(&[8, 10], &attrs, &NLRI);
    let update = decode(&octets, &ebgp()).unwrap();
    assert_eq!(
        prefixes(&update),
        (
            vec!["10.0.0.0/8".into(), "fd00::/16".into()],
            vec!["203.0.113.0/24".into(), "2001:db8:1::/48".into()]
        )
    );
    let hops: Vec<_> = update.reach().map(|reach| reach.next_hop).collect();
    let (classic, multiprotocol) = (NextHop::V4([192, 0, 2, 1].into()), NextHop::V6(HOP6.into()));
    assert_eq!(hops, [classic, multiprotocol]);
    assert_eq!(update.attrs.next_hop, Some(classic));
    assert_eq!(update.attrs_with(multiprotocol).next_hop, Some(multiprotocol));
    // The same with an error: everything is withdrawn.
    let attrs = [&attrs[..], &[attr(OPTIONAL, code::MULTI_EXIT_DISC, &[])]].concat();
    let octets = crate::craft::update(&[8, 10], &attrs, &NLRI);
    let update = decode(&octets, &ebgp()).unwrap();
    let expected = ["10.0.0.0/8", "fd00::/16", "203.0.113.0/24", "2001:db8:1::/48"];
    assert_eq!(prefixes(&update).0, expected);
    assert_eq!((prefixes(&update).1, update.attrs), (vec![], Attributes::default()));
}

#[test]
fn ipv4_prefixes_may_have_ipv6_next_hops_where_agreed() {
    // RFC 8950 §3: length 16 or 32, only with the capability.
    let agreed = CodecCtx { ext_next_hop: true, ..ebgp() };
    let link_local = [&[0xfe, 0x80][..], &[0; 13], &[1]].concat();
    for (hop, text) in
        [(HOP6.to_vec(), "2001:db8::1"), ([&HOP6[..], &link_local].concat(), "2001:db8::1 fe80::1")]
    {
        let value = mp_reach(Family::Ipv4Unicast, &hop, &NLRI);
        let attrs = [attr(OPTIONAL, code::MP_REACH_NLRI, &value), origin(), as_path(&[65101])];
        let octets = update(&[], &attrs, &[]);
        let update = decode(&octets, &agreed).unwrap();
        assert_eq!(update.reach().next().unwrap().next_hop.to_string(), text);
        assert_eq!(prefixes(&update).1, ["203.0.113.0/24"]);
        assert!(decode(&octets, &ebgp()).is_err(), "not agreed");
    }
    let value = mp_reach(Family::Ipv4Unicast, &[192, 0, 2, 1], &NLRI);
    let attrs = [attr(OPTIONAL, code::MP_REACH_NLRI, &value), origin(), as_path(&[65101])];
    let octets = update(&[], &attrs, &[]);
    assert_eq!(decode(&octets, &ebgp()).unwrap().attrs.next_hop.unwrap().to_string(), "192.0.2.1");
}

#[test]
fn path_identifiers_are_read_only_where_agreed() {
    let agreed = CodecCtx { addpath_rx: FamilySet::only(Family::Ipv4Unicast), ..ebgp() };
    let nlri = [&[0, 0, 0, 7][..], &NLRI].concat();
    let octets = update(&nlri, &mandatory(), &nlri);
    let got = decode(&octets, &agreed).unwrap();
    let expected = vec!["203.0.113.0/24#7".to_owned()];
    assert_eq!(prefixes(&got), (expected.clone(), expected));
    // Without the agreement, an identifier of 0 reads as four default routes.
    let zero = update(&[], &mandatory(), &[&[0, 0, 0, 0][..], &NLRI].concat());
    assert_eq!(prefixes(&decode(&zero, &agreed).unwrap()).1, ["203.0.113.0/24#0"]);
    assert_eq!(prefixes(&decode(&zero, &ebgp()).unwrap()).1.len(), 5);
    // With the agreement, a prefix without identifier is cut short.
    assert!(decode(&update(&[], &mandatory(), &NLRI), &agreed).is_err());
    // IPv6 on the same session has none.
    let reach = mp_reach(Family::Ipv6Unicast, &HOP6, &NLRI6);
    let attrs = [attr(OPTIONAL, code::MP_REACH_NLRI, &reach), origin(), as_path(&[65101])];
    let octets = update(&[], &attrs, &[]);
    assert_eq!(prefixes(&decode(&octets, &agreed).unwrap()).1, ["2001:db8:1::/48"]);
}

fn attrs_via(next_hop: NextHop) -> Attributes {
    let as_path = AsPath::sequence([Asn(65101)]);
    Attributes { as_path, next_hop: Some(next_hop), ..Attributes::default() }
}

#[test]
fn the_encoder_refuses_what_the_session_cannot_carry() {
    let v4: Nlri = "203.0.113.0/24".parse::<Prefix>().unwrap().into();
    let v6: Nlri = "2001:db8:1::/48".parse::<Prefix>().unwrap().into();
    let (hop4, hop6) = (NextHop::V4([192, 0, 2, 1].into()), NextHop::V6(HOP6.into()));
    let encode = |ctx: &CodecCtx, family, attrs: &Attributes, nlri: &[Nlri]| {
        let mut out = vec![1, 2, 3];
        let result = wire::encode_reach(ctx, family, attrs, nlri.iter().copied(), &mut out);
        assert_eq!(&out[..3], [1, 2, 3]);
        assert!(result.is_ok() || out.len() == 3, "nothing is left behind by a failure");
        result
    };
    let (f4, f6) = (Family::Ipv4Unicast, Family::Ipv6Unicast);
    let agreed = CodecCtx { ext_next_hop: true, ..ebgp() };
    assert_eq!(encode(&ebgp(), f4, &attrs_via(hop4), &[v4]), Ok(1));
    assert_eq!(encode(&ebgp(), f6, &attrs_via(hop6), &[v6]), Ok(1));
    assert_eq!(encode(&agreed, f4, &attrs_via(hop6), &[v4]), Ok(1));
    assert_eq!(encode(&ebgp(), f4, &attrs_via(hop4), &[]), Ok(0));
    assert_eq!(encode(&ebgp(), f4, &attrs_via(hop6), &[v4]), Err(EncodeError::NextHop));
    assert_eq!(encode(&agreed, f6, &attrs_via(hop4), &[v6]), Err(EncodeError::NextHop));
    assert_eq!(encode(&ebgp(), f4, &Attributes::default(), &[v4]), Err(EncodeError::NextHop));
    assert_eq!(encode(&ebgp(), f4, &attrs_via(hop4), &[v4, v6]), Err(EncodeError::Family));
    let many: Vec<Nlri> = std::iter::repeat_n(v4, 2000).chain([v6]).collect();
    assert_eq!(encode(&ebgp(), f4, &attrs_via(hop4), &many[..2000]), Ok(2));
    assert_eq!(encode(&ebgp(), f4, &attrs_via(hop4), &many), Err(EncodeError::Family));
    let mut out = Vec::new();
    assert_eq!(wire::encode_unreach(&ebgp(), f6, [v4], &mut out), Err(EncodeError::Family));
    // 1,000 hops of four octets, and communities: more than 4096 octets, but not than 65,535.
    let mut long = attrs_via(hop4);
    long.as_path = AsPath::sequence(std::iter::repeat_n(Asn(70000), 1000));
    long.communities.standard = (0..100).map(bgp::types::Community).collect();
    let error = encode(&ebgp(), f4, &long, &[v4]).unwrap_err();
    assert!(matches!(error, EncodeError::MessageTooLong { limit: 4096, .. }), "{error}");
    let extended = CodecCtx { ext_msg: true, ..ebgp() };
    assert_eq!(encode(&extended, f4, &long, &[v4]), Ok(1));
}

#[test]
fn external_sessions_never_get_internal_attributes() {
    let mut attrs = attrs_via(NextHop::V4([192, 0, 2, 1].into()));
    attrs.local_pref = Some(200);
    attrs.reflection.originator_id = Some("10.0.0.1".parse().unwrap());
    attrs.reflection.cluster_list = [[10, 0, 0, 2].into()].into();
    let prefix: Prefix = "203.0.113.0/24".parse().unwrap();
    for (ctx, expected) in [(ebgp(), 3), (ibgp(), 6)] {
        let mut out = Vec::new();
        let family = Family::Ipv4Unicast;
        wire::encode_reach(&ctx, family, &attrs, [prefix.into()], &mut out).unwrap();
        let view = UpdateView::parse(&out[19..]).unwrap();
        let codes: Vec<_> = view.attributes().map(|attr| attr.unwrap().code).collect();
        assert_eq!(codes.len(), expected);
        assert!(codes.is_sorted(), "{codes:?}");
    }
}
