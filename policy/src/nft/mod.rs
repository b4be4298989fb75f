// SPDX-License-Identifier: MIT OR Apache-2.0
//! The ruleset in the kernel: writer and reader of the table `inet routed`.
//!
//! Nothing here runs the nft program or links a library: [`Target`] speaks nfnetlink itself. One
//! private table holds everything, and everything in it is ours.
//!
//! # How a process without memory recognises our objects
//!
//! - The table carries [`TABLE_MARK`] as its comment. A table of our name without the mark is
//!   somebody else's: it is left alone and nothing is enforced until it is gone.
//! - Every rule's comment ends with a hash of its chain's rules, its position and their number.
//! - Sets, maps, elements and chains are known by the table they are in.
//!
//! Where the kernel has the flags (6.9), the table is owned by our socket and persists without it:
//! nobody else can change or flush it while we live, and it stays in force when we die. A new
//! process claims it again with one message and, if the inputs are the same, writes nothing else.
//! Only while no process owns it can others change it; the next dump shows what they did.

mod content;
mod encode;
mod enforcer;
mod key;
mod marks;
mod monitor;
mod netlink;
mod plan;
mod race;
mod readback;
mod run;
mod target;
#[cfg(test)]
mod testing;
mod waiting;

pub use content::Content;
pub use enforcer::{Enforcer, EnforcerConfig, EnforcerStats, Inputs, Turn};
pub use marks::TABLE_MARK;
pub use run::Runtime;
pub use target::{OpenError, Target, TargetStats};
