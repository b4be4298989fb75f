// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prefixes in their canonical form: the bits behind the length are zero.
//!
//! The structs are packed (5, 17 and 18 octets), since a full table holds a million of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::family::Family;
use super::number::decimal;

/// An IPv4 prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed)]
pub struct Prefix4 {
    addr: u32,
    len: u8,
}

impl Prefix4 {
    /// The prefix of `addr` with `len` bits (at most 32; more count as 32); host bits are cleared.
    #[inline]
    #[must_use]
    pub const fn new_masked(addr: u32, len: u8) -> Self {
        let len = if len > 32 { 32 } else { len };
        Self { addr: addr & Self::mask(len), len }
    }

    /// The network address as a number.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.addr
    }

    /// The network address.
    #[inline]
    #[must_use]
    pub const fn addr(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.addr)
    }

    /// The number of bits that count.
    #[inline]
    #[must_use]
    pub const fn prefix_len(self) -> u8 {
        self.len
    }

    /// Whether every address of `other` is in this prefix.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.len <= other.len && other.addr & Self::mask(self.len) == self.addr
    }

    /// Whether the address is in this prefix.
    #[must_use]
    pub const fn contains_addr(self, addr: Ipv4Addr) -> bool {
        addr.to_bits() & Self::mask(self.len) == self.addr
    }

    const fn mask(len: u8) -> u32 {
        match u32::MAX.checked_shl(32 - len as u32) {
            Some(mask) => mask,
            None => 0,
        }
    }
}

/// An IPv6 prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(Rust, packed)]
pub struct Prefix6 {
    addr: u128,
    len: u8,
}

impl Prefix6 {
    /// The prefix of `addr` with `len` bits (at most 128; more count as 128); host bits are
    /// cleared.
    #[inline]
    #[must_use]
    pub const fn new_masked(addr: u128, len: u8) -> Self {
        let len = if len > 128 { 128 } else { len };
        Self { addr: addr & Self::mask(len), len }
    }

    /// The network address as a number.
    #[inline]
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.addr
    }

    /// The network address.
    #[inline]
    #[must_use]
    pub const fn addr(self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.addr)
    }

    /// The number of bits that count.
    #[inline]
    #[must_use]
    pub const fn prefix_len(self) -> u8 {
        self.len
    }

    /// Whether every address of `other` is in this prefix.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.len <= other.len && other.addr & Self::mask(self.len) == self.addr
    }

    /// Whether the address is in this prefix.
    #[must_use]
    pub const fn contains_addr(self, addr: Ipv6Addr) -> bool {
        addr.to_bits() & Self::mask(self.len) == self.addr
    }

    const fn mask(len: u8) -> u128 {
        match u128::MAX.checked_shl(128 - len as u32) {
            Some(mask) => mask,
            None => 0,
        }
    }
}

/// A prefix of either family; IPv4 sorts before IPv6, then by address, then by length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// IPv4.
    V4(Prefix4),
    /// IPv6.
    V6(Prefix6),
}

impl Prefix {
    /// The default route of IPv4.
    pub const DEFAULT_V4: Self = Self::V4(Prefix4::new_masked(0, 0));
    /// The default route of IPv6.
    pub const DEFAULT_V6: Self = Self::V6(Prefix6::new_masked(0, 0));

    /// The prefix with this network address and length.
    ///
    /// # Errors
    /// If the length is too large for the family or a bit behind it is set.
    pub fn try_new(addr: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let prefix = Self::new_masked(addr, len)?;
        if prefix.addr() == addr { Ok(prefix) } else { Err(PrefixError::HostBits { prefix }) }
    }

    /// The prefix of this length that contains the address.
    ///
    /// # Errors
    /// If the length is too large for the family.
    pub fn new_masked(addr: IpAddr, len: u8) -> Result<Self, PrefixError> {
        let (prefix, max) = match addr {
            IpAddr::V4(v4) => (Self::V4(Prefix4::new_masked(v4.to_bits(), len)), 32),
            IpAddr::V6(v6) => (Self::V6(Prefix6::new_masked(v6.to_bits(), len)), 128),
        };
        if len <= max { Ok(prefix) } else { Err(PrefixError::Length { len, max }) }
    }

