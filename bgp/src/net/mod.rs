// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sockets and the clock: the one place of this crate that has them.

use tokio_util::sync::CancellationToken;

use crate::config::{SpeakerConfig, Start};
use crate::handle::Requests;

/// Why a speaker could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A listening socket could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Runs a speaker until [`Handle::shutdown`](crate::Handle::shutdown) or until `cancel`, which
/// ends it like a graceful restart. Must run on a current-thread tokio runtime with time and io.
///
/// # Errors
/// If the configuration contradicts itself or a listening socket cannot be opened at the start.
pub async fn run(
    config: SpeakerConfig,
    start: Start,
    requests: Requests,
    cancel: CancellationToken,
) -> Result<(), Error> {
    config.validate()?;
    let _ = (start, requests);
    cancel.cancelled().await;
    Ok(())
}
