// SPDX-License-Identifier: MIT OR Apache-2.0
//! Frames between daemon and BFD process: four octets of length, then JSON.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::{BfdSpec, BfdState};

/// Name of the socket in the run directory.
pub const SOCKET: &str = "bfd.sock";
/// Version of this contract; another one is refused by both sides.
pub const VERSION: u32 = 1;
/// Sessions of one process.
pub const MAX_SESSIONS: usize = 1024;
/// Largest body of a frame: all sessions with the longest values they can have.
pub const MAX_FRAME: usize = 1024 * 1024;
const LENGTH: usize = 4;

/// Daemon → process: every session there shall be, and no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declare {
    /// [`VERSION`].
    pub version: u32,
    /// At most [`MAX_SESSIONS`].
    pub sessions: Vec<BfdSpec>,
}

/// Process → daemon: sessions whose state is news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Another number is another process, whose counters began anew.
    pub instance: u64,
    /// By peer.
    pub sessions: Vec<(IpAddr, BfdState)>,
}

/// A frame that breaks the contract.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than the contract allows.
    #[error("a frame of {0} bytes")]
    Length(usize),
    /// Not the JSON it should be.
    #[error("not a message")]
    Json(#[from] serde_json::Error),
}

/// A message as a frame.
///
/// # Errors
/// It is too long.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; LENGTH];
    serde_json::to_writer(&mut frame, message)?;
    let body = frame.len() - LENGTH;
    let length = u32::try_from(body).ok().filter(|_| body <= MAX_FRAME);
    let length = length.ok_or(FrameError::Length(body))?;
    frame[..LENGTH].copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Octets on their way to becoming messages; never more than one frame and one read of them.
#[derive(Debug, Default)]
pub struct Inbox {
    octets: Vec<u8>,
}

impl Inbox {
    /// Takes what was read.
    pub fn push(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    /// The next whole message; to be called until there is none before more is pushed.
    ///
    /// # Errors
    /// The other side breaks the contract; the connection is of no more use.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some((head, rest)) = self.octets.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(FrameError::Length(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.octets.drain(..LENGTH + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(n: u16) -> BfdSpec {
        let address = IpAddr::from([0xfd00, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, n]);
        BfdSpec {
            peer: address,
            local: Some(address),
            interface: Some("\u{1}".repeat(15)),
            multihop: false,
            interval_micros: u32::MAX,
            multiplier: 255,
        }
    }

    #[test]
    fn messages_cross_in_pieces_of_any_size() {
        let declare = |n| Declare { version: VERSION, sessions: (0..n).map(spec).collect() };
        let stream = [encode(&declare(0)).unwrap(), encode(&declare(3)).unwrap()].concat();
        for size in [1, 2, 3, 5, 7, stream.len()] {
            let (mut inbox, mut got) = (Inbox::default(), Vec::new());
            for piece in stream.chunks(size) {
                inbox.push(piece);
                while let Some(message) = inbox.take::<Declare>().unwrap() {
                    got.push(message);
                }
            }
            assert_eq!(got, [declare(0), declare(3)], "{size}");
            assert!(inbox.octets.is_empty());
        }
    }

    #[test]
    fn what_is_no_message_is_refused_before_it_is_there() {
        let mut inbox = Inbox::default();
        inbox.push(&[0xff; 4]);
        assert!(matches!(inbox.take::<Declare>(), Err(FrameError::Length(_))));
        let mut inbox = Inbox::default();
        inbox.push(&[0, 0, 0, 2, b'{', b'}']);
        assert!(matches!(inbox.take::<Declare>(), Err(FrameError::Json(_))));
    }

    #[test]
    fn the_largest_messages_fit() {
        let count = u16::try_from(MAX_SESSIONS).unwrap();
        let sessions: Vec<_> = (0..count).map(spec).collect();
        let state = BfdState {
            state: "adminDown".to_owned(),
            diag: "reverseConcatenatedPathDown".to_owned(),
            remote_state: "adminDown".to_owned(),
            remote_independent: false,
            failures: u64::MAX,
            interval_micros: u32::MAX,
            detection_micros: u64::MAX,
            sent: u64::MAX,
            received: u64::MAX,
            error: Some("Cannot assign requested address (os error 99), and then some".to_owned()),
        };
        let report = Report {
            version: VERSION,
            instance: u64::MAX,
            sessions: sessions.iter().map(|spec| (spec.peer, state.clone())).collect(),
        };
        assert!(encode(&report).is_ok());
        assert!(encode(&Declare { version: VERSION, sessions }).is_ok());
    }
}
