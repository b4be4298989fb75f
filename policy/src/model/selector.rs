// SPDX-License-Identifier: MIT OR Apache-2.0
//! Selectors: boolean expressions over labels.
//!
//! The grammar is Calico's: `||` binds weaker than `&&`, a `!` binds to one operand. A parsed
//! selector knows its canonical text; two selectors with the same canonical text are the same
//! selector, and everything keyed by selectors is keyed by that text.

mod expr;
mod hint;
mod parse;

use std::{cmp::Ordering, collections::BTreeMap, fmt, hash, str::FromStr, sync::Arc};

use self::expr::Expr;
use self::parse::Parser;
use super::Labels;

pub use expr::SelectorError;
pub use hint::Restriction;

/// A parsed selector. Cheap to clone; compared by canonical text.
#[derive(Clone)]
pub struct Selector {
    expr: Arc<Expr>,
    text: Arc<str>,
}

impl Selector {
    /// The selector of every endpoint.
    pub fn all() -> Self {
        Self::from_expr(Expr::All)
    }

    /// Whether labels satisfy the selector.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.expr.eval(&|key| labels.get(key), true)
    }

    /// Whether it selects a namespace by the labels that follow from the namespace's name.
    ///
    /// In this place `all()` means every namespace and `global()` what lives in none.
    pub fn matches_namespace(&self, namespace: &str) -> bool {
        let label = |key: &str| Self::NAMESPACE_KEYS.contains(&key).then_some(namespace);
        self.expr.eval(&label, false)
    }

    /// The labels that every namespace has; both carry its name.
    pub const NAMESPACE_KEYS: [&'static str; 2] =
        ["projectcalico.org/name", "kubernetes.io/metadata.name"];

    /// The label names it mentions, ascending and without repetition.
    pub fn keys(&self) -> Vec<Arc<str>> {
        let mut keys = Vec::new();
        self.expr.collect_keys(&mut keys);
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// What the labels of everything it selects must look like, per label name.
    ///
    /// A conservative hint for indices: labels that satisfy the selector satisfy each of these.
    pub fn restrictions(&self) -> BTreeMap<Arc<str>, Restriction> {
        hint::restrictions(&self.expr)
    }

    /// The canonical text; parsing it gives this selector again.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn from_expr(expr: Expr) -> Self {
        let text = Arc::from(expr.to_string());
        Self { expr: Arc::new(expr), text }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    /// Parses a selector; blank text selects everything.
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Parser::new(text).parse().map(Self::from_expr)
    }
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Selector {}

impl PartialOrd for Selector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Selector {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl hash::Hash for Selector {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Selector({})", self.text)
    }
}

#[cfg(test)]
mod tests;
