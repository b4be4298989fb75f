// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files to policies.
//!
//! A file is first read into a tree of [`Node`]s that know their place, then every document is
//! taken apart field by field. Nothing is skipped: a field nobody asked for is an error with a
//! suggestion, a field whose feature is not built is refused by name, a field without a value is
//! never taken for an absent one. All problems of a file are collected, and one problem rejects
//! the whole file.

mod decode;
mod error;
mod kind;
mod policy;
mod rule;
mod yaml;

pub use error::{LoadError, suggest};
pub use kind::{Document, KINDS, find_duplicates, parse};
pub use yaml::{Key, Node, Value, nodes};

#[cfg(test)]
mod tests;
