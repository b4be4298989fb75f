// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plain BGP values: numbers, identifiers, families, prefixes and communities.
//!
//! Everything here is `Copy`, canonical (two equal things have one representation) and ordered, so
//! that it can be a key everywhere. Only `std` is used; nothing here knows the wire format beyond
//! the numbers that name a family.

mod community;
mod family;
mod number;
mod prefix;

pub use community::{Community, ExtCommunity, LargeCommunity, ParseCommunityError};
pub use family::{AfiSafi, Family, FamilySet};
pub use number::{Asn, BgpId, ParseAsnError, ParseBgpIdError};
pub use prefix::{ParsePrefixError, Prefix, Prefix4, Prefix6, PrefixError};

#[cfg(test)]
mod tests;
