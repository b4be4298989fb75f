// SPDX-License-Identifier: MIT OR Apache-2.0
//! Taking a document apart field by field.
//!
//! Every getter notes what is wrong and goes on, so that all problems of a file are found at once.
//! A field nobody knows is an error with a suggestion; a field whose feature is not built is
//! refused by name; a field without a value is never taken for an absent one.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use policy::load::{Key, Node, Value, suggest};

use super::error::{ConfigError, Place};

/// What is wrong with a field whose feature is not built.
pub(super) const NOT_YET: &str = "not supported yet";

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<ConfigError>>);

/// A value that was read, and where.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// Which fields a mapping may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// Fields that mean something.
    pub(super) known: &'static [&'static str],
    /// Fields of the format whose feature is not built.
    pub(super) refused: &'static [&'static str],
    /// Fields that a server writes and that mean nothing in a file.
    pub(super) ignored: &'static [&'static str],
}

/// A value with the path that leads to it.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) node: &'a Node,
    path: String,
    file: &'a Arc<str>,
    problems: &'a Problems,
}

/// A mapping whose field names have been checked.
pub(super) struct Object<'a> {
    at: Field<'a>,
    entries: &'a [(Key, Node)],
}

impl Problems {
    pub(super) fn push(&self, error: ConfigError) {
        self.0.borrow_mut().push(error);
    }

    pub(super) fn extend(&self, errors: impl IntoIterator<Item = impl Into<ConfigError>>) {
        self.0.borrow_mut().extend(errors.into_iter().map(Into::into));
    }

    /// All problems, by place.
    pub(super) fn into_sorted(self) -> Vec<ConfigError> {
        let mut errors = self.0.into_inner();
        errors.sort_by(|a, b| a.place.cmp(&b.place));
        errors
    }
}

impl<'a> Field<'a> {
    /// A document.
    pub(super) fn root(node: &'a Node, file: &'a Arc<str>, problems: &'a Problems) -> Self {
        Self { node, path: String::new(), file, problems }
    }

    /// How many problems were found so far, anywhere.
    pub(super) fn problems(&self) -> usize {
        self.problems.0.borrow().len()
    }

    pub(super) fn place(&self) -> Place {
        Place {
            file: Arc::clone(self.file),
            line: self.node.line,
            column: self.node.column,
            field: self.path.clone(),
        }
    }

    pub(super) fn at<T>(&self, value: T) -> At<T> {
        At { value, place: self.place() }
    }

    /// Notes a problem with this value.
    pub(super) fn report(&self, problem: &str, hint: Option<String>) {
        let value = match &self.node.value {
            Value::Null | Value::List(_) | Value::Map(_) => None,
            value => Some(value.to_string()),
        };
        let problem = problem.to_owned();
        self.problems.push(ConfigError { place: self.place(), value, problem, hint });
    }

    /// The value as a mapping with no other fields than these.
    pub(super) fn object(&self, fields: Fields) -> Option<Object<'a>> {
        let object = self.any_object()?;
        for (key, node) in object.entries {
            let name = key.text.as_str();
            let place =
                Place { line: key.line, column: key.column, ..self.child(name, node).place() };
            if fields.refused.contains(&name) {
                self.problems.push(ConfigError::new(place, NOT_YET));
            } else if !fields.known.contains(&name) && !fields.ignored.contains(&name) {
                let all = [fields.known, fields.ignored, fields.refused].concat();
                let hint = did_you_mean(name, all)
                    .unwrap_or_else(|| format!("known here: {}", fields.known.join(", ")));
                self.problems.push(ConfigError::new(place, "unknown field").hint(hint));
            }
        }
        Some(object)
    }

    /// The value as a mapping of anything.
    pub(super) fn any_object(&self) -> Option<Object<'a>> {
        match &self.node.value {
            Value::Map(entries) => Some(Object { at: self.clone(), entries }),
            _ => self.expected("a mapping"),
        }
    }

    /// The items of a list.
    pub(super) fn list(&self) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else { return self.expected("a list") };
        let item =
            |(index, node)| Self { node, path: format!("{}[{index}]", self.path), ..self.clone() };
        Some(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            Value::Bool(_) | Value::Int(_) | Value::Float(_) => {
                self.report("expected a string", Some("put it in quotes".to_owned()));
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => self.expected("a string"),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.node.value {
            Value::Bool(value) => Some(value),
            _ => self.expected("true or false"),
        }
    }

    /// A whole number in a range.
    pub(super) fn integer<T>(&self, range: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let value = match self.node.value {
            Value::Int(value) => T::try_from(value).ok().filter(|value| range.contains(value)),
            _ => None,
        };
        value.or_else(|| {
            self.expected(&format!("a number from {} to {}", range.start(), range.end()))
        })
    }

    /// A string that reads as something.
    pub(super) fn parse<T: FromStr>(&self, what: &str) -> Option<T> {
        let text = self.text()?;
        text.parse().ok().or_else(|| self.expected(what))
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let hint = did_you_mean(text, known.iter().copied());
        self.report(&format!("expected {}", known.join(" or ")), hint);
        None
    }

    /// A length of time: a number and its unit.
    pub(super) fn duration(&self) -> Option<Duration> {
        let wanted = "a duration like 9s, 300ms or 5m";
        if let Value::Int(seconds) = self.node.value {
            self.report(&format!("expected {wanted}"), Some(format!("write {seconds}s")));
            return None;
        }
        parse_duration(self.text()?).or_else(|| self.expected(wanted))
    }

    /// Notes that something else was expected here.
    pub(super) fn expected<T>(&self, what: &str) -> Option<T> {
        match self.node.value {
            Value::Null => {
                let hint = format!("give it {what}, or remove the field");
                self.report("the field has no value", Some(hint));
            }
            Value::List(_) => self.report(&format!("expected {what}, found a list"), None),
            Value::Map(_) => self.report(&format!("expected {what}, found a mapping"), None),
            _ => self.report(&format!("expected {what}"), None),
        }
        None
    }

    fn child(&self, name: &str, node: &'a Node) -> Self {
        let path =
            if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { node, path, ..self.clone() }
    }
}

impl<'a> Object<'a> {
    /// The value of a field that may be absent.
    pub(super) fn get(&self, name: &str) -> Option<Field<'a>> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some(self.at.child(name, node))
    }

    /// The value of a field that must be there.
    pub(super) fn require(&self, name: &str) -> Option<Field<'a>> {
        let found = self.get(name);
        if found.is_none() {
            let place = self.missing(name);
            self.at.problems.push(ConfigError::new(place, "the field is missing"));
        }
        found
    }

    /// Where an absent field would be.
    pub(super) fn missing(&self, name: &str) -> Place {
        self.at.child(name, self.at.node).place()
    }

    /// Notes a problem somewhere.
    pub(super) fn problem(&self, error: ConfigError) {
        self.at.problems.push(error);
    }

    /// All fields, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.entries.iter().map(|(key, node)| (key.text.as_str(), self.at.child(&key.text, node)))
    }
}

/// The hint that names what was probably meant.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    suggest(word, candidates).map(|candidate| format!("did you mean {candidate:?}?"))
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}
