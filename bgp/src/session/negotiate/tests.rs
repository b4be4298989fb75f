// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::types::Asn;
use crate::wire::{MAX_MESSAGE_LEN, Message, frame};

const OURS: u32 = 4_200_000_111;

fn config(asn: u32) -> PeerConfig {
    PeerConfig::new("tor", "10.0.0.2".parse().unwrap(), Asn(asn))
}

fn local() -> Identity {
    Identity { id: "10.0.0.1".parse().unwrap(), asn: Asn(OURS) }
}

/// The OPEN that a peer with this configuration of us would send.
fn open_of(asn: u32, id: &str, change: impl FnOnce(&mut PeerConfig)) -> Open {
    let mut theirs = PeerConfig::new("node", "10.0.0.1".parse().unwrap(), Asn(OURS));
    change(&mut theirs);
    let identity = Identity { id: id.parse().unwrap(), asn: Asn(asn) };
    decode(&offer(&theirs, identity, RestartBits::default()))
}

fn decode(bytes: &[u8]) -> Open {
    let frame = frame(bytes, MAX_MESSAGE_LEN).unwrap().unwrap();
    match Message::decode(&frame).unwrap() {
        Message::Open(open) => open,
        other => panic!("{other:?} is not an OPEN"),
    }
}

fn refusal(config: &PeerConfig, open: &Open) -> NotificationCode {
    agree(config, local(), open).unwrap_err().notification.code
}

#[test]
fn the_lower_hold_time_counts_and_keepalive_is_a_third_at_most() {
    let open = open_of(65101, "10.0.0.2", |p| p.timers.hold_time = Duration::from_secs(6));
    let agreed = agree(&config(65101), local(), &open).unwrap();
    assert_eq!(agreed.hold, Duration::from_secs(6));
    assert_eq!(agreed.keepalive, Duration::from_secs(2));
    assert_eq!(agreed.families, FamilySet::ALL);
    assert!(agreed.codec.as4 && agreed.codec.ebgp && !agreed.codec.keep_unknown);
}

#[test]
fn hold_time_zero_on_one_side_turns_keepalives_off() {
    let open = open_of(65101, "10.0.0.2", |p| p.timers.hold_time = Duration::ZERO);
    let agreed = agree(&config(65101), local(), &open).unwrap();
    assert_eq!((agreed.hold, agreed.keepalive), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn another_as_than_configured_is_refused_and_both_are_named() {
    let open = open_of(65102, "10.0.0.2", |_| {});
    let refusal = agree(&config(65101), local(), &open).unwrap_err();
    assert_eq!(refusal.notification.code, NotificationCode::BAD_PEER_AS);
    assert!(refusal.text.contains("65102") && refusal.text.contains("65101"));
}

#[test]
fn our_own_identifier_is_refused_inside_the_as_only() {
    let inside = open_of(OURS, "10.0.0.1", |_| {});
    assert_eq!(refusal(&config(OURS), &inside), NotificationCode::BAD_BGP_ID);
    let outside = open_of(65101, "10.0.0.1", |_| {});
    assert!(agree(&config(65101), local(), &outside).is_ok());
}

#[test]
fn only_common_families_are_used_and_none_is_refused() {
    let open = open_of(65101, "10.0.0.2", |p| p.families = FamilySet::only(Family::Ipv6Unicast));
    let agreed = agree(&config(65101), local(), &open).unwrap();
    assert_eq!(agreed.families, FamilySet::only(Family::Ipv6Unicast));
    let mut v4_only = config(65101);
    v4_only.families = FamilySet::only(Family::Ipv4Unicast);
    assert_eq!(refusal(&v4_only, &open), NotificationCode::UNSUPPORTED_CAPABILITY);
}

#[test]
fn restart_bits_are_those_of_the_moment() {
    let bits = RestartBits { restarting: true, forwarding: FamilySet::only(Family::Ipv4Unicast) };
    let open = decode(&offer(&config(65101), local(), bits));
    let restart = open.capabilities.graceful_restart().unwrap();
    assert!(restart.restarted && !restart.notification);
    assert_eq!(restart.restart_time, Duration::from_secs(30));
    assert_eq!(restart.forwarding(Family::Ipv4Unicast), Some(true));
    assert_eq!(restart.forwarding(Family::Ipv6Unicast), Some(false));
}

#[test]
fn graceful_restart_needs_both_sides() {
    let with = open_of(65101, "10.0.0.2", |_| {});
    let without = open_of(65101, "10.0.0.2", |p| p.graceful_restart.enabled = false);
    let mut off = config(65101);
    off.graceful_restart.enabled = false;
    assert!(agree(&config(65101), local(), &with).unwrap().restart.is_some());
    assert!(agree(&config(65101), local(), &without).unwrap().restart.is_none());
    assert!(agree(&off, local(), &with).unwrap().restart.is_none());
    assert!(
        decode(&offer(&off, local(), RestartBits::default()))
            .capabilities
            .graceful_restart()
            .is_none()
    );
}
