// SPDX-License-Identifier: MIT OR Apache-2.0
//! A NETLINK_ROUTE socket that writes in batches.
//!
//! The kernel works a message off while `send` runs, so a batch is one `send` of many requests and
//! a few `recv`. Only the last request of a batch asks for an acknowledgement; the kernel reports
//! errors without being asked, and each carries the sequence number of its request. The caller gets
//! one result per request, in order.
//!
//! Invariant: an answer is only ever matched against the sequence numbers of the running call, so
//! the leavings of a failed call cannot be taken for answers of a later one.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use netlink_packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkBuffer,
    ParseableParametrized,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket as RawSocket, SocketAddr};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::{self, Timeout};

use super::error::{Error, Refusal};
use super::wire::{self, HEADER};

/// Receive buffer of every socket of ours, in bytes.
pub(crate) const RECEIVE_BUFFER: usize = 16 << 20;

/// Requests in one `send`, at most.
const MAX_BATCH: usize = 500;

/// Bytes in one `send`, at most; the default send buffer takes three times as much.
const MAX_SEND: usize = 64 << 10;

/// The kernel cuts dump answers to at most 32 KiB.
const RECEIVE: usize = 64 << 10;

/// How often a dump that changed under our eyes is tried anew.
const DUMP_TRIES: usize = 10;

/// The kernel answers within the `send`; waiting longer means that there is no answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// One request: a message and the flags that say how it is meant.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) message: RouteNetlinkMessage,
    pub(crate) flags: u16,
}

impl Request {
    pub(crate) fn new(message: RouteNetlinkMessage, flags: u16) -> Self {
        Self { message, flags }
    }
}

/// How much a socket has been used; for tests and benches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketStats {
    /// Calls of `send`.
    pub sends: u64,
    /// Requests that change something, over all sends.
    pub writes: u64,
    /// Dumps asked for.
    pub dumps: u64,
}

/// A batching NETLINK_ROUTE socket, blocking; it belongs to the namespace it was opened in.
pub struct Socket {
    raw: RawSocket,
    port: u32,
    sequence: u32,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// The last call failed: its answers may still be in the socket.
    unread: bool,
    stats: SocketStats,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").field("port", &self.port).finish_non_exhaustive()
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}

impl Socket {
    /// Opens a socket in the namespace of the calling thread.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket.
    pub fn open() -> Result<Self, Error> {
        let raw = RawSocket::new(NETLINK_ROUTE)
            .map_err(|source| Error::Socket { call: "socket", source })?;
        Self::with(raw)
    }

    /// Takes over a socket that somebody else opened, such as the CNI plugin inside a container's
    /// namespace. It is closed when this value is dropped.
    ///
    /// # Errors
    /// If the descriptor is not a NETLINK_ROUTE socket.
    pub fn from_fd(fd: OwnedFd) -> Result<Self, Error> {
        let is_netlink = sockopt::socket_domain(&fd).is_ok_and(|d| d == rustix::net::AddressFamily::NETLINK)
            // NETLINK_ROUTE is protocol 0, which reads back as none.
            && sockopt::socket_protocol(&fd).is_ok_and(|protocol| protocol.is_none());
        if !is_netlink {
            return Err(Error::BadHandle("the passed socket is not a NETLINK_ROUTE socket"));
        }
        rustix::io::ioctl_fionbio(&fd, false).map_err(|e| Error::socket("ioctl", e))?;
        #[expect(unsafe_code, reason = "netlink-sys has no other way to take over a socket")]
        // SAFETY: the descriptor is open and owned by `fd`, whose ownership ends in `into_raw_fd`;
        // the new owner closes it exactly once.
        let raw = unsafe { RawSocket::from_raw_fd(fd.into_raw_fd()) };
        Self::with(raw)
    }

    fn with(mut raw: RawSocket) -> Result<Self, Error> {
        let fail = |call| move |source| Error::Socket { call, source };
        let mut address = SocketAddr::new(0, 0);
        raw.get_address(&mut address).map_err(fail("getsockname"))?;
        if address.port_number() == 0 {
            address = raw.bind_auto().map_err(fail("bind"))?;
        }
        raw.set_cap_ack(true).map_err(fail("NETLINK_CAP_ACK"))?;
        raw.set_ext_ack(true).map_err(fail("NETLINK_EXT_ACK"))?;
        raw.set_netlink_get_strict_chk(true).map_err(fail("NETLINK_GET_STRICT_CHK"))?;
        sockopt::set_socket_timeout(&raw, Timeout::Recv, Some(PATIENCE))
            .map_err(|e| Error::socket("SO_RCVTIMEO", e))?;
        force_receive_buffer(&raw, RECEIVE_BUFFER);
        Ok(Self {
            port: address.port_number(),
            raw,
            sequence: 0,
            outgoing: Vec::new(),
            incoming: vec![0; RECEIVE],
            unread: false,
            stats: SocketStats::default(),
        })
    }

