// SPDX-License-Identifier: MIT OR Apache-2.0
//! A capability (RFC 5492): typed where we know it, octets where we do not.

use std::fmt;
use std::time::Duration;

use super::cursor::{Cursor, chunks};
use crate::types::{AfiSafi, Asn, Family};

/// Capability codes.
pub(crate) mod number {
    pub(crate) const MULTIPROTOCOL: u8 = 1;
    pub(crate) const ROUTE_REFRESH: u8 = 2;
    pub(crate) const EXTENDED_NEXT_HOP: u8 = 5;
    pub(crate) const EXTENDED_MESSAGE: u8 = 6;
    pub(crate) const ROLE: u8 = 9;
    pub(crate) const GRACEFUL_RESTART: u8 = 64;
    pub(crate) const FOUR_OCTET_AS: u8 = 65;
    pub(crate) const ADD_PATH: u8 = 69;
    pub(crate) const ENHANCED_REFRESH: u8 = 70;
    pub(crate) const LONG_LIVED_RESTART: u8 = 71;
    pub(crate) const FQDN: u8 = 73;
    pub(crate) const OLD_REFRESH: u8 = 128;
}

/// One capability.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Routes of a family (RFC 4760 §8).
    Multiprotocol(AfiSafi),
    /// ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
    /// ROUTE-REFRESH by the number it had before RFC 2918.
    OldRouteRefresh,
    /// Next hops of another family (RFC 8950 §4).
    ExtendedNextHop(Vec<ExtendedNextHop>),
    /// Messages up to 65,535 octets (RFC 8654).
    ExtendedMessage,
    /// The role of the sender (RFC 9234 §4.1).
    Role(Role),
    /// Graceful restart (RFC 4724 §3, RFC 8538 §2).
    GracefulRestart(GracefulRestart),
    /// AS numbers of four octets, with that of the sender (RFC 6793 §3).
    FourOctetAs(Asn),
    /// Several paths per prefix (RFC 7911 §4).
    AddPath(Vec<AddPath>),
    /// ROUTE-REFRESH with begin and end markers (RFC 7313).
    EnhancedRefresh,
    /// Long-lived graceful restart (RFC 9494 §3).
    LongLivedRestart(Vec<LongLivedRestart>),
    /// The name of the sender, by draft-walton-bgp-hostname-capability.
    Fqdn {
        /// Host name.
        host: Box<[u8]>,
        /// Domain name.
        domain: Box<[u8]>,
    },
    /// A capability that we do not know.
    Unknown {
        /// Its code.
        code: u8,
        /// Its value.
        value: Box<[u8]>,
    },
}

/// A family and the family of next hops that its routes may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExtendedNextHop {
    /// Family of the routes; the wire gives the SAFI two octets.
    pub afi: u16,
    /// Subsequent family of the routes.
    pub safi: u16,
    /// Address family of the next hops.
    pub next_hop_afi: u16,
}

/// The role of a speaker in an external relationship (RFC 9234 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sells transit.
    Provider,
    /// Route server.
    RouteServer,
    /// Client of a route server.
    RouteServerClient,
    /// Buys transit.
    Customer,
    /// Exchanges own routes and those of customers.
    Peer,
    /// A number without a meaning yet.
    Other(u8),
}

impl Role {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Provider => 0,
            Self::RouteServer => 1,
            Self::RouteServerClient => 2,
            Self::Customer => 3,
            Self::Peer => 4,
            Self::Other(number) => number,
        }
    }

    /// The role with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Provider,
            1 => Self::RouteServer,
            2 => Self::RouteServerClient,
            3 => Self::Customer,
            4 => Self::Peer,
            other => Self::Other(other),
        }
    }
}

/// Graceful restart as one side offers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct GracefulRestart {
    /// The R flag: the sender has restarted and the receiver must not wait for its End-of-RIB.
    pub restarted: bool,
    /// The N flag: a NOTIFICATION keeps routes, too (RFC 8538).
    pub notification: bool,
    /// How long the receiver may keep routes until the session is back: 0 to 4095 whole seconds.
    pub restart_time: Duration,
    /// Families for which the sender keeps or kept forwarding.
    pub families: Vec<RestartFamily>,
}

