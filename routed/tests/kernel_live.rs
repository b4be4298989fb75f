// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel layer against the real kernel: root, in namespaces of its own.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "tests start ip, ping and setpriv to look at the kernel from outside"
)]

#[cfg(test)]
#[path = "kernel_live/drift.rs"]
mod drift;
#[cfg(test)]
#[path = "kernel_live/lane.rs"]
mod lane;
#[cfg(test)]
#[path = "kernel_live/link.rs"]
mod link;
#[cfg(test)]
#[path = "kernel_live/measure.rs"]
mod measure;
#[cfg(test)]
#[path = "kernel_live/monitor.rs"]
mod monitor;
#[cfg(test)]
#[path = "kernel_live/outside.rs"]
mod outside;
#[cfg(test)]
#[path = "kernel_live/reap.rs"]
mod reap;
#[cfg(test)]
#[path = "kernel_live/route.rs"]
mod route;
#[cfg(test)]
#[path = "kernel_live/support.rs"]
mod support;
#[cfg(test)]
#[path = "kernel_live/sysctl.rs"]
mod sysctl;
