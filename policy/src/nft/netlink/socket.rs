// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one long-lived nfnetlink socket.
//!
//! The kernel ties the ownership of a table to the socket that claimed it, so the socket lives as
//! long as the writer. It is non-blocking: nf_tables handles a request inside the send call and
//! its answers are queued when that returns, and the parts of a listing are made inside the
//! receive call. A queue that is empty too early therefore means that answers were lost, never
//! that one should wait.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use rustix::{io::Errno, net::sockopt};

use super::{
    attr::AttrWriter,
    batch::{About, Batch, Sealed},
    error::Error,
    message::{self, Message, Messages, nl},
};

/// Receive buffer: a listing is paced by the reader, but errors of a big batch are not.
const RECEIVE_BUFFER: usize = 16 << 20;
/// Send buffer: bounds the bytes of one transaction.
const SEND_BUFFER: usize = 64 << 20;
/// The kernel makes parts of a listing as big as the largest buffer it has seen, up to 32 KiB.
const DATAGRAM: usize = 64 << 10;
/// How often a listing that was interrupted by a change is begun again.
const LISTING_ATTEMPTS: usize = 8;

/// A socket that speaks nf_tables.
#[derive(Debug)]
pub(crate) struct NfSocket {
    socket: Socket,
    port: u32,
    seq: u32,
    datagram: Vec<u8>,
    sent: u64,
}

/// The kernel's answer to a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Everything is in force.
    Committed,
    /// Nothing is in force; these are the reasons, in the order of the messages.
    Refused(Vec<Refusal>),
}

/// One reason why a transaction was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What is at fault.
    pub(crate) about: About,
    /// Why.
    pub(crate) errno: Errno,
    /// Offset of the offending attribute in the message, where the kernel says it.
    pub(crate) offset: Option<u32>,
}

impl NfSocket {
    /// Opens a socket in the network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`] if the kernel has no nfnetlink or refuses the options.
    pub(crate) fn open() -> Result<Self, Error> {
        let failed = |action| move |source| Error::Socket { action, source };
        let mut socket = Socket::new(NETLINK_NETFILTER).map_err(failed("open"))?;
        let address = socket.bind_auto().map_err(failed("bind"))?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(failed("connect"))?;
        socket.set_non_blocking(true).map_err(failed("configure"))?;
        socket.set_cap_ack(true).map_err(failed("configure"))?;
        socket.set_ext_ack(true).map_err(failed("configure"))?;
        force_buffers(&socket).map_err(failed("configure"))?;
        Ok(Self {
            socket,
            port: address.port_number(),
            seq: 1,
            datagram: vec![0; DATAGRAM],
            sent: 0,
        })
    }

    /// The socket's address; the kernel names it as the owner of a table and author of a change.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// Number of change messages sent since the socket was opened.
    pub(crate) fn messages_sent(&self) -> u64 {
        self.sent
    }

    /// Makes the kernel as terse as those before 4.12.
    #[cfg(test)]
    pub(crate) fn be_terse(&self) {
        self.socket.set_ext_ack(false).expect("a known option");
    }

    /// Begins a transaction.
    pub(crate) fn batch(&self) -> Batch {
        Batch::new(self.seq)
    }

    /// Sends a transaction and reads what became of it.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`] if it could not be sent, [`Error::Lost`] if it is not known what became
    /// of it.
    pub(crate) fn transact(&mut self, sealed: &Sealed) -> Result<Answer, Error> {
        if sealed.messages() == 0 {
            return Ok(Answer::Committed);
        }
        self.drain();
        self.send(&sealed.buf, sealed.messages() + 2)?;
        self.sent += u64::try_from(sealed.messages()).unwrap_or(u64::MAX);

        let mut refusals = Vec::new();
        let mut complete = false;
        let received = self.receive_all(|message| {
            let (Some(about), Some(ack)) = (sealed.about(message.seq), message.ack()) else {
                return;
            };
            // The last message asks for an answer; an answer about the whole batch can come alone.
            complete |= about == About::Batch || about == About::Message(sealed.messages() - 1);
            if ack.errno != 0 {
                let errno = Errno::from_raw_os_error(ack.errno);
                refusals.push(Refusal { about, errno, offset: ack.offset });
            }
        });
        received?;
        match (complete, refusals.is_empty()) {
            (false, _) => Err(Error::Lost),
            (true, true) => Ok(Answer::Committed),
            (true, false) => Ok(Answer::Refused(refusals)),
        }
    }

