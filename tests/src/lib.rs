// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenario tests: network namespaces, real peers, real packets.
//!
//! A scenario builds its own network out of [`Netns`] and [`cable`], starts speakers in it
//! ([`peer`]), attaches workloads through the CNI plugin ([`workload`]), and looks at the outside:
//! packets ([`probe`], [`capture`]), kernel tables, and what the peers say. Everything is removed
//! when its handle is dropped, also when the test fails.
//!
//! ```no_run
//! use std::time::Duration;
//! use fabric_tests::{Netns, Port, cable, eventually, require};
//!
//! # fn main() -> anyhow::Result<()> {
//! require!("ip", "ping");
//! let (left, right) = (Netns::new("left")?, Netns::new("right")?);
//! cable(&Port::new(&left, "eth0", &["10.0.0.1/24"]), &Port::new(&right, "eth0", &["10.0.0.2/24"]))?;
//! eventually(Duration::from_secs(5), "right answers", || left.run("ping -c1 -W1 10.0.0.2"))?;
//! # Ok(())
//! # }
//! ```
//!
//! Rules: no sleeps but [`eventually`]; no packet leaves the namespaces; only processes that the
//! scenario started are ended, by pid.
#![forbid(unsafe_code)]

pub mod capture;
pub mod diag;
pub mod lab;
mod need;
mod netns;
pub mod node;
pub mod peer;
pub mod probe;
mod process;
mod stop;
mod topo;
mod wait;
pub mod workload;

pub use need::{missing, skip};
pub use netns::Netns;
pub use process::{Process, command, output, run};
pub use topo::{Port, cable, forward};
pub use wait::eventually;
