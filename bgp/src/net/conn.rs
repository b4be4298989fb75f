// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two tasks of a connection: one cuts messages from the stream, one writes chunks into it.

use std::io::IoSlice;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::session::ConnId;
use crate::speaker::PeerEvent;
use crate::wire;

/// Messages handed over at once.
const BATCH: usize = 16;
/// Read buffer; more messages than fit are not looked at before the owner took these.
const BUFFER: usize = 64 * 1024;
/// Chunks written at once.
const GATHERED: usize = 32;
/// How long a closed connection may take to get rid of its last chunks (a NOTIFICATION).
const FLUSH: Duration = Duration::from_secs(1);

/// What the tasks tell the owner.
pub(super) type Events = Vec<PeerEvent>;

/// Reads until the connection ends, breaks, says something that is no header, or is cancelled.
pub(super) async fn read(
    conn: ConnId,
    mut half: OwnedReadHalf,
    to: mpsc::Sender<Events>,
    cancel: CancellationToken,
) {
    let run = async {
        let mut buffer = BytesMut::with_capacity(BUFFER);
        loop {
            let (batch, is_broken) = cut(conn, &mut buffer);
            let is_full = batch.len() == BATCH;
            if !batch.is_empty() && to.send(batch).await.is_err() || is_broken {
                return;
            }
            if is_full {
                continue;
            }
            buffer.reserve(wire::MAX_MESSAGE_LEN);
            let error = match half.read_buf(&mut buffer).await {
                Ok(0) => String::new(),
                Ok(_) => continue,
                Err(error) => error.to_string(),
            };
            // The owner may be gone: then nobody needs to know.
            let _ = to.send(vec![PeerEvent::Closed { conn, error }]).await;
            return;
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = run => {}
    }
}

/// Takes up to a batch of whole messages from the buffer; true when no more can follow, because
/// a header is wrong. The wrong header is the last message: the session answers it.
fn cut(conn: ConnId, buffer: &mut BytesMut) -> (Events, bool) {
    let mut batch = Vec::new();
    while batch.len() < BATCH {
        let (len, is_broken) = match wire::frame(buffer, wire::MAX_MESSAGE_LEN) {
            Ok(Some(frame)) => (frame.message.len(), false),
            Ok(None) => break,
            Err(_) => (wire::HEADER_LEN.min(buffer.len()), true),
        };
        let message = buffer.split_to(len).freeze();
        batch.push(PeerEvent::Received { conn, message });
        if is_broken {
            return (batch, true);
        }
    }
    (batch, false)
}

/// Writes until the owner drops its end, the connection breaks, or `closing` is a second ago.
pub(super) async fn write(
    conn: ConnId,
    mut half: OwnedWriteHalf,
    mut from: mpsc::Receiver<Bytes>,
    to: mpsc::Sender<Events>,
    closing: CancellationToken,
) {
    let run = async {
        let mut chunks = Vec::with_capacity(GATHERED);
        loop {
            let count = from.recv_many(&mut chunks, GATHERED).await;
            if count == 0 {
                break;
            }
            let event = match write_all(&mut half, &chunks).await {
                Ok(()) => PeerEvent::Written { conn, chunks: count },
                Err(error) => PeerEvent::Closed { conn, error: error.to_string() },
            };
            chunks.clear();
            let is_over = matches!(event, PeerEvent::Closed { .. });
            // After `closing` the owner does not know the connection any more.
            if !closing.is_cancelled() && to.send(vec![event]).await.is_err() || is_over {
                return;
            }
        }
        // The peer may have closed first; there is nothing left to say either way.
        let _ = half.shutdown().await;
    };
    let limit = async {
        closing.cancelled().await;
        tokio::time::sleep(FLUSH).await;
    };
    tokio::select! {
        () = run => {}
        () = limit => {}
    }
}

/// Writes chunks with as few system calls as the socket allows.
async fn write_all(half: &mut OwnedWriteHalf, chunks: &[Bytes]) -> std::io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut rest = &mut slices[..];
    // Without this, empty chunks would never end.
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        let written = half.write_vectored(rest).await?;
        if written == 0 {
            return Err(std::io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}
