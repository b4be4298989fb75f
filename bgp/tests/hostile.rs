// SPDX-License-Identifier: MIT OR Apache-2.0
//! One speaker and a scripted peer that says whatever the script says, octet by octet.
#![expect(clippy::unwrap_used, reason = "a failing step fails the test")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bgp::wire::{
    self, Attributes, Capabilities, Capability, CodecCtx, GracefulRestart, Message, MessageType,
    NextHop, Nlri, Notification, NotificationCode, Open, RestartFamily,
};
use bgp::{
    Asn, ConnId, DownReason, Event, Family, FamilySet, Originate, PeerConfig, PeerEvent,
    PeerStatus, Prefix, RibQuery, RibView, Speaker, SpeakerConfig, Start, State, Transmit,
};
use bytes::Bytes;
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);
const US: &str = "10.0.0.1";
const THEM: &str = "10.0.0.2";

/// The speaker, the clock and everything it said.
struct Script {
    speaker: Speaker,
    now: Instant,
    said: Vec<(ConnId, Bytes)>,
    closed: Vec<ConnId>,
    dialled: Vec<ConnId>,
    events: Vec<Event>,
}

impl Script {
    fn new(change: impl FnOnce(&mut SpeakerConfig)) -> Self {
        let mut peer = PeerConfig::new("them", THEM.parse().unwrap(), Asn(65002));
        peer.passive = true;
        peer.next_hop_v6 = Some("fd00::1".parse().unwrap());
        let mut config = SpeakerConfig {
            own_blocks: vec!["10.64.1.0/26".parse().unwrap()],
            own_addresses: vec![US.parse().unwrap()],
            connected: vec!["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()],
            peers: vec![peer],
            ..SpeakerConfig::new(Asn(65001), US.parse().unwrap())
        };
        change(&mut config);
        let now = Instant::now();
        let speaker = Speaker::try_new(config, Start::Cold, now).unwrap();
        let mut script = Self {
            speaker,
            now,
            said: Vec::new(),
            closed: Vec::new(),
            dialled: Vec::new(),
            events: Vec::new(),
        };
        script.drain();
        script
    }

    /// A speaker whose own connection is made, and another one of the peer beside it.
    fn collision() -> (Self, ConnId, ConnId) {
        let mut script = Self::new(|config| config.peers[0].passive = false);
        let ours = script.dialled[0];
        let event = PeerEvent::Connected { conn: ours, local: US.parse().unwrap() };
        script.speaker.handle_input(event, script.now);
        let theirs = script.connect().unwrap();
        script.said.clear();
        (script, ours, theirs)
    }

    /// What was said on a connection, in order.
    fn said_on(&self, conn: ConnId) -> Vec<MessageType> {
        let on = self.said.iter().filter(|(at, _)| *at == conn);
        on.map(|(_, octets)| decode(octets).kind()).collect()
    }

    /// A speaker with an Established session.
    fn established() -> (Self, ConnId) {
        let mut script = Self::new(|_| {});
        let conn = script.connect().unwrap();
        script.say(conn, &open(|_| {}));
        script.say(conn, &keepalive());
        assert_eq!(script.peer().state, State::Established);
        script.said.clear();
        (script, conn)
    }

    fn connect(&mut self) -> Option<ConnId> {
        self.connect_from(THEM)
    }

    fn connect_from(&mut self, remote: &str) -> Option<ConnId> {
        let (remote, local): (IpAddr, IpAddr) = (remote.parse().unwrap(), US.parse().unwrap());
        let accepted = self.speaker.accept(remote, local, self.now);
        self.drain();
        accepted.map(|accepted| accepted.conn)
    }

    fn say(&mut self, conn: ConnId, octets: &[u8]) {
        let message = Bytes::copy_from_slice(octets);
        self.speaker.handle_input(PeerEvent::Received { conn, message }, self.now);
        self.drain();
    }

    fn hang_up(&mut self, conn: ConnId) {
        let event = PeerEvent::Closed { conn, error: String::new() };
        self.speaker.handle_input(event, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            while let Some(transmit) = self.speaker.poll_transmit() {
                match transmit {
                    Transmit::Dial(dial) => self.dialled.push(dial.conn),
                    Transmit::Close { conn } => self.closed.push(conn),
                    Transmit::Send { conn, mut chunk } => {
                        let event = PeerEvent::Written { conn, chunks: 1 };
                        self.speaker.handle_input(event, self.now);
                        while let Some(frame) = wire::frame(&chunk, 4096).unwrap() {
                            let len = frame.message.len();
                            self.said.push((conn, chunk.split_to(len)));
                        }
                    }
                }
            }
            self.events.extend(std::iter::from_fn(|| self.speaker.poll_event()));
            if self.speaker.poll_timeout().is_none_or(|at| at > self.now) {
                return;
            }
            self.speaker.handle_timeout(self.now);
        }
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.speaker.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.speaker.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    fn peer(&self) -> PeerStatus {
        self.speaker.peers(self.now).remove(0)
    }

    /// The NOTIFICATION the speaker sent last.
    fn notification(&self) -> Option<Notification> {
        self.said.iter().rev().find_map(|(_, octets)| match decode(octets) {
            Message::Notification(notification) => Some(notification),
            _ => None,
        })
    }

    fn updates(&self) -> usize {
        self.said.iter().filter(|(_, m)| decode(m).kind() == MessageType::Update).count()
    }

    /// Prefixes in a table, with the reason of each.
    fn table(&self, view: RibView) -> Vec<(String, &'static str)> {
        let routes = self.speaker.rib(&RibQuery { view, ..RibQuery::default() });
        routes.iter().map(|r| (r.prefix.to_string(), r.reason.as_str())).collect()
    }
}

fn decode(octets: &[u8]) -> Message<'_> {
    Message::decode(&wire::frame(octets, 4096).unwrap().unwrap()).unwrap()
}

fn open(change: impl FnOnce(&mut Open)) -> Vec<u8> {
    let list = [
        Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi()),
        Capability::Multiprotocol(Family::Ipv6Unicast.afi_safi()),
        Capability::FourOctetAs(Asn(65002)),
    ];
    let mut open = Open {
        asn: Asn(65002),
        hold_time: SECOND * 9,
        id: THEM.parse().unwrap(),
        capabilities: Capabilities::try_new(&list).unwrap(),
    };
    change(&mut open);
    let mut out = Vec::new();
    open.encode(&mut out).unwrap();
    out
}

