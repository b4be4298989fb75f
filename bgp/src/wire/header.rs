// SPDX-License-Identifier: MIT OR Apache-2.0
//! The header and the cutting of a stream into messages (RFC 4271 §4.1, §6.1).

use super::ctx::MAX_MESSAGE_LEN;
use super::cursor::Cursor;
use super::encode_error::EncodeError;
use super::error::HeaderError;

/// Octets of the header.
pub const HEADER_LEN: usize = 19;
const MARKER_LEN: usize = 16;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageType {
    /// OPEN.
    Open,
    /// UPDATE.
    Update,
    /// NOTIFICATION.
    Notification,
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH (RFC 2918).
    RouteRefresh,
}

impl MessageType {
    /// All types, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Open, Self::Update, Self::Notification, Self::Keepalive, Self::RouteRefresh];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Update => 2,
            Self::Notification => 3,
            Self::Keepalive => 4,
            Self::RouteRefresh => 5,
        }
    }

    /// The name in logs, metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Update => "update",
            Self::Notification => "notification",
            Self::Keepalive => "keepalive",
            Self::RouteRefresh => "routeRefresh",
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Open),
            2 => Some(Self::Update),
            3 => Some(Self::Notification),
            4 => Some(Self::Keepalive),
            5 => Some(Self::RouteRefresh),
            _ => None,
        }
    }

    /// The lengths that a message of this type can have when UPDATEs may have `limit` octets.
    /// RFC 8654 §4 leaves OPEN and KEEPALIVE at 4096.
    const fn lengths(self, limit: usize) -> (usize, usize) {
        match self {
            Self::Open => (29, MAX_MESSAGE_LEN),
            Self::Update | Self::RouteRefresh => (23, limit),
            Self::Notification => (21, limit),
            Self::Keepalive => (HEADER_LEN, HEADER_LEN),
        }
    }
}

/// One message cut from a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Its type.
    pub kind: MessageType,
    /// The whole message with its header; its length is what to consume from the stream.
    pub message: &'a [u8],
}

impl<'a> Frame<'a> {
    /// What follows the header.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.message.get(HEADER_LEN..).unwrap_or_default()
    }
}

/// Cuts the first message from `stream`, or says that it is not complete.
///
/// The header is checked as soon as it is there, before the rest of the message is. `limit` is
/// [`CodecCtx::max_message_len`](super::CodecCtx::max_message_len), and
/// [`MAX_MESSAGE_LEN`] before the session is established.
///
/// # Errors
/// If the header is not valid. The stream cannot be read on then.
pub fn frame(stream: &[u8], limit: usize) -> Result<Option<Frame<'_>>, HeaderError> {
    let mut cursor = Cursor::new(stream, 0);
    let (Some(marker), Some(len), Some(number)) =
        (cursor.take(MARKER_LEN), cursor.u16(), cursor.u8())
    else {
        return Ok(None);
    };
    if let Some(offset) = marker.iter().position(|octet| *octet != 0xff) {
        return Err(HeaderError::Marker { offset });
    }
    let size = usize::from(len);
    if size < HEADER_LEN || size > limit {
        return Err(HeaderError::Length { len });
    }
    let kind = MessageType::from_number(number).ok_or(HeaderError::Type { kind: number })?;
    let (min, max) = kind.lengths(limit);
    if size < min || size > max {
        return Err(HeaderError::Length { len });
    }
    Ok(stream.get(..size).map(|message| Frame { kind, message }))
}

/// Appends a message that `body` writes; its length is set afterwards. If the message becomes
/// longer than `limit` or `body` fails, nothing is appended.
pub(crate) fn write_message(
    out: &mut Vec<u8>,
    kind: MessageType,
    limit: usize,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0xff; MARKER_LEN]);
    out.extend_from_slice(&[0, 0, kind.number()]);
    let result = body(out).and_then(|()| {
        let len = out.len() - start;
        let field = u16::try_from(len).ok().filter(|_| len <= limit);
        let field = field.ok_or(EncodeError::MessageTooLong { len, limit })?;
        put_u16_at(out, start + MARKER_LEN, field);
        Ok(())
    });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Overwrites two octets that were written before.
pub(crate) fn put_u16_at(out: &mut [u8], at: usize, value: u16) {
    if let Some(field) = out.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