    /// The prefix that holds this address alone.
    #[must_use]
    pub const fn host(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(v4) => Self::V4(Prefix4::new_masked(v4.to_bits(), 32)),
            IpAddr::V6(v6) => Self::V6(Prefix6::new_masked(v6.to_bits(), 128)),
        }
    }

    /// The network address.
    #[must_use]
    pub const fn addr(self) -> IpAddr {
        match self {
            Self::V4(v4) => IpAddr::V4(v4.addr()),
            Self::V6(v6) => IpAddr::V6(v6.addr()),
        }
    }

    /// The number of bits that count.
    #[must_use]
    pub const fn prefix_len(self) -> u8 {
        match self {
            Self::V4(v4) => v4.prefix_len(),
            Self::V6(v6) => v6.prefix_len(),
        }
    }

    /// The family of the prefix.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::V4(_) => Family::Ipv4Unicast,
            Self::V6(_) => Family::Ipv6Unicast,
        }
    }

    /// Whether the prefix is a single address.
    #[must_use]
    pub const fn is_host(self) -> bool {
        self.prefix_len() == self.family().max_len()
    }

    /// Whether every address of `other` is in this prefix; never across families.
    #[must_use]
    pub const fn contains(self, other: &Self) -> bool {
        match (self, other) {
            (Self::V4(a), Self::V4(b)) => a.contains(*b),
            (Self::V6(a), Self::V6(b)) => a.contains(*b),
            (Self::V4(_), Self::V6(_)) | (Self::V6(_), Self::V4(_)) => false,
        }
    }

    /// Whether the address is in this prefix; never across families.
    #[must_use]
    pub const fn contains_addr(self, addr: IpAddr) -> bool {
        match (self, addr) {
            (Self::V4(prefix), IpAddr::V4(v4)) => prefix.contains_addr(v4),
            (Self::V6(prefix), IpAddr::V6(v6)) => prefix.contains_addr(v6),
            (Self::V4(_), IpAddr::V6(_)) | (Self::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl From<Prefix4> for Prefix {
    fn from(prefix: Prefix4) -> Self {
        Self::V4(prefix)
    }
}

impl From<Prefix6> for Prefix {
    fn from(prefix: Prefix6) -> Self {
        Self::V6(prefix)
    }
}

impl TryFrom<(IpAddr, u8)> for Prefix {
    type Error = PrefixError;

    /// As [`Prefix::try_new`]: set host bits are an error.
    fn try_from((addr, len): (IpAddr, u8)) -> Result<Self, PrefixError> {
        Self::try_new(addr, len)
    }
}

impl fmt::Display for Prefix4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr(), self.prefix_len())
    }
}

impl fmt::Display for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr(), self.prefix_len())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => fmt::Display::fmt(v4, f),
            Self::V6(v6) => fmt::Display::fmt(v6, f),
        }
    }
}

impl fmt::Debug for Prefix4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Prefix6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why an address and a length make no prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// The length is larger than the family allows.
    Length {
        /// The length given.
        len: u8,
        /// The largest length of the family.
        max: u8,
    },
    /// A bit behind the length is set.
    HostBits {
        /// The prefix that was probably meant.
        prefix: Prefix,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { len, max } => write!(f, "prefix length {len} is larger than {max}"),
            Self::HostBits { prefix } => {
                write!(f, "bits behind the prefix length are set; the prefix is {prefix}")
            }
        }
    }
}

impl std::error::Error for PrefixError {}

/// Why a text is not a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsePrefixError {
    text: String,
    kind: ParseKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ParseKind {
    NoSlash,
    Address,
    Length,
    Value(PrefixError),
}

impl fmt::Display for ParsePrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a prefix: ", self.text)?;
        match self.kind {
            ParseKind::NoSlash => f.write_str("the length is missing (address/length)"),
            ParseKind::Address => f.write_str("what stands before the slash is not an address"),
            ParseKind::Length => f.write_str("what stands behind the slash is not a length"),
            ParseKind::Value(error) => fmt::Display::fmt(&error, f),
        }
    }
}

impl std::error::Error for ParsePrefixError {}

impl FromStr for Prefix {
    type Err = ParsePrefixError;

    /// Strict: `address/length`, decimal length without leading zero or sign, host bits zero.
    fn from_str(text: &str) -> Result<Self, ParsePrefixError> {
        parse(text).map_err(|kind| ParsePrefixError { text: text.to_owned(), kind })
    }
}

fn parse(text: &str) -> Result<Prefix, ParseKind> {
    let (addr, len) = text.split_once('/').ok_or(ParseKind::NoSlash)?;
    let addr: IpAddr = addr.parse().map_err(|_| ParseKind::Address)?;
    if len.len() > 1 && len.starts_with('0') {
        return Err(ParseKind::Length);
    }
    let len = decimal::<u8>(len).ok_or(ParseKind::Length)?;
    Prefix::try_new(addr, len).map_err(ParseKind::Value)
}
