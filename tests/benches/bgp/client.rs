// SPDX-License-Identifier: MIT OR Apache-2.0
//! One session of the generator, driven by readiness.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};

use crate::held::Held;
use crate::lab::DEVICE;
use crate::load::Buffer;
use crate::message::{self, HEADER, KEEPALIVE, NOTIFICATION, OPEN, UPDATE};

const BUFFER: usize = 4 << 20;
/// An OPEN that is not answered within this time: connect again, as a daemon does.
const OPEN_SENT: Duration = Duration::from_secs(5);
/// A third of the shortest hold time that a device offers.
const KEEPALIVES: Duration = Duration::from_secs(3);

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Closed,
    Connecting,
    OpenSent,
    OpenConfirm,
    Established,
}

/// A session with the device.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: Ipv4Addr,
    asn: u32,
    pub(crate) state: State,
    pub(crate) socket: Option<Socket>,
    /// When the next thing is due: a new connection, or a KEEPALIVE.
    due: Instant,
    /// The beginning of a message whose end is still to come.
    partial: Vec<u8>,
    /// What is being sent, and how much of it is gone.
    sending: Option<(Buffer, usize)>,
    pub(crate) held: Held,
    /// When the first prefix came.
    pub(crate) first: Option<Instant>,
}

impl Client {
    pub(crate) fn new(address: Ipv4Addr, asn: u32, held: Held) -> Self {
        Self {
            address,
            asn,
            state: State::Closed,
            socket: None,
            due: Instant::now(),
            partial: Vec::new(),
            sending: None,
            held,
            first: None,
        }
    }

    /// Begins to connect; the result comes as readiness.
    pub(crate) fn connect(&mut self) -> Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_reuse_address(true)?;
        socket.set_tcp_nodelay(true)?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.bind(&SocketAddr::from((self.address, 0)).into()).context("binding a client")?;
        match socket.connect(&SocketAddr::from((DEVICE, 179)).into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error).context("connecting to the device"),
        }
        (self.state, self.socket) = (State::Connecting, Some(socket));
        self.partial.clear();
        self.sending = None;
        self.due = Instant::now() + OPEN_SENT;
        Ok(())
    }

    /// Ends the connection as a killed process does.
    pub(crate) fn die(&mut self) {
        (self.state, self.socket, self.sending) = (State::Closed, None, None);
        self.due = Instant::now() + Duration::from_secs(3600);
    }

    pub(crate) fn send(&mut self, buffer: &Buffer) -> Result<()> {
        ensure!(self.sending.is_none(), "{} is still sending", self.address);
        self.sending = Some((Buffer::clone(buffer), 0));
        self.flush()
    }

    pub(crate) fn wants_to_write(&self) -> bool {
        self.sending.is_some() || self.state == State::Connecting
    }

    /// What is due by the clock; true if it must connect again.
    pub(crate) fn tick(&mut self, now: Instant) -> Result<bool> {
        if now < self.due {
            return Ok(false);
        }
        if self.state != State::Established {
            return Ok(true);
        }
        self.due = now + KEEPALIVES;
        if self.sending.is_none() {
            self.send(&message::keepalive().into())?;
        }
        Ok(false)
    }

    /// The socket is ready for something.
    pub(crate) fn ready(&mut self, writable: bool, scratch: &mut [u8]) -> Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        if self.state == State::Connecting {
            if socket.take_error()?.is_some() {
                return self.retry();
            }
            if writable {
                self.state = State::OpenSent;
                let open = message::open(self.asn, self.address);
                self.send(&open.into())?;
            }
            return Ok(());
        }
        self.read(scratch)?;
        if writable && self.sending.is_some() { self.flush() } else { Ok(()) }
    }

    fn read(&mut self, scratch: &mut [u8]) -> Result<()> {
        let Some(socket) = &mut self.socket else { return Ok(()) };
        let kept = self.partial.len();
        scratch[..kept].copy_from_slice(&self.partial);
        let read = match socket.read(&mut scratch[kept..]) {
            Ok(0) => return self.lost("the device closed the connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return self.lost(&error.to_string()),
        };
        let mut octets = &scratch[..kept + read];
        while let Some(head) = octets.first_chunk::<HEADER>() {
            let length = usize::from(u16::from_be_bytes([head[16], head[17]]));
            ensure!(length >= HEADER, "a message of {length} octets");
            let Some((message, rest)) = octets.split_at_checked(length) else { break };
            self.on_message(message[18], &message[HEADER..])?;
            octets = rest;
        }
        self.partial.clear();
        self.partial.extend_from_slice(octets);
        Ok(())
    }

    fn on_message(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        match (kind, self.state) {
            (OPEN, State::OpenSent) => {
                self.state = State::OpenConfirm;
                self.send(&message::keepalive().into())
            }
            (KEEPALIVE, State::OpenConfirm) => {
                self.state = State::Established;
                self.due = Instant::now() + KEEPALIVES;
                Ok(())
            }
            (KEEPALIVE, State::Established) => Ok(()),
            (UPDATE, State::Established) => {
                let before = self.held.prefixes;
                self.held.update(body).with_context(|| format!("towards {}", self.address))?;
                if self.first.is_none() && self.held.prefixes > before {
                    self.first = Some(Instant::now());
                }
                Ok(())
            }
            (NOTIFICATION, _) => self.lost(&format!("NOTIFICATION {body:?}")),
            (kind, state) => bail!("message {kind} in {state:?}"),
        }
    }

    fn flush(&mut self) -> Result<()> {
        while let (Some((buffer, gone)), Some(socket)) = (&mut self.sending, &mut self.socket) {
            let end = buffer.len().min(*gone + (256 << 10));
            match socket.write(&buffer[*gone..end]) {
                Ok(sent) => *gone += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return self.lost(&error.to_string()),
            }
            if *gone == buffer.len() {
                self.sending = None;
            }
        }
        Ok(())
    }

    /// A session that is up must not end; one that is not is tried again.
    fn lost(&mut self, why: &str) -> Result<()> {
        ensure!(self.state != State::Established, "session of {} ended: {why}", self.address);
        self.retry()
    }

    fn retry(&mut self) -> Result<()> {
        (self.state, self.socket, self.sending) = (State::Closed, None, None);
        self.due = Instant::now() + Duration::from_millis(100);
        Ok(())
    }
}
