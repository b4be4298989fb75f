// SPDX-License-Identifier: MIT OR Apache-2.0
//! What several test programs share.
#![expect(dead_code, reason = "each test program uses a part")]

pub(crate) mod cases;
pub(crate) mod interpreter;
pub(crate) mod render;
