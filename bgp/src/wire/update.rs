// SPDX-License-Identifier: MIT OR Apache-2.0
//! UPDATE: a borrowing view of its three fields, and what a valid one says.
//!
//! [`UpdateView::parse`] only finds the fields. [`UpdateView::decode`] collects the attributes,
//! then validates them, then builds the result; so the order of the attributes on the wire plays
//! no role (FRR CVE-2023-46753 and GoBGP CVE-2026-41643 were about that).

use std::fmt;

use super::attr::AttrIter;
use super::attr_error::AttrError;
use super::attributes::{Attributes, NextHop};
use super::cursor::Cursor;
use super::error::UpdateError;
use super::header::HEADER_LEN;
use super::nlri::{Nlri, NlriView};
use crate::types::{AfiSafi, Family};

/// The fields of an UPDATE, not looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateView<'a> {
    withdrawn: &'a [u8],
    attributes: &'a [u8],
    nlri: &'a [u8],
}

impl<'a> UpdateView<'a> {
    /// Finds the fields in the body of an UPDATE.
    ///
    /// # Errors
    /// If the length fields do not fit the message (RFC 7606 §3 b).
    pub fn parse(body: &'a [u8]) -> Result<Self, UpdateError> {
        let mut cursor = Cursor::new(body, HEADER_LEN);
        let withdrawn = field(&mut cursor)?;
        let attributes = field(&mut cursor)?;
        Ok(Self { withdrawn, attributes, nlri: cursor.rest() })
    }

    /// The withdrawn routes field.
    #[must_use]
    pub const fn withdrawn(&self) -> &'a [u8] {
        self.withdrawn
    }

    /// Where in the message the withdrawn routes are.
    pub(crate) const fn withdrawn_offset() -> usize {
        HEADER_LEN + 2
    }

    /// The path attributes, in the order of the wire.
    #[must_use]
    pub const fn attributes(&self) -> AttrIter<'a> {
        AttrIter::new(self.attributes, self.attributes_offset())
    }

    /// The path attributes field.
    pub(crate) const fn attribute_list(&self) -> &'a [u8] {
        self.attributes
    }

    /// Where in the message the path attributes are.
    pub(crate) const fn attributes_offset(&self) -> usize {
        Self::withdrawn_offset() + self.withdrawn.len() + 2
    }

    /// The NLRI field.
    #[must_use]
    pub const fn nlri(&self) -> &'a [u8] {
        self.nlri
    }

    /// Where in the message the NLRI field is.
    pub(crate) const fn nlri_offset(&self) -> usize {
        self.attributes_offset() + self.attributes.len()
    }
}

fn field<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], UpdateError> {
    let error = UpdateError::Lengths { offset: cursor.offset() };
    let Some(len) = cursor.u16() else { return Err(error) };
    cursor.take(usize::from(len)).ok_or(error)
}

/// How well an UPDATE was formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No error.
    Ok,
    /// These attributes were left out; the rest holds. At most
    /// [`DecodedUpdate::MAX_DISCARDS`] are listed.
    AttributeDiscard(Vec<AttrError>),
    /// The prefixes must be handled as withdrawn, for this and maybe further reasons.
    TreatAsWithdraw(AttrError),
}

/// Prefixes that share a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach<'a> {
    /// The next hop of the prefixes.
    pub next_hop: NextHop,
    /// The prefixes; at least one.
    pub nlri: NlriView<'a>,
}

/// What a valid UPDATE says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedUpdate<'a> {
    /// How well the message was formed.
    pub outcome: Outcome,
    /// The attributes of the prefixes of [`Self::reach`], with the next hop of the first one; the
    /// default if there are none.
    pub attrs: Attributes,
    /// The family that the peer has now sent completely (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    /// A family whose prefixes were skipped, since the session does not use it.
    pub skipped: Option<AfiSafi>,
    /// Classic field, MP_REACH_NLRI.
    pub(crate) reach: [Option<Reach<'a>>; 2],
    /// Classic field, MP_UNREACH_NLRI, and what is treated as withdrawn.
    pub(crate) unreach: [Option<NlriView<'a>>; 4],
}

impl<'a> DecodedUpdate<'a> {
    /// The most discarded attributes that are listed; more are discarded silently.
    pub const MAX_DISCARDS: usize = 32;

    /// What became reachable: at most one element from the classic field and one from
    /// MP_REACH_NLRI. Nothing if the message is treated as withdraw.
    pub fn reach(&self) -> impl Iterator<Item = &Reach<'a>> {
        self.reach.iter().flatten()
    }

    /// What is no longer reachable, including everything that is treated as withdrawn. Apply it
    /// before [`Self::reach`]: a prefix in both is reachable (RFC 4271 §4.3).
    pub fn unreach(&self) -> impl Iterator<Item = &NlriView<'a>> {
        self.unreach.iter().flatten()
    }

    /// Every prefix that is no longer reachable.
    pub fn withdrawn(&self) -> impl Iterator<Item = Nlri> + '_ {
        self.unreach().flat_map(NlriView::iter)
    }

    /// The attributes with the next hop of one of [`Self::reach`].
    #[must_use]
    pub fn attrs_with(&self, next_hop: NextHop) -> Attributes {
        Attributes { next_hop: Some(next_hop), ..self.attrs.clone() }
    }
}

impl fmt::Display for DecodedUpdate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UPDATE")?;
        match &self.outcome {
            Outcome::Ok => {}
            Outcome::AttributeDiscard(list) => write!(f, " discarded {}", list.len())?,
            Outcome::TreatAsWithdraw(error) => write!(f, " treated as withdraw: {error}")?,
        }
        if let Some(family) = self.end_of_rib {
            write!(f, " end-of-rib {family}")?;
        }
        for (at, nlri) in self.withdrawn().enumerate() {
            write!(f, "{} {nlri}", if at == 0 { " withdraw" } else { "" })?;
        }
        for (at, reach) in self.reach().enumerate() {
            if at == 0 {
                write!(f, " {}", self.attrs)?;
            }
            write!(f, " via {}", reach.next_hop)?;
            reach.nlri.iter().try_for_each(|nlri| write!(f, " {nlri}"))?;
        }
        Ok(())
    }
}
