// SPDX-License-Identifier: MIT OR Apache-2.0
//! A sample as a configuration tree, judged by `routed validate`.

use std::fs;
use std::path::{Component, Path};

use anyhow::{Context, Result, ensure};
use fabric_tests::{command, output};

use crate::page::Block;

/// The node of samples that have none. Its blocks are those that all samples speak of.
const NODE: &str = r#"apiVersion: routed.dev/v1
kind: NodeConfig
metadata: { name: r1n1, labels: { rack: "1" } }
spec: { asNumber: 4200000111, blocks: [10.64.1.0/26] }
"#;
const POOL: &str = r#"apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: filled-in }
spec: { cidr: 10.64.1.0/24 }
"#;

/// What `routed validate` says of a sample.
pub(crate) struct Answer {
    pub(crate) good: bool,
    pub(crate) text: String,
}

/// Writes the files of a sample and has them judged.
pub(crate) fn validate(routed: &Path, block: &Block) -> Result<Answer> {
    let dir = tempfile::tempdir().context("making a directory")?;
    for (name, text) in files(block)? {
        let path = dir.path().join(&name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| name.clone())?;
        }
        ensure!(!path.exists(), "the sample has {name} twice");
        fs::write(&path, text).with_context(|| name.clone())?;
    }
    let answer = output(command(routed).arg("validate").arg(dir.path()))?;
    let text = [answer.stdout, answer.stderr].concat();
    Ok(Answer { good: answer.status.success(), text: String::from_utf8_lossy(&text).into_owned() })
}

/// The files of a sample, and those it leaves to the reader.
fn files(block: &Block) -> Result<Vec<(String, String)>> {
    let mut files = split(&block.text)?;
    let has = |kind: &str| block.text.contains(&format!("kind: {kind}"));
    if !has("NodeConfig") {
        files.push(("filled-in/node.yaml".to_owned(), NODE.to_owned()));
    }
    if !has("IPPool") {
        files.push(("filled-in/pool.yaml".to_owned(), POOL.to_owned()));
    }
    Ok(files)
}

/// Cuts a sample at the lines that are a comment with nothing but a file name.
///
/// Lines keep their numbers within a file that stands alone: the comment stays its first line.
pub(crate) fn split(text: &str) -> Result<Vec<(String, String)>> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match file_name(line) {
            Some(name) => files.push((name.to_owned(), format!("{line}\n"))),
            None => {
                let (_, text) = files.last_mut().context("no `# FILE.yaml` line above it")?;
                text.extend([line, "\n"]);
            }
        }
    }
    ensure!(!files.is_empty(), "the sample is empty");
    Ok(files)
}

fn file_name(line: &str) -> Option<&str> {
    let name = line.strip_prefix("# ")?;
    let stays_inside =
        Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    (name.ends_with(".yaml") && !name.contains(' ') && stays_inside).then_some(name)
}

#[test]
fn a_sample_is_cut_at_its_file_names() {
    let text = "# node.yaml\na: 1   # b.yaml\n# policies/p.yaml\n# two words.yaml\nb: 2\n";
    let files = split(text).unwrap();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["node.yaml", "policies/p.yaml"]);
    assert_eq!(files[0].1, "# node.yaml\na: 1   # b.yaml\n");
    assert!(split("a: 1\n").is_err() && split("").is_err());
    assert_eq!(file_name("# ../x.yaml"), None);
    assert_eq!(file_name("# /etc/x.yaml"), None);
}
