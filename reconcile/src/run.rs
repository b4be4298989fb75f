// SPDX-License-Identifier: MIT OR Apache-2.0
//! The loop that joins a driver, a target and the mailboxes around them.

use std::hash::Hash;
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use crate::driver::{Action, Driver};
use crate::hints::Hints;
use crate::mailbox::Mailbox;
use crate::status::Report;
use crate::target::Target;

/// Reconciles until cancelled.
///
/// Calls of the target block the thread: the loop belongs on the lane of that subsystem. Between
/// two batches it yields and takes in what was published meanwhile. On cancellation a batch that
/// was begun is finished; nothing else is written.
#[expect(clippy::too_many_arguments, reason = "each argument is one edge of the lane diagram")]
pub async fn run<T>(
    mut driver: Driver<T::Key, T::Value>,
    mut target: T,
    mailbox: Mailbox<T::Key, T::Value>,
    hints: Hints<T::Key>,
    status: Mailbox<T::Key, Report<T::Key>>,
    cancel: CancellationToken,
) where
    T: Target,
    T::Key: Hash + Eq + Clone,
    T::Value: PartialEq + Clone,
{
    while !cancel.is_cancelled() {
        driver.on_changes(mailbox.take());
        for drift in hints.take() {
            driver.on_drift(drift);
        }
        let idle_until = match driver.next_by_rank(now(), |key| target.rank(key)) {
            Action::Dump => {
                let found = target.dump();
                driver.on_dump(found, now());
                None
            }
            Action::Apply(batch) => {
                let outcomes = target.apply(&batch);
                driver.on_outcomes(outcomes, now());
                None
            }
            Action::Idle(until) => Some(until),
        };
        while let Some(report) = driver.poll_report() {
            status.publish(report.key.clone(), Some(report.clone()), report.revision);
        }
        match idle_until {
            None => tokio::task::yield_now().await,
            // Every arm only waits; what it waits for is still there in the next turn.
            Some(until) => tokio::select! {
                () = cancel.cancelled() => {}
                () = mailbox.changed() => {}
                () = hints.changed() => {}
                () = reached(until) => {}
            },
        }
    }
}

/// Waits for a time; for ever if there is none.
async fn reached(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
