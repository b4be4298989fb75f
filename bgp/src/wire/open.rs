// SPDX-License-Identifier: MIT OR Apache-2.0
//! OPEN (RFC 4271 §4.2), with capabilities (RFC 5492) and extended optional parameters (RFC 9072).

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::capabilities::Capabilities;
use super::capability::Capability;
use super::ctx::MAX_MESSAGE_LEN;
use super::cursor::Cursor;
use super::encode_error::EncodeError;
use super::error::OpenError;
use super::header::{HEADER_LEN, MessageType, write_message};
use crate::types::{Asn, BgpId};

const VERSION: u8 = 4;
const PARAMETER_CAPABILITIES: u8 = 2;
/// As length and type: extended optional parameters follow (RFC 9072 §2).
const EXTENDED: u8 = 255;

/// An OPEN message.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Open {
    /// The AS of the sender: that of the four-octet AS capability if it is there.
    pub asn: Asn,
    /// The hold time that the sender offers: 0 or at least 3 whole seconds.
    pub hold_time: Duration,
    /// The BGP identifier of the sender.
    pub id: BgpId,
    /// The capabilities of the sender.
    pub capabilities: Capabilities,
}

impl Open {
    /// Reads the body of an OPEN.
    ///
    /// # Errors
    /// If it is not acceptable to any configuration; whether AS and identifier are those of the
    /// peer is for the session to say.
    pub fn decode(body: &[u8]) -> Result<Self, OpenError> {
        let mut cursor = Cursor::new(body, HEADER_LEN);
        let (version, asn, seconds, id) =
            fixed(&mut cursor).ok_or(OpenError::Malformed { offset: HEADER_LEN + body.len() })?;
        if version != VERSION {
            return Err(OpenError::Version { version });
        }
        let capabilities = parameters(&mut cursor)?;
        let asn = resolve_asn(asn, capabilities.four_octet_as())?;
        if matches!(seconds, 1 | 2) {
            return Err(OpenError::HoldTime { seconds });
        }
        let hold_time = Duration::from_secs(u64::from(seconds));
        let id = BgpId::try_new(id).ok_or(OpenError::Identifier)?;
        Ok(Self { asn, hold_time, id, capabilities })
    }

    /// Appends the message. AS numbers of four octets need the capability among
    /// [`Self::capabilities`]; it is not added.
    ///
    /// # Errors
    /// If the capabilities have more than 253 octets, or the hold time cannot be sent.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let seconds = u16::try_from(self.hold_time.as_secs())
            .ok()
            .filter(|seconds| !matches!(seconds, 1 | 2) && self.hold_time.subsec_nanos() == 0)
            .ok_or(EncodeError::HoldTime)?;
        let parameters = self.encode_parameters()?;
        write_message(out, MessageType::Open, MAX_MESSAGE_LEN, |out| {
            out.push(VERSION);
            out.extend_from_slice(&self.asn.to_two_octets().to_be_bytes());
            out.extend_from_slice(&seconds.to_be_bytes());
            out.extend_from_slice(&self.id.address().octets());
            out.extend_from_slice(&parameters);
            Ok(())
        })
    }

    /// The length of the optional parameters and the parameters: all capabilities in one.
    fn encode_parameters(&self) -> Result<Vec<u8>, EncodeError> {
        let octets = self.capabilities.octets();
        let too_long = EncodeError::CapabilitiesTooLong { len: octets.len() };
        let len = u8::try_from(octets.len()).ok().filter(|len| *len <= 252).ok_or(too_long)?;
        if len == 0 {
            return Ok(vec![0]);
        }
        let mut parameters = vec![len + 2, PARAMETER_CAPABILITIES, len];
        parameters.extend_from_slice(octets);
        Ok(parameters)
    }
}

/// Version, AS number, hold time, identifier.
fn fixed(cursor: &mut Cursor<'_>) -> Option<(u8, u16, u16, Ipv4Addr)> {
    let version = cursor.u8()?;
    let (asn, seconds) = (cursor.u16()?, cursor.u16()?);
    Some((version, asn, seconds, Ipv4Addr::from(cursor.array::<4>()?)))
}

fn parameters(cursor: &mut Cursor<'_>) -> Result<Capabilities, OpenError> {
    let offset = cursor.offset();
    let malformed = OpenError::Malformed { offset };
    let len = cursor.u8().ok_or(malformed)?;
    // RFC 9072 §2: the type behind the length says it; the length itself should be 255.
    let extended = len != 0 && cursor.rest().first() == Some(&EXTENDED);
    let len = if extended {
        cursor.u8();
        cursor.u16().map(usize::from)
    } else {
        Some(usize::from(len))
    };
    if len != Some(cursor.rest().len()) {
        return Err(malformed);
    }
    let mut capabilities = Capabilities::default();
    while !cursor.is_empty() {
        let offset = cursor.offset();
        let malformed = OpenError::Malformed { offset };
        let kind = cursor.u8().ok_or(malformed)?;
        let len =
            if extended { cursor.u16().map(usize::from) } else { cursor.u8().map(usize::from) };
        let len = len.ok_or(malformed)?;
        let start = cursor.offset();
        let value = cursor.take(len).ok_or(malformed)?;
        if kind != PARAMETER_CAPABILITIES {
            return Err(OpenError::Parameter { kind, offset });
        }
        capabilities.decode_parameter(value, start)?;
    }
    Ok(capabilities)
}

/// RFC 6793 §4.1, RFC 7607 §2.
fn resolve_asn(field: u16, capability: Option<Asn>) -> Result<Asn, OpenError> {
    let field = Asn(u32::from(field));
    let asn = capability.unwrap_or(field);
    let agree = field == Asn::TRANS || field == asn;
    if asn == Asn::ZERO || !agree {
        return Err(OpenError::PeerAs { asn: if agree { 0 } else { field.0 } });
    }
    Ok(asn)
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OPEN as {} id {} hold {} s", self.asn, self.id, self.hold_time.as_secs())?;
        let mut capabilities = self.capabilities.iter();
        capabilities.try_for_each(|capability: Capability| write!(f, ", {capability}"))
    }
}
