// SPDX-License-Identifier: MIT OR Apache-2.0
//! Properties: round trips, packing, independence of attribute order.

use std::time::Duration;

use bgp::types::{AfiSafi, Asn, BgpId, Family, FamilySet, Prefix};
use bgp::wire::{
    self, AddPath, AsPath, AttrError, Attributes, Capabilities, Capability, CodecCtx,
    DecodedUpdate, Error, ExtendedNextHop, Frame, GracefulRestart, LongLivedRestart, Message,
    NextHop, Nlri, Notification, NotificationCode, Open, Outcome, RefreshKind, RestartFamily, Role,
    RouteRefresh, code,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::craft::{self, *};

fn prefix(family: Family) -> BoxedStrategy<Prefix> {
    let make = |addr, len| Prefix::new_masked(addr, len).unwrap();
    match family {
        Family::Ipv4Unicast => (any::<u32>(), 0..=32_u8)
            .prop_map(move |(bits, len)| make(std::net::Ipv4Addr::from(bits).into(), len))
            .boxed(),
        Family::Ipv6Unicast => (any::<u128>(), 0..=128_u8)
            .prop_map(move |(bits, len)| make(std::net::Ipv6Addr::from(bits).into(), len))
            .boxed(),
    }
}

fn prefixes(family: Family, most: usize) -> impl Strategy<Value = Vec<Nlri>> {
    vec((prefix(family), any::<u32>()), 0..most).prop_map(|list| {
        list.into_iter().map(|(prefix, id)| Nlri { path_id: Some(id), prefix }).collect()
    })
}

fn family() -> impl Strategy<Value = Family> {
    select(Family::ALL.to_vec())
}

/// The prefixes as octets, by the rule of RFC 4271 §4.3.
fn octets(list: &[Nlri], add_path: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for nlri in list {
        if add_path {
            out.extend_from_slice(&nlri.path_id.unwrap().to_be_bytes());
        }
        let len = nlri.prefix.prefix_len();
        out.push(len);
        let address = match nlri.prefix.addr() {
            std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
            std::net::IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        out.extend_from_slice(&address[..usize::from(len).div_ceil(8)]);
    }
    out
}

/// What a session reads of prefixes that were sent with identifiers or without.
fn as_read(list: &[Nlri], add_path: bool) -> Vec<Nlri> {
    let path_id = |nlri: &Nlri| nlri.path_id.filter(|_| add_path);
    list.iter().map(|nlri| Nlri { path_id: path_id(nlri), prefix: nlri.prefix }).collect()
}

fn asns(two_octet: bool) -> impl Strategy<Value = Vec<u32>> {
    let most = if two_octet { 0xffff } else { u32::MAX };
    vec(1..=most, 1..6)
}

/// The value of a path attribute with sets and sequences.
fn path_value(as4: bool) -> impl Strategy<Value = Vec<u8>> {
    vec((1..=2_u8, asns(!as4)), 0..4).prop_map(move |segments| {
        let mut value = Vec::new();
        for (kind, asns) in segments {
            value.extend_from_slice(&[kind, u8::try_from(asns.len()).unwrap()]);
            let width = if as4 { 0 } else { 2 };
            asns.iter().for_each(|asn| value.extend_from_slice(&asn.to_be_bytes()[width..]));
        }
        value
    })
}

fn records<const N: usize>() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<[u8; N]>(), 1..6).prop_map(|records| records.concat())
}

fn maybe(
    flags: u8,
    code: u8,
    value: impl Strategy<Value = Vec<u8>> + 'static,
) -> BoxedStrategy<Vec<Vec<u8>>> {
    let partial = flags == OPTIONAL_TRANSITIVE;
    prop_oneof![
        Just(Vec::new()),
        (value, any::<bool>()).prop_map(move |(value, bit)| {
            let flags = if bit && partial { flags | code::FLAG_PARTIAL } else { flags };
            vec![attr(flags, code, &value)]
        })
    ]
    .boxed()
}

