// SPDX-License-Identifier: MIT OR Apache-2.0
//! The first minutes of a speaker: until when the picture is incomplete.
//!
//! After a restart the kernel still forwards by the routes of the run before. They may be
//! replaced only by a better picture, so no best path is published until every configured peer
//! has sent End-of-RIB, or the restart time is over (RFC 4724 §4.1, deferral of route
//! selection). After a cold start nothing is there to protect: best paths are published as they
//! come, and only the word "complete", which allows deletes, waits.
//!
//! Deviates: RFC 4724 §4.1 does not wait for peers that have restarted as well, because two
//! speakers that wait for each other would never speak. Ours speaks at once (it advertises only
//! what it originates), so waiting for such a peer costs nothing and keeps its routes.

use std::time::{Duration, Instant};

use crate::config::Start;
use crate::session::RestartBits;
use crate::types::FamilySet;

/// How far the first synchronisation got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Some peer has not been heard in full.
    Waiting { until: Instant },
    /// All were heard (or waited for); so many decisions are left to make. What comes in from
    /// now on does not count: a peer that never rests cannot keep us from completing.
    Settling { left: usize },
    /// The picture is complete, for good.
    Done,
}

/// The first synchronisation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sync {
    start: Start,
    progress: Progress,
}

impl Sync {
    pub(super) fn new(start: Start, limit: Duration, now: Instant) -> Self {
        Self { start, progress: Progress::Waiting { until: now + limit } }
    }

    /// True while decisions are put off.
    pub(super) fn defers(&self) -> bool {
        matches!(self.start, Start::Restarted { .. }) && self.deadline().is_some()
    }

    /// When the wait ends at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.progress {
            Progress::Waiting { until } => Some(until),
            Progress::Settling { .. } | Progress::Done => None,
        }
    }

    /// Ends the wait if all peers were heard or time is up; true when it ended now. `backlog` is
    /// the number of decisions that belong to what was heard.
    pub(super) fn update(&mut self, all_heard: bool, backlog: usize, now: Instant) -> bool {
        let ends = self.deadline().is_some_and(|until| all_heard || until <= now);
        if ends {
            self.progress = Progress::Settling { left: backlog };
        }
        ends
    }

    /// Counts decisions; true when the picture is complete with them. `pending` is what waits.
    pub(super) fn settle(&mut self, decided: usize, pending: usize) -> bool {
        let Progress::Settling { left } = self.progress else { return false };
        let left = left.saturating_sub(decided);
        let completes = left == 0 || pending == 0;
        self.progress = if completes { Progress::Done } else { Progress::Settling { left } };
        completes
    }

    /// True between the end of the wait and completion.
    pub(super) fn is_settling(&self) -> bool {
        matches!(self.progress, Progress::Settling { .. })
    }

    /// What an OPEN sent now says about our restart.
    ///
    /// The F bit stays set after the first minutes: when a session is lost without a restart,
    /// our forwarding is whole, and a cleared bit would make the peer drop our routes.
    pub(super) fn bits(&self) -> RestartBits {
        match (self.deadline(), self.start) {
            (None, _) => RestartBits { restarting: false, forwarding: FamilySet::ALL },
            (Some(_), Start::Cold) => RestartBits::default(),
            (Some(_), Start::Restarted { forwarding_kept }) => {
                RestartBits { restarting: true, forwarding: forwarding_kept }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn what_comes_in_while_settling_does_not_keep_it_from_completing() {
        let now = Instant::now();
        let mut sync = Sync::new(Start::Cold, LIMIT, now);
        assert!(!sync.settle(100, 0), "not before all were heard");
        assert!(!sync.update(false, 0, now));
        assert!(sync.update(true, 1000, now));
        assert!(!sync.settle(512, 5000));
        assert!(sync.is_settling());
        assert!(sync.settle(512, 5000));
        assert!(!sync.is_settling() && !sync.settle(512, 0), "once");
    }

    #[test]
    fn an_empty_queue_completes_as_well() {
        let now = Instant::now();
        let mut sync = Sync::new(Start::Cold, LIMIT, now);
        assert!(sync.update(false, 1000, now + LIMIT));
        assert!(sync.settle(3, 0));
    }

    #[test]
    fn only_a_restart_defers_and_only_until_the_wait_is_over() {
        let now = Instant::now();
        let kept = FamilySet::ALL;
        let mut sync = Sync::new(Start::Restarted { forwarding_kept: kept }, LIMIT, now);
        assert!(sync.defers());
        assert_eq!(sync.bits(), RestartBits { restarting: true, forwarding: kept });
        sync.update(false, 0, now + LIMIT);
        assert!(!sync.defers());
        assert_eq!(sync.bits(), RestartBits { restarting: false, forwarding: kept });
        assert!(!Sync::new(Start::Cold, LIMIT, now).defers());
    }
}
