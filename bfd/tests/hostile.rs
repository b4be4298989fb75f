// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a session says, whatever it hears: invariants of RFC 5880 under random packets and times.

use std::num::NonZeroU8;
use std::time::{Duration, Instant};

use bfd::{Config, Diagnostic, Discriminator, Interval, Packet, Session, State, Timing};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Input {
    Packet(Packet),
    Wait(u64),
    Configure(u32, u8),
    Close,
}

fn packet() -> impl Strategy<Value = Packet> {
    let state = prop::sample::select(vec![State::AdminDown, State::Down, State::Init, State::Up]);
    let interval = || prop::sample::select(vec![0, 1, 50_000, 300_000, 1_000_000, u32::MAX]);
    let flags = prop::array::uniform4(any::<bool>());
    (state, 0u8..32, flags, 1u8..=255, 1u32..4, 0u32..2, interval(), interval()).prop_map(
        |(
            state,
            diagnostic,
            [poll, is_final, demand, independent],
            multiplier,
            my,
            your,
            tx,
            rx,
        )| {
            Packet {
                diagnostic: Diagnostic::from_bits(diagnostic),
                state,
                poll,
                is_final,
                independent,
                demand,
                multiplier: NonZeroU8::new(multiplier).expect("not zero"),
                my_discriminator: Discriminator::new(my).expect("not zero"),
                your_discriminator: Discriminator::new(your),
                desired_min_tx: Interval::from_micros(tx),
                required_min_rx: Interval::from_micros(rx),
                required_min_echo_rx: Interval::default(),
            }
        },
    )
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => packet().prop_map(Input::Packet),
        6 => (0u64..2000).prop_map(Input::Wait),
        1 => (50u32..5000, 1u8..=255).prop_map(|(millis, m)| Input::Configure(millis, m)),
        1 => Just(Input::Close),
    ]
}

fn config(millis: u32, multiplier: u8) -> Config {
    let interval = Interval::from_millis(millis);
    Config::try_new(Timing { tx: interval, rx: interval }, multiplier, true).expect("no zeros")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_is_heard_the_session_keeps_the_rules(
        inputs in prop::collection::vec(input(), 1..80),
        seed: u64,
    ) {
        let mut now = Instant::now();
        let mut session = Session::new(config(300, 3), Discriminator::MIN, seed, now);
        let mut multiplier = 3;
        let mut closed = false;
        for input in inputs {
            let mut polls = 0;
            let before = session.failures();
            match &input {
                Input::Packet(packet) => {
                    polls = usize::from(packet.poll && !closed);
                    session.handle_packet(packet, now);
                }
                Input::Wait(millis) => {
                    now += Duration::from_millis(*millis);
                    session.handle_timeout(now);
                }
                Input::Configure(millis, m) => {
                    session.configure(config(*millis, *m), now);
                    // Less patience may be over already.
                    session.handle_timeout(now);
                    multiplier = *m;
                }
                Input::Close => {
                    session.close(now);
                    closed = true;
                }
            }
            let mut events = 0;
            while let Some(event) = session.poll_event() {
                events += 1;
                prop_assert_ne!(event.from, event.to);
                prop_assert_eq!(event.to, session.state());
            }
            prop_assert!(events <= 1);
            prop_assert!(session.failures() <= before + 1);
            let sent: Vec<_> = std::iter::from_fn(|| session.poll_transmit(now)).collect();
            let finals = sent.iter().filter(|packet| packet.is_final).count();
            prop_assert_eq!(finals, polls, "one answer for one Poll");
            prop_assert!(sent.len() - finals <= 1, "no storm: {:?}", sent);
            for packet in &sent {
                prop_assert!(!(packet.poll && packet.is_final), "6.5");
                prop_assert_eq!(packet.state, session.state());
                prop_assert_eq!(packet.multiplier.get(), multiplier);
                prop_assert!(!packet.demand && packet.required_min_echo_rx.is_zero());
                let slow = packet.desired_min_tx >= Interval::from_millis(1000);
                prop_assert!(slow || packet.state == State::Up, "6.8.3");
                prop_assert_eq!(packet.your_discriminator, session.remote().discriminator);
                let silent = session.remote().required_min_rx.is_zero();
                prop_assert!(packet.is_final || !silent, "6.8.7");
                prop_assert_eq!(Packet::decode(&packet.encode()).is_ok(), true);
            }
            if closed {
                prop_assert_eq!(session.state(), State::AdminDown);
            }
            let remote_known = session.remote().discriminator.is_some();
            prop_assert!(remote_known || session.state() < State::Init);
            // Nothing that is due stays undone.
            let due = session.poll_timeout();
            prop_assert!(closed || due.is_none_or(|at| at > now), "{:?}", input);
        }
    }
}
