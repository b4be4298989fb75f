// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every speaker can do and answer.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::config::Family;
use super::prefix::Prefix;
use crate::wait::eventually;

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

    /// State of the BFD session with a neighbour, lower case, and how often it was lost.
    ///
    /// # Errors
    /// If it does not answer, or has no such session.
    fn bfd(&self, remote: IpAddr) -> Result<(String, u64)>;

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
