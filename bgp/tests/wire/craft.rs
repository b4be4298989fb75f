// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages made by hand, octet by octet, without the encoder under test.

use bgp::types::{Family, FamilySet};
use bgp::wire::{self, CodecCtx, DecodedUpdate, Error, Message, code};

pub(crate) const WELL_KNOWN: u8 = 0x40;
pub(crate) const OPTIONAL: u8 = 0x80;
pub(crate) const OPTIONAL_TRANSITIVE: u8 = 0xc0;

pub(crate) const OPEN: u8 = 1;
pub(crate) const UPDATE: u8 = 2;
pub(crate) const NOTIFICATION: u8 = 3;
pub(crate) const KEEPALIVE: u8 = 4;
pub(crate) const ROUTE_REFRESH: u8 = 5;

/// Where the first attribute of an UPDATE without withdrawn routes begins.
pub(crate) const FIRST_ATTR: usize = 23;

/// Four-octet AS numbers, both families, external.
pub(crate) fn ebgp() -> CodecCtx {
    CodecCtx { as4: true, families: FamilySet::ALL, ..CodecCtx::default() }
}

/// As [`ebgp`], internal.
pub(crate) fn ibgp() -> CodecCtx {
    CodecCtx { ebgp: false, ..ebgp() }
}

/// A message with a right header.
pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len() + 19).unwrap();
    let mut out = vec![0xff; 16];
    out.extend_from_slice(&len.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(body);
    out
}

/// An attribute with a length of one octet if it fits.
pub(crate) fn attr(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut out = match u8::try_from(value.len()) {
        Ok(len) => vec![flags, code, len],
        Err(_) => {
            let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
            vec![flags | 0x10, code, high, low]
        }
    };
    out.extend_from_slice(value);
    out
}

pub(crate) fn update(withdrawn: &[u8], attrs: &[Vec<u8>], nlri: &[u8]) -> Vec<u8> {
    let attrs = attrs.concat();
    let mut body = u16::try_from(withdrawn.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(withdrawn);
    body.extend_from_slice(&u16::try_from(attrs.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&attrs);
    body.extend_from_slice(nlri);
    message(UPDATE, &body)
}

/// The value of an AS_PATH of one sequence with four-octet numbers.
pub(crate) fn sequence(asns: &[u32]) -> Vec<u8> {
    let mut value = vec![2, u8::try_from(asns.len()).unwrap()];
    asns.iter().for_each(|asn| value.extend_from_slice(&asn.to_be_bytes()));
    value
}

pub(crate) fn origin() -> Vec<u8> {
    attr(WELL_KNOWN, code::ORIGIN, &[0])
}

pub(crate) fn as_path(asns: &[u32]) -> Vec<u8> {
    attr(WELL_KNOWN, code::AS_PATH, &sequence(asns))
}

pub(crate) fn next_hop() -> Vec<u8> {
    attr(WELL_KNOWN, code::NEXT_HOP, &[192, 0, 2, 1])
}

/// ORIGIN, AS_PATH and NEXT_HOP.
pub(crate) fn mandatory() -> Vec<Vec<u8>> {
    vec![origin(), as_path(&[65101]), next_hop()]
}

/// The mandatory attributes and these.
pub(crate) fn mandatory_and(attrs: &[Vec<u8>]) -> Vec<Vec<u8>> {
    [&mandatory(), attrs].concat()
}

/// 203.0.113.0/24.
pub(crate) const NLRI: [u8; 4] = [24, 203, 0, 113];

/// 2001:db8:1::/48.
pub(crate) const NLRI6: [u8; 7] = [48, 0x20, 0x01, 0x0d, 0xb8, 0, 1];

/// The value of MP_REACH_NLRI.
pub(crate) fn mp_reach(family: Family, next_hop: &[u8], nlri: &[u8]) -> Vec<u8> {
    let [high, low] = family.afi().to_be_bytes();
    let mut value = vec![high, low, family.safi(), u8::try_from(next_hop.len()).unwrap()];
    value.extend_from_slice(next_hop);
    value.push(0);
    value.extend_from_slice(nlri);
    value
}

/// The value of MP_UNREACH_NLRI.
pub(crate) fn mp_unreach(family: Family, nlri: &[u8]) -> Vec<u8> {
    let [high, low] = family.afi().to_be_bytes();
    let mut value = vec![high, low, family.safi()];
    value.extend_from_slice(nlri);
    value
}

/// 2001:db8::1.
pub(crate) const HOP6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Reads one UPDATE, which must be all of `octets`.
pub(crate) fn decode<'a>(octets: &'a [u8], ctx: &CodecCtx) -> Result<DecodedUpdate<'a>, Error> {
    let frame = wire::frame(octets, ctx.max_message_len())?.expect("complete");
    assert_eq!(frame.message.len(), octets.len());
    match Message::decode(&frame)? {
        Message::Update(view) => Ok(view.decode(ctx)?),
        other => panic!("not an UPDATE: {other}"),
    }
}

/// The prefixes of a decoded UPDATE as text: withdrawn, reachable.
pub(crate) fn prefixes(update: &DecodedUpdate<'_>) -> (Vec<String>, Vec<String>) {
    let reach = update.reach().flat_map(|reach| reach.nlri.iter());
    (
        update.withdrawn().map(|nlri| nlri.to_string()).collect(),
        reach.map(|nlri| nlri.to_string()).collect(),
    )
}
