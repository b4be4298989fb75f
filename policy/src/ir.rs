// SPDX-License-Identifier: MIT OR Apache-2.0
//! The backend-neutral ruleset: what the compiler produces and what a writer puts into the kernel.
//!
//! A ruleset is a flat map `ObjectId -> Object` of one private table. Objects refer to each other
//! by [`Name`] only, so each can be written, compared and deleted on its own. The members of a set
//! are objects too: a workload that changes its labels touches elements, never a set or a rule.
//!
//! Invariants the compiler keeps and a writer may rely on:
//!
//! - Putting objects in ascending [`ObjectId::rank`] and deleting them in descending rank never
//!   leaves a dangling reference, wherever a batch is cut. Chains of the same rank may jump to each
//!   other, so a writer creates all chains of a batch before the rules of any of them.
//! - The closed base ruleset ([`ObjectId::is_fixed`]) has the lowest ranks: interfaces of workloads
//!   are shut before anything that could open them exists.
//! - There are no anonymous sets, and every set a rule names is in the ruleset.
//! - Names are valid nftables identifiers, shorter than [`MAX_NAME`] bytes; comments are shorter
//!   than [`MAX_COMMENT`] bytes.
//! - Intervals in one set neither overlap nor touch.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

pub use crate::model::Family;

/// The name of our table, of family `inet`. Everything inside it is ours.
pub const TABLE: &str = "routed";

/// Upper bound of a name's length in bytes.
pub const MAX_NAME: usize = 120;

/// Upper bound of a comment's length in bytes; a writer may append its own marks up to 128.
pub const MAX_COMMENT: usize = 72;

/// The name of a set or chain. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Takes any text as a name; the compiler only makes valid ones.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this names a part of the base ruleset.
    ///
    /// Fixed names consist of letters, digits and `_`; generated ones contain `-` or `/`.
    pub fn is_fixed(&self) -> bool {
        !self.0.contains(['-', '/'])
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Identity of one object of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectId {
    /// A set or map, without its elements.
    Set(Name),
    /// A chain that only other chains or verdict maps reach.
    Chain(Name),
    /// A chain attached to a hook.
    BaseChain(Name),
    /// An element of a set without data.
    Element(Name, Key),
    /// An element of a verdict map: it may refer to a chain.
    Dispatch(Name, Key),
}

impl ObjectId {
    /// Position in a batch: puts go by ascending, deletes by descending rank.
    ///
    /// Fixed sets, chains, base chains (0–2), generated sets (3), set elements (4), generated
    /// chains that jump nowhere (5), signature chains that jump to those (6), verdict-map
    /// elements (7).
    pub fn rank(&self) -> u32 {
        match self {
            Self::Set(name) if name.is_fixed() => 0,
            Self::Chain(name) if name.is_fixed() => 1,
            Self::BaseChain(_) => 2,
            Self::Set(_) => 3,
            Self::Element(..) => 4,
            // Policy chains carry a `/` in their name, signature chains do not.
            Self::Chain(name) if name.as_str().contains('/') => 5,
            Self::Chain(_) => 6,
            Self::Dispatch(..) => 7,
        }
    }

    /// Whether this is a part of the base ruleset, which exists without any policy or endpoint.
    pub fn is_fixed(&self) -> bool {
        match self {
            Self::Set(name) | Self::Chain(name) | Self::BaseChain(name) => name.is_fixed(),
            Self::Element(..) | Self::Dispatch(..) => false,
        }
    }

    /// The set or chain that the object is or belongs to.
    pub fn name(&self) -> &Name {
        match self {
            Self::Set(name)
            | Self::Chain(name)
            | Self::BaseChain(name)
            | Self::Element(name, _)
            | Self::Dispatch(name, _) => name,
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(name) => write!(f, "set {name}"),
            Self::Chain(name) | Self::BaseChain(name) => write!(f, "chain {name}"),
            Self::Element(name, key) | Self::Dispatch(name, key) => {
                write!(f, "element {name} {key}")
            }
        }
    }
}

/// The content of one object. The variant always fits the variant of its [`ObjectId`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// For [`ObjectId::Set`].
    Set(SetSpec),
    /// For [`ObjectId::Chain`].
    Chain(Arc<[Rule]>),
    /// For [`ObjectId::BaseChain`].
    BaseChain(BaseChain),
    /// For [`ObjectId::Element`]: membership is all there is to say.
    Element,
    /// For [`ObjectId::Dispatch`].
    Dispatch(Target),
}

/// The type of a set or map.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SetSpec {
    /// The type of the keys.
    pub key: KeyType,
    /// Whether the keys are [`Key::Range`]s; without it they are single values (a hash set).
    pub interval: bool,
    /// Whether it is a map from keys to verdicts.
    pub verdicts: bool,
    /// For people who read the table: the selector, nets or ports behind a hashed name.
    pub comment: Option<Arc<str>>,
}

/// The type of a set's keys, in nftables' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// `ifname`
    IfName,
    /// `ipv4_addr`
    Ipv4,
    /// `ipv6_addr`
    Ipv6,
    /// `inet_service`
    Port,
    /// `ifname . ipv4_addr`
    IfNameIpv4,
    /// `ifname . ipv6_addr`
    IfNameIpv6,
}

/// One value of a simple type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// An interface name, at most 15 bytes.
    IfName(Name),
    /// An IPv4 address.
    Ipv4(Ipv4Addr),
    /// An IPv6 address.
    Ipv6(Ipv6Addr),
    /// A transport port.
    Port(u16),
}

