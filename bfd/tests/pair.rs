// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two sessions in virtual time, with delay, loss, restarts and clocks that jump.

use std::time::{Duration, Instant};

use bfd::{Config, Diagnostic, Discriminator, Interval, Packet, Session, State, Timing};
use proptest::prelude::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn config(millis: u32, multiplier: u8) -> Config {
    let interval = Interval::from_millis(millis);
    Config::try_new(Timing { tx: interval, rx: interval }, multiplier, true).expect("no zeros")
}

/// A wire between two sessions.
struct Pair {
    sides: [Session; 2],
    now: Instant,
    start: Instant,
    delay: Duration,
    /// Per direction: everything is lost.
    cut: [bool; 2],
    /// Per direction: lost packets in a row, and how many may be.
    losses: [(u32, u32); 2],
    random: fastrand::Rng,
    loss: f64,
    flying: Vec<(Instant, usize, Packet)>,
    next_id: u32,
    sent: [u64; 2],
}

impl Pair {
    fn new(configs: [Config; 2], seed: u64) -> Self {
        let now = Instant::now();
        let id = |n| Discriminator::new(n).expect("not zero");
        let [a, b] = configs;
        Self {
            sides: [Session::new(a, id(1), seed, now), Session::new(b, id(2), !seed, now)],
            now,
            start: now,
            delay: ms(1),
            cut: [false; 2],
            losses: [(0, u32::MAX); 2],
            random: fastrand::Rng::with_seed(seed),
            loss: 0.0,
            flying: Vec::new(),
            next_id: 3,
            sent: [0; 2],
        }
    }

    fn run(&mut self, time: Duration) {
        self.run_while(time, |_| true);
    }

    /// Runs until `goes_on` says no; false if time was up first.
    fn run_while(&mut self, time: Duration, goes_on: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        loop {
            self.drain();
            if !goes_on(self) {
                return true;
            }
            // One that has ended has a timer that asks for its removal.
            let living = self.sides.iter().filter(|side| !side.is_finished(self.now));
            let timers = living.filter_map(Session::poll_timeout);
            let next = timers.chain(self.flying.iter().map(|(at, _, _)| *at)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return false;
            };
            self.now = self.now.max(next);
            let now = self.now;
            let mut arrived = Vec::new();
            self.flying.retain(|(at, to, packet)| {
                if *at <= now {
                    arrived.push((*to, *packet));
                }
                *at > now
            });
            for (to, packet) in arrived {
                self.sides[to].handle_packet(&packet, now);
            }
            for side in &mut self.sides {
                side.handle_timeout(now);
            }
        }
    }

    fn drain(&mut self) {
        for from in 0..2 {
            while self.sides[from].poll_event().is_some() {}
            while let Some(packet) = self.sides[from].poll_transmit(self.now) {
                self.sent[from] += 1;
                let copy = Packet::decode(&packet.encode()).expect("we read what we write");
                assert_eq!(copy, packet);
                let (lost, most) = &mut self.losses[from];
                let is_lost = self.random.f64() < self.loss && *lost < *most;
                *lost = if is_lost { *lost + 1 } else { 0 };
                if !self.cut[from] && !is_lost {
                    // Never one before the other: a wire keeps the order.
                    let to = 1 - from;
                    let before = self.flying.iter().filter(|(_, other, _)| *other == to);
                    let before = before.map(|(at, _, _)| *at).max().unwrap_or(self.now);
                    let delay = self.delay.mul_f64(self.random.f64());
                    self.flying.push((before.max(self.now + delay), to, copy));
                }
            }
        }
    }

    fn is_up(&self) -> bool {
        self.sides.iter().all(|side| side.state() == State::Up)
    }

    fn up(&mut self, time: Duration) {
        assert!(self.run_while(time, |pair| !pair.is_up()), "not up within {time:?}");
    }

    fn failures(&self) -> [u64; 2] {
        [self.sides[0].failures(), self.sides[1].failures()]
    }

    fn restart(&mut self, side: usize, config: Config) {
        let id = Discriminator::new(self.next_id).expect("not zero");
        self.next_id += 1;
        self.sides[side] = Session::new(config, id, u64::from(self.next_id), self.now);
    }
}

#[test]
fn a_session_comes_up_and_settles_at_the_slower_of_both_paces() {
    let mut pair = Pair::new([config(300, 3), config(100, 5)], 1);
    pair.up(ms(1500));
    pair.run(ms(2000));
    for side in &pair.sides {
        assert_eq!(side.transmit_interval(), Some(Interval::from_millis(300)));
    }
    // Each by the other's multiplier.
    assert_eq!(pair.sides[0].detection_time(), ms(1500));
    assert_eq!(pair.sides[1].detection_time(), ms(900));
    let before = pair.sent;
    pair.run(Duration::from_secs(30));
    for (after, before) in pair.sent.into_iter().zip(before) {
        let sent = after - before;
        assert!((100..=134).contains(&sent), "{sent} packets in 30 s at 225 to 300 ms");
    }
    assert_eq!(pair.failures(), [0, 0]);
}

#[test]
fn a_dead_path_is_noticed_on_both_sides_within_the_detection_time() {
    let mut pair = Pair::new([config(300, 3), config(300, 3)], 2);
    pair.up(ms(1500));
    pair.run(ms(2000));
    pair.cut = [true, true];
    pair.run(ms(500));
    assert!(pair.is_up(), "two packets in a row may be lost");
    assert!(pair.run_while(ms(401), |pair| pair.sides.iter().any(|s| s.state() == State::Up)));
    assert_eq!(pair.failures(), [1, 1]);
    for side in &pair.sides {
        assert_eq!(side.diagnostic(), Diagnostic::DETECTION_TIME_EXPIRED);
    }
    pair.cut = [false, false];
    pair.up(ms(2500));
}

