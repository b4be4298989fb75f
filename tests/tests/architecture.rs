// SPDX-License-Identifier: MIT OR Apache-2.0
//! The architecture as tests: who may name whom, and where effects may happen.
//!
//! The sources are read as tokens and paths, without a compiler: what a macro builds out of parts
//! is not seen. [`tables`] says what is allowed where; a new exception is a line there, and a
//! reason to talk about it in review. Every rule is shown to fail on a made-up tree.

#[path = "architecture/graph.rs"]
mod graph;
#[path = "architecture/lex.rs"]
mod lex;
#[path = "architecture/project.rs"]
mod project;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/samples.rs"]
mod samples;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tables.rs"]
mod tables;

use project::{Project, Tree};

type Rule = fn(&Project) -> Vec<String>;

/// Every rule, by what it demands.
const RULES: &[(&str, Rule)] = &[
    ("files are short and begin with their licence", rules::files),
    ("every source file belongs to a crate", rules::orphans),
    ("crates depend in one direction", rules::crate_direction),
    ("modules name lower layers only", rules::layers),
    ("modules form no circle", rules::cycles),
    ("crates of others stay in their folders", rules::confinement),
    ("what decides does not act", rules::effects),
    ("no channel is without a bound", rules::channels),
    ("clocks are read where time enters", rules::clock),
    ("tasks and threads have an owner", rules::spawn),
    ("locks exist in two files", rules::locks),
    ("unsafe code stays in its folders", rules::unsafe_code),
    ("only demo, cli, tests and benches start processes", rules::processes),
    ("the daemon reaches nothing that starts processes", rules::daemon_starts_no_process),
];

#[test]
fn the_tree_keeps_every_rule() {
    let project = Project::new(Tree::of_workspace());
    assert!(project.crates.len() > 10 && project.library("routed").is_some(), "nothing was read");
    let mut text = String::new();
    for (demand, rule) in RULES {
        for broken in rule(&project) {
            text.push_str(&format!("{demand}: {broken}\n"));
        }
    }
    assert!(text.is_empty(), "\n{text}");
}
