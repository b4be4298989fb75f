// SPDX-License-Identifier: MIT OR Apache-2.0
//! Validation of UPDATE messages: collect, validate, build (RFC 4271 §6.3 as revised by RFC 7606).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::as_path::{AsPath, MAX_HOPS};
use super::attr::{AttrIter, RawAttr, attr_error};
use super::attributes::{
    Aggregator, Attributes, Communities, NextHop, Origin, Reflection, UnknownAttr, UnknownAttrs,
};
use super::code;
use super::ctx::CodecCtx;
use super::cursor::{Cursor, chunks};
use super::error::{AttrError, AttrErrorKind, UpdateError};
use super::nlri::NlriView;
use super::update::{DecodedUpdate, Outcome, Reach, UpdateView};
use crate::types::{AfiSafi, Asn, BgpId, Community, ExtCommunity, Family, LargeCommunity};

/// Decodes an UPDATE.
///
/// # Errors
/// If the session must be reset.
pub(crate) fn decode<'a>(
    view: &UpdateView<'a>,
    ctx: &CodecCtx,
) -> Result<DecodedUpdate<'a>, UpdateError> {
    let mut faults = Faults::default();
    let list = Collected::new(view, &mut faults)?;
    let routes = Routes::read(view, &list, ctx)?;
    list.check_flags(&mut faults);
    let attrs = Builder { list: &list, ctx, faults: &mut faults }.build();
    routes.check_mandatory(view, &list, &mut faults);
    routes.check_next_hops(&attrs, &list, &mut faults);
    if let Some(error) = faults.withdraw
        && !routes.any_reach
        && list.has_more_than_unreach
    {
        return Err(UpdateError::NothingToWithdraw(error));
    }
    Ok(routes.finish(attrs, faults))
}

/// The repairable errors of a message.
#[derive(Default)]
struct Faults {
    discarded: Vec<AttrError>,
    /// The one with the lowest type code, so that the order on the wire plays no role.
    withdraw: Option<AttrError>,
}

impl Faults {
    fn add(&mut self, error: AttrError) {
        if !error.is_discard() {
            let first = self.withdraw.is_none_or(|known| error.code < known.code);
            self.withdraw = if first { Some(error) } else { self.withdraw };
        } else if self.discarded.len() < DecodedUpdate::MAX_DISCARDS {
            self.discarded.push(error);
        }
    }
}

/// The attribute list with an index of the first occurrence of each type code.
struct Collected<'a> {
    list: &'a [u8],
    offset: usize,
    /// The position in `list`; only of meaning for the codes in `present`.
    first: [u16; 256],
    present: CodeSet,
    has_more_than_unreach: bool,
}

impl<'a> Collected<'a> {
    fn new(view: &UpdateView<'a>, faults: &mut Faults) -> Result<Self, UpdateError> {
        let mut this = Self {
            list: view.attribute_list(),
            offset: view.attributes_offset(),
            first: [0; 256],
            present: CodeSet::default(),
            has_more_than_unreach: false,
        };
        for attr in view.attributes() {
            match attr {
                Ok(attr) => this.note(&attr, faults)?,
                Err(error) => {
                    this.has_more_than_unreach = true;
                    faults.add(error);
                }
            }
        }
        this.check_recognized()?;
        Ok(this)
    }

    fn note(&mut self, attr: &RawAttr<'a>, faults: &mut Faults) -> Result<(), UpdateError> {
        let position = u16::try_from(attr.offset - self.offset).unwrap_or(u16::MAX);
        self.has_more_than_unreach |= attr.code != code::MP_UNREACH_NLRI;
        if self.present.insert(attr.code) {
            if let Some(first) = self.first.get_mut(usize::from(attr.code)) {
                *first = position;
            }
            return Ok(());
        }
        // RFC 7606 §3 g.
        if matches!(attr.code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
            let (code, offset) = (attr.code, attr.offset);
            return Err(UpdateError::RepeatedMultiprotocol { code, offset });
        }
        faults.add(attr.error(AttrErrorKind::Repeated));
        Ok(())
    }

