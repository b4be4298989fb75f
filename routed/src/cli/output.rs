// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tables for people, JSON for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::server::api::ErrorLocation;

use super::context::{CliError, Globals};

/// Columns two spaces apart, as wide as their widest cell; `-` for an empty one.
#[derive(Debug)]
pub(super) struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heading: &[&'static str]) -> Self {
        Self { heading: heading.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(super) fn render(&self, no_headers: bool) -> String {
        let heading: Vec<String> = self.heading.iter().map(|h| (*h).to_owned()).collect();
        let mut widths: Vec<usize> = vec![0; heading.len()];
        let shown = |cell: &str| if cell.is_empty() { "-".to_owned() } else { cell.to_owned() };
        let lines: Vec<Vec<String>> = (!no_headers)
            .then_some(heading)
            .into_iter()
            .chain(self.rows.iter().map(|row| row.iter().map(|c| shown(c)).collect()))
            .collect();
        for line in &lines {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut text = String::new();
        for line in &lines {
            let cells: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Writes to standard output; a reader that went away is no error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::Other(anyhow::Error::new(error).context("writing output"))),
        Ok(()) => Ok(()),
    }
}

/// Writes a line to standard error; nobody there to read it is no error.
pub(super) fn complain(line: &str) {
    let _gone = writeln!(io::stderr(), "{line}");
}

/// Prints a value as JSON, or as the table that `table` makes of it.
pub(super) fn show<T: Serialize>(
    globals: &Globals,
    value: &T,
    table: impl FnOnce(&T) -> String,
) -> Result<(), CliError> {
    if globals.is_json() {
        let mut text = serde_json::to_string(value)
            .map_err(|e| CliError::Other(anyhow::Error::new(e).context("encoding JSON")))?;
        text.push('\n');
        return print(&text);
    }
    print(&table(value))
}

/// `3d04h`, `3h12m`, `4m12s`, `7s`.
pub(super) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    if days > 0 {
        format!("{days}d{hours:02}h")
    } else if hours > 0 {
        format!("{hours}h{minutes:02}m")
    } else if minutes > 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else {
        format!("{seconds}s")
    }
}

/// `file:line:column: field: message (hint)`.
pub(super) fn location(place: &ErrorLocation) -> String {
    let mut text = place.file.clone();
    if place.line > 0 {
        text.push_str(&format!(":{}:{}", place.line, place.column));
    }
    if !place.path.is_empty() {
        text.push_str(&format!(": {}", place.path));
    }
    text.push_str(&format!(": {}", place.message));
    if let Some(hint) = &place.hint {
        text.push_str(&format!(" ({hint})"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_two_spaces_apart_and_empty_cells_are_dashes() {
        let mut table = Table::new(&["PEER", "STATE"]);
        table.row(vec!["tor1a".into(), "Established".into()]);
        table.row(vec!["t".into(), String::new()]);
        assert_eq!(table.render(false), "PEER   STATE\ntor1a  Established\nt      -\n");
        assert_eq!(table.render(true), "tor1a  Established\nt      -\n");
    }

    #[test]
    fn durations_show_two_units() {
        let shown: Vec<String> = [7, 252, 11_520, 273_600].into_iter().map(duration).collect();
        assert_eq!(shown, ["7s", "4m12s", "3h12m", "3d04h"]);
    }

    #[test]
    fn a_location_names_file_line_column_field_and_hint() {
        let place = ErrorLocation {
            file: "node.yaml".into(),
            line: 3,
            column: 5,
            path: "spec.asNumer".into(),
            message: "unknown field".into(),
            hint: Some("did you mean asNumber?".into()),
        };
        assert_eq!(
            location(&place),
            "node.yaml:3:5: spec.asNumer: unknown field (did you mean asNumber?)"
        );
    }
}
