// SPDX-License-Identifier: MIT OR Apache-2.0
//! BGP speakers as real processes, and the daemon under test.
//!
//! [`start`] brings up BIRD, FRR or GoBGP from one [`Config`]; all answer the same questions, each
//! through its own command line.

mod bird;
mod config;
mod frr;
mod gobgp;
mod launch;
mod prefix;
pub mod routed;
mod speaker;

pub use config::{Config, Family, Kind, Session};
pub use launch::start;
pub use prefix::Prefix;
pub(crate) use routed::find_program;
pub use speaker::{Learned, Peer};
