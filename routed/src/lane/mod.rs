// SPDX-License-Identifier: MIT OR Apache-2.0
//! The lanes: one thread each, sharing nothing but mailboxes.
//!
//! `core` owns the state machine and runs on the main thread; `fabric` writes links and routes; `policy` writes nftables;
//! `speaker` speaks BGP. A lane that ends by itself or panics takes the process with it: the supervisor starts a new one,
//! and the kernel keeps forwarding meanwhile.

pub(crate) mod bfd;
mod call;
mod check;
pub(crate) mod core;
pub(crate) mod fabric;
pub(crate) mod fib;
pub(crate) mod policy;
pub(crate) mod reconciler;
mod refusal;
pub(crate) mod speaker;

use std::io;
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

pub use call::{CniAnswer, CniCall, CniRequest};

/// Starts a thread with a runtime of its own. When the work ends, however it ends, `cancel` ends all others.
///
/// # Errors
/// The system gives no thread or runtime.
pub(crate) fn start<F>(
    name: &'static str,
    cancel: CancellationToken,
    work: impl FnOnce() -> F + Send + 'static,
) -> io::Result<JoinHandle<()>>
where
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Dropped on the way out, after a panic too.
        let _ends_all = cancel.drop_guard();
        runtime.block_on(work());
    })
}
