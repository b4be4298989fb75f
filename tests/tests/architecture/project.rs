// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole tree: files, crates, and what they name of other crates.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::graph::{Crate, Place, Sources};
use super::source::{ROOT, Source};

/// Files of the workspace by their path from its root: Rust sources and manifests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: BTreeMap<String, String>,
}

/// A tree, taken apart.
pub(crate) struct Project {
    pub(crate) tree: Tree,
    /// Crates by their root file.
    pub(crate) crates: BTreeMap<String, Crate>,
    /// Rust files by path.
    pub(crate) sources: Sources,
    /// Everything that is named of other crates.
    pub(crate) references: Vec<Reference>,
    /// Files that are there for tests only.
    tests: BTreeSet<String>,
}

/// Something of another crate, named in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) file: String,
    pub(crate) line: usize,
    /// From the name of the other crate on.
    pub(crate) path: Vec<String>,
    pub(crate) test: bool,
}

impl Tree {
    /// Reads the workspace this test belongs to.
    pub(crate) fn of_workspace() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut tree = Self::default();
        tree.read(&root, "");
        tree
    }

    fn read(&mut self, directory: &Path, prefix: &str) {
        for entry in fs::read_dir(directory).expect("a readable tree").flatten() {
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            let path = entry.path();
            let is_source = name.ends_with(".rs") || name == "Cargo.toml";
            // Cargo marks its folder only if it made it; tools may have been installed there first.
            let is_built =
                prefix.is_empty() && name == "target" || path.join("CACHEDIR.TAG").exists();
            if path.is_dir() && !name.starts_with('.') && !is_built {
                self.read(&path, &format!("{prefix}{name}/"));
            } else if is_source && path.is_file() {
                let text = fs::read_to_string(&path).expect("a readable file");
                self.files.insert(format!("{prefix}{name}"), text);
            }
        }
    }

    /// A tree made up for a test.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self { files: files.collect() }
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = (&String, &String)> {
        self.files.iter().filter(|(path, _)| path.ends_with(".rs"))
    }
}

impl Project {
    pub(crate) fn new(tree: Tree) -> Self {
        let sources: Sources =
            tree.sources().map(|(path, text)| (path.clone(), Source::parse(text))).collect();
        let roots = sources.keys().filter(|path| is_root(path));
        let crates: BTreeMap<String, Crate> =
            roots.map(|root| (root.clone(), Crate::read(&sources, root))).collect();
        let nodes = crates.values().flat_map(|found| found.modules.values());
        let by_module = nodes.filter(|node| node.test).map(|node| node.file.clone());
        let by_path = sources.keys().filter(|path| is_test_path(path)).cloned();
        let tests = by_module.chain(by_path).collect();
        let mut project = Self { tree, crates, sources, references: Vec::new(), tests };
        project.references = project.find_references();
        project
    }

    /// The library crate in a folder.
    pub(crate) fn library(&self, folder: &str) -> Option<&Crate> {
        self.crates.get(&format!("{folder}/src/lib.rs"))
    }

    /// Whether a file is there for tests only.
    pub(crate) fn is_test(&self, file: &str) -> bool {
        self.tests.contains(file)
    }

    fn find_references(&self) -> Vec<Reference> {
        let mut references = Vec::new();
        for found in self.crates.values() {
            for (module, node) in &found.modules {
                let uses = node.scope.uses.iter().map(|leaf| (&leaf.path, leaf.line, leaf.test));
                let paths = node.scope.paths.iter().map(|path| (&path.path, path.line, path.test));
                for (path, line, test) in uses.chain(paths) {
                    if let Place::Elsewhere(mut path) = found.resolve(module, path) {
                        path.retain(|segment| segment != ROOT);
                        let test = test || self.is_test(&node.file);
                        references.push(Reference { file: node.file.clone(), line, path, test });
                    }
                }
            }
        }
        references
    }
}

/// `x/src/lib.rs`, `x/src/main.rs`, `x/tests/y.rs`, `x/tests/y/main.rs`, `x/benches/y.rs`,
/// `examples/x.rs`.
fn is_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        [_, "src", file] => ["lib.rs", "main.rs"].contains(&file),
        [_, "src", "bin", _] | [_, "tests" | "benches", _] | ["examples", _] => true,
        [_, "tests" | "benches", _, file] => file == "main.rs",
        _ => false,
    }
}

fn is_test_path(file: &str) -> bool {
    matches!(file.split('/').nth(1), Some("tests" | "benches"))
}
