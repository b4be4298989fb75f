// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

fn config() -> SpeakerConfig {
    let peer =
        |name: &str, last: u8| PeerConfig::new(name, IpAddr::from([10, 0, 0, last]), Asn(65_101));
    SpeakerConfig {
        peers: vec![peer("tor1a", 1), peer("tor1b", 2)],
        ..SpeakerConfig::new(Asn(4_200_000_111), "10.0.0.11".parse().unwrap())
    }
}

#[test]
fn the_defaults_are_valid_and_those_of_the_surface() {
    let config = config();
    assert_eq!(config.validate(), Ok(()));
    let timers = config.peers[0].timers;
    assert_eq!((timers.hold_time.as_secs(), timers.keepalive.as_secs()), (9, 3));
    assert_eq!((timers.connect_retry.as_secs(), timers.send_hold.as_secs()), (5, 18));
    assert_eq!(config.peers[0].graceful_restart.restart_time.as_secs(), 30);
    assert_eq!(config.restart_time(), Some(Duration::from_secs(30)));
}

#[test]
fn contradictions_are_named() {
    type Change = fn(&mut SpeakerConfig);
    let cases: [(&str, Change); 17] = [
        ("AS 0 is reserved", |c| c.asn = Asn(0)),
        ("AS 23456 is reserved", |c| c.asn = Asn(23_456)),
        ("max paths must be at least 1", |c| c.max_paths = 0),
        ("two peers are named tor1a", |c| c.peers[1].name = "tor1a".to_owned()),
        ("peer tor1b: address 10.0.0.1 belongs to another peer", |c| {
            c.peers[1].address = c.peers[0].address;
        }),
        ("peer tor1a: AS 65535 is reserved", |c| c.peers[0].asn = Asn(65_535)),
        ("peer tor1a: address or port", |c| c.peers[0].address = Ipv4Addr::UNSPECIFIED.into()),
        ("peer tor1a: address or port", |c| c.peers[0].port = 0),
        ("peer tor1a: local address is of another family", |c| {
            c.peers[0].local_address = Some(Ipv6Addr::LOCALHOST.into());
        }),
        ("peer tor1a: no address family", |c| c.peers[0].families = FamilySet::EMPTY),
        ("peer tor1a: multihop", |c| c.peers[0].multihop = Some(0)),
        ("peer tor1a: hold time", |c| c.peers[0].timers.hold_time = Duration::from_secs(2)),
        ("peer tor1a: hold time", |c| c.peers[0].timers.hold_time = Duration::from_millis(3500)),
        ("peer tor1a: hold time", |c| c.peers[0].timers.keepalive = Duration::ZERO),
        ("peer tor1a: hold time", |c| c.peers[0].timers.send_hold = Duration::from_secs(8)),
        ("peer tor1a: restart time", |c| {
            c.peers[0].graceful_restart.restart_time = Duration::from_secs(4096);
        }),
        ("more than the 10000", |c| c.peers = vec![c.peers[0].clone(); 10_001]),
    ];
    for (text, change) in cases {
        let mut config = config();
        change(&mut config);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains(text), "{error:?} does not say {text:?}");
    }
}

#[test]
fn a_difference_says_whom_it_disturbs() {
    let old = config();
    assert_eq!(old.diff(&old), ConfigDiff::default());

    let mut next = config();
    next.peers[0].port = 1179;
    next.peers[0].passive = true;
    next.peers[1].timers.keepalive = Duration::from_secs(1);
    let live = ConfigDiff {
        changed: vec!["tor1a".to_owned(), "tor1b".to_owned()],
        ..ConfigDiff::default()
    };
    assert_eq!(old.diff(&next), live);

    let resets: [fn(&mut PeerConfig); 7] = [
        |p| p.address = IpAddr::from([10, 0, 0, 9]),
        |p| p.asn = Asn(65_102),
        |p| p.local_address = Some(IpAddr::from([10, 0, 0, 11])),
        |p| p.multihop = Some(2),
        |p| p.families = FamilySet::only(crate::types::Family::Ipv4Unicast),
        |p| p.timers.hold_time = Duration::from_secs(6),
        |p| p.graceful_restart.enabled = false,
    ];
    for change in resets {
        let mut next = config();
        change(&mut next.peers[1]);
        let diff = old.diff(&next);
        assert_eq!((diff.reset, diff.changed), (vec!["tor1b".to_owned()], vec![]));
    }
}

#[test]
fn a_new_identity_resets_every_session() {
    let mut next = config();
    next.router_id = "10.0.0.12".parse().unwrap();
    let diff = config().diff(&next);
    assert!(diff.identity);
    assert_eq!(diff.reset, ["tor1a", "tor1b"]);
}

#[test]
fn a_renamed_peer_is_another_peer() {
    let mut next = config();
    next.peers[0].name = "tor9".to_owned();
    let diff = config().diff(&next);
    assert_eq!((diff.added, diff.removed), (vec!["tor9".to_owned()], vec!["tor1a".to_owned()]));
    assert!(diff.reset.is_empty() && !diff.import);
}

#[test]
fn listeners_and_import_rules_disturb_nobody() {
    let mut next = config();
    next.listen.push("10.0.0.11:179".parse().unwrap());
    next.connected.push("10.0.0.0/24".parse().unwrap());
    let diff = config().diff(&next);
    let expected = ConfigDiff { listeners: true, import: true, ..ConfigDiff::default() };
    assert_eq!(diff, expected);
}
