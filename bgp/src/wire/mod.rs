// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes to messages and back (RFC 4271 §4 and its extensions).
//!
//! Input comes from the network and is hostile until proven otherwise: every read is
//! bounds-checked (indexing is denied here), every loop consumes at least one octet, and decoding
//! allocates no more than a small multiple of the message. The way in:
//!
//! 1. [`frame`] cuts a message from the stream and checks its header;
//! 2. [`Message::decode`] reads it; an UPDATE stays an [`UpdateView`] of borrowed fields;
//! 3. [`UpdateView::decode`] collects the attributes in whatever order they come, validates them
//!    and returns a [`DecodedUpdate`] with its [`Outcome`], or an [`UpdateError`] that resets the
//!    session (RFC 7606).
//!
//! The way out: `encode` of the message types, and [`encode_reach`], [`encode_unreach`] and
//! [`encode_end_of_rib`], which fill UPDATE messages up to the limit of the session and fail
//! rather than truncate.
//!
//! ```
//! use bgp::types::{Asn, Family, Prefix};
//! use bgp::wire::{self, AsPath, Attributes, CodecCtx, Message, NextHop};
//!
//! let ctx = CodecCtx { as4: true, ..CodecCtx::default() };
//! let attrs = Attributes {
//!     as_path: AsPath::sequence([Asn(65101)]),
//!     next_hop: Some(NextHop::V4([192, 0, 2, 1].into())),
//!     ..Attributes::default()
//! };
//! let prefix: Prefix = "203.0.113.0/24".parse()?;
//! let mut out = Vec::new();
//! wire::encode_reach(&ctx, Family::Ipv4Unicast, &attrs, [prefix.into()], &mut out)?;
//!
//! let frame = wire::frame(&out, ctx.max_message_len())?.expect("the message is complete");
//! let Message::Update(view) = Message::decode(&frame)? else { panic!("not an UPDATE") };
//! let update = view.decode(&ctx)?;
//! assert_eq!(update.attrs, attrs);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Absent on purpose: families other than IPv4 and IPv6 unicast (their routes are skipped),
//! confederations, and "AFI/SAFI disable" (the session is reset instead).
#![deny(clippy::indexing_slicing)]

mod as_path;
mod attr;
mod attr_error;
mod attributes;
mod capabilities;
mod capability;
pub mod code;
mod collect;
mod ctx;
mod cursor;
mod decode;
mod encode;
mod encode_error;
mod error;
mod header;
mod message;
mod nlri;
mod notification;
mod open;
mod refresh;
mod routes;
mod update;
mod values;

pub use as_path::{AsPath, MAX_HOPS, Segment, SegmentKind, Segments};
pub use attr::{AttrIter, RawAttr};
pub use attr_error::{Action, AttrError, AttrErrorKind};
pub use attributes::{
    Aggregator, Attributes, Communities, CommunitySet, NextHop, Origin, Partial, Reflection,
    UnknownAttr, UnknownAttrs,
};
pub use capabilities::Capabilities;
pub use capability::{
    AddPath, Capability, ExtendedNextHop, GracefulRestart, LongLivedRestart, RestartFamily, Role,
};
pub use ctx::{CodecCtx, MAX_EXTENDED_MESSAGE_LEN, MAX_MESSAGE_LEN};
pub use encode::{encode_end_of_rib, encode_reach, encode_unreach};
pub use encode_error::EncodeError;
pub use error::{Error, HeaderError, OpenError, RefreshError, UpdateError};
pub use header::{Frame, HEADER_LEN, MessageType, frame};
pub use message::{Message, encode_keepalive, encode_notification};
pub use nlri::{Nlri, Nlri4, Nlri6, NlriIter, NlriView, Walk};
pub use notification::{Notification, NotificationCode, TextTooLong};
pub use open::Open;
pub use refresh::{RefreshKind, RouteRefresh};
pub use update::{DecodedUpdate, Outcome, Reach, UpdateView};
