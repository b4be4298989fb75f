// SPDX-License-Identifier: MIT OR Apache-2.0
//! Bytes to messages and back (RFC 4271 §4 and its extensions).
