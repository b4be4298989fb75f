// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wrong with a configuration, and where.

use std::fmt;
use std::sync::Arc;

use policy::load::LoadError;

/// One problem of a configuration.
///
/// `Display` gives one line: `file:line:column: field: problem, found value (hint)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it is.
    pub place: Place,
    /// The offending value, where there is one.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A place in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, relative to the configuration directory.
    pub file: Arc<str>,
    /// Line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 for the file as a whole.
    pub column: u32,
    /// Path of the field in its document (`spec.blocks[0]`); empty for the document.
    pub field: String,
}

impl Place {
    /// A file as a whole.
    pub(super) fn file(name: &str) -> Self {
        Self { file: Arc::from(name), line: 0, column: 0, field: String::new() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

impl ConfigError {
    /// A problem at a place.
    pub(super) fn new(place: Place, problem: impl Into<String>) -> Self {
        Self { place, value: None, problem: problem.into(), hint: None }
    }

    /// A problem of a file or directory as a whole.
    pub fn whole(path: &std::path::Path, problem: impl Into<String>) -> Self {
        Self::new(Place::file(&path.display().to_string()), problem)
    }

    /// The same with what to do about it.
    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same with the offending value.
    pub(super) fn value(self, value: impl Into<String>) -> Self {
        Self { value: Some(value.into()), ..self }
    }
}

impl From<LoadError> for ConfigError {
    fn from(error: LoadError) -> Self {
        let LoadError { file, line, column, field, value, problem, hint } = error;
        Self { place: Place { file, line, column, field }, value, problem, hint }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.place.field.is_empty() {
            write!(f, "{}: ", self.place.field)?;
        }
        f.write_str(&self.problem)?;
        if let Some(value) = &self.value {
            write!(f, ", found {value}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}
