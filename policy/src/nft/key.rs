// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys of set elements as bytes, in both directions.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    ir::{Key, KeyType, Name, Part},
    nft::netlink::{
        attr::align,
        object::{datatype, set},
    },
};

/// Bytes of an interface name in a register.
const IFNAME: usize = 16;

/// How a set's keys look to the kernel and to the nft program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// nft's code of the type.
    pub(crate) datatype: u32,
    /// Bytes of a key.
    pub(crate) len: u32,
    /// nft's code of the byte order.
    pub(crate) order: u32,
}

/// The layout of a key type.
pub(crate) fn layout(key: KeyType) -> Layout {
    use datatype::{IFNAME, INET_SERVICE, IPV4_ADDR, IPV6_ADDR, pair};
    let (datatype, len, order) = match key {
        KeyType::IfName => (IFNAME, 16, set::ORDER_HOST),
        KeyType::Ipv4 => (IPV4_ADDR, 4, set::ORDER_NETWORK),
        KeyType::Ipv6 => (IPV6_ADDR, 16, set::ORDER_NETWORK),
        KeyType::Port => (INET_SERVICE, 2, set::ORDER_NETWORK),
        KeyType::IfNameIpv4 => (pair(IFNAME, IPV4_ADDR), 20, set::ORDER_MIXED),
        KeyType::IfNameIpv6 => (pair(IFNAME, IPV6_ADDR), 32, set::ORDER_MIXED),
    };
    Layout { datatype, len, order }
}

/// The key type of a layout; `None` if it is none of ours.
pub(crate) fn key_type(datatype: u32, len: u32) -> Option<KeyType> {
    [
        KeyType::IfName,
        KeyType::Ipv4,
        KeyType::Ipv6,
        KeyType::Port,
        KeyType::IfNameIpv4,
        KeyType::IfNameIpv6,
    ]
    .into_iter()
    .find(|key| (layout(*key).datatype, layout(*key).len) == (datatype, len))
}

/// An interface name, padded.
pub(crate) fn ifname(name: &Name) -> [u8; IFNAME] {
    let mut padded = [0; IFNAME];
    for (to, from) in padded.iter_mut().zip(name.as_str().bytes()) {
        *to = from;
    }
    padded
}

/// The kernel's form of an element's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// The key, or the first value of an interval.
    pub(crate) start: Vec<u8>,
    /// For an interval: what comes behind it.
    pub(crate) end: End,
}

/// What comes behind an element's first value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Nothing: the element is a single value.
    Single,
    /// The interval ends before this value.
    Before(Vec<u8>),
    /// The interval reaches to the highest value of the type.
    Open,
}

/// Encodes a key.
pub(crate) fn encode(key: &Key) -> Encoded {
    let mut start = Vec::with_capacity(32);
    match key {
        Key::Single(part) => push_part(&mut start, part),
        Key::Pair(first, second) => {
            push_part(&mut start, first);
            start.resize(align(start.len()), 0);
            push_part(&mut start, second);
            start.resize(align(start.len()), 0);
        }
        Key::Range(from, to) => {
            push_part(&mut start, from);
            let mut end = Vec::with_capacity(start.len());
            push_part(&mut end, to);
            let end =
                if step(&mut end, u8::overflowing_add) { End::Open } else { End::Before(end) };
            return Encoded { start, end };
        }
    }
    Encoded { start, end: End::Single }
}

/// Decodes a key of a set without intervals.
pub(crate) fn decode(key: KeyType, bytes: &[u8]) -> Option<Key> {
    Some(match key {
        KeyType::IfName | KeyType::Ipv4 | KeyType::Ipv6 | KeyType::Port => {
            Key::Single(part(key, bytes)?)
        }
        KeyType::IfNameIpv4 => pair(KeyType::Ipv4, bytes)?,
        KeyType::IfNameIpv6 => pair(KeyType::Ipv6, bytes)?,
    })
}

/// Decodes an interval from its first value and the value behind it; `None` for that means the
/// interval reaches to the highest value.
pub(crate) fn decode_range(key: KeyType, start: &[u8], behind: Option<&[u8]>) -> Option<Key> {
    let mut last = match behind {
        Some(behind) => behind.to_vec(),
        None => vec![0; start.len()],
    };
    step(&mut last, u8::overflowing_sub);
    let (start, last) = (part(key, start)?, part(key, &last)?);
    (start <= last).then_some(Key::Range(start, last))
}