    /// RFC 4271 §6.3: a well-known attribute that is not recognized ends the session; RFC 7606
    /// left that as it is.
    fn check_recognized(&self) -> Result<(), UpdateError> {
        match self.unknown().find(|attr| !attr.is_optional()) {
            None => Ok(()),
            Some(attr) => Err(UpdateError::Unrecognized {
                code: attr.code,
                offset: attr.offset,
                attribute: attr.octets.into(),
            }),
        }
    }

    /// RFC 7606 §3 c: wrong flags make the attribute malformed.
    fn check_flags(&self, faults: &mut Faults) {
        const MASK: u8 = code::FLAG_OPTIONAL | code::FLAG_TRANSITIVE;
        self.all()
            .filter(|attr| {
                code::required_flags(attr.code).is_some_and(|flags| attr.flags & MASK != flags)
            })
            .for_each(|attr| faults.add(attr.error(AttrErrorKind::Flags(attr.flags))));
    }

    /// The first occurrence of an attribute.
    fn get(&self, code: u8) -> Option<RawAttr<'a>> {
        if !self.present.contains(code) {
            return None;
        }
        let position = usize::from(*self.first.get(usize::from(code))?);
        AttrIter::new(self.list.get(position..)?, self.offset + position).next()?.ok()
    }

    /// The first occurrences, ordered by type code.
    fn all(&self) -> impl Iterator<Item = RawAttr<'a>> + '_ {
        self.present.iter().filter_map(|code| self.get(code))
    }

    fn unknown(&self) -> impl Iterator<Item = RawAttr<'a>> + '_ {
        self.all().filter(|attr| code::required_flags(attr.code).is_none())
    }
}

/// A set of type codes.
#[derive(Clone, Copy, Default)]
struct CodeSet([u128; 2]);

impl CodeSet {
    /// Adds a code; false if it was there.
    fn insert(&mut self, code: u8) -> bool {
        let bit = 1 << (code & 127);
        let Self([low, high]) = self;
        let half = if code < 128 { low } else { high };
        let added = *half & bit == 0;
        *half |= bit;
        added
    }

    const fn contains(self, code: u8) -> bool {
        let Self([low, high]) = self;
        let half = if code < 128 { low } else { high };
        half & (1 << (code & 127)) != 0
    }

    /// The codes in ascending order.
    fn iter(self) -> impl Iterator<Item = u8> {
        let mut left = self;
        std::iter::from_fn(move || {
            let Self([low, high]) = &mut left;
            let (half, base) = if *low != 0 { (low, 0) } else { (high, 128) };
            let bit = u8::try_from(half.trailing_zeros()).ok().filter(|bit| *bit < 128)?;
            *half &= *half - 1;
            Some(base + bit)
        })
    }
}

/// The prefixes of a message.
struct Routes<'a> {
    withdrawn: Option<NlriView<'a>>,
    nlri: Option<NlriView<'a>>,
    mp_reach: MpReach<'a>,
    mp_unreach: Option<NlriView<'a>>,
    end_of_rib: Option<Family>,
    skipped: Option<AfiSafi>,
    /// The message has reachable prefixes, of whatever family.
    any_reach: bool,
}

#[derive(Default)]
struct MpReach<'a> {
    next_hop: Option<NextHop>,
    nlri: Option<NlriView<'a>>,
}

impl<'a> Routes<'a> {
    fn read(
        view: &UpdateView<'a>,
        list: &Collected<'a>,
        ctx: &CodecCtx,
    ) -> Result<Self, UpdateError> {
        let withdrawn = classic(view.withdrawn(), UpdateView::withdrawn_offset(), ctx)?;
        let nlri = classic(view.nlri(), view.nlri_offset(), ctx)?;
        let mut routes = Self {
            withdrawn: None,
            nlri: None,
            mp_reach: MpReach::default(),
            mp_unreach: None,
            end_of_rib: None,
            skipped: None,
            any_reach: !view.nlri().is_empty(),
        };
        if ctx.families.contains(Family::Ipv4Unicast) {
            (routes.withdrawn, routes.nlri) = (Some(withdrawn), Some(nlri));
        } else if !withdrawn.is_empty() || !nlri.is_empty() {
            routes.skipped = Some(Family::Ipv4Unicast.afi_safi());
        }
        if let Some(attr) = list.get(code::MP_UNREACH_NLRI) {
            routes.read_unreach(&attr, ctx)?;
        }
        if let Some(attr) = list.get(code::MP_REACH_NLRI) {
            routes.read_reach(&attr, ctx)?;
        }
        routes.end_of_rib = routes.find_end_of_rib(view, list, ctx);
        Ok(routes)
    }