fn restartable(restarted: bool) -> Vec<u8> {
    open(|open| {
        let families = [Family::Ipv4Unicast, Family::Ipv6Unicast];
        let families = families
            .map(|family| RestartFamily { family: family.afi_safi(), forwarding: true })
            .to_vec();
        let restart = GracefulRestart {
            restarted,
            notification: false,
            restart_time: SECOND * 120,
            families,
        };
        open.capabilities.try_push(&Capability::GracefulRestart(restart)).unwrap();
    })
}

fn keepalive() -> Vec<u8> {
    let mut out = Vec::new();
    wire::encode_keepalive(&mut out);
    out
}

fn raw(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xff; 16];
    out.extend_from_slice(&u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    out.push(kind);
    out.extend_from_slice(body);
    out
}

fn refresh(family: Family) -> Vec<u8> {
    raw(5, &[0, u8::try_from(family.afi()).unwrap(), 0, 1])
}

fn update(prefixes: &[&str], change: impl FnOnce(&mut Attributes)) -> Vec<u8> {
    let ctx = CodecCtx { as4: true, families: FamilySet::ALL, ..CodecCtx::default() };
    let mut attrs = Attributes {
        as_path: wire::AsPath::sequence([Asn(65002)]),
        next_hop: Some(NextHop::V4(THEM.parse().unwrap())),
        ..Attributes::default()
    };
    change(&mut attrs);
    let prefixes: Vec<Prefix> = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
    let family = prefixes[0].family();
    let mut out = Vec::new();
    let nlri = prefixes.into_iter().map(Nlri::from);
    wire::encode_reach(&ctx, family, &attrs, nlri, &mut out).unwrap();
    out
}

