// SPDX-License-Identifier: MIT OR Apache-2.0
//! Real packets against a small ruleset.
