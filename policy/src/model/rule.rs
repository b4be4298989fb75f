// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules: what traffic they match and what becomes of it.
//!
//! Every part of a match is optional, and all parts that are there must hold. A part that is there
//! but lists nothing matches nothing (or, negated, everything): absent and empty never mean the
//! same.

use std::{fmt, net::IpAddr, str::FromStr, sync::Arc};

use super::{Endpoint, Position, Selector};

/// What a rule does with the traffic it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Let it pass in this direction.
    Allow,
    /// Drop it.
    Deny,
}

/// Address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// An IP protocol number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP for IPv4.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
    /// SCTP.
    pub const SCTP: Self = Self(132);
    /// UDP-Lite.
    pub const UDPLITE: Self = Self(136);

    /// The protocols that files may name, as they spell them.
    pub const NAMES: [(&'static str, Self); 6] = [
        ("TCP", Self::TCP),
        ("UDP", Self::UDP),
        ("ICMP", Self::ICMP),
        ("ICMPv6", Self::ICMPV6),
        ("SCTP", Self::SCTP),
        ("UDPLite", Self::UDPLITE),
    ];

    /// Whether rules may match its ports.
    pub fn has_ports(self) -> bool {
        matches!(self, Self::TCP | Self::UDP | Self::SCTP)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.iter().find(|(_, protocol)| protocol == self) {
            Some((name, _)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A network prefix; the host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Net {
    address: IpAddr,
    length: u8,
}

/// Why a text is no [`Net`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetError {
    /// The part before the slash is no address.
    #[error("not an IP address or network")]
    Address,
    /// The part behind the slash is no length, or too long for the family.
    #[error("the prefix length must be a number from 0 to {0}")]
    Length(u8),
}

impl Net {
    /// The network that contains `address`; `None` if `length` is too long for the family.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if length <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) if length <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
            _ => return None,
        };
        Some(Self { address, length })
    }

    /// The network address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The prefix length.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The family.
    pub fn family(self) -> Family {
        Family::of(self.address)
    }

    /// Whether `address` is inside.
    pub fn contains(self, address: IpAddr) -> bool {
        Self::new(address, self.length) == Some(self)
    }
}

impl FromStr for Net {
    type Err = NetError;

    /// Parses `address/length`, or an address for a network of one. Host bits are cleared.
    fn from_str(text: &str) -> Result<Self, NetError> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetError::Address)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let length = match length {
            None => longest,
            Some(text) if digits(text) => text.parse().map_err(|_| NetError::Length(longest))?,
            Some(_) => return Err(NetError::Length(longest)),
        };
        Self::new(address, length).ok_or(NetError::Length(longest))
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Ports from `start` to `end`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    start: u16,
    end: u16,
}

impl PortRange {
    /// A range; `None` if it is upside down.
    pub fn new(start: u16, end: u16) -> Option<Self> {
        (start <= end).then_some(Self { start, end })
    }

    /// First port.
    pub fn start(self) -> u16 {
        self.start
    }

    /// Last port.
    pub fn end(self) -> u16 {
        self.end
    }

    /// Whether `port` is inside.
    pub fn contains(self, port: u16) -> bool {
        (self.start..=self.end).contains(&port)
    }
}

/// The namespaces a selector looks into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// All of them.
    Any,
    /// One: that of a namespaced policy.
    Namespace(Arc<str>),
    /// Those that a selector over the namespaces' labels chooses.
    Selected(Selector),
}

/// A selector over endpoints together with the namespaces it is confined to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointSelector {
    /// The namespaces.
    pub scope: Scope,
    /// The endpoints in them.
    pub selector: Selector,
}

impl EndpointSelector {
    /// Whether it selects the endpoint.
    pub fn matches(&self, endpoint: &Endpoint) -> bool {
        let in_scope = match &self.scope {
            Scope::Any => true,
            Scope::Namespace(namespace) => endpoint.namespace() == namespace.as_ref(),
            Scope::Selected(selector) => selector.matches_namespace(endpoint.namespace()),
        };
        in_scope && self.selector.matches(endpoint.labels())
    }
}

impl fmt::Display for EndpointSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scope {
            Scope::Any => write!(f, "{}", self.selector),
            Scope::Namespace(namespace) => write!(f, "ns {namespace}: {}", self.selector),
            Scope::Selected(scope) => write!(f, "ns [{scope}]: {}", self.selector),
        }
    }
}

/// What a rule demands of one end of the traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The address is in one of these networks.
    pub nets: Option<Vec<Net>>,
    /// The address is in none of these.
    pub not_nets: Vec<Net>,
    /// The address belongs to an endpoint that is selected.
    pub selector: Option<EndpointSelector>,
    /// The address belongs to no endpoint that is selected; anything unknown qualifies.
    pub not_selector: Option<Selector>,
    /// The port is in one of these ranges.
    pub ports: Option<Vec<PortRange>>,
    /// The port is in none of these.
    pub not_ports: Vec<PortRange>,
}

/// One rule of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What becomes of matching traffic.
    pub action: Action,
    /// Only this family.
    pub ip_version: Option<Family>,
    /// Only this protocol; always there if ports are matched.
    pub protocol: Option<Protocol>,
    /// Any protocol but this.
    pub not_protocol: Option<Protocol>,
    /// The sender.
    pub source: Peer,
    /// The receiver.
    pub destination: Peer,
    /// Where the rule stands.
    pub position: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nets_clear_host_bits_and_know_their_members() {
        for (text, printed, inside, outside) in [
            ("10.1.2.3/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "::"),
            ("192.0.2.1", "192.0.2.1/32", "192.0.2.1", "192.0.2.2"),
            ("fd00::1/64", "fd00::/64", "fd00::ffff", "fd00:0:0:1::"),
            ("::/0", "::/0", "ffff::", "0.0.0.0"),
            ("2001:db8::1", "2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            let net: Net = text.parse().unwrap();
            assert_eq!(net.to_string(), printed);
            assert!(net.contains(inside.parse().unwrap()), "{net} {inside}");
            assert!(!net.contains(outside.parse().unwrap()), "{net} {outside}");
        }
    }

    #[test]
    fn bad_nets_say_why() {
        for (text, error) in [
            ("10.0.0/8", NetError::Address),
            ("", NetError::Address),
            ("10.0.0.0/33", NetError::Length(32)),
            ("10.0.0.0/", NetError::Length(32)),
            ("10.0.0.0/+8", NetError::Length(32)),
            ("10.0.0.0/255.0.0.0", NetError::Length(32)),
            ("::/129", NetError::Length(128)),
            ("::/300", NetError::Length(128)),
        ] {
            assert_eq!(text.parse::<Net>(), Err(error), "{text}");
        }
    }
}
