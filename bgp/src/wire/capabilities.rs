// SPDX-License-Identifier: MIT OR Apache-2.0
//! The capabilities of an OPEN.
//!
//! [`Capabilities`] keeps the octets of all of them in one buffer, checked once, and reads the
//! typed values from it on demand. So an OPEN that is full of tiny capabilities cannot make us
//! allocate much more than it has octets, and nothing of it is lost.

use super::capability::{AddPath, Capability, ExtendedNextHop, GracefulRestart, Role, number};
use super::cursor::Cursor;
use super::encode_error::EncodeError;
use super::error::OpenError;
use crate::types::{Asn, Family, FamilySet};

/// The capabilities of an OPEN, in the order of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// For each capability: code, length, value; always well-formed.
    octets: Vec<u8>,
}

impl Capabilities {
    /// The capabilities of this list.
    ///
    /// # Errors
    /// If the value of one has more than 255 octets.
    pub fn try_new<'c>(
        list: impl IntoIterator<Item = &'c Capability>,
    ) -> Result<Self, EncodeError> {
        let mut this = Self::default();
        list.into_iter().try_for_each(|capability| this.try_push(capability))?;
        Ok(this)
    }

    /// Adds a capability.
    ///
    /// # Errors
    /// If its value has more than 255 octets.
    pub fn try_push(&mut self, capability: &Capability) -> Result<(), EncodeError> {
        let mut value = Vec::new();
        capability.encode_value(&mut value);
        let (code, len) = (capability.code(), value.len());
        let field = u8::try_from(len).map_err(|_| EncodeError::CapabilityTooLong { code, len })?;
        self.octets.extend_from_slice(&[code, field]);
        self.octets.extend_from_slice(&value);
        Ok(())
    }

    /// Adds the capabilities of one optional parameter, whose value begins at `offset`.
    ///
    /// # Errors
    /// If they do not fit the parameter or one is malformed.
    pub(crate) fn decode_parameter(
        &mut self,
        value: &[u8],
        offset: usize,
    ) -> Result<(), OpenError> {
        let mut cursor = Cursor::new(value, offset);
        while !cursor.is_empty() {
            let offset = cursor.offset();
            let code = cursor.u8().ok_or(OpenError::Malformed { offset })?;
            let value = cursor.u8().and_then(|len| cursor.take(usize::from(len)));
            let value = value.ok_or(OpenError::Malformed { offset })?;
            if !Capability::is_valid(code, value) {
                return Err(OpenError::Capability { code, offset });
            }
        }
        self.octets.extend_from_slice(value);
        Ok(())
    }

    /// Code, length and value of each capability.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    fn raw(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut cursor = Cursor::new(&self.octets, 0);
        std::iter::from_fn(move || {
            let start = cursor.rest();
            let code = cursor.u8()?;
            let len = usize::from(cursor.u8()?);
            cursor.take(len)?;
            Some((code, start.get(..len + 2)?))
        })
    }

    /// The capabilities, in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = Capability> {
        self.raw().filter_map(|(code, octets)| Capability::decode(code, octets.get(2..)?))
    }

    /// The last capability with this code: where only one has a meaning, the last one counts
    /// (RFC 4724 §3 says so for graceful restart).
    fn last(&self, code: u8) -> Option<Capability> {
        let (code, octets) = self.raw().filter(|(each, _)| *each == code).last()?;
        Capability::decode(code, octets.get(2..)?)
    }

    fn has(&self, code: u8) -> bool {
        self.raw().any(|(each, _)| each == code)
    }

    /// The families of ours among the multiprotocol capabilities; IPv4 unicast if there is no
    /// multiprotocol capability at all (RFC 4760 §8).
    #[must_use]
    pub fn families(&self) -> FamilySet {
        if !self.has(number::MULTIPROTOCOL) {
            return FamilySet::only(Family::Ipv4Unicast);
        }
        let families = self.iter().filter_map(|capability| match capability {
            Capability::Multiprotocol(numbers) => Family::from_afi_safi(numbers),
            _ => None,
        });
        families.collect()
    }

    /// Whether ROUTE-REFRESH is understood, by its new or its old number.
    #[must_use]
    pub fn route_refresh(&self) -> bool {
        self.has(number::ROUTE_REFRESH) || self.has(number::OLD_REFRESH)
    }

    /// Whether ROUTE-REFRESH has begin and end markers.
    #[must_use]
    pub fn enhanced_refresh(&self) -> bool {
        self.has(number::ENHANCED_REFRESH)
    }

    /// Whether long messages are understood.
    #[must_use]
    pub fn extended_message(&self) -> bool {
        self.has(number::EXTENDED_MESSAGE)
    }

    /// The four-octet AS number.
    #[must_use]
    pub fn four_octet_as(&self) -> Option<Asn> {
        match self.last(number::FOUR_OCTET_AS)? {
            Capability::FourOctetAs(asn) => Some(asn),
            _ => None,
        }
    }

    /// Whether IPv4 unicast routes may have IPv6 next hops.
    #[must_use]
    pub fn extended_next_hop(&self) -> bool {
        let wanted = ExtendedNextHop { afi: 1, safi: 1, next_hop_afi: 2 };
        self.iter().any(|capability| match capability {
            Capability::ExtendedNextHop(list) => list.contains(&wanted),
            _ => false,
        })
    }

    /// The role of the sender.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self.last(number::ROLE)? {
            Capability::Role(role) => Some(role),
            _ => None,
        }
    }

    /// Graceful restart.
    #[must_use]
    pub fn graceful_restart(&self) -> Option<GracefulRestart> {
        match self.last(number::GRACEFUL_RESTART)? {
            Capability::GracefulRestart(restart) => Some(restart),
            _ => None,
        }
    }

    /// What the sender does with several paths of a family.
    #[must_use]
    pub fn add_path(&self, family: Family) -> Option<AddPath> {
        match self.last(number::ADD_PATH)? {
            Capability::AddPath(list) => {
                list.into_iter().find(|entry| entry.family == family.afi_safi())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
