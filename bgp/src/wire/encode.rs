// SPDX-License-Identifier: MIT OR Apache-2.0
//! Writing UPDATE messages: as many prefixes as fit into each, never one octet too long.
//!
//! IPv4 goes into the classic fields, or into MP_REACH_NLRI when the next hop is IPv6 (RFC 8950);
//! IPv6 always into MP_REACH_NLRI, which comes first (RFC 7606 §5.1). No message mixes withdrawn
//! and reachable prefixes.

use super::attr;
use super::attributes::{Attributes, NextHop};
use super::code;
use super::ctx::CodecCtx;
use super::encode_error::EncodeError;
use super::header::{HEADER_LEN, MessageType, put_u16_at, write_message};
use super::nlri::{self, Nlri};
use crate::types::Family;

/// Appends UPDATE messages that advertise the prefixes with these attributes and their next hop;
/// returns how many messages. Nothing is appended if it fails.
///
/// # Errors
/// If the attributes and one prefix do not fit a message, the next hop does not fit the family or
/// the session, or a prefix is of another family.
pub fn encode_reach<I>(
    ctx: &CodecCtx,
    family: Family,
    attrs: &Attributes,
    prefixes: I,
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError>
where
    I: IntoIterator<Item = Nlri>,
{
    let hop = attrs.next_hop.ok_or(EncodeError::NextHop)?;
    let mut packer = Packer::new(ctx, family);
    match (family, hop) {
        (Family::Ipv4Unicast, NextHop::V4(_)) => {
            packer.field = Field::Nlri;
            packer.head.extend_from_slice(&[0; 4]);
            encode_attributes(ctx, attrs, true, &mut packer.head)?;
            let len = packer.head.len() - 4;
            let len = u16::try_from(len)
                .map_err(|_| EncodeError::MessageTooLong { len, limit: packer.limit })?;
            put_u16_at(&mut packer.head, 2, len);
        }
        (Family::Ipv6Unicast, NextHop::V4(_)) => return Err(EncodeError::NextHop),
        (Family::Ipv4Unicast, _) if !ctx.ext_next_hop => return Err(EncodeError::NextHop),
        (_, NextHop::V6(_) | NextHop::V6Pair { .. }) => {
            packer.field = Field::Multiprotocol;
            packer.head_multiprotocol(code::MP_REACH_NLRI);
            put_next_hop(&mut packer.head, hop);
            packer.head.push(0);
            encode_attributes(ctx, attrs, false, &mut packer.tail)?;
        }
    }
    packer.run(prefixes, out)
}

/// Appends UPDATE messages that withdraw the prefixes; returns how many. Nothing is appended if it
/// fails.
///
/// # Errors
/// If a prefix is of another family.
pub fn encode_unreach<I>(
    ctx: &CodecCtx,
    family: Family,
    prefixes: I,
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError>
where
    I: IntoIterator<Item = Nlri>,
{
    let mut packer = Packer::new(ctx, family);
    if family == Family::Ipv4Unicast && !ctx.ext_next_hop {
        packer.field = Field::Withdrawn;
        packer.head.extend_from_slice(&[0; 2]);
        packer.tail.extend_from_slice(&[0; 2]);
    } else {
        packer.field = Field::Multiprotocol;
        packer.head_multiprotocol(code::MP_UNREACH_NLRI);
    }
    packer.run(prefixes, out)
}

/// Appends the End-of-RIB marker of a family (RFC 4724 §2).
pub fn encode_end_of_rib(family: Family, out: &mut Vec<u8>) {
    let body: &[u8] = match family {
        Family::Ipv4Unicast => &[0, 0, 0, 0],
        Family::Ipv6Unicast => {
            &[0, 0, 0, 6, code::FLAG_OPTIONAL, code::MP_UNREACH_NLRI, 3, 0, 2, 1]
        }
    };
    let written = write_message(out, MessageType::Update, HEADER_LEN + body.len(), |out| {
        out.extend_from_slice(body);
        Ok(())
    });
    debug_assert!(written.is_ok(), "a marker always fits");
}

/// Appends the attributes in the order of their type codes, without MP_REACH_NLRI; NEXT_HOP only
/// if `classic`.
///
/// # Errors
/// If a value is too long for its length field.
pub(crate) fn encode_attributes(
    ctx: &CodecCtx,
    attrs: &Attributes,
    classic: bool,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let mut writer = Writer { attrs, out };
    writer.put(code::ORIGIN, &[attrs.origin.number()])?;
    if ctx.as4 {
        writer.put(code::AS_PATH, attrs.as_path.as_four_octets())?;
    } else {
        writer.put(code::AS_PATH, &attrs.as_path.to_two_octets())?;
    }
    if let Some(NextHop::V4(hop)) = attrs.next_hop.filter(|_| classic) {
        writer.put(code::NEXT_HOP, &hop.octets())?;
    }
    if let Some(med) = attrs.med {
        writer.put(code::MULTI_EXIT_DISC, &med.to_be_bytes())?;
    }
    if let Some(preference) = attrs.local_pref.filter(|_| !ctx.ebgp) {
        writer.put(code::LOCAL_PREF, &preference.to_be_bytes())?;
    }
    if attrs.atomic_aggregate {
        writer.put(code::ATOMIC_AGGREGATE, &[])?;
    }
    writer.aggregator(ctx)?;
    writer.list(code::COMMUNITIES, &attrs.communities.standard, |c| c.0.to_be_bytes())?;
    if !ctx.ebgp {
        if let Some(id) = attrs.reflection.originator_id {
            writer.put(code::ORIGINATOR_ID, &id.address().octets())?;
        }
        writer.list(code::CLUSTER_LIST, &attrs.reflection.cluster_list, |id| id.octets())?;
    }
    writer.list(code::EXT_COMMUNITIES, &attrs.communities.extended, |c| c.0)?;
    writer.four_octet_twins(ctx)?;
    writer.large_communities()?;
    writer.unknown()
}

struct Writer<'w> {
    attrs: &'w Attributes,
    out: &'w mut Vec<u8>,
}

impl Writer<'_> {
    /// Writes a known attribute with the flags of its type.
    fn put(&mut self, code: u8, value: &[u8]) -> Result<(), EncodeError> {
        let flags = code::required_flags(code).unwrap_or(code::FLAG_OPTIONAL);
        let partial = self.attrs.partial.contains(code);
        attr::put(self.out, flags | (u8::from(partial) * code::FLAG_PARTIAL), code, value)
    }

    /// Writes a list attribute, unless the list is empty.
    fn list<T: Copy, const N: usize>(
        &mut self,
        code: u8,
        list: &[T],
        octets: impl Fn(T) -> [u8; N],
    ) -> Result<(), EncodeError> {
        if list.is_empty() {
            return Ok(());
        }
        let value: Vec<u8> = list.iter().flat_map(|item| octets(*item)).collect();
        self.put(code, &value)
    }

    fn large_communities(&mut self) -> Result<(), EncodeError> {
        let list = &self.attrs.communities.large;
        self.list(code::LARGE_COMMUNITIES, list, |large| {
            let mut octets = [0; 12];
            let parts = [large.global, large.local1, large.local2];
            for (to, part) in octets.as_chunks_mut::<4>().0.iter_mut().zip(parts) {
                *to = part.to_be_bytes();
            }
            octets
        })
    }

    fn aggregator(&mut self, ctx: &CodecCtx) -> Result<(), EncodeError> {
        let Some(aggregator) = self.attrs.aggregator else { return Ok(()) };
        let mut value = Vec::with_capacity(8);
        if ctx.as4 {
            value.extend_from_slice(&aggregator.asn.0.to_be_bytes());
        } else {
            value.extend_from_slice(&aggregator.asn.to_two_octets().to_be_bytes());
        }
        value.extend_from_slice(&aggregator.address.octets());
        self.put(code::AGGREGATOR, &value)
    }

    /// AS4_PATH and AS4_AGGREGATOR, which carry on a two-octet session what does not fit into
    /// AS_PATH and AGGREGATOR (RFC 6793 §4.2.2).
    fn four_octet_twins(&mut self, ctx: &CodecCtx) -> Result<(), EncodeError> {
        if ctx.as4 {
            return Ok(());
        }
        if self.attrs.as_path.has_four_octet() {
            self.put(code::AS4_PATH, self.attrs.as_path.as_four_octets())?;
        }
        match self.attrs.aggregator {
            Some(aggregator) if aggregator.asn.is_four_octet() => {
                let mut value = Vec::with_capacity(8);
                value.extend_from_slice(&aggregator.asn.0.to_be_bytes());
                value.extend_from_slice(&aggregator.address.octets());
                self.put(code::AS4_AGGREGATOR, &value)
            }
            _ => Ok(()),
        }
    }

    /// Deviates: unknown attributes with a code below 32 come after LARGE_COMMUNITY, too;
    /// RFC 4271 §5 asks for the order of type codes only with SHOULD.
    fn unknown(&mut self) -> Result<(), EncodeError> {
        self.attrs
            .unknown
            .iter()
            .try_for_each(|unknown| attr::put(self.out, unknown.flags, unknown.code, unknown.value))
    }
}

