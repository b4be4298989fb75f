// SPDX-License-Identifier: MIT OR Apache-2.0
//! The nf_tables writer against the real kernel, in network namespaces of its own. Needs root.
#![cfg(feature = "nft")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes only test functions for tests, not what they share"
)]

mod changes;
mod constructs;
mod enforcer;
mod ownership;
mod packets;
mod refusals;
mod scale;
mod support;
