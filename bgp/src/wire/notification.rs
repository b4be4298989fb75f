// SPDX-License-Identifier: MIT OR Apache-2.0
//! NOTIFICATION: codes with their names, and the message (RFC 4271 §4.5, §6).

use std::borrow::Cow;
use std::fmt;

use thiserror::Error;

/// An error code and subcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NotificationCode {
    /// The error code.
    pub code: u8,
    /// The error subcode; 0 is "unspecific".
    pub subcode: u8,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal / $subcode:literal, $reason:literal;)*) => {
        impl NotificationCode {
            $($(#[$doc])* pub const $name: Self = Self::new($code, $subcode);)*

            /// Every code that has a name.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name of the code in JSON, metrics and logs; codes of no known meaning are
            /// named after their error code, or `unknown`.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match (self.code, self.subcode) {
                    $(($code, $subcode) => $reason,)*
                    (1, _) => "messageHeaderError",
                    (2, _) => "openMessageError",
                    (3, _) => "updateMessageError",
                    (4, _) => "holdTimerExpired",
                    (5, _) => "fsmError",
                    (6, _) => "cease",
                    (7, _) => "routeRefreshError",
                    (8, _) => "sendHoldTimerExpired",
                    _ => "unknown",
                }
            }
        }
    };
}

codes! {
    /// The marker is not all ones.
    CONNECTION_NOT_SYNCHRONIZED = 1 / 1, "connectionNotSynchronized";
    /// The length of the message is not possible.
    BAD_MESSAGE_LENGTH = 1 / 2, "badMessageLength";
    /// The message type is unknown.
    BAD_MESSAGE_TYPE = 1 / 3, "badMessageType";
    /// OPEN: something not covered by another subcode, such as a malformed capability.
    OPEN_UNSPECIFIC = 2 / 0, "openMessageError";
    /// OPEN: the version is not 4.
    UNSUPPORTED_VERSION = 2 / 1, "unsupportedVersion";
    /// OPEN: the AS number is not acceptable.
    BAD_PEER_AS = 2 / 2, "badPeerAs";
    /// OPEN: the BGP identifier is not acceptable.
    BAD_BGP_ID = 2 / 3, "badBgpId";
    /// OPEN: an optional parameter is not known.
    UNSUPPORTED_OPTIONAL_PARAMETER = 2 / 4, "unsupportedOptionalParameter";
    /// OPEN: the hold time is 1 or 2 seconds or otherwise not acceptable.
    UNACCEPTABLE_HOLD_TIME = 2 / 6, "unacceptableHoldTime";
    /// OPEN: a capability that we need is missing (RFC 5492).
    UNSUPPORTED_CAPABILITY = 2 / 7, "unsupportedCapability";
    /// OPEN: the roles do not fit each other (RFC 9234).
    ROLE_MISMATCH = 2 / 11, "roleMismatch";
    /// UPDATE: the lists do not fit the message, or one attribute is there twice.
    MALFORMED_ATTRIBUTE_LIST = 3 / 1, "malformedAttributeList";
    /// UPDATE: a well-known attribute is not known.
    UNRECOGNIZED_WELL_KNOWN = 3 / 2, "unrecognizedWellKnownAttribute";
    /// UPDATE: a mandatory attribute is missing.
    MISSING_WELL_KNOWN = 3 / 3, "missingWellKnownAttribute";
    /// UPDATE: the flags of an attribute are wrong.
    ATTRIBUTE_FLAGS = 3 / 4, "attributeFlagsError";
    /// UPDATE: the length of an attribute is wrong.
    ATTRIBUTE_LENGTH = 3 / 5, "attributeLengthError";
    /// UPDATE: ORIGIN has an undefined value.
    INVALID_ORIGIN = 3 / 6, "invalidOrigin";
    /// UPDATE: NEXT_HOP is not the address of a host.
    INVALID_NEXT_HOP = 3 / 8, "invalidNextHop";
    /// UPDATE: an optional attribute is malformed.
    OPTIONAL_ATTRIBUTE = 3 / 9, "optionalAttributeError";
    /// UPDATE: a prefix is malformed.
    INVALID_NETWORK_FIELD = 3 / 10, "invalidNetworkField";
    /// UPDATE: AS_PATH is malformed.
    MALFORMED_AS_PATH = 3 / 11, "malformedAsPath";
    /// Nothing was heard for the hold time.
    HOLD_TIMER_EXPIRED = 4 / 0, "holdTimerExpired";
    /// A message that the state machine does not expect.
    FSM_UNSPECIFIC = 5 / 0, "fsmError";
    /// An unexpected message in OpenSent (RFC 6608).
    UNEXPECTED_IN_OPEN_SENT = 5 / 1, "unexpectedMessageInOpenSent";
    /// An unexpected message in OpenConfirm (RFC 6608).
    UNEXPECTED_IN_OPEN_CONFIRM = 5 / 2, "unexpectedMessageInOpenConfirm";
    /// An unexpected message in Established (RFC 6608).
    UNEXPECTED_IN_ESTABLISHED = 5 / 3, "unexpectedMessageInEstablished";
    /// Cease without a reason.
    CEASE = 6 / 0, "cease";
    /// More prefixes than allowed (RFC 4486).
    MAX_PREFIXES = 6 / 1, "maxPrefixes";
    /// An operator shut the session down.
    ADMINISTRATIVE_SHUTDOWN = 6 / 2, "administrativeShutdown";
    /// The peer was removed from the configuration.
    PEER_DECONFIGURED = 6 / 3, "peerDeconfigured";
    /// An operator reset the session.
    ADMINISTRATIVE_RESET = 6 / 4, "administrativeReset";
    /// The connection is not wanted.
    CONNECTION_REJECTED = 6 / 5, "connectionRejected";
    /// The configuration of the peer changed.
    OTHER_CONFIGURATION_CHANGE = 6 / 6, "otherConfigurationChange";
    /// Another connection of the same two speakers won.
    CONNECTION_COLLISION = 6 / 7, "connectionCollision";
    /// The speaker has no resources left.
    OUT_OF_RESOURCES = 6 / 8, "outOfResources";
    /// Cease that also ends graceful restart (RFC 8538).
    HARD_RESET = 6 / 9, "hardReset";
    /// BFD saw the path fail (RFC 9384).
    BFD_DOWN = 6 / 10, "bfdDown";
    /// ROUTE-REFRESH: the length does not fit the subtype (RFC 7313).
    REFRESH_INVALID_LENGTH = 7 / 1, "routeRefreshInvalidLength";
    /// Nothing could be sent for the send hold time (RFC 9687).
    SEND_HOLD_TIMER_EXPIRED = 8 / 0, "sendHoldTimerExpired";
}

