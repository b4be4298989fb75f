// SPDX-License-Identifier: MIT OR Apache-2.0
//! One attempt to connect.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpSocket, TcpStream};

use super::sockopt;
use crate::speaker::Dial;

/// Connects. Cancel-safe: a dropped attempt closes its socket; the time limit is the speaker's.
pub(super) async fn connect(dial: Dial) -> io::Result<TcpStream> {
    let is_ipv6 = dial.remote.is_ipv6();
    let socket = if is_ipv6 { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if let Some(local) = dial.local {
        socket.bind(SocketAddr::new(local, 0))?;
    }
    if let Some(ttl) = dial.ttl {
        sockopt::set_ttl(&socket, is_ipv6, ttl)?;
    }
    socket.connect(dial.remote).await
}
