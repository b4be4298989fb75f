// SPDX-License-Identifier: MIT OR Apache-2.0
//! One way to start any of them.

use anyhow::Result;

use super::bird::Bird;
use super::config::{Config, Kind};
use super::frr::Frr;
use super::gobgp::Gobgp;
use super::speaker::Peer;
use crate::netns::Netns;

/// Starts a speaker in a namespace and waits until it answers.
///
/// # Errors
/// If it does not come up.
pub fn start(kind: Kind, netns: &Netns, config: Config) -> Result<Box<dyn Peer>> {
    let mut peer: Box<dyn Peer> = match kind {
        Kind::Bird => Box::new(Bird::new(netns, config)),
        Kind::Frr => Box::new(Frr::new(netns, config)),
        Kind::Gobgp => Box::new(Gobgp::new(netns, config)),
    };
    peer.start()?;
    Ok(peer)
}
