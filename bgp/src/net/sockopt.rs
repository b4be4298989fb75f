// SPDX-License-Identifier: MIT OR Apache-2.0
//! Socket options.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpListener;

/// Connections the kernel keeps for us until we accept them: a whole fabric may connect at once.
const BACKLOG: i32 = 4096;

/// A listening socket of its own family only.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for connections of the run before in TIME-WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Sets the TTL or hop limit of outgoing packets.
pub(super) fn set_ttl(socket: &impl AsFd, is_ipv6: bool, ttl: u8) -> io::Result<()> {
    let socket = SockRef::from(socket);
    if is_ipv6 {
        socket.set_unicast_hops_v6(u32::from(ttl))
    } else {
        socket.set_ttl_v4(u32::from(ttl))
    }
}
