// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is heard about the path to a peer from outside of BGP.

use std::net::IpAddr;
use std::time::Instant;

use super::core::Speaker;

impl Speaker {
    /// BFD saw the path to a peer fail: its session ends with a Cease (RFC 9384), its routes go at
    /// once, and the next attempt follows as after any failure. True when there was a session.
    ///
    /// Sessions never wait for BFD: a peer without it, or with it blocked, is a peer all the same
    /// (RFC 5882 §4.1).
    pub fn bfd_down(&mut self, peer: IpAddr, now: Instant) -> bool {
        let Some(slot) = self.slot_by_address(peer) else { return false };
        let ended = self.peers[slot].as_mut().is_some_and(|peer| peer.session.path_failed(now));
        self.settle(slot);
        ended
    }
}
