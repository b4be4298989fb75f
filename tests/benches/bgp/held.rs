// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a receiver holds: every UPDATE is read in full and every prefix is compared with what was
//! sent.

use std::ops::Range;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use crate::load::Universe;
use crate::message::{COMMUNITY, ORIGIN_AS, VARIANT};

/// What the device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// What other clients sent: the attributes name the set of the prefix.
    Learned,
    /// What it originates itself.
    Originated,
    /// Nobody looks.
    Anything,
}

/// The routes of one session, one octet for each prefix of the universe.
#[derive(Debug)]
pub(crate) struct Held {
    universe: Rc<Universe>,
    /// The device's AS on an external session: the first in every AS_PATH.
    external: Option<u32>,
    /// What this client sends itself; a reflector that sends it back is not counted.
    own: Range<usize>,
    expected: Expected,
    /// 0: not held; 1, 2: held with the first or second variant of its attributes.
    state: Vec<u8>,
    counts: [usize; 3],
    /// UPDATEs with at least one prefix.
    pub(crate) updates: usize,
    /// Prefixes in them, repeats included.
    pub(crate) prefixes: usize,
}

impl Held {
    pub(crate) fn new(universe: &Rc<Universe>, external: Option<u32>) -> Self {
        let length = universe.len();
        let universe = Rc::clone(universe);
        let (state, counts) = (vec![0; length], [length, 0, 0]);
        let (own, expected) = (0..0, Expected::Learned);
        Self { universe, external, own, expected, state, counts, updates: 0, prefixes: 0 }
    }

    /// Leaves out of the count what the client itself sends.
    pub(crate) fn without(mut self, own: Range<usize>) -> Self {
        self.own = own;
        self
    }

    /// Expects prefixes that the device originates.
    pub(crate) fn originated(mut self) -> Self {
        self.expected = Expected::Originated;
        self
    }

    /// Looks at nothing: this client only sends.
    pub(crate) fn blind(mut self) -> Self {
        self.expected = Expected::Anything;
        self
    }

    /// Unique prefixes held now.
    pub(crate) fn count(&self) -> usize {
        self.counts[1] + self.counts[2]
    }

    /// Of them, those with the attributes of the second sender.
    pub(crate) fn second(&self) -> usize {
        self.counts[2]
    }

    pub(crate) fn has(&self, prefix: usize) -> bool {
        self.state[prefix] != 0
    }

    /// Takes in the body of an UPDATE.
    pub(crate) fn update(&mut self, body: &[u8]) -> Result<()> {
        if self.expected == Expected::Anything {
            return Ok(());
        }
        let (withdrawn, rest) = field(body).context("withdrawn routes")?;
        let (attributes, nlri) = field(rest).context("path attributes")?;
        if withdrawn.is_empty() && nlri.is_empty() {
            // End-of-RIB, or another family.
            return Ok(());
        }
        self.updates += 1;
        self.apply(withdrawn, None)?;
        if !nlri.is_empty() {
            let community = self.attributes(attributes)?;
            self.apply(nlri, Some(community))?;
        }
        Ok(())
    }

    fn apply(&mut self, mut octets: &[u8], community: Option<u32>) -> Result<()> {
        let length = self.universe.length;
        let size = 1 + usize::from(length.div_ceil(8));
        let set = community.filter(|_| self.expected == Expected::Learned);
        let set = set.map(|community| community & !(COMMUNITY | VARIANT));
        let to = community.map_or(0, |community| 1 + u8::from(community & VARIANT != 0));
        while let Some((prefix, rest)) = octets.split_at_checked(size) {
            ensure!(prefix[0] == length, "a prefix of length {} is none of ours", prefix[0]);
            let mut address = [0; 4];
            address[..size - 1].copy_from_slice(&prefix[1..]);
            let address = u32::from_be_bytes(address);
            let number = self.universe.number(address).context("a prefix that was never sent")?;
            if set.is_some() && self.universe.set(number) != set {
                bail!("{} came with attribute set {set:?}", self.universe.address(number));
            }
            octets = rest;
            self.prefixes += 1;
            if self.own.contains(&number) {
                continue;
            }
            let state = &mut self.state[number];
            self.counts[usize::from(*state)] -= 1;
            self.counts[usize::from(to)] += 1;
            *state = to;
        }
        ensure!(octets.is_empty(), "{} octets behind the last prefix", octets.len());
        Ok(())
    }

    /// Checks the attributes against each other and returns the community that names the set.
    fn attributes(&self, mut octets: &[u8]) -> Result<u32> {
        let (mut community, mut origin_as, mut hop) = (None, None, None);
        while let [flags, code, rest @ ..] = octets {
            let (length, rest) = match (flags & 0x10 != 0, rest) {
                (false, [length, rest @ ..]) => (usize::from(*length), rest),
                (true, [high, low, rest @ ..]) => {
                    (usize::from(u16::from_be_bytes([*high, *low])), rest)
                }
                _ => bail!("attribute {code} has no length"),
            };
            let (value, rest) = rest.split_at_checked(length).context("attribute cut short")?;
            match code {
                2 => origin_as = Some(self.origin_as(value)?),
                3 => hop = Some(value),
                8 => community = value.first_chunk().map(|octets| u32::from_be_bytes(*octets)),
                _ => {}
            }
            octets = rest;
        }
        ensure!(matches!(hop, Some([10, 99, ..])), "next hop {hop:?}");
        if self.expected == Expected::Originated {
            ensure!(origin_as == self.external, "AS {origin_as:?} is the origin");
            return Ok(COMMUNITY);
        }
        let community = community.context("no community")?;
        ensure!(community & COMMUNITY != 0, "community {community:x} is none of ours");
        let set = community & !(COMMUNITY | VARIANT);
        ensure!(origin_as == Some(ORIGIN_AS + set), "set {set} came from AS {origin_as:?}");
        Ok(community)
    }

    fn origin_as(&self, path: &[u8]) -> Result<u32> {
        let asn = |octets: Option<&[u8; 4]>| octets.map(|octets| u32::from_be_bytes(*octets));
        let [2, _, asns @ ..] = path else { bail!("AS_PATH {path:?} is no sequence") };
        if let Some(device) = self.external {
            ensure!(asn(asns.first_chunk()) == Some(device), "AS_PATH without the device");
        }
        asn(asns.last_chunk()).context("an empty AS_PATH")
    }
}

fn field(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