impl GracefulRestart {
    /// Whether the sender restarts the family gracefully: if so, with its F flag.
    #[must_use]
    pub fn forwarding(&self, family: Family) -> Option<bool> {
        let entry = self.families.iter().find(|entry| entry.family == family.afi_safi());
        entry.map(|entry| entry.forwarding)
    }
}

/// A family in the graceful restart capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RestartFamily {
    /// The family.
    pub family: AfiSafi,
    /// The F flag: forwarding was preserved during the restart.
    pub forwarding: bool,
}

/// A family in the ADD-PATH capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AddPath {
    /// The family.
    pub family: AfiSafi,
    /// The sender accepts several paths.
    pub receive: bool,
    /// The sender sends several paths.
    pub send: bool,
}

/// A family in the long-lived graceful restart capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LongLivedRestart {
    /// The family.
    pub family: AfiSafi,
    /// The F flag: forwarding was preserved during the restart.
    pub forwarding: bool,
    /// How long stale routes may be kept: 24 bits of seconds.
    pub stale_time: Duration,
}

const FLAG_RESTARTED: u16 = 0x8000;
const FLAG_NOTIFICATION: u16 = 0x4000;
const FLAG_FORWARDING: u8 = 0x80;

impl Capability {
    /// The code on the wire.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Multiprotocol(_) => number::MULTIPROTOCOL,
            Self::RouteRefresh => number::ROUTE_REFRESH,
            Self::OldRouteRefresh => number::OLD_REFRESH,
            Self::ExtendedNextHop(_) => number::EXTENDED_NEXT_HOP,
            Self::ExtendedMessage => number::EXTENDED_MESSAGE,
            Self::Role(_) => number::ROLE,
            Self::GracefulRestart(_) => number::GRACEFUL_RESTART,
            Self::FourOctetAs(_) => number::FOUR_OCTET_AS,
            Self::AddPath(_) => number::ADD_PATH,
            Self::EnhancedRefresh => number::ENHANCED_REFRESH,
            Self::LongLivedRestart(_) => number::LONG_LIVED_RESTART,
            Self::Fqdn { .. } => number::FQDN,
            Self::Unknown { code, .. } => *code,
        }
    }

    /// Reads a value; `None` if a known capability cannot have it.
    pub(crate) fn decode(code: u8, value: &[u8]) -> Option<Self> {
        let empty = |capability| value.is_empty().then_some(capability);
        match code {
            number::MULTIPROTOCOL => {
                let [a, b, _, safi] = value.try_into().ok()?;
                Some(Self::Multiprotocol(AfiSafi { afi: u16::from_be_bytes([a, b]), safi }))
            }
            number::ROUTE_REFRESH => empty(Self::RouteRefresh),
            number::OLD_REFRESH => empty(Self::OldRouteRefresh),
            number::EXTENDED_MESSAGE => empty(Self::ExtendedMessage),
            number::ENHANCED_REFRESH => empty(Self::EnhancedRefresh),
            number::EXTENDED_NEXT_HOP => {
                Some(Self::ExtendedNextHop(entries::<6>(value)?.map(extended_next_hop).collect()))
            }
            number::ROLE => {
                let [role] = value.try_into().ok()?;
                Some(Self::Role(Role::from_number(role)))
            }
            number::GRACEFUL_RESTART => graceful_restart(value).map(Self::GracefulRestart),
            number::FOUR_OCTET_AS => {
                Some(Self::FourOctetAs(Asn(u32::from_be_bytes(value.try_into().ok()?))))
            }
            number::ADD_PATH => {
                Some(Self::AddPath(entries::<4>(value)?.filter_map(add_path).collect()))
            }
            number::LONG_LIVED_RESTART => {
                Some(Self::LongLivedRestart(entries::<7>(value)?.map(long_lived_restart).collect()))
            }
            number::FQDN => fqdn(value),
            _ => Some(Self::Unknown { code, value: value.into() }),
        }
    }

    /// Whether a value is one that the capability can have; as [`Self::decode`], without
    /// allocating.
    pub(crate) fn is_valid(code: u8, value: &[u8]) -> bool {
        match code {
            number::MULTIPROTOCOL | number::FOUR_OCTET_AS => value.len() == 4,
            number::ROUTE_REFRESH
            | number::OLD_REFRESH
            | number::EXTENDED_MESSAGE
            | number::ENHANCED_REFRESH => value.is_empty(),
            number::EXTENDED_NEXT_HOP => entries::<6>(value).is_some(),
            number::ROLE => value.len() == 1,
            number::GRACEFUL_RESTART => {
                value.get(2..).is_some_and(|families| entries::<4>(families).is_some())
            }
            number::ADD_PATH => entries::<4>(value).is_some(),
            number::LONG_LIVED_RESTART => entries::<7>(value).is_some(),
            number::FQDN => fqdn_parts(value).is_some(),
            _ => true,
        }
    }

    /// Appends the value.
    pub(crate) fn encode_value(&self, out: &mut Vec<u8>) {
        match self {
            Self::Multiprotocol(AfiSafi { afi, safi }) => {
                out.extend_from_slice(&afi.to_be_bytes());
                out.extend_from_slice(&[0, *safi]);
            }
            Self::RouteRefresh
            | Self::OldRouteRefresh
            | Self::ExtendedMessage
            | Self::EnhancedRefresh => {}
            Self::ExtendedNextHop(list) => {
                for ExtendedNextHop { afi, safi, next_hop_afi } in list {
                    out.extend_from_slice(&afi.to_be_bytes());
                    out.extend_from_slice(&safi.to_be_bytes());
                    out.extend_from_slice(&next_hop_afi.to_be_bytes());
                }
            }
            Self::Role(role) => out.push(role.number()),
            Self::GracefulRestart(restart) => encode_graceful_restart(restart, out),
            Self::FourOctetAs(asn) => out.extend_from_slice(&asn.0.to_be_bytes()),
            Self::AddPath(list) => {
                for AddPath { family, receive, send } in list {
                    put_family(*family, out);
                    out.push(u8::from(*receive) | (u8::from(*send) << 1));
                }
            }
            Self::LongLivedRestart(list) => {
                for LongLivedRestart { family, forwarding, stale_time } in list {
                    put_family(*family, out);
                    out.push(u8::from(*forwarding) * FLAG_FORWARDING);
                    let seconds = u32::try_from(stale_time.as_secs()).unwrap_or(u32::MAX);
                    let [_, time @ ..] = seconds.min(0x00ff_ffff).to_be_bytes();
                    out.extend_from_slice(&time);
                }
            }
            Self::Fqdn { host, domain } => {
                for name in [host, domain] {
                    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
                    out.extend_from_slice(name);
                }
            }
            Self::Unknown { value, .. } => out.extend_from_slice(value),
        }
    }
}

