// SPDX-License-Identifier: MIT OR Apache-2.0
use std::num::NonZeroU8;

use super::*;
use crate::packet::{Diagnostic, Interval, State};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));

fn endpoint() -> Endpoint {
    Endpoint { peer: PEER, local: Some(LOCAL), interface: Some(4), is_multihop: false }
}

fn arrival() -> Arrival {
    Arrival { source: PEER, destination: LOCAL, interface: 4, is_multihop: false, ttl: 255 }
}

fn heard(state: State, known: Option<Discriminator>) -> [u8; 24] {
    let interval = Interval::from_millis(300);
    let packet = Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        independent: false,
        demand: false,
        multiplier: NonZeroU8::MIN,
        my_discriminator: Discriminator::MIN,
        your_discriminator: known,
        desired_min_tx: interval,
        required_min_rx: interval,
        required_min_echo_rx: Interval::default(),
    };
    packet.encode()
}

fn drain(table: &mut Table, now: Instant) -> Vec<(SessionId, Packet)> {
    while table.poll_event().is_some() {}
    std::iter::from_fn(|| table.poll_transmit(now)).collect()
}

#[test]
fn a_first_packet_is_told_by_where_it_came_from() {
    let now = Instant::now();
    let mut table = Table::new(8, 1);
    let id = table.open(endpoint(), Config::default(), now).unwrap();
    let first = heard(State::Down, None);
    let wrong = [
        Arrival { source: OTHER, ..arrival() },
        Arrival { destination: OTHER, ..arrival() },
        Arrival { interface: 5, ..arrival() },
        Arrival { is_multihop: true, ..arrival() },
    ];
    for arrival in wrong {
        let refused = table.handle_datagram(&arrival, &first, now);
        assert_eq!(refused, Err(Discard::UnknownSession), "{arrival:?}");
    }
    let forwarded = Arrival { ttl: 254, ..arrival() };
    assert_eq!(table.handle_datagram(&forwarded, &first, now), Err(Discard::Ttl));
    assert_eq!(table.session(id).unwrap().state(), State::Down, "nothing got through");
    assert_eq!(table.handle_datagram(&arrival(), &first, now), Ok(id));
    assert_eq!(table.session(id).unwrap().state(), State::Init);
}

#[test]
fn a_known_discriminator_does_not_help_from_elsewhere() {
    let now = Instant::now();
    let mut table = Table::new(8, 1);
    let id = table.open(endpoint(), Config::default(), now).unwrap();
    let ours = table.session(id).unwrap().discriminator();
    let known = heard(State::Init, Some(ours));
    let elsewhere = Arrival { source: OTHER, ..arrival() };
    assert_eq!(table.handle_datagram(&elsewhere, &known, now), Err(Discard::UnknownSession));
    let guessed = Discriminator::new(ours.get() ^ 1).unwrap();
    let guessed = heard(State::Init, Some(guessed));
    assert_eq!(table.handle_datagram(&arrival(), &guessed, now), Err(Discard::UnknownSession));
    assert_eq!(table.handle_datagram(&arrival(), &known, now), Ok(id));
    assert_eq!(table.session(id).unwrap().state(), State::Up);
}

#[test]
fn one_peer_on_two_interfaces_is_two_sessions() {
    let now = Instant::now();
    let mut table = Table::new(8, 1);
    let anywhere = Endpoint { local: None, ..endpoint() };
    let a = table.open(anywhere, Config::default(), now).unwrap();
    let b = table.open(Endpoint { interface: Some(5), ..anywhere }, Config::default(), now);
    let b = b.unwrap();
    let first = heard(State::Down, None);
    let on_b = Arrival { interface: 5, ..arrival() };
    assert_eq!(table.handle_datagram(&on_b, &first, now), Ok(b));
    assert_eq!(table.handle_datagram(&arrival(), &first, now), Ok(a));
    table.set_interface(b, Some(9));
    assert_eq!(table.handle_datagram(&on_b, &first, now), Err(Discard::UnknownSession));
}

#[test]
fn multihop_packets_may_have_been_forwarded() {
    let now = Instant::now();
    let mut table = Table::new(8, 1);
    let far = Endpoint { interface: None, is_multihop: true, ..endpoint() };
    let id = table.open(far, Config::default(), now).unwrap();
    let far = Arrival { is_multihop: true, ttl: 251, ..arrival() };
    assert_eq!(table.handle_datagram(&far, &heard(State::Down, None), now), Ok(id));
}

#[test]
fn the_table_is_bounded_and_a_closed_session_leaves_in_the_end() {
    let now = Instant::now();
    let mut table = Table::new(1, 1);
    let id = table.open(endpoint(), Config::default(), now).unwrap();
    let other = Endpoint { peer: OTHER, ..endpoint() };
    assert_eq!(table.open(other, Config::default(), now), Err(Full(1)));
    table.close(id, now);
    let told = drain(&mut table, now);
    assert_eq!(told.last().map(|(_, packet)| packet.state), Some(State::AdminDown));
    let mut at = now;
    while let Some(next) = table.poll_timeout() {
        assert!(next > at, "time goes on");
        at = next;
        table.handle_timeout(at);
        drain(&mut table, at);
    }
    assert!(table.is_empty());
    assert!(table.by_peer.is_empty() && table.by_discriminator.is_empty());
    assert!(table.timers.is_empty() && table.touched.is_empty());
    assert!(table.open(other, Config::default(), at).is_ok());
}

#[test]
fn opening_again_while_closing_takes_its_place() {
    let now = Instant::now();
    let mut table = Table::new(1, 1);
    let old = table.open(endpoint(), Config::default(), now).unwrap();
    table.close(old, now);
    drain(&mut table, now);
    let new = table.open(endpoint(), Config::default(), now).unwrap();
    assert!(old != new && table.len() == 1 && table.session(old).is_none());
    assert_eq!(table.handle_datagram(&arrival(), &heard(State::Down, None), now), Ok(new));
}

#[test]
fn only_what_is_due_is_sent() {
    let now = Instant::now();
    let mut table = Table::new(100, 1);
    for n in 0..100 {
        let peer = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, n));
        table.open(Endpoint { peer, ..endpoint() }, Config::default(), now).unwrap();
    }
    assert_eq!(drain(&mut table, now).len(), 100);
    assert_eq!(drain(&mut table, now).len(), 0);
    let second = now + std::time::Duration::from_secs(1);
    let mut sent = 0;
    while let Some(at) = table.poll_timeout().filter(|at| *at <= second) {
        table.handle_timeout(at);
        sent += drain(&mut table, at).len();
    }
    assert_eq!(sent, 100, "one each within the slow interval");
}
