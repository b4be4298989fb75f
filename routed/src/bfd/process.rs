// SPDX-License-Identifier: MIT OR Apache-2.0
//! The process: one loop between UDP sockets, timers and the daemon of the moment.
//!
//! Order of a turn: read everything, then run timers, then send. After a pause of the whole
//! process (a busy machine, a stopped virtual one) the packets that came meanwhile are read before
//! anybody is declared dead.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bfd::net::Listener;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use super::engine::Engine;
use super::message::{Declare, Inbox, Report, SOCKET, VERSION, encode};

/// Batches read of one socket before timers get their turn.
const BATCHES: usize = 16;
/// Bytes read of the daemon at a time.
const READ: usize = 16 * 1024;
/// Reads of the daemon before packets get their turn.
const READS: usize = 16;
/// How often counters are reported.
const REPORT: Duration = Duration::from_secs(10);
/// Mode of the socket: owner and group.
const MODE: u32 = 0o660;

/// Runs until SIGTERM or SIGINT, and takes all sessions down in an orderly way.
///
/// # Errors
/// A port of BFD or the socket is taken, or the system gives none.
pub fn run(run_dir: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(process(run_dir))
}

async fn process(run_dir: &Path) -> Result<()> {
    // The ports come first: whoever holds them is the one BFD process here.
    let listeners = bfd::net::listen().context("opening the ports of BFD (3784, 4784)")?;
    let listeners: Vec<_> = listeners
        .into_iter()
        .map(register)
        .collect::<Result<_, _>>()
        .context("watching the ports")?;
    let daemons = listen(&run_dir.join(SOCKET)).context("opening the socket for the daemon")?;
    let mut terminate = signal(SignalKind::terminate()).context("catching SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("catching SIGINT")?;
    let mut engine = Engine::try_new(fastrand::u64(..)).context("opening a socket")?;
    let instance = fastrand::u64(..);
    let mut daemon: Option<Daemon> = None;
    tracing::info!(sockets = listeners.len(), "bfd process ready");
    loop {
        for listener in &listeners {
            read(listener, &mut engine);
        }
        engine.turn(Instant::now());
        if let Some(connection) = &mut daemon
            && let Err(error) = connection.serve(&mut engine, instance)
        {
            tracing::info!(%error, "daemon gone; sessions stay");
            daemon = None;
        }
        let report = daemon.as_ref().map(|daemon| daemon.report_at);
        // Every arm only waits; what there is to do is found at the top of the loop.
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = readable(&listeners) => {}
            () = sleep_until(engine.poll_timeout()) => {}
            () = sleep_until(report) => {
                engine.mark_all();
                if let Some(daemon) = &mut daemon {
                    daemon.report_at = Instant::now() + REPORT;
                }
            }
            accepted = daemons.accept() => match accepted {
                Ok((stream, _)) if is_trusted(&stream) => {
                    tracing::info!("daemon connected");
                    daemon = Some(Daemon::new(stream));
                }
                Ok(_) => tracing::warn!("connection of another user refused"),
                Err(error) => tracing::warn!(%error, "cannot accept a connection"),
            },
            () = ready(daemon.as_ref()) => {}
        }
    }
    engine.shut_down(Instant::now());
    tracing::info!("all sessions taken down");
    Ok(())
}

/// The daemon that declares the sessions; the newest one counts.
struct Daemon {
    stream: UnixStream,
    inbox: Inbox,
    /// One frame on its way.
    outbox: Vec<u8>,
    /// It has declared its set.
    has_declared: bool,
    report_at: Instant,
}

impl Daemon {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            inbox: Inbox::default(),
            outbox: Vec::new(),
            has_declared: false,
            report_at: Instant::now() + REPORT,
        }
    }

    /// Reads and writes what can be without waiting.
    fn serve(&mut self, engine: &mut Engine, instance: u64) -> Result<()> {
        let mut buffer = [0; READ];
        // What is left keeps the stream readable, and comes after the next packets.
        for _ in 0..READS {
            match self.stream.try_read(&mut buffer) {
                Ok(0) => anyhow::bail!("closed"),
                Ok(got) => self.inbox.push(buffer.get(..got).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
            while let Some(declare) = self.inbox.take::<Declare>()? {
                anyhow::ensure!(declare.version == VERSION, "version {}", declare.version);
                engine.declare(declare.sessions, Instant::now());
                self.has_declared = true;
            }
        }
        loop {
            if self.outbox.is_empty() && self.has_declared && engine.has_changed() {
                let sessions = engine.take_changed();
                self.outbox = encode(&Report { version: VERSION, instance, sessions })?;
            }
            if self.outbox.is_empty() {
                return Ok(());
            }
            match self.stream.try_write(&self.outbox) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reads until there is nothing left, within bounds.
fn read(listener: &AsyncFd<Listener>, engine: &mut Engine) {
    for _ in 0..BATCHES {
        let now = Instant::now();
        match listener.get_ref().receive(|arrival, octets| engine.receive(arrival, octets, now)) {
            Ok(_) => {}
            Err(error) => {
                // Nothing left: wait for news of it.
                let nothing = || io::Error::from(io::ErrorKind::WouldBlock);
                let _waits = listener.try_io(Interest::READABLE, |_| Err::<(), _>(nothing()));
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::debug!(%error, "receiving");
                }
                return;
            }
        }
    }
}

async fn readable(listeners: &[AsyncFd<Listener>]) {
    std::future::poll_fn(|context| {
        let any = listeners.iter().any(|listener| listener.poll_read_ready(context).is_ready());
        if any { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn ready(daemon: Option<&Daemon>) {
    match daemon {
        Some(daemon) if daemon.outbox.is_empty() => {
            let _broken_too = daemon.stream.readable().await;
        }
        Some(daemon) => {
            let _broken_too = daemon.stream.ready(Interest::READABLE | Interest::WRITABLE).await;
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Our own user, which is the daemon's, or root.
fn is_trusted(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// A socket that appears at its path with its final mode; one that was left there is replaced.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let temporary = path.with_file_name(".bfd");
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary)?;
    std::fs::set_permissions(&temporary, std::fs::Permissions::from_mode(MODE))?;
    std::fs::rename(&temporary, path)?;
    Ok(listener)
}

/// The listener is owned by what watches it, so its descriptor stays open and the same.
#[expect(deprecated, reason = "the replacement is unsafe; the owned socket upholds its contract")]
fn register(listener: Listener) -> io::Result<AsyncFd<Listener>> {
    AsyncFd::with_interest(listener, Interest::READABLE)
}
