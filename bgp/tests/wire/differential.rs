// SPDX-License-Identifier: MIT OR Apache-2.0
//! Second opinions: what we write, netgauze-bgp-pkt and zettabgp must read as we do.
//!
//! Only well-formed messages go to them, and only of what they get right. zettabgp 0.6 loops
//! without end on a malformed AS_PATH, reads an IPv6 next hop of IPv4 routes as an IPv4 address,
//! and its encoder swaps AS_SET and AS_SEQUENCE; so it reads classic routes, IPv6 routes, and
//! nothing else here, and never writes. netgauze also writes: its octets must be ours.

use std::fmt::Display;
use std::panic::catch_unwind;
use std::time::Duration;

use bgp::types::{
    AfiSafi, Asn, BgpId, Community, ExtCommunity, Family, FamilySet, LargeCommunity, Prefix,
};
use bgp::wire::{
    self, Aggregator, AsPath, Attributes, Capabilities, Capability, CodecCtx, DecodedUpdate,
    GracefulRestart, NextHop, Nlri, Open, Origin, RestartFamily, SegmentKind,
};
use bytes::BytesMut;
use fastrand::Rng;
use netgauze_bgp_pkt::BgpMessage as NetgauzeMessage;
use netgauze_bgp_pkt::codec::BgpCodec;
use netgauze_bgp_pkt::nlri::{Ipv4UnicastAddress, Ipv6UnicastAddress, NlriAddressType};
use netgauze_bgp_pkt::path_attribute::{
    Aggregator as NetgauzeAggregator, AsPath as NetgauzePath, AsPathSegmentType, MpReach,
    MpUnreach, PathAttributeValue,
};
use netgauze_bgp_pkt::wire::deserializer::BgpParsingContext;
use tokio_util::codec::{Decoder, Encoder};
use zettabgp::BgpMessage as _;
use zettabgp::message::open::BgpOpenMessage;
use zettabgp::message::update::BgpUpdateMessage;
use zettabgp::prelude::{BgpASitem, BgpAddr, BgpAddrs, BgpAttrItem};
use zettabgp::{BgpSessionParams, BgpTransportMode};

use crate::craft;

/// What a message says, as sorted lines.
#[derive(Default)]
struct Said(Vec<String>);

impl Said {
    fn add(&mut self, name: &str, value: impl Display) {
        self.0.push(format!("{name} {value}"));
    }

    fn path(&mut self, segments: impl Iterator<Item = (bool, Vec<u32>)>) {
        let text: Vec<String> = segments
            .map(|(is_set, mut asns)| {
                asns.sort_unstable_by_key(|asn| if is_set { *asn } else { 0 });
                format!("{is_set} {asns:?}")
            })
            .collect();
        self.add("as-path", text.join(" "));
    }

    fn nlri(&mut self, name: &str, prefix: impl Display, path_id: Option<u32>) {
        self.add(name, format!("{prefix} {path_id:?}"));
    }

    fn sorted(mut self) -> Vec<String> {
        self.0.sort();
        self.0
    }
}

fn ours(update: &DecodedUpdate<'_>) -> Vec<String> {
    let mut said = Said::default();
    for nlri in update.withdrawn() {
        said.nlri("withdraw", nlri.prefix, nlri.path_id);
    }
    let Some(first) = update.reach().next() else { return said.sorted() };
    let attrs = &update.attrs;
    said.add("origin", attrs.origin.number());
    said.path(attrs.as_path.segments().map(|segment| {
        (segment.kind == SegmentKind::Set, segment.asns().map(|asn| asn.0).collect())
    }));
    said.add("next-hop", first.next_hop.address());
    attrs.med.iter().for_each(|med| said.add("med", med));
    attrs.local_pref.iter().for_each(|value| said.add("local-pref", value));
    if attrs.atomic_aggregate {
        said.add("atomic", "");
    }
    attrs
        .aggregator
        .iter()
        .for_each(|a| said.add("aggregator", format!("{} {}", a.asn, a.address)));
    attrs.communities.standard.iter().for_each(|c| said.add("community", c.0));
    attrs.communities.large.iter().for_each(|c| said.add("large", c));
    attrs.reflection.originator_id.iter().for_each(|id| said.add("originator", id));
    attrs.reflection.cluster_list.iter().for_each(|id| said.add("cluster", id));
    for nlri in update.reach().flat_map(|reach| reach.nlri.iter()) {
        said.nlri("reach", nlri.prefix, nlri.path_id);
    }
    said.sorted()
}

