// SPDX-License-Identifier: MIT OR Apache-2.0
//! The owner of the speaker: one loop between sockets, clock, requests and mailboxes.
//!
//! A turn: timers and a bounded piece of decisions first, then a bounded number of messages,
//! requests and originations, then everything the speaker wants done. A turn that found nothing
//! to do waits; one that did lets the other tasks of the thread run and comes again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reconcile::{Completeness, Revision};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::conn::Events;
use super::error::Error;
use super::{conn, connector, listener, sockopt};
use crate::config::{SpeakerConfig, Start};
use crate::handle::{Reply, Request, Requests};
use crate::session::{ConnId, MAX_QUEUED};
use crate::speaker::{Dial, Event, PeerEvent, Shutdown, Speaker, Transmit};

/// Batches of messages that may wait for the owner, of all connections together.
const EVENT_QUEUE: usize = 64;
/// Connections that may wait for the owner.
const ACCEPT_QUEUE: usize = 64;
/// Messages taken per turn.
const MESSAGES_PER_TURN: usize = 64;
/// Requests and connections taken per turn.
const REQUESTS_PER_TURN: usize = 16;
/// Originated prefixes taken per turn.
const ORIGINATIONS_PER_TURN: usize = 512;
/// Chunks that may wait for a writer: what the session allows, and the last NOTIFICATION.
const CHUNK_QUEUE: usize = MAX_QUEUED + 8;
/// Pause between attempts to open a listening socket.
const LISTEN_RETRY: Duration = Duration::from_secs(1);
/// How long the last chunks may take at the end.
const FAREWELL: Duration = Duration::from_secs(2);

/// One connection, or one attempt at it.
struct Link {
    /// None while it is being made.
    chunks: Option<mpsc::Sender<Bytes>>,
    cancel: CancellationToken,
}

/// What a task works for.
#[derive(Clone, Copy)]
enum Owner {
    Connection(ConnId),
    Listener(SocketAddr),
}

/// What a finished attempt to connect leaves.
struct Dialled {
    conn: ConnId,
    ttl: Option<u8>,
    result: std::io::Result<TcpStream>,
}

/// Both ends of a bounded queue: the tasks get clones of the first.
type Queue<T> = (mpsc::Sender<T>, mpsc::Receiver<T>);

/// The speaker and everything around it.
pub(super) struct Driver {
    speaker: Speaker,
    requests: Requests,
    revision: Revision,
    links: HashMap<ConnId, Link>,
    tasks: JoinSet<()>,
    owners: HashMap<Id, Owner>,
    listeners: Vec<(SocketAddr, CancellationToken)>,
    wanted: Vec<SocketAddr>,
    listen_at: Option<Instant>,
    accepted: Queue<(TcpStream, SocketAddr)>,
    events: Queue<Events>,
    dialled: Queue<Dialled>,
}

/// Why the loop ends.
enum End {
    Cancelled,
    Requested(Shutdown, Reply<()>),
}

impl Driver {
    pub(super) fn try_new(
        config: SpeakerConfig,
        start: Start,
        requests: Requests,
    ) -> Result<Self, Error> {
        let wanted = config.listen.clone();
        let mut driver = Self {
            speaker: Speaker::try_new(config, start, now())?,
            requests,
            revision: Revision::default(),
            links: HashMap::new(),
            tasks: JoinSet::new(),
            owners: HashMap::new(),
            listeners: Vec::new(),
            wanted,
            listen_at: None,
            accepted: mpsc::channel(ACCEPT_QUEUE),
            events: mpsc::channel(EVENT_QUEUE),
            dialled: mpsc::channel(ACCEPT_QUEUE),
        };
        if let Some((address, source)) = driver.listen(now()) {
            return Err(Error::Listen { address, source });
        }
        Ok(driver)
    }

