// SPDX-License-Identifier: MIT OR Apache-2.0
//! A bounded number of connections.
//!
//! When all places are taken, the oldest connection that had its chance to say what it wants and did not makes room for
//! a new one: idle connections, however many, cannot keep out a client that has a request. If every place is taken by a
//! request that is being worked on, new connections wait in the queue of the kernel.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at one time.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// How long a connection may say nothing before it may be sacrificed. Clients send their request at once; in a burst
/// of them it is only not read yet.
const CHANCE: Duration = Duration::from_millis(100);
/// Pause after the kernel could not give us a connection, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Set once a connection has delivered its request: from then on it is not sacrificed.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    /// The request is complete.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Accepts connections and runs `serve_one` for each until cancelled; then all are dropped.
pub(super) async fn serve<F, C>(listener: UnixListener, cancel: CancellationToken, serve_one: F)
where
    F: Fn(UnixStream, Heard) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    let mut connections = Connections::default();
    // Cancel-safe: dropping the loop drops a connection not yet served, and the set with all others.
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    connections.make_room().await;
                    let heard = Heard::default();
                    connections.add(serve_one(stream, heard.clone()), heard);
                }
                Err(error) => {
                    tracing::warn!(%error, retry_ms = ACCEPT_PAUSE.as_millis(), "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    cancel.run_until_cancelled(accept).await;
}

#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    /// Those that may be sacrificed, oldest first.
    unheard: VecDeque<Unheard>,
}

struct Unheard {
    since: Instant,
    heard: Heard,
    abort: AbortHandle,
}

impl Connections {
    fn add(&mut self, connection: impl Future<Output = ()> + Send + 'static, heard: Heard) {
        let abort = self.tasks.spawn(connection);
        self.unheard.push_back(Unheard { since: Instant::now(), heard, abort });
    }

    async fn make_room(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            report(ended);
        }
        while self.tasks.len() >= MAX_CONNECTIONS {
            self.unheard.retain(|u| !u.heard.is_set() && !u.abort.is_finished());
            let oldest = self.unheard.front().map(|u| u.since + CHANCE);
            // Cancel-safe: both arms only wait.
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => report(ended),
                () = wait_until(oldest) => self.sacrifice().await,
            }
        }
    }

    async fn sacrifice(&mut self) {
        // It may have been heard while we waited.
        let Some(oldest) = self.unheard.pop_front_if(|u| !u.heard.is_set()) else { return };
        tracing::debug!("idle connection closed to make room");
        oldest.abort.abort();
        if let Some(ended) = self.tasks.join_next().await {
            report(ended);
        }
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "connection failed");
    }
}

#[cfg(test)]
mod tests;
