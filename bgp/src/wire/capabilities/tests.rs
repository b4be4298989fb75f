// SPDX-License-Identifier: MIT OR Apache-2.0
use std::time::Duration;

use super::super::capability::RestartFamily;
use super::*;
use crate::types::AfiSafi;

fn of(list: &[Capability]) -> Capabilities {
    Capabilities::try_new(list).unwrap()
}

#[test]
fn what_is_valid_can_be_read_and_the_other_way_round() {
    for code in 0..=255 {
        for len in 0..=30 {
            for fill in [0, 1, 3, 255] {
                let value = vec![fill; len];
                let read = Capability::decode(code, &value);
                assert_eq!(read.is_some(), Capability::is_valid(code, &value), "{code} {value:?}");
                assert!(read.is_none_or(|capability| capability.code() == code));
            }
        }
    }
}

#[test]
fn without_multiprotocol_it_is_ipv4_unicast() {
    assert_eq!(of(&[]).families(), FamilySet::only(Family::Ipv4Unicast));
    let v6 = Capability::Multiprotocol(Family::Ipv6Unicast.into());
    assert_eq!(of(std::slice::from_ref(&v6)).families(), FamilySet::only(Family::Ipv6Unicast));
    let vpn = Capability::Multiprotocol(AfiSafi { afi: 1, safi: 128 });
    assert_eq!(of(std::slice::from_ref(&vpn)).families(), FamilySet::EMPTY);
    let v4 = Capability::Multiprotocol(Family::Ipv4Unicast.into());
    assert_eq!(of(&[v6, vpn, v4]).families(), FamilySet::ALL);
}

#[test]
fn the_last_of_repeated_capabilities_counts() {
    let restart = |seconds| {
        Capability::GracefulRestart(GracefulRestart {
            restart_time: Duration::from_secs(seconds),
            ..GracefulRestart::default()
        })
    };
    let both = of(&[restart(10), Capability::RouteRefresh, restart(20)]);
    assert_eq!(both.graceful_restart().unwrap().restart_time.as_secs(), 20);
}

#[test]
fn accessors_find_what_is_there() {
    let family = Family::Ipv6Unicast.afi_safi();
    let add_path = AddPath { family, receive: true, send: false };
    let next_hop = ExtendedNextHop { afi: 1, safi: 1, next_hop_afi: 2 };
    let restart = GracefulRestart {
        families: vec![RestartFamily { family, forwarding: true }],
        ..GracefulRestart::default()
    };
    let all = of(&[
        Capability::OldRouteRefresh,
        Capability::EnhancedRefresh,
        Capability::ExtendedMessage,
        Capability::FourOctetAs(Asn(70000)),
        Capability::ExtendedNextHop(vec![next_hop]),
        Capability::Role(Role::Customer),
        Capability::GracefulRestart(restart),
        Capability::AddPath(vec![add_path]),
    ]);
    assert!(all.route_refresh() && all.enhanced_refresh() && all.extended_message());
    assert_eq!((all.four_octet_as(), all.role()), (Some(Asn(70000)), Some(Role::Customer)));
    assert!(all.extended_next_hop());
    assert_eq!(all.add_path(Family::Ipv6Unicast), Some(add_path));
    assert_eq!(all.add_path(Family::Ipv4Unicast), None);
    let restart = all.graceful_restart().unwrap();
    assert_eq!(restart.forwarding(Family::Ipv6Unicast), Some(true));
    assert_eq!(restart.forwarding(Family::Ipv4Unicast), None);

    let none = of(&[Capability::RouteRefresh]);
    assert!(none.route_refresh() && !none.enhanced_refresh() && !none.extended_message());
    assert_eq!((none.four_octet_as(), none.role()), (None, None));
    assert!(!none.extended_next_hop() && none.graceful_restart().is_none());
    let other = ExtendedNextHop { afi: 1, safi: 128, next_hop_afi: 2 };
    assert!(!of(&[Capability::ExtendedNextHop(vec![other])]).extended_next_hop());
}

#[test]
fn times_that_do_not_fit_are_cut_to_the_largest() {
    let long = Duration::from_secs(1 << 40);
    let restart = GracefulRestart { restart_time: long, ..GracefulRestart::default() };
    let all = of(&[Capability::GracefulRestart(restart)]);
    assert_eq!(all.graceful_restart().unwrap().restart_time.as_secs(), 4095);
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let fqdn = Capability::Fqdn { host: vec![b'h'; 200].into(), domain: vec![b'd'; 60].into() };
    let error = EncodeError::CapabilityTooLong { code: 73, len: 262 };
    assert_eq!(Capabilities::try_new([&fqdn]), Err(error));
    let unknown = Capability::Unknown { code: 200, value: vec![0; 256].into() };
    assert!(Capabilities::try_new([&unknown]).is_err());
}

#[test]
fn add_path_entries_without_a_direction_are_ignored() {
    let read = Capability::decode(number::ADD_PATH, &[0, 1, 1, 0, 0, 2, 1, 3, 0, 1, 1, 4]);
    let family = Family::Ipv6Unicast.afi_safi();
    let entry = AddPath { family, receive: true, send: true };
    assert_eq!(read, Some(Capability::AddPath(vec![entry])));
}
