// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table: medians, ratios to the incumbents, targets.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::args::Args;
use crate::bench::Values;
use crate::device::Kind;
use crate::rows::percentile;
use crate::table::{Metric, Row, Target};

/// What one device did in a row.
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) runs: Vec<Values>,
    pub(crate) failure: Option<String>,
}

impl Cell {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, runs: Vec::new(), failure: None }
    }

    fn samples(&self, key: &str) -> Vec<f64> {
        let values = self.runs.iter().flatten().filter(|(name, _)| *name == key);
        values.map(|(_, value)| *value).collect()
    }

    fn median(&self, key: &str) -> Option<f64> {
        let mut samples = self.samples(key);
        (!samples.is_empty()).then(|| percentile(&mut samples, 0.5))
    }
}

/// One row with its numbers.
pub(crate) struct Measured {
    pub(crate) row: &'static Row,
    pub(crate) cells: Vec<Cell>,
}

impl Measured {
    fn median(&self, kind: Kind, key: &str) -> Option<f64> {
        self.cells.iter().find(|cell| cell.kind == kind)?.median(key)
    }

    /// Our number by what the target measures it with, and whether it is reached.
    fn verdict(&self, metric: &Metric) -> (String, String) {
        let ours = self.median(Kind::Routed, metric.key);
        match metric.target {
            Target::None => (String::new(), self.beside_best(metric.key).unwrap_or_default()),
            Target::AtMost(limit) => {
                let reached = ours.map_or("", |ours| mark(ours <= limit));
                (format!("≤ {} {}", number(limit), metric.unit).trim().to_owned(), reached.into())
            }
            Target::Times(factor, kind, key) => {
                let ratio = ours.zip(self.median(kind, key)).map(|(ours, other)| ours / other);
                let other = if key == metric.key { String::new() } else { format!(" {key}") };
                let reached = ratio.map(|r| format!("{}, {r:.2}×", mark(r <= factor)));
                (format!("≤ {factor}× {}{other}", kind.name()), reached.unwrap_or_default())
            }
        }
    }

    /// Our number by the best of the others.
    fn beside_best(&self, key: &str) -> Option<String> {
        let ours = self.median(Kind::Routed, key)?;
        let others = self.cells.iter().filter(|cell| cell.kind != Kind::Routed);
        let medians = others.filter_map(|cell| Some((cell.median(key)?, cell.kind)));
        let (best, kind) = medians.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        Some(format!("{:.2}× {}", ours / best, kind.name()))
    }

    fn json(&self) -> Value {
        let metrics = self.row.metrics.iter().map(|metric| {
            let devices = self.cells.iter().map(|cell| {
                let result = match cell.median(metric.key) {
                    Some(median) => json!({"median": median, "samples": cell.samples(metric.key)}),
                    None => json!({"failure": cell.failure}),
                };
                (cell.kind.name().to_owned(), result)
            });
            let (target, verdict) = self.verdict(metric);
            json!({"key": metric.key, "title": metric.title, "unit": metric.unit,
                "devices": devices.collect::<serde_json::Map<_, _>>(),
                "target": target, "verdict": verdict})
        });
        json!({"row": self.row.name, "title": self.row.title, "metrics": metrics.collect::<Vec<_>>()})
    }

    /// The cells of the lines of this row, without its title.
    fn lines(&self, kinds: &[Kind]) -> Vec<Vec<String>> {
        let line = |metric: &Metric| {
            let mut line = vec![metric.title.to_owned()];
            for kind in kinds {
                line.push(match self.median(*kind, metric.key) {
                    Some(value) => format!("{} {}", number(value), metric.unit).trim().to_owned(),
                    None => self.absence(*kind),
                });
            }
            let (target, verdict) = self.verdict(metric);
            line.extend([target, verdict]);
            line
        };
        self.row.metrics.iter().map(line).collect()
    }

    fn absence(&self, kind: Kind) -> String {
        let cell = self.cells.iter().find(|cell| cell.kind == kind);
        match cell.and_then(|cell| cell.failure.as_deref()) {
            None => "–".to_owned(),
            Some("not built yet") => "not built yet".to_owned(),
            Some(_) => "failed".to_owned(),
        }
    }
}

/// Everything that was measured, and on what.
pub(crate) struct Report {
    measured: Vec<Measured>,
    machine: String,
    /// The devices asked for: the columns.
    kinds: Vec<Kind>,
    versions: Vec<String>,
}

impl Report {
    pub(crate) fn new(args: &Args) -> Self {
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| args.includes(*kind)).collect();
        let versions = kinds.iter().map(|kind| kind.version()).collect();
        Self { measured: Vec::new(), machine: machine(), kinds, versions }
    }

    pub(crate) fn add(&mut self, measured: Measured) {
        self.measured.push(measured);
    }

    pub(crate) fn print_last(&self) {
        let Some(measured) = self.measured.last() else { return };
        println!("\n{}: {}", measured.row.name, measured.row.title);
        let mut lines = measured.lines(&self.kinds);
        lines.insert(0, self.head());
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            println!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        for cell in &measured.cells {
            if let Some(failure) = &cell.failure {
                println!("  {}: {failure}", cell.kind.name());
            }
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let versions = self.kinds.iter().zip(&self.versions);
        let versions: serde_json::Map<_, _> =
            versions.map(|(kind, version)| (kind.name().to_owned(), json!(version))).collect();
        let rows: Vec<Value> = self.measured.iter().map(Measured::json).collect();
        let text = json!({"machine": self.machine, "versions": versions, "rows": rows});
        let parent = path.parent().context("a file has a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        fs::write(path, format!("{text:#}\n")).with_context(|| format!("{}", path.display()))
    }

    fn head(&self) -> Vec<String> {
        let mut head = vec!["work".to_owned()];
        head.extend(self.kinds.iter().map(|kind| kind.name().to_owned()));
        head.extend(["target".to_owned(), "reached".to_owned()]);
        head
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("\nMachine: {}. Versions: ", self.machine);
        let versions = self.kinds.iter().zip(&self.versions);
        let versions = versions.map(|(kind, said)| format!("{} {said}", kind.name()));
        text.push_str(&versions.collect::<Vec<_>>().join("; "));
        text.push_str(". Medians; a row runs device by device, again and again.\n\n");
        let head = self.head();
        text.push_str(&format!("| {} |\n|{}\n", head.join(" | "), "---|".repeat(head.len())));
        for measured in &self.measured {
            let runs = measured.cells.iter().map(|cell| cell.runs.len()).max().unwrap_or(0);
            let title = format!("**{}** ({runs} runs)", measured.row.title);
            text.push_str(&format!("| {title} |{}\n", " |".repeat(head.len() - 1)));
            for line in measured.lines(&self.kinds) {
                text.push_str(&format!("| {} |\n", line.join(" | ")));
            }
        }
        text
    }
}

fn mark(reached: bool) -> &'static str {
    if reached { "yes" } else { "no" }
}

/// Three digits that mean something.
fn number(value: f64) -> String {
    match value {
        value if value >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(": ").nth(1)).unwrap_or("unknown CPU");
    let count = cpus.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} × {model}, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}
