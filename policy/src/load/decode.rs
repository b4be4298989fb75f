// SPDX-License-Identifier: MIT OR Apache-2.0
//! Walking a tree of nodes field by field, noting every problem on the way.

use std::sync::Arc;

use super::{
    LoadError,
    error::did_you_mean,
    yaml::{Key, Node, Value},
};
use crate::model::Position;

/// The problems found so far in one file.
pub(super) struct Problems {
    file: Arc<str>,
    errors: Vec<LoadError>,
}

/// What a problem is about and where it stands.
struct Place {
    line: u32,
    column: u32,
    path: String,
}

/// A value with the path that leads to it.
#[derive(Clone)]
pub(super) struct Cursor<'n> {
    pub(super) node: &'n Node,
    pub(super) path: String,
}

/// Which fields a mapping may have.
pub(super) struct Fields {
    /// Fields that mean something.
    pub(super) known: &'static [&'static str],
    /// Fields of the format that cannot be honoured yet.
    pub(super) refused: &'static [&'static str],
    /// Fields that are accepted and mean nothing here.
    pub(super) ignored: &'static [&'static str],
}

/// A mapping whose fields have been checked.
pub(super) struct Mapping<'n> {
    pub(super) at: Cursor<'n>,
    entries: &'n [(Key, Node)],
}

impl Problems {
    pub(super) fn new(file: &str) -> Self {
        Self { file: Arc::from(file), errors: Vec::new() }
    }

    /// The errors by ascending place, or the result if there are none.
    pub(super) fn finish<T>(mut self, result: T) -> Result<T, Vec<LoadError>> {
        if self.errors.is_empty() {
            return Ok(result);
        }
        self.errors.sort_by_key(|error| (error.line, error.column));
        Err(self.errors)
    }

    pub(super) fn position(&self, node: &Node) -> Position {
        Position { file: Arc::clone(&self.file), line: node.line }
    }

    /// Notes a problem with the value under the cursor.
    pub(super) fn report(&mut self, at: &Cursor<'_>, problem: &str, hint: Option<String>) {
        let value = match &at.node.value {
            Value::Null | Value::List(_) | Value::Map(_) => None,
            value => Some(value.to_string()),
        };
        let Node { line, column, .. } = *at.node;
        self.push(Place { line, column, path: at.path.clone() }, value, problem, hint);
    }

    /// Notes a problem with a field itself.
    pub(super) fn report_key(
        &mut self,
        key: &Key,
        path: String,
        problem: &str,
        hint: Option<String>,
    ) {
        let Key { line, column, .. } = *key;
        self.push(Place { line, column, path }, None, problem, hint);
    }

    fn push(&mut self, at: Place, value: Option<String>, problem: &str, hint: Option<String>) {
        self.errors.push(LoadError {
            file: Arc::clone(&self.file),
            line: at.line,
            column: at.column,
            field: at.path,
            value,
            problem: problem.to_owned(),
            hint,
        });
    }
}

impl<'n> Cursor<'n> {
    /// A document.
    pub(super) fn root(node: &'n Node) -> Self {
        Self { node, path: String::new() }
    }

    fn child(&self, name: &str, node: &'n Node) -> Self {
        let path =
            if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Self { node, path }
    }

    /// The value as a mapping with no other fields than these.
    pub(super) fn mapping(&self, fields: &Fields, problems: &mut Problems) -> Option<Mapping<'n>> {
        let Value::Map(entries) = &self.node.value else {
            self.expected("a mapping", problems);
            return None;
        };
        for (key, node) in entries {
            let name = key.text.as_str();
            let child = self.child(name, node);
            if fields.refused.contains(&name) {
                problems.report_key(key, child.path, "not supported yet", None);
            } else if !fields.known.contains(&name) && !fields.ignored.contains(&name) {
                let candidates = fields.known.iter().chain(fields.ignored).chain(fields.refused);
                let hint = did_you_mean(name, candidates.copied())
                    .or_else(|| Some(format!("known here: {}", fields.known.join(", "))));
                problems.report_key(key, child.path, "unknown field", hint);
            }
        }
        Some(Mapping { at: self.clone(), entries })
    }

    /// The items of a list.
    pub(super) fn list(&self, problems: &mut Problems) -> Option<Vec<Self>> {
        let Value::List(items) = &self.node.value else {
            self.expected("a list", problems);
            return None;
        };
        let item = |(index, node)| Self { node, path: format!("{}[{index}]", self.path) };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// The items of a list that must not be empty, because emptiness could be read both ways.
    pub(super) fn filled_list(&self, hint: &str, problems: &mut Problems) -> Option<Vec<Self>> {
        let items = self.list(problems)?;
        if items.is_empty() {
            problems.report(self, "the list is empty", Some(hint.to_owned()));
            return None;
        }
        Some(items)
    }

    /// A string that is not blank.
    pub(super) fn text(&self, problems: &mut Problems) -> Option<&'n str> {
        let Value::Text(text) = &self.node.value else {
            self.expected("a string", problems);
            return None;
        };
        Some(text)
    }

    /// A truth value.
    pub(super) fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        let Value::Bool(value) = self.node.value else {
            self.expected("true or false", problems);
            return None;
        };
        Some(value)
    }

    /// Notes that something else was expected here.
    pub(super) fn expected(&self, what: &str, problems: &mut Problems) {
        match self.node.value {
            Value::Null => problems.report(
                self,
                "the field has no value",
                Some(format!("give it {what}, or remove the field")),
            ),
            Value::List(_) => {
                problems.report(self, &format!("expected {what}, found a list"), None)
            }
            Value::Map(_) => {
                problems.report(self, &format!("expected {what}, found a mapping"), None)
            }
            _ => problems.report(self, &format!("expected {what}"), None),
        }
    }
}

impl<'n> Mapping<'n> {
    /// The value of a field that may be absent.
    pub(super) fn get(&self, name: &str) -> Option<Cursor<'n>> {
        let (_, node) = self.entries.iter().find(|(key, _)| key.text == name)?;
        Some(self.at.child(name, node))
    }

    /// The value of a field that must be there.
    pub(super) fn require(&self, name: &str, problems: &mut Problems) -> Option<Cursor<'n>> {
        let found = self.get(name);
        if found.is_none() {
            let Node { line, column, .. } = *self.at.node;
            let path = self.at.child(name, self.at.node).path;
            problems.push(Place { line, column, path }, None, "the field is missing", None);
        }
        found
    }
}
