// SPDX-License-Identifier: MIT OR Apache-2.0
use std::time::Duration;

use super::*;
use crate::driver::DriverConfig;
use crate::fake::{Fault, MemTarget};
use crate::status::{Completeness, Drift, Failure, FailureKind, Outcome, Revision};
use crate::target::Batch;

/// Tells each batch to the test, since the loop owns the target.
struct Told {
    inner: MemTarget<u32, u32>,
    batches: Mailbox<usize, Batch<u32, u32>>,
}

impl Target for Told {
    type Key = u32;
    type Value = u32;

    fn dump(&mut self) -> Result<Vec<(u32, u32)>, Failure> {
        self.inner.dump()
    }

    fn apply(&mut self, batch: &Batch<u32, u32>) -> Vec<(u32, Outcome)> {
        self.batches.publish(self.inner.batches.len(), Some(batch.clone()), Revision(0));
        self.inner.apply(batch)
    }
}

async fn report(status: &Mailbox<u32, Report<u32>>) -> (u32, Revision, bool) {
    // Virtual: reached only when nobody else has anything to do.
    let answer = tokio::time::timeout(Duration::from_secs(3600), status.changed()).await;
    answer.expect("a report");
    let mut changes = status.take_up_to(1);
    let (key, change) = changes.entries.pop().expect("a report");
    let report = change.value.expect("a value");
    (key, report.revision, report.outcome == Outcome::Applied)
}

/// Virtual time only passes when every task waits.
async fn until_idle() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn the_loop_writes_retries_follows_hints_and_ends() {
    let (mailbox, hints, status) = (Mailbox::new(), Hints::new(), Mailbox::new());
    let (cancel, batches) = (CancellationToken::new(), Mailbox::new());
    let mut inner = MemTarget::new();
    let failure = Failure::new(FailureKind::Retry, "busy");
    inner.inject(Fault::Dump(failure.clone()));
    inner.inject(Fault::Apply { failure, effective: false });
    let target = Told { inner, batches: batches.clone() };

    let mut lane = tokio::task::JoinSet::new();
    lane.spawn(run(
        Driver::new(DriverConfig::default()),
        target,
        mailbox.clone(),
        hints.clone(),
        status.clone(),
        cancel.clone(),
    ));
    mailbox.publish(1, Some(1), Revision(1));
    mailbox.set_completeness(Completeness::Complete);
    assert_eq!(report(&status).await, (1, Revision(1), false));
    assert_eq!(report(&status).await, (1, Revision(1), true), "after the backoff");

    batches.take();
    until_idle().await;
    hints.hint(Drift::Key(1));
    assert_eq!(report(&status).await, (1, Revision(1), true));
    assert_eq!(batches.take().entries.len(), 1);

    until_idle().await;
    mailbox.publish(1, None, Revision(2));
    assert_eq!(report(&status).await, (1, Revision(2), true));

    until_idle().await;
    cancel.cancel();
    let end = tokio::time::timeout(Duration::from_secs(1), lane.join_next()).await;
    end.expect("ends").expect("one task").expect("no panic");
}
