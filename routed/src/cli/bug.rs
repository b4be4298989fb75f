// SPDX-License-Identifier: MIT OR Apache-2.0
//! A panic is a bug of ours: it becomes an error with its own exit code, so that nobody takes it for an answer.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};

use super::context::CliError;
use super::output;

thread_local! {
    /// The last panic of this thread.
    static SEEN: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a command; a panic on this thread becomes [`CliError::Bug`].
///
/// Panics of other threads are told at once, to the log where there is one.
pub(super) fn caught(work: impl FnOnce() -> Result<u8, CliError>) -> Result<u8, CliError> {
    let hook = panic::take_hook();
    let main = std::thread::current().id();
    panic::set_hook(Box::new(move |info| {
        let told = describe(info);
        let logs = tracing::dispatcher::has_been_set();
        if logs {
            let current = std::thread::current();
            let thread = current.name().unwrap_or("?");
            tracing::error!(thread, panic = told, "bug: a thread panicked");
        }
        if std::thread::current().id() == main {
            SEEN.set(Some(told));
        } else if !logs {
            output::complain(&format!("bug: {told}"));
        }
    }));
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    panic::set_hook(hook);
    outcome.unwrap_or_else(|_| Err(CliError::Bug(SEEN.take().unwrap_or_default())))
}

/// What, where, and from where if `RUST_BACKTRACE` asks for that.
fn describe(info: &PanicHookInfo<'_>) -> String {
    let mut text = info.payload_as_str().unwrap_or("a panic without words").to_owned();
    if let Some(place) = info.location() {
        text.push_str(&format!(" at {}:{}", place.file(), place.line()));
    }
    let trace = Backtrace::capture();
    if trace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("\n{trace}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Panicked;

    #[test]
    fn a_panic_is_a_bug_with_exit_code_70() {
        let error = caught(|| panic!("the impossible")).expect_err("a panic is an error");
        assert_eq!(error.exit_code(), 70);
        let detail = error.detail();
        assert_eq!(detail.code, "bug");
        assert!(detail.message.starts_with("this is a bug in routed "), "{}", detail.message);
        let place = format!("the impossible at {}:", file!());
        assert!(detail.message.contains(&place), "{}", detail.message);
    }

    #[test]
    fn what_does_not_panic_keeps_its_outcome() {
        assert!(matches!(caught(|| Ok(1)), Ok(1)));
        let error = caught(|| Err(CliError::NotFound("x".into()))).expect_err("no such thing");
        assert_eq!(error.exit_code(), 4);
    }

    #[test]
    fn a_lane_that_panicked_is_a_bug_too() {
        let error = anyhow::Error::new(Panicked("lane bgp".into())).context("running");
        let error = CliError::from(error);
        assert_eq!((error.exit_code(), error.detail().code.as_str()), (70, "bug"));
        assert!(error.detail().message.contains("lane bgp panicked"), "{error:?}");
    }
}
