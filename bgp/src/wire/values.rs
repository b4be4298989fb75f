// SPDX-License-Identifier: MIT OR Apache-2.0
//! The values of the collected attributes, validated one by one (RFC 7606 §7).

use std::net::Ipv4Addr;

use super::as_path::{AsPath, MAX_HOPS};
use super::attr::RawAttr;
use super::attr_error::AttrErrorKind;
use super::attributes::{
    Aggregator, Attributes, Communities, NextHop, Origin, Reflection, UnknownAttr, UnknownAttrs,
};
use super::code;
use super::collect::{Collected, Faults};
use super::ctx::CodecCtx;
use super::cursor::{Cursor, chunks};
use crate::types::{Asn, BgpId, Community, ExtCommunity, LargeCommunity};

/// Reads the values of the collected attributes.
pub(crate) struct Builder<'l, 'a> {
    pub(crate) list: &'l Collected<'a>,
    pub(crate) ctx: &'l CodecCtx,
    pub(crate) faults: &'l mut Faults,
}

impl<'a> Builder<'_, 'a> {
    pub(crate) fn build(&mut self) -> Attributes {
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