/// Well-formed attributes of every kind that belongs on an internal session.
fn sound_attrs(as4: bool) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let aggregator = (1..=0xffff_u16, any::<[u8; 4]>()).prop_map(move |(asn, id)| {
        let head: &[u8] = if as4 { &[0, 0] } else { &[] };
        [head, &asn.to_be_bytes(), &id].concat()
    });
    let unknown = (200..=255_u8, vec(any::<u8>(), 0..300))
        .prop_map(|(code, value)| vec![attr(OPTIONAL_TRANSITIVE, code, &value)]);
    let lists = vec![
        (0..3_u8).prop_map(|origin| vec![attr(WELL_KNOWN, code::ORIGIN, &[origin])]).boxed(),
        path_value(as4).prop_map(|path| vec![attr(WELL_KNOWN, code::AS_PATH, &path)]).boxed(),
        Just(vec![next_hop()]).boxed(),
        maybe(OPTIONAL, code::MULTI_EXIT_DISC, vec(any::<u8>(), 4)),
        maybe(WELL_KNOWN, code::LOCAL_PREF, vec(any::<u8>(), 4)),
        maybe(WELL_KNOWN, code::ATOMIC_AGGREGATE, Just(vec![])),
        maybe(OPTIONAL_TRANSITIVE, code::AGGREGATOR, aggregator),
        maybe(OPTIONAL_TRANSITIVE, code::COMMUNITIES, records::<4>()),
        maybe(OPTIONAL, code::ORIGINATOR_ID, (1..=u32::MAX).prop_map(|id| id.to_be_bytes().into())),
        maybe(OPTIONAL, code::CLUSTER_LIST, records::<4>()),
        maybe(OPTIONAL_TRANSITIVE, code::EXT_COMMUNITIES, records::<8>()),
        maybe(OPTIONAL_TRANSITIVE, code::LARGE_COMMUNITIES, records::<12>()),
        unknown.boxed(),
    ];
    lists.prop_map(|lists| lists.concat())
}

fn ctx_of(as4: bool, add_path: bool) -> CodecCtx {
    let addpath = if add_path { FamilySet::ALL } else { FamilySet::EMPTY };
    CodecCtx { as4, addpath_rx: addpath, addpath_tx: addpath, ext_next_hop: true, ..ibgp() }
}

/// All messages of a buffer.
fn cut<'a>(mut octets: &'a [u8], ctx: &CodecCtx) -> Vec<Frame<'a>> {
    let mut frames = Vec::new();
    while !octets.is_empty() {
        let frame = wire::frame(octets, ctx.max_message_len()).unwrap().expect("complete");
        octets = &octets[frame.message.len()..];
        frames.push(frame);
    }
    frames
}

/// What a result says, but for offsets, which depend on the order.
fn without_offsets(result: &Result<DecodedUpdate<'_>, Error>) -> String {
    let still = |error: &AttrError| AttrError { offset: 0, ..*error };
    match result {
        Err(error) => format!("{} {:?}", error.reason(), error.attribute()),
        Ok(update) => {
            let mut update = update.clone();
            update.outcome = match &update.outcome {
                Outcome::Ok => Outcome::Ok,
                Outcome::AttributeDiscard(list) => {
                    Outcome::AttributeDiscard(list.iter().map(still).collect())
                }
                Outcome::TreatAsWithdraw(error) => Outcome::TreatAsWithdraw(still(error)),
            };
            format!("{update:?}")
        }
    }
}

