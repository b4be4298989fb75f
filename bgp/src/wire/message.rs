// SPDX-License-Identifier: MIT OR Apache-2.0
//! A message of any type.

use std::fmt;

use super::ctx::CodecCtx;
use super::cursor::Cursor;
use super::encode_error::EncodeError;
use super::error::{Error, HeaderError};
use super::header::{Frame, MessageType, write_message};
use super::notification::{Notification, NotificationCode};
use super::open::Open;
use super::refresh::RouteRefresh;
use super::update::UpdateView;

/// A message. An UPDATE is a view that is decoded in the context of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// OPEN.
    Open(Open),
    /// UPDATE.
    Update(UpdateView<'a>),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH.
    RouteRefresh(RouteRefresh),
}

impl<'a> Message<'a> {
    /// Reads a message that was cut from a stream.
    ///
    /// # Errors
    /// If the message is not well-formed.
    pub fn decode(frame: &Frame<'a>) -> Result<Self, Error> {
        let body = frame.body();
        Ok(match frame.kind {
            MessageType::Open => Self::Open(Open::decode(body)?),
            MessageType::Update => Self::Update(UpdateView::parse(body)?),
            MessageType::Notification => Self::Notification(decode_notification(body)?),
            MessageType::Keepalive => Self::Keepalive,
            MessageType::RouteRefresh => Self::RouteRefresh(RouteRefresh::decode(frame)?),
        })
    }

    /// The type of the message.
    #[must_use]
    pub const fn kind(&self) -> MessageType {
        match self {
            Self::Open(_) => MessageType::Open,
            Self::Update(_) => MessageType::Update,
            Self::Notification(_) => MessageType::Notification,
            Self::Keepalive => MessageType::Keepalive,
            Self::RouteRefresh(_) => MessageType::RouteRefresh,
        }
    }
}

fn decode_notification(body: &[u8]) -> Result<Notification, HeaderError> {
    let mut cursor = Cursor::new(body, 0);
    // A frame is never that short; answering a NOTIFICATION with one would be wrong anyway.
    let [code, subcode] = cursor.array().ok_or(HeaderError::Length { len: 19 })?;
    Ok(Notification::with_data(NotificationCode::new(code, subcode), cursor.rest()))
}

/// Appends a KEEPALIVE.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let written = write_message(out, MessageType::Keepalive, 19, |_| Ok(()));
    debug_assert!(written.is_ok(), "the message has a fixed length");
}

/// Appends a NOTIFICATION.
///
/// # Errors
/// If the data makes the message longer than the session allows.
pub fn encode_notification(
    ctx: &CodecCtx,
    notification: &Notification,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    write_message(out, MessageType::Notification, ctx.max_message_len(), |out| {
        out.extend_from_slice(&[notification.code.code, notification.code.subcode]);
        out.extend_from_slice(&notification.data);
        Ok(())
    })
}

impl fmt::Display for Message<'_> {
    /// An UPDATE shows only the sizes of its fields; decode it to see more.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(open) => fmt::Display::fmt(open, f),
            Self::Update(update) => write!(
                f,
                "UPDATE withdrawn {} attributes {} nlri {} octets",
                update.withdrawn().len(),
                update.attribute_list().len(),
                update.nlri().len()
            ),
            Self::Notification(notification) => fmt::Display::fmt(notification, f),
            Self::Keepalive => f.write_str("KEEPALIVE"),
            Self::RouteRefresh(refresh) => fmt::Display::fmt(refresh, f),
        }
    }
}
