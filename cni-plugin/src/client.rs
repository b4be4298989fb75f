// SPDX-License-Identifier: MIT OR Apache-2.0
//! The connection to the daemon.
//!
//! A daemon that restarts is the normal case, so the socket may be absent or refuse for a while,
//! and a connection may break before the answer. All verbs are idempotent: whatever happens before
//! a complete answer is tried again until the patience for it ends, with growing pauses.

use std::{
    fmt, io,
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fd::BorrowedFd,
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
        SocketAddrUnix, SocketFlags, SocketType,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use crate::{
    rpc::{self, FrameError, Reply, Request},
    spec::{Error, ErrorCode},
};

/// First pause between two attempts; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a daemon that accepts a connection and answers on it, over all attempts begun.
    pub reach: Duration,
    /// For the answer of one attempt.
    pub answer: Duration,
}

impl Patience {
    /// A runtime that sees ADD fail tears the whole sandbox down and tries again after 11 to 15 s,
    /// so ADD outlasts a restart of the daemon; runtimes allow minutes.
    pub const ADD: Self = Self { reach: Duration::from_secs(30), answer: Duration::from_secs(15) };
    /// CHECK is a question; its answer may be late.
    pub const CHECK: Self =
        Self { reach: Duration::from_secs(10), answer: Duration::from_secs(15) };
    /// A runtime repeats DEL by itself and must not hang: with the daemon down it fails within 2 s.
    pub const DEL: Self =
        Self { reach: Duration::from_millis(1500), answer: Duration::from_secs(10) };
}

/// Sends `request` with `fds` to the daemon at `socket` and returns its answer.
///
/// # Errors
/// Code 11 if the daemon did not answer in time, 5 if the socket cannot be used, 6 if the answer
/// cannot be decoded, 7 if the request is too long.
pub fn call(
    socket: &Path,
    request: &Request,
    fds: &[BorrowedFd<'_>],
    patience: Patience,
) -> Result<Reply, Error> {
    let frame = rpc::encode_frame(request).map_err(|e| {
        Error::new(ErrorCode::INVALID_CONFIG, "request to the daemon cannot be encoded")
            .with_details(e.to_string())
    })?;
    let end = Instant::now() + patience.reach;
    let mut pause = FIRST_PAUSE;
    loop {
        let error = match attempt(socket, &frame, fds, end, patience.answer) {
            Ok(answer) => return decode(&answer),
            Err(error) => error,
        };
        if !error.is_transient() || Instant::now() + pause >= end {
            return Err(error.into_cni(socket));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Where an attempt failed.
#[derive(Debug)]
enum Failed {
    Connect(Errno),
    Send(Errno),
    Receive(Errno),
    Closed,
    Frame(FrameError),
}

impl Failed {
    /// Whether a daemon that is being restarted looks like this.
    fn is_transient(&self) -> bool {
        match self {
            Self::Connect(e) => {
                [Errno::NOENT, Errno::CONNREFUSED, Errno::AGAIN, Errno::CONNRESET].contains(e)
            }
            Self::Send(e) => [Errno::PIPE, Errno::CONNRESET, Errno::NOTCONN].contains(e),
            Self::Receive(e) => *e == Errno::CONNRESET,
            Self::Closed => true,
            Self::Frame(_) => false,
        }
    }

    fn into_cni(self, socket: &Path) -> Error {
        let late = matches!(self, Self::Send(Errno::AGAIN) | Self::Receive(Errno::AGAIN));
        let (code, msg) = match &self {
            Self::Frame(_) => (ErrorCode::DECODE, "the daemon's answer cannot be decoded"),
            _ if late => (ErrorCode::TRY_AGAIN, "the daemon did not answer in time"),
            _ if self.is_transient() => (ErrorCode::TRY_AGAIN, "the daemon is not reachable"),
            _ => (ErrorCode::IO, "cannot talk to the daemon"),
        };
        Error::new(code, msg).with_details(format!("{}: {self}", socket.display()))
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, errno) = match self {
            Self::Connect(e) => ("connect", e),
            Self::Send(e) => ("send", e),
            Self::Receive(e) => ("receive", e),
            Self::Closed => return f.write_str("connection closed before the answer"),
            Self::Frame(e) => return e.fmt(f),
        };
        write!(f, "{what}: {}", io::Error::from(*errno))
    }
}

fn attempt(
    socket: &Path,
    frame: &[u8],
    fds: &[BorrowedFd<'_>],
    reach: Instant,
    answer: Duration,
) -> Result<Vec<u8>, Failed> {
    let connection = connect(socket, reach).map_err(Failed::Connect)?;
    let end = Instant::now() + answer;
    send(&connection, frame, fds, end).map_err(Failed::Send)?;
    let mut length = [0; rpc::LENGTH];
    receive(&connection, &mut length, end)?;
    let mut body = vec![0; rpc::decode_length(length).map_err(Failed::Frame)?];
    receive(&connection, &mut body, end)?;
    Ok(body)
}

fn connect(path: &Path, end: Instant) -> rustix::io::Result<OwnedFd> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // A connect waits as long as a send for room in the queue of a busy daemon.
    set_socket_timeout(&socket, Timeout::Send, Some(remaining(end)))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

fn send(
    socket: &OwnedFd,
    mut frame: &[u8],
    mut fds: &[BorrowedFd<'_>],
    end: Instant,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(rpc::FDS))];
    while !frame.is_empty() {
        set_socket_timeout(socket, Timeout::Send, Some(remaining(end)))?;
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::TOOBIG);
        }
        let sent =
            rustix::net::sendmsg(socket, &[IoSlice::new(frame)], &mut control, SendFlags::NOSIGNAL);
        match sent {
            Ok(n) => {
                frame = frame.get(n..).unwrap_or_default();
                fds = &[];
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn receive(socket: &OwnedFd, mut buffer: &mut [u8], end: Instant) -> Result<(), Failed> {
    while !buffer.is_empty() {
        set_socket_timeout(socket, Timeout::Recv, Some(remaining(end))).map_err(Failed::Receive)?;
        match rustix::net::recv(socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Err(Failed::Closed),
            Ok((n, _)) => buffer = buffer.get_mut(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(e) => return Err(Failed::Receive(e)),
        }
    }
    Ok(())
}

/// Time until `end`, never zero: zero would mean to wait for ever.
fn remaining(end: Instant) -> Duration {
    end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn decode(answer: &[u8]) -> Result<Reply, Error> {
    serde_json::from_slice(answer).map_err(|e| {
        Error::new(ErrorCode::DECODE, "the daemon's answer cannot be decoded")
            .with_details(e.to_string())
    })
}