/// What netgauze reads, after it has written the same octets again.
fn netgauze(octets: &[u8], ctx: &CodecCtx) -> Vec<String> {
    let mut parsing = BgpParsingContext::new(
        ctx.as4,
        Default::default(),
        Default::default(),
        true,
        true,
        true,
        true,
    );
    for (family, kind) in [
        (Family::Ipv4Unicast, Ipv4UnicastAddress::address_type()),
        (Family::Ipv6Unicast, Ipv6UnicastAddress::address_type()),
    ] {
        parsing.add_path_mut().insert(kind, ctx.addpath_rx.contains(family));
    }
    let mut codec = BgpCodec::new_from_ctx(ctx.as4, parsing);
    let (message, ignored) = codec.decode(&mut BytesMut::from(octets)).unwrap().unwrap();
    assert!(ignored.path_attr_errors().is_empty());
    let NetgauzeMessage::Update(update) = &message else { panic!("not an UPDATE: {message:?}") };
    let mut said = Said::default();
    for route in update.withdraw_routes() {
        said.nlri("withdraw", route.network(), route.path_id());
    }
    for route in update.nlri() {
        said.nlri("reach", route.network(), route.path_id());
    }
    for attr in update.path_attributes() {
        netgauze_attr(attr.value(), &mut said);
    }
    let mut again = BytesMut::new();
    codec.encode(message, &mut again).unwrap();
    assert_eq!(&again[..], octets, "netgauze writes other octets");
    said.sorted()
}

fn netgauze_attr(value: &PathAttributeValue, said: &mut Said) {
    let is_set = |kind| matches!(kind, AsPathSegmentType::AsSet);
    match value {
        PathAttributeValue::Origin(origin) => said.add("origin", u8::from(*origin)),
        PathAttributeValue::AsPath(NetgauzePath::As4PathSegments(segments)) => {
            said.path(segments.iter().map(|s| (is_set(s.segment_type()), s.as_numbers().to_vec())))
        }
        PathAttributeValue::AsPath(NetgauzePath::As2PathSegments(segments)) => {
            said.path(segments.iter().map(|s| {
                let asns = s.as_numbers().iter().map(|asn| u32::from(*asn)).collect();
                (is_set(s.segment_type()), asns)
            }));
        }
        PathAttributeValue::NextHop(hop) => said.add("next-hop", hop.next_hop()),
        PathAttributeValue::MultiExitDiscriminator(med) => said.add("med", med.metric()),
        PathAttributeValue::LocalPreference(value) => said.add("local-pref", value.metric()),
        PathAttributeValue::AtomicAggregate(_) => said.add("atomic", ""),
        PathAttributeValue::Aggregator(NetgauzeAggregator::As2Aggregator(a)) => {
            said.add("aggregator", format!("{} {}", a.asn(), a.origin()));
        }
        PathAttributeValue::Aggregator(NetgauzeAggregator::As4Aggregator(a)) => {
            said.add("aggregator", format!("{} {}", a.asn(), a.origin()));
        }
        PathAttributeValue::Communities(list) => {
            list.communities().iter().for_each(|c| said.add("community", c.value()));
        }
        PathAttributeValue::LargeCommunities(list) => list.communities().iter().for_each(|c| {
            let text = format!("{}:{}:{}", c.global_admin(), c.local_data1(), c.local_data2());
            said.add("large", text);
        }),
        PathAttributeValue::Originator(id) => said.add("originator", id.id()),
        PathAttributeValue::ClusterList(list) => {
            list.cluster_list().iter().for_each(|id| said.add("cluster", id.id()));
        }
        PathAttributeValue::MpReach(MpReach::Ipv4Unicast { next_hop, nlri, .. }) => {
            said.add("next-hop", next_hop);
            nlri.iter().for_each(|route| said.nlri("reach", route.network(), route.path_id()));
        }
        PathAttributeValue::MpReach(MpReach::Ipv6Unicast { next_hop_global, nlri, .. }) => {
            said.add("next-hop", next_hop_global);
            nlri.iter().for_each(|route| said.nlri("reach", route.network(), route.path_id()));
        }
        PathAttributeValue::MpUnreach(MpUnreach::Ipv4Unicast { nlri }) => {
            nlri.iter().for_each(|route| said.nlri("withdraw", route.network(), route.path_id()));
        }
        PathAttributeValue::MpUnreach(MpUnreach::Ipv6Unicast { nlri }) => {
            nlri.iter().for_each(|route| said.nlri("withdraw", route.network(), route.path_id()));
        }
        // Compared by the octets that netgauze writes again.
        PathAttributeValue::ExtendedCommunities(_) => {}
        other => panic!("unexpected attribute {other:?}"),
    }
}

