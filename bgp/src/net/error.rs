// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can keep a speaker from starting.

use std::io;
use std::net::SocketAddr;

use crate::config::ConfigError;

/// Why a speaker could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A listening socket could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}