#[test]
fn opens_that_no_configuration_allows_are_refused_by_the_book() {
    let good = open(|_| {});
    let patched = |at: usize, value: &[u8]| {
        let mut octets = good.clone();
        octets[at..at + value.len()].copy_from_slice(value);
        octets
    };
    let cases = [
        ("version 3", patched(19, &[3]), (2, 1), vec![0, 4]),
        ("hold time 1", patched(22, &[0, 1]), (2, 6), vec![]),
        ("hold time 2", patched(22, &[0, 2]), (2, 6), vec![]),
        ("identifier 0", patched(24, &[0, 0, 0, 0]), (2, 3), vec![]),
        ("other AS", open(|open| open.asn = Asn(65003)), (2, 2), vec![]),
        ("marker", patched(3, &[0]), (1, 1), vec![]),
        ("type 9", raw(9, &[]), (1, 3), vec![9]),
        ("keepalive with body", raw(4, &[1]), (1, 2), vec![0, 20]),
    ];
    for (name, octets, code, data) in cases {
        let mut script = Script::new(|_| {});
        let conn = script.connect().unwrap();
        script.say(conn, &octets);
        let notification = script.notification().unwrap_or_else(|| panic!("{name}: silence"));
        assert_eq!((notification.code.code, notification.code.subcode), code, "{name}");
        if !data.is_empty() {
            assert_eq!(notification.data, data, "{name}");
        }
        assert_eq!(script.closed, [conn], "{name}");
        assert_ne!(script.peer().state, State::Established, "{name}");
    }
}

#[test]
fn messages_out_of_place_reset_with_the_state_in_the_subcode() {
    let phases: [(&str, Vec<Vec<u8>>, u8); 3] = [
        ("OpenSent", vec![], 1),
        ("OpenConfirm", vec![open(|_| {})], 2),
        ("Established", vec![open(|_| {}), keepalive()], 3),
    ];
    for (name, before, subcode) in phases {
        let all = [
            ("open", open(|_| {}), [false, true, true]),
            ("update", update(&["203.0.113.0/24"], |_| {}), [true, true, false]),
            ("keepalive", keepalive(), [true, false, false]),
            ("refresh", refresh(Family::Ipv4Unicast), [true, true, false]),
        ];
        for (kind, octets, is_wrong) in all {
            let mut script = Script::new(|_| {});
            let conn = script.connect().unwrap();
            before.iter().for_each(|message| script.say(conn, message));
            script.say(conn, &octets);
            let code = script.notification().map(|notification| notification.code);
            let wrong = is_wrong[usize::from(subcode) - 1];
            let expected = wrong.then(|| NotificationCode::new(5, subcode));
            assert_eq!(code, expected, "{kind} in {name}");
            if wrong {
                let down = script.peer().last_down.unwrap();
                assert_eq!(down.reason, DownReason::UnexpectedMessage, "{kind} in {name}");
            }
        }
    }
}

#[test]
fn a_notification_is_never_answered_and_its_text_is_kept() {
    let (mut script, conn) = Script::established();
    let cease =
        Notification::with_text(NotificationCode::ADMINISTRATIVE_RESET, "try again").unwrap();
    let mut octets = Vec::new();
    wire::encode_notification(&CodecCtx::default(), &cease, &mut octets).unwrap();
    script.say(conn, &octets);
    assert!(script.said.is_empty(), "{:?}", script.said);
    assert_eq!(script.closed, [conn]);
    let down = script.peer().last_down.unwrap();
    assert_eq!((down.code, down.subcode, down.text.as_str()), (6, 4, "try again"));
}

#[test]
fn strangers_and_second_half_open_connections_are_refused_and_counted() {
    let mut script = Script::new(|_| {});
    assert_eq!(script.connect_from("10.0.0.77"), None);
    assert_eq!(script.speaker.stats().unknown_peer, 1);
    let conn = script.connect().unwrap();
    for _ in 0..100 {
        assert_eq!(script.connect(), None);
    }
    assert_eq!(script.speaker.stats().refused, 100);
    // The pending one has seconds, not minutes.
    script.pass(SECOND * 8);
    assert_eq!(script.closed, [conn]);
    assert_eq!(script.peer().last_down.unwrap().reason, DownReason::OpenTimerExpired);
    // A v4-mapped address is the v4 peer.
    assert!(script.connect_from("::ffff:10.0.0.2").is_some());
}

#[test]
fn a_peer_that_fails_again_and_again_is_refused_for_seconds() {
    let mut script = Script::new(|_| {});
    let mut refused = 0;
    for _ in 0..300 {
        match script.connect() {
            Some(conn) => script.say(conn, &raw(9, &[])),
            None => refused += 1,
        }
        script.pass(SECOND);
    }
    assert!((150..=260).contains(&refused), "{refused} of 300 attempts in 300 s were refused");
    script.pass(SECOND * 6);
    assert!(script.connect().is_some());
}

