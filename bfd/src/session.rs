// SPDX-License-Identifier: MIT OR Apache-2.0
//! The state machine of one session (RFC 5880 §6.8), without sockets and clock.
//!
//! ```text
//!               hears Down              hears Init, Up
//!       Down ───────────────▶ Init ───────────────────▶ Up
//!        ▲ │                   │                        │
//!        │ └───── hears Init ──┼───────────────────────▶│
//!        └─────────────────────┴────────────────────────┘
//!             detection time expired, hears AdminDown;
//!             from Up also: hears Down
//! ```
//!
//! Two pairs of intervals: what we say (`says`), and what is in force (`paced`). They differ only
//! while the session is Up and a Poll Sequence for a slower pace has not ended (RFC 5880 §6.8.3):
//! the other side must have taken a change in before it can be mistaken for silence.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::packet::{Diagnostic, Discriminator, Interval, Packet, State};

mod config;
mod pace;

pub use config::{Config, ConfigError, Event, Remote, Timing};
use pace::Pace;

/// Least interval while a session is not Up (RFC 5880 §6.8.3).
const SLOW: Interval = Interval::from_millis(1000);
/// How long AdminDown is sent at least before a session is forgotten: two packets.
const LINGER_MIN: Duration = Duration::from_secs(2);
/// And at most, whatever the other side's intervals are.
const LINGER_MAX: Duration = Duration::from_secs(60);

/// One session.
///
/// After each `handle_` call drain [`Self::poll_transmit`] and [`Self::poll_event`]; call
/// [`Self::handle_timeout`] when [`Self::poll_timeout`] says so.
#[derive(Debug)]
pub struct Session {
    config: Config,
    local: Discriminator,
    state: State,
    diagnostic: Diagnostic,
    remote: Remote,
    /// Intervals in our packets.
    says: Timing,
    /// Intervals in force.
    paced: Timing,
    poll: Poll,
    pace: Pace,
    /// An answer to a Poll is due.
    owes_final: bool,
    last_heard: Option<Instant>,
    failures: u64,
    /// AdminDown for good from then on.
    ends_at: Option<Instant>,
    events: VecDeque<Event>,
}

/// How far a Poll Sequence got (RFC 5880 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Poll {
    None,
    /// The next packet carries the Poll bit.
    Wanted,
    /// One did, and no Final came back.
    Sent,
    /// One did before our intervals changed again: the Final ends nothing.
    Outdated,
}

impl Session {
    /// A session that is Down and sends its first packet at once. `seed` is for the jitter.
    #[must_use]
    pub fn new(config: Config, local: Discriminator, seed: u64, now: Instant) -> Self {
        let slow = Timing { tx: config.timing.tx.max(SLOW), ..config.timing };
        Self {
            config,
            local,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            remote: Remote::default(),
            says: slow,
            paced: slow,
            poll: Poll::None,
            pace: Pace::new(seed, now),
            owes_final: false,
            last_heard: None,
            failures: 0,
            ends_at: None,
            events: VecDeque::new(),
        }
    }

    /// Takes over new intervals; the other side is told by a Poll Sequence.
    pub fn configure(&mut self, config: Config, now: Instant) {
        let is_same = self.config == config;
        self.config = config;
        if self.ends_at.is_none() && !is_same {
            self.pace.now(now);
            self.say(now);
        }
    }

    /// Ends the session: AdminDown is sent for a detection time, so that the other side does not
    /// take the silence for a failure (RFC 5880 §6.8.16).
    pub fn close(&mut self, now: Instant) {
        if self.ends_at.is_none() {
            let theirs = self.paced.tx.max(self.remote.required_min_rx).as_duration();
            let theirs = theirs * u32::from(self.config.multiplier.get());
            self.ends_at = Some(now + theirs.clamp(LINGER_MIN, LINGER_MAX));
            self.enter(State::AdminDown, Diagnostic::ADMINISTRATIVELY_DOWN, now);
        }
    }

    /// True when a closed session has said so for long enough.
    #[must_use]
    pub fn is_finished(&self, now: Instant) -> bool {
        self.ends_at.is_some_and(|at| at <= now)
    }

