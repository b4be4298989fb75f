// SPDX-License-Identifier: MIT OR Apache-2.0
//! Netlink and nfnetlink message framing, and the numbers of the nf_tables subsystem.

use super::attr::{AttrReader, AttrWriter, align};

/// Netlink message types and flags (`linux/netlink.h`).
pub(crate) mod nl {
    pub(crate) const ERROR: u16 = 2;
    pub(crate) const DONE: u16 = 3;

    pub(crate) const F_REQUEST: u16 = 0x001;
    pub(crate) const F_ACK: u16 = 0x004;
    pub(crate) const F_DUMP: u16 = 0x300;
    /// With `F_CREATE`: fail if the object exists.
    pub(crate) const F_EXCL: u16 = 0x200;
    pub(crate) const F_CREATE: u16 = 0x400;
    pub(crate) const F_APPEND: u16 = 0x800;
    /// In an answer: the objects changed while they were dumped.
    pub(crate) const F_DUMP_INTR: u16 = 0x010;
    /// In an error: attributes follow the echoed header.
    pub(crate) const F_ACK_TLVS: u16 = 0x200;

    /// Attribute of an error: offset of the offending attribute in the request.
    pub(crate) const ERR_OFFSET: u16 = 2;
}

/// nf_tables message types (`enum nf_tables_msg_types`), without the subsystem.
pub(crate) mod msg {
    pub(crate) const NEW_TABLE: u8 = 0;
    pub(crate) const GET_TABLE: u8 = 1;
    pub(crate) const DEL_TABLE: u8 = 2;
    pub(crate) const NEW_CHAIN: u8 = 3;
    pub(crate) const GET_CHAIN: u8 = 4;
    pub(crate) const DEL_CHAIN: u8 = 5;
    pub(crate) const NEW_RULE: u8 = 6;
    pub(crate) const GET_RULE: u8 = 7;
    pub(crate) const DEL_RULE: u8 = 8;
    pub(crate) const NEW_SET: u8 = 9;
    pub(crate) const GET_SET: u8 = 10;
    pub(crate) const DEL_SET: u8 = 11;
    pub(crate) const NEW_SET_ELEM: u8 = 12;
    pub(crate) const GET_SET_ELEM: u8 = 13;
    pub(crate) const DEL_SET_ELEM: u8 = 14;
}

/// The nf_tables subsystem of nfnetlink.
const SUBSYSTEM: u8 = 10;
/// First message of a transaction.
const BATCH_BEGIN: u16 = 0x10;
/// Last message of a transaction.
const BATCH_END: u16 = 0x11;
/// Bytes of a netlink header.
const HEADER: usize = 16;
/// Bytes of a netlink header with the nfnetlink one behind it.
pub(crate) const NF_HEADER: usize = HEADER + 4;
/// Protocol family of `inet` tables.
pub(crate) const FAMILY_INET: u8 = 1;

/// Appends one nf_tables message to `buf`; returns false if a value did not fit.
pub(crate) fn write(
    buf: &mut Vec<u8>,
    kind: u8,
    flags: u16,
    seq: u32,
    fill: impl FnOnce(&mut AttrWriter<'_>),
) -> bool {
    let kind = u16::from(SUBSYSTEM) << 8 | u16::from(kind);
    let start = begin(buf, kind, flags | nl::F_REQUEST, seq, [FAMILY_INET, 0, 0, 0]);
    let mut attrs = AttrWriter::new(buf);
    fill(&mut attrs);
    let fits = !attrs.is_oversize();
    end(buf, start);
    fits
}

/// Appends the message that opens a transaction.
pub(crate) fn write_batch_begin(buf: &mut Vec<u8>, seq: u32) {
    let start = begin(buf, BATCH_BEGIN, nl::F_REQUEST, seq, [0, 0, 0, SUBSYSTEM]);
    end(buf, start);
}

/// Appends the message that commits a transaction.
pub(crate) fn write_batch_end(buf: &mut Vec<u8>, seq: u32) {
    let start = begin(buf, BATCH_END, nl::F_REQUEST, seq, [0, 0, 0, SUBSYSTEM]);
    end(buf, start);
}

fn begin(buf: &mut Vec<u8>, kind: u16, flags: u16, seq: u32, nfgen: [u8; 4]) -> usize {
    let start = buf.len();
    buf.extend_from_slice(&[0; 4]);
    buf.extend_from_slice(&kind.to_ne_bytes());
    buf.extend_from_slice(&flags.to_ne_bytes());
    buf.extend_from_slice(&seq.to_ne_bytes());
    buf.extend_from_slice(&[0; 4]);
    buf.extend_from_slice(&nfgen);
    start
}

fn end(buf: &mut [u8], start: usize) {
    // A message of 4 GiB cannot arise: every attribute is at most 64 KiB and few are written.
    let len = u32::try_from(buf.len() - start).unwrap_or(u32::MAX);
    buf[start..start + 4].copy_from_slice(&len.to_ne_bytes());
}

/// One message received from the kernel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    kind: u16,
    /// The header's flags.
    pub(crate) flags: u16,
    /// The sequence number of the request this answers.
    pub(crate) seq: u32,
    /// The port that made the change, in a notification.
    pub(crate) port: u32,
    body: &'a [u8],
}

