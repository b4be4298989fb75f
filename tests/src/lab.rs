// SPDX-License-Identifier: MIT OR Apache-2.0
//! Long runs: `make lab` repeats loops more often and keeps what they saw as rows of tables.
//!
//! `ROUTED_LAB` names the folder for the rows; without it loops are short and nothing is kept. Tests
//! run in processes of their own, so a row is one line appended to the file of its table.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One row of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Heading and cell of each column.
    pub cells: Vec<(String, String)>,
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("ROUTED_LAB").map(PathBuf::from)
}

/// How often to repeat: `usual` times, or `long` times in the lab.
pub fn rounds(usual: usize, long: usize) -> usize {
    if folder().is_some() { long } else { usual }
}

/// Keeps a row of a table, if this is the lab.
///
/// # Errors
/// If the file cannot be written.
pub fn record(table: &str, cells: &[(&str, String)]) -> Result<()> {
    let Some(folder) = folder() else { return Ok(()) };
    let cells = cells.iter().map(|(head, cell)| ((*head).to_owned(), cell.clone())).collect();
    let line = serde_json::to_string(&Row { cells }).context("encoding a row")? + "\n";
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let path = folder.join(format!("{table}.jsonl"));
    let file = OpenOptions::new().append(true).create(true).open(&path);
    // One write, so that rows of tests that run at the same time do not mix.
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// The rows of a table as Markdown, sorted; nothing if there are none.
///
/// # Errors
/// If a line is no row.
pub fn table(lines: &str) -> Result<String> {
    let rows: Vec<Row> =
        lines.lines().map(serde_json::from_str).collect::<Result<_, _>>().context("a row")?;
    let Some(first) = rows.first() else { return Ok(String::new()) };
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(first.cells.iter().map(|(head, _)| head.as_str()).collect());
    text += &line(first.cells.iter().map(|_| "---").collect());
    let mut body: Vec<String> = rows
        .iter()
        .map(|row| line(row.cells.iter().map(|(_, cell)| cell.as_str()).collect()))
        .collect();
    body.sort();
    text += &body.concat();
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_a_sorted_table() {
        let row = |peer: &str| {
            let cells = vec![("peer".into(), peer.into()), ("result".into(), "ok".into())];
            serde_json::to_string(&Row { cells }).unwrap() + "\n"
        };
        let text = table(&(row("frr") + &row("bird"))).unwrap();
        assert_eq!(text, "| peer | result |\n| --- | --- |\n| bird | ok |\n| frr | ok |\n");
        assert_eq!(table("").unwrap(), "");
        assert!(table("no row").is_err());
    }
}
