// SPDX-License-Identifier: MIT OR Apache-2.0
//! Communities: standard (RFC 1997), extended (RFC 4360) and large (RFC 8092).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::number::decimal;

/// A standard community, printed `65000:100`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

impl Community {
    /// Lower the preference: the sender is about to go away (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// Accept a route of one's own back from a reflector (RFC 7611).
    pub const ACCEPT_OWN: Self = Self(0xffff_0001);
    /// The path is kept although it is stale (RFC 9494).
    pub const LLGR_STALE: Self = Self(0xffff_0006);
    /// The path must not be kept when it is stale (RFC 9494).
    pub const NO_LLGR: Self = Self(0xffff_0007);
    /// Discard traffic to the prefix (RFC 7999).
    pub const BLACKHOLE: Self = Self(0xffff_029a);
    /// Do not advertise outside of the AS or confederation (RFC 1997).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// Do not advertise to any peer (RFC 1997).
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);
    /// Do not advertise to external peers (RFC 1997).
    pub const NO_EXPORT_SUBCONFED: Self = Self(0xffff_ff03);
    /// Do not advertise to bilateral peers (RFC 3765).
    pub const NO_PEER: Self = Self(0xffff_ff04);

    const NAMES: [(Self, &'static str); 9] = [
        (Self::GRACEFUL_SHUTDOWN, "graceful-shutdown"),
        (Self::ACCEPT_OWN, "accept-own"),
        (Self::LLGR_STALE, "llgr-stale"),
        (Self::NO_LLGR, "no-llgr"),
        (Self::BLACKHOLE, "blackhole"),
        (Self::NO_EXPORT, "no-export"),
        (Self::NO_ADVERTISE, "no-advertise"),
        (Self::NO_EXPORT_SUBCONFED, "no-export-subconfed"),
        (Self::NO_PEER, "no-peer"),
    ];

    /// The community with this high and low half.
    #[must_use]
    pub const fn new(high: u16, low: u16) -> Self {
        Self(((high as u32) << 16) | low as u32)
    }

    /// The name of a well-known community.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(known, _)| *known == self).map(|(_, name)| *name)
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff)
    }
}

impl FromStr for Community {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, ParseCommunityError> {
        if let Some((known, _)) = Self::NAMES.iter().find(|(_, name)| *name == text) {
            return Ok(*known);
        }
        text.split_once(':')
            .and_then(|(high, low)| Some(Self::new(decimal(high)?, decimal(low)?)))
            .ok_or_else(|| {
                ParseCommunityError::new(text, "two numbers up to 65535 as in 65000:100")
            })
    }
}

/// A large community, printed `4200000113:1:2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity {
    /// Global administrator, usually an AS number.
    pub global: u32,
    /// First local part.
    pub local1: u32,
    /// Second local part.
    pub local2: u32,
}

impl LargeCommunity {
    /// The community with these three parts.
    #[must_use]
    pub const fn new(global: u32, local1: u32, local2: u32) -> Self {
        Self { global, local1, local2 }
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.global, self.local1, self.local2)
    }
}

impl FromStr for LargeCommunity {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, ParseCommunityError> {
        let mut parts = text.split(':').map(decimal::<u32>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Some(global)), Some(Some(local1)), Some(Some(local2)), None) => {
                Ok(Self { global, local1, local2 })
            }
            _ => Err(ParseCommunityError::new(text, "three numbers as in 4200000113:1:2")),
        }
    }
}

/// An extended community: eight octets, of which the first one or two say the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtCommunity(pub [u8; 8]);

impl ExtCommunity {
    /// Whether the community crosses AS borders (RFC 4360 §2).
    #[must_use]
    pub const fn is_transitive(self) -> bool {
        let [kind, ..] = self.0;
        kind & 0x40 == 0
    }
}

impl fmt::Display for ExtCommunity {
    /// Route targets and route origins as `rt:65000:100`, everything else as 16 hex digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, subtype, a, b, c, d, e, g] = self.0;
        let name = match subtype {
            2 => "rt",
            3 => "ro",
            _ => return write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        };
        let tail = u16::from_be_bytes([e, g]);
        match kind {
            0 => {
                let (high, low) = (u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]));
                write!(f, "{name}:{high}:{low}")
            }
            1 => write!(f, "{name}:{}:{tail}", Ipv4Addr::new(a, b, c, d)),
            2 => write!(f, "{name}:{}:{tail}", u32::from_be_bytes([a, b, c, d])),
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

/// Why a text is not a community.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseCommunityError {
    text: String,
    expected: &'static str,
}

impl ParseCommunityError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { text: text.to_owned(), expected }
    }
}

impl fmt::Display for ParseCommunityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a community: expected {}", self.text, self.expected)
    }
}

impl std::error::Error for ParseCommunityError {}