impl NotificationCode {
    /// A code from its numbers.
    #[must_use]
    pub const fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode }
    }

    /// Whether the code is a Cease.
    #[must_use]
    pub const fn is_cease(self) -> bool {
        self.code == 6
    }
}

impl fmt::Display for NotificationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}/{})", self.reason(), self.code, self.subcode)
    }
}

/// A NOTIFICATION message: why a session ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notification {
    /// What went wrong.
    pub code: NotificationCode,
    /// Diagnostic octets; their meaning depends on the code.
    pub data: Vec<u8>,
}

/// A shutdown text that does not fit (RFC 9003: 255 octets of UTF-8).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("shutdown text has {len} octets, at most 255 fit")]
pub struct TextTooLong {
    /// Octets of the text.
    pub len: usize,
}

impl Notification {
    /// A message without data.
    #[must_use]
    pub const fn new(code: NotificationCode) -> Self {
        Self { code, data: Vec::new() }
    }

    /// A message with data.
    #[must_use]
    pub fn with_data(code: NotificationCode, data: impl Into<Vec<u8>>) -> Self {
        Self { code, data: data.into() }
    }

    /// A message with a text for the operator of the peer (RFC 9003): meant for
    /// [`NotificationCode::ADMINISTRATIVE_SHUTDOWN`] and
    /// [`NotificationCode::ADMINISTRATIVE_RESET`].
    ///
    /// # Errors
    /// If the text has more than 255 octets.
    pub fn with_text(code: NotificationCode, text: &str) -> Result<Self, TextTooLong> {
        let len = u8::try_from(text.len()).map_err(|_| TextTooLong { len: text.len() })?;
        let mut data = Vec::with_capacity(text.len() + 1);
        data.push(len);
        data.extend_from_slice(text.as_bytes());
        Ok(Self { code, data })
    }

    /// The operator's text in an administrative shutdown or reset (RFC 9003), if there is one that
    /// is complete. Octets that are no UTF-8 become U+FFFD; control characters are kept, so escape
    /// before you log.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        let has_text = matches!(
            self.code,
            NotificationCode::ADMINISTRATIVE_SHUTDOWN | NotificationCode::ADMINISTRATIVE_RESET
        );
        let (len, rest) = self.data.split_first().filter(|_| has_text)?;
        let text = rest.get(..usize::from(*len)).filter(|text| !text.is_empty())?;
        Some(String::from_utf8_lossy(text))
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NOTIFICATION {}", self.code)?;
        if let Some(text) = self.text() {
            return write!(f, " \"{}\"", text.escape_debug());
        }
        for (at, octet) in self.data.iter().enumerate() {
            let lead = if at == 0 { " data " } else { "" };
            write!(f, "{lead}{octet:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
