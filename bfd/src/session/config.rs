// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a session is told, and what it tells.

use std::num::NonZeroU8;

use crate::packet::{Diagnostic, Discriminator, Interval, State};

/// The multiplier before anything was heard.
const ONE: NonZeroU8 = NonZeroU8::MIN;

/// A pair of intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between packets we send (Desired Min TX).
    pub tx: Interval,
    /// Between packets we can receive (Required Min RX).
    pub rx: Interval,
}

/// What a session wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    pub(super) timing: Timing,
    pub(super) multiplier: NonZeroU8,
    pub(super) independent: bool,
}

/// A configuration that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// An interval is zero: we would send without pause, or ask for silence.
    #[error("an interval of zero")]
    Interval,
    /// The multiplier is zero: every packet would be late.
    #[error("a multiplier of zero")]
    Multiplier,
}

impl Config {
    /// A session with these intervals while it is Up. `independent` is the C bit: this process
    /// goes on when the control plane dies.
    ///
    /// # Errors
    /// Something is zero.
    pub fn try_new(timing: Timing, multiplier: u8, independent: bool) -> Result<Self, ConfigError> {
        if timing.tx.is_zero() || timing.rx.is_zero() {
            return Err(ConfigError::Interval);
        }
        let multiplier = NonZeroU8::new(multiplier).ok_or(ConfigError::Multiplier)?;
        Ok(Self { timing, multiplier, independent })
    }
}

impl Default for Config {
    /// 300 ms × 3, C bit set.
    fn default() -> Self {
        let interval = Interval::from_millis(300);
        Self {
            timing: Timing { tx: interval, rx: interval },
            multiplier: ONE.saturating_add(2),
            independent: true,
        }
    }
}

/// What the other side's last packet said; the beginning of RFC 5880 §6.8.1 before the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its number of the session.
    pub discriminator: Option<Discriminator>,
    /// State of its side.
    pub state: State,
    /// Why it last changed.
    pub diagnostic: Diagnostic,
    /// Its BFD does not share the fate of its control plane (C bit).
    pub independent: bool,
    /// It wants no periodic packets while both sides are Up.
    pub demand: bool,
    /// How many of its intervals may pass in silence.
    pub multiplier: NonZeroU8,
    /// How often it would like to send.
    pub desired_min_tx: Interval,
    /// How often it can receive.
    pub required_min_rx: Interval,
}

impl Default for Remote {
    fn default() -> Self {
        Self {
            discriminator: None,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            independent: false,
            demand: false,
            multiplier: ONE,
            desired_min_tx: Interval::default(),
            required_min_rx: Interval::from_micros(1),
        }
    }
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub diagnostic: Diagnostic,
    /// The path failed, as opposed to an operator who took the session down.
    pub is_failure: bool,
}
