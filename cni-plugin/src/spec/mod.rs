// SPDX-License-Identifier: MIT OR Apache-2.0
//! The CNI specification, versions 0.3.1 to 1.0.0, as far as a main plugin needs it.
//!
//! Everything here is pure: environment and configuration come in as text and leave as types that
//! cannot be wrong, or as an [`Error`] with the code the specification asks for.

mod address;
mod args;
mod config;
mod env;
mod error;
mod id;
mod version;

pub use self::address::{Mac, MacError};
pub use self::args::CniArgs;
pub use self::config::{AddConfig, BaseConfig, CheckConfig, Dns};
pub use self::env::{Attachment, Environment};
pub use self::error::{Error, ErrorCode};
pub use self::id::{ContainerId, IfName, InvalidId, check_label};
pub use self::version::CniVersion;

#[cfg(test)]
mod tests;
