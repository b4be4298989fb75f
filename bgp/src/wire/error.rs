// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be wrong with a message, where, and what to do about it.
//!
//! Offsets count from the first octet of the message (the marker). Each error has a `reason`, one
//! lowerCamel word that is the same in logs, metrics and JSON, and an [`Action`]:
//!
//! - errors of a path attribute ([`AttrError`]) are repaired where RFC 7606 allows it;
//! - everything that is an [`enum@Error`] resets the session.
//!
//! Deviates: RFC 7606 also knows "AFI/SAFI disable"; we reset the session instead, which RFC 7606
//! §2 allows.

use thiserror::Error;

use super::attr_error::{Action, AttrError};
use super::notification::{Notification, NotificationCode};

/// An error that ends the session.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// In the header.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// In an OPEN.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// In an UPDATE.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// In a ROUTE-REFRESH.
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl Error {
    /// What to do: always a session reset, with the message to send.
    #[must_use]
    pub fn action(&self) -> Action {
        Action::SessionReset(self.notification())
    }

    /// The message to send before the session is closed.
    #[must_use]
    pub fn notification(&self) -> Notification {
        match self {
            Self::Header(error) => error.notification(),
            Self::Open(error) => error.notification(),
            Self::Update(error) => error.notification(),
            Self::Refresh(error) => error.notification(),
        }
    }

    /// The name of the error in logs, metrics and JSON.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Header(error) => error.reason(),
            Self::Open(error) => error.reason(),
            Self::Update(error) => error.reason(),
            Self::Refresh(RefreshError::Length { .. }) => "refreshLength",
        }
    }

    /// Where in the message the error is.
    #[must_use]
    pub const fn offset(&self) -> usize {
        match self {
            Self::Header(error) => error.offset(),
            Self::Open(error) => error.offset(),
            Self::Update(error) => error.offset(),
            Self::Refresh(RefreshError::Length { .. }) => 16,
        }
    }

    /// The type code of the path attribute that is wrong, if it is one.
    #[must_use]
    pub const fn attribute(&self) -> Option<u8> {
        match self {
            Self::Update(error) => error.attribute(),
            Self::Header(_) | Self::Open(_) | Self::Refresh(_) => None,
        }
    }
}

/// An error in the header (RFC 4271 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The marker is not all ones.
    #[error("marker is not all ones at offset {offset}")]
    Marker {
        /// The first octet that is not 255.
        offset: usize,
    },
    /// The length is impossible for the type, or larger than the session allows.
    #[error("message length {len} is not possible here")]
    Length {
        /// The length field.
        len: u16,
    },
    /// The type is unknown.
    #[error("message type {kind} is unknown")]
    Type {
        /// The type field.
        kind: u8,
    },
}

impl HeaderError {
    /// The message to send before the session is closed.
    #[must_use]
    pub fn notification(&self) -> Notification {
        match self {
            Self::Marker { .. } => Notification::new(NotificationCode::CONNECTION_NOT_SYNCHRONIZED),
            Self::Length { len } => {
                Notification::with_data(NotificationCode::BAD_MESSAGE_LENGTH, len.to_be_bytes())
            }
            Self::Type { kind } => {
                Notification::with_data(NotificationCode::BAD_MESSAGE_TYPE, [*kind])
            }
        }
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::Marker { .. } => "headerMarker",
            Self::Length { .. } => "headerLength",
            Self::Type { .. } => "headerType",
        }
    }

    const fn offset(&self) -> usize {
        match self {
            Self::Marker { offset } => *offset,
            Self::Length { .. } => 16,
            Self::Type { .. } => 18,
        }
    }
}

/// An error in an OPEN (RFC 4271 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The version is not 4.
    #[error("BGP version {version} is not supported")]
    Version {
        /// The version field.
        version: u8,
    },
    /// The AS number is 0, or the two-octet field and the capability contradict each other.
    #[error("AS number {asn} is not acceptable")]
    PeerAs {
        /// The number at fault.
        asn: u32,
    },
    /// The BGP identifier is 0.
    #[error("BGP identifier is zero")]
    Identifier,
    /// The hold time is 1 or 2 seconds.
    #[error("hold time of {seconds} s is not acceptable")]
    HoldTime {
        /// The hold time field.
        seconds: u16,
    },
    /// An optional parameter other than "capabilities".
    #[error("optional parameter {kind} at offset {offset} is not supported")]
    Parameter {
        /// The type of the parameter.
        kind: u8,
        /// Where the parameter begins.
        offset: usize,
    },
    /// The optional parameters do not fit their length.
    #[error("optional parameters do not fit their length at offset {offset}")]
    Malformed {
        /// Where it went wrong.
        offset: usize,
    },
    /// A capability that we know has a length or value that it cannot have.
    #[error("capability {code} at offset {offset} is malformed")]
    Capability {
        /// The code of the capability.
        code: u8,
        /// Where the capability begins.
        offset: usize,
    },
}