#[test]
fn an_open_that_drips_is_cut_off_and_keepalives_alone_hold_the_session() {
    let (mut script, conn) = Script::established();
    for _ in 0..100 {
        script.pass(SECOND * 8);
        script.say(conn, &keepalive());
    }
    assert_eq!(script.peer().state, State::Established);
    script.pass(SECOND * 9);
    assert_eq!(script.notification().unwrap().code, NotificationCode::HOLD_TIMER_EXPIRED);
    assert_eq!(script.closed, [conn]);
}

#[test]
fn events_of_dead_and_unknown_connections_are_ignored() {
    let (mut script, conn) = Script::established();
    script.hang_up(conn);
    for id in [conn, ConnId(0), ConnId(u64::MAX), ConnId(conn.0 + 1)] {
        script.say(id, &keepalive());
        script.say(id, &[]);
        script.hang_up(id);
        script.speaker.handle_input(PeerEvent::Broken { conn: id }, script.now);
        let event = PeerEvent::Connected { conn: id, local: US.parse().unwrap() };
        script.speaker.handle_input(event, script.now);
    }
    script.drain();
    assert!(script.said.is_empty());
}

#[test]
fn prefixes_and_gateways_that_would_harm_the_node_are_refused_with_a_reason() {
    let hop = |hop: &str| {
        let hop: IpAddr = hop.parse().unwrap();
        move |attrs: &mut Attributes| {
            attrs.next_hop = Some(match hop {
                IpAddr::V4(v4) => NextHop::V4(v4),
                IpAddr::V6(v6) => NextHop::V6(v6),
            });
        }
    };
    let path = |asns: &[u32]| {
        let path = wire::AsPath::sequence(asns.iter().copied().map(Asn));
        move |attrs: &mut Attributes| attrs.as_path = path.clone()
    };
    type Change = Box<dyn Fn(&mut Attributes)>;
    let none = || -> Change { Box::new(|_| {}) };
    let cases: Vec<(&str, Change, &str)> = vec![
        ("203.0.113.0/24", none(), "onlyPath"),
        ("0.0.0.0/0", none(), "onlyPath"),
        ("10.64.0.0/16", none(), "onlyPath"),
        ("10.64.1.0/26", none(), "ownBlock"),
        ("10.64.1.5/32", none(), "ownBlock"),
        ("10.0.0.0/24", none(), "uplinkSubnet"),
        ("10.0.0.2/32", none(), "uplinkSubnet"),
        ("127.0.0.0/8", none(), "martian"),
        ("169.254.1.1/32", none(), "martian"),
        ("224.0.0.0/4", none(), "martian"),
        ("203.0.113.0/25", Box::new(path(&[65002, 65001, 65003])), "asLoop"),
        ("203.0.113.1/32", Box::new(hop("10.0.0.1")), "badNextHop"),
        ("203.0.113.2/32", Box::new(hop("10.0.1.1")), "badNextHop"),
        ("203.0.113.3/32", Box::new(hop("10.64.1.7")), "badNextHop"),
        ("203.0.113.4/32", Box::new(hop("127.0.0.1")), "badNextHop"),
        ("203.0.113.5/32", Box::new(hop("10.0.0.3")), "onlyPath"),
        ("2001:db8::/32", Box::new(hop("fd00::2")), "onlyPath"),
        ("2001:db8:1::/48", Box::new(hop("::1")), "badNextHop"),
        ("2001:db8:2::/48", Box::new(hop("::ffff:10.0.0.2")), "badNextHop"),
        ("2001:db8:3::/48", Box::new(hop("fe80::2")), "badNextHop"),
        ("2001:db8:4::/48", Box::new(hop("fd01::2")), "badNextHop"),
        ("fe80::/64", Box::new(hop("fd00::2")), "martian"),
        ("fd00::/64", Box::new(hop("fd00::2")), "uplinkSubnet"),
        ("fd00::9/128", Box::new(hop("fd00::2")), "uplinkSubnet"),
    ];
    for (prefix, change, reason) in cases {
        let (mut script, conn) = Script::established();
        script.say(conn, &update(&[prefix], |attrs| change(attrs)));
        let accepted = reason == "onlyPath";
        let (mine, other) = if accepted {
            (RibView::Loc, RibView::Rejected)
        } else {
            (RibView::Rejected, RibView::Loc)
        };
        assert_eq!(script.table(mine), [(prefix.to_owned(), reason)], "{prefix}");
        assert!(script.table(other).is_empty(), "{prefix}");
        let published = script.events.iter().any(|e| matches!(e, Event::BestPaths { .. }));
        assert_eq!(published, accepted, "{prefix}");
        assert_eq!(script.peer().families[0].received + script.peer().families[1].received, 1);
    }
}

