// SPDX-License-Identifier: MIT OR Apache-2.0
//! Autonomous system numbers and BGP identifiers.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A four-octet autonomous system number (RFC 6793).
///
/// Parses asplain (`4200000113`) and asdot (`64086.59905`), prints asplain (RFC 5396).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(pub u32);

impl Asn {
    /// AS_TRANS: stands for a number that does not fit two octets (RFC 6793 §9).
    pub const TRANS: Self = Self(23456);
    /// AS 0, which must not appear in a path or an OPEN (RFC 7607).
    pub const ZERO: Self = Self(0);

    /// The number as two octets, or AS_TRANS if it does not fit.
    #[must_use]
    pub fn to_two_octets(self) -> u16 {
        u16::try_from(self.0).unwrap_or(23456)
    }

    /// Whether the number needs four octets.
    #[must_use]
    pub const fn is_four_octet(self) -> bool {
        self.0 > 0xffff
    }

    /// Whether the number is of a private range (RFC 6996).
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self.0, 64512..=65534 | 4_200_000_000..=4_294_967_294)
    }
}

impl From<u32> for Asn {
    fn from(value: u32) -> Self {
        Self(value)
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why a text is not an AS number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAsnError(String);

impl fmt::Display for ParseAsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an AS number (0 to 4294967295, or asdot as in 64086.59905)", self.0)
    }
}

impl std::error::Error for ParseAsnError {}

impl FromStr for Asn {
    type Err = ParseAsnError;

    fn from_str(text: &str) -> Result<Self, ParseAsnError> {
        let value = match text.split_once('.') {
            None => decimal::<u32>(text),
            Some((high, low)) => decimal::<u16>(high)
                .zip(decimal::<u16>(low))
                .map(|(high, low)| (u32::from(high) << 16) | u32::from(low)),
        };
        value.map(Self).ok_or_else(|| ParseAsnError(text.to_owned()))
    }
}

/// A BGP identifier: four octets, never zero (RFC 6286), compared as a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BgpId(Ipv4Addr);

impl BgpId {
    /// An identifier from an address; `None` for `0.0.0.0`.
    #[must_use]
    pub const fn try_new(address: Ipv4Addr) -> Option<Self> {
        if address.is_unspecified() { None } else { Some(Self(address)) }
    }

    /// The identifier in the notation of an address.
    #[must_use]
    pub const fn address(self) -> Ipv4Addr {
        self.0
    }

    /// The identifier as the number that collisions and decisions compare.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0.to_bits()
    }
}

impl From<BgpId> for Ipv4Addr {
    fn from(id: BgpId) -> Self {
        id.0
    }
}

impl TryFrom<Ipv4Addr> for BgpId {
    type Error = ParseBgpIdError;

    fn try_from(address: Ipv4Addr) -> Result<Self, ParseBgpIdError> {
        Self::try_new(address).ok_or_else(|| ParseBgpIdError(address.to_string()))
    }
}

impl fmt::Display for BgpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for BgpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BgpId({})", self.0)
    }
}

/// Why a text or an address is not a BGP identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseBgpIdError(String);

impl fmt::Display for ParseBgpIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a BGP identifier (dotted quad other than 0.0.0.0)", self.0)
    }
}

impl std::error::Error for ParseBgpIdError {}

impl FromStr for BgpId {
    type Err = ParseBgpIdError;

    fn from_str(text: &str) -> Result<Self, ParseBgpIdError> {
        text.parse().ok().and_then(Self::try_new).ok_or_else(|| ParseBgpIdError(text.to_owned()))
    }
}

/// Reads decimal digits only: no sign, no blanks.
pub(super) fn decimal<T: FromStr>(text: &str) -> Option<T> {
    if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
