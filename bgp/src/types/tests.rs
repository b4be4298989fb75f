// SPDX-License-Identifier: MIT OR Apache-2.0
use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr};

use super::*;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn packed_prefixes_stay_small() {
    assert_eq!(size_of::<Prefix4>(), 5);
    assert_eq!(size_of::<Prefix6>(), 17);
    assert_eq!(size_of::<Prefix>(), 18);
}

#[test]
fn asn_parses_asplain_and_asdot_and_prints_asplain() {
    assert_eq!("4200000113".parse(), Ok(Asn(4_200_000_113)));
    assert_eq!("64086.59905".parse(), Ok(Asn(4_200_000_001)));
    assert_eq!("0.65000".parse::<Asn>().unwrap().to_string(), "65000");
    for bad in
        ["", "-1", "+1", " 1", "4294967296", "1.65536", "65536.1", "1.", ".1", "1.2.3", "as1"]
    {
        let error = bad.parse::<Asn>().unwrap_err().to_string();
        assert!(error.contains("is not an AS number"), "{error}");
    }
}

#[test]
fn asn_knows_width_and_private_ranges() {
    assert_eq!(Asn(65535).to_two_octets(), 65535);
    assert_eq!(Asn(65536).to_two_octets(), 23456);
    assert!(Asn(65536).is_four_octet() && !Asn(65535).is_four_octet());
    assert!(Asn(64512).is_private() && Asn(65534).is_private() && Asn(4_200_000_000).is_private());
    assert!(!Asn(64511).is_private() && !Asn(65535).is_private() && !Asn(u32::MAX).is_private());
}

#[test]
fn bgp_id_is_never_zero() {
    assert_eq!(BgpId::try_new(Ipv4Addr::UNSPECIFIED), None);
    assert!("0.0.0.0".parse::<BgpId>().is_err());
    let (low, high): (BgpId, BgpId) = ("9.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap());
    assert!(low < high, "compared as numbers, not as text");
    assert_eq!(high.to_string(), "10.0.0.1");
}

#[test]
fn prefix_parses_strictly() {
    assert_eq!(prefix("10.1.2.0/24").to_string(), "10.1.2.0/24");
    assert_eq!(prefix("2001:db8::/32").to_string(), "2001:db8::/32");
    assert_eq!(prefix("0.0.0.0/0"), Prefix::DEFAULT_V4);
    assert_eq!(prefix("::/0"), Prefix::DEFAULT_V6);
    for (bad, why) in [
        ("10.1.2.0", "length is missing"),
        ("10.1.2/24", "not an address"),
        ("10.1.2.0/", "not a length"),
        ("10.1.2.0/024", "not a length"),
        ("10.1.2.0/+24", "not a length"),
        ("10.1.2.0/256", "not a length"),
        ("10.1.2.0/33", "larger than 32"),
        ("::/129", "larger than 128"),
        ("10.1.2.3/24", "the prefix is 10.1.2.0/24"),
        ("2001:db8::1/64", "the prefix is 2001:db8::/64"),
        ("fe80::%eth0/64", "not an address"),
    ] {
        let error = bad.parse::<Prefix>().unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(bad), "{bad}: {error}");
    }
}

#[test]
fn prefix_masks_host_bits_on_request() {
    let addr: IpAddr = "10.1.2.3".parse().unwrap();
    assert_eq!(Prefix::new_masked(addr, 24), Ok(prefix("10.1.2.0/24")));
    assert_eq!(Prefix::new_masked(addr, 0), Ok(Prefix::DEFAULT_V4));
    assert_eq!(Prefix::new_masked(addr, 33), Err(PrefixError::Length { len: 33, max: 32 }));
    assert_eq!(
        Prefix::try_from((addr, 24)),
        Err(PrefixError::HostBits { prefix: prefix("10.1.2.0/24") })
    );
    assert_eq!(Prefix::host(addr), prefix("10.1.2.3/32"));
    assert!(Prefix::host(addr).is_host() && !Prefix::DEFAULT_V4.is_host());
}

