// SPDX-License-Identifier: MIT OR Apache-2.0
//! Identifiers that are safe to use as file name, interface name and alias.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest container id, in bytes: with an interface name it must fit into an interface alias.
const MAX_CONTAINER_ID: usize = 200;
/// Longest interface name, in bytes: `IFNAMSIZ` without its terminator.
const MAX_IFNAME: usize = 15;
/// Longest label key, in bytes: a DNS prefix, a slash and a name.
const MAX_LABEL_KEY: usize = 317;
/// Longest label value, in bytes.
const MAX_LABEL_VALUE: usize = 1024;

/// Text that is not a valid identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidId {
    /// What the text was meant to be.
    pub what: &'static str,
    /// Which rule it breaks.
    pub rule: &'static str,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid {}: {}", self.what, self.rule)
    }
}

impl std::error::Error for InvalidId {}

/// Id of a container, given by the runtime: 1 to 200 of `A-Z a-z 0-9 _ . -`, the first of them a
/// letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        check_name("container id", &text, MAX_CONTAINER_ID)?;
        Ok(Self(text))
    }
}

/// Name of an interface inside a container: 1 to 15 visible ASCII characters without `/ : %`, and
/// none of the names the kernel uses itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct IfName(String);

impl IfName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IfName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        let rule = if text.is_empty() {
            "empty"
        } else if text.len() > MAX_IFNAME {
            "longer than 15 bytes"
        } else if matches!(text.as_str(), "." | ".." | "lo" | "all" | "default") {
            "reserved name"
        } else if !text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%')) {
            "only visible ASCII characters without '/', ':' and '%'"
        } else {
            return Ok(Self(text));
        };
        Err(InvalidId { what: "interface name", rule })
    }
}

macro_rules! text_type {
    ($type:ident) => {
        impl FromStr for $type {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.to_owned().try_into()
            }
        }

        impl From<$type> for String {
            fn from(id: $type) -> Self {
                id.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_type!(ContainerId);
text_type!(IfName);

/// Checks a name of the CNI specification: `[A-Za-z0-9][A-Za-z0-9_.-]*`, at most `max` bytes.
pub(super) fn check_name(what: &'static str, text: &str, max: usize) -> Result<(), InvalidId> {
    let rule = match text.as_bytes() {
        [] => "empty",
        long if long.len() > max => "too long",
        [first, ..] if !first.is_ascii_alphanumeric() => "must start with a letter or digit",
        rest if !rest.iter().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(b)) => {
            "only letters, digits, '_', '.' and '-'"
        }
        _ => return Ok(()),
    };
    Err(InvalidId { what, rule })
}

/// Checks that a label is one that policy can speak about: a key of 1 to 317 bytes, a value of at
/// most 1024 bytes, no control characters in either.
///
/// # Errors
/// Names the rule that is broken.
pub fn check_label(key: &str, value: &str) -> Result<(), InvalidId> {
    let rule = if key.is_empty() {
        "empty key"
    } else if key.len() > MAX_LABEL_KEY {
        "key longer than 317 bytes"
    } else if value.len() > MAX_LABEL_VALUE {
        "value longer than 1024 bytes"
    } else if key.chars().chain(value.chars()).any(char::is_control) {
        "control character"
    } else {
        return Ok(());
    };
    Err(InvalidId { what: "label", rule })
}
