// SPDX-License-Identifier: MIT OR Apache-2.0
//! Desired state against actual state, for people who program kernels and other tables that others
//! write to as well.
//!
//! The idea: whoever decides publishes *the latest wish per key*, never an event. Whoever acts
//! compares wishes with what the target is known to hold and writes the difference, in batches,
//! until there is none. Neither side needs the history of the other: a consumer that was slow or
//! was restarted sees the same wishes, a write that failed leaves a key that still differs, and a
//! restart with unchanged inputs finds no difference and writes nothing.
//!
//! ```
//! use std::time::Instant;
//! use reconcile::fake::MemTarget;
//! use reconcile::{Action, Completeness, Driver, DriverConfig, Mailbox, Revision, Target};
//!
//! let wishes = Mailbox::new();
//! wishes.publish("10.0.0.0/24", Some("via eth0"), Revision(1));
//! wishes.set_completeness(Completeness::Complete);
//!
//! let (mut driver, mut target) = (Driver::new(DriverConfig::default()), MemTarget::new());
//! driver.on_changes(wishes.take());
//! loop {
//!     match driver.next(Instant::now()) {
//!         Action::Dump => driver.on_dump(target.dump(), Instant::now()),
//!         Action::Apply(batch) => driver.on_outcomes(target.apply(&batch), Instant::now()),
//!         Action::Idle(_) => break,
//!     }
//! }
//! assert_eq!(target.contents()["10.0.0.0/24"], "via eth0");
//! ```
//!
//! # Layers
//! Lower modules never name upper ones:
//! `status` → {`mailbox`, `target`, `delta`, `backoff`, `queue`, `plan`} → `hints` → `driver` →
//! `run`; `fake` is a target for tests.
//!
//! - [`Mailbox`]: coalescing hand-over between tasks, memory bounded by keys.
//! - [`DeltaMap`]: desired and actual per key.
//! - [`Driver`]: sans-IO brain with the rules of retry, dump and delete.
//! - [`Target`]: the only effect seam.
//! - [`run`](fn@run): the async loop (feature `rt`).
//! - [`Hints`]: where the target may have changed behind our back.
//!
//! # Deliberately absent
//! Transactions over several tables, ordering between tables (that is what gates on status are
//! for), threads, and any knowledge of what keys and values mean.
#![forbid(unsafe_code)]

mod backoff;
mod delta;
mod driver;
pub mod fake;
mod hash;
mod hints;
mod mailbox;
mod plan;
mod queue;
#[cfg(feature = "rt")]
mod run;
mod status;
mod target;

pub use backoff::BackoffConfig;
pub use delta::{DeltaMap, DeltaStats, Need};
pub use driver::{Action, Driver, DriverConfig, Stats};
pub use hints::Hints;
pub use mailbox::{Change, Changes, Mailbox};
#[cfg(feature = "rt")]
pub use run::run;
pub use status::{Completeness, Drift, Failure, FailureKind, Outcome, Report, Revision};
pub use target::{Batch, Target};