#[test]
fn a_host_route_to_a_distant_peer_is_refused() {
    let mut script = Script::new(|config| {
        config.peers.push(PeerConfig::new("far", "192.0.2.1".parse().unwrap(), Asn(65002)));
        config.peers[1].passive = true;
    });
    let conn = script.connect().unwrap();
    script.say(conn, &open(|_| {}));
    script.say(conn, &keepalive());
    script.say(conn, &update(&["192.0.2.1/32"], |_| {}));
    assert_eq!(script.table(RibView::Rejected)[0].1, "peerAddress");
}

#[test]
fn a_reflected_path_of_our_own_is_refused() {
    let mut script = Script::new(|config| config.peers[0].asn = Asn(65001));
    let conn = script.connect().unwrap();
    let list = [
        Capability::Multiprotocol(Family::Ipv4Unicast.afi_safi()),
        Capability::FourOctetAs(Asn(65001)),
    ];
    let capabilities = Capabilities::try_new(&list).unwrap();
    script.say(
        conn,
        &open(|open| {
            open.asn = Asn(65001);
            open.capabilities = capabilities;
        }),
    );
    script.say(conn, &keepalive());
    let ctx = CodecCtx { as4: true, ebgp: false, ..CodecCtx::default() };
    let mut attrs = Attributes {
        next_hop: Some(NextHop::V4(THEM.parse().unwrap())),
        local_pref: Some(100),
        ..Attributes::default()
    };
    attrs.reflection.originator_id = Some(US.parse().unwrap());
    attrs.reflection.cluster_list = Box::new([[1, 1, 1, 1].into()]);
    let nlri: Nlri = "203.0.113.0/24".parse::<Prefix>().unwrap().into();
    let mut out = Vec::new();
    wire::encode_reach(&ctx, Family::Ipv4Unicast, &attrs, [nlri], &mut out).unwrap();
    script.say(conn, &out);
    assert_eq!(script.table(RibView::Rejected)[0].1, "originatorLoop");
    attrs.reflection.originator_id = Some("10.0.0.9".parse().unwrap());
    out.clear();
    wire::encode_reach(&ctx, Family::Ipv4Unicast, &attrs, [nlri], &mut out).unwrap();
    script.say(conn, &out);
    assert_eq!(script.table(RibView::Loc)[0].1, "onlyPath");
}

#[test]
fn a_malformed_update_withdraws_and_one_beyond_repair_resets() {
    let (mut script, conn) = Script::established();
    let good = update(&["203.0.113.0/24"], |_| {});
    script.say(conn, &good);
    assert_eq!(script.table(RibView::Loc).len(), 1);
    // ORIGIN 9: treat as withdraw (RFC 7606 §7.1).
    let mut bad = good.clone();
    let origin = bad.windows(4).position(|w| w == [0x40, 1, 1, 0]).unwrap();
    bad[origin + 3] = 9;
    script.say(conn, &bad);
    assert!(script.table(RibView::Loc).is_empty());
    assert_eq!(script.peer().state, State::Established);
    assert_eq!(script.speaker.stats().treated_as_withdraw, 1);
    // A withdrawn length beyond the message: reset.
    script.say(conn, &raw(2, &[0xff, 0xff, 0, 0]));
    assert_eq!(script.notification().unwrap().code, NotificationCode::MALFORMED_ATTRIBUTE_LIST);
    assert_eq!(script.peer().last_down.unwrap().reason, DownReason::MalformedMessage);
}