proptest! {
    #[test]
    fn sound_updates_survive_decoding_and_encoding(
        (as4, attrs) in any::<bool>().prop_flat_map(|as4| (Just(as4), sound_attrs(as4))),
        nlri in prefixes(Family::Ipv4Unicast, 20),
        add_path: bool,
    ) {
        let ctx = ctx_of(as4, add_path);
        let message = update(&[], &attrs, &octets(&nlri, add_path));
        let first = craft::decode(&message, &ctx).unwrap();
        prop_assert_eq!(&first.outcome, &Outcome::Ok);
        let got: Vec<Nlri> = first.reach().flat_map(|reach| reach.nlri.iter()).collect();
        prop_assert_eq!(&got, &as_read(&nlri, add_path));
        if nlri.is_empty() {
            return Ok(());
        }
        let mut again = Vec::new();
        wire::encode_reach(&ctx, Family::Ipv4Unicast, &first.attrs, nlri, &mut again).unwrap();
        let second = craft::decode(&again, &ctx).unwrap();
        prop_assert_eq!(&second.outcome, &Outcome::Ok);
        prop_assert_eq!(&second.attrs, &first.attrs);
        let got_again: Vec<Nlri> = second.reach().flat_map(|reach| reach.nlri.iter()).collect();
        prop_assert_eq!(got_again, got);
        let mut third = Vec::new();
        let nlri = second.reach().flat_map(|reach| reach.nlri.iter());
        wire::encode_reach(&ctx, Family::Ipv4Unicast, &second.attrs, nlri, &mut third).unwrap();
        prop_assert_eq!(third, again, "encoding is canonical");
    }

    #[test]
    fn the_order_of_attributes_plays_no_role(
        mut attrs in sound_attrs(true),
        reach in proptest::option::of(prefixes(Family::Ipv6Unicast, 5)),
        unreach in proptest::option::of(prefixes(Family::Ipv6Unicast, 5)),
        external: bool,
        spoiled in vec((any::<prop::sample::Index>(), 0..3_u8, vec(any::<u8>(), 0..12)), 0..3),
        nlri in prefixes(Family::Ipv4Unicast, 3),
        seed: u64,
    ) {
        if let Some(reach) = reach {
            let value = mp_reach(Family::Ipv6Unicast, &HOP6, &octets(&reach, false));
            attrs.push(attr(OPTIONAL, code::MP_REACH_NLRI, &value));
        }
        if let Some(unreach) = unreach {
            let value = mp_unreach(Family::Ipv6Unicast, &octets(&unreach, false));
            attrs.push(attr(OPTIONAL, code::MP_UNREACH_NLRI, &value));
        }
        for (which, how, value) in spoiled {
            let at = which.index(attrs.len());
            let (flags, code) = (attrs[at][0], attrs[at][1]);
            match how {
                0 => attrs[at] = attr(flags & 0xe0, code, &value),
                1 => attrs[at][0] ^= 0xc0,
                _ => drop(attrs.remove(at)),
            }
        }
        let ctx = CodecCtx { ebgp: external, ..ebgp() };
        let nlri = octets(&nlri, false);
        let message = update(&[], &attrs, &nlri);
        let expected = without_offsets(&craft::decode(&message, &ctx));
        for round in 0..4 {
            fastrand::Rng::with_seed(seed ^ round).shuffle(&mut attrs);
            let message = update(&[], &attrs, &nlri);
            let got = without_offsets(&craft::decode(&message, &ctx));
            prop_assert_eq!(&got, &expected);
        }
    }

    #[test]
    fn prefixes_are_packed_tightly_and_in_order(
        (family, nlri) in family().prop_flat_map(|family| (Just(family), prefixes(family, 1500))),
        add_path: bool,
        ext_msg: bool,
        v6_hop: bool,
        hops in 0..40_u32,
        withdraw: bool,
    ) {
        let ctx = CodecCtx { ext_msg, ..ctx_of(true, add_path) };
        let v6_hop = v6_hop || family == Family::Ipv6Unicast;
        let next_hop =
            if v6_hop { NextHop::V6(HOP6.into()) } else { NextHop::V4([192, 0, 2, 1].into()) };
        let attrs = Attributes {
            as_path: AsPath::sequence((1..=hops).map(Asn)),
            next_hop: Some(next_hop),
            ..Attributes::default()
        };
        let mut out = Vec::new();
        let count = if withdraw {
            wire::encode_unreach(&ctx, family, nlri.iter().copied(), &mut out)
        } else {
            wire::encode_reach(&ctx, family, &attrs, nlri.iter().copied(), &mut out)
        };
        let frames = cut(&out, &ctx);
        prop_assert_eq!(count, Ok(frames.len()));
        let mut got = Vec::new();
        let mut room = 0;
        for frame in frames {
            let update = craft::decode(frame.message, &ctx).unwrap();
            prop_assert_eq!(&update.outcome, &Outcome::Ok);
            let here: Vec<Nlri> = if withdraw {
                update.withdrawn().collect()
            } else {
                prop_assert_eq!(&update.attrs, &attrs);
                update.reach().flat_map(|reach| reach.nlri.iter()).collect()
            };
            let first = Nlri { path_id: Some(0), ..here[0] };
            prop_assert!(got.is_empty() || octets(&[first], add_path).len() > room);
            room = ctx.max_message_len() - frame.message.len();
            got.extend(here);
        }
        prop_assert_eq!(got, as_read(&nlri, add_path));
    }

    #[test]
    fn prepending_puts_in_front_and_keeps_segments_legal(
        value in path_value(true),
        asn in 1..=u32::MAX,
        times: u8,
        again: u8,
    ) {
        let attrs = [origin(), attr(WELL_KNOWN, code::AS_PATH, &value), next_hop()];
        let message = update(&[], &attrs, &NLRI);
        let path = craft::decode(&message, &ebgp()).unwrap().attrs.as_path;
        let longer = path.prepend(Asn(asn), times).prepend(Asn(asn), again);
        let count = usize::from(times) + usize::from(again);
        prop_assert_eq!(longer.hops(), path.hops() + count);
        let expected: Vec<Asn> =
            std::iter::repeat_n(Asn(asn), count).chain(path.asns()).collect();
        prop_assert_eq!(longer.asns().collect::<Vec<_>>(), expected);
        prop_assert!(longer.segments().all(|segment| (1..=255).contains(&segment.asns().len())));
        if count > 0 {
            prop_assert_eq!(longer.first_as(), Some(Asn(asn)));
            prop_assert!(longer.contains(Asn(asn)));
        }
        let before: Vec<_> = path.segments().map(|segment| segment.kind).collect();
        let after: Vec<_> = longer.segments().map(|segment| segment.kind).collect();
        prop_assert!(after.ends_with(before.get(1..).unwrap_or_default()));
    }

    #[test]
    fn opens_survive_encoding_and_decoding(
        asn in 1..=u32::MAX,
        id in 1..=u32::MAX,
        seconds in prop_oneof![Just(0_u64), 3..=65535_u64],
        list in vec(capability(), 0..6),
    ) {
        let mut capabilities = Capabilities::try_new(&list).unwrap();
        capabilities.try_push(&Capability::FourOctetAs(Asn(asn))).unwrap();
        let open = Open {
            asn: Asn(asn),
            hold_time: Duration::from_secs(seconds),
            id: BgpId::try_new(id.into()).unwrap(),
            capabilities,
        };
        let mut out = Vec::new();
        open.encode(&mut out).unwrap();
        let frame = wire::frame(&out, 4096).unwrap().unwrap();
        prop_assert_eq!(Message::decode(&frame), Ok(Message::Open(open.clone())));
        let mut expected = list;
        expected.push(Capability::FourOctetAs(Asn(asn)));
        prop_assert_eq!(open.capabilities.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn notifications_and_refreshes_survive(
        (code, subcode, data) in (any::<u8>(), any::<u8>(), vec(any::<u8>(), 0..300)),
        (afi, safi, subtype) in (any::<u16>(), any::<u8>(), 0..4_u8),
        text in "\\PC{0,80}",
    ) {
        let sent = Notification::with_data(NotificationCode::new(code, subcode), data);
        let mut out = Vec::new();
        wire::encode_notification(&ebgp(), &sent, &mut out).unwrap();
        let frame = wire::frame(&out, 4096).unwrap().unwrap();
        prop_assert_eq!(Message::decode(&frame), Ok(Message::Notification(sent)));
        let kinds =
            [RefreshKind::Request, RefreshKind::Begin, RefreshKind::End, RefreshKind::Other(9)];
        let family = AfiSafi { afi, safi };
        let sent = RouteRefresh { family, kind: kinds[usize::from(subtype)] };
        let mut out = Vec::new();
        sent.encode(&mut out);
        let frame = wire::frame(&out, 4096).unwrap().unwrap();
        prop_assert_eq!(Message::decode(&frame), Ok(Message::RouteRefresh(sent)));
        let with_text = Notification::with_text(NotificationCode::ADMINISTRATIVE_RESET, &text);
        match with_text {
            Ok(sent) => prop_assert_eq!(sent.text().unwrap_or_default(), text),
            Err(_) => prop_assert!(text.len() > 255),
        }
    }
}

fn afi_safi() -> impl Strategy<Value = AfiSafi> {
    (any::<u16>(), any::<u8>()).prop_map(|(afi, safi)| AfiSafi { afi, safi })
}

fn capability() -> impl Strategy<Value = Capability> {
    let restart = (any::<[bool; 2]>(), 0..4096_u64, vec((afi_safi(), any::<bool>()), 0..4));
    let next_hop = any::<[u16; 3]>();
    let name = || vec(any::<u8>(), 0..10).prop_map(Vec::into_boxed_slice);
    prop_oneof![
        afi_safi().prop_map(Capability::Multiprotocol),
        Just(Capability::RouteRefresh),
        Just(Capability::OldRouteRefresh),
        Just(Capability::ExtendedMessage),
        Just(Capability::EnhancedRefresh),
        any::<u8>().prop_map(|number| Capability::Role(Role::from_number(number))),
        vec(next_hop, 0..3).prop_map(|list| {
            let list = list.into_iter().map(|[afi, safi, next_hop_afi]| ExtendedNextHop {
                afi,
                safi,
                next_hop_afi,
            });
            Capability::ExtendedNextHop(list.collect())
        }),
        restart.prop_map(|([restarted, notification], seconds, families)| {
            let entry = |(family, forwarding)| RestartFamily { family, forwarding };
            Capability::GracefulRestart(GracefulRestart {
                restarted,
                notification,
                restart_time: Duration::from_secs(seconds),
                families: families.into_iter().map(entry).collect(),
            })
        }),
        vec((afi_safi(), 1..=3_u8), 0..4).prop_map(|list| {
            let entry =
                |(family, bits)| AddPath { family, receive: bits & 1 != 0, send: bits & 2 != 0 };
            Capability::AddPath(list.into_iter().map(entry).collect())
        }),
        vec((afi_safi(), any::<bool>(), 0..1_u64 << 24), 0..3).prop_map(|list| {
            let entry = |(family, forwarding, seconds)| LongLivedRestart {
                family,
                forwarding,
                stale_time: Duration::from_secs(seconds),
            };
            Capability::LongLivedRestart(list.into_iter().map(entry).collect())
        }),
        (name(), name()).prop_map(|(host, domain)| Capability::Fqdn { host, domain }),
        (130..=255_u8, name()).prop_map(|(code, value)| Capability::Unknown { code, value }),
    ]
}
