// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel layer against the real kernel: root, namespaces of its own.
#![expect(
    clippy::disallowed_methods,
    reason = "tests start ip, ping and setpriv to look at the kernel from outside"
)]

#[path = "kernel_live/link.rs"]
mod link;
#[path = "kernel_live/support.rs"]
mod support;
