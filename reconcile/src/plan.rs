// SPDX-License-Identifier: MIT OR Apache-2.0
//! When to dump.
//!
//! At the start, after an unreliable write, on a hint that does not name a known key, and at the
//! audit interval. A failing dump is retried with backoff; hints are damped, so that an event storm
//! costs one dump per interval and not one per event.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct DumpPlan {
    due: Due,
    /// A hint asked for a dump: not before `gap` after the last one.
    hinted: bool,
    last: Option<Instant>,
    gap: Duration,
    audit_interval: Option<Duration>,
    /// Dumps that failed in a row.
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    Now,
    At(Instant),
    Never,
}

impl DumpPlan {
    pub(crate) fn new(gap: Duration, audit_interval: Option<Duration>) -> Self {
        let (due, hinted, last) = (Due::Now, false, None);
        Self { due, hinted, last, gap, audit_interval, failures: 0 }
    }

    /// A hint that anything may have changed.
    pub(crate) fn hint(&mut self) {
        self.hinted = true;
    }

    /// Dumps that failed in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Asks for a dump at this time or earlier; a failing dump keeps its own time.
    pub(crate) fn request(&mut self, at: Instant) {
        if self.failures > 0 {
            return;
        }
        self.due = match self.due {
            Due::Now => Due::Now,
            Due::At(planned) => Due::At(planned.min(at)),
            Due::Never => Due::At(at),
        };
    }

    pub(crate) fn on_success(&mut self, now: Instant) {
        self.failures = 0;
        self.hinted = false;
        self.last = Some(now);
        self.due = self.audit_interval.map_or(Due::Never, |interval| Due::At(now + interval));
    }

    /// The dump failed: the next one is not before the delay, whoever asks.
    pub(crate) fn on_failure(&mut self, now: Instant, delay: Duration) {
        self.failures = self.failures.saturating_add(1);
        self.due = Due::At(now + delay);
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        match self.due {
            Due::Now => true,
            Due::At(_) | Due::Never => self.next_time().is_some_and(|at| at <= now),
        }
    }

    /// When the next dump is due; `None` if no dump is planned (or one is due at once).
    pub(crate) fn next_time(&self) -> Option<Instant> {
        let planned = match self.due {
            Due::At(at) => Some(at),
            Due::Now | Due::Never => None,
        };
        let hinted =
            self.last.filter(|_| self.hinted && self.failures == 0).map(|last| last + self.gap);
        planned.into_iter().chain(hinted).min()
    }
}
