// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel routes as values.

use std::fmt;
use std::net::IpAddr;

use bgp::types::Prefix;

/// Route protocol number of our local routes (workloads, blackholes of own blocks).
pub const PROTOCOL_LOCAL: u8 = 82;

/// Route protocol number of routes learned by BGP.
pub const PROTOCOL_LEARNED: u8 = 83;

/// The kernel's main routing table.
pub const TABLE_MAIN: u32 = 254;

/// The kernel's key of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    /// Destination.
    pub prefix: Prefix,
    /// Routing table.
    pub table: u32,
    /// Metric (the kernel's priority); for IPv6 never 0, which the kernel reads as 1024.
    pub metric: u32,
}

impl RouteKey {
    /// The key of a local route: main table, and the metric the kernel takes for "none given".
    #[must_use]
    pub fn local(prefix: Prefix) -> Self {
        let metric = match prefix {
            Prefix::V4(_) => 0,
            Prefix::V6(_) => 1024,
        };
        Self { prefix, table: TABLE_MAIN, metric }
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} table {} metric {}", self.prefix, self.table, self.metric)
    }
}

/// What a route shall be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteSpec {
    /// Protocol number: the mark by which a route is recognised as ours.
    pub protocol: u8,
    /// Where packets go.
    pub kind: RouteKind,
    /// Scope of the destination.
    pub scope: RouteScope,
    /// Preferred source address of the node's own packets.
    pub prefer_src: Option<IpAddr>,
    /// Which source of the same key wins, and what is written first.
    pub class: RouteClass,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RouteKind {
    /// Directly out of an interface.
    Device {
        /// Interface name; resolved to an index only by the one who writes it.
        dev: String,
    },
    /// Through one or more gateways (ECMP), in ascending order of `(dev, via)`.
    Gateways(Vec<NextHop>),
    /// Dropped silently.
    Blackhole,
}

/// One gateway of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHop {
    /// Interface name.
    pub dev: String,
    /// Gateway address; on that link.
    pub via: IpAddr,
    /// Relative weight, 1 to 256.
    pub weight: u16,
}

/// Scope of a route's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RouteScope {
    /// Anywhere.
    Universe,
    /// On a link of this node.
    Link,
}

/// Orders sources of the same route key: the lowest wins, and is written first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteClass {
    /// Workloads and blocks of this node.
    Local,
    /// Learned by BGP.
    Learned,
}