#[test]
fn prefix_contains_only_its_own_family() {
    let net = prefix("10.1.0.0/16");
    assert!(net.contains(&net) && net.contains(&prefix("10.1.255.0/24")));
    assert!(!net.contains(&prefix("10.0.0.0/8")) && !net.contains(&prefix("10.2.0.0/24")));
    assert!(!Prefix::DEFAULT_V4.contains(&Prefix::DEFAULT_V6));
    assert!(Prefix::DEFAULT_V6.contains(&prefix("2001:db8::/32")));
    assert!(prefix("2001:db8::/32").contains_addr("2001:db8:ffff::1".parse().unwrap()));
    assert!(!prefix("2001:db8::/32").contains_addr("2001:db9::1".parse().unwrap()));
    assert!(net.contains_addr("10.1.9.9".parse().unwrap()));
    assert!(!Prefix::DEFAULT_V4.contains_addr("::1".parse().unwrap()));
}

#[test]
fn prefixes_sort_by_family_address_length() {
    let sorted = ["0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.1.0.0/16", "::/0", "2001:db8::/32"];
    let mut shuffled: Vec<Prefix> = sorted.iter().rev().map(|text| prefix(text)).collect();
    shuffled.sort();
    assert_eq!(shuffled.iter().map(ToString::to_string).collect::<Vec<_>>(), sorted);
}

#[test]
fn communities_parse_and_print() {
    assert_eq!("65000:100".parse(), Ok(Community(0xfde8_0064)));
    assert_eq!(Community(0xfde8_0064).to_string(), "65000:100");
    assert_eq!("no-export".parse(), Ok(Community::NO_EXPORT));
    assert_eq!(Community::BLACKHOLE.to_string(), "65535:666");
    assert_eq!(Community::BLACKHOLE.name(), Some("blackhole"));
    assert_eq!("4200000113:1:2".parse(), Ok(LargeCommunity::new(4_200_000_113, 1, 2)));
    assert_eq!(LargeCommunity::new(1, 2, u32::MAX).to_string(), "1:2:4294967295");
    for bad in ["65536:1", "1:65536", "1", "1:2:3", "no-such", "-1:1", ""] {
        assert!(bad.parse::<Community>().is_err(), "{bad}");
    }
    for bad in ["1:2", "1:2:3:4", "4294967296:1:1", "a:b:c", ""] {
        assert!(bad.parse::<LargeCommunity>().is_err(), "{bad}");
    }
}

#[test]
fn ext_communities_print_targets_and_origins() {
    for (octets, text) in [
        ([0, 2, 0xfd, 0xe8, 0, 0, 0, 100], "rt:65000:100"),
        ([1, 3, 10, 0, 0, 1, 0, 7], "ro:10.0.0.1:7"),
        ([2, 2, 0, 1, 0, 0, 0, 9], "rt:65536:9"),
        ([0x43, 0, 0, 0, 0, 0, 0, 1], "0x4300000000000001"),
        ([0x80, 2, 0, 0, 0, 0, 0, 1], "0x8002000000000001"),
    ] {
        assert_eq!(ExtCommunity(octets).to_string(), text);
    }
    assert!(ExtCommunity([0, 2, 0, 0, 0, 0, 0, 0]).is_transitive());
    assert!(!ExtCommunity([0x40, 4, 0, 0, 0, 0, 0, 0]).is_transitive());
}

#[test]
fn families_map_to_numbers_and_back() {
    for family in Family::ALL {
        assert_eq!(Family::from_afi_safi(family.afi_safi()), Some(family));
        assert!(FamilySet::ALL.contains(family) && !FamilySet::EMPTY.contains(family));
    }
    assert_eq!(Family::from_afi_safi(AfiSafi { afi: 1, safi: 2 }), None);
    assert_eq!(AfiSafi { afi: 25, safi: 70 }.to_string(), "25/70");
    let mut set = FamilySet::only(Family::Ipv6Unicast);
    assert_eq!(set.iter().collect::<Vec<_>>(), [Family::Ipv6Unicast]);
    set.insert(Family::Ipv4Unicast);
    assert_eq!(set, FamilySet::ALL);
    set.remove(Family::Ipv6Unicast);
    assert_eq!(set, FamilySet::only(Family::Ipv4Unicast));
    assert!(set.intersection(FamilySet::only(Family::Ipv6Unicast)).is_empty());
}
