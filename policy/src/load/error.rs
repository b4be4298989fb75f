// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is wrong in a file, where, and what was probably meant.

use std::{fmt, sync::Arc};

/// One problem of a file.
///
/// `Display` gives one line: `file:line:column: field: problem, found value (hint)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The file as it was named to the loader.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Path of the field in its document (`spec.ingress[0].action`); empty for the document.
    pub field: String,
    /// The offending value, where there is one.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
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

impl std::error::Error for LoadError {}

/// The candidate that `word` was probably meant to be: equal but for case, or a few typos away.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let limit = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| {
            (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The hint that names what was probably meant.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    suggest(word, candidates).map(|candidate| format!("did you mean {candidate:?}?"))
}
