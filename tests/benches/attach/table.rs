// SPDX-License-Identifier: MIT OR Apache-2.0
//! Samples, rows, and how they are printed.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

/// What one side of a row was measured at.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    unit: Unit,
    /// Sorted.
    samples: Vec<f64>,
}

/// What the numbers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Seconds,
    PerSecond,
    KiB,
}

/// What is demanded of the ratio of ours to the other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    None,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) work: &'static str,
    pub(crate) ours: Figure,
    pub(crate) beside: &'static str,
    pub(crate) theirs: Figure,
    pub(crate) target: Target,
}

impl Figure {
    pub(crate) fn new(unit: Unit, samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        samples.sort_by(f64::total_cmp);
        Self { unit, samples }
    }

    pub(crate) fn times(samples: &[Duration]) -> Self {
        Self::new(Unit::Milliseconds, samples.iter().map(|time| time.as_secs_f64() * 1e3))
    }

    fn at(&self, share: f64) -> f64 {
        let last = self.samples.len().saturating_sub(1);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = (last as f64 * share).round() as usize;
        self.samples.get(index).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// Median, and where most of the samples lie if there are several.
    fn show(&self) -> String {
        let unit = self.unit.name();
        let middle = digits(self.median());
        if self.samples.len() < 5 {
            return format!("{middle} {unit}");
        }
        format!("{middle} {unit} ({}–{})", digits(self.at(0.1)), digits(self.at(0.9)))
    }

    fn json(&self) -> Value {
        json!({
            "unit": self.unit.name(), "n": self.samples.len(), "median": self.median(),
            "p10": self.at(0.1), "p90": self.at(0.9),
        })
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::PerSecond => "/s",
            Self::KiB => "KiB",
        }
    }
}

impl Target {
    fn show(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {}", digits(limit)),
            Self::AtLeast(limit) => format!("≥ {}", digits(limit)),
            Self::None => "–".to_owned(),
        }
    }

    fn met(self, ratio: f64) -> Option<bool> {
        match self {
            Self::AtMost(limit) => Some(ratio <= limit),
            Self::AtLeast(limit) => Some(ratio >= limit),
            Self::None => None,
        }
    }
}

impl Row {
    fn ratio(&self) -> f64 {
        self.ours.median() / self.theirs.median()
    }

    fn json(&self) -> Value {
        json!({
            "work": self.work, "routed": self.ours.json(), "beside": self.beside,
            "other": self.theirs.json(), "ratio": self.ratio(), "target": self.target.show(),
            "met": self.target.met(self.ratio()),
        })
    }
}

/// The table in Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = "| work | routed | beside | its figure | ratio | target | met |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for row in rows {
        let ratio = row.ratio();
        let met = match row.target.met(ratio) {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {met} |",
            row.work,
            row.ours.show(),
            row.beside,
            row.theirs.show(),
            digits(ratio),
            row.target.show(),
        );
    }
    text
}

/// Every row as data.
pub(crate) fn json(rows: &[Row]) -> Value {
    rows.iter().map(Row::json).collect()
}

/// Three significant digits, more only before the point.
fn digits(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}
