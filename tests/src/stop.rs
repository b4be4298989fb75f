// SPDX-License-Identifier: MIT OR Apache-2.0
//! A thread that serves a socket until its handle is dropped.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A running thread and the end of the pipe whose closing ends it.
pub(crate) struct Worker<T> {
    thread: Option<JoinHandle<T>>,
    stop: Option<UnixStream>,
}

/// What a worker's thread waits with.
pub(crate) struct Stop(UnixStream);

/// Why a wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    Stopped,
    Readable,
    Timeout,
}

impl<T: Send + 'static> Worker<T> {
    pub(crate) fn spawn(work: impl FnOnce(Stop) -> T + Send + 'static) -> Result<Self> {
        let (stop, watch) = UnixStream::pair().context("creating a stop pipe")?;
        let thread = std::thread::Builder::new().spawn(move || work(Stop(watch)));
        let thread = thread.context("starting a thread")?;
        Ok(Self { thread: Some(thread), stop: Some(stop) })
    }

    /// Ends the thread and returns its result; `None` if it panicked or was ended before.
    pub(crate) fn finish(&mut self) -> Option<T> {
        self.stop = None;
        self.thread.take()?.join().ok()
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been printed by the thread.
            let _panicked = thread.join();
        }
    }
}

impl Stop {
    /// Waits until the socket is readable, the time is reached, or the worker shall end.
    pub(crate) fn wait(&self, socket: BorrowedFd<'_>, until: Option<Instant>) -> Wake {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let mut fds = [
                PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(socket, PollFlags::IN),
            ];
            let polled = poll(&mut fds, left.map(timespec).as_ref());
            match polled {
                Ok(0) => return Wake::Timeout,
                Ok(_) if !fds[0].revents().is_empty() => return Wake::Stopped,
                Ok(_) => return Wake::Readable,
                // Interrupted: look again.
                Err(_) => {}
            }
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec: seconds, tv_nsec: duration.subsec_nanos().into() }
}
