// SPDX-License-Identifier: MIT OR Apache-2.0
//! Accepting connections.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Pause after a failed accept, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until cancelled. When the owner does not keep up, connections wait in the kernel.
pub(super) async fn accept(
    listener: TcpListener,
    to: mpsc::Sender<(TcpStream, SocketAddr)>,
    cancel: CancellationToken,
) {
    let run = async {
        loop {
            match listener.accept().await {
                Ok(accepted) => {
                    if to.send(accepted).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, pause_ms = PAUSE.as_millis(), "accept failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = cancel.cancelled() => {}
        () = run => {}
    }
}
