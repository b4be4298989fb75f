// SPDX-License-Identifier: MIT OR Apache-2.0
//! The prefixes of an UPDATE: classic fields, MP_REACH_NLRI, MP_UNREACH_NLRI, End-of-RIB.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::attr::{RawAttr, attr_error};
use super::attr_error::AttrErrorKind;
use super::attributes::{Attributes, NextHop};
use super::code;
use super::collect::{Collected, Faults};
use super::ctx::CodecCtx;
use super::cursor::Cursor;
use super::error::UpdateError;
use super::nlri::NlriView;
use super::update::{DecodedUpdate, Outcome, Reach, UpdateView};
use crate::types::{AfiSafi, Family};

/// The prefixes of a message.
pub(crate) struct Routes<'a> {
    withdrawn: Option<NlriView<'a>>,
    nlri: Option<NlriView<'a>>,
    mp_reach: MpReach<'a>,
    mp_unreach: Option<NlriView<'a>>,
    end_of_rib: Option<Family>,
    skipped: Option<AfiSafi>,
    /// The message has reachable prefixes, of whatever family.
    pub(crate) any_reach: bool,
}

#[derive(Default)]
struct MpReach<'a> {
    next_hop: Option<NextHop>,
    nlri: Option<NlriView<'a>>,
}

impl<'a> Routes<'a> {
    pub(crate) fn read(
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
    pub(crate) fn check_mandatory(
        &self,
        view: &UpdateView<'_>,
        list: &Collected<'_>,
        faults: &mut Faults,
    ) {
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

    pub(crate) fn check_next_hops(
        &self,
        attrs: &Attributes,
        list: &Collected<'_>,
        faults: &mut Faults,
    ) {
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

    pub(crate) fn finish(self, mut attrs: Attributes, mut faults: Faults) -> DecodedUpdate<'a> {
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