    fn read_unreach(&mut self, attr: &RawAttr<'a>, ctx: &CodecCtx) -> Result<(), UpdateError> {
        let mut cursor = Cursor::new(attr.value, attr.octets.len() - attr.value.len());
        let numbers = afi_safi(&mut cursor).ok_or_else(|| multiprotocol(attr, 0))?;
        match used(numbers, ctx) {
            Some(family) => self.mp_unreach = Some(mp_nlri(attr, &cursor, family, ctx)?),
            None => self.skipped = Some(numbers),
        }
        Ok(())
    }

    fn read_reach(&mut self, attr: &RawAttr<'a>, ctx: &CodecCtx) -> Result<(), UpdateError> {
        let mut cursor = Cursor::new(attr.value, attr.octets.len() - attr.value.len());
        let numbers = afi_safi(&mut cursor).ok_or_else(|| multiprotocol(attr, 0))?;
        let at = cursor.offset();
        let hop = cursor.u8().and_then(|len| cursor.take(usize::from(len)));
        let hop = hop.filter(|_| cursor.u8().is_some()).ok_or_else(|| multiprotocol(attr, at))?;
        let Some(family) = used(numbers, ctx) else {
            self.skipped = Some(numbers);
            self.any_reach = true;
            return Ok(());
        };
        // RFC 7606 §7.11: the prefixes cannot be found behind a next hop of the wrong length.
        let next_hop = mp_next_hop(family, hop, ctx).ok_or_else(|| multiprotocol(attr, at))?;
        let nlri = mp_nlri(attr, &cursor, family, ctx)?;
        self.any_reach |= !nlri.is_empty();
        self.mp_reach = MpReach { next_hop: Some(next_hop), nlri: Some(nlri) };
        Ok(())
    }

    /// RFC 4724 §2: an UPDATE without anything, or with an empty MP_UNREACH_NLRI alone.
    fn find_end_of_rib(
        &self,
        view: &UpdateView<'_>,
        list: &Collected<'_>,
        ctx: &CodecCtx,
    ) -> Option<Family> {
        if !view.withdrawn().is_empty() || !view.nlri().is_empty() || list.has_more_than_unreach {
            return None;
        }
        if list.list.is_empty() {
            return ctx.families.contains(Family::Ipv4Unicast).then_some(Family::Ipv4Unicast);
        }
        self.mp_unreach.filter(NlriView::is_empty).map(|view| view.family())
    }

    /// RFC 4271 §5, RFC 7606 §3 d, and the next hops themselves.
    fn check_mandatory(&self, view: &UpdateView<'_>, list: &Collected<'_>, faults: &mut Faults) {
        let mut missing = |code| {
            if list.get(code).is_none() {
                faults.add(attr_error(code, view.nlri_offset(), AttrErrorKind::Missing));
            }
        };
        if self.any_reach {
            missing(code::ORIGIN);
            missing(code::AS_PATH);
        }
        if !view.nlri().is_empty() {
            missing(code::NEXT_HOP);
        }
    }

    fn check_next_hops(&self, attrs: &Attributes, list: &Collected<'_>, faults: &mut Faults) {
        // A NEXT_HOP beside MP_REACH_NLRI alone is not looked at (RFC 4760 §3).
        let classic = attrs.next_hop.filter(|_| self.nlri.is_some_and(|nlri| !nlri.is_empty()));
        let hops = [(code::NEXT_HOP, classic), (code::MP_REACH_NLRI, self.mp_reach.next_hop)];
        for (code, hop) in hops {
            if hop.is_some_and(|hop| !hop.is_host())
                && let Some(attr) = list.get(code)
            {
                faults.add(attr.error(AttrErrorKind::Value));
            }
        }
    }