    /// Lists objects: calls `each` for every message of the answer.
    ///
    /// When the objects change meanwhile, `start` is called and the listing begins again.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the kernel's reason, [`Error::Interrupted`] if it kept changing,
    /// [`Error::Lost`] or [`Error::Socket`] if the socket failed.
    pub(crate) fn list<S>(
        &mut self,
        kind: u8,
        fill: impl Fn(&mut AttrWriter<'_>),
        start: impl Fn() -> S,
        mut each: impl FnMut(&mut S, Message<'_>),
    ) -> Result<S, Error> {
        for _ in 0..LISTING_ATTEMPTS {
            let mut found = start();
            match self.exchange(kind, nl::F_DUMP, &fill, |message| each(&mut found, message)) {
                Err(Error::Interrupted) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(found),
            }
        }
        Err(Error::Interrupted)
    }

    /// Asks for one object; `Ok(None)` if there is none of that name.
    ///
    /// # Errors
    ///
    /// As [`NfSocket::list`].
    pub(crate) fn lookup<T>(
        &mut self,
        kind: u8,
        fill: impl Fn(&mut AttrWriter<'_>),
        read: impl Fn(Message<'_>) -> T,
    ) -> Result<Option<T>, Error> {
        let mut found = None;
        match self.exchange(kind, nl::F_ACK, &fill, |message| found = Some(read(message))) {
            Err(Error::Refused { errno: Errno::NOENT }) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(found),
        }
    }

    fn exchange(
        &mut self,
        kind: u8,
        flags: u16,
        fill: &impl Fn(&mut AttrWriter<'_>),
        mut each: impl FnMut(Message<'_>),
    ) -> Result<(), Error> {
        self.drain();
        let seq = self.seq;
        let mut request = Vec::with_capacity(64);
        message::write(&mut request, kind, flags, seq, fill);
        self.send(&request, 1)?;

        let mut outcome = Err(Error::Lost);
        let mut interrupted = false;
        self.receive_all(|message| {
            if message.seq != seq {
                return;
            }
            interrupted |= message.flags & nl::F_DUMP_INTR != 0;
            match message.ack() {
                Some(ack) if ack.errno == 0 => outcome = Ok(()),
                Some(ack) => {
                    outcome = Err(Error::Refused { errno: Errno::from_raw_os_error(ack.errno) });
                }
                None => each(message),
            }
        })?;
        match outcome {
            Ok(()) if interrupted => Err(Error::Interrupted),
            Err(Error::Refused { errno: Errno::INTR }) => Err(Error::Interrupted),
            outcome => outcome,
        }
    }

    fn send(&mut self, bytes: &[u8], messages: usize) -> Result<(), Error> {
        self.seq = self.seq.wrapping_add(u32::try_from(messages).unwrap_or(u32::MAX));
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Socket { action: "send to", source }),
            }
        }
    }

    /// Hands every queued message to `each` until the queue is empty.
    fn receive_all(&mut self, mut each: impl FnMut(Message<'_>)) -> Result<(), Error> {
        let mut outcome = Ok(());
        loop {
            match self.socket.recv(&mut &mut self.datagram[..], 0) {
                Ok(len) => {
                    let datagram = self.datagram.get(..len).unwrap_or(&self.datagram);
                    Messages::new(datagram).for_each(&mut each);
                }
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::INTR) => {}
                    Some(Errno::AGAIN) => return outcome,
                    // The buffer overran: what is queued is still good, but some is missing.
                    Some(Errno::NOBUFS) => outcome = Err(Error::Lost),
                    _ => return Err(Error::Socket { action: "read from", source: error }),
                },
            }
        }
    }

    /// Throws away answers that an earlier failure left behind.
    fn drain(&mut self) {
        // A failure shows again at the send that follows.
        let _ = self.receive_all(|_| {});
    }
}

/// Sets the buffers past the limits for ordinary users, or as far as allowed.
fn force_buffers(socket: &Socket) -> io::Result<()> {
    if sockopt::set_socket_recv_buffer_size_force(socket, RECEIVE_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, RECEIVE_BUFFER)?;
    }
    if sockopt::set_socket_send_buffer_size_force(socket, SEND_BUFFER).is_err() {
        sockopt::set_socket_send_buffer_size(socket, SEND_BUFFER)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
