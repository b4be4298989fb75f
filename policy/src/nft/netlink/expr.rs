// SPDX-License-Identifier: MIT OR Apache-2.0
//! Expressions: the instructions of a rule.
//!
//! The kernel runs a rule's expressions in order over a small register file. Register 1 holds any
//! single value; a concatenation is loaded into consecutive registers, each part padded to four
//! bytes, so an interface name (16 bytes) from register 1 on leaves register 2 for the next part.
//! A comparison that does not hold ends the rule.

use super::attr::AttrWriter;

/// The verdict register.
const REG_VERDICT: u32 = 0;
/// The first 16-byte register.
pub(crate) const REG_1: u32 = 1;
/// The second 16-byte register, right behind an interface name in the first.
pub(crate) const REG_2: u32 = 2;

/// Element of a list (`NFTA_LIST_ELEM`).
pub(crate) const LIST_ELEM: u16 = 1;
/// Raw value of a datum (`NFTA_DATA_VALUE`).
const DATA_VALUE: u16 = 1;
/// Verdict of a datum (`NFTA_DATA_VERDICT`).
const DATA_VERDICT: u16 = 2;

/// A key of the `meta` expression (`enum nft_meta_keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Meta {
    InputName = 6,
    OutputName = 7,
    NfProto = 15,
    L4Proto = 16,
}

/// Where a payload offset counts from (`enum nft_payload_bases`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Base {
    Network = 1,
    Transport = 2,
}

/// How a register is compared (`enum nft_cmp_ops`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Compare {
    Equal = 0,
    NotEqual = 1,
    AtMost = 3,
    AtLeast = 5,
}

impl Compare {
    /// Equality or its opposite.
    pub(crate) fn equality(negated: bool) -> Self {
        if negated { Self::NotEqual } else { Self::Equal }
    }
}

/// A verdict as the kernel numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VerdictCode<'a> {
    Accept,
    Drop,
    Return,
    Jump(&'a str),
    Goto(&'a str),
}

impl VerdictCode<'_> {
    /// The number, a negative one in two's complement (`enum nft_verdicts`).
    fn code(self) -> u32 {
        let code: i32 = match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Jump(_) => -3,
            Self::Goto(_) => -4,
            Self::Return => -5,
        };
        code.cast_unsigned()
    }

    fn chain(&self) -> Option<&str> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            Self::Accept | Self::Drop | Self::Return => None,
        }
    }
}

/// Appends a datum that holds bytes.
pub(crate) fn value(attrs: &mut AttrWriter<'_>, kind: u16, bytes: &[u8]) {
    attrs.nest(kind, |data| data.bytes(DATA_VALUE, bytes));
}

/// Appends a datum that holds a verdict.
pub(crate) fn verdict(attrs: &mut AttrWriter<'_>, kind: u16, verdict: VerdictCode<'_>) {
    attrs.nest(kind, |data| {
        data.nest(DATA_VERDICT, |inner| {
            inner.be32(1, verdict.code());
            if let Some(chain) = verdict.chain() {
                inner.string(2, chain);
            }
        });
    });
}

/// Appends expressions to the list that `attrs` is inside of.
#[derive(Debug)]
pub(crate) struct Program<'a, 'b> {
    attrs: &'a mut AttrWriter<'b>,
}

impl<'a, 'b> Program<'a, 'b> {
    /// Writes into the attribute that holds a rule's expressions.
    pub(crate) fn new(attrs: &'a mut AttrWriter<'b>) -> Self {
        Self { attrs }
    }

    /// Loads packet metadata into a register.
    pub(crate) fn meta(&mut self, key: Meta, register: u32) {
        self.expression("meta", |data| {
            data.be32(1, register);
            data.be32(2, key as u32);
        });
    }

    /// Loads bytes of the packet into a register.
    pub(crate) fn payload(&mut self, base: Base, offset: u32, len: u32, register: u32) {
        self.expression("payload", |data| {
            data.be32(1, register);
            data.be32(2, base as u32);
            data.be32(3, offset);
            data.be32(4, len);
        });
    }

    /// Loads the connection tracking state into register 1.
    pub(crate) fn ct_state(&mut self) {
        self.expression("ct", |data| {
            data.be32(1, REG_1);
            data.be32(2, 0);
        });
    }

    /// Ends the rule unless register 1 compares as wanted.
    pub(crate) fn compare(&mut self, op: Compare, bytes: &[u8]) {
        self.expression("cmp", |data| {
            data.be32(1, REG_1);
            data.be32(2, op as u32);
            value(data, 3, bytes);
        });
    }

    /// Ends the rule if register 1 lies in the range.
    pub(crate) fn outside(&mut self, from: &[u8], to: &[u8]) {
        self.expression("range", |data| {
            data.be32(1, REG_1);
            data.be32(2, Compare::NotEqual as u32);
            value(data, 3, from);
            value(data, 4, to);
        });
    }

    /// Masks register 1.
    pub(crate) fn mask(&mut self, mask: &[u8]) {
        let zero = [0; 16];
        self.expression("bitwise", |data| {
            data.be32(1, REG_1);
            data.be32(2, REG_1);
            data.be32(3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
            value(data, 4, mask);
            value(data, 5, zero.get(..mask.len()).unwrap_or(&zero));
        });
    }

    /// Ends the rule unless what is loaded from register 1 on is in a set, or not in it.
    pub(crate) fn lookup(&mut self, set: &str, negated: bool) {
        self.expression("lookup", |data| {
            data.string(1, set);
            data.be32(2, REG_1);
            if negated {
                data.be32(5, 1);
            }
        });
    }

    /// Takes the verdict that a map has for register 1; without an element the rule ends.
    pub(crate) fn lookup_verdict(&mut self, map: &str) {
        self.expression("lookup", |data| {
            data.string(1, map);
            data.be32(2, REG_1);
            data.be32(3, REG_VERDICT);
        });
    }

    /// Counts packets and bytes.
    pub(crate) fn counter(&mut self) {
        self.expression("counter", |data| {
            data.be64(1, 0);
            data.be64(2, 0);
        });
    }

    /// Decides.
    pub(crate) fn verdict(&mut self, code: VerdictCode<'_>) {
        self.expression("immediate", |data| {
            data.be32(1, REG_VERDICT);
            verdict(data, 2, code);
        });
    }

    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut AttrWriter<'_>)) {
        self.attrs.nest(LIST_ELEM, |expression| {
            expression.string(1, name);
            expression.nest(2, fill);
        });
    }
}