    pub(super) async fn run(mut self, cancel: &CancellationToken) {
        let end = loop {
            if cancel.is_cancelled() {
                break End::Cancelled;
            }
            match self.turn() {
                Ok(true) => tokio::task::yield_now().await,
                Ok(false) => {
                    if let Err(end) = self.wait(cancel).await {
                        break end;
                    }
                }
                Err(end) => break end,
            }
        };
        let (kind, reply) = match end {
            End::Cancelled => (Shutdown::GracefulRestart, None),
            End::Requested(kind, reply) => (kind, Some(reply)),
        };
        self.farewell(&kind).await;
        if let Some(reply) = reply {
            reply.send(());
        }
    }

    /// Does a bounded piece of whatever there is to do; false when there was nothing.
    fn turn(&mut self) -> Result<bool, End> {
        let now = now();
        let mut busy = self.run_timers(now);
        busy |= self.take_events(now);
        busy |= self.take_originations();
        for _ in 0..REQUESTS_PER_TURN {
            let Ok(request) = self.requests.receiver.try_recv() else { break };
            busy = true;
            self.answer(request, now)?;
        }
        while let Ok((stream, remote)) = self.accepted.1.try_recv() {
            busy = true;
            self.accept(stream, remote, now);
        }
        while let Ok(dialled) = self.dialled.1.try_recv() {
            busy = true;
            self.on_dialled(dialled, now);
        }
        while let Some(joined) = self.tasks.try_join_next_with_id() {
            self.on_joined(&joined, now);
        }
        self.drain(now);
        Ok(busy)
    }

