// SPDX-License-Identifier: MIT OR Apache-2.0
//! Deletes links that were given up.
//!
//! Deleting one link costs the kernel a grace period of 16 to 20 ms, deleting a hundred by their
//! group costs about one. So a link is only marked dead and taken down while somebody waits for the
//! answer, and the reaper deletes the whole group a moment later, with a socket of its own, on a
//! thread where nobody waits.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::error::{Error, Refusal};
use super::marks::DEAD_GROUP;
use super::message;
use super::socket::Socket;
use super::state;

/// How long deaths are gathered before the group is deleted.
const GATHER: Duration = Duration::from_millis(20);

/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Wakes somebody; clones wake the same one. A ring is remembered until the one looks.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// A bell that nobody has rung.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the one who waits, or the next time somebody waits.
    pub fn ring(&self) {
        self.0.notify_one();
    }

    /// Waits for a ring; returns at once if one is remembered. Cancel-safe: a ring that was not
    /// returned is remembered.
    pub async fn rung(&self) {
        self.0.notified().await;
    }
}

/// Deletes dead links, gathered.
#[derive(Debug)]
pub struct Reaper {
    socket: Socket,
    bell: Bell,
}

impl Reaper {
    /// A reaper of the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn new(bell: Bell) -> Result<Self, Error> {
        Ok(Self { socket: Socket::open()?, bell })
    }

    /// The port of its socket: a monitor ignores what it does.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// Deletes what is dead now; returns how many links that were.
    ///
    /// # Errors
    /// If the kernel refuses for another reason than that a link is gone already.
    pub fn reap(&mut self) -> Result<usize, Error> {
        reap(&mut self.socket)
    }

    /// Reaps whenever the bell has rung, first what an earlier process left, until cancelled.
    ///
    /// Cancel-safe at every await; a deletion that was begun runs to its end on its thread.
    pub async fn run(self, cancel: CancellationToken) {
        let bell = self.bell.clone();
        bell.ring();
        let mut reaper = Some(self);
        while let Some(mut this) = reaper.take() {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = bell.rung() => {}
            }
            tokio::time::sleep(GATHER).await;
            // Blocking: the kernel returns after a grace period. The result is the reaper itself;
            // without it, after a panic in there, nothing more can be reaped here.
            let done = tokio::task::spawn_blocking(move || (this.reap(), this)).await;
            let Ok((result, this)) = done else { return };
            match result {
                Ok(count) => tracing::debug!(count, "dead links deleted"),
                Err(error) => {
                    tracing::warn!(%error, retry_in = ?RETRY, "dead links not deleted");
                    bell.ring();
                    tokio::time::sleep(RETRY).await;
                }
            }
            reaper = Some(this);
        }
    }
}

/// Deletes what is dead now.
pub(crate) fn reap(socket: &mut Socket) -> Result<usize, Error> {
    let mut dead = state::links(socket, None)?;
    dead.retain(|link| link.group == DEAD_GROUP);
    let (ours, foreign): (Vec<_>, Vec<_>) = dead.into_iter().partition(|l| l.alias.is_some());
    if ours.is_empty() {
        return Ok(0);
    }
    // Somebody else uses our group: a deletion by group would take their links as well.
    let requests: Vec<_> = if foreign.is_empty() {
        vec![message::delete_dead()]
    } else {
        ours.iter().map(|link| message::delete(link.index)).collect()
    };
    for result in socket.execute(&requests)? {
        match result {
            Ok(()) | Err(Refusal { errno: Errno::NODEV, .. }) => {}
            Err(refusal) => return Err(Error::refused("deletion of dead links", refusal)),
        }
    }
    Ok(ours.len())
}
