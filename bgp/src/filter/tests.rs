// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

fn rules() -> Import {
    let prefixes = |list: &[&str]| list.iter().map(|prefix| prefix.parse().unwrap()).collect();
    Import {
        router_id: "10.1.1.11".parse().unwrap(),
        own_blocks: prefixes(&["10.64.1.0/26", "fd00:64:1::/122"]),
        own_addresses: vec!["10.1.1.11".parse().unwrap(), "192.0.2.9".parse().unwrap()],
        connected: prefixes(&["10.1.1.10/31", "fd00:1::/127"]),
        peers: vec!["192.0.2.1".parse().unwrap()],
    }
}

fn facts(hop: &str) -> Facts {
    Facts {
        own_as: false,
        next_hop: Some(hop.parse().unwrap()),
        originator_id: None,
        own_cluster: false,
    }
}

#[test]
fn less_specific_prefixes_than_ours_are_fine() {
    for prefix in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "10.64.0.0/16", "10.64.1.0/25", "fd00::/8"] {
        assert_eq!(rules().check_prefix(prefix.parse().unwrap()), Ok(()), "{prefix}");
    }
}

#[test]
fn ours_and_whatever_is_inside_is_refused() {
    for (prefix, reason) in [
        ("10.64.1.0/26", RejectReason::OwnBlock),
        ("10.64.1.63/32", RejectReason::OwnBlock),
        ("fd00:64:1::3f/128", RejectReason::OwnBlock),
        ("10.1.1.10/31", RejectReason::UplinkSubnet),
        ("10.1.1.11/32", RejectReason::UplinkSubnet),
        ("fd00:1::1/128", RejectReason::UplinkSubnet),
        ("192.0.2.1/32", RejectReason::PeerAddress),
        ("192.0.2.9/32", RejectReason::OwnAddress),
    ] {
        assert_eq!(rules().check_prefix(prefix.parse().unwrap()), Err(reason), "{prefix}");
    }
    assert_eq!(rules().check_prefix("192.0.2.0/24".parse().unwrap()), Ok(()));
}

#[test]
fn what_is_never_routed_is_refused() {
    for prefix in [
        "0.0.0.0/8",
        "0.1.2.3/32",
        "127.0.0.1/32",
        "169.254.1.1/32",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "255.255.255.255/32",
        "::1/128",
        "::/128",
        "::ffff:10.0.0.0/104",
        "fe80::/10",
        "ff02::/16",
    ] {
        let verdict = rules().check_prefix(prefix.parse().unwrap());
        assert_eq!(verdict, Err(RejectReason::Martian), "{prefix}");
    }
    for prefix in ["1.0.0.0/8", "128.0.0.0/1", "223.255.255.0/24", "2000::/3", "64:ff9b::/96"] {
        assert_eq!(rules().check_prefix(prefix.parse().unwrap()), Ok(()), "{prefix}");
    }
}

#[test]
fn a_gateway_is_a_foreign_unicast_address_on_a_connected_subnet() {
    assert_eq!(rules().check_attrs(facts("10.1.1.10")), Ok(()));
    assert_eq!(rules().check_attrs(facts("fd00:1::")), Ok(()));
    for hop in ["10.1.1.11", "10.1.1.12", "10.64.1.5", "0.0.0.0", "127.0.0.1", "224.0.0.5", "::1"] {
        let verdict = rules().check_attrs(facts(hop));
        assert_eq!(verdict, Err(RejectReason::BadNextHop), "{hop}");
    }
}

#[test]
fn without_known_subnets_only_impossible_gateways_are_refused() {
    let rules = Import { connected: Vec::new(), ..rules() };
    for hop in ["198.51.100.1", "2001:db8::1"] {
        assert_eq!(rules.check_attrs(facts(hop)), Ok(()), "{hop}");
    }
    for hop in ["0.1.2.3", "169.254.1.1", "240.0.0.1", "::", "fe80::1", "ff02::1", "::ffff:1.2.3.4"]
    {
        assert_eq!(rules.check_attrs(facts(hop)), Err(RejectReason::BadNextHop), "{hop}");
    }
}

#[test]
fn own_paths_are_recognised_before_anything_else() {
    let own = Facts { own_as: true, ..facts("127.0.0.1") };
    assert_eq!(rules().check_attrs(own), Err(RejectReason::AsLoop));
    let reflected = Facts { originator_id: Some(rules().router_id), ..facts("127.0.0.1") };
    assert_eq!(rules().check_attrs(reflected), Err(RejectReason::OriginatorLoop));
}

#[test]
fn what_our_cluster_reflected_before_is_refused() {
    let known = Facts { own_cluster: true, ..facts("10.1.1.10") };
    assert_eq!(rules().check_attrs(known), Err(RejectReason::ClusterLoop));
}
