// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a message cannot be written.

use thiserror::Error;

/// Why something cannot be written. Nothing has been written then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// The message, or a message with just one prefix, is longer than the session allows.
    #[error("message of {len} octets is longer than {limit}")]
    MessageTooLong {
        /// Octets needed.
        len: usize,
        /// Octets allowed.
        limit: usize,
    },
    /// The value of an attribute has more octets than its length field can say.
    #[error("attribute {code} has {len} octets")]
    AttributeTooLong {
        /// Type code of the attribute.
        code: u8,
        /// Octets of its value.
        len: usize,
    },
    /// The value of a capability has more octets than its length field can say.
    #[error("capability {code} has {len} octets")]
    CapabilityTooLong {
        /// Code of the capability.
        code: u8,
        /// Octets of its value.
        len: usize,
    },
    /// The capabilities do not fit an OPEN.
    #[error("capabilities have {len} octets")]
    CapabilitiesTooLong {
        /// Octets of all capabilities.
        len: usize,
    },
    /// A hold time that is not 0 and not 3 to 65,535 whole seconds.
    #[error("hold time cannot be sent")]
    HoldTime,
    /// The path has no next hop, or one that cannot be sent for the family on this session.
    #[error("next hop cannot be sent with this family")]
    NextHop,
    /// A prefix of another family.
    #[error("prefix is of another family")]
    Family,
}
