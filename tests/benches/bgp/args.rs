// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line.

use anyhow::{Context, Result, bail};

use crate::device::Kind;
use crate::table::ROWS;

/// What was asked for.
#[derive(Debug, Default)]
pub(crate) struct Args {
    rows: Vec<String>,
    only: Vec<String>,
    pub(crate) runs: Option<usize>,
    pub(crate) markdown: bool,
}

impl Args {
    /// `None` if only the list of rows was asked for, which is then printed.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut args = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                // Cargo's own.
                "--bench" => {}
                "--markdown" => args.markdown = true,
                "--list" => {
                    ROWS.iter().for_each(|row| println!("{}\t{}", row.name, row.title));
                    return Ok(None);
                }
                "--only" => {
                    let names = words.next().context("--only needs names")?;
                    args.only = names.split(',').map(str::to_owned).collect();
                    let unknown = args
                        .only
                        .iter()
                        .find(|name| Kind::ALL.iter().all(|kind| kind.name() != name.as_str()));
                    if let Some(name) = unknown {
                        bail!("no device is named {name}");
                    }
                }
                "--runs" => {
                    let number = words.next().context("--runs needs a number")?;
                    args.runs = Some(number.parse().context("--runs needs a number")?);
                }
                row if ROWS.iter().any(|known| known.name.starts_with(row)) => {
                    args.rows.push(word);
                }
                other => bail!("no row is named {other}; --list shows them"),
            }
        }
        Ok(Some(args))
    }

    /// Rows are chosen by the beginning of their name; without any, all of them.
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|wanted| row.starts_with(wanted.as_str()))
    }

    /// Devices are those of `--only`; GoBGP, which is slow, runs only when it is named.
    pub(crate) fn includes(&self, kind: Kind) -> bool {
        if self.only.is_empty() {
            kind != Kind::Gobgp
        } else {
            self.only.iter().any(|name| name == kind.name())
        }
    }
}