    fn finish(self, mut attrs: Attributes, mut faults: Faults) -> DecodedUpdate<'a> {
        let full = |view: &NlriView<'_>| !view.is_empty();
        let (nlri, mp_nlri) = (self.nlri.filter(full), self.mp_reach.nlri.filter(full));
        let (withdrawn, mp_unreach) = (self.withdrawn.filter(full), self.mp_unreach.filter(full));
        let mut reach = [
            attrs.next_hop.zip(nlri).map(|(next_hop, nlri)| Reach { next_hop, nlri }),
            self.mp_reach.next_hop.zip(mp_nlri).map(|(next_hop, nlri)| Reach { next_hop, nlri }),
        ];
        let mut unreach = [withdrawn, mp_unreach, None, None];
        faults.discarded.sort_unstable_by_key(|error| (error.code, error.offset));
        let outcome = if let Some(error) = faults.withdraw {
            reach = [None, None];
            unreach = [withdrawn, mp_unreach, nlri, mp_nlri];
            Outcome::TreatAsWithdraw(error)
        } else if faults.discarded.is_empty() {
            Outcome::Ok
        } else {
            Outcome::AttributeDiscard(faults.discarded)
        };
        match reach.iter().flatten().next() {
            Some(first) => attrs.next_hop = Some(first.next_hop),
            None => attrs = Attributes::default(),
        }
        let (end_of_rib, skipped) = (self.end_of_rib, self.skipped);
        DecodedUpdate { outcome, attrs, end_of_rib, skipped, reach, unreach }
    }
}

fn classic<'a>(
    octets: &'a [u8],
    offset: usize,
    ctx: &CodecCtx,
) -> Result<NlriView<'a>, UpdateError> {
    let family = Family::Ipv4Unicast;
    NlriView::check(family, ctx.addpath_rx.contains(family), octets)
        .map_err(|at| UpdateError::Network { offset: offset + at })
}

fn mp_nlri<'a>(
    attr: &RawAttr<'a>,
    cursor: &Cursor<'a>,
    family: Family,
    ctx: &CodecCtx,
) -> Result<NlriView<'a>, UpdateError> {
    NlriView::check(family, ctx.addpath_rx.contains(family), cursor.rest())
        .map_err(|at| multiprotocol(attr, cursor.offset() + at))
}

/// MP_REACH_NLRI or MP_UNREACH_NLRI went wrong `at` octets behind its beginning.
fn multiprotocol(attr: &RawAttr<'_>, at: usize) -> UpdateError {
    let (code, offset) = (attr.code, attr.offset + at);
    UpdateError::Multiprotocol { code, offset, attribute: attr.octets.into() }
}

fn afi_safi(cursor: &mut Cursor<'_>) -> Option<AfiSafi> {
    Some(AfiSafi { afi: cursor.u16()?, safi: cursor.u8()? })
}

fn used(numbers: AfiSafi, ctx: &CodecCtx) -> Option<Family> {
    Family::from_afi_safi(numbers).filter(|family| ctx.families.contains(*family))
}

/// RFC 4760 §3, RFC 2545 §3, RFC 8950 §3.
fn mp_next_hop(family: Family, octets: &[u8], ctx: &CodecCtx) -> Option<NextHop> {
    let v6_allowed = family == Family::Ipv6Unicast || ctx.ext_next_hop;
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return (family == Family::Ipv4Unicast).then_some(NextHop::V4(Ipv4Addr::from(v4)));
    }
    let mut cursor = Cursor::new(octets, 0);
    let global = Ipv6Addr::from(cursor.array::<16>().filter(|_| v6_allowed)?);
    if cursor.is_empty() {
        return Some(NextHop::V6(global));
    }
    let link_local = Ipv6Addr::from(<[u8; 16]>::try_from(cursor.rest()).ok()?);
    Some(NextHop::V6Pair { global, link_local })
}