/// What the kernel answered to one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ack {
    /// Positive error number, zero for success.
    pub(crate) errno: i32,
    /// Where in the request the offending attribute starts.
    pub(crate) offset: Option<u32>,
}

impl<'a> Message<'a> {
    /// The nf_tables message type, if it is one.
    pub(crate) fn nf_kind(&self) -> Option<u8> {
        let [subsystem, kind] = self.kind.to_be_bytes();
        (subsystem == SUBSYSTEM).then_some(kind)
    }

    /// The address family of an nf_tables message.
    pub(crate) fn family(&self) -> u8 {
        self.body.first().copied().unwrap_or_default()
    }

    /// The attributes of an nf_tables message.
    pub(crate) fn attrs(&self) -> AttrReader<'a> {
        AttrReader::new(self.body.get(NF_HEADER - HEADER..).unwrap_or_default())
    }

    /// The error or acknowledgement this message carries; a dump's end can carry one too.
    pub(crate) fn ack(&self) -> Option<Ack> {
        if self.kind != nl::ERROR && self.kind != nl::DONE {
            return None;
        }
        let code = self
            .body
            .get(..4)
            .map_or(0, |code| i32::from_ne_bytes([code[0], code[1], code[2], code[3]]));
        let offset = (self.kind == nl::ERROR && self.flags & nl::F_ACK_TLVS != 0)
            .then(|| AttrReader::new(self.body.get(4 + HEADER..).unwrap_or_default()))
            .and_then(|attrs| attrs.find_kind(nl::ERR_OFFSET))
            .and_then(|attr| Some(u32::from_ne_bytes(attr.value.try_into().ok()?)));
        Some(Ack { errno: code.wrapping_neg(), offset })
    }
}

/// Iterates over the messages of one datagram; stops at the first malformed one.
#[derive(Clone, Debug)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// Reads the messages in `datagram`.
    pub(crate) fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let header: &[u8; HEADER] = self.rest.first_chunk()?;
        let word = |at: usize| {
            u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let len = usize::try_from(word(0)).ok()?;
        let message = Message {
            kind: u16::from_ne_bytes([header[4], header[5]]),
            flags: u16::from_ne_bytes([header[6], header[7]]),
            seq: word(8),
            port: word(12),
            body: self.rest.get(HEADER..len)?,
        };
        self.rest = self.rest.get(align(len)..).unwrap_or_default();
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framed_message_reads_back() {
        let mut buf = Vec::new();
        write_batch_begin(&mut buf, 1);
        assert!(write(&mut buf, msg::NEW_TABLE, nl::F_CREATE, 2, |attrs| attrs.string(1, "routed")));
        write_batch_end(&mut buf, 3);
        let messages: Vec<_> = Messages::new(&buf).collect();
        assert_eq!(messages.iter().map(|message| message.seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(messages[1].nf_kind(), Some(msg::NEW_TABLE));
        assert_eq!(messages[1].family(), FAMILY_INET);
        assert_eq!(messages[1].attrs().find_kind(1).and_then(|attr| attr.string()), Some("routed"));
        assert_eq!(messages[0].nf_kind(), None);
    }

    #[test]
    fn ack_carries_errno_and_offset() {
        let mut buf = Vec::new();
        let start = begin(&mut buf, nl::ERROR, nl::F_ACK_TLVS, 9, (-2_i32).to_ne_bytes());
        buf.extend_from_slice(&[0; HEADER]);
        AttrWriter::new(&mut buf).bytes(nl::ERR_OFFSET, &44_u32.to_ne_bytes());
        end(&mut buf, start);
        let ack = Messages::new(&buf).next().and_then(|message| message.ack());
        assert_eq!(ack, Some(Ack { errno: 2, offset: Some(44) }));
    }

    #[test]
    fn truncated_datagrams_yield_nothing() {
        let mut buf = Vec::new();
        write(&mut buf, msg::GET_TABLE, 0, 1, |attrs| attrs.string(1, "routed"));
        for cut in 0..buf.len() {
            assert_eq!(Messages::new(&buf[..cut]).count(), 0, "cut at {cut}");
        }
    }
}
