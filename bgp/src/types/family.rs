// SPDX-License-Identifier: MIT OR Apache-2.0
//! Address families: the two we route, and the raw numbers of any other.

use std::fmt;

/// An address family that routed exchanges routes of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4Unicast,
    /// AFI 2, SAFI 1.
    Ipv6Unicast,
}

impl Family {
    /// All families, in the order of their numbers.
    pub const ALL: [Self; 2] = [Self::Ipv4Unicast, Self::Ipv6Unicast];

    /// The numbers of the family.
    #[must_use]
    pub const fn afi_safi(self) -> AfiSafi {
        AfiSafi { afi: self.afi(), safi: self.safi() }
    }

    /// The address family identifier.
    #[must_use]
    pub const fn afi(self) -> u16 {
        match self {
            Self::Ipv4Unicast => 1,
            Self::Ipv6Unicast => 2,
        }
    }

    /// The subsequent address family identifier.
    #[must_use]
    pub const fn safi(self) -> u8 {
        1
    }

    /// The family with these numbers, if it is one of ours.
    #[must_use]
    pub const fn from_afi_safi(numbers: AfiSafi) -> Option<Self> {
        match (numbers.afi, numbers.safi) {
            (1, 1) => Some(Self::Ipv4Unicast),
            (2, 1) => Some(Self::Ipv6Unicast),
            _ => None,
        }
    }

    /// The name in JSON, metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4Unicast => "ipv4Unicast",
            Self::Ipv6Unicast => "ipv6Unicast",
        }
    }

    /// The largest prefix length.
    #[must_use]
    pub const fn max_len(self) -> u8 {
        match self {
            Self::Ipv4Unicast => 32,
            Self::Ipv6Unicast => 128,
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Ipv4Unicast => 1,
            Self::Ipv6Unicast => 2,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The numbers of any family, ours or not, as the wire names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AfiSafi {
    /// Address family identifier.
    pub afi: u16,
    /// Subsequent address family identifier.
    pub safi: u8,
}

impl From<Family> for AfiSafi {
    fn from(family: Family) -> Self {
        family.afi_safi()
    }
}

impl fmt::Display for AfiSafi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Family::from_afi_safi(*self) {
            Some(family) => f.write_str(family.name()),
            None => write!(f, "{}/{}", self.afi, self.safi),
        }
    }
}

/// A set of families in one octet.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct FamilySet(u8);

impl FamilySet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);
    /// Every family.
    pub const ALL: Self = Self(3);

    /// The set with one family.
    #[must_use]
    pub const fn only(family: Family) -> Self {
        Self(family.bit())
    }

    /// Whether the family is in the set.
    #[must_use]
    pub const fn contains(self, family: Family) -> bool {
        self.0 & family.bit() != 0
    }

    /// Whether the set has no family.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Adds a family.
    pub const fn insert(&mut self, family: Family) {
        self.0 |= family.bit();
    }

    /// Removes a family.
    pub const fn remove(&mut self, family: Family) {
        self.0 &= !family.bit();
    }

    /// The families in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The families of the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.contains(*family))
    }
}

impl FromIterator<Family> for FamilySet {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        let mut set = Self::EMPTY;
        families.into_iter().for_each(|family| set.insert(family));
        set
    }
}

impl fmt::Debug for FamilySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
