// SPDX-License-Identifier: MIT OR Apache-2.0
//! The two combinators the loop needs, without a runtime.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

/// Something to wait for.
pub(crate) type Waiter<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Waits for the first of several and tells which; as cancel-safe as they are.
pub(crate) async fn first<const N: usize>(mut waiters: [Waiter<'_>; N]) -> usize {
    poll_fn(|context| {
        let ready = waiters.iter_mut().position(|waiter| waiter.as_mut().poll(context).is_ready());
        ready.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Lets other tasks of the thread run.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