#[test]
fn a_path_dead_one_way_is_noticed_by_the_deaf_side_and_told_to_the_other() {
    let mut pair = Pair::new([config(300, 3), config(300, 3)], 3);
    pair.up(ms(1500));
    pair.run(ms(2000));
    pair.cut = [true, false];
    assert!(pair.run_while(ms(902), |pair| pair.failures() != [1, 1]));
    assert_eq!(pair.sides[0].diagnostic(), Diagnostic::NEIGHBOR_SIGNALED);
    assert_eq!(pair.sides[1].diagnostic(), Diagnostic::DETECTION_TIME_EXPIRED);
    pair.run(Duration::from_secs(20));
    assert!(!pair.sides.iter().any(|side| side.state() == State::Up), "not half up");
}

#[test]
fn a_restarted_side_is_noticed_at_once_and_both_come_up_again() {
    let mut pair = Pair::new([config(300, 3), config(300, 3)], 4);
    pair.up(ms(1500));
    pair.run(ms(2000));
    pair.restart(0, config(300, 3));
    assert!(pair.run_while(ms(2), |pair| pair.failures() != [0, 1]));
    pair.up(ms(2500));
    assert_eq!(pair.failures(), [0, 1]);
}

#[test]
fn an_operator_is_no_failure() {
    let mut pair = Pair::new([config(300, 3), config(300, 3)], 5);
    pair.up(ms(1500));
    pair.sides[0].close(pair.now);
    pair.run(ms(10));
    assert_eq!(pair.sides[1].state(), State::Down);
    assert_eq!(pair.sides[1].remote().state, State::AdminDown);
    pair.run(Duration::from_secs(10));
    assert_eq!(pair.failures(), [0, 0]);
}

#[test]
fn a_process_that_slept_gives_the_path_up_once_and_recovers() {
    let mut pair = Pair::new([config(300, 3), config(300, 3)], 6);
    pair.up(ms(1500));
    pair.run(ms(2000));
    // Neither ran: what is in flight arrives with the first turn after it.
    pair.now += Duration::from_secs(3600);
    pair.run(ms(10));
    assert!(pair.failures().iter().all(|failures| *failures <= 1));
    pair.up(ms(3000));
}

#[test]
fn intervals_change_both_ways_without_a_flap() {
    let mut pair = Pair::new([config(300, 3), config(300, 3)], 7);
    pair.up(ms(1500));
    for (at, millis) in [2000, 50, 1000, 300, 5000, 50, 5000, 60].into_iter().enumerate() {
        let side = at % 2;
        pair.sides[side].configure(config(millis, 3), pair.now);
        pair.run(ms(40));
        pair.sides[1 - side].configure(config(millis, 3), pair.now);
        pair.run(Duration::from_secs(30));
        assert_eq!(pair.sides[side].detection_time(), ms(u64::from(millis) * 3), "{millis}");
        assert_eq!(pair.failures(), [0, 0], "{millis} after {:?}", pair.now - pair.start);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No loss that the multiplier forgives, whatever delay and paces, is a failure; and no pair
    /// stays down.
    #[test]
    fn losses_that_are_forgiven_are_no_failure(
        seed: u64,
        millis in prop::array::uniform2(50u32..2000),
        multiplier in 2u8..6,
        delay in 0u64..40,
        loss in 0.0f64..0.6,
        changes in prop::collection::vec((0usize..2, 50u32..2000), 0..4),
    ) {
        let mut pair = Pair::new(millis.map(|millis| config(millis, multiplier)), seed);
        pair.delay = ms(delay);
        pair.up(ms(2500));
        // At most multiplier - 2 in a row, so that the next one comes within the detection time
        // with its jitter and delay.
        pair.loss = loss;
        pair.losses = [(0, u32::from(multiplier) - 2); 2];
        pair.run(Duration::from_secs(30));
        for (side, millis) in changes {
            pair.sides[side].configure(config(millis, multiplier), pair.now);
            pair.run(Duration::from_secs(15));
        }
        prop_assert_eq!(pair.failures(), [0, 0]);
        prop_assert!(pair.is_up());
    }

    /// Any weather: once it is fair again, both are Up within two slow intervals and the way up.
    #[test]
    fn every_storm_ends(
        seed: u64,
        storm in prop::collection::vec((0u8..6, 0u64..4000), 1..12),
    ) {
        let mut pair = Pair::new([config(100, 3), config(300, 2)], seed);
        for (what, millis) in storm {
            match what {
                0 => pair.cut = [true, false],
                1 => pair.cut = [true, true],
                2 => pair.loss = 0.9,
                3 => pair.restart(0, config(100, 3)),
                4 => pair.sides[1].configure(config(500, 4), pair.now),
                _ => pair.now += ms(millis),
            }
            pair.run(ms(millis));
        }
        pair.cut = [false, false];
        pair.loss = 0.0;
        // What the old peer said last is forgotten after its detection time first.
        pair.run(ms(8000));
        prop_assert!(pair.is_up());
        let before = pair.failures();
        pair.run(Duration::from_secs(30));
        prop_assert_eq!(pair.failures(), before);
    }
}
