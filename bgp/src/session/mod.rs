// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state machine of one peer.
mod collision;
mod state;
mod timers;

pub(crate) use collision::{Identity, survivor};
pub use state::{By, ConnId, DownReason, State};
pub(crate) use state::{Direction, LastDown};
