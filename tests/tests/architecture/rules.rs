// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules. Each returns what breaks it, as `file:line: what`, or nothing.

use std::collections::BTreeSet;

use super::graph::{Crate, Module, circle, levels, reachable};
use super::lex::Kind;
use super::project::Project;
use super::tables::{
    ACTORS, CLOCK, CLOCKS, COMMAND, CONFINED, CRATES, DEV_ONLY, EFFECTS, FORBIDDEN_EDGES, LAYERS,
    LOCKS, MAX_LINES, NO_PROCESS, SPAWN, SPDX, UNSAFE, UNSAFE_ATTRIBUTES,
};

/// Sizes and heads of all files.
pub(crate) fn files(project: &Project) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in project.tree.sources() {
        let lines = text.lines().count();
        if lines > MAX_LINES {
            broken.push(format!("{path}:{lines}: more than {MAX_LINES} lines"));
        }
        if text.lines().next() != Some(SPDX) {
            broken.push(format!("{path}:1: the first line is not `{SPDX}`"));
        }
    }
    broken
}

/// Every file under `src` belongs to its crate.
pub(crate) fn orphans(project: &Project) -> Vec<String> {
    let nodes = project.crates.values().flat_map(|found| found.modules.values());
    let known: BTreeSet<&String> = nodes.map(|node| &node.file).collect();
    let sources = project.tree.sources().map(|(path, _)| path);
    let orphans = sources.filter(|path| path.contains("/src/") && !known.contains(path));
    orphans.map(|path| format!("{path}:1: no `mod` line leads here")).collect()
}

/// Which of our crates a crate may depend on, and what only tests may depend on.
pub(crate) fn crate_direction(project: &Project) -> Vec<String> {
    let mut broken = Vec::new();
    for (path, text) in &project.tree.files {
        let Some(folder) = path.strip_suffix("/Cargo.toml") else { continue };
        let known = CRATES.iter().find(|(name, _)| *name == folder);
        let Some((_, allowed)) = known else {
            broken.push(format!("{path}:1: a crate that the table does not know"));
            continue;
        };
        for (section, name, line) in dependencies(text) {
            let ours = CRATES.iter().any(|(crate_name, _)| *crate_name == name);
            if ours && !allowed.contains(&name.as_str()) {
                broken.push(format!("{path}:{line}: {folder} must not depend on {name}"));
            }
            if section == "dependencies" && DEV_ONLY.contains(&name.as_str()) && folder != "tests" {
                broken.push(format!("{path}:{line}: {name} is for tests only"));
            }
        }
    }
    broken
}

/// Section, name and line of each dependency in a manifest.
fn dependencies(manifest: &str) -> Vec<(String, String, usize)> {
    let (mut section, mut found) = (String::new(), Vec::new());
    for (number, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
        } else if section.ends_with("dependencies") && section != "workspace.dependencies" {
            let name: String =
                line.chars().take_while(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
            if !name.is_empty() {
                found.push((section.clone(), name, number + 1));
            }
        }
    }
    found
}

/// Top-level modules name only modules of lower layers.
pub(crate) fn layers(project: &Project) -> Vec<String> {
    let mut broken = Vec::new();
    for (folder, layers) in LAYERS {
        let Some(found) = project.library(folder) else { continue };
        let rank = |name: &str| layers.iter().position(|layer| layer.contains(&name));
        let top = found.modules.iter().filter(|(module, node)| module.len() == 1 && !node.test);
        for (module, node) in top {
            if rank(&module[0]).is_none() {
                broken.push(format!("{}:1: {} has no layer in the table", node.file, module[0]));
            }
        }
        for edge in &found.edges {
            let (Some(from), Some(to)) = (edge.from.first(), edge.to.first()) else { continue };
            let forbidden = FORBIDDEN_EDGES.contains(&(*folder, from.as_str(), to.as_str()));
            if from != to && (forbidden || rank(from) <= rank(to)) {
                let place = format!("{}:{}", edge.file, edge.line);
                broken.push(format!("{place}: {from} must not name {to}"));
            }
        }
    }
    broken
}

/// No circle among the children of any module, its own code being one of them.
pub(crate) fn cycles(project: &Project) -> Vec<String> {
    let mut broken = Vec::new();
    for (root, found) in &project.crates {
        for (module, mut pairs) in levels(&found.edges) {
            while let Some(nodes) = circle(&pairs) {
                let steps: Vec<_> =
                    nodes.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
                let shown: Vec<String> = steps
                    .iter()
                    .map(|step| format!("{} ({}:{})", step.0, pairs[step].file, pairs[step].line))
                    .collect();
                let level = if module.is_empty() { root.clone() } else { module.join("::") };
                broken.push(format!("{root}: circle in {level}: {}", shown.join(" → ")));
                steps.iter().for_each(|step| drop(pairs.remove(step)));
            }
        }
    }
    broken
}

/// Third-party crates stay in their folders.
pub(crate) fn confinement(project: &Project) -> Vec<String> {
    let mut broken = Vec::new();
    for reference in &project.references {
        for (name, folders) in CONFINED {
            let named = reference.path.first().is_some_and(|first| first == name);
            if named && !allows(folders, &reference.file) {
                broken.push(format!(
                    "{}:{}: {name} stays out of here",
                    reference.file, reference.line
                ));
            }
        }
    }
    broken
}

/// No queue without a bound, tests included.
pub(crate) fn channels(project: &Project) -> Vec<String> {
    let mut broken = Vec::new();
    for (file, source) in &project.sources {
        for token in source.tokens.iter().filter(|token| token.kind == Kind::Word) {
            if token.text.to_lowercase().starts_with("unbounded") {
                broken.push(format!("{file}:{}: {}", token.line, token.text));
            }
        }
    }
    for reference in &project.references {
        let path: Vec<&str> = reference.path.iter().map(String::as_str).collect();
        if path.starts_with(&["std", "sync", "mpsc", "channel"])
            || path == ["std", "sync", "mpsc", "*"]
        {
            broken.push(format!("{}:{}: {}", reference.file, reference.line, path.join("::")));
        }
    }
    broken
}