#[test]
fn withdrawn_prefixes_and_lost_sessions_leave_nothing() {
    let (mut script, conn) = Script::established();
    script.say(conn, &update(&["203.0.113.0/24", "198.51.100.0/24", "10.64.1.0/26"], |_| {}));
    let status = script.peer().families[0];
    assert_eq!((status.received, status.accepted), (3, 2));
    let mut out = Vec::new();
    let nlri: Nlri = "203.0.113.0/24".parse::<Prefix>().unwrap().into();
    wire::encode_unreach(&CodecCtx::default(), Family::Ipv4Unicast, [nlri], &mut out).unwrap();
    script.say(conn, &out);
    assert_eq!(script.table(RibView::Loc).len(), 1);
    assert_eq!(script.peer().families[0].received, 2);
    script.hang_up(conn);
    assert_eq!(script.speaker.stats().prefixes, 0);
    let last = script.events.iter().rev().find_map(|event| match event {
        Event::BestPaths { prefix, paths } => Some((prefix.to_string(), paths.is_some())),
        Event::Synced => None,
    });
    assert_eq!(last, Some(("198.51.100.0/24".to_owned(), false)));
}

#[test]
fn a_route_refresh_repeats_one_family_and_a_storm_once_a_second() {
    let (mut script, conn) = Script::established();
    for (prefix, count) in [("10.64.1.0/26", 1), ("fd00:64:1::/122", 2)] {
        script.speaker.originate(prefix.parse().unwrap(), Some(Originate::default()));
        script.drain();
        assert_eq!(script.updates(), count);
    }
    script.say(conn, &refresh(Family::Ipv4Unicast));
    assert_eq!(script.updates(), 3);
    script.say(conn, &refresh(Family::Ipv6Unicast));
    assert_eq!(script.updates(), 4);
    script.pass(SECOND * 2);
    for _ in 0..5000 {
        script.say(conn, &refresh(Family::Ipv4Unicast));
        script.pass(Duration::from_millis(1));
    }
    script.say(conn, &keepalive());
    script.pass(SECOND);
    let answers = script.updates() - 4;
    assert!((5..=7).contains(&answers), "{answers} answers in six seconds");
    // A family that is not ours, and markers of others' refreshes, are nothing to answer.
    let before = script.updates();
    script.say(conn, &raw(5, &[0, 25, 0, 70]));
    script.say(conn, &raw(5, &[0, 1, 1, 1]));
    script.pass(SECOND * 2);
    assert_eq!(script.updates(), before);
}

#[test]
fn a_restarting_peer_is_waited_for_and_its_word_counts_per_family() {
    let mut script = Script::new(|_| {});
    let conn = script.connect().unwrap();
    script.say(conn, &restartable(true));
    script.say(conn, &keepalive());
    let synced = |script: &Script| script.events.contains(&Event::Synced);
    let eor = |family| {
        let mut out = Vec::new();
        wire::encode_end_of_rib(family, &mut out);
        out
    };
    script.pass(SECOND * 3);
    script.say(conn, &keepalive());
    script.say(conn, &eor(Family::Ipv4Unicast));
    assert!(!synced(&script));
    script.say(conn, &eor(Family::Ipv6Unicast));
    assert!(synced(&script));
}

#[test]
fn a_newcomer_beside_a_session_needs_graceful_restart_and_an_open() {
    let (mut script, conn) = Script::established();
    script.pass(SECOND * 6);
    script.say(conn, &keepalive());
    assert_eq!(script.connect(), None, "without graceful restart");

    let mut script = Script::new(|_| {});
    let old = script.connect().unwrap();
    script.say(old, &restartable(false));
    assert_eq!(script.connect(), None, "the peer may be established on the first one already");
    script.hang_up(old);
    script.pass(SECOND);
    let old = script.connect().unwrap();
    script.say(old, &restartable(false));
    script.say(old, &keepalive());
    assert_eq!(script.connect(), None, "the session is too young");
    script.pass(SECOND * 6);
    let new = script.connect().unwrap();
    // Whoever only connects, or talks rubbish, does not disturb the session.
    script.say(new, &raw(9, &[]));
    assert_eq!(script.peer().state, State::Established);
    script.say(old, &keepalive());
    let new = script.connect().unwrap();
    script.said.clear();
    script.say(new, &restartable(true));
    assert!(script.closed.contains(&old));
    assert!(!script.said.iter().any(|(conn, _)| *conn == old), "closed without a word");
    script.say(new, &keepalive());
    assert_eq!(script.peer().state, State::Established);
    assert_eq!(script.peer().established_transitions, 2);
}

