// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two unix sockets of the daemon, and the command line's end of one of them.
//!
//! [`CniServer`] takes the requests of the CNI plugin: length-prefixed JSON with file descriptors. [`AdminServer`] answers the
//! questions of operators: HTTP/1.1 with the JSON of [`api`]. Both are bounded in connections, bytes and time, and
//! neither decides anything: requests go over a bounded channel, or through [`AdminApi`], to whoever owns the state.

mod admin;
pub mod api;
pub mod client;
mod cni;
mod connections;
mod frame;
mod handles;
mod listen;

pub use self::admin::{AdminApi, AdminServer, ApiError, RouteQuery, RouteTarget};
pub use self::cni::{CALLS, CniServer};
pub use self::listen::BindError;