fn put_next_hop(out: &mut Vec<u8>, hop: NextHop) {
    match hop {
        NextHop::V4(v4) => {
            out.push(4);
            out.extend_from_slice(&v4.octets());
        }
        NextHop::V6(v6) => {
            out.push(16);
            out.extend_from_slice(&v6.octets());
        }
        NextHop::V6Pair { global, link_local } => {
            out.push(32);
            out.extend_from_slice(&global.octets());
            out.extend_from_slice(&link_local.octets());
        }
    }
}

/// Where the prefixes of a message are.
#[derive(Clone, Copy)]
enum Field {
    Withdrawn,
    Nlri,
    Multiprotocol,
}

/// Fills messages of `head`, prefixes, `tail`.
struct Packer {
    family: Family,
    add_path: bool,
    limit: usize,
    field: Field,
    /// What follows the header, up to the prefixes.
    head: Vec<u8>,
    /// What follows the prefixes.
    tail: Vec<u8>,
}

impl Packer {
    fn new(ctx: &CodecCtx, family: Family) -> Self {
        Self {
            family,
            add_path: ctx.addpath_tx.contains(family),
            limit: ctx.max_message_len(),
            field: Field::Withdrawn,
            head: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// Withdrawn routes (none), attribute lengths to be set later, and the beginning of MP_REACH or
    /// MP_UNREACH with the long form of its length.
    fn head_multiprotocol(&mut self, code: u8) {
        let flags = code::FLAG_OPTIONAL | code::FLAG_EXTENDED;
        self.head.extend_from_slice(&[0, 0, 0, 0, flags, code, 0, 0]);
        self.head.extend_from_slice(&self.family.afi().to_be_bytes());
        self.head.push(self.family.safi());
    }

    fn run(
        &self,
        prefixes: impl IntoIterator<Item = Nlri>,
        out: &mut Vec<u8>,
    ) -> Result<usize, EncodeError> {
        let start = out.len();
        let result = self.fill(prefixes, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn fill(
        &self,
        prefixes: impl IntoIterator<Item = Nlri>,
        out: &mut Vec<u8>,
    ) -> Result<usize, EncodeError> {
        let fixed = HEADER_LEN + self.head.len() + self.tail.len();
        let mut prefixes = prefixes.into_iter().peekable();
        let mut messages = 0;
        while prefixes.peek().is_some() {
            write_message(out, MessageType::Update, self.limit, |out| {
                let start = out.len();
                out.extend_from_slice(&self.head);
                let mut len = fixed;
                while let Some(nlri) = prefixes.next_if(|nlri| {
                    len == fixed
                        || len + nlri::encoded_len(nlri.prefix, self.add_path) <= self.limit
                }) {
                    if nlri.prefix.family() != self.family {
                        return Err(EncodeError::Family);
                    }
                    len += nlri::encoded_len(nlri.prefix, self.add_path);
                    nlri::encode(out, nlri, self.add_path);
                }
                out.extend_from_slice(&self.tail);
                self.set_lengths(out, start)
            })?;
            messages += 1;
        }
        Ok(messages)
    }

    /// Sets the length fields of the message whose body begins at `start`.
    fn set_lengths(&self, out: &mut [u8], start: usize) -> Result<(), EncodeError> {
        let end = out.len() - self.tail.len();
        let mut put = |at: usize, len: usize| {
            let value = u16::try_from(len)
                .map_err(|_| EncodeError::MessageTooLong { len, limit: self.limit })?;
            put_u16_at(out, start + at, value);
            Ok(())
        };
        match self.field {
            Field::Nlri => Ok(()),
            Field::Withdrawn => put(0, end - start - 2),
            Field::Multiprotocol => {
                put(2, end - start - 4 + self.tail.len())?;
                put(6, end - start - 8)
            }
        }
    }
}
