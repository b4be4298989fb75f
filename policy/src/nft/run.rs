// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop of the policy lane.

use std::{
    future::{Future, pending},
    os::fd::{AsFd, BorrowedFd},
    time::Instant,
};

use reconcile::Drift;

use crate::nft::{
    enforcer::{Enforcer, Turn},
    monitor::{Monitor, Watch},
    race::{self, Waiter},
    target::Target,
};

/// What the loop needs of an asynchronous runtime; the policy crate has none of its own.
pub trait Runtime: Sync {
    /// Waits until a time. Cancel-safe.
    fn sleep_until(&self, time: Instant) -> impl Future<Output = ()> + Send;

    /// Waits until a socket can be read. Cancel-safe.
    fn readable(&self, socket: BorrowedFd<'_>) -> impl Future<Output = ()> + Send;
}

impl Enforcer<Target> {
    /// Enforces until `cancel` is ready. A transaction that was begun is finished, and the table
    /// stays in the kernel.
    ///
    /// Calls of the kernel block the thread: this belongs on a thread of its own. A loop that has
    /// more to do calls [`Enforcer::turn`] and [`Enforcer::wait`] itself.
    pub async fn run(mut self, runtime: &impl Runtime, cancel: impl Future<Output = ()> + Send) {
        let mut cancel = std::pin::pin!(cancel);
        loop {
            let next: Waiter<'_> = match self.turn(Instant::now()) {
                Turn::Busy => Box::pin(race::yield_now()),
                Turn::Idle(until) => Box::pin(self.wait(runtime, until)),
            };
            if race::first([Box::pin(cancel.as_mut()), next]).await == 0 {
                return;
            }
        }
    }

    /// Waits for news, for a change of the table by others, or for a time. Cancel-safe.
    pub async fn wait(&mut self, runtime: &impl Runtime, until: Option<Instant>) {
        self.adjust_watch();
        let drifted: Waiter<'_> = match &self.watch {
            Watch::On(monitor) => Box::pin(runtime.readable(monitor.as_fd())),
            Watch::Off | Watch::Failed => Box::pin(pending()),
        };
        let reached: Waiter<'_> = match until {
            Some(time) => Box::pin(runtime.sleep_until(time)),
            None => Box::pin(pending()),
        };
        race::first([Box::pin(self.news()), drifted, reached]).await;
        self.read_watch();
    }

    /// Listens for changes by others as long as the kernel does not prevent them.
    fn adjust_watch(&mut self) {
        match (&self.watch, self.target().stats().is_owned) {
            (Watch::Off, false) => match Monitor::open(self.target().port()) {
                Ok(monitor) => {
                    self.watch = Watch::On(monitor);
                    // What happened before we listened.
                    self.hints().hint(Drift::All);
                }
                Err(error) => self.fail_watch(&error),
            },
            (Watch::On(_), true) => self.watch = Watch::Off,
            (Watch::Off, true) | (Watch::On(_), false) | (Watch::Failed, _) => {}
        }
    }

    fn read_watch(&mut self) {
        let Watch::On(monitor) = &mut self.watch else { return };
        match monitor.has_drifted() {
            Ok(true) => self.hints().hint(Drift::All),
            Ok(false) => {}
            Err(error) => self.fail_watch(&error),
        }
    }

    fn fail_watch(&mut self, error: &std::io::Error) {
        tracing::warn!(%error, "cannot listen for changes of the policy table");
        self.watch = Watch::Failed;
    }
}