fn encode_graceful_restart(restart: &GracefulRestart, out: &mut Vec<u8>) {
    let time = u16::try_from(restart.restart_time.as_secs()).unwrap_or(u16::MAX).min(0x0fff);
    let flags = (u16::from(restart.restarted) * FLAG_RESTARTED)
        | (u16::from(restart.notification) * FLAG_NOTIFICATION);
    out.extend_from_slice(&(flags | time).to_be_bytes());
    for RestartFamily { family, forwarding } in &restart.families {
        put_family(*family, out);
        out.push(u8::from(*forwarding) * FLAG_FORWARDING);
    }
}

fn put_family(family: AfiSafi, out: &mut Vec<u8>) {
    out.extend_from_slice(&family.afi.to_be_bytes());
    out.push(family.safi);
}

/// A value of any number of entries of `N` octets.
fn entries<const N: usize>(value: &[u8]) -> Option<impl ExactSizeIterator<Item = [u8; N]> + '_> {
    value.len().is_multiple_of(N).then(|| chunks::<N>(value))
}

fn extended_next_hop([a, b, c, d, e, f]: [u8; 6]) -> ExtendedNextHop {
    ExtendedNextHop {
        afi: u16::from_be_bytes([a, b]),
        safi: u16::from_be_bytes([c, d]),
        next_hop_afi: u16::from_be_bytes([e, f]),
    }
}

