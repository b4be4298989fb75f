// SPDX-License-Identifier: MIT OR Apache-2.0
use std::num::NonZeroU8;

use super::*;

fn id(n: u32) -> Discriminator {
    Discriminator::new(n).unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config(tx: u32, rx: u32, multiplier: u8) -> Config {
    let timing = Timing { tx: Interval::from_millis(tx), rx: Interval::from_millis(rx) };
    Config::try_new(timing, multiplier, true).unwrap()
}

/// A packet of a peer that knows us, with intervals of 100 ms.
fn heard(state: State) -> Packet {
    Packet {
        diagnostic: Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        independent: false,
        demand: false,
        multiplier: NonZeroU8::new(3).unwrap(),
        my_discriminator: id(77),
        your_discriminator: Some(id(1)),
        desired_min_tx: Interval::from_millis(100),
        required_min_rx: Interval::from_millis(100),
        required_min_echo_rx: Interval::default(),
    }
}

/// A session of 300 ms × 3 in a state, with nothing left to send at `now`.
fn session(state: State, now: Instant) -> Session {
    let mut session = Session::new(config(300, 300, 3), id(1), 7, now);
    match state {
        State::Up => {
            session.handle_packet(&heard(State::Init), now);
            drain(&mut session, now);
            session.handle_packet(&Packet { is_final: true, ..heard(State::Up) }, now);
        }
        State::Init => session.handle_packet(&heard(State::Down), now),
        State::Down => {}
        State::AdminDown => session.close(now),
    }
    drain(&mut session, now);
    while session.poll_event().is_some() {}
    assert_eq!(session.state(), state);
    session
}

fn drain(session: &mut Session, now: Instant) -> Vec<Packet> {
    std::iter::from_fn(|| session.poll_transmit(now)).collect()
}

/// The table of RFC 5880 §6.2 and §6.8.6, written down by itself.
#[test]
fn every_state_follows_the_book_for_every_state_heard() {
    use State::{AdminDown, Down, Init, Up};
    let book = [
        (AdminDown, [AdminDown, AdminDown, AdminDown, AdminDown]),
        (Down, [Down, Init, Up, Down]),
        (Init, [Down, Init, Up, Up]),
        (Up, [Down, Down, Up, Up]),
    ];
    let now = Instant::now();
    for (from, row) in book {
        for (said, to) in [AdminDown, Down, Init, Up].into_iter().zip(row) {
            let mut session = session(from, now);
            session.handle_packet(&heard(said), now);
            assert_eq!(session.state(), to, "{from} hears {said}");
            assert_eq!(session.poll_event().is_some(), from != to, "{from} hears {said}");
            if from == Up && to == Down {
                assert_eq!(session.diagnostic(), Diagnostic::NEIGHBOR_SIGNALED);
                assert_eq!(session.failures(), u64::from(said == Down));
            }
        }
    }
}

#[test]
fn silence_for_the_detection_time_is_a_failure_and_not_a_moment_earlier() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    // Three times the larger of what we can receive and what the peer wants to send.
    assert_eq!(session.detection_time(), ms(900));
    session.handle_timeout(now + ms(899));
    assert_eq!(session.state(), State::Up);
    session.handle_timeout(now + ms(900));
    assert_eq!(session.state(), State::Down);
    assert_eq!(session.diagnostic(), Diagnostic::DETECTION_TIME_EXPIRED);
    let event = session.poll_event().unwrap();
    assert!(event.is_failure && event.from == State::Up);
    assert_eq!(session.remote().discriminator, None, "a new peer starts anew");
    let told = session.poll_transmit(now + ms(900)).expect("the change is told at once");
    assert_eq!((told.state, told.your_discriminator), (State::Down, None));
}

#[test]
fn a_late_clock_is_one_expiry_and_the_session_recovers() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    let late = now + Duration::from_secs(86_400);
    session.handle_timeout(late);
    assert_eq!(drain(&mut session, late).len(), 1, "missed packets are not made up for");
    // The clock of another thread may be a little behind.
    session.handle_timeout(now);
    session.handle_packet(&heard(State::Down), late);
    session.handle_packet(&heard(State::Init), late);
    assert_eq!((session.state(), session.failures()), (State::Up, 1));
}

#[test]
fn a_session_that_is_not_up_offers_no_less_than_a_second() {
    let now = Instant::now();
    for state in [State::Down, State::Init, State::AdminDown] {
        let mut session = session(state, now);
        let at = session.poll_timeout().unwrap();
        assert!(at >= now + ms(750), "{state}: jitter is at most a quarter");
        session.handle_packet(&Packet { poll: true, ..heard(State::AdminDown) }, now);
        for packet in drain(&mut session, now) {
            assert!(packet.desired_min_tx >= SLOW, "{state}");
        }
    }
}

#[test]
fn the_way_up_is_polled_and_the_fast_pace_does_not_wait_for_the_answer() {
    let now = Instant::now();
    let mut session = Session::new(config(300, 300, 3), id(1), 7, now);
    drain(&mut session, now);
    session.handle_packet(&heard(State::Init), now);
    let up = session.poll_transmit(now).unwrap();
    assert!(up.poll && up.state == State::Up && up.desired_min_tx == Interval::from_millis(300));
    assert!(session.poll_timeout().unwrap() <= now + ms(300));
    // Lost: the next one asks again.
    let again = session.poll_transmit(now + ms(300)).unwrap();
    assert!(again.poll);
    session.handle_packet(&Packet { is_final: true, ..heard(State::Up) }, now + ms(310));
    assert!(!session.poll_transmit(now + ms(600)).unwrap().poll);
}