    /// Takes in a packet that was found to be for this session (RFC 5880 §6.8.6).
    pub fn handle_packet(&mut self, packet: &Packet, now: Instant) {
        self.remote = Remote {
            discriminator: Some(packet.my_discriminator),
            state: packet.state,
            diagnostic: packet.diagnostic,
            independent: packet.independent,
            demand: packet.demand,
            multiplier: packet.multiplier,
            desired_min_tx: packet.desired_min_tx,
            required_min_rx: packet.required_min_rx,
        };
        self.last_heard = Some(now);
        if packet.is_final {
            self.on_final(now);
        }
        self.repace(now);
        if self.state == State::AdminDown {
            return;
        }
        match (self.state, packet.state) {
            (State::Down, State::AdminDown) => {}
            (_, State::AdminDown) | (State::Up, State::Down) => {
                self.enter(State::Down, Diagnostic::NEIGHBOR_SIGNALED, now);
            }
            (State::Down, State::Down) => self.enter(State::Init, Diagnostic::NONE, now),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.enter(State::Up, Diagnostic::NONE, now);
            }
            (State::Down, State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up)
            | (State::AdminDown, _) => {}
        }
        self.owes_final |= packet.poll;
    }

    /// Gives the path up when nothing was heard for the detection time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.detects_at().is_some_and(|at| at <= now) {
            self.last_heard = None;
            // RFC 5880 §6.8.1: forgotten after a detection time of silence, in any state.
            self.remote = Remote { state: State::Down, ..Remote::default() };
            self.poll = Poll::None;
            if matches!(self.state, State::Init | State::Up) {
                self.enter(State::Down, Diagnostic::DETECTION_TIME_EXPIRED, now);
            }
        }
    }

    /// The next packet to send, if one is due.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Packet> {
        // RFC 5880 §6.8.7: without respect to any timer, and it carries no Poll.
        if std::mem::take(&mut self.owes_final) {
            return Some(Packet { is_final: true, ..self.packet() });
        }
        let interval = self.transmit_interval()?;
        if self.pace.is_due(now) {
            let poll = self.poll != Poll::None;
            self.poll = if self.poll == Poll::Wanted { Poll::Sent } else { self.poll };
            self.pace.sent(interval, self.config.multiplier, now);
            return Some(Packet { poll, ..self.packet() });
        }
        None
    }

    /// When [`Self::handle_timeout`] or [`Self::poll_transmit`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transmit = self.transmit_interval().map(|_| self.pace.due());
        transmit.into_iter().chain(self.detects_at()).chain(self.ends_at).min()
    }

    /// The next change of state.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Our number of the session.
    #[must_use]
    pub fn discriminator(&self) -> Discriminator {
        self.local
    }

    /// State of our side.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it last changed.
    #[must_use]
    pub fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// What the other side said last.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// How often the path failed: Up was left, and not because the other side was told to
    /// (RFC 5882 §3.2: AdminDown is no failure).
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Time between our packets before jitter; none while the other side wants no packets.
    #[must_use]
    pub fn transmit_interval(&self) -> Option<Interval> {
        // RFC 5880 §6.8.7.
        let is_quiet = self.remote.demand
            && self.state == State::Up
            && self.remote.state == State::Up
            && self.poll == Poll::None;
        let is_wanted = !self.remote.required_min_rx.is_zero() && !is_quiet;
        is_wanted.then(|| self.paced.tx.max(self.remote.required_min_rx))
    }

    /// After how much silence the path counts as dead (RFC 5880 §6.8.4).
    #[must_use]
    pub fn detection_time(&self) -> Duration {
        let interval = self.paced.rx.max(self.remote.desired_min_tx);
        interval.as_duration() * u32::from(self.remote.multiplier.get())
    }
}

/// Parts of the above.
impl Session {
    fn detects_at(&self) -> Option<Instant> {
        self.last_heard.map(|at| at + self.detection_time())
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic, now: Instant) {
        let from = std::mem::replace(&mut self.state, state);
        self.diagnostic = diagnostic;
        let is_failure =
            from == State::Up && state == State::Down && self.remote.state != State::AdminDown;
        self.failures += u64::from(is_failure);
        self.events.push_back(Event { from, to: state, diagnostic, is_failure });
        // RFC 5880 §6.8.7: a change of state is told at once.
        self.pace.now(now);
        self.say(now);
    }

    /// Puts into our packets what state and configuration want, and in force what may be so now.
    fn say(&mut self, now: Instant) {
        let wanted = self.config.timing;
        let is_up = self.state == State::Up;
        let tx = if is_up { wanted.tx } else { wanted.tx.max(SLOW) };
        let says = Timing { tx, rx: wanted.rx };
        let has_changed = says != self.says;
        self.says = says;
        if !is_up || says.tx < self.paced.tx {
            self.paced.tx = says.tx;
        }
        if !is_up || says.rx > self.paced.rx {
            self.paced.rx = says.rx;
        }
        // Nobody is there to answer while the other side is unknown.
        if has_changed && self.remote.discriminator.is_some() {
            self.poll = match self.poll {
                Poll::None | Poll::Wanted => Poll::Wanted,
                Poll::Sent | Poll::Outdated => Poll::Outdated,
            };
        }
        self.repace(now);
    }

    fn on_final(&mut self, now: Instant) {
        match self.poll {
            Poll::None | Poll::Wanted => {}
            Poll::Outdated => self.poll = Poll::Wanted,
            Poll::Sent => {
                self.poll = Poll::None;
                self.paced = self.says;
                self.repace(now);
            }
        }
    }

    /// RFC 5880 §6.8.3: a shorter interval is honoured from the last packet on.
    fn repace(&mut self, now: Instant) {
        if let Some(interval) = self.transmit_interval() {
            self.pace.shorten(interval, self.config.multiplier, now);
        }
    }

    fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: false,
            is_final: false,
            independent: self.config.independent,
            demand: false,
            multiplier: self.config.multiplier,
            my_discriminator: self.local,
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.says.tx,
            required_min_rx: self.says.rx,
            required_min_echo_rx: Interval::default(),
        }
    }
}

#[cfg(test)]
mod tests;
