// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is sent: a numbered universe of prefixes, each with one attribute set, encoded before the
//! clock starts.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::rc::Rc;

use crate::message::{self, Author};

/// First address of the universe.
pub(crate) const BASE: u32 = 0x1000_0000;

/// Octets to send, shared by the runs of all devices.
pub(crate) type Buffer = Rc<[u8]>;

/// All prefixes of a row, numbered from 0.
#[derive(Debug)]
pub(crate) struct Universe {
    pub(crate) length: u8,
    /// The attribute set of each prefix.
    sets: Vec<u32>,
}

impl Universe {
    /// `count` prefixes /24 whose attribute sets take turns, so that neighbours differ.
    pub(crate) fn interleaved(count: u32, sets: u32) -> Rc<Self> {
        Rc::new(Self { length: 24, sets: (0..count).map(|prefix| prefix % sets).collect() })
    }

    /// `count` blocks /26, each set a run of neighbours: nodes with their blocks.
    pub(crate) fn nodes(count: u32, nodes: u32) -> Rc<Self> {
        let each = count.div_ceil(nodes);
        Rc::new(Self { length: 26, sets: (0..count).map(|prefix| prefix / each).collect() })
    }

    pub(crate) fn len(&self) -> usize {
        self.sets.len()
    }

    /// The set of a prefix.
    pub(crate) fn set(&self, prefix: usize) -> Option<u32> {
        self.sets.get(prefix).copied()
    }

    /// The number of a prefix with this address, if it is one of ours.
    pub(crate) fn number(&self, address: u32) -> Option<usize> {
        let offset = address.checked_sub(BASE)?;
        let number = (offset >> (32 - self.length)) as usize;
        (number < self.sets.len() && offset << self.length == 0).then_some(number)
    }

    pub(crate) fn address(&self, prefix: usize) -> Ipv4Addr {
        let number = u32::try_from(prefix).unwrap_or(u32::MAX);
        Ipv4Addr::from(BASE + (number << (32 - self.length)))
    }

    /// UPDATEs that advertise these prefixes, set by set.
    pub(crate) fn advertise(&self, author: Author, prefixes: Range<usize>) -> Buffer {
        let mut by_set: Vec<Vec<Vec<u8>>> = Vec::new();
        for prefix in prefixes {
            let set = self.sets[prefix] as usize;
            if by_set.len() <= set {
                by_set.resize_with(set + 1, Vec::new);
            }
            by_set[set].push(self.encode(prefix));
        }
        let mut out = Vec::new();
        for (set, prefixes) in (0..).zip(&by_set) {
            message::advertise(&mut out, author, set, prefixes);
        }
        out.into()
    }

    /// UPDATEs that withdraw these prefixes, in their order.
    pub(crate) fn withdraw(&self, prefixes: Range<usize>) -> Buffer {
        let prefixes: Vec<Vec<u8>> = prefixes.map(|prefix| self.encode(prefix)).collect();
        let mut out = Vec::new();
        message::withdraw(&mut out, &prefixes);
        out.into()
    }

    fn encode(&self, prefix: usize) -> Vec<u8> {
        let octets = self.address(prefix).octets();
        let mut out = vec![self.length];
        out.extend_from_slice(&octets[..usize::from(self.length.div_ceil(8))]);
        out
    }
}
