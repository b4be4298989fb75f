// SPDX-License-Identifier: MIT OR Apache-2.0
//! The frame around netlink messages: splitting datagrams, reading errors.
//!
//! The kernel is trusted, but a socket may be handed to us by another process: everything is
//! checked, nothing is indexed blindly.

use netlink_packet_core::{NLM_F_ACK_TLVS, NLM_F_CAPPED, NetlinkBuffer};
use rustix::io::Errno;

use super::error::{Error, Refusal};

/// Length of a message header.
pub(crate) const HEADER: usize = 16;

/// NLMSG_ERROR: an error, or with code 0 an acknowledgement.
pub(crate) const ERROR: u16 = 2;

/// NLMSG_DONE: the end of a dump.
pub(crate) const DONE: u16 = 3;

/// NLMSGERR_ATTR_MSG: the kernel's words.
const ATTRIBUTE_TEXT: u16 = 1;

/// Whether an RTM message type changes something: of each group of four, NEW, DEL and SET do.
pub(crate) fn is_write(message_type: u16) -> bool {
    const FIRST: u16 = 16;
    const GET: u16 = 2;
    message_type >= FIRST && (message_type - FIRST) % 4 != GET
}

/// The messages of one datagram.
pub(crate) fn messages(
    mut datagram: &[u8],
) -> impl Iterator<Item = Result<NetlinkBuffer<&[u8]>, Error>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        let Ok(message) = NetlinkBuffer::new_checked(datagram) else {
            datagram = &[];
            return Some(Err(Error::Malformed("truncated message")));
        };
        let length = (message.length() as usize).next_multiple_of(4).min(datagram.len());
        let (this, rest) = datagram.split_at(length);
        datagram = rest;
        Some(Ok(NetlinkBuffer::new(this)))
    })
}

/// What an NLMSG_ERROR or NLMSG_DONE says; `None` is success.
pub(crate) fn refusal(message: &NetlinkBuffer<&[u8]>) -> Result<Option<Refusal>, Error> {
    let payload = message.payload();
    let Some((code, rest)) = payload.split_first_chunk() else {
        // A DONE without a code.
        return Ok(None);
    };
    let code = i32::from_ne_bytes(*code);
    if code == 0 {
        return Ok(None);
    }
    let text = (message.flags() & NLM_F_ACK_TLVS != 0)
        .then(|| attributes_after(message, rest).and_then(text))
        .flatten();
    Ok(Some(Refusal { errno: Errno::from_raw_os_error(code.saturating_neg()), text }))
}

/// The attributes of an error: behind the request's header, or behind the whole request when the
/// kernel did not cap it.
fn attributes_after<'a>(message: &NetlinkBuffer<&[u8]>, rest: &'a [u8]) -> Option<&'a [u8]> {
    if message.message_type() == DONE {
        return Some(rest);
    }
    let length = if message.flags() & NLM_F_CAPPED != 0 {
        HEADER
    } else {
        let length = rest.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))?;
        usize::try_from(length).ok()?.next_multiple_of(4)
    };
    rest.get(length..)
}

/// The text among the attributes of an error.
fn text(mut attributes: &[u8]) -> Option<String> {
    while let Some((header, _)) = attributes.split_first_chunk::<4>() {
        let [a, b, c, d] = *header;
        let (length, kind) = (u16::from_ne_bytes([a, b]) as usize, u16::from_ne_bytes([c, d]));
        let value = attributes.get(4..length)?;
        if kind == ATTRIBUTE_TEXT {
            let value = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(String::from_utf8_lossy(value).into_owned());
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(7u32.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_datagram_is_split_into_its_messages() {
        let datagram = [message(16, 0, &[1, 2, 3]), message(DONE, 0, &[0; 4])].concat();
        let kinds: Vec<_> = messages(&datagram).map(|m| m.unwrap().message_type()).collect();
        assert_eq!(kinds, [16, DONE]);
    }

    #[test]
    fn a_truncated_datagram_is_malformed_at_every_byte() {
        let whole = message(16, 0, &[1, 2, 3, 4]);
        for end in 1..whole.len() {
            let mut parts = messages(&whole[..end]);
            assert!(matches!(parts.next(), Some(Err(Error::Malformed(_)))), "{end}");
            assert!(parts.next().is_none());
        }
    }

    #[test]
    fn an_error_carries_the_kernels_text_capped_or_not() {
        let attributes = [attribute(2, &[0; 4]), attribute(1, b"no such thing\0")].concat();
        let code = (-22i32).to_ne_bytes();
        let request = message(24, 0, &[9; 10]);
        let capped = [&code[..], &request[..HEADER], &attributes].concat();
        let whole = [&code[..], &request, &attributes].concat();
        let want = Refusal { errno: Errno::INVAL, text: Some("no such thing".into()) };
        for (flags, payload) in [(NLM_F_CAPPED | NLM_F_ACK_TLVS, capped), (NLM_F_ACK_TLVS, whole)] {
            let bytes = message(ERROR, flags, &payload);
            let parsed = refusal(&NetlinkBuffer::new(&bytes[..])).unwrap();
            assert_eq!(parsed, Some(want.clone()));
        }
    }

    #[test]
    fn an_error_cut_anywhere_is_still_read_without_text() {
        let payload = [&(-1i32).to_ne_bytes()[..], &[0; HEADER], &attribute(1, b"text\0")].concat();
        for end in 4..payload.len() {
            let bytes = message(ERROR, NLM_F_CAPPED | NLM_F_ACK_TLVS, &payload[..end]);
            let parsed = refusal(&NetlinkBuffer::new(&bytes[..])).unwrap().unwrap();
            assert_eq!(parsed.errno, Errno::PERM, "{end}");
        }
    }

    #[test]
    fn an_acknowledgement_is_no_refusal() {
        let bytes = message(ERROR, 0, &[0; 4 + HEADER]);
        assert_eq!(refusal(&NetlinkBuffer::new(&bytes[..])).unwrap(), None);
        let bytes = message(DONE, 0, &[]);
        assert_eq!(refusal(&NetlinkBuffer::new(&bytes[..])).unwrap(), None);
    }

    #[test]
    fn reads_are_no_writes() {
        for read in [18, 22, 26, 30, 66, 90] {
            assert!(!is_write(read), "{read}");
        }
        for write in [16, 17, 19, 20, 21, 24, 25, 28, 29, 67] {
            assert!(is_write(write), "{write}");
        }
    }
}
