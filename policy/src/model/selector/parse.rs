// SPDX-License-Identifier: MIT OR Apache-2.0
//! The selector parser: one pass over the text, no separate tokens.
//!
//! ```text
//! or      := and ( "||" and )*
//! and     := unary ( "&&" unary )*
//! unary   := "!"* ( "(" or ")" | "has(" label ")" | "all()" | "global()" | label operator )
//! operator:= ( "==" | "!=" | "contains" | "starts with" | "ends with" ) literal
//!          | ( "in" | "not in" ) "{" literal, … "}"
//! ```
//!
//! Space and tab separate; `has(`, `all(` and `global(` are one word with their parenthesis, so a
//! label may be called `has`. Operators are words only behind a label.

use std::sync::Arc;

use super::expr::{Comparison, Expr, SelectorError};

/// Longest label name in bytes.
const MAX_LABEL: usize = 512;

/// Deepest nesting of parentheses; bounds the recursion of everything that walks an expression.
const MAX_DEPTH: usize = 64;

/// The binary operators that take one literal.
const COMPARISONS: [(&[&str], Comparison); 5] = [
    (&["=="], Comparison::Equal),
    (&["!="], Comparison::NotEqual),
    (&["contains"], Comparison::Contains),
    (&["starts", "with"], Comparison::StartsWith),
    (&["ends", "with"], Comparison::EndsWith),
];

pub(super) struct Parser<'a> {
    text: &'a str,
    /// Byte offset of the next character.
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    pub(super) fn parse(mut self) -> Result<Expr, SelectorError> {
        self.skip_blanks();
        if self.rest().is_empty() {
            return Ok(Expr::All);
        }
        let expr = self.or()?;
        if self.rest().is_empty() {
            Ok(expr)
        } else {
            Err(self.error("expected `&&`, `||` or the end"))
        }
    }

    fn or(&mut self) -> Result<Expr, SelectorError> {
        let mut parts = vec![self.and()?];
        while self.eat("||") {
            parts.push(self.and()?);
        }
        Ok(flatten(parts, Expr::Or, |part| match part {
            Expr::Or(inner) => Ok(inner),
            other => Err(other),
        }))
    }

    fn and(&mut self) -> Result<Expr, SelectorError> {
        let mut parts = vec![self.unary()?];
        while self.eat("&&") {
            parts.push(self.unary()?);
        }
        Ok(flatten(parts, Expr::And, |part| match part {
            Expr::And(inner) => Ok(inner),
            other => Err(other),
        }))
    }

    fn unary(&mut self) -> Result<Expr, SelectorError> {
        let mut negated = false;
        while self.eat("!") {
            negated = !negated;
        }
        let operand = self.operand()?;
        Ok(match (negated, operand) {
            (false, operand) => operand,
            (true, Expr::Not(inner)) => *inner,
            (true, operand) => Expr::Not(Box::new(operand)),
        })
    }

    fn operand(&mut self) -> Result<Expr, SelectorError> {
        if self.eat("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(self.error("too many nested parentheses"));
            }
            let inner = self.or()?;
            self.depth -= 1;
            self.expect(")")?;
            return Ok(inner);
        }
        for (word, expr) in [("all(", Expr::All), ("global(", Expr::Global)] {
            if self.eat(word) {
                self.expect(")")?;
                return Ok(expr);
            }
        }
        if self.eat("has(") {
            let label = self.label()?;
            self.expect(")")?;
            return Ok(Expr::Has(label));
        }
        let label = self.label()?;
        self.operator(label)
    }

    fn operator(&mut self, label: Arc<str>) -> Result<Expr, SelectorError> {
        for (words, comparison) in COMPARISONS {
            if self.eat_words(words) {
                return Ok(Expr::Compare(label, comparison, self.literal()?));
            }
        }
        if self.eat_words(&["in"]) {
            return Ok(Expr::In(label, self.literals()?));
        }
        if self.eat_words(&["not", "in"]) {
            return Ok(Expr::NotIn(label, self.literals()?));
        }
        Err(self
            .error("expected `==`, `!=`, `in`, `not in`, `contains`, `starts with` or `ends with`"))
    }

    fn literals(&mut self) -> Result<Vec<Arc<str>>, SelectorError> {
        self.expect("{")?;
        let mut literals = Vec::new();
        while !self.eat("}") {
            literals.push(self.literal()?);
            if !self.eat(",") {
                self.expect("}")?;
                break;
            }
        }
        literals.sort_unstable();
        literals.dedup();
        Ok(literals)
    }

    fn literal(&mut self) -> Result<Arc<str>, SelectorError> {
        let Some(quote @ ('"' | '\'')) = self.rest().chars().next() else {
            return Err(self.error("expected a quoted string"));
        };
        let Some((literal, _)) = self.rest()[1..].split_once(quote) else {
            return Err(self.error("the string is not closed"));
        };
        self.advance(literal.len() + 2);
        Ok(Arc::from(literal))
    }

    fn label(&mut self) -> Result<Arc<str>, SelectorError> {
        let rest = self.rest();
        let length = rest.bytes().take_while(|byte| is_label(*byte)).count();
        if length == 0 {
            return Err(self.error("expected a label name"));
        }
        if length > MAX_LABEL {
            return Err(self.error("the label name is longer than 512 characters"));
        }
        let label = Arc::from(&rest[..length]);
        self.advance(length);
        Ok(label)
    }

    /// Takes `words`, with or without blanks between them, if they stand here as a whole.
    fn eat_words(&mut self, words: &[&str]) -> bool {
        let mut rest = self.rest();
        for word in words {
            let Some(behind) = rest.trim_start_matches(is_blank).strip_prefix(word) else {
                return false;
            };
            rest = behind;
        }

        let inside_word = words.last().is_some_and(|word| word.bytes().all(is_word))
            && rest.bytes().next().is_some_and(is_word);
        if inside_word {
            return false;
        }
        self.advance(self.rest().len() - rest.len());
        true
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.advance(token.len());
        }
        found
    }

    fn expect(&mut self, token: &str) -> Result<(), SelectorError> {
        if self.eat(token) { Ok(()) } else { Err(self.error(&format!("expected `{token}`"))) }
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        self.skip_blanks();
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start_matches(is_blank).len();
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error(&self, problem: &str) -> SelectorError {
        SelectorError { offset: self.text[..self.at].chars().count(), problem: problem.to_owned() }
    }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// What `\b` of regular expressions takes for a part of a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_label(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'/' | b'-')
}

/// Joins parts with an operator, lifting up parts that are already joined by it.
fn flatten(
    parts: Vec<Expr>,
    join: fn(Vec<Expr>) -> Expr,
    open: fn(Expr) -> Result<Vec<Expr>, Expr>,
) -> Expr {
    let mut flat = Vec::with_capacity(parts.len());
    for part in parts {
        match open(part) {
            Ok(inner) => flat.extend(inner),
            Err(other) => flat.push(other),
        }
    }
    if flat.len() == 1 { flat.remove(0) } else { join(flat) }
}