/// What zettabgp reads; `None` if it panics.
fn zettabgp(octets: &[u8], ctx: &CodecCtx) -> Option<Vec<String>> {
    let body = octets[19..].to_vec();
    let mut params =
        BgpSessionParams::new(65000, 90, BgpTransportMode::IPv4, [10, 0, 0, 1].into(), Vec::new());
    params.has_as32bit = ctx.as4;
    // Off, else it guesses path identifiers from the octets.
    params.fuzzy_pathid = false;
    catch_unwind(move || {
        let mut update = BgpUpdateMessage::new();
        update.decode_from(&params, &body).unwrap();
        let mut said = Said::default();
        zettabgp_nlri("withdraw", &update.withdraws, &mut said);
        zettabgp_nlri("reach", &update.updates, &mut said);
        update.attrs.iter().for_each(|attr| zettabgp_attr(attr, &mut said));
        said.sorted()
    })
    .ok()
}

fn zettabgp_nlri(name: &str, list: &BgpAddrs, said: &mut Said) {
    match list {
        BgpAddrs::None => {}
        BgpAddrs::IPV4U(list) => list
            .iter()
            .for_each(|net| said.nlri(name, format!("{}/{}", net.addr, net.prefixlen), None)),
        BgpAddrs::IPV6U(list) => list
            .iter()
            .for_each(|net| said.nlri(name, format!("{}/{}", net.addr, net.prefixlen), None)),
        other => panic!("unexpected routes {other:?}"),
    }
}

fn zettabgp_attr(attr: &BgpAttrItem, said: &mut Said) {
    match attr {
        BgpAttrItem::Origin(origin) => said.add("origin", origin.value as u8),
        BgpAttrItem::ASPath(path) => said.path(path.value.iter().map(|item| match item {
            BgpASitem::Set(set) => (true, set.value.iter().map(|asn| asn.value).collect()),
            BgpASitem::Seq(seq) => (false, seq.value.iter().map(|asn| asn.value).collect()),
        })),
        BgpAttrItem::NextHop(hop) => said.add("next-hop", hop.value),
        BgpAttrItem::MED(med) => said.add("med", med.value),
        BgpAttrItem::LocalPref(value) => said.add("local-pref", value.value),
        BgpAttrItem::AtomicAggregate(_) => said.add("atomic", ""),
        BgpAttrItem::AggregatorAS(a) => said.add("aggregator", format!("{} {}", a.asn, a.addr)),
        BgpAttrItem::CommunityList(list) => {
            list.value.iter().for_each(|c| said.add("community", c.value));
        }
        BgpAttrItem::LargeCommunityList(list) => {
            list.value
                .iter()
                .for_each(|c| said.add("large", format!("{}:{}:{}", c.ga, c.ldp1, c.ldp2)));
        }
        BgpAttrItem::OriginatorID(id) => said.add("originator", id.value),
        BgpAttrItem::ClusterList(list) => {
            list.value.iter().for_each(|id| said.add("cluster", id));
        }
        BgpAttrItem::MPUpdates(reach) => {
            if let BgpAddr::V6(hop) = &reach.nexthop {
                said.add("next-hop", hop);
            }
            zettabgp_nlri("reach", &reach.addrs, said);
        }
        BgpAttrItem::MPWithdraws(unreach) => zettabgp_nlri("withdraw", &unreach.addrs, said),
        BgpAttrItem::ExtCommunityList(_) => {}
        other => panic!("unexpected attribute {other:?}"),
    }
}

