// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sets shared by content: members of selectors, lists of networks, lists of ports.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::names;
use crate::{
    ir::{Key, KeyType, Name, Part, SetSpec},
    model::{EndpointSelector, Family, Net, PortRange},
};

/// What a generated set holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SetContent {
    /// The addresses of one family of all endpoints that a selector selects.
    Members(EndpointSelector, Family),
    /// What the rule lists, ascending.
    Listed(SetSpec, Vec<Key>),
}

impl SetContent {
    /// The type of the set.
    pub(crate) fn spec(&self) -> SetSpec {
        match self {
            Self::Members(selector, family) => SetSpec {
                key: address_type(*family),
                interval: false,
                verdicts: false,
                comment: Some(names::comment(&selector.to_string())),
            },
            Self::Listed(spec, _) => spec.clone(),
        }
    }
}

/// The set of the members of a selector.
pub(super) fn members(selector: &EndpointSelector, family: Family) -> (Name, SetContent) {
    let name = names::selector_set(selector, family);
    (name, SetContent::Members(selector.clone(), family))
}

/// How a list of networks is matched in one family.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NetMatch {
    /// No address of the family is in it.
    Never,
    /// Every address of the family is in it.
    Always,
    /// One network.
    One(Net),
    /// A set.
    Set(Name, SetContent),
}

/// The cheapest way to match the networks of one family.
pub(super) fn nets(nets: &[Net], family: Family) -> NetMatch {
    let ranges = merge(nets.iter().filter(|net| net.family() == family).map(|net| bounds(*net)));
    let bits = if family == Family::V4 { 32 } else { 128 };
    let last = u128::MAX >> (128 - bits);
    match ranges.as_slice() {
        [] => NetMatch::Never,
        [(0, end)] if *end == last => NetMatch::Always,
        [(start, end)] => match as_net(*start, *end, family) {
            Some(net) => NetMatch::One(net),
            None => net_set(&ranges, family),
        },
        _ => net_set(&ranges, family),
    }
}

fn net_set(ranges: &[(u128, u128)], family: Family) -> NetMatch {
    let interval = ranges.iter().any(|(start, end)| start != end);
    let part = |value| Part::from(address(value, family));
    let key = |(start, end): &(u128, u128)| match interval {
        true => Key::Range(part(*start), part(*end)),
        false => Key::Single(part(*start)),
    };
    let (text, content) = listed(address_type(family), interval, ranges.iter().map(key).collect());
    NetMatch::Set(names::net_set(&text, family), content)
}

/// How a list of ports is matched.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PortMatch {
    /// No port is in it.
    Never,
    /// Every port is in it.
    Always,
    /// One range.
    One(PortRange),
    /// A set.
    Set(Name, SetContent),
}

/// The cheapest way to match ports.
pub(super) fn ports(ports: &[PortRange]) -> PortMatch {
    let bounds = |port: &PortRange| (u128::from(port.start()), u128::from(port.end()));
    let ranges: Vec<(u16, u16)> = merge(ports.iter().map(bounds))
        .into_iter()
        .filter_map(|(start, end)| Some((u16::try_from(start).ok()?, u16::try_from(end).ok()?)))
        .collect();
    match ranges.as_slice() {
        [] => PortMatch::Never,
        [(0, u16::MAX)] => PortMatch::Always,
        [(start, end)] => match PortRange::new(*start, *end) {
            Some(range) => PortMatch::One(range),
            None => PortMatch::Never,
        },
        _ => {
            let interval = ranges.iter().any(|(start, end)| start != end);
            let key = |(start, end): &(u16, u16)| match interval {
                true => Key::Range(Part::Port(*start), Part::Port(*end)),
                false => Key::Single(Part::Port(*start)),
            };
            let (text, content) = listed(KeyType::Port, interval, ranges.iter().map(key).collect());
            PortMatch::Set(names::port_set(&text), content)
        }
    }
}

/// The content of a set of fixed keys, and a text that is the same for the same content only.
fn listed(key: KeyType, interval: bool, keys: Vec<Key>) -> (String, SetContent) {
    let mut text = String::new();
    for (index, key) in keys.iter().enumerate() {
        text.push_str(if index == 0 { "" } else { ", " });
        let _ = match key {
            Key::Range(start, end) if start == end => write!(text, "{start}"),
            key => write!(text, "{key}"),
        };
    }
    let comment = Some(names::comment(&text));
    (text, SetContent::Listed(SetSpec { key, interval, verdicts: false, comment }, keys))
}

