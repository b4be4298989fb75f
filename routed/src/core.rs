// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core: owns what was told and what was reported, and says what each lane shall hold.
//!
//! Sans-IO and synchronous. The owner calls one of the inputs ([`Core::attach`],
//! [`Core::on_report`], ...), then [`Core::flush`] with the outlets, then drains
//! [`Core::poll_event`]; and calls [`Core::on_timeout`] when [`Core::poll_timeout`] says so.
//!
//! ```text
//!                    ADD                     all in force
//!        (absent) ────────▶ Wanted ─────────────────────────▶ (answered)
//!            ▲              │  │ ▲
//!            │          DEL │  │ │ all gone        ADD again, other namespace
//!   all gone │              │  │ └───────── Clearing(Attach) ◀──────── Wanted
//!            │              ▼  │ link vanished       ▲
//!            └─ Clearing(Leave) └──▶ Clearing(Hold) ─┘ ADD
//!                       ▲                │
//!                       └────────────────┘ DEL, or held long enough
//! ```
//!
//! Invariants:
//! - a record is on disk before anything derived from it is published, and goes after all of it is
//!   reported gone;
//! - what is published is what [`all`](crate::derive::all) gives, except for keys marked to be derived anew;
//! - the core never asks the clock, the disk or the kernel.

mod attach;
mod flush;
mod name;
mod report;
mod request;
mod state;
mod view;
mod work;

pub use attach::answer_of;
pub use flush::Publish;
pub use report::StatusReport;
pub use request::{Event, Handover, Refusal, Reply, Ticket};
pub use state::{Core, Settings};
pub use view::{Counts, WorkloadState, WorkloadView};
pub use work::Table;

#[cfg(test)]
mod tests;
