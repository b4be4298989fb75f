// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where configuration comes from, and how its changes are noticed.

mod dir;

pub use dir::{Directory, Origin, Reader, State, run};
