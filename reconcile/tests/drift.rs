// SPDX-License-Identifier: MIT OR Apache-2.0
//! Foreign changes are counted once each, and only where both sides had agreed.

use std::time::Instant;

use reconcile::{Action, Changes, Completeness, Driver, DriverConfig, Mailbox, Outcome, Revision};

fn wishes(entries: &[(&'static str, u8)]) -> Changes<&'static str, u8> {
    let mailbox = Mailbox::new();
    for (key, value) in entries {
        mailbox.publish(*key, Some(*value), Revision(1));
    }
    mailbox.set_completeness(Completeness::Complete);
    mailbox.take()
}

/// Writes whatever the driver asks for, as a target that never fails.
fn settle(driver: &mut Driver<&'static str, u8>, now: Instant) {
    while let Action::Apply(batch) = driver.next(now) {
        let puts = batch.puts.iter().map(|(key, _)| (*key, Outcome::Applied));
        let deletes = batch.deletes.iter().map(|key| (*key, Outcome::Applied));
        driver.on_outcomes(puts.chain(deletes).collect(), now);
    }
}

#[test]
fn what_others_changed_is_counted_and_first_writes_are_not() {
    let now = Instant::now();
    let mut driver = Driver::new(DriverConfig::default());
    driver.on_changes(wishes(&[("a", 1), ("b", 2), ("c", 3)]));
    assert_eq!(driver.next(now), Action::Dump);
    driver.on_dump(Ok(vec![("a", 9)]), now);
    settle(&mut driver, now);
    assert_eq!(driver.stats().drifted, 0, "nobody had agreed on anything before");

    driver.on_dump(Ok(vec![("a", 1), ("b", 7)]), now);
    assert_eq!(driver.stats().drifted, 2, "b was changed, c was removed");
    settle(&mut driver, now);
    driver.on_dump(Ok(vec![("a", 1), ("b", 2), ("c", 3)]), now);
    assert_eq!(driver.stats().drifted, 2);
}
