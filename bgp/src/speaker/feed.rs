// SPDX-License-Identifier: MIT OR Apache-2.0
//! Best paths as the rest of the node sees them.

use std::net::IpAddr;
use std::sync::Arc;

use crate::rib::{AttrSet, Step};

/// The accepted paths of one prefix, learned from peers and judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSet {
    /// The paths in use, best first; never empty, and no next hop twice.
    pub winners: Vec<LearnedPath>,
    /// The other accepted paths, with the step of the decision that eliminated each.
    pub losers: Vec<(LearnedPath, Step)>,
}

impl PathSet {
    /// Where packets go: one gateway per path in use, best first.
    pub fn next_hops(&self) -> impl Iterator<Item = IpAddr> {
        self.winners.iter().map(|path| path.next_hop)
    }
}

/// One path learned from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedPath {
    /// Name of the peer.
    pub peer: Arc<str>,
    /// The gateway.
    pub next_hop: IpAddr,
    /// Its attributes.
    pub attrs: Arc<AttrSet>,
}
