// SPDX-License-Identifier: MIT OR Apache-2.0
//! A page of Markdown taken apart: fenced blocks, links, cited tests, with their lines.

use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

/// A page.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) blocks: Vec<Block>,
    /// Relative links, without their anchors.
    pub(crate) links: Vec<Text>,
    /// `path.rs::test` in backquotes.
    pub(crate) cited: Vec<Text>,
    /// No fence was left open.
    pub(crate) is_closed: bool,
}

/// A fenced block.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) page: String,
    /// Line of the opening fence.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
}

/// Something on a line.
pub(crate) struct Text {
    pub(crate) line: usize,
    pub(crate) text: String,
}

impl Block {
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.page, self.line)
    }

    /// The next block of the page, which must be of a language.
    pub(crate) fn followed_by(&self, pages: &[Page], language: &str) -> Result<Self> {
        let page = pages.iter().find(|page| page.name == self.page).context("the page")?;
        let next = page.blocks.iter().find(|block| block.line > self.line);
        next.filter(|block| block.language == language)
            .cloned()
            .with_context(|| format!("no {language} block follows"))
    }
}

impl Page {
    pub(crate) fn read(root: &Path, name: &str) -> Result<Self> {
        let text = std::fs::read_to_string(root.join(name)).with_context(|| name.to_owned())?;
        Ok(Self::parse(name, &text))
    }

    fn parse(name: &str, text: &str) -> Self {
        let mut page = Self {
            name: name.to_owned(),
            blocks: Vec::new(),
            links: Vec::new(),
            cited: Vec::new(),
            is_closed: true,
        };
        let mut open: Option<Block> = None;
        for (line, content) in (1..).zip(text.lines()) {
            match (&mut open, content.strip_prefix("```")) {
                (Some(_), Some("")) => page.blocks.extend(open.take()),
                (Some(block), _) => block.text.extend([content, "\n"]),
                (None, Some(language)) => {
                    let language = language.trim().to_owned();
                    let text = String::new();
                    open = Some(Block { page: name.to_owned(), line, language, text });
                }
                (None, None) => page.read_prose(line, content),
            }
        }
        page.is_closed = open.is_none();
        page
    }

    fn read_prose(&mut self, line: usize, content: &str) {
        for part in content.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                self.links.push(Text { line, text: target.to_owned() });
            }
        }
        for code in content.split('`').skip(1).step_by(2) {
            if code.contains(".rs::") && !code.contains(' ') {
                self.cited.push(Text { line, text: code.to_owned() });
            }
        }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        Path::new(&self.name).parent().unwrap_or_else(|| Path::new("")).to_owned()
    }
}

/// The path without `.` and `..`.
pub(crate) fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(tidy.pop()),
            Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    tidy
}

#[test]
fn a_page_is_taken_apart() {
    let text = "see [a](x.md#y), [b](https://z) and `t/t.rs::works`\n```yaml refused\n# node.yaml\na: [1](2)\n```\n```\n";
    let page = Page::parse("docs/p.md", text);
    let links: Vec<&str> = page.links.iter().map(|link| link.text.as_str()).collect();
    assert_eq!(links, ["x.md"]);
    assert_eq!((page.cited[0].line, page.cited[0].text.as_str()), (1, "t/t.rs::works"));
    assert_eq!((page.blocks.len(), page.is_closed), (1, false));
    let block = &page.blocks[0];
    assert_eq!((block.place().as_str(), block.language.as_str()), ("docs/p.md:2", "yaml refused"));
    assert_eq!(block.text, "# node.yaml\na: [1](2)\n");
    assert_eq!(tidy(Path::new("docs/../docs/./lab.md")), Path::new("docs/lab.md"));
}
