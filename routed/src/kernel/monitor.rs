// SPDX-License-Identifier: MIT OR Apache-2.0
//! Listens to what happens in the kernel, and turns it into hints.
//!
//! Events are hints, never the truth: they can be lost, and some never come (a link that goes down
//! takes its IPv4 routes with it in silence). So an event only says *where to look again*: at a
//! link, at a route, at everything, at the node's uplinks, at the switches. What our own sockets
//! write is recognised by the port in the notification and ignored.
//!
//! [`event`] reads notifications, [`eye`] decides what they mean, [`uplinks`] reads the node's own
//! interfaces; here is the socket and the loop.

mod event;
mod eye;
mod uplinks;

use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket as RawSocket, SocketAddr};
use reconcile::{Drift, Hints};
use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::error::Error;
use super::reaper::Bell;
use super::socket::{self, RECEIVE_BUFFER, Socket};
use super::state;
use crate::model::{LinkKey, RouteKey, Uplinks};
use eye::{Eye, Findings};

/// Multicast groups of NETLINK_ROUTE: links, neighbours, addresses, routes and switches of both
/// families.
const GROUPS: [u32; 8] = [1, 3, 5, 7, 9, 11, 24, 25];

/// Notifications taken in before hints go out and others get their turn.
const BURST: usize = 1024;

/// One notification never comes near this.
const DATAGRAM: usize = 32 << 10;

/// Pause after the uplinks could not be read.
const RETRY: Duration = Duration::from_secs(1);

/// Where a monitor tells what it saw.
#[derive(Debug)]
pub struct MonitorOutputs {
    /// Workload links to look at again.
    pub links: Hints<LinkKey>,
    /// Routes to look at again.
    pub routes: Hints<RouteKey>,
    /// Rung when a node-wide switch may have been turned off.
    pub switches: Bell,
    /// The node's own interfaces, sent when they changed; `None` only before the first look.
    pub uplinks: watch::Sender<Option<Uplinks>>,
}

/// A listener to the calling thread's namespace.
#[derive(Debug)]
pub struct Monitor {
    events: AsyncFd<Events>,
    reader: Socket,
    eye: Eye,
    configured: Vec<String>,
    outputs: MonitorOutputs,
}

impl Monitor {
    /// Starts listening and reads the uplinks for the first time.
    ///
    /// `configured` are the names of the uplinks; empty means every interface that is neither the
    /// loopback nor a workload's. `own_ports` are those of the sockets that write for us. To be
    /// called before the first dump of links and routes, on a thread of a tokio runtime: what
    /// happens from then on is seen.
    ///
    /// # Errors
    /// If the kernel gives no socket, or cannot be read.
    pub fn new(
        configured: Vec<String>,
        own_ports: &[u32],
        outputs: MonitorOutputs,
    ) -> Result<Self, Error> {
        let events = Events::open()?;
        #[expect(unsafe_code, reason = "tokio has no safe way to watch a descriptor")]
        // SAFETY: the descriptor is owned by `events`, which the result owns from here on and never
        // replaces: it stays open, and the same, as long as it is registered.
        let events = unsafe { AsyncFd::register_with_interest(events, Interest::READABLE) }
            .map_err(|error| Error::Socket { call: "epoll", source: error.into() })?;
        let mut reader = Socket::open()?;
        let eye = Eye::new(own_ports, &configured, state::links(&mut reader, None)?);
        let first = uplinks::read(&mut reader, &configured)?;
        outputs.uplinks.send_replace(Some(first));
        Ok(Self { events, reader, eye, configured, outputs })
    }