    /// The port by which the kernel marks notifications of what this socket wrote.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// How much it has been used.
    pub fn stats(&self) -> SocketStats {
        self.stats
    }

    /// Shrinks the receive buffer, so that a test can overrun it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub(crate) fn shrink_receive_buffer(&self, bytes: usize) -> Result<(), Error> {
        sockopt::set_socket_recv_buffer_size_force(&self.raw, bytes)
            .map_err(|e| Error::socket("SO_RCVBUFFORCE", e))
    }

    /// Executes requests in order; one result for each.
    ///
    /// # Errors
    /// If the socket fails, so that it is not known what became of the requests.
    pub(crate) fn execute(
        &mut self,
        requests: &[Request],
    ) -> Result<Vec<Result<(), Refusal>>, Error> {
        let mut results = Vec::with_capacity(requests.len());
        let mut rest = requests;
        while !rest.is_empty() {
            let (first, count) = self.encode(rest)?;
            self.send()?;
            results.resize_with(results.len() + count, || Ok(()));
            let start = results.len() - count;
            self.collect(first, &mut results[start..], |_| {})?;
            rest = &rest[count..];
        }
        Ok(results)
    }

    /// Executes one request and returns what the kernel echoes of it (flag `NLM_F_ECHO`) or
    /// answers to it (a read of one object).
    ///
    /// # Errors
    /// If the socket fails.
    pub(crate) fn ask(
        &mut self,
        request: Request,
    ) -> Result<Result<Option<RouteNetlinkMessage>, Refusal>, Error> {
        let (first, _) = self.encode(&[request])?;
        self.send()?;
        let mut results = [Ok(())];
        let mut answer = None;
        self.collect(first, &mut results, |message| answer = Some(message))?;
        let [result] = results;
        Ok(result.map(|()| answer))
    }

    /// Reads all objects a dump request matches. A dump that changed while it was read is read
    /// again from the start. Messages that cannot be decoded are left out: they belong to kinds of
    /// objects we do not make.
    ///
    /// # Errors
    /// If the kernel refuses, the buffer overruns, or the table never holds still.
    pub(crate) fn dump(
        &mut self,
        what: &'static str,
        message: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        for _ in 0..DUMP_TRIES {
            let mut found = Vec::new();
            if self.dump_once(what, message, &mut found)? {
                return Ok(found);
            }
        }
        Err(Error::Interrupted(what))
    }

    /// Whether the dump was consistent.
    fn dump_once(
        &mut self,
        what: &'static str,
        message: &RouteNetlinkMessage,
        found: &mut Vec<RouteNetlinkMessage>,
    ) -> Result<bool, Error> {
        self.stats.dumps += 1;
        self.outgoing.clear();
        let sequence = self.push(message, NLM_F_REQUEST | NLM_F_DUMP)?;
        self.send()?;
        let mut consistent = true;
        loop {
            let received = self.receive()?;
            for part in wire::messages(&self.incoming[..received]) {
                let part = part?;
                if part.sequence_number() != sequence {
                    continue;
                }
                consistent &= part.flags() & NLM_F_DUMP_INTR == 0;
                match part.message_type() {
                    wire::DONE | wire::ERROR => {
                        self.unread = false;
                        return match wire::refusal(&part)? {
                            None => Ok(consistent),
                            // The table changed so much that the kernel lost its place.
                            Some(Refusal { errno: Errno::INTR, .. }) => Ok(false),
                            Some(refusal) => {
                                Err(Error::refused(format!("dump of {what}"), refusal))
                            }
                        };
                    }
                    kind => {
                        if let Ok(message) =
                            RouteNetlinkMessage::parse_with_param(part.payload(), kind)
                        {
                            found.push(message);
                        }
                    }
                }
            }
        }
    }

    /// Encodes as many requests as go into one send; the last one asks for an acknowledgement.
    /// Returns the first sequence number and the count.
    fn encode(&mut self, requests: &[Request]) -> Result<(u32, usize), Error> {
        self.outgoing.clear();
        let first = self.sequence.wrapping_add(1);
        let mut count = 0;
        let mut last = 0;
        for request in requests.iter().take(MAX_BATCH) {
            let size = HEADER + request.message.buffer_len();
            if count > 0 && self.outgoing.len() + size > MAX_SEND {
                break;
            }
            last = self.outgoing.len();
            self.push(&request.message, NLM_F_REQUEST | request.flags)?;
            count += 1;
            self.stats.writes += u64::from(wire::is_write(request.message.message_type()));
        }
        let mut header = NetlinkBuffer::new(&mut self.outgoing[last..]);
        header.set_flags(header.flags() | NLM_F_ACK);
        Ok((first, count))
    }

    /// Appends one message to the outgoing bytes; returns its sequence number.
    fn push(&mut self, message: &RouteNetlinkMessage, flags: u16) -> Result<u32, Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let start = self.outgoing.len();
        let length = HEADER + message.buffer_len();
        self.outgoing.resize(start + length.next_multiple_of(4), 0);
        let mut buffer = NetlinkBuffer::new(&mut self.outgoing[start..]);
        let length = u32::try_from(length).map_err(|_| Error::Malformed("request too long"))?;
        buffer.set_length(length);
        buffer.set_message_type(message.message_type());
        buffer.set_flags(flags);
        buffer.set_sequence_number(self.sequence);
        buffer.set_port_number(0);
        message.emit(buffer.payload_mut());
        Ok(self.sequence)
    }

    fn send(&mut self) -> Result<(), Error> {
        self.discard_unread();
        self.unread = true;
        self.stats.sends += 1;
        loop {
            match self.raw.send_to(&self.outgoing, &SocketAddr::new(0, 0), 0) {
                Ok(_) => return Ok(()),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Socket { call: "send", source }),
            }
        }
    }

    /// Reads answers until the last request is acknowledged; errors go to their requests.
    fn collect(
        &mut self,
        first: u32,
        results: &mut [Result<(), Refusal>],
        mut answer: impl FnMut(RouteNetlinkMessage),
    ) -> Result<(), Error> {
        loop {
            let received = self.receive()?;
            for part in wire::messages(&self.incoming[..received]) {
                let part = part?;
                let place = part.sequence_number().wrapping_sub(first) as usize;
                if place >= results.len() {
                    continue;
                }
                if part.message_type() == wire::ERROR {
                    if let Some(refusal) = wire::refusal(&part)? {
                        results[place] = Err(refusal);
                    }
                    if place + 1 == results.len() {
                        self.unread = false;
                        return Ok(());
                    }
                } else {
                    let message =
                        RouteNetlinkMessage::parse_with_param(part.payload(), part.message_type());
                    answer(message.map_err(|_| Error::Malformed("undecodable answer"))?);
                }
            }
        }
    }

    fn receive(&mut self) -> Result<usize, Error> {
        receive(&self.raw, &mut self.incoming, RecvFlags::empty())
    }

    /// Empties the socket after a failed call. The kernel delivers nothing more to a socket that
    /// overran until it is empty.
    fn discard_unread(&mut self) {
        while self.unread {
            match receive(&self.raw, &mut self.incoming, RecvFlags::DONTWAIT) {
                Ok(_) | Err(Error::Overrun) => {}
                Err(_) => self.unread = false,
            }
        }
    }
}

/// Reads one datagram.
pub(crate) fn receive(
    raw: &RawSocket,
    buffer: &mut [u8],
    flags: RecvFlags,
) -> Result<usize, Error> {
    let capacity = buffer.len();
    // Tell the true length, so that a datagram that does not fit is noticed.
    let flags = (flags | RecvFlags::TRUNC).bits().cast_signed();
    loop {
        let mut rest = &mut *buffer;
        match raw.recv(&mut rest, flags) {
            Ok(received) if received > capacity => return Err(Error::Overrun),
            Ok(received) => return Ok(received),
            Err(e) => match Errno::from_io_error(&e) {
                Some(Errno::INTR) => {}
                Some(Errno::NOBUFS) => return Err(Error::Overrun),
                _ => return Err(Error::Socket { call: "recv", source: e }),
            },
        }
    }
}

/// Forces the receive buffer; without the capability takes what the system allows.
pub(crate) fn force_receive_buffer(socket: impl AsFd, bytes: usize) {
    if sockopt::set_socket_recv_buffer_size_force(&socket, bytes).is_err()
        && let Err(error) = sockopt::set_socket_recv_buffer_size(&socket, bytes)
    {
        tracing::warn!(%error, "netlink receive buffer keeps its default size");
    }
}
