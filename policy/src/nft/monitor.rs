// SPDX-License-Identifier: MIT OR Apache-2.0
//! Notices when somebody else changes our table.
//!
//! Only needed where the kernel cannot make the table ours alone: notifications double the cost
//! of every element we write ourselves. Events are hints; what they hint at is found by a dump.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::{io::Errno, net::sockopt};

use crate::{
    ir::TABLE,
    nft::netlink::message::{FAMILY_INET, Message, Messages},
};

/// The group of nf_tables notifications (`NFNLGRP_NFTABLES`).
const GROUP: u32 = 7;
/// Holds the notifications of a large transaction; an overrun only costs a dump.
const RECEIVE_BUFFER: usize = 16 << 20;
/// The kernel packs notifications into datagrams of up to 16 KiB.
const DATAGRAM: usize = 32 << 10;
/// The attribute that names the table, in messages of every kind.
const TABLE_NAME: u16 = 1;

/// A socket that hears of changes.
#[derive(Debug)]
pub(crate) struct Monitor {
    socket: Socket,
    own_port: u32,
    datagram: Vec<u8>,
}

impl Monitor {
    /// Listens in the network namespace of the calling thread; changes by `own_port` are ours.
    pub(crate) fn open(own_port: u32) -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        }
        socket.add_membership(GROUP)?;
        Ok(Self { socket, own_port, datagram: vec![0; DATAGRAM] })
    }

    /// Reads all waiting notifications; true if somebody else may have changed our table.
    ///
    /// # Errors
    ///
    /// If the socket is unusable.
    pub(crate) fn has_drifted(&mut self) -> io::Result<bool> {
        let mut drifted = false;
        loop {
            match self.socket.recv(&mut &mut self.datagram[..], 0) {
                Ok(len) => {
                    let datagram = self.datagram.get(..len).unwrap_or(&self.datagram);
                    drifted |= Messages::new(datagram).any(|message| self.is_foreign(&message));
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return Ok(drifted),
                    Some(Errno::INTR) => {}
                    Some(Errno::NOBUFS) => drifted = true,
                    _ => return Err(error),
                },
            }
        }
    }

    fn is_foreign(&self, message: &Message<'_>) -> bool {
        message.port != self.own_port
            && message.nf_kind().is_some()
            && message.family() == FAMILY_INET
            && message.attrs().find_kind(TABLE_NAME).and_then(|attr| attr.string()) == Some(TABLE)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether changes by others are listened for.
#[derive(Debug, Default)]
pub(crate) enum Watch {
    /// Not needed so far.
    #[default]
    Off,
    /// Listening.
    On(Monitor),
    /// Tried and failed; the audit has to find them.
    Failed,
}

#[cfg(test)]
mod tests;
