// SPDX-License-Identifier: MIT OR Apache-2.0
//! The wire codec from outside: vectors, errors with their actions, properties, second opinions.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod attribute_errors;
mod craft;
mod differential;
mod header_errors;
mod open_errors;
mod properties;
mod semantics;
mod update_errors;
mod vectors;