impl OpenError {
    /// The message to send before the session is closed.
    #[must_use]
    pub fn notification(&self) -> Notification {
        match self {
            Self::Version { .. } => {
                Notification::with_data(NotificationCode::UNSUPPORTED_VERSION, [0, 4])
            }
            Self::PeerAs { .. } => Notification::new(NotificationCode::BAD_PEER_AS),
            Self::Identifier => Notification::new(NotificationCode::BAD_BGP_ID),
            Self::HoldTime { .. } => Notification::new(NotificationCode::UNACCEPTABLE_HOLD_TIME),
            Self::Parameter { .. } => {
                Notification::new(NotificationCode::UNSUPPORTED_OPTIONAL_PARAMETER)
            }
            Self::Malformed { .. } | Self::Capability { .. } => {
                Notification::new(NotificationCode::OPEN_UNSPECIFIC)
            }
        }
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::Version { .. } => "openVersion",
            Self::PeerAs { .. } => "openPeerAs",
            Self::Identifier => "openIdentifier",
            Self::HoldTime { .. } => "openHoldTime",
            Self::Parameter { .. } => "openParameter",
            Self::Malformed { .. } => "openMalformed",
            Self::Capability { .. } => "openCapability",
        }
    }

    const fn offset(&self) -> usize {
        match self {
            Self::Version { .. } => 19,
            Self::PeerAs { .. } => 20,
            Self::HoldTime { .. } => 22,
            Self::Identifier => 24,
            Self::Parameter { offset, .. }
            | Self::Malformed { offset }
            | Self::Capability { offset, .. } => *offset,
        }
    }
}

/// An error in a ROUTE-REFRESH (RFC 7313 §5).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RefreshError {
    /// A begin or end marker has the wrong length.
    #[error("ROUTE-REFRESH has {} octets", message.len())]
    Length {
        /// The whole message, which the NOTIFICATION carries back.
        message: Box<[u8]>,
    },
}

impl RefreshError {
    /// The message to send before the session is closed.
    #[must_use]
    pub fn notification(&self) -> Notification {
        let Self::Length { message } = self;
        Notification::with_data(NotificationCode::REFRESH_INVALID_LENGTH, message.to_vec())
    }
}

/// An error in an UPDATE that cannot be repaired (RFC 4271 §6.3, RFC 7606 §3, §5).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UpdateError {
    /// Withdrawn routes and attributes do not fit the message.
    #[error("length field at offset {offset} does not fit the message")]
    Lengths {
        /// Where the length field is.
        offset: usize,
    },
    /// A prefix of the classic fields is longer than 32 bits or runs past its field.
    #[error("prefix at offset {offset} is malformed")]
    Network {
        /// Where the prefix begins.
        offset: usize,
    },
    /// A well-known attribute that we do not know.
    #[error("well-known attribute {code} at offset {offset} is not recognized")]
    Unrecognized {
        /// Type code of the attribute.
        code: u8,
        /// Where the attribute begins.
        offset: usize,
        /// The whole attribute.
        attribute: Box<[u8]>,
    },
    /// MP_REACH_NLRI or MP_UNREACH_NLRI is there twice.
    #[error("attribute {code} is repeated at offset {offset}")]
    RepeatedMultiprotocol {
        /// Type code of the attribute.
        code: u8,
        /// Where its second occurrence begins.
        offset: usize,
    },
    /// MP_REACH_NLRI or MP_UNREACH_NLRI cannot be read.
    #[error("attribute {code} is malformed at offset {offset}")]
    Multiprotocol {
        /// Type code of the attribute.
        code: u8,
        /// Where it went wrong.
        offset: usize,
        /// The whole attribute.
        attribute: Box<[u8]>,
    },
    /// An attribute is wrong and the message names no prefix that could be withdrawn instead, so
    /// we cannot be sure to have found its prefixes (RFC 7606 §5.2).
    #[error("no prefixes to treat as withdrawn")]
    NothingToWithdraw(#[source] AttrError),
}

impl UpdateError {
    /// The message to send before the session is closed.
    #[must_use]
    pub fn notification(&self) -> Notification {
        use NotificationCode as Code;
        match self {
            Self::Lengths { .. } | Self::RepeatedMultiprotocol { .. } => {
                Notification::new(Code::MALFORMED_ATTRIBUTE_LIST)
            }
            Self::Network { .. } => Notification::new(Code::INVALID_NETWORK_FIELD),
            Self::Unrecognized { attribute, .. } => {
                Notification::with_data(Code::UNRECOGNIZED_WELL_KNOWN, attribute.to_vec())
            }
            Self::Multiprotocol { attribute, .. } => {
                Notification::with_data(Code::OPTIONAL_ATTRIBUTE, attribute.to_vec())
            }
            Self::NothingToWithdraw(error) => Notification::new(error.notification_code()),
        }
    }

    const fn reason(&self) -> &'static str {
        match self {
            Self::Lengths { .. } => "updateLengths",
            Self::Network { .. } => "updateNetwork",
            Self::Unrecognized { .. } => "updateUnrecognizedWellKnown",
            Self::RepeatedMultiprotocol { .. } => "updateRepeatedMultiprotocol",
            Self::Multiprotocol { .. } => "updateMultiprotocol",
            Self::NothingToWithdraw(_) => "updateNothingToWithdraw",
        }
    }

    const fn offset(&self) -> usize {
        match self {
            Self::Lengths { offset }
            | Self::Network { offset }
            | Self::Unrecognized { offset, .. }
            | Self::RepeatedMultiprotocol { offset, .. }
            | Self::Multiprotocol { offset, .. } => *offset,
            Self::NothingToWithdraw(error) => error.offset as usize,
        }
    }

    const fn attribute(&self) -> Option<u8> {
        match self {
            Self::Unrecognized { code, .. }
            | Self::RepeatedMultiprotocol { code, .. }
            | Self::Multiprotocol { code, .. } => Some(*code),
            Self::NothingToWithdraw(error) => Some(error.code),
            Self::Lengths { .. } | Self::Network { .. } => None,
        }
    }
}