/// A prefix that is not multicast, which netgauze refuses.
fn prefix(rng: &mut Rng, family: Family) -> Prefix {
    let addr = match family {
        Family::Ipv4Unicast => std::net::Ipv4Addr::from(rng.u32(0x0100_0000..0xdf00_0000)).into(),
        Family::Ipv6Unicast => std::net::Ipv6Addr::from((rng.u128(..) >> 3) | (1 << 125)).into(),
    };
    Prefix::new_masked(addr, rng.u8(8..=family.max_len())).unwrap()
}

/// The path `{7,9} 8`.
fn with_set() -> AsPath {
    let value = [1, 2, 0, 0, 0, 7, 0, 0, 0, 9, 2, 1, 0, 0, 0, 8];
    let path = craft::attr(craft::WELL_KNOWN, wire::code::AS_PATH, &value);
    let octets = craft::update(&[], &[craft::origin(), path, craft::next_hop()], &craft::NLRI);
    craft::decode(&octets, &craft::ebgp()).unwrap().attrs.as_path
}

fn attributes(rng: &mut Rng, ctx: &CodecCtx, next_hop: NextHop) -> Attributes {
    let most = if ctx.as4 { u32::MAX } else { 0xffff };
    let mut path = AsPath::sequence((0..rng.u32(0..5)).map(|_| Asn(rng.u32(1..=most))));
    match rng.u8(0..20) {
        0 => path = path.prepend(Asn(rng.u32(1..=most)), 255),
        1..=4 => path = with_set().prepend(Asn(rng.u32(1..=most)), rng.u8(0..3)),
        _ => {}
    }
    let mut attrs = Attributes {
        origin: Origin::from_number(rng.u8(0..3)).unwrap(),
        as_path: path,
        next_hop: Some(next_hop),
        med: rng.bool().then(|| rng.u32(..)),
        local_pref: rng.bool().then(|| rng.u32(..)),
        atomic_aggregate: rng.bool(),
        aggregator: rng
            .bool()
            .then(|| Aggregator { asn: Asn(rng.u32(1..=most)), address: rng.u32(..).into() }),
        ..Attributes::default()
    };
    attrs.communities.standard = (0..rng.usize(0..4)).map(|_| Community(rng.u32(..))).collect();
    attrs.communities.large = (0..rng.usize(0..4))
        .map(|_| LargeCommunity::new(rng.u32(..), rng.u32(..), rng.u32(..)))
        .collect();
    let target = |rng: &mut Rng| ExtCommunity([0, 2, rng.u8(..), 1, rng.u8(..), 0, 0, rng.u8(..)]);
    attrs.communities.extended = (0..rng.usize(0..3)).map(|_| target(rng)).collect();
    attrs.reflection.originator_id =
        rng.bool().then(|| BgpId::try_new(rng.u32(1..).into()).unwrap());
    attrs.reflection.cluster_list = (0..rng.usize(0..3)).map(|_| rng.u32(..).into()).collect();
    attrs
}

/// The messages of one random set of routes.
fn messages(rng: &mut Rng, ctx: &CodecCtx) -> Vec<u8> {
    let family = if rng.bool() { Family::Ipv4Unicast } else { Family::Ipv6Unicast };
    let global = std::net::Ipv6Addr::from((rng.u128(..) >> 3) | (1 << 125));
    let next_hop = match family {
        Family::Ipv4Unicast if !ctx.ext_next_hop => NextHop::V4([192, 0, 2, rng.u8(1..)].into()),
        _ if rng.bool() => NextHop::V6(global),
        _ => NextHop::V6Pair { global, link_local: "fe80::1".parse().unwrap() },
    };
    let nlri: Vec<Nlri> = (0..rng.usize(1..40))
        .map(|_| Nlri { path_id: Some(rng.u32(..)), prefix: prefix(rng, family) })
        .collect();
    let mut out = Vec::new();
    if rng.u8(0..4) == 0 {
        wire::encode_unreach(ctx, family, nlri, &mut out).unwrap();
    } else {
        let attrs = attributes(rng, ctx, next_hop);
        wire::encode_reach(ctx, family, &attrs, nlri, &mut out).unwrap();
    }
    out
}

