// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a source file declares and names: modules, imports, items, and paths.

use super::lex::{Kind, Token, group_end, tokens};

/// Words that begin an item whose name follows.
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static"];

/// First segment of a path written with a leading `::`: the name of another crate.
pub(crate) const ROOT: &str = "::";

/// One module: a file, or an inline `mod name { .. }` of one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// Inline modules below, by name.
    pub(crate) inline: Vec<(String, bool, Self)>,
    /// `mod name;` with the path of its `#[path]`, and whether it is for tests.
    pub(crate) files: Vec<(String, Option<String>, bool)>,
    pub(crate) uses: Vec<Use>,
    pub(crate) items: Vec<String>,
    pub(crate) paths: Vec<Path>,
}

/// One leaf of a `use` declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) path: Vec<String>,
    /// The name it brings in; none for a glob and for `as _`.
    pub(crate) name: Option<String>,
    /// Whether others see it.
    pub(crate) public: bool,
    pub(crate) line: usize,
    pub(crate) test: bool,
}

/// A path of two and more segments in code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) test: bool,
    /// Tokens it takes.
    length: usize,
}

/// A file, read.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) tokens: Vec<Token>,
    pub(crate) scope: Scope,
}

impl Source {
    pub(crate) fn parse(text: &str) -> Self {
        let tokens = tokens(text);
        let scope = scope(&tokens);
        Self { tokens, scope }
    }
}

fn scope(tokens: &[Token]) -> Scope {
    let mut scope = Scope::default();
    let (mut at, mut depth, mut path_attribute) = (0, 0, None);
    while at < tokens.len() {
        let token = &tokens[at];
        let next = |ahead: usize| tokens.get(at + ahead);
        let follows_name = next(1).is_some_and(|token| token.kind == Kind::Word);
        let begins_attribute = at > 0 && tokens[at - 1].is("[");
        if begins_attribute && token.is("path") && next(1).is_some_and(|t| t.is("=")) {
            path_attribute = next(2).filter(|t| t.kind == Kind::Text).map(|t| t.text.clone());
        } else if token.is("mod") && follows_name {
            let name = tokens[at + 1].text.clone();
            if next(2).is_some_and(|t| t.is("{")) {
                let end = group_end(tokens, at + 2);
                let inner = self::scope(&tokens[at + 3..end - 1]);
                scope.inline.push((name, token.test, inner));
                at = end;
                continue;
            }
            scope.files.push((name, path_attribute.take(), token.test));
        } else if token.is("use") && !precedes_generic(tokens, at) {
            at = use_declaration(tokens, at, &mut scope.uses);
            continue;
        } else if depth == 0 && follows_name && ITEMS.iter().any(|item| token.is(item)) {
            scope.items.push(tokens[at + 1].text.clone());
        } else if token.is("macro_rules") && next(1).is_some_and(|t| t.is("!")) {
            scope.items.extend(next(2).map(|t| t.text.clone()));
        } else if token.is("{") {
            depth += 1;
        } else if token.is("}") {
            depth -= 1;
        } else if let Some(path) = path_at(tokens, at) {
            at += path.length;
            scope.paths.push(path);
            continue;
        }
        at += 1;
    }
    scope
}

/// `+ use<'a>` in a bound is no declaration.
fn precedes_generic(tokens: &[Token], at: usize) -> bool {
    tokens.get(at + 1).is_some_and(|token| token.is("<"))
}

/// A path that begins with this word, and whether with `::` before it.
fn path_at(tokens: &[Token], at: usize) -> Option<Path> {
    let before = |ahead: usize| at.checked_sub(ahead).map(|at| &tokens[at]);
    let rooted = before(1).is_some_and(|token| token.is("::"));
    let continues = before(2).is_some_and(|token| token.kind == Kind::Word || token.is(">"));
    if tokens[at].kind != Kind::Word || (rooted && continues) {
        return None;
    }
    let mut path = vec![tokens[at].text.clone()];
    while let [sign, word, ..] = &tokens[(at + path.len() * 2 - 1).min(tokens.len())..]
        && sign.is("::")
        && word.kind == Kind::Word
    {
        path.push(word.text.clone());
    }
    let (line, test, length) = (tokens[at].line, tokens[at].test, path.len() * 2 - 1);
    if rooted {
        path.insert(0, ROOT.to_owned());
    }
    (path.len() > 1).then_some(Path { path, line, test, length })
}

/// Reads `use a::{b, c as d, e::*};` and returns where it ends.
fn use_declaration(tokens: &[Token], at: usize, uses: &mut Vec<Use>) -> usize {
    let public = at > 0 && (tokens[at - 1].is("pub") || tokens[at - 1].is(")"));
    let end = (at..tokens.len()).find(|at| tokens[*at].is(";")).unwrap_or(tokens.len());
    let first = uses.len();
    use_tree(&tokens[at + 1..end], &[], uses);
    for leaf in &mut uses[first..] {
        (leaf.public, leaf.line, leaf.test) = (public, tokens[at].line, tokens[at].test);
    }
    end + 1
}

fn use_tree(tokens: &[Token], prefix: &[String], uses: &mut Vec<Use>) {
    let mut path = prefix.to_vec();
    let mut name = None;
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is("{") {
            let end = group_end(tokens, at);
            for branch in branches(&tokens[at + 1..end - 1]) {
                use_tree(branch, &path, uses);
            }
            return;
        } else if token.is("as") {
            name = tokens.get(at + 1).map(|token| token.text.clone());
            break;
        } else if token.is("*") || token.kind == Kind::Word || (token.is(ROOT) && path.is_empty()) {
            path.push(token.text.clone());
        }
        at += 1;
    }
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    let name = name.or_else(|| path.last().cloned()).filter(|name| name != "*" && name != "_");
    uses.push(Use { path, name, public: false, line: 0, test: false });
}

/// Splits at the commas of this level.
fn branches(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut found, mut begin, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        if tokens[at].is("{") {
            at = group_end(tokens, at);
        } else {
            if tokens[at].is(",") {
                found.push(&tokens[begin..at]);
                begin = at + 1;
            }
            at += 1;
        }
    }
    if begin < tokens.len() {
        found.push(&tokens[begin..]);
    }
    found
}
