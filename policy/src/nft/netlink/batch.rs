// SPDX-License-Identifier: MIT OR Apache-2.0
//! One transaction: messages between a begin and an end marker.

use super::{
    attr::AttrWriter,
    error::Error,
    message::{self, nl},
};

/// A transaction under construction.
#[derive(Debug)]
pub(crate) struct Batch {
    buf: Vec<u8>,
    /// Sequence number of the begin marker; message `i` has `first_seq + 1 + i`.
    first_seq: u32,
    /// Where each message starts in `buf`.
    starts: Vec<usize>,
    too_long: Option<usize>,
}

impl Batch {
    /// Opens a transaction whose answers carry sequence numbers from `first_seq` on.
    pub(crate) fn new(first_seq: u32) -> Self {
        let mut buf = Vec::with_capacity(4096);
        message::write_batch_begin(&mut buf, first_seq);
        Self { buf, first_seq, starts: Vec::new(), too_long: None }
    }

    /// Appends a message and returns its index.
    pub(crate) fn push(
        &mut self,
        kind: u8,
        flags: u16,
        fill: impl FnOnce(&mut AttrWriter<'_>),
    ) -> usize {
        let index = self.starts.len();
        let seq = self.seq(index + 1);
        self.starts.push(self.buf.len());
        if !message::write(&mut self.buf, kind, flags, seq, fill) {
            self.too_long.get_or_insert(index);
        }
        index
    }

    /// Number of messages between the markers.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Closes the transaction and asks for an acknowledgement of its last message.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] if a message did not fit into the format.
    pub(crate) fn seal(mut self) -> Result<Sealed, Error> {
        if let Some(message) = self.too_long {
            return Err(Error::TooLong { message });
        }
        if let Some(last) = self.starts.last() {
            let flags = last + 6;
            let value = u16::from_ne_bytes([self.buf[flags], self.buf[flags + 1]]) | nl::F_ACK;
            self.buf[flags..flags + 2].copy_from_slice(&value.to_ne_bytes());
        }
        let end_seq = self.seq(self.starts.len() + 1);
        message::write_batch_end(&mut self.buf, end_seq);
        Ok(Sealed { buf: self.buf, first_seq: self.first_seq, messages: self.starts.len() })
    }

    fn seq(&self, offset: usize) -> u32 {
        seq_at(self.first_seq, offset)
    }
}

/// A complete transaction, ready to be sent.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// The bytes to send.
    pub(crate) buf: Vec<u8>,
    first_seq: u32,
    messages: usize,
}

/// Which part of a transaction an answer speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The transaction as a whole.
    Batch,
    /// The message with this index.
    Message(usize),
}

impl Sealed {
    /// Number of messages between the markers.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }

    /// What an answer with this sequence number speaks about; `None` if it is not ours.
    pub(crate) fn about(&self, seq: u32) -> Option<About> {
        match usize::try_from(seq.wrapping_sub(self.first_seq)).ok()? {
            0 => Some(About::Batch),
            offset if offset <= self.messages => Some(About::Message(offset - 1)),
            offset if offset == self.messages + 1 => Some(About::Batch),
            _ => None,
        }
    }
}

/// The sequence number `offset` steps after `first`.
fn seq_at(first: u32, offset: usize) -> u32 {
    // Sequence numbers wrap around; only their distance counts.
    #[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap around")]
    first.wrapping_add(offset as u32)
}

#[cfg(test)]
mod tests {
    use super::{
        super::message::{Messages, msg},
        *,
    };

    #[test]
    fn only_the_last_message_asks_for_an_acknowledgement() {
        let mut batch = Batch::new(u32::MAX);
        batch.push(msg::NEW_TABLE, nl::F_CREATE, |attrs| attrs.string(1, "routed"));
        batch.push(msg::NEW_CHAIN, nl::F_CREATE, |attrs| attrs.string(1, "routed"));
        let sealed = batch.seal().unwrap();
        let messages: Vec<_> = Messages::new(&sealed.buf).collect();
        let acks: Vec<_> = messages.iter().map(|message| message.flags & nl::F_ACK != 0).collect();
        assert_eq!(acks, [false, false, true, false]);
        let about: Vec<_> = messages.iter().map(|message| sealed.about(message.seq)).collect();
        let expected = [About::Batch, About::Message(0), About::Message(1), About::Batch];
        assert_eq!(about, expected.map(Some));
        assert_eq!(sealed.about(sealed.first_seq.wrapping_add(4)), None);
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_before_sending() {
        let mut batch = Batch::new(1);
        batch.push(msg::NEW_TABLE, 0, |attrs| attrs.string(1, "routed"));
        batch.push(msg::NEW_RULE, 0, |attrs| attrs.bytes(1, &[0; 70_000]));
        assert!(matches!(batch.seal(), Err(Error::TooLong { message: 1 })));
    }
}