fn graceful_restart(value: &[u8]) -> Option<GracefulRestart> {
    let mut cursor = Cursor::new(value, 0);
    let head = cursor.u16()?;
    let families = entries::<4>(cursor.rest())?.map(|[a, b, safi, flags]| RestartFamily {
        family: AfiSafi { afi: u16::from_be_bytes([a, b]), safi },
        forwarding: flags & FLAG_FORWARDING != 0,
    });
    Some(GracefulRestart {
        restarted: head & FLAG_RESTARTED != 0,
        notification: head & FLAG_NOTIFICATION != 0,
        restart_time: Duration::from_secs(u64::from(head & 0x0fff)),
        families: families.collect(),
    })
}

/// Entries with a direction other than 1 to 3 are ignored (RFC 7911 §4).
fn add_path([a, b, safi, direction]: [u8; 4]) -> Option<AddPath> {
    let family = AfiSafi { afi: u16::from_be_bytes([a, b]), safi };
    matches!(direction, 1..=3).then_some(AddPath {
        family,
        receive: direction & 1 != 0,
        send: direction & 2 != 0,
    })
}

fn long_lived_restart([a, b, safi, flags, c, d, e]: [u8; 7]) -> LongLivedRestart {
    LongLivedRestart {
        family: AfiSafi { afi: u16::from_be_bytes([a, b]), safi },
        forwarding: flags & FLAG_FORWARDING != 0,
        stale_time: Duration::from_secs(u64::from(u32::from_be_bytes([0, c, d, e]))),
    }
}

fn fqdn(value: &[u8]) -> Option<Capability> {
    let (host, domain) = fqdn_parts(value)?;
    Some(Capability::Fqdn { host: host.into(), domain: domain.into() })
}

fn fqdn_parts(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut cursor = Cursor::new(value, 0);
    let host = cursor.u8().and_then(|len| cursor.take(usize::from(len)))?;
    let domain = cursor.u8().and_then(|len| cursor.take(usize::from(len)))?;
    cursor.is_empty().then_some((host, domain))
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Multiprotocol(family) => write!(f, "multiprotocol {family}"),
            Self::RouteRefresh => f.write_str("route-refresh"),
            Self::OldRouteRefresh => f.write_str("route-refresh (128)"),
            Self::ExtendedNextHop(list) => {
                f.write_str("extended-next-hop")?;
                list.iter().try_for_each(|ExtendedNextHop { afi, safi, next_hop_afi }| {
                    write!(f, " {afi}/{safi} via {next_hop_afi}")
                })
            }
            Self::ExtendedMessage => f.write_str("extended-message"),
            Self::Role(role) => write!(f, "role {role:?}"),
            Self::GracefulRestart(restart) => {
                write!(f, "graceful-restart {} s", restart.restart_time.as_secs())?;
                f.write_str(if restart.restarted { " restarted" } else { "" })?;
                f.write_str(if restart.notification { " notification" } else { "" })?;
                restart.families.iter().try_for_each(|RestartFamily { family, forwarding }| {
                    write!(f, " {family}{}", if *forwarding { " forwarding" } else { "" })
                })
            }
            Self::FourOctetAs(asn) => write!(f, "four-octet-as {asn}"),
            Self::AddPath(list) => {
                f.write_str("add-path")?;
                list.iter().try_for_each(|AddPath { family, receive, send }| {
                    let receive = if *receive { " receive" } else { "" };
                    write!(f, " {family}{receive}{}", if *send { " send" } else { "" })
                })
            }
            Self::EnhancedRefresh => f.write_str("enhanced-route-refresh"),
            Self::LongLivedRestart(list) => {
                f.write_str("long-lived-graceful-restart")?;
                list.iter().try_for_each(|LongLivedRestart { family, stale_time, .. }| {
                    write!(f, " {family} {} s", stale_time.as_secs())
                })
            }
            Self::Fqdn { host, domain } => {
                write!(f, "fqdn {}.{}", host.escape_ascii(), domain.escape_ascii())
            }
            Self::Unknown { code, value } => {
                write!(f, "capability-{code} ({} octets)", value.len())
            }
        }
    }
}
