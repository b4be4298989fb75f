// SPDX-License-Identifier: MIT OR Apache-2.0
//! BGP speakers as real processes, and the daemon under test.
//!
//! [`start`] brings up BIRD, FRR or GoBGP from one [`Config`]; all answer the same questions, each
//! through its own command line.

pub mod bird;
pub mod frr;
pub mod gobgp;
mod prefix;
pub mod routed;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Result, ensure};

pub use prefix::Prefix;

use crate::netns::Netns;
use crate::wait::eventually;

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
            Self::Frr => &["zebra", "bgpd", "vtysh"],
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
}

impl Config {
    /// A speaker without sessions.
    pub fn new(asn: u32, router_id: Ipv4Addr) -> Self {
        Self { asn, router_id, sessions: Vec::new(), graceful_restart: false }
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

    fn carries(&self, family: Family) -> bool {
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

/// A path that a speaker learned over a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Learned {
    /// The prefix.
    pub prefix: Prefix,
    /// The next hop; the global one where there are two.
    pub next_hop: IpAddr,
    /// The AS path, leftmost first.
    pub as_path: Vec<u32>,
}

/// A running BGP speaker.
pub trait Peer {
    /// For people.
    fn name(&self) -> &str;

    /// Starts it (again, after [`stop`](Self::stop) or [`kill`](Self::kill)) and waits until it
    /// answers; prefixes originated before are originated again.
    ///
    /// # Errors
    /// If it does not come up.
    fn start(&mut self) -> Result<()>;

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// If it does not end.
    fn stop(&mut self) -> Result<()>;

    /// Ends it with SIGKILL.
    fn kill(&mut self);

    /// State of the session with a neighbour, in the program's own word.
    ///
    /// # Errors
    /// If it does not answer or has no such neighbour.
    fn state(&self, remote: IpAddr) -> Result<String>;

    /// All paths learned over sessions.
    ///
    /// # Errors
    /// If it does not answer.
    fn learned(&self, family: Family) -> Result<BTreeSet<Learned>>;

    /// Originates a prefix.
    ///
    /// # Errors
    /// If it does not take it.
    fn originate(&mut self, prefix: Prefix) -> Result<()>;

    /// Withdraws a prefix it originated.
    ///
    /// # Errors
    /// If it does not take it.
    fn withdraw(&mut self, prefix: Prefix) -> Result<()>;
}

impl dyn Peer + '_ {
    /// Whether the session with a neighbour is Established.
    ///
    /// # Errors
    /// If the speaker does not answer.
    pub fn is_established(&self, remote: IpAddr) -> Result<bool> {
        Ok(self.state(remote)?.eq_ignore_ascii_case("established"))
    }

    /// Waits for a session.
    ///
    /// # Errors
    /// If it is not Established in time.
    pub fn wait_established(&self, remote: IpAddr, deadline: Duration) -> Result<()> {
        eventually(deadline, &format!("{}: session with {remote}", self.name()), || {
            let state = self.state(remote)?;
            ensure!(state.eq_ignore_ascii_case("established"), "the session is {state}");
            Ok(())
        })
    }

    /// Waits for a path to a prefix and returns all paths to it.
    ///
    /// # Errors
    /// If there is none in time.
    pub fn wait_learned(&self, prefix: Prefix, deadline: Duration) -> Result<Vec<Learned>> {
        eventually(deadline, &format!("{}: a path to {prefix}", self.name()), || {
            let paths = self.paths(prefix)?;
            ensure!(!paths.is_empty(), "no path");
            Ok(paths)
        })
    }

    /// Waits until there is no path to a prefix.
    ///
    /// # Errors
    /// If there still is one at the deadline.
    pub fn wait_forgotten(&self, prefix: Prefix, deadline: Duration) -> Result<()> {
        eventually(deadline, &format!("{}: no path to {prefix}", self.name()), || {
            let paths = self.paths(prefix)?;
            ensure!(paths.is_empty(), "still there: {paths:?}");
            Ok(())
        })
    }

    /// The learned paths to a prefix.
    ///
    /// # Errors
    /// If the speaker does not answer.
    pub fn paths(&self, prefix: Prefix) -> Result<Vec<Learned>> {
        let learned = self.learned(Family::of(prefix.address))?;
        Ok(learned.into_iter().filter(|path| path.prefix == prefix).collect())
    }
}

/// Starts a speaker in a namespace and waits until it answers.
///
/// # Errors
/// If it does not come up.
pub fn start(kind: Kind, netns: &Netns, config: Config) -> Result<Box<dyn Peer>> {
    let mut peer: Box<dyn Peer> = match kind {
        Kind::Bird => Box::new(bird::Bird::new(netns, config)),
        Kind::Frr => Box::new(frr::Frr::new(netns, config)),
        Kind::Gobgp => Box::new(gobgp::Gobgp::new(netns, config)),
    };
    peer.start()?;
    Ok(peer)
}
