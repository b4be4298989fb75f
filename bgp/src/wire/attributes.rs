// SPDX-License-Identifier: MIT OR Apache-2.0
//! Path attributes as a value: owned, canonical, comparable and hashable, so that equal sets can be
//! stored once.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Deref;

use super::as_path::AsPath;
use super::code;
use super::cursor::Cursor;
use crate::types::{Asn, BgpId, Community, ExtCommunity, LargeCommunity};

/// The path attributes of a path.
///
/// Canonical: whatever order the attributes had on the wire, equal attributes make equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH, merged with AS4_PATH.
    pub as_path: AsPath,
    /// NEXT_HOP, or the next hop of MP_REACH_NLRI.
    pub next_hop: Option<NextHop>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF; never there on external sessions.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR, merged with AS4_AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// Communities of all kinds.
    pub communities: Communities,
    /// What route reflectors add; never there on external sessions.
    pub reflection: Reflection,
    /// Transitive attributes that we do not know.
    pub unknown: UnknownAttrs,
    /// Which of the known attributes somebody on the way did not know.
    pub partial: Partial,
}

/// ORIGIN: how a prefix came into BGP; a lower value is preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// From inside of the AS.
    #[default]
    Igp,
    /// From EGP.
    Egp,
    /// By other means.
    Incomplete,
}

impl Origin {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Igp => 0,
            Self::Egp => 1,
            Self::Incomplete => 2,
        }
    }

    /// The origin with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Igp),
            1 => Some(Self::Egp),
            2 => Some(Self::Incomplete),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Igp => "igp",
            Self::Egp => "egp",
            Self::Incomplete => "incomplete",
        })
    }
}

/// Where packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// One IPv6 address, global or link-local.
    V6(Ipv6Addr),
    /// A global and a link-local IPv6 address (RFC 2545 §3).
    V6Pair {
        /// The first address, normally global.
        global: Ipv6Addr,
        /// The second address, normally link-local.
        link_local: Ipv6Addr,
    },
}

impl NextHop {
    /// The address for peers that are not on the link: the IPv4 address, or the first IPv6 one.
    #[must_use]
    pub const fn address(self) -> std::net::IpAddr {
        match self {
            Self::V4(v4) => std::net::IpAddr::V4(v4),
            Self::V6(v6) | Self::V6Pair { global: v6, .. } => std::net::IpAddr::V6(v6),
        }
    }

    /// The link-local address, if there is one.
    #[must_use]
    pub const fn link_local(self) -> Option<Ipv6Addr> {
        match self {
            Self::V6(v6) | Self::V6Pair { link_local: v6, .. } if v6.is_unicast_link_local() => {
                Some(v6)
            }
            Self::V4(_) | Self::V6(_) | Self::V6Pair { .. } => None,
        }
    }

    /// Whether this can be the address of a host at all: not unspecified, not multicast, and for
    /// IPv4 below 240.0.0.0. Whether it is on link and usable is for others to say.
    #[must_use]
    pub fn is_host(self) -> bool {
        match self {
            Self::V4(v4) => {
                let [first, ..] = v4.octets();
                !v4.is_unspecified() && first < 224
            }
            Self::V6(v6) => is_host_v6(v6),
            Self::V6Pair { global, link_local } => is_host_v6(global) || is_host_v6(link_local),
        }
    }
}

fn is_host_v6(address: Ipv6Addr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(v4) => fmt::Display::fmt(v4, f),
            Self::V6(v6) => fmt::Display::fmt(v6, f),
            Self::V6Pair { global, link_local } => write!(f, "{global} {link_local}"),
        }
    }
}

/// AGGREGATOR: who made an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Aggregator {
    /// Its AS.
    pub asn: Asn,
    /// Its BGP identifier.
    pub address: Ipv4Addr,
}

/// Communities of all kinds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Communities {
    /// Standard communities.
    pub standard: CommunitySet<Community>,
    /// Extended communities.
    pub extended: CommunitySet<ExtCommunity>,
    /// Large communities.
    pub large: CommunitySet<LargeCommunity>,
}

/// A set of communities: sorted and without repetition, since neither has a meaning (RFC 8092 §3
/// even asks to remove repetitions).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommunitySet<T>(Box<[T]>);

impl<T> Default for CommunitySet<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

impl<T: Ord + Copy> CommunitySet<T> {
    /// Whether the community is in the set.
    #[must_use]
    pub fn contains(&self, community: T) -> bool {
        self.0.binary_search(&community).is_ok()
    }

    /// The set with another community in it.
    #[must_use]
    pub fn with(&self, community: T) -> Self {
        self.iter().copied().chain([community]).collect()
    }

