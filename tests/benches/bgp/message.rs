// SPDX-License-Identifier: MIT OR Apache-2.0
//! The generator's own BGP-4 messages, written from RFC 4271, 4760, 5492 and 6793.
//!
//! Nothing of the crate under test is used here: what it sends is judged by code that it does not
//! share.

use std::net::Ipv4Addr;

pub(crate) const HEADER: usize = 19;
pub(crate) const MAX: usize = 4096;
pub(crate) const OPEN: u8 = 1;
pub(crate) const UPDATE: u8 = 2;
pub(crate) const NOTIFICATION: u8 = 3;
pub(crate) const KEEPALIVE: u8 = 4;

/// Attribute set numbers are communities with this in their upper bits; the bit below tells two
/// variants of the same set apart.
pub(crate) const COMMUNITY: u32 = 0x4000_0000;
pub(crate) const VARIANT: u32 = 0x0100_0000;
/// The origin AS of set `n` is this plus `n`.
pub(crate) const ORIGIN_AS: u32 = 100_000;

/// What a sender writes into the attributes of its paths.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Author {
    pub(crate) asn: u32,
    pub(crate) address: Ipv4Addr,
    /// An internal session: LOCAL_PREF, and an AS_PATH that does not begin with us.
    pub(crate) internal: bool,
    /// The second sender of the same prefixes: its paths are longer by one.
    pub(crate) variant: bool,
}

pub(crate) fn keepalive() -> Vec<u8> {
    message(KEEPALIVE, &[])
}

/// An OPEN with IPv4 unicast, route refresh and four-octet AS numbers; hold time 90 s.
pub(crate) fn open(asn: u32, id: Ipv4Addr) -> Vec<u8> {
    let two_octets = u16::try_from(asn).unwrap_or(23_456);
    let mut capabilities = vec![1, 4, 0, 1, 0, 1, 2, 0, 65, 4];
    capabilities.extend_from_slice(&asn.to_be_bytes());
    let length = octet(capabilities.len());
    let mut body = vec![4];
    body.extend_from_slice(&two_octets.to_be_bytes());
    body.extend_from_slice(&90_u16.to_be_bytes());
    body.extend_from_slice(&id.octets());
    body.extend_from_slice(&[length + 2, 2, length]);
    body.extend_from_slice(&capabilities);
    message(OPEN, &body)
}

/// Appends UPDATEs that advertise the prefixes, encoded already, with the attributes of a set.
pub(crate) fn advertise(out: &mut Vec<u8>, author: Author, set: u32, prefixes: &[Vec<u8>]) {
    let attributes = attributes(author, set);
    let mut head = vec![0, 0];
    head.extend_from_slice(&short(attributes.len()));
    head.extend_from_slice(&attributes);
    fill(out, &head, prefixes, |_| {});
}

/// Appends UPDATEs that withdraw the prefixes, as many in each as fit.
pub(crate) fn withdraw(out: &mut Vec<u8>, prefixes: &[Vec<u8>]) {
    fill(out, &[0, 0], prefixes, |body| {
        let length = short(body.len() - 2);
        body[..2].copy_from_slice(&length);
        body.extend_from_slice(&[0, 0]);
    });
}

fn fill(out: &mut Vec<u8>, head: &[u8], prefixes: &[Vec<u8>], finish: impl Fn(&mut Vec<u8>)) {
    let mut left = prefixes;
    while !left.is_empty() {
        let mut body = head.to_vec();
        // The two octets that `finish` may add.
        while let Some((first, rest)) = left.split_first()
            && HEADER + body.len() + first.len() + 2 <= MAX
        {
            body.extend_from_slice(first);
            left = rest;
        }
        finish(&mut body);
        out.extend_from_slice(&message(UPDATE, &body));
    }
}

fn attributes(author: Author, set: u32) -> Vec<u8> {
    let mut path = Vec::new();
    if !author.internal {
        path.push(author.asn);
    }
    path.extend(std::iter::repeat_n(64_900, 1 + usize::from(author.variant)));
    path.push(ORIGIN_AS + set);
    let mut out = vec![0x40, 1, 1, 0];
    out.extend_from_slice(&[0x40, 2, octet(2 + 4 * path.len()), 2, octet(path.len())]);
    path.iter().for_each(|asn| out.extend_from_slice(&asn.to_be_bytes()));
    out.extend_from_slice(&[0x40, 3, 4]);
    out.extend_from_slice(&author.address.octets());
    if author.internal {
        out.extend_from_slice(&[0x40, 5, 4, 0, 0, 0, 100]);
    }
    let community = COMMUNITY | set | if author.variant { VARIANT } else { 0 };
    out.extend_from_slice(&[0xc0, 8, 4]);
    out.extend_from_slice(&community.to_be_bytes());
    out
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff; 16];
    out.extend_from_slice(&short(HEADER + body.len()));
    out.push(kind);
    out.extend_from_slice(body);
    out
}

fn octet(length: usize) -> u8 {
    u8::try_from(length).expect("attributes and capabilities of the generator are short")
}

fn short(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("no message is longer than 4096 octets").to_be_bytes()
}
