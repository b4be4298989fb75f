// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

fn backoff(seed: u64) -> Backoff<u32> {
    let config = BackoffConfig {
        initial: Duration::from_millis(100),
        max: Duration::from_secs(2),
        jitter_percent: 50,
    };
    Backoff::new(config, seed)
}

#[test]
fn delays_double_up_to_the_bound_within_the_jitter() {
    let mut backoff = backoff(1);
    for (failures, base) in [(1, 100), (2, 200), (3, 400), (5, 1600), (6, 2000), (4000, 2000)] {
        for _ in 0..200 {
            let delay = backoff.delay(failures);
            let base = Duration::from_millis(base);
            assert!(base <= delay && delay <= base * 3 / 2, "{failures}: {delay:?}");
        }
    }
}

#[test]
fn jitter_spreads_and_depends_on_the_seed_alone() {
    let delays = |seed| {
        let mut backoff = backoff(seed);
        (0..50).map(|_| backoff.delay(1)).collect::<Vec<_>>()
    };
    let mut first = delays(1);
    assert_eq!(first, delays(1));
    assert_ne!(first, delays(2));
    first.sort_unstable();
    first.dedup();
    assert!(first.len() > 30, "{}", first.len());
}

#[test]
fn each_key_has_its_own_time() {
    let mut backoff = backoff(3);
    let now = Instant::now();
    let retry = || Failure::new(FailureKind::Retry, "busy");
    backoff.fail(1, retry(), now);
    backoff.fail(2, retry(), now + Duration::from_secs(1));
    assert!(backoff.blocks(&1) && backoff.blocks(&2));
    assert_eq!(backoff.pop_due(now + Duration::from_secs(1)), Some(1));
    assert_eq!(backoff.pop_due(now + Duration::from_secs(1)), None);
    assert!(!backoff.blocks(&1), "being tried");
    assert!(backoff.clear(&2) && !backoff.clear(&2));
    assert_eq!(backoff.next_time(), None);
    let at = backoff.fail(1, retry(), now);
    assert!(at >= Some(now + Duration::from_millis(200)), "second failure");
    assert_eq!(backoff.next_time(), at);
}