/// Reads the values of the collected attributes.
struct Builder<'l, 'a> {
    list: &'l Collected<'a>,
    ctx: &'l CodecCtx,
    faults: &'l mut Faults,
}

impl<'a> Builder<'_, 'a> {
    fn build(&mut self) -> Attributes {
        let mut attrs = Attributes {
            origin: self.read(code::ORIGIN, origin).unwrap_or_default(),
            next_hop: self
                .read(code::NEXT_HOP, |attr| Ok(NextHop::V4(Ipv4Addr::from(array::<4>(attr)?)))),
            med: self.read(code::MULTI_EXIT_DISC, number),
            local_pref: self.read_internal(code::LOCAL_PREF, number),
            atomic_aggregate: self
                .read(code::ATOMIC_AGGREGATE, |attr| array::<0>(attr).map(|_| true))
                .unwrap_or_default(),
            communities: self.communities(),
            reflection: self.reflection(),
            unknown: self.unknown(),
            ..Attributes::default()
        };
        self.path_and_aggregator(&mut attrs);
        let kept = [
            (code::AGGREGATOR, attrs.aggregator.is_some()),
            (code::COMMUNITIES, !attrs.communities.standard.is_empty()),
            (code::EXT_COMMUNITIES, !attrs.communities.extended.is_empty()),
            (code::LARGE_COMMUNITIES, !attrs.communities.large.is_empty()),
        ];
        for (code, _) in kept.into_iter().filter(|(_, kept)| *kept) {
            if self.list.get(code).is_some_and(|attr| attr.flags & code::FLAG_PARTIAL != 0) {
                attrs.partial.insert(code);
            }
        }
        attrs
    }

    /// The value of an attribute, if it is there and well-formed.
    fn read<T>(
        &mut self,
        code: u8,
        parse: impl FnOnce(&RawAttr<'a>) -> Result<T, AttrErrorKind>,
    ) -> Option<T> {
        let attr = self.list.get(code)?;
        parse(&attr).map_err(|kind| self.faults.add(attr.error(kind))).ok()
    }

    /// As [`Self::read`]; on external sessions the attribute is discarded, whatever is in it
    /// (RFC 7606 §7.5, §7.9, §7.10).
    fn read_internal<T>(
        &mut self,
        code: u8,
        parse: impl FnOnce(&RawAttr<'a>) -> Result<T, AttrErrorKind>,
    ) -> Option<T> {
        let external = self.ctx.ebgp;
        self.read(code, |attr| if external { Err(AttrErrorKind::Unexpected) } else { parse(attr) })
    }

    fn communities(&mut self) -> Communities {
        let standard = self.read(code::COMMUNITIES, |attr| {
            Ok(list::<4>(attr)?.map(|octets| Community(u32::from_be_bytes(octets))).collect())
        });
        let extended = self
            .read(code::EXT_COMMUNITIES, |attr| Ok(list::<8>(attr)?.map(ExtCommunity).collect()));
        let large = self.read(code::LARGE_COMMUNITIES, |attr| {
            Ok(list::<12>(attr)?.map(large_community).collect())
        });
        Communities {
            standard: standard.unwrap_or_default(),
            extended: extended.unwrap_or_default(),
            large: large.unwrap_or_default(),
        }
    }

    fn reflection(&mut self) -> Reflection {
        let originator_id = self.read_internal(code::ORIGINATOR_ID, |attr| {
            BgpId::try_new(Ipv4Addr::from(array::<4>(attr)?)).ok_or(AttrErrorKind::Value)
        });
        let cluster_list = self.read_internal(code::CLUSTER_LIST, |attr| {
            Ok(list::<4>(attr)?.map(Ipv4Addr::from).collect())
        });
        Reflection { originator_id, cluster_list: cluster_list.unwrap_or_default() }
    }

    /// RFC 6793 §4.2.3.
    fn path_and_aggregator(&mut self, attrs: &mut Attributes) {
        let as4 = self.ctx.as4;
        let path = self.read(code::AS_PATH, |attr| AsPath::decode(attr.value, as4));
        let aggregator = self.read(code::AGGREGATOR, |attr| aggregator(attr, as4));
        let path4 = self.read(code::AS4_PATH, |attr| match as4 {
            true => Err(AttrErrorKind::Unexpected),
            false => as4_path(attr),
        });
        let aggregator4 = self.read(code::AS4_AGGREGATOR, |attr| match as4 {
            true => Err(AttrErrorKind::Unexpected),
            false => self::aggregator(attr, true),
        });
        let path = path.unwrap_or_default();
        let ignore_as4 = aggregator4.is_some() && aggregator.is_some_and(|a| a.asn != Asn::TRANS);
        attrs.aggregator = match aggregator4 {
            Some(aggregator4) if !ignore_as4 => aggregator.map(|_| aggregator4),
            _ => aggregator,
        };
        attrs.as_path = match path4 {
            Some(path4) if !ignore_as4 => path.merge_as4(&path4),
            _ => path,
        };
        let hops = attrs.as_path.members();
        if hops > MAX_HOPS
            && let Some(attr) = self.list.get(code::AS_PATH)
        {
            let hops = u16::try_from(hops).unwrap_or(u16::MAX);
            self.faults.add(attr.error(AttrErrorKind::TooManyHops(hops)));
        }
    }

    fn unknown(&self) -> UnknownAttrs {
        if !self.ctx.keep_unknown {
            return UnknownAttrs::default();
        }
        let kept = || self.list.unknown().filter(RawAttr::is_transitive);
        let size = kept().map(|attr| attr.value.len() + 4).sum();
        let attrs =
            kept().map(|RawAttr { flags, code, value, .. }| UnknownAttr { flags, code, value });
        UnknownAttrs::from_sorted(size, attrs)
    }
}

/// A value of exactly `N` octets.
fn array<const N: usize>(attr: &RawAttr<'_>) -> Result<[u8; N], AttrErrorKind> {
    attr.value.try_into().map_err(|_| AttrErrorKind::Length(attr.len()))
}

fn number(attr: &RawAttr<'_>) -> Result<u32, AttrErrorKind> {
    array(attr).map(u32::from_be_bytes)
}

/// A value of one or more elements of `N` octets.
fn list<'a, const N: usize>(
    attr: &RawAttr<'a>,
) -> Result<impl ExactSizeIterator<Item = [u8; N]> + 'a + use<'a, N>, AttrErrorKind> {
    if attr.value.is_empty() || !attr.value.len().is_multiple_of(N) {
        return Err(AttrErrorKind::Length(attr.len()));
    }
    Ok(chunks::<N>(attr.value))
}