/// What decides touches no file, no socket, no runtime and no thread.
pub(crate) fn effects(project: &Project) -> Vec<String> {
    let mut broken = Vec::new();
    for reference in &project.references {
        let path = reference.path.join("::");
        let acts = EFFECTS.iter().any(|effect| {
            path.strip_prefix(effect).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        });
        if acts && !reference.test && !allows(ACTORS, &reference.file) {
            broken.push(format!("{}:{}: names {path}", reference.file, reference.line));
        }
    }
    broken
}

/// Clocks are read where time enters the program.
pub(crate) fn clock(project: &Project) -> Vec<String> {
    let is_clock = |words: &[&str]| match words {
        [kind, "::", "now"] => CLOCKS.contains(kind),
        words => words == [".", "elapsed", "("],
    };
    scan(project, CLOCK, 3, is_clock, "reads a clock")
}

/// Tasks and threads are started by those who own them.
pub(crate) fn spawn(project: &Project) -> Vec<String> {
    let is_spawn = |words: &[&str]| match words {
        ["fn", ..] => false,
        [_, name, "("] => name.starts_with("spawn"),
        _ => false,
    };
    scan(project, SPAWN, 3, is_spawn, "starts a task, a thread or a process")
}

/// Locks exist in two files.
pub(crate) fn locks(project: &Project) -> Vec<String> {
    let is_lock =
        |words: &[&str]| matches!(words, ["Mutex" | "RwLock" | "Condvar" | "ReentrantLock"]);
    scan(project, LOCKS, 1, is_lock, "holds a lock")
}

/// `unsafe` and `libc` where the table says, and the attribute that makes the compiler check it.
pub(crate) fn unsafe_code(project: &Project) -> Vec<String> {
    let mut broken = Vec::new();
    for (file, source) in project.sources.iter().filter(|(file, _)| !allows(UNSAFE, file)) {
        for token in source.tokens.iter().filter(|token| token.is("unsafe")) {
            broken.push(format!("{file}:{}: unsafe code", token.line));
        }
    }
    for reference in &project.references {
        if reference.path[0] == "libc" && !allows(UNSAFE, &reference.file) {
            broken.push(format!("{}:{}: libc stays out of here", reference.file, reference.line));
        }
    }
    for (root, attribute) in UNSAFE_ATTRIBUTES {
        let Some(text) = project.tree.files.get(*root) else { continue };
        if !text.lines().any(|line| line.trim() == *attribute) {
            broken.push(format!("{root}:1: lacks {attribute}"));
        }
    }
    broken
}

/// Processes are started by a few folders.
pub(crate) fn processes(project: &Project) -> Vec<String> {
    let named = project.references.iter().filter(|reference| {
        !reference.test && names_command(&reference.path) && !allows(COMMAND, &reference.file)
    });
    named.map(|r| format!("{}:{}: starts processes", r.file, r.line)).collect()
}

/// What runs as the daemon cannot reach the folders that start processes.
pub(crate) fn daemon_starts_no_process(project: &Project) -> Vec<String> {
    let (folder, start) = NO_PROCESS;
    let Some(found) = project.library(folder) else { return Vec::new() };
    let start: Module = start.split("::").map(str::to_owned).collect();
    if !found.modules.contains_key(&start) {
        return vec![format!("{folder}: there is no module {}", start.join("::"))];
    }
    let reached = reachable(found, &start);
    let guilty = reached.iter().filter(|module| starts_processes(found, module));
    guilty
        .map(|m| format!("{} reaches {}, which starts processes", start.join("::"), m.join("::")))
        .collect()
}

fn starts_processes(found: &Crate, module: &Module) -> bool {
    let Some(node) = found.modules.get(module).filter(|node| !node.test) else { return false };
    let uses = node.scope.uses.iter().filter(|leaf| !leaf.test).map(|leaf| &leaf.path);
    let paths = node.scope.paths.iter().filter(|path| !path.test).map(|path| &path.path);
    uses.chain(paths).any(|path| match found.resolve(module, path) {
        super::graph::Place::Elsewhere(path) => names_command(&path),
        super::graph::Place::Here(_) => false,
    })
}

/// `std::process::Command` and its kin, and a glob that may bring it in.
fn names_command(path: &[String]) -> bool {
    let words: Vec<&str> = path.iter().map(String::as_str).collect();
    words
        .windows(2)
        .any(|pair| pair[0] == "process" && (pair[1].starts_with("Command") || pair[1] == "*"))
}

/// Looks at every run of so many tokens in code that is not for tests.
fn scan(
    project: &Project,
    allowed: &[&str],
    length: usize,
    found: impl Fn(&[&str]) -> bool,
    what: &str,
) -> Vec<String> {
    let mut broken = Vec::new();
    for (file, source) in &project.sources {
        if allows(allowed, file) || project.is_test(file) {
            continue;
        }
        for run in source.tokens.windows(length).filter(|run| run.iter().all(|token| !token.test)) {
            let words: Vec<&str> = run
                .iter()
                .map(|token| if token.kind == Kind::Text { "\"" } else { token.text.as_str() })
                .collect();
            if found(&words) {
                broken.push(format!("{file}:{}: {what}", run[0].line));
            }
        }
    }
    broken
}

/// Whether a table lists the file, one of its folders, or a beginning of its name.
fn allows(table: &[&str], file: &str) -> bool {
    table.iter().any(|entry| file.starts_with(entry))
}
