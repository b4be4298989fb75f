// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first step of decoding an UPDATE: an index of its attributes, and a place for errors.

use super::attr::{AttrIter, RawAttr};
use super::attr_error::{AttrError, AttrErrorKind};
use super::code;
use super::error::UpdateError;
use super::update::{DecodedUpdate, UpdateView};

/// The repairable errors of a message.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) discarded: Vec<AttrError>,
    /// The one with the lowest type code, so that the order on the wire plays no role.
    pub(crate) withdraw: Option<AttrError>,
}

impl Faults {
    pub(crate) fn add(&mut self, error: AttrError) {
        if !error.is_discard() {
            let first = self.withdraw.is_none_or(|known| error.code < known.code);
            self.withdraw = if first { Some(error) } else { self.withdraw };
        } else if self.discarded.len() < DecodedUpdate::MAX_DISCARDS {
            self.discarded.push(error);
        }
    }
}

/// The attribute list with an index of the first occurrence of each type code.
pub(crate) struct Collected<'a> {
    pub(crate) list: &'a [u8],
    offset: usize,
    /// The position in `list`; only of meaning for the codes in `present`.
    first: [u16; 256],
    present: CodeSet,
    /// There is an attribute other than MP_UNREACH_NLRI.
    pub(crate) has_more_than_unreach: bool,
}

impl<'a> Collected<'a> {
    pub(crate) fn new(view: &UpdateView<'a>, faults: &mut Faults) -> Result<Self, UpdateError> {
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
    pub(crate) fn check_flags(&self, faults: &mut Faults) {
        const MASK: u8 = code::FLAG_OPTIONAL | code::FLAG_TRANSITIVE;
        self.all()
            .filter(|attr| {
                code::required_flags(attr.code).is_some_and(|flags| attr.flags & MASK != flags)
            })
            .for_each(|attr| faults.add(attr.error(AttrErrorKind::Flags(attr.flags))));
    }

    /// The first occurrence of an attribute.
    pub(crate) fn get(&self, code: u8) -> Option<RawAttr<'a>> {
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

    pub(crate) fn unknown(&self) -> impl Iterator<Item = RawAttr<'a>> + '_ {
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

#[cfg(test)]
mod tests;
