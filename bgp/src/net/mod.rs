// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets and the clock: the one place of this crate that has them.
//!
//! ```text
//!  listener ──accepted──▶ ┌────────┐ ◀──requests── Handle
//!  dial     ──dialled───▶ │ owner  │ ◀──originate─ Mailbox
//!  reader   ──messages──▶ │ (one   │ ──best paths─▶ Mailbox
//!  writer   ──written───▶ │ task)  │ ──chunks────▶ writer (one per connection)
//!                         └────────┘
//! ```
//!
//! One task owns the [`Speaker`](crate::Speaker); everybody else moves bytes. All queues are
//! bounded, and the owner never waits for one: what a connection cannot take stays in its
//! adj-rib-out, and a reader whose queue is full stops reading, so TCP slows the peer down.
//! Every task lives in one `JoinSet`; a task that panics costs its connection.

mod conn;
mod connector;
mod driver;
mod error;
mod listener;
mod sockopt;

use tokio_util::sync::CancellationToken;

use crate::config::{SpeakerConfig, Start};

use crate::handle::Requests;

pub use error::Error;

/// Runs a speaker until [`Handle::shutdown`](crate::Handle::shutdown), until every handle is gone,
/// or until `cancel`; the last two close the sessions as for a graceful restart.
///
/// Must run on a current-thread tokio runtime with time and I/O enabled. A listening address
/// that does not exist (yet) is retried every second and does not end the speaker.
///
/// # Errors
/// If the configuration contradicts itself or a listening socket cannot be opened at the start.
///
/// Dropping the future closes every socket at once.
pub async fn run(
    config: SpeakerConfig,
    start: Start,
    requests: Requests,
    cancel: CancellationToken,
) -> Result<(), Error> {
    driver::Driver::try_new(config, start, requests)?.run(&cancel).await;
    Ok(())
}
