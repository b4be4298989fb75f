// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where configuration comes from, and how its changes are noticed.

pub mod dir;