fn each_message(seed: u64, ctx: &CodecCtx, mut check: impl FnMut(&[u8], &[String])) {
    let mut rng = Rng::with_seed(seed);
    for _ in 0..1000 {
        let octets = messages(&mut rng, ctx);
        let update = craft::decode(&octets, ctx).unwrap();
        check(&octets, &ours(&update));
    }
}

#[test]
fn netgauze_reads_what_we_write_and_writes_the_same() {
    for (seed, as4, add_path, ext_next_hop) in [
        (1, true, false, false),
        (2, false, false, false),
        (3, true, true, false),
        (4, true, false, true),
    ] {
        let families = if add_path { FamilySet::ALL } else { FamilySet::EMPTY };
        let (addpath_rx, addpath_tx) = (families, families);
        let ctx = CodecCtx { as4, addpath_rx, addpath_tx, ext_next_hop, ..craft::ibgp() };
        each_message(seed, &ctx, |octets, ours| assert_eq!(netgauze(octets, &ctx), ours));
    }
}

#[test]
fn zettabgp_reads_what_we_write() {
    for (seed, as4) in [(5, true), (6, false)] {
        let ctx = CodecCtx { as4, ..craft::ibgp() };
        each_message(seed, &ctx, |octets, ours| {
            assert_eq!(zettabgp(octets, &ctx).as_deref(), Some(ours), "{octets:02x?}");
        });
    }
}

#[test]
fn both_read_our_open() {
    let family = |family: Family| RestartFamily { family: family.into(), forwarding: true };
    let list = [
        Capability::Multiprotocol(Family::Ipv4Unicast.into()),
        Capability::Multiprotocol(AfiSafi { afi: 2, safi: 1 }),
        Capability::RouteRefresh,
        Capability::GracefulRestart(GracefulRestart {
            restarted: true,
            notification: false,
            restart_time: Duration::from_secs(30),
            families: Family::ALL.map(family).to_vec(),
        }),
        Capability::FourOctetAs(Asn(4_200_000_113)),
        Capability::EnhancedRefresh,
    ];
    let open = Open {
        asn: Asn(4_200_000_113),
        hold_time: Duration::from_secs(9),
        id: "10.0.0.1".parse().unwrap(),
        capabilities: Capabilities::try_new(&list).unwrap(),
    };
    let mut octets = Vec::new();
    open.encode(&mut octets).unwrap();

    let mut codec = BgpCodec::new(true);
    let (message, _) = codec.decode(&mut BytesMut::from(&octets[..])).unwrap().unwrap();
    let NetgauzeMessage::Open(theirs) = &message else { panic!("{message:?}") };
    assert_eq!((theirs.my_asn4(), theirs.hold_time()), (4_200_000_113, 9));
    assert_eq!(theirs.bgp_id().to_string(), "10.0.0.1");
    assert_eq!(theirs.capabilities().len(), list.len());
    let mut again = BytesMut::new();
    codec.encode(message, &mut again).unwrap();
    assert_eq!(&again[..], octets);

    let params =
        BgpSessionParams::new(65000, 90, BgpTransportMode::IPv4, [10, 0, 0, 2].into(), Vec::new());
    let mut theirs = BgpOpenMessage::new();
    theirs.decode_from(&params, &octets[19..]).unwrap();
    assert_eq!((theirs.as_num, theirs.hold_time), (23456, 9));
    assert_eq!(theirs.router_id.to_string(), "10.0.0.1");
    assert_eq!(theirs.caps.len(), list.len());
}
