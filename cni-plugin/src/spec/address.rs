// SPDX-License-Identifier: MIT OR Apache-2.0
//! MAC and IP addresses as runtimes write them.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::error::shorten;

/// A MAC address, written as six lower-case hexadecimal bytes with colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().ok_or(MacError)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacError)?;
        }
        if parts.next().is_some() { Err(MacError) } else { Ok(Self(bytes)) }
    }
}

impl Mac {
    /// Whether an interface can have this address: not all zero, not a group address.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

/// Text that is not a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacError;

impl fmt::Display for MacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a MAC address of six hexadecimal bytes")
    }
}

impl std::error::Error for MacError {}

/// Reads a MAC address that an interface can have.
pub(super) fn parse_mac(text: &str) -> Result<Mac, String> {
    let mac: Mac = text.parse().map_err(|e| format!("{:?} is {e}", shorten(text)))?;
    if mac.is_unicast() { Ok(mac) } else { Err(format!("{mac} is not a unicast address")) }
}

/// Reads an address with or without a prefix length; the length is not used.
pub(super) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    let (ip, len) = text.split_once('/').map_or((text, None), |(ip, len)| (ip, Some(len)));
    let wrong = || format!("{:?} is not an IP address", shorten(text));
    let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
    let max = if ip.is_ipv4() { 32 } else { 128 };
    match len.map(str::parse::<u8>) {
        None => Ok(ip),
        Some(Ok(len)) if len <= max => Ok(ip),
        Some(_) => Err(wrong()),
    }
}