fn origin(attr: &RawAttr<'_>) -> Result<Origin, AttrErrorKind> {
    let [number] = array(attr)?;
    Origin::from_number(number).ok_or(AttrErrorKind::Value)
}

fn large_community(octets: [u8; 12]) -> LargeCommunity {
    let mut parts = chunks::<4>(&octets).map(u32::from_be_bytes);
    let mut next = || parts.next().unwrap_or_default();
    LargeCommunity::new(next(), next(), next())
}

/// RFC 7606 §7.7; AS 0 by RFC 7607 §2.
fn aggregator(attr: &RawAttr<'_>, as4: bool) -> Result<Aggregator, AttrErrorKind> {
    let mut cursor = Cursor::new(attr.value, 0);
    let asn = if as4 { cursor.u32() } else { cursor.u16().map(u32::from) };
    let address = cursor.array::<4>().filter(|_| cursor.is_empty());
    let (asn, address) = asn.zip(address).ok_or(AttrErrorKind::Length(attr.len()))?;
    if asn == 0 {
        return Err(AttrErrorKind::Value);
    }
    Ok(Aggregator { asn: Asn(asn), address: Ipv4Addr::from(address) })
}

fn as4_path(attr: &RawAttr<'_>) -> Result<AsPath, AttrErrorKind> {
    AsPath::decode_as4(attr.value)
}
