// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a speaker is told, whichever program it is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// BIRD 2, installs into the kernel.
    Bird,
    /// FRR, zebra and bgpd, installs into the kernel.
    Frr,
    /// GoBGP, without a kernel.
    Gobgp,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Bird, Self::Frr, Self::Gobgp];

    /// The programs it needs, for [`require!`](crate::require).
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Bird => &["bird", "birdc"],
            Self::Frr => &["zebra", "bgpd", "bfdd", "vtysh"],
            Self::Gobgp => &["gobgpd", "gobgp"],
        }
    }
}

/// A speaker and its sessions.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its AS.
    pub asn: u32,
    /// Its router id.
    pub router_id: Ipv4Addr,
    /// Its sessions.
    pub sessions: Vec<Session>,
    /// Whether it restarts gracefully and keeps the routes of peers that do. If not, the
    /// capability is off: a lost session takes its routes along at once.
    pub graceful_restart: bool,
    /// Every session is watched by BFD: milliseconds between packets, of which three may be
    /// missing. GoBGP has no BFD.
    pub bfd: Option<u32>,
}

impl Config {
    /// A speaker without sessions.
    pub fn new(asn: u32, router_id: Ipv4Addr) -> Self {
        Self { asn, router_id, sessions: Vec::new(), graceful_restart: false, bfd: None }
    }

    /// The same with one more session.
    #[must_use]
    pub fn session(mut self, session: Session) -> Self {
        self.sessions.push(session);
        self
    }
}

/// One configured neighbour; hold time 9 s, keepalive 3 s.
#[derive(Clone, Debug)]
pub struct Session {
    /// Our address.
    pub local: IpAddr,
    /// The neighbour's address.
    pub remote: IpAddr,
    /// The neighbour's AS.
    pub remote_asn: u32,
    /// Whether we wait for the neighbour to connect.
    pub passive: bool,
    /// Families on this session.
    pub families: Vec<Family>,
    /// Our next hop for IPv6 routes where the session is over IPv4.
    pub next_hop_v6: Option<Ipv6Addr>,
}

impl Session {
    /// A session that dials and carries the family of its addresses.
    pub fn new(local: IpAddr, remote: IpAddr, remote_asn: u32) -> Self {
        let families = vec![Family::of(local)];
        Self { local, remote, remote_asn, passive: false, families, next_hop_v6: None }
    }

    /// The same, waiting for the neighbour.
    #[must_use]
    pub fn passive(mut self) -> Self {
        self.passive = true;
        self
    }

    /// The same with both families, our IPv6 routes having this next hop.
    #[must_use]
    pub fn dual(mut self, next_hop_v6: Ipv6Addr) -> Self {
        self.families = vec![Family::V4, Family::V6];
        self.next_hop_v6 = Some(next_hop_v6);
        self
    }

    pub(super) fn carries(&self, family: Family) -> bool {
        self.families.contains(&family)
    }
}

/// Address family of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 unicast.
    V4,
    /// IPv6 unicast.
    V6,
}

impl Family {
    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}
