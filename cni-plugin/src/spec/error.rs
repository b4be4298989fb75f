// SPDX-License-Identifier: MIT OR Apache-2.0
//! CNI errors.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A CNI error code: 1 to 99 are the specification's, 100 and above are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub u32);

impl ErrorCode {
    /// The CNI version, or the version of the private protocol, is not supported.
    pub const INCOMPATIBLE_VERSION: Self = Self(1);
    /// A field of the configuration asks for something that is not supported.
    pub const UNSUPPORTED_FIELD: Self = Self(2);
    /// The container is unknown or does not exist.
    pub const UNKNOWN_CONTAINER: Self = Self(3);
    /// An environment variable is missing or invalid; the message names it.
    pub const INVALID_ENVIRONMENT: Self = Self(4);
    /// Input or output failed.
    pub const IO: Self = Self(5);
    /// Content could not be decoded.
    pub const DECODE: Self = Self(6);
    /// The network configuration is invalid.
    pub const INVALID_CONFIG: Self = Self(7);
    /// The same request may succeed later.
    pub const TRY_AGAIN: Self = Self(11);
    /// CHECK found a difference; the message names it.
    pub const CHECK_FAILED: Self = Self(100);
    /// An address asked for cannot be given, or no address is free.
    pub const ADDRESS_UNAVAILABLE: Self = Self(101);
    /// The interface or the namespace already belongs to somebody else.
    pub const ALREADY_TAKEN: Self = Self(102);
    /// The kernel refused.
    pub const KERNEL: Self = Self(103);
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A failure as the runtime gets to see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What kind of failure.
    pub code: ErrorCode,
    /// One short line.
    pub msg: String,
    /// Whatever helps to find the cause; may be empty.
    #[serde(default)]
    pub details: String,
}

impl Error {
    /// A failure without details.
    #[must_use]
    pub fn new(code: ErrorCode, msg: impl Into<String>) -> Self {
        Self { code, msg: msg.into(), details: String::new() }
    }

    /// The same failure with details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.msg, self.code)?;
        if self.details.is_empty() { Ok(()) } else { write!(f, ": {}", self.details) }
    }
}

impl std::error::Error for Error {}

/// At most 64 characters of foreign text, for a message.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
