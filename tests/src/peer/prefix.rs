// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prefixes as the peers print them; deliberately not the type of the speaker under test.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use anyhow::{Context, Error, Result, ensure};

/// An address and a length, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// The length in bits.
    pub length: u8,
}

impl Prefix {
    /// Whether it is an IPv4 prefix.
    pub fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }
}

impl FromStr for Prefix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (address, length) = text.split_once('/').with_context(|| format!("no /: {text:?}"))?;
        let address: IpAddr = address.parse().with_context(|| format!("no address: {text:?}"))?;
        let length = length.parse().with_context(|| format!("no length: {text:?}"))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        ensure!(length <= longest, "too long: {text:?}");
        Ok(Self { address, length })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}
