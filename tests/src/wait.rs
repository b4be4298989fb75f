// SPDX-License-Identifier: MIT OR Apache-2.0
//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::diag;

/// First pause between two looks; it doubles up to [`LONGEST`].
const SHORTEST: Duration = Duration::from_millis(2);
const LONGEST: Duration = Duration::from_millis(50);

/// Looks again and again until the condition holds, and returns what it found.
///
/// # Errors
/// When the deadline passed: what was waited for and the last reason why not. A diagnosis of the
/// whole scenario goes to standard error.
pub fn eventually<T>(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> Result<T>,
) -> Result<T> {
    let (start, mut pause) = (Instant::now(), SHORTEST);
    loop {
        let reason = match condition() {
            Ok(found) => return Ok(found),
            Err(reason) => reason,
        };
        if start.elapsed() >= deadline {
            eprintln!("gave up after {deadline:?}: {what}: {reason:#}\n{}", diag::report());
            return Err(reason.context(anyhow!("not within {deadline:?}: {what}")));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST);
    }
}
