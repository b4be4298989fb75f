// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line's end of the admin socket: one question, one answer, blocking.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::api::{ErrorBody, ErrorDetail};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the daemon is not reachable at {}: {source}", socket.display())]
    Unreachable {
        /// Where it was looked for.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The socket is not for this user.
    #[error("permission denied: {}", socket.display())]
    PermissionDenied {
        /// The socket.
        socket: PathBuf,
    },
    /// No answer in time.
    #[error("no answer from the daemon within {after:?}")]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The daemon says no.
    #[error("{}", error.message)]
    Api {
        /// HTTP status.
        status: u16,
        /// What it says.
        error: ErrorDetail,
    },
    /// What answers is not our daemon, or of another version.
    #[error("the answer of the daemon cannot be understood: {0}")]
    Protocol(String),
}

impl ClientError {
    /// Name of the error in JSON.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Unreachable { .. } => "daemonUnreachable",
            Self::PermissionDenied { .. } => "permissionDenied",
            Self::Timeout { .. } => "timeout",
            Self::Api { error, .. } => &error.code,
            Self::Protocol(_) => "protocol",
        }
    }
}

/// Asks the daemon at `socket` for `path`, which may carry a query. Blocks; not for use inside a runtime.
///
/// # Errors
/// The daemon cannot be reached, or answers with an error.
pub fn get<T: DeserializeOwned>(
    socket: &Path,
    path: &str,
    patience: Duration,
) -> Result<T, ClientError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| ClientError::Protocol(e.to_string()))?;
    let answer =
        runtime.block_on(async { tokio::time::timeout(patience, ask(socket, path)).await });
    let (status, body) = answer.map_err(|_| ClientError::Timeout { after: patience })??;
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|e| ClientError::Protocol(e.to_string()));
    }
    match serde_json::from_slice::<ErrorBody>(&body) {
        Ok(ErrorBody { error }) => Err(ClientError::Api { status: status.as_u16(), error }),
        Err(_) => Err(ClientError::Protocol(format!("HTTP status {status}"))),
    }
}

async fn ask(socket: &Path, path: &str) -> Result<(StatusCode, Bytes), ClientError> {
    let stream = UnixStream::connect(socket).await.map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => {
            ClientError::PermissionDenied { socket: socket.to_owned() }
        }
        _ => ClientError::Unreachable { socket: socket.to_owned(), source },
    })?;
    let wrong = |e: hyper::Error| ClientError::Protocol(e.to_string());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(wrong)?;
    let request = Request::get(path)
        .header(header::HOST, "routed")
        .body(Empty::<Bytes>::new())
        .map_err(|e| ClientError::Protocol(e.to_string()))?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(wrong)?;
        let status = response.status();
        Ok((status, response.into_body().collect().await.map_err(wrong)?.to_bytes()))
    };
    // The connection ends by itself once the exchange drops its end; its error shows there too.
    let (answer, _) = tokio::join!(exchange, connection);
    answer
}
