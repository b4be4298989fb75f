// SPDX-License-Identifier: MIT OR Apache-2.0
//! One value per address family.
//!
//! The speaker carries exactly two families, so a map from family to value is a pair: no hashing,
//! no missing entry, and iteration is always IPv4 first.

use crate::types::Family;

/// A value for each address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PerFamily<T> {
    v4: T,
    v6: T,
}

impl<T> PerFamily<T> {
    /// The value that `make` makes for each family.
    pub(crate) fn from_fn(mut make: impl FnMut(Family) -> T) -> Self {
        Self { v4: make(Family::Ipv4Unicast), v6: make(Family::Ipv6Unicast) }
    }

    /// The value of `family`.
    pub(crate) const fn get(&self, family: Family) -> &T {
        match family {
            Family::Ipv4Unicast => &self.v4,
            Family::Ipv6Unicast => &self.v6,
        }
    }

    /// The value of `family`, to change.
    pub(crate) const fn get_mut(&mut self, family: Family) -> &mut T {
        match family {
            Family::Ipv4Unicast => &mut self.v4,
            Family::Ipv6Unicast => &mut self.v6,
        }
    }
}
