// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can be wrong with one path attribute, and what RFC 7606 does about it.

use thiserror::Error;

use super::code;
use super::notification::{Notification, NotificationCode};

/// What to do about an error (RFC 7606 §2), weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on without the attribute.
    AttributeDiscard,
    /// Handle the prefixes of the message as if they had been withdrawn.
    TreatAsWithdraw,
    /// Send this and close.
    SessionReset(Notification),
}

/// An error in one path attribute that RFC 7606 repairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("attribute {code} at offset {offset}: {kind}")]
pub struct AttrError {
    /// Type code of the attribute.
    pub code: u8,
    /// Where the attribute begins; the end of the list for one that is missing.
    pub offset: u16,
    /// What is wrong with it.
    pub kind: AttrErrorKind,
}

impl AttrError {
    /// What to do about it: discard the attribute or treat the prefixes as withdrawn.
    #[must_use]
    pub const fn action(&self) -> Action {
        if self.is_discard() { Action::AttributeDiscard } else { Action::TreatAsWithdraw }
    }

    /// Whether going on without the attribute is enough.
    #[must_use]
    pub const fn is_discard(&self) -> bool {
        match self.kind {
            AttrErrorKind::Repeated | AttrErrorKind::Unexpected => true,
            // RFC 7606 §7.6, §7.7; RFC 6793 §6.
            AttrErrorKind::Length(_) | AttrErrorKind::Value | AttrErrorKind::Segment => matches!(
                self.code,
                code::ATOMIC_AGGREGATE | code::AGGREGATOR | code::AS4_PATH | code::AS4_AGGREGATOR
            ),
            AttrErrorKind::Flags(_)
            | AttrErrorKind::Missing
            | AttrErrorKind::Overrun
            | AttrErrorKind::TooManyHops(_) => false,
        }
    }

    /// The code that RFC 4271 §6.3 gives the error, for when it does end the session.
    pub(crate) const fn notification_code(&self) -> NotificationCode {
        match (self.kind, self.code) {
            (AttrErrorKind::Missing, _) => NotificationCode::MISSING_WELL_KNOWN,
            (AttrErrorKind::Flags(_), _) => NotificationCode::ATTRIBUTE_FLAGS,
            (AttrErrorKind::Length(_), code::ORIGIN..=code::AGGREGATOR) => {
                NotificationCode::ATTRIBUTE_LENGTH
            }
            (AttrErrorKind::Value, code::ORIGIN) => NotificationCode::INVALID_ORIGIN,
            (AttrErrorKind::Value, code::NEXT_HOP) => NotificationCode::INVALID_NEXT_HOP,
            (_, code::AS_PATH) => NotificationCode::MALFORMED_AS_PATH,
            (AttrErrorKind::Overrun, _) => NotificationCode::MALFORMED_ATTRIBUTE_LIST,
            _ => NotificationCode::OPTIONAL_ATTRIBUTE,
        }
    }
}

/// What is wrong with a path attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AttrErrorKind {
    /// The optional or transitive flag contradicts the type (RFC 7606 §3 c).
    #[error("flags {0:#04x} do not fit the type")]
    Flags(u8),
    /// A length that the attribute cannot have.
    #[error("length {0} is not possible")]
    Length(u16),
    /// A value that the attribute cannot have.
    #[error("value is not possible")]
    Value,
    /// A segment of unknown type, without members, or longer than the attribute.
    #[error("segment is malformed")]
    Segment,
    /// More hops than we accept.
    #[error("path has {0} hops")]
    TooManyHops(u16),
    /// A mandatory attribute is not there.
    #[error("attribute is missing")]
    Missing,
    /// The attribute was there before; the first one counts (RFC 7606 §3 g).
    #[error("attribute is repeated")]
    Repeated,
    /// The attribute must not be sent on this session.
    #[error("attribute does not belong on this session")]
    Unexpected,
    /// The attribute runs past the end of the list (RFC 7606 §4).
    #[error("attribute runs past the end of the list")]
    Overrun,
}

impl AttrErrorKind {
    /// The name of the error in logs, metrics and JSON.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Flags(_) => "attributeFlags",
            Self::Length(_) => "attributeLength",
            Self::Value => "attributeValue",
            Self::Segment => "attributeSegment",
            Self::TooManyHops(_) => "attributeTooManyHops",
            Self::Missing => "attributeMissing",
            Self::Repeated => "attributeRepeated",
            Self::Unexpected => "attributeUnexpected",
            Self::Overrun => "attributeOverrun",
        }
    }
}