    /// Waits until there is something to do. Everything here is cancel-safe: what completes is
    /// taken, what does not keeps its place.
    async fn wait(&mut self, cancel: &CancellationToken) -> Result<(), End> {
        let deadline = self.speaker.poll_timeout().into_iter().chain(self.listen_at).min();
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = cancel.cancelled() => return Err(End::Cancelled),
            () = timer => {}
            () = self.requests.originate.changed() => {}
            request = self.requests.receiver.recv() => match request {
                Some(request) => self.answer(request, now())?,
                None => return Err(End::Cancelled),
            },
            Some((stream, remote)) = self.accepted.1.recv() => self.accept(stream, remote, now()),
            Some(dialled) = self.dialled.1.recv() => self.on_dialled(dialled, now()),
            Some(events) = self.events.1.recv() => self.handle(events, now()),
            Some(joined) = self.tasks.join_next_with_id() => self.on_joined(&joined, now()),
        }
        Ok(())
    }

    fn run_timers(&mut self, now: Instant) -> bool {
        if self.listen_at.is_some_and(|at| at <= now) {
            self.listen(now);
        }
        let due = self.speaker.poll_timeout().is_some_and(|at| at <= now);
        if due {
            self.speaker.handle_timeout(now);
        }
        due
    }

    fn take_events(&mut self, now: Instant) -> bool {
        let mut taken = 0;
        while taken < MESSAGES_PER_TURN {
            let Ok(events) = self.events.1.try_recv() else { break };
            taken += events.len();
            self.handle(events, now);
        }
        taken > 0
    }

    fn handle(&mut self, events: Events, now: Instant) {
        for event in events {
            self.speaker.handle_input(event, now);
        }
    }

    fn take_originations(&mut self) -> bool {
        let changes = self.requests.originate.take_up_to(ORIGINATIONS_PER_TURN);
        let busy = !changes.entries.is_empty();
        for (prefix, change) in changes.entries {
            self.speaker.originate(prefix, change.value);
        }
        if changes.completeness == Completeness::Complete {
            self.speaker.originate_complete();
        }
        busy
    }

    fn answer(&mut self, request: Request, now: Instant) -> Result<(), End> {
        match request {
            Request::Apply { config, reply } => {
                let listen = config.listen.clone();
                let answer = self.speaker.apply_config(*config, now);
                if answer.is_ok() && self.wanted != listen {
                    self.wanted = listen;
                    self.listen(now);
                }
                reply.send(answer);
            }
            Request::Peers { reply } => reply.send(self.speaker.peers(now)),
            Request::Rib { query, reply } => reply.send(self.speaker.rib(&query)),
            Request::Why { prefix, reply } => reply.send(self.speaker.why(prefix)),
            Request::Stats { reply } => reply.send(self.speaker.stats()),
            Request::BfdDown { peer, reply } => reply.send(self.speaker.bfd_down(peer, now)),
            Request::Shutdown { kind, reply } => return Err(End::Requested(kind, reply)),
        }
        Ok(())
    }

    /// Carries out what the speaker wants and passes its news on.
    fn drain(&mut self, now: Instant) {
        // A failed hand-over closes the connection, which may want something in turn.
        while let Some(transmit) = self.speaker.poll_transmit() {
            match transmit {
                Transmit::Dial(dial) => self.dial(dial),
                Transmit::Send { conn, chunk } => self.send(conn, chunk, now),
                Transmit::Close { conn } => self.close(conn),
            }
        }
        self.revision = self.revision.next();
        while let Some(event) = self.speaker.poll_event() {
            match event {
                Event::BestPaths { prefix, paths } => {
                    self.requests.best_paths.publish(prefix, paths, self.revision);
                }
                Event::Synced => {
                    self.requests.best_paths.set_completeness(Completeness::Complete);
                }
            }
        }
    }

    fn dial(&mut self, dial: Dial) {
        let cancel = CancellationToken::new();
        let (to, token, Dial { conn, ttl, .. }) = (self.dialled.0.clone(), cancel.clone(), dial);
        let task = self.tasks.spawn(async move {
            let result = tokio::select! {
                () = token.cancelled() => return,
                result = connector::connect(dial) => result,
            };
            // The owner may have gone meanwhile; then the socket just closes.
            let _ = to.send(Dialled { conn, ttl, result }).await;
        });
        self.owners.insert(task.id(), Owner::Connection(conn));
        self.links.insert(conn, Link { chunks: None, cancel });
    }

    fn on_dialled(&mut self, dialled: Dialled, now: Instant) {
        let Dialled { conn, ttl, result } = dialled;
        if self.links.get(&conn).is_none_or(|link| link.chunks.is_some()) {
            return;
        }
        let local = result.and_then(|stream| Ok((stream.local_addr()?.ip(), stream)));
        let event = match local {
            Ok((local, stream)) => {
                self.connect(conn, stream, ttl);
                PeerEvent::Connected { conn, local }
            }
            Err(error) => PeerEvent::ConnectFailed { conn, error: error.to_string() },
        };
        self.speaker.handle_input(event, now);
    }

    fn accept(&mut self, stream: TcpStream, remote: SocketAddr, now: Instant) {
        // A connection that is gone already has no address.
        let Ok(local) = stream.local_addr() else { return };
        if let Some(accepted) = self.speaker.accept(remote.ip(), local.ip(), now) {
            self.connect(accepted.conn, stream, accepted.ttl);
        }
    }

    /// Starts the two tasks of a connection.
    fn connect(&mut self, conn: ConnId, stream: TcpStream, ttl: Option<u8>) {
        let is_ipv6 = stream.peer_addr().is_ok_and(|peer| peer.is_ipv6());
        let options = stream.set_nodelay(true).and_then(|()| match ttl {
            Some(ttl) => sockopt::set_ttl(&stream, is_ipv6, ttl),
            None => Ok(()),
        });
        if let Err(error) = options {
            tracing::warn!(%error, "socket options refused");
        }
        let cancel = CancellationToken::new();
        let (chunks, queue) = mpsc::channel(CHUNK_QUEUE);
        let (read, write) = stream.into_split();
        let to = &self.events.0;
        let reader = self.tasks.spawn(conn::read(conn, read, to.clone(), cancel.clone()));
        let writer = self.tasks.spawn(conn::write(conn, write, queue, to.clone(), cancel.clone()));
        self.owners.insert(reader.id(), Owner::Connection(conn));
        self.owners.insert(writer.id(), Owner::Connection(conn));
        self.links.insert(conn, Link { chunks: Some(chunks), cancel });
    }

    fn send(&mut self, conn: ConnId, chunk: Bytes, now: Instant) {
        let Some(chunks) = self.links.get(&conn).and_then(|link| link.chunks.as_ref()) else {
            return;
        };
        match chunks.try_send(chunk) {
            Ok(()) => {}
            // The writer has ended and said why.
            Err(TrySendError::Closed(_)) => {}
            // The session counts what is queued, so this is a bug of ours: only it pays.
            Err(TrySendError::Full(_)) => {
                tracing::error!("writer queue overflow");
                self.speaker.handle_input(PeerEvent::Broken { conn }, now);
            }
        }
    }

    fn close(&mut self, conn: ConnId) {
        // Dropping the link's queue lets the writer finish; the token stops everything else.
        if let Some(link) = self.links.remove(&conn) {
            link.cancel.cancel();
        }
    }

    fn on_joined(&mut self, joined: &Result<(Id, ()), JoinError>, now: Instant) {
        let id = match joined {
            Ok((id, ())) => *id,
            Err(error) => error.id(),
        };
        let owner = self.owners.remove(&id);
        let Err(error) = joined else { return };
        if !error.is_panic() {
            return;
        }
        tracing::error!(%error, "task failed");
        match owner {
            Some(Owner::Connection(conn)) => {
                self.speaker.handle_input(PeerEvent::Broken { conn }, now);
            }
            Some(Owner::Listener(address)) => {
                self.listeners.retain(|(open, _)| *open != address);
                self.listen_at = Some(now + LISTEN_RETRY);
            }
            None => {}
        }
    }

    /// Opens and closes listening sockets until they are the wanted ones; the first that cannot
    /// be opened for a reason that does not pass by itself.
    fn listen(&mut self, now: Instant) -> Option<(SocketAddr, std::io::Error)> {
        let wanted = &self.wanted;
        self.listeners.retain(|(address, cancel)| {
            let keep = wanted.contains(address);
            if !keep {
                cancel.cancel();
            }
            keep
        });
        self.listen_at = None;
        let mut failed = None;
        for address in self.wanted.clone() {
            if self.listeners.iter().any(|(open, _)| *open == address) {
                continue;
            }
            match sockopt::listen(address) {
                Ok(socket) => {
                    let cancel = CancellationToken::new();
                    let to = self.accepted.0.clone();
                    let task = self.tasks.spawn(listener::accept(socket, to, cancel.clone()));
                    self.owners.insert(task.id(), Owner::Listener(address));
                    self.listeners.push((address, cancel));
                    tracing::info!(%address, "listening");
                }
                Err(error) => {
                    tracing::warn!(%address, %error, retry_s = LISTEN_RETRY.as_secs(), "cannot listen");
                    self.listen_at = Some(now + LISTEN_RETRY);
                    if error.kind() != std::io::ErrorKind::AddrNotAvailable {
                        failed = failed.or(Some((address, error)));
                    }
                }
            }
        }
        failed
    }

    /// Ends all sessions and gives the last chunks some time.
    async fn farewell(mut self, kind: &Shutdown) {
        self.speaker.shutdown(kind, now());
        self.drain(now());
        for (_, cancel) in &self.listeners {
            cancel.cancel();
        }
        for conn in self.links.keys().copied().collect::<Vec<_>>() {
            self.close(conn);
        }
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("connections did not close in time");
        }
    }
}

/// The one clock of the crate.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The feed shares its values with the consumer's thread.
const _: fn() = || {
    fn is_send<T: Send + Sync>() {}
    is_send::<Arc<crate::speaker::PathSet>>();
};