fn address_type(family: Family) -> KeyType {
    match family {
        Family::V4 => KeyType::Ipv4,
        Family::V6 => KeyType::Ipv6,
    }
}

/// Sorts ranges and joins those that overlap or touch.
fn merge(ranges: impl Iterator<Item = (u128, u128)>) -> Vec<(u128, u128)> {
    let mut sorted: Vec<_> = ranges.collect();
    sorted.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::new();
    for (start, end) in sorted {
        match merged.last_mut() {
            Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

fn bounds(net: Net) -> (u128, u128) {
    let (start, bits) = match net.address() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let hosts = bits - u32::from(net.length());
    (start, start | (u128::MAX.checked_shr(128 - hosts).unwrap_or(0)))
}

fn address(value: u128, family: Family) -> IpAddr {
    match family {
        // Values of this family come from 32 bits.
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(value).unwrap_or(u32::MAX))),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(value)),
    }
}

/// The network that has exactly these bounds.
fn as_net(start: u128, end: u128, family: Family) -> Option<Net> {
    let bits: u8 = if family == Family::V4 { 32 } else { 128 };
    let hosts = u8::try_from(128 - (end - start).leading_zeros()).ok()?;
    let net = Net::new(address(start, family), bits.checked_sub(hosts)?)?;
    (bounds(net) == (start, end)).then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(list: &[&str], family: Family) -> String {
        let list: Vec<Net> = list.iter().map(|net| net.parse().unwrap()).collect();
        match nets(&list, family) {
            NetMatch::Never => "never".to_owned(),
            NetMatch::Always => "always".to_owned(),
            NetMatch::One(net) => net.to_string(),
            NetMatch::Set(_, SetContent::Listed(spec, keys)) => {
                let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
                format!("{}{}", if spec.interval { "ranges " } else { "" }, keys.join(" "))
            }
            NetMatch::Set(_, SetContent::Members(..)) => unreachable!(),
        }
    }

    #[test]
    fn networks_are_merged() {
        use Family::{V4, V6};
        for (list, family, expected) in [
            (&["fd00::/8"][..], V4, "never"),
            (&["0.0.0.0/0"], V4, "always"),
            (&["0.0.0.0/0"], V6, "never"),
            (&["0.0.0.0/1", "128.0.0.0/1"], V4, "always"),
            (&["::/1", "8000::/1", "10.0.0.0/8"], V6, "always"),
            (&["10.0.0.0/8", "10.1.0.0/16"], V4, "10.0.0.0/8"),
            (&["10.0.0.0/25", "10.0.0.128/25"], V4, "10.0.0.0/24"),
            (&["10.0.0.1", "10.0.0.1/32"], V4, "10.0.0.1/32"),
            (&["fd00::1"], V6, "fd00::1/128"),
            (&["10.0.0.3", "10.0.0.1"], V4, "10.0.0.1 10.0.0.3"),
            (&["10.0.0.1", "10.0.0.2"], V4, "ranges 10.0.0.1-10.0.0.2"),
            (&["10.0.1.0/24", "10.0.2.0/24"], V4, "ranges 10.0.1.0-10.0.2.255"),
            (
                &["10.0.0.0/8", "192.0.2.1", "fd00::/64"],
                V4,
                "ranges 10.0.0.0-10.255.255.255 192.0.2.1-192.0.2.1",
            ),
            (
                &["255.255.255.0/24", "0.0.0.0/8"],
                V4,
                "ranges 0.0.0.0-0.255.255.255 255.255.255.0-255.255.255.255",
            ),
            (
                &["ff00::/8", "::"],
                V6,
                "ranges ::-:: ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            ),
        ] {
            assert_eq!(matched(list, family), expected, "{list:?}");
        }
    }

    #[test]
    fn ports_are_merged() {
        let range = |start, end| PortRange::new(start, end).unwrap();
        assert_eq!(ports(&[]), PortMatch::Never);
        assert_eq!(ports(&[range(0, 80), range(81, u16::MAX)]), PortMatch::Always);
        assert_eq!(ports(&[range(80, 80)]), PortMatch::One(range(80, 80)));
        assert_eq!(ports(&[range(80, 80), range(81, 81)]), PortMatch::One(range(80, 81)));
        let sets = [&[range(443, 443), range(80, 80)][..], &[range(80, 80), range(443, 443)]];
        let [first, second] = sets.map(ports);
        assert_eq!(first, second, "order does not matter");
        assert!(matches!(first, PortMatch::Set(..)));
    }
}
