// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prefixes on the wire: a length in bits and as many octets as it needs (RFC 4271 §4.3), with a
//! path identifier in front where the speakers agreed on it (RFC 7911 §3).
//!
//! A field is walked once to check it ([`NlriView::check`]); the iterators of a view therefore
//! cannot fail. None of this allocates.

use std::fmt;

use crate::types::{Family, Prefix, Prefix4, Prefix6};

/// A prefix as UPDATE messages carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nlri {
    /// The path identifier, if the speakers use them in this direction.
    pub path_id: Option<u32>,
    /// The prefix; host bits that were set on the wire are cleared.
    pub prefix: Prefix,
}

impl From<Prefix> for Nlri {
    fn from(prefix: Prefix) -> Self {
        Self { path_id: None, prefix }
    }
}

impl fmt::Display for Nlri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path_id {
            Some(id) => write!(f, "{}#{id}", self.prefix),
            None => fmt::Display::fmt(&self.prefix, f),
        }
    }
}

/// A field of prefixes of one family, known to be well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NlriView<'a> {
    family: Family,
    add_path: bool,
    octets: &'a [u8],
}

impl<'a> NlriView<'a> {
    /// A view of a field that holds prefixes of `family`, each with a path identifier in front if
    /// `add_path`.
    ///
    /// # Errors
    /// The offset in `octets` of the first prefix that is too long or runs past the end.
    pub fn check(family: Family, add_path: bool, octets: &'a [u8]) -> Result<Self, usize> {
        let mut rest = octets;
        while !rest.is_empty() {
            let bad = octets.len() - rest.len();
            rest = skip_one(rest, family.max_len(), add_path).ok_or(bad)?;
        }
        Ok(Self { family, add_path, octets })
    }

    /// The family of the prefixes.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.family
    }

    /// Whether there is no prefix.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The prefixes of any family.
    #[must_use]
    pub const fn iter(&self) -> NlriIter<'a> {
        match self.family {
            Family::Ipv4Unicast => NlriIter::V4(self.walk()),
            Family::Ipv6Unicast => NlriIter::V6(self.walk()),
        }
    }

    /// The prefixes if they are IPv4, else none.
    #[must_use]
    pub fn iter_v4(&self) -> Nlri4<'a> {
        match self.family {
            Family::Ipv4Unicast => self.walk(),
            Family::Ipv6Unicast => Walk::default(),
        }
    }

    /// The prefixes if they are IPv6, else none.
    #[must_use]
    pub fn iter_v6(&self) -> Nlri6<'a> {
        match self.family {
            Family::Ipv4Unicast => Walk::default(),
            Family::Ipv6Unicast => self.walk(),
        }
    }

    const fn walk<const N: usize>(&self) -> Walk<'a, N> {
        Walk { octets: self.octets, add_path: self.add_path }
    }
}

impl<'a> IntoIterator for NlriView<'a> {
    type Item = Nlri;
    type IntoIter = NlriIter<'a>;

    fn into_iter(self) -> NlriIter<'a> {
        self.iter()
    }
}

/// IPv4 prefixes with their path identifiers.
pub type Nlri4<'a> = Walk<'a, 4>;
/// IPv6 prefixes with their path identifiers.
pub type Nlri6<'a> = Walk<'a, 16>;

/// Walks a checked field of prefixes with addresses of `N` octets.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk<'a, const N: usize> {
    octets: &'a [u8],
    add_path: bool,
}

impl<const N: usize> Walk<'_, N> {
    /// The next path identifier, address and length; `None` at the end.
    #[inline]
    fn step(&mut self) -> Option<(Option<u32>, [u8; N], u8)> {
        let mut rest = self.octets;
        let mut path_id = None;
        if self.add_path {
            let (id, tail) = rest.split_first_chunk::<4>()?;
            path_id = Some(u32::from_be_bytes(*id));
            rest = tail;
        }
        let (len, rest) = rest.split_first()?;
        let (value, tail) = rest.split_at_checked(usize::from(*len).div_ceil(8))?;
        let address = match rest.first_chunk::<N>() {
            // Reads into the next prefix; the constructor masks that away.
            Some(address) => *address,
            None => {
                let mut address = [0; N];
                address.get_mut(..value.len())?.copy_from_slice(value);
                address
            }
        };
        self.octets = tail;
        Some((path_id, address, *len))
    }
}

impl Iterator for Walk<'_, 4> {
    type Item = (Option<u32>, Prefix4);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (path_id, address, len) = self.step()?;
        Some((path_id, Prefix4::new_masked(u32::from_be_bytes(address), len)))
    }
}

impl Iterator for Walk<'_, 16> {
    type Item = (Option<u32>, Prefix6);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (path_id, address, len) = self.step()?;
        Some((path_id, Prefix6::new_masked(u128::from_be_bytes(address), len)))
    }
}

/// Prefixes of either family.
#[derive(Clone, Copy, Debug)]
pub enum NlriIter<'a> {
    /// IPv4.
    V4(Nlri4<'a>),
    /// IPv6.
    V6(Nlri6<'a>),
}

impl Iterator for NlriIter<'_> {
    type Item = Nlri;

    #[inline]
    fn next(&mut self) -> Option<Nlri> {
        match self {
            Self::V4(walk) => {
                walk.next().map(|(path_id, prefix)| Nlri { path_id, prefix: Prefix::V4(prefix) })
            }
            Self::V6(walk) => {
                walk.next().map(|(path_id, prefix)| Nlri { path_id, prefix: Prefix::V6(prefix) })
            }
        }
    }
}

/// What follows the first prefix; `None` if that is malformed.
#[inline]
fn skip_one(octets: &[u8], max_len: u8, add_path: bool) -> Option<&[u8]> {
    let octets = if add_path { octets.get(4..)? } else { octets };
    let (len, rest) = octets.split_first()?;
    if *len > max_len {
        return None;
    }
    rest.get(usize::from(*len).div_ceil(8)..)
}

/// How many octets a prefix takes.
pub(crate) fn encoded_len(prefix: Prefix, add_path: bool) -> usize {
    usize::from(add_path) * 4 + 1 + usize::from(prefix.prefix_len()).div_ceil(8)
}

/// Appends a prefix; a missing path identifier is sent as 0.
#[inline]
pub(crate) fn encode(out: &mut Vec<u8>, nlri: Nlri, add_path: bool) {
    if add_path {
        out.extend_from_slice(&nlri.path_id.unwrap_or(0).to_be_bytes());
    }
    let len = nlri.prefix.prefix_len();
    out.push(len);
    let octets = usize::from(len).div_ceil(8);
    match nlri.prefix {
        Prefix::V4(v4) => {
            out.extend_from_slice(v4.bits().to_be_bytes().get(..octets).unwrap_or_default());
        }
        Prefix::V6(v6) => {
            out.extend_from_slice(v6.bits().to_be_bytes().get(..octets).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests;
