// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon's side of BFD: declares the wanted sessions to the BFD process and tells the speaker
//! when a path fails. It runs on the speaker's lane, so that nothing lies between the two.
//!
//! Without the process, peers run without BFD; the connection is tried again, ever more rarely,
//! and at once when the wanted sessions change. A failure is a counter that grew since the last
//! report of the same process, so one that came and went while nobody looked still counts, and
//! what happened before this daemon started does not.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use bgp::Handle;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bfd::{Declare, FrameError, Inbox, Report, VERSION, encode};
use crate::model::{BfdSpec, BfdState};

/// First pause before the process is looked for again; doubled up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// The process reports every ten seconds; one that is silent for longer does not work.
const SILENCE: Duration = Duration::from_secs(30);
/// A declaration is taken at once by a process that works.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes read at a time.
const READ: usize = 16 * 1024;

/// What is known about each wanted session; nothing while there is no process.
pub(crate) type Seen = BTreeMap<IpAddr, Option<BfdState>>;

/// The part that moves to the lane's thread.
pub(crate) struct Parts {
    socket: PathBuf,
    wanted: watch::Receiver<Vec<BfdSpec>>,
    seen: watch::Sender<Seen>,
}

/// The client before it runs.
pub(crate) fn new(
    socket: PathBuf,
    wanted: watch::Receiver<Vec<BfdSpec>>,
) -> (Parts, watch::Receiver<Seen>) {
    let (seen, receiver) = watch::channel(Seen::new());
    (Parts { socket, wanted, seen }, receiver)
}

/// Why a connection to the process ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("it closed the connection")]
    Closed,
    #[error("it is of version {0}")]
    Version(u32),
    #[error("it has been silent for too long")]
    Silent,
}

/// Runs until cancelled.
pub(crate) async fn run(bgp: Handle, parts: Parts, cancel: CancellationToken) {
    let client = Client { parts, bgp, instance: 0, failures: BTreeMap::new() };
    // Cancel-safe: what is lost with the future is lost with the daemon.
    cancel.run_until_cancelled(client.run()).await;
}

struct Client {
    parts: Parts,
    bgp: Handle,
    /// The process that counted the failures.
    instance: u64,
    failures: BTreeMap<IpAddr, u64>,
}

impl Client {
    async fn run(mut self) {
        let mut pause = RETRY_FIRST;
        let mut is_missed = false;
        loop {
            self.forget();
            if let Ok(stream) = UnixStream::connect(&self.parts.socket).await {
                tracing::info!("bfd process found");
                let lost = self.talk(stream, &mut pause).await;
                tracing::warn!(%lost, "bfd process lost");
                self.forget();
            } else if !is_missed && !self.parts.wanted.borrow().is_empty() {
                tracing::warn!("no bfd process: peers run without bfd");
            }
            is_missed = true;
            // Without wishes there is nothing to tell a process, and it has nothing to forget: it
            // starts with nothing.
            let is_idle = self.parts.wanted.borrow().is_empty();
            let retry = async {
                if is_idle {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(pause).await;
            };
            tokio::select! {
                () = retry => pause = (pause * 2).min(RETRY_LAST),
                changed = self.parts.wanted.changed() => match changed {
                    Ok(()) => pause = RETRY_FIRST,
                    Err(_) => return,
                },
            }
        }
    }

    /// Talks to a process until that is of no more use.
    async fn talk(&mut self, mut stream: UnixStream, pause: &mut Duration) -> Lost {
        let mut inbox = Inbox::default();
        let mut buffer = vec![0; READ];
        if let Err(lost) = self.declare(&mut stream).await {
            return lost;
        }
        let silence = tokio::time::sleep(SILENCE);
        tokio::pin!(silence);
        loop {
            // Reading and waiting are cancel-safe.
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => return Lost::Closed,
                    Ok(got) => inbox.push(buffer.get(..got).unwrap_or_default()),
                    Err(error) => return error.into(),
                },
                changed = self.parts.wanted.changed() => {
                    if changed.is_err() {
                        return Lost::Closed;
                    }
                    if let Err(lost) = self.declare(&mut stream).await {
                        return lost;
                    }
                }
                () = &mut silence => return Lost::Silent,
            }
            loop {
                match inbox.take::<Report>() {
                    Ok(Some(report)) if report.version == VERSION => {
                        *pause = RETRY_FIRST;
                        silence.as_mut().reset(tokio::time::Instant::now() + SILENCE);
                        self.on_report(report).await;
                    }
                    Ok(Some(report)) => return Lost::Version(report.version),
                    Ok(None) => break,
                    Err(error) => return error.into(),
                }
            }
        }
    }

    async fn declare(&mut self, stream: &mut UnixStream) -> Result<(), Lost> {
        let sessions = self.parts.wanted.borrow_and_update().clone();
        self.failures.retain(|peer, _| sessions.iter().any(|spec| spec.peer == *peer));
        self.parts.seen.send_modify(|seen| {
            let before = std::mem::take(seen);
            let state = |peer: &IpAddr| before.get(peer).cloned().flatten();
            *seen = sessions.iter().map(|spec| (spec.peer, state(&spec.peer))).collect();
        });
        let frame = encode(&Declare { version: VERSION, sessions })?;
        let written = tokio::time::timeout(PATIENCE, stream.write_all(&frame)).await;
        Ok(written.map_err(|_| Lost::Silent)??)
    }

    async fn on_report(&mut self, report: Report) {
        if report.instance != self.instance {
            self.instance = report.instance;
            self.failures.clear();
        }
        for (peer, state) in report.sessions {
            if !self.parts.seen.borrow().contains_key(&peer) {
                continue;
            }
            let before = self.failures.insert(peer, state.failures);
            if before.is_some_and(|before| before < state.failures) {
                let (now, diag) = (&state.state, &state.diag);
                // The speaker may be ending; then so are its sessions.
                let ended = self.bgp.bfd_down(peer).await.unwrap_or(false);
                tracing::warn!(%peer, now, diag, ended, "bfd: the path failed");
            }
            self.parts.seen.send_modify(|seen| {
                seen.insert(peer, Some(state));
            });
        }
    }

    /// Nothing is known any more.
    fn forget(&self) {
        let wanted = self.parts.wanted.borrow();
        let seen = wanted.iter().map(|spec| (spec.peer, None)).collect();
        self.parts.seen.send_replace(seen);
    }
}