    /// Shrinks the receive buffer, so that a test can overrun it.
    ///
    /// # Errors
    /// If the kernel refuses.
    #[doc(hidden)]
    pub fn shrink_receive_buffer(&self, bytes: usize) -> Result<(), Error> {
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&self.events.get_ref().raw, bytes)
            .map_err(|e| Error::socket("SO_RCVBUFFORCE", e))
    }

    /// Listens until cancelled, or until the socket fails for good.
    ///
    /// Cancel-safe: a notification that was read has been told before the next await.
    ///
    /// # Errors
    /// If the socket fails other than by an overrun.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<(), Error> {
        let mut stale = false;
        loop {
            let mut ready = tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = tokio::time::sleep(RETRY), if stale => {
                    stale = !self.look_at_uplinks();
                    continue;
                }
                ready = self.events.readable() => {
                    ready.map_err(|source| Error::Socket { call: "epoll", source })?
                }
            };
            let mut findings = Findings::default();
            match ready.get_inner().drain(&mut self.eye, &mut findings) {
                Ok(Drained::Empty) => ready.clear_ready(),
                Ok(Drained::More) => {}
                Err(Error::Overrun) => {
                    tracing::warn!("notifications were lost, looking at everything again");
                    findings = Findings::everything();
                }
                Err(error) => return Err(error),
            }
            drop(ready);
            stale |= !self.tell(findings);
            tokio::task::yield_now().await;
        }
    }

    /// Passes findings on; false if something could not be read and has to be tried again.
    fn tell(&mut self, findings: Findings) -> bool {
        let mut good = true;
        if findings.everything {
            match state::links(&mut self.reader, None) {
                Ok(links) => self.eye.replace(links),
                Err(error) => {
                    tracing::warn!(%error, "links cannot be read");
                    good = false;
                }
            }
            self.outputs.links.hint(Drift::All);
        }
        for key in findings.links {
            self.outputs.links.hint(Drift::Key(key));
        }
        if findings.all_routes {
            self.outputs.routes.hint(Drift::All);
        }
        for key in findings.routes {
            self.outputs.routes.hint(Drift::Key(key));
        }
        if findings.switches {
            self.outputs.switches.ring();
        }
        if findings.uplinks {
            good &= self.look_at_uplinks();
        }
        good
    }

    /// Reads the uplinks and sends them if they changed; false if they cannot be read.
    fn look_at_uplinks(&mut self) -> bool {
        match uplinks::read(&mut self.reader, &self.configured) {
            Ok(now) => {
                self.outputs.uplinks.send_if_modified(|seen| {
                    let changed = seen.as_ref() != Some(&now);
                    *seen = Some(now);
                    changed
                });
                true
            }
            Err(error) => {
                tracing::warn!(%error, retry_in = ?RETRY, "uplinks cannot be read");
                false
            }
        }
    }
}

/// Whether notifications are left in the socket.
enum Drained {
    Empty,
    More,
}

/// The socket that is subscribed to notifications.
struct Events {
    raw: RawSocket,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.raw.as_raw_fd()
    }
}

impl Events {
    fn open() -> Result<Self, Error> {
        let fail = |call| move |source| Error::Socket { call, source };
        let mut raw = RawSocket::new(NETLINK_ROUTE).map_err(fail("socket"))?;
        socket::force_receive_buffer(&raw, RECEIVE_BUFFER);
        raw.bind(&SocketAddr::new(0, 0)).map_err(fail("bind"))?;
        raw.set_non_blocking(true).map_err(fail("fcntl"))?;
        for group in GROUPS {
            raw.add_membership(group).map_err(fail("NETLINK_ADD_MEMBERSHIP"))?;
        }
        Ok(Self { raw })
    }

    /// Reads a burst of notifications and looks at them together: of two that the kernel sent in
    /// one breath, the later one may explain the earlier.
    fn drain(&self, eye: &mut Eye, findings: &mut Findings) -> Result<Drained, Error> {
        let mut buffer = vec![0; DATAGRAM];
        let mut burst = Vec::new();
        let mut drained = Drained::More;
        for _ in 0..BURST {
            match socket::receive(&self.raw, &mut buffer, RecvFlags::DONTWAIT) {
                Ok(received) => {
                    event::read(&buffer[..received], |port| eye.is_own(port), &mut burst)
                }
                Err(Error::Socket { source, .. })
                    if source.kind() == std::io::ErrorKind::WouldBlock =>
                {
                    drained = Drained::Empty;
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        eye.look(&burst, findings);
        Ok(drained)
    }
}
