// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rust source as tokens: comments and white space gone, literals kept apart from code, and each
//! token knowing its line and whether it belongs to tests.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    /// One character, or `::`.
    Sign,
    /// A string; its text is kept for `#[path = "..."]`.
    Text,
    /// A number, a character or a lifetime.
    Other,
}

/// A token of a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Whether it stands in an item under `#[cfg(test)]` or `#[test]`.
    pub(crate) test: bool,
}

impl Token {
    pub(crate) fn is(&self, text: &str) -> bool {
        self.text == text && matches!(self.kind, Kind::Word | Kind::Sign)
    }
}

/// Splits a source file into tokens and marks the items that are only there for tests.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next_token() {
        tokens.push(token);
    }
    mark_tests(&mut tokens);
    tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) -> char {
        let char = self.peek(0);
        self.at += 1;
        self.line += usize::from(char == '\n');
        char
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> String {
        let mut text = String::new();
        while self.at < self.chars.len() && accept(self.peek(0)) {
            text.push(self.bump());
        }
        text
    }

    fn next_token(&mut self) -> Option<Token> {
        self.skip_blanks();
        if self.at >= self.chars.len() {
            return None;
        }
        let line = self.line;
        let (kind, text) = match self.peek(0) {
            '"' => (Kind::Text, self.string()),
            '\'' => (Kind::Other, self.char_or_lifetime()),
            c if c.is_ascii_digit() => {
                (Kind::Other, self.take_while(|c| c.is_alphanumeric() || c == '_'))
            }
            c if is_word(c) => self.word_or_prefixed_string(),
            ':' if self.peek(1) == ':' => {
                self.at += 2;
                (Kind::Sign, "::".to_owned())
            }
            _ => (Kind::Sign, self.bump().to_string()),
        };
        Some(Token { kind, text, line, test: false })
    }

    fn skip_blanks(&mut self) {
        loop {
            match (self.peek(0), self.peek(1)) {
                (c, _) if c.is_whitespace() => {
                    self.bump();
                }
                ('/', '/') => {
                    self.take_while(|c| c != '\n');
                }
                ('/', '*') => self.skip_block_comment(),
                _ => return,
            }
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => depth += 1,
                ('*', '/') => depth -= 1,
                _ => {
                    self.bump();
                    continue;
                }
            }
            self.at += 2;
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) -> String {
        self.bump();
        let mut text = String::new();
        while self.at < self.chars.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.bump();
            }
            text.push(self.bump());
        }
        self.bump();
        text
    }

    fn raw_string(&mut self, hashes: usize) -> String {
        self.at += hashes + 1;
        let mut text = String::new();
        while self.at < self.chars.len() {
            let ends = self.peek(0) == '"' && (1..=hashes).all(|n| self.peek(n) == '#');
            if ends {
                self.at += hashes + 1;
                break;
            }
            text.push(self.bump());
        }
        text
    }

    /// `'a'`, `'\n'` and `'\u{1}'` end with a quote; `'a` does not.
    fn char_or_lifetime(&mut self) -> String {
        self.bump();
        if self.peek(0) == '\\' {
            self.bump();
            self.bump();
            self.take_while(|c| c != '\'');
            self.bump();
        } else if self.peek(1) == '\'' {
            self.bump();
            self.bump();
        } else {
            self.take_while(is_word);
        }
        "'".to_owned()
    }

    fn word_or_prefixed_string(&mut self) -> (Kind, String) {
        let word = self.take_while(is_word);
        let hashes = (0..).take_while(|n| self.peek(*n) == '#').count();
        match (word.as_str(), self.peek(hashes)) {
            ("r" | "br" | "cr", '"') => (Kind::Text, self.raw_string(hashes)),
            ("b" | "c", '"') if hashes == 0 => (Kind::Text, self.string()),
            ("b", '\'') if hashes == 0 => (Kind::Other, self.char_or_lifetime()),
            ("r", c) if hashes == 1 && is_word(c) => {
                self.bump();
                (Kind::Word, self.take_while(is_word))
            }
            _ => (Kind::Word, word),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Marks every item that follows an attribute for tests, attribute included.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let Some(end) = attribute_end(tokens, at) else {
            at += 1;
            continue;
        };
        if is_for_tests(&tokens[at..end]) {
            let item_end = item_end(tokens, end);
            tokens[at..item_end].iter_mut().for_each(|token| token.test = true);
            at = item_end;
        } else {
            at = end;
        }
    }
}

/// The end of an outer attribute that begins here.
fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    let begins = tokens.get(at)?.is("#") && tokens.get(at + 1)?.is("[");
    begins.then(|| group_end(tokens, at + 1))
}

/// The end of the group that a bracket opens here.
pub(crate) fn group_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.is("(") || token.is("[") || token.is("{") {
            depth += 1;
        } else if token.is(")") || token.is("]") || token.is("}") {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

/// `#[test]`, `#[tokio::test(..)]`, `#[cfg(test)]`, `#[cfg(all(test, ..))]`, but not
/// `#[cfg(not(test))]`.
fn is_for_tests(attribute: &[Token]) -> bool {
    let words: Vec<&str> =
        attribute.iter().filter(|t| t.kind == Kind::Word).map(|t| t.text.as_str()).collect();
    match words.first() {
        Some(&"cfg") => words.contains(&"test") && !words.contains(&"not"),
        _ => {
            let open = attribute.iter().skip(2).position(|t| t.is("(") || t.is("]"));
            open.is_some_and(|open| attribute[open + 1].is("test"))
        }
    }
}

/// The end of the item that begins here: its block, or its semicolon.
fn item_end(tokens: &[Token], begin: usize) -> usize {
    let mut at = begin;
    while let Some(end) = attribute_end(tokens, at) {
        at = end;
    }
    let is_use = tokens[at..].iter().take(6).any(|token| token.is("use"));
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is(";") || token.is(",") || token.is("}") {
            // A comma ends a field or a variant; a closing brace is the parent's.
            return if token.is("}") { at } else { at + 1 };
        } else if token.is("{") {
            let end = group_end(tokens, at);
            if !is_use {
                return end;
            }
            at = end;
        } else if token.is("(") || token.is("[") {
            at = group_end(tokens, at);
        } else {
            at += 1;
        }
    }
    tokens.len()
}
