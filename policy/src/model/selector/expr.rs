// SPDX-License-Identifier: MIT OR Apache-2.0
//! The expression of a selector: its evaluation and its canonical text.

use std::{fmt, sync::Arc};

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at character {}", offset + 1)]
pub struct SelectorError {
    /// Characters before the place where the text stops making sense.
    pub offset: usize,
    /// What is wrong there.
    pub problem: String,
}

/// One node of the expression. Lists are flat, sorted where order means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    All,
    Global,
    Has(Arc<str>),
    Compare(Arc<str>, Comparison, Arc<str>),
    In(Arc<str>, Vec<Arc<str>>),
    NotIn(Arc<str>, Vec<Arc<str>>),
    Not(Box<Self>),
    And(Vec<Self>),
    Or(Vec<Self>),
}

/// How a label's value is compared with a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
}

impl Expr {
    pub(super) fn eval<'a>(&self, label: &impl Fn(&str) -> Option<&'a str>, global: bool) -> bool {
        match self {
            Self::All => true,
            Self::Global => global,
            Self::Has(key) => label(key).is_some(),
            Self::Compare(key, how, literal) => how.holds(label(key), literal),
            Self::In(key, literals) => label(key).is_some_and(|value| contains(literals, value)),
            Self::NotIn(key, literals) => {
                !label(key).is_some_and(|value| contains(literals, value))
            }
            Self::Not(inner) => !inner.eval(label, global),
            Self::And(parts) => parts.iter().all(|part| part.eval(label, global)),
            Self::Or(parts) => parts.iter().any(|part| part.eval(label, global)),
        }
    }

    pub(super) fn collect_keys(&self, keys: &mut Vec<Arc<str>>) {
        match self {
            Self::All | Self::Global => {}
            Self::Has(key) | Self::Compare(key, ..) | Self::In(key, _) | Self::NotIn(key, _) => {
                keys.push(Arc::clone(key))
            }
            Self::Not(inner) => inner.collect_keys(keys),
            Self::And(parts) | Self::Or(parts) => {
                for part in parts {
                    part.collect_keys(keys);
                }
            }
        }
    }
}

impl Comparison {
    /// A label that is absent is unequal to everything and otherwise compares as false.
    fn holds(self, value: Option<&str>, literal: &str) -> bool {
        match self {
            Self::Equal => value == Some(literal),
            Self::NotEqual => value != Some(literal),
            Self::Contains => value.is_some_and(|value| value.contains(literal)),
            Self::StartsWith => value.is_some_and(|value| value.starts_with(literal)),
            Self::EndsWith => value.is_some_and(|value| value.ends_with(literal)),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Contains => "contains",
            Self::StartsWith => "starts with",
            Self::EndsWith => "ends with",
        }
    }
}

fn contains(sorted: &[Arc<str>], value: &str) -> bool {
    sorted.binary_search_by(|literal| literal.as_ref().cmp(value)).is_ok()
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all()"),
            Self::Global => f.write_str("global()"),
            Self::Has(key) => write!(f, "has({key})"),
            Self::Compare(key, how, literal) => {
                write!(f, "{key} {} {}", how.as_str(), Literal(literal))
            }
            Self::In(key, literals) => write!(f, "{key} in {}", Literals(literals)),
            Self::NotIn(key, literals) => write!(f, "{key} not in {}", Literals(literals)),
            Self::Not(inner) if matches!(**inner, Self::And(_) | Self::Or(_)) => {
                write!(f, "!({inner})")
            }
            Self::Not(inner) => write!(f, "!{inner}"),
            Self::And(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { " && " })?;
                    match part {
                        Self::Or(_) => write!(f, "({part})")?,
                        _ => write!(f, "{part}")?,
                    }
                }
                Ok(())
            }
            Self::Or(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    write!(f, "{}{part}", if index == 0 { "" } else { " || " })?;
                }
                Ok(())
            }
        }
    }
}

/// A string literal in the quotes that it does not contain.
struct Literal<'a>(&'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = if self.0.contains('"') { '\'' } else { '"' };
        write!(f, "{quote}{}{quote}", self.0)
    }
}

struct Literals<'a>(&'a [Arc<str>]);

impl fmt::Display for Literals<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, literal) in self.0.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, Literal(literal))?;
        }
        f.write_str("}")
    }
}