/// The key of an element.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// One value.
    Single(Part),
    /// A concatenation of two values.
    Pair(Part, Part),
    /// All values from the first to the second, both included. Both have the same type, and the
    /// second is not below the first. Only in sets with [`SetSpec::interval`].
    Range(Part, Part),
}

impl From<IpAddr> for Part {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::Ipv4(v4),
            IpAddr::V6(v6) => Self::Ipv6(v6),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IfName(name) => write!(f, "{name}"),
            Self::Ipv4(address) => write!(f, "{address}"),
            Self::Ipv6(address) => write!(f, "{address}"),
            Self::Port(port) => write!(f, "{port}"),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(part) => write!(f, "{part}"),
            Self::Pair(first, second) => write!(f, "{first} . {second}"),
            Self::Range(start, end) => write!(f, "{start}-{end}"),
        }
    }
}

/// A chain at a hook.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseChain {
    /// Where in the packet's way.
    pub hook: Hook,
    /// Order among chains of the hook, lower first (`filter` is 0, `raw` is -300).
    pub priority: i32,
    /// What happens to a packet that no rule decides.
    pub policy: BasePolicy,
    /// The rules, first to last.
    pub rules: Arc<[Rule]>,
}

/// A netfilter hook of the `inet` family. All base chains are of type `filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// Every packet that arrives, before routing.
    Prerouting,
    /// Packets for the node itself.
    Input,
    /// Packets that the node routes.
    Forward,
    /// Packets that the node's own processes send.
    Output,
}

/// The default verdict of a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BasePolicy {
    /// Go on to the next chain of the hook.
    Accept,
    /// Drop the packet.
    Drop,
}

/// One rule: if all matches hold, do what the verdict says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// Conditions, evaluated in order; none = always.
    pub matches: Vec<Match>,
    /// Whether packets that pass the matches are counted.
    pub counter: bool,
    /// What happens.
    pub verdict: Verdict,
    /// For people; not compared by the kernel.
    pub comment: Option<Arc<str>>,
}

/// What a rule does with a packet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// A plain verdict.
    To(Target),
    /// Look the interface name up in a verdict map; without an element the next rule follows.
    Vmap(Interface, Name),
}

/// A verdict that a rule or an element of a verdict map can carry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// End this base chain; later chains of the hook still see the packet.
    Accept,
    /// Drop the packet for good.
    Drop,
    /// Back to the calling chain, or the base chain's policy.
    Return,
    /// Evaluate a chain, then come back.
    Jump(Name),
    /// Evaluate a chain instead of the rest of this one.
    Goto(Name),
}

/// Which interface of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interface {
    /// Where it came in (`iifname`).
    Input,
    /// Where it goes out (`oifname`).
    Output,
}

/// Which end of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The sender's.
    Source,
    /// The receiver's.
    Destination,
}

/// Bits of the connection tracking state, as the kernel numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CtStates(pub u32);

impl CtStates {
    /// `invalid`
    pub const INVALID: Self = Self(1);
    /// `established`
    pub const ESTABLISHED: Self = Self(2);
    /// `related`
    pub const RELATED: Self = Self(4);
    /// `new`
    pub const NEW: Self = Self(8);

    /// Both sets of bits.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One condition of a rule.
///
/// A writer adds what a condition presupposes (`meta nfproto` before an address, `meta l4proto`
/// before a port or ICMP type) only where no earlier condition of the rule already says it: the
/// compiler puts [`Match::Family`] before addresses and [`Match::Protocol`] before ports and
/// ICMP types, always.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Match {
    /// The interface name equals `name`, or begins with it if `prefix`.
    IfName {
        /// Which interface.
        interface: Interface,
        /// The name, without a wildcard character.
        name: Name,
        /// Whether every name that begins with `name` matches (`"rtd*"`).
        prefix: bool,
        /// Match everything else.
        negated: bool,
    },
    /// The connection tracking state is one of these.
    CtState(CtStates),
    /// The packet is of this family.
    Family(Family),
    /// The transport protocol, behind IPv6 extension headers.
    Protocol {
        /// IP protocol number.
        protocol: u8,
        /// Match everything else.
        negated: bool,
    },
    /// An address is in a set of [`KeyType::Ipv4`] or [`KeyType::Ipv6`].
    AddressIn {
        /// Which address.
        side: Side,
        /// The family, the same as of the [`Match::Family`] before it.
        family: Family,
        /// The set.
        set: Name,
        /// Match everything else.
        negated: bool,
    },
    /// An address is in one net.
    AddressNet {
        /// Which address.
        side: Side,
        /// Network address, host bits zero; its family is that of the [`Match::Family`] before it.
        network: IpAddr,
        /// Prefix length, at least 1.
        length: u8,
        /// Match everything else.
        negated: bool,
    },
    /// `iifname . saddr` is in a set of [`KeyType::IfNameIpv4`] or [`KeyType::IfNameIpv6`].
    SourceIn {
        /// The family, the same as of the [`Match::Family`] before it.
        family: Family,
        /// The set.
        set: Name,
    },
    /// A port lies in a range.
    PortRange {
        /// Which port.
        side: Side,
        /// First port.
        start: u16,
        /// Last port, included; equal to `start` for a single port.
        end: u16,
        /// Match everything else.
        negated: bool,
    },
    /// A port is in a set of [`KeyType::Port`].
    PortIn {
        /// Which port.
        side: Side,
        /// The set.
        set: Name,
        /// Match everything else.
        negated: bool,
    },
    /// The type field of ICMP or ICMPv6, as the [`Match::Protocol`] before it says.
    IcmpType(u8),
}