#[test]
fn a_slower_pace_waits_for_the_answer_and_a_faster_one_does_not() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    session.configure(config(2000, 2000, 3), now);
    // We may not send less often, the peer may still send as before: both are told first.
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(300)));
    assert_eq!(session.detection_time(), ms(6000), "more patience harms nobody");
    let told = session.poll_transmit(now).unwrap();
    assert!(told.poll && told.desired_min_tx == Interval::from_millis(2000));
    session.handle_packet(&Packet { is_final: true, ..heard(State::Up) }, now);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(2000)));

    session.configure(config(100, 100, 3), now);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(100)));
    assert_eq!(session.detection_time(), ms(6000), "the peer may still send every 2 s");
    assert!(session.poll_transmit(now).unwrap().poll);
    session.handle_packet(&Packet { is_final: true, ..heard(State::Up) }, now);
    assert_eq!(session.detection_time(), ms(300));
}

#[test]
fn a_final_that_answers_older_intervals_ends_nothing() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    let answer = Packet { is_final: true, ..heard(State::Up) };
    session.configure(config(2000, 300, 3), now);
    session.handle_packet(&answer, now);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(300)), "not asked yet");
    assert!(session.poll_transmit(now).unwrap().poll);
    session.configure(config(3000, 300, 3), now);
    session.handle_packet(&answer, now);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(300)), "asked for 2 s");
    assert!(session.poll_transmit(now).unwrap().poll);
    session.handle_packet(&answer, now);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(3000)));
}

#[test]
fn a_poll_is_answered_at_once_in_any_state_but_admin_down() {
    let now = Instant::now();
    for state in [State::Down, State::Init, State::Up, State::AdminDown] {
        let mut session = session(state, now);
        session.handle_packet(&Packet { poll: true, ..heard(State::Up) }, now);
        let finals = drain(&mut session, now).iter().filter(|p| p.is_final && !p.poll).count();
        assert_eq!(finals, usize::from(state != State::AdminDown), "{state}");
    }
}

#[test]
fn jitter_stays_within_the_book() {
    let now = Instant::now();
    for (multiplier, least, most) in [(3, 75, 100), (1, 75, 90)] {
        let mut session = Session::new(config(1000, 1000, multiplier), id(1), 7, now);
        let (mut at, mut seen) = (now, Vec::new());
        for _ in 0..500 {
            session.poll_transmit(at).expect("a packet is due");
            let next = session.poll_timeout().unwrap();
            assert_eq!(session.poll_transmit(next - ms(1)), None, "early");
            seen.push(next - at);
            at = next;
        }
        let (min, max) = (seen.iter().min().unwrap(), seen.iter().max().unwrap());
        assert!(*min >= ms(least * 10) && *max <= ms(most * 10), "{min:?} to {max:?}");
        assert!(*min < ms(least * 10 + 20) && *max > ms(most * 10 - 20), "{min:?} to {max:?}");
    }
}

#[test]
fn the_peer_decides_how_much_it_can_take() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    let wants = |rx| Packet { required_min_rx: Interval::from_millis(rx), ..heard(State::Up) };
    session.handle_packet(&wants(2000), now);
    assert_eq!(session.transmit_interval(), Some(Interval::from_millis(2000)));
    session.poll_transmit(now + ms(300)).unwrap();
    assert_eq!(session.poll_transmit(now + ms(1700)), None);
    // Less again: counted from the last packet, so it is late already (RFC 5880 §6.8.3).
    session.handle_packet(&wants(100), now + ms(1700));
    assert!(session.poll_transmit(now + ms(1700)).is_some());
    // None at all, except answers.
    session.handle_packet(&Packet { poll: true, ..wants(0) }, now + ms(1800));
    let sent = drain(&mut session, now + Duration::from_secs(60));
    assert_eq!(sent.len(), 1);
    assert!(sent[0].is_final);
}

#[test]
fn demand_mode_of_the_peer_stops_periodic_packets_until_we_poll() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    session.handle_packet(&Packet { demand: true, ..heard(State::Up) }, now);
    assert_eq!(session.transmit_interval(), None);
    assert_eq!(session.poll_transmit(now + Duration::from_secs(5)), None);
    session.configure(config(500, 500, 3), now);
    assert!(session.poll_transmit(now).unwrap().poll);
}

#[test]
fn a_closed_session_says_so_for_a_detection_time_and_ignores_the_peer() {
    let now = Instant::now();
    let mut session = session(State::Up, now);
    session.close(now);
    let told = session.poll_transmit(now).unwrap();
    assert_eq!(told.state, State::AdminDown);
    assert_eq!(told.diagnostic, Diagnostic::ADMINISTRATIVELY_DOWN);
    session.handle_packet(&heard(State::Down), now);
    session.handle_timeout(now + ms(1500));
    assert_eq!((session.state(), session.failures()), (State::AdminDown, 0));
    assert!(!session.is_finished(now + ms(1999)) && session.is_finished(now + ms(2000)));
}

#[test]
fn zeros_are_refused() {
    let timing = |tx, rx| Timing { tx: Interval::from_millis(tx), rx: Interval::from_millis(rx) };
    assert_eq!(Config::try_new(timing(0, 1), 3, true), Err(ConfigError::Interval));
    assert_eq!(Config::try_new(timing(1, 0), 3, true), Err(ConfigError::Interval));
    assert_eq!(Config::try_new(timing(1, 1), 0, true), Err(ConfigError::Multiplier));
    assert_eq!(Config::try_new(timing(300, 300), 3, true), Ok(Config::default()));
}
