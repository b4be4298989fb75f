// SPDX-License-Identifier: MIT OR Apache-2.0
//! ROUTE-REFRESH (RFC 2918, RFC 7313).

use std::fmt;

use super::ctx::MAX_MESSAGE_LEN;
use super::cursor::Cursor;
use super::error::RefreshError;
use super::header::{Frame, HEADER_LEN, MessageType, write_message};
use crate::types::AfiSafi;

/// What a ROUTE-REFRESH is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefreshKind {
    /// Send the family again.
    Request,
    /// Everything of the family follows (BoRR).
    Begin,
    /// Everything of the family has been sent (EoRR).
    End,
    /// A subtype without a meaning yet, to be ignored (RFC 7313 §5).
    Other(u8),
}

impl RefreshKind {
    const fn number(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Begin => 1,
            Self::End => 2,
            Self::Other(number) => number,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            other => Self::Other(other),
        }
    }
}

/// A ROUTE-REFRESH message. Outbound route filters behind it (RFC 5291) are not read: we never
/// announce that we understand them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteRefresh {
    /// The family, ours or not.
    pub family: AfiSafi,
    /// What it is about.
    pub kind: RefreshKind,
}

/// Octets of the body without filters.
const BODY_LEN: usize = 4;

impl RouteRefresh {
    /// Reads a message.
    ///
    /// # Errors
    /// If a begin or end marker has another length than the fixed one (RFC 7313 §5).
    pub fn decode(frame: &Frame<'_>) -> Result<Self, RefreshError> {
        let too_short = || RefreshError::Length { message: frame.message.into() };
        let mut cursor = Cursor::new(frame.body(), HEADER_LEN);
        let [a, b, subtype, safi] = cursor.array::<BODY_LEN>().ok_or_else(too_short)?;
        let family = AfiSafi { afi: u16::from_be_bytes([a, b]), safi };
        let kind = RefreshKind::from_number(subtype);
        if matches!(kind, RefreshKind::Begin | RefreshKind::End) && !cursor.is_empty() {
            return Err(too_short());
        }
        Ok(Self { family, kind })
    }

    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let written = write_message(out, MessageType::RouteRefresh, MAX_MESSAGE_LEN, |out| {
            out.extend_from_slice(&self.family.afi.to_be_bytes());
            out.extend_from_slice(&[self.kind.number(), self.family.safi]);
            Ok(())
        });
        debug_assert!(written.is_ok(), "the message has a fixed length");
    }
}

impl fmt::Display for RouteRefresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { family, kind } = self;
        match kind {
            RefreshKind::Request => write!(f, "ROUTE-REFRESH {family}"),
            RefreshKind::Begin => write!(f, "ROUTE-REFRESH {family} begin"),
            RefreshKind::End => write!(f, "ROUTE-REFRESH {family} end"),
            RefreshKind::Other(subtype) => write!(f, "ROUTE-REFRESH {family} subtype {subtype}"),
        }
    }
}
