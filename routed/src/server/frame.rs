// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames of the CNI socket: reading one with its file descriptors, writing one.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use cni_plugin::rpc::{self, FrameError, Reply};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::UnixStream;

/// Bytes that are made room for at a time, whatever length a frame claims.
const STEP: usize = 16 * 1024;

/// A received frame.
#[derive(Debug)]
pub(super) struct Frame {
    /// The JSON text.
    pub(super) body: Vec<u8>,
    /// The descriptors that came with it, at most [`rpc::FDS`].
    pub(super) fds: Vec<OwnedFd>,
}

/// A frame that was not received.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// Longer than the protocol allows.
    #[error(transparent)]
    Length(#[from] FrameError),
    /// More descriptors than the protocol allows; all are closed.
    #[error("more than {} file descriptors", rpc::FDS)]
    TooManyFds,
    /// The connection broke or ended before the frame did.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads one frame. Not cancel-safe: a connection is dropped with its half-read frame.
pub(super) async fn read(stream: &UnixStream) -> Result<Frame, Fault> {
    let mut fds = Vec::new();
    let mut length = [0; rpc::LENGTH];
    fill(stream, &mut length, &mut fds).await?;
    let length = rpc::decode_length(length)?;
    let mut body = Vec::new();
    while body.len() < length {
        let from = body.len();
        body.resize(length.min(from + STEP), 0);
        fill(stream, body.get_mut(from..).unwrap_or_default(), &mut fds).await?;
    }
    Ok(Frame { body, fds })
}

/// Writes one frame.
pub(super) async fn write(stream: &mut UnixStream, reply: &Reply) -> Result<(), Fault> {
    let frame = rpc::encode_frame(reply)?;
    Ok(stream.write_all(&frame).await?)
}

async fn fill(
    stream: &UnixStream,
    mut buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> Result<(), Fault> {
    while !buffer.is_empty() {
        let (read, overflow) =
            stream.async_io(Interest::READABLE, || receive(stream, buffer, fds)).await?;
        if overflow {
            return Err(Fault::TooManyFds);
        }
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        buffer = buffer.get_mut(read..).unwrap_or_default();
    }
    Ok(())
}

/// Receives bytes and descriptors; true if there were too many descriptors. Those that do not fit into `space` are
/// never installed by the kernel, the others are owned by `fds` and closed with it.
fn receive(
    stream: &UnixStream,
    buffer: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<(usize, bool)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(rpc::FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let buffers = &mut [IoSliceMut::new(buffer)];
    let received = rustix::net::recvmsg(stream.as_fd(), buffers, &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    let overflow = fds.len() > rpc::FDS || received.flags.contains(ReturnFlags::CTRUNC);
    Ok((received.bytes, overflow))
}
