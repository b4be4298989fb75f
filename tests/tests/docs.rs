// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user documentation against the program: `README.md` and `docs/*.md`.
//!
//! Every YAML block goes through `routed validate`. Its lines `# node.yaml`, `# fabric/….yaml` and so on say into which
//! file of a configuration tree the following lines go; what a block leaves out (the NodeConfig, the pools of its blocks)
//! is filled in. A block marked `yaml refused` must be refused, in exactly the words of the `text` block behind it.
//! JSON blocks parse, links and cited tests exist, and every command of `--help` has its place in `docs/cli.md`. The node
//! and the ToRs of the README are started as printed.

#[path = "docs/page.rs"]
mod page;
#[path = "docs/tor.rs"]
mod tor;
#[path = "docs/tree.rs"]
mod tree;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fabric_tests::peer::routed::find_program;
use fabric_tests::{command, run};

use page::{Block, Page};

/// Pages that measuring writes: links to them hold before the first run, too.
const MEASURED: [&str; 2] = ["docs/benchmarks.md", "docs/lab.md"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `README.md` and `docs/*.md`.
fn pages() -> Result<Vec<Page>> {
    let mut names = vec!["README.md".to_owned()];
    for entry in std::fs::read_dir(root().join("docs")).context("reading docs")? {
        let name = entry?.file_name().into_string().unwrap_or_default();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    names.iter().map(|name| Page::read(&root(), name)).collect()
}

/// Runs a check over everything and reports all that fails.
fn all<T>(items: &[T], check: impl Fn(&T) -> Result<()>) -> Result<()> {
    let problems: Vec<String> =
        items.iter().filter_map(|item| check(item).err()).map(|e| format!("{e:#}")).collect();
    ensure!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    Ok(())
}

fn blocks(pages: &[Page], language: &str) -> Vec<Block> {
    let blocks = pages.iter().flat_map(|page| page.blocks.clone());
    blocks.filter(|block| block.language == language).collect()
}

#[test]
fn every_yaml_sample_is_accepted_by_validate() -> Result<()> {
    let routed = find_program("ROUTED_BIN", "routed", "routed")?;
    let samples = blocks(&pages()?, "yaml");
    ensure!(samples.len() >= 8, "only {} samples: are they still found?", samples.len());
    all(&samples, |block| {
        let answer = tree::validate(&routed, block).with_context(|| block.place())?;
        ensure!(answer.good, "{}: refused:\n{}", block.place(), answer.text);
        Ok(())
    })
}

#[test]
fn samples_that_must_be_refused_are_in_the_words_that_the_page_shows() -> Result<()> {
    let routed = find_program("ROUTED_BIN", "routed", "routed")?;
    let pages = pages()?;
    let samples = blocks(&pages, "yaml refused");
    ensure!(!samples.is_empty(), "no refused sample: are they still found?");
    all(&samples, |block| {
        let answer = tree::validate(&routed, block).with_context(|| block.place())?;
        ensure!(!answer.good, "{}: accepted", block.place());
        let shown = block.followed_by(&pages, "text").with_context(|| block.place())?;
        ensure!(
            answer.text.trim() == shown.text.trim(),
            "{}: the page shows\n{}\nthe program says\n{}",
            shown.place(),
            shown.text,
            answer.text
        );
        Ok(())
    })
}

#[test]
fn every_json_sample_parses() -> Result<()> {
    let samples = blocks(&pages()?, "json");
    ensure!(!samples.is_empty(), "no JSON sample: are they still found?");
    all(&samples, |block| {
        serde_json::from_str::<serde_json::Value>(&block.text).with_context(|| block.place())?;
        Ok(())
    })
}

#[test]
fn fences_are_closed_and_of_a_known_language() -> Result<()> {
    let known = ["", "yaml", "yaml refused", "json", "sh", "text", "rust", "mermaid"];
    all(&pages()?, |page| {
        ensure!(page.is_closed, "{}: a fence is not closed", page.name);
        all(&page.blocks, |block| {
            ensure!(
                known.contains(&block.language.as_str()),
                "{}: language {:?} is none of {known:?}",
                block.place(),
                block.language
            );
            Ok(())
        })
    })
}

#[test]
fn links_lead_somewhere() -> Result<()> {
    let pages = pages()?;
    let count: usize = pages.iter().map(|page| page.links.len()).sum();
    ensure!(count >= 20, "only {count} links: are they still found?");
    all(&pages, |page| {
        all(&page.links, |link| {
            let target = page.directory().join(&link.text);
            let measured = MEASURED.iter().any(|name| Path::new(name) == page::tidy(&target));
            ensure!(
                measured || root().join(&target).exists(),
                "{}:{}: {} is not there",
                page.name,
                link.line,
                link.text
            );
            Ok(())
        })
    })
}

/// A page may promise what a test proves; then the test must exist: `tests/tests/demo.rs::name`.
#[test]
fn cited_tests_exist() -> Result<()> {
    let pages = pages()?;
    let count: usize = pages.iter().map(|page| page.cited.len()).sum();
    ensure!(count >= 10, "only {count} tests cited: are they still found?");
    all(&pages, |page| {
        all(&page.cited, |cited| {
            let place = format!("{}:{}", page.name, cited.line);
            let (file, name) = cited.text.split_once("::").context("no ::")?;
            let text = std::fs::read_to_string(root().join(file))
                .with_context(|| format!("{place}: {file}"))?;
            let is_there = text.lines().any(|line| {
                let line = line.trim_start().trim_start_matches("async ");
                let rest = line.strip_prefix("fn ").unwrap_or(line);
                rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(['(', ':']))
            });
            ensure!(is_there, "{place}: {file} has no test {name}");
            Ok(())
        })
    })
}

#[test]
fn the_page_of_the_command_line_names_every_command() -> Result<()> {
    let routed = find_program("ROUTED_BIN", "routed", "routed")?;
    let page = std::fs::read_to_string(root().join("docs/cli.md")).context("docs/cli.md")?;
    let nouns = subcommands(&run(command(&routed).arg("--help"))?);
    ensure!(nouns.len() >= 8, "only {nouns:?}: is the help still understood?");
    for noun in nouns {
        let verbs = subcommands(&run(command(&routed).args([noun.as_str(), "--help"]))?);
        ensure!(page.contains(&format!("`routed {noun}")), "docs/cli.md lacks routed {noun}");
        for verb in verbs {
            let full = format!("`routed {noun} {verb}");
            ensure!(page.contains(&full), "docs/cli.md lacks {full}`");
        }
    }
    Ok(())
}

/// Names under `Commands:` in a help text.
fn subcommands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let is_name = line.starts_with("  ") && !line.starts_with("   ");
        line.split_whitespace().next().filter(|name| is_name && *name != "help")
    });
    names.map(str::to_owned).collect()
}
