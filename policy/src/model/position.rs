// SPDX-License-Identifier: MIT OR Apache-2.0
//! Places in files, for everything that must say where it comes from.

use std::{fmt, sync::Arc};

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The file as it was named to the loader.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
