// SPDX-License-Identifier: MIT OR Apache-2.0
//! bgp

pub mod types;
pub mod wire;
