// SPDX-License-Identifier: MIT OR Apache-2.0
//! CPU time that others used: children that have ended, and a process that goes on.

use std::fs;
use std::mem::MaybeUninit;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// User and system time of all children of this process that were waited for, and of theirs.
pub(crate) fn children() -> Result<Duration> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: getrusage writes one rusage to a valid pointer, and does so whenever it returns 0.
    let usage = unsafe {
        let answer = libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        ensure!(answer == 0, "getrusage: {}", std::io::Error::last_os_error());
        usage.assume_init()
    };
    Ok(duration(usage.ru_utime)? + duration(usage.ru_stime)?)
}

/// Time that the threads of a process have run, those that ended excepted.
pub(crate) fn process(pid: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("reading {tasks}"))? {
        let path = task.context("reading a task")?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let nanoseconds = text.split_whitespace().next().context("an empty schedstat")?;
        total += Duration::from_nanos(nanoseconds.parse().context("schedstat")?);
    }
    Ok(total)
}

/// Whether all threads of a process wait for something to do, not inside a call that goes on.
pub(crate) fn is_idle(pid: u32) -> Result<bool> {
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("reading {tasks}"))? {
        let path = task.context("reading a task")?.path().join("stat");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        // The state follows the name, which is in brackets and may contain some.
        let state = text.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
        if state != Some("S") {
            return Ok(false);
        }
    }
    Ok(true)
}

fn duration(time: libc::timeval) -> Result<Duration> {
    let seconds = u64::try_from(time.tv_sec).context("seconds of a timeval")?;
    let microseconds = u64::try_from(time.tv_usec).context("microseconds of a timeval")?;
    Ok(Duration::from_secs(seconds) + Duration::from_micros(microseconds))
}