    /// The communities of the set that `keep` wants.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(T) -> bool) -> Self {
        self.iter().copied().filter(|community| keep(*community)).collect()
    }
}

impl<T> Deref for CommunitySet<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Ord> FromIterator<T> for CommunitySet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(communities: I) -> Self {
        let mut list: Vec<T> = communities.into_iter().collect();
        list.sort_unstable();
        list.dedup();
        Self(list.into_boxed_slice())
    }
}

/// What route reflectors add (RFC 4456).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reflection {
    /// ORIGINATOR_ID: who brought the path into the AS.
    pub originator_id: Option<BgpId>,
    /// CLUSTER_LIST: the reflectors it passed, latest first.
    pub cluster_list: Box<[Ipv4Addr]>,
}

/// Which known attributes carry the Partial flag, which must never be cleared again
/// (RFC 4271 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Partial(u8);

impl Partial {
    /// Whether the attribute with this type code carries the flag.
    #[must_use]
    pub const fn contains(self, code: u8) -> bool {
        self.0 & Self::bit(code) != 0
    }

    pub(crate) const fn insert(&mut self, code: u8) {
        self.0 |= Self::bit(code);
    }

    const fn bit(code: u8) -> u8 {
        match code {
            code::AGGREGATOR => 1,
            code::COMMUNITIES => 2,
            code::EXT_COMMUNITIES => 4,
            code::LARGE_COMMUNITIES => 8,
            _ => 0,
        }
    }
}

/// Optional transitive attributes that we do not know, ordered by type code.
///
/// Values are kept octet by octet. The Partial flag is set on all of them, since one speaker who
/// does not know them has passed them on: us (RFC 4271 §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnknownAttrs {
    /// For each attribute: flags, type code, two octets of length, value.
    octets: Box<[u8]>,
}

impl UnknownAttrs {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The attributes, ordered by type code.
    pub fn iter(&self) -> impl Iterator<Item = UnknownAttr<'_>> {
        let mut cursor = Cursor::new(&self.octets, 0);
        std::iter::from_fn(move || {
            let [flags, code] = cursor.array()?;
            let len = cursor.u16()?;
            Some(UnknownAttr { flags, code, value: cursor.take(usize::from(len))? })
        })
    }

    /// The attributes; `attrs` must come ordered by type code.
    pub(crate) fn from_sorted<'a>(
        size: usize,
        attrs: impl Iterator<Item = UnknownAttr<'a>>,
    ) -> Self {
        let mut octets = Vec::with_capacity(size);
        for attr in attrs {
            let Ok(len) = u16::try_from(attr.value.len()) else { continue };
            let flags = (attr.flags & !code::FLAG_EXTENDED) | code::FLAG_PARTIAL;
            octets.extend_from_slice(&[flags, attr.code]);
            octets.extend_from_slice(&len.to_be_bytes());
            octets.extend_from_slice(attr.value);
        }
        Self { octets: octets.into_boxed_slice() }
    }
}

/// An attribute that we do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownAttr<'a> {
    /// Its flags, without that of the extended length.
    pub flags: u8,
    /// Its type code.
    pub code: u8,
    /// Its value.
    pub value: &'a [u8],
}

impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "origin {} as-path [{}]", self.origin, self.as_path)?;
        show(f, "next-hop", self.next_hop.as_ref())?;
        show(f, "med", self.med.as_ref())?;
        show(f, "local-pref", self.local_pref.as_ref())?;
        if self.atomic_aggregate {
            f.write_str(" atomic-aggregate")?;
        }
        if let Some(Aggregator { asn, address }) = self.aggregator {
            write!(f, " aggregator {asn} {address}")?;
        }
        show_list(f, "communities", &self.communities.standard)?;
        show_list(f, "ext-communities", &self.communities.extended)?;
        show_list(f, "large-communities", &self.communities.large)?;
        show(f, "originator-id", self.reflection.originator_id.as_ref())?;
        show_list(f, "cluster-list", &self.reflection.cluster_list)?;
        for attr in self.unknown.iter() {
            write!(f, " attribute-{} ({} octets)", attr.code, attr.value.len())?;
        }
        Ok(())
    }
}

fn show<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, value: Option<&T>) -> fmt::Result {
    value.map_or(Ok(()), |value| write!(f, " {name} {value}"))
}

fn show_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, list: &[T]) -> fmt::Result {
    for (at, item) in list.iter().enumerate() {
        if at == 0 {
            write!(f, " {name}")?;
        }
        write!(f, " {item}")?;
    }
    Ok(())
}
