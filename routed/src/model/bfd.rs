// SPDX-License-Identifier: MIT OR Apache-2.0
//! BFD sessions as values: what is wanted of a path, and what is known about it.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How fast a dead path is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BfdTimers {
    /// Time between packets, both ways.
    pub interval: Duration,
    /// How many may be missing in a row.
    pub multiplier: u8,
}

impl Default for BfdTimers {
    fn default() -> Self {
        Self { interval: Duration::from_millis(300), multiplier: 3 }
    }
}

/// One wanted session; there is at most one for a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdSpec {
    /// The other side.
    pub peer: IpAddr,
    /// Our address.
    pub local: Option<IpAddr>,
    /// The interface the peer is on; absent for multihop.
    pub interface: Option<String>,
    /// Routers may lie between.
    pub multihop: bool,
    /// Microseconds between packets, both ways.
    pub interval_micros: u32,
    /// How many may be missing in a row.
    pub multiplier: u8,
}

/// What is known about a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BfdState {
    /// `up`, `init`, `down` or `adminDown`.
    pub state: String,
    /// Why it last changed.
    pub diag: String,
    /// The other side's state.
    pub remote_state: String,
    /// The other side's BFD outlives its control plane (C bit).
    pub remote_independent: bool,
    /// How often the path failed since the session began.
    pub failures: u64,
    /// Microseconds between our packets, as agreed on.
    pub interval_micros: u32,
    /// After how many microseconds of silence the path counts as dead.
    pub detection_micros: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// Why packets cannot be sent.
    pub error: Option<String>,
}