/// Our identifier is the lower one: the connection that the peer dialled survives.
#[test]
fn a_collision_is_settled_by_the_identifiers_and_the_loser_is_told() {
    const CEASE: NotificationCode = NotificationCode::CONNECTION_COLLISION;
    let (mut script, ours, theirs) = Script::collision();
    script.say(theirs, &open(|_| {}));
    assert_eq!(script.said_on(theirs), [MessageType::Keepalive]);
    assert_eq!(script.said_on(ours), [MessageType::Notification]);
    assert_eq!(script.notification().unwrap().code, CEASE);
    assert_eq!(script.closed, [ours]);

    // The loser's OPEN comes first: nothing is said until the other one carries an OPEN,
    let (mut script, ours, theirs) = Script::collision();
    script.say(ours, &open(|_| {}));
    script.say(ours, &keepalive());
    script.pass(SECOND);
    assert!(script.said.is_empty() && script.closed.is_empty());
    script.say(theirs, &open(|_| {}));
    assert_eq!(script.closed, [ours]);
    assert_eq!(script.said_on(theirs), [MessageType::Keepalive]);

    // or is gone, and then a KEEPALIVE that came meanwhile counts,
    let (mut script, ours, theirs) = Script::collision();
    script.say(ours, &open(|_| {}));
    script.say(ours, &keepalive());
    script.hang_up(theirs);
    assert_eq!(script.said_on(ours), [MessageType::Keepalive]);
    assert_eq!(script.peer().state, State::Established);
    assert_eq!(script.peer().last_down, None);

    // or has said nothing for two seconds.
    let (mut script, ours, theirs) = Script::collision();
    script.say(ours, &open(|_| {}));
    script.pass(SECOND * 2);
    assert_eq!(script.closed, [theirs]);
    assert_eq!(script.said_on(theirs), [MessageType::Notification]);
    assert_eq!(script.said_on(ours), [MessageType::Keepalive]);
}

#[test]
fn beside_a_connection_that_was_chosen_newcomers_hear_nothing() {
    let mut script = Script::new(|config| config.peers[0].passive = false);
    let ours = script.dialled[0];
    let event = PeerEvent::Connected { conn: ours, local: US.parse().unwrap() };
    script.speaker.handle_input(event, script.now);
    script.drain();
    script.say(ours, &open(|_| {}));
    assert_eq!(script.peer().state, State::OpenConfirm);
    assert_eq!(script.connect(), None);
    script.say(ours, &keepalive());
    assert_eq!(script.connect(), None);
    assert_eq!(script.peer().state, State::Established);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever octets come in whatever state: no panic, the session answers or closes, other
    /// state stays bounded.
    #[test]
    fn any_octets_in_any_state(
        phase in 0..3_usize,
        messages in proptest::collection::vec(
            (any::<bool>(), 0..6_u8, proptest::collection::vec(any::<u8>(), 0..200)),
            0..20,
        ),
    ) {
        let mut script = Script::new(|_| {});
        let conn = script.connect().unwrap();
        let steps = [open(|_| {}), keepalive()];
        steps.iter().take(phase).for_each(|step| script.say(conn, step));
        for (framed, kind, body) in messages {
            let octets = if framed { raw(kind, &body) } else { body };
            script.say(conn, &octets);
            script.pass(Duration::from_millis(100));
        }
        prop_assert!(script.speaker.stats().prefixes <= 2000);
        script.pass(SECOND * 60);
        prop_assert!(script.peer().state <= State::OpenSent);
        prop_assert_eq!(script.speaker.stats().prefixes, 0);
    }

    /// Good UPDATEs with octets changed: never a panic, and everything printable.
    #[test]
    fn mutated_updates_in_a_session(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (mut script, conn) = Script::established();
        let mut octets = update(&["203.0.113.0/24", "198.51.100.0/25"], |attrs| {
            attrs.med = Some(1);
            attrs.communities.standard = [bgp::Community::new(1, 2)].into_iter().collect();
        });
        let len = octets.len();
        for (index, value) in changes {
            // The header stays: the body is what is tried here.
            let at = 19 + index.index(len - 19);
            octets[at] = value;
        }
        script.say(conn, &octets);
        for route in script.speaker.rib(&RibQuery::default()) {
            let text = format!("{route:?} {}", route.attrs.as_path);
            prop_assert!(!text.is_empty());
            script.speaker.why(route.prefix);
        }
        script.pass(SECOND * 20);
        prop_assert_eq!(script.speaker.stats().prefixes, 0);
    }
}