/// Adds or subtracts one in network byte order; true if it wrapped around.
fn step(bytes: &mut [u8], op: fn(u8, u8) -> (u8, bool)) -> bool {
    for byte in bytes.iter_mut().rev() {
        let (value, carry) = op(*byte, 1);
        *byte = value;
        if !carry {
            return false;
        }
    }
    true
}

fn push_part(buf: &mut Vec<u8>, part: &Part) {
    match part {
        Part::IfName(name) => buf.extend_from_slice(&ifname(name)),
        Part::Ipv4(address) => buf.extend_from_slice(&address.octets()),
        Part::Ipv6(address) => buf.extend_from_slice(&address.octets()),
        Part::Port(port) => buf.extend_from_slice(&port.to_be_bytes()),
    }
}

fn pair(second: KeyType, bytes: &[u8]) -> Option<Key> {
    let (name, rest) = bytes.split_at_checked(IFNAME)?;
    Some(Key::Pair(part(KeyType::IfName, name)?, part(second, rest)?))
}

fn part(key: KeyType, bytes: &[u8]) -> Option<Part> {
    match key {
        KeyType::IfName => {
            let text = bytes.split(|byte| *byte == 0).next()?;
            (bytes.len() == IFNAME)
                .then(|| std::str::from_utf8(text).ok())
                .flatten()
                .map(|text| Part::IfName(Name::new(text)))
        }
        KeyType::Ipv4 => Some(Part::Ipv4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        KeyType::Ipv6 => Some(Part::Ipv6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))),
        KeyType::Port => Some(Part::Port(u16::from_be_bytes(bytes.try_into().ok()?))),
        KeyType::IfNameIpv4 | KeyType::IfNameIpv6 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Part {
        Part::Ipv4(text.parse().unwrap())
    }

    #[test]
    fn keys_read_back() {
        let name = Part::IfName(Name::new("rtd0123456789ab"));
        let v6 = Part::Ipv6("fd00::1".parse().unwrap());
        for (kind, key) in [
            (KeyType::IfName, Key::Single(name.clone())),
            (KeyType::Ipv4, Key::Single(v4("10.0.0.1"))),
            (KeyType::Ipv6, Key::Single(v6.clone())),
            (KeyType::Port, Key::Single(Part::Port(443))),
            (KeyType::IfNameIpv4, Key::Pair(name.clone(), v4("10.0.0.1"))),
            (KeyType::IfNameIpv6, Key::Pair(name, v6)),
        ] {
            let encoded = encode(&key);
            assert_eq!(encoded.start.len(), usize::try_from(layout(kind).len).unwrap());
            assert_eq!(encoded.end, End::Single);
            assert_eq!(decode(kind, &encoded.start), Some(key));
        }
    }

    #[test]
    fn intervals_read_back_up_to_the_highest_value() {
        for (from, to) in [
            ("10.0.0.0", "10.255.255.255"),
            ("0.0.0.0", "255.255.255.255"),
            ("240.0.0.0", "255.255.255.255"),
            ("10.0.0.255", "10.0.0.255"),
        ] {
            let key = Key::Range(v4(from), v4(to));
            let encoded = encode(&key);
            let behind = match &encoded.end {
                End::Before(behind) => Some(behind.as_slice()),
                End::Open => None,
                End::Single => panic!("an interval has an end"),
            };
            assert_eq!(behind.is_none(), to == "255.255.255.255");
            assert_eq!(decode_range(KeyType::Ipv4, &encoded.start, behind), Some(key));
        }
    }

    #[test]
    fn layouts_are_distinct_and_foreign_ones_unknown() {
        assert_eq!(key_type(datatype::IPV4_ADDR, 4), Some(KeyType::Ipv4));
        assert_eq!(key_type(datatype::pair(41, 7), 20), Some(KeyType::IfNameIpv4));
        assert_eq!(key_type(datatype::IPV4_ADDR, 16), None);
        assert_eq!(key_type(9, 6), None);
    }

    #[test]
    fn foreign_bytes_are_no_key() {
        assert_eq!(decode(KeyType::Ipv4, &[1, 2, 3]), None);
        assert_eq!(decode(KeyType::IfNameIpv4, &[0; 19]), None);
        assert_eq!(decode(KeyType::IfName, &[0xff; 16]), None);
        assert_eq!(decode_range(KeyType::Ipv4, &[10, 0, 0, 1], Some(&[10, 0, 0, 1])), None);
    }
}
