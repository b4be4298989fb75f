// SPDX-License-Identifier: MIT OR Apache-2.0
//! The modules of a crate and who names whom.
//!
//! A path is followed to the module that defines what it names: re-exports are looked through, so
//! that `crate::Prefix` is an edge to `types` and not to the crate root.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{ROOT, Scope, Source};

/// Files by path.
pub(crate) type Sources = BTreeMap<String, Source>;

/// Names from the crate root down; empty for the root itself.
pub(crate) type Module = Vec<String>;

/// A crate: its modules by path.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    pub(crate) modules: BTreeMap<Module, Node>,
    /// Edges of code that is not for tests; a re-export by a parent is none.
    pub(crate) edges: BTreeSet<Edge>,
}

/// A module of a crate.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) file: String,
    /// Whether it exists only in tests.
    pub(crate) test: bool,
    pub(crate) scope: Scope,
}

/// One module names something of another one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: Module,
    pub(crate) to: Module,
    pub(crate) file: String,
    pub(crate) line: usize,
}

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A module of the same crate.
    Here(Module),
    /// A path of another crate.
    Elsewhere(Vec<String>),
}

/// Where a module stands while its crate is read.
#[derive(Default)]
struct Spot {
    file: String,
    /// Where the files of its children are.
    directory: String,
    module: Module,
    test: bool,
}

impl Spot {
    fn child(&self, name: &str, for_tests: bool, file: String, directory: String) -> Self {
        let module = [&self.module[..], &[name.to_owned()]].concat();
        Self { file, directory, module, test: self.test || for_tests }
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Crate {
    /// Reads a crate from its root file.
    pub(crate) fn read(sources: &Sources, root: &str) -> Self {
        let mut found = Self::default();
        let directory = parent(root).to_owned();
        found.add(sources, Spot { file: root.to_owned(), directory, ..Spot::default() });
        found.edges = found.find_edges();
        found
    }

    /// Adds the module that a file holds and all below it; nothing if there is no such file.
    fn add(&mut self, sources: &Sources, spot: Spot) {
        if let Some(source) = sources.get(&spot.file) {
            self.add_scope(sources, &source.scope, spot);
        }
    }

    fn add_scope(&mut self, sources: &Sources, scope: &Scope, spot: Spot) {
        for (name, path, for_tests) in &scope.files {
            let file = format!("{}/{name}.rs", spot.directory);
            let folder = format!("{}/{name}", spot.directory);
            let candidates = match path {
                Some(path) => {
                    let file = format!("{}/{path}", parent(&spot.file));
                    vec![(file.clone(), file.trim_end_matches(".rs").to_owned())]
                }
                None => vec![(file, folder.clone()), (format!("{folder}/mod.rs"), folder)],
            };
            for (file, directory) in candidates {
                self.add(sources, spot.child(name, *for_tests, file, directory));
            }
        }
        for (name, for_tests, inner) in &scope.inline {
            let directory = format!("{}/{name}", spot.directory);
            let child = spot.child(name, *for_tests, spot.file.clone(), directory);
            self.add_scope(sources, inner, child);
        }
        let node = Node { file: spot.file, test: spot.test, scope: scope.clone() };
        self.modules.insert(spot.module, node);
    }

    fn find_edges(&self) -> BTreeSet<Edge> {
        let mut edges = BTreeSet::new();
        for (module, node) in self.modules.iter().filter(|(_, node)| !node.test) {
            let mut add = |to: Module, line| {
                if to != *module && self.modules.get(&to).is_some_and(|node| !node.test) {
                    let (from, file) = (module.clone(), node.file.clone());
                    edges.insert(Edge { from, to, file, line });
                }
            };
            for leaf in node.scope.uses.iter().filter(|leaf| !leaf.test) {
                if let Place::Here(to) = self.resolve(module, &leaf.path)
                    && !(leaf.public && to.starts_with(module))
                {
                    add(to, leaf.line);
                }
            }
            for path in node.scope.paths.iter().filter(|path| !path.test) {
                if let Place::Here(to) = self.resolve(module, &path.path) {
                    add(to, path.line);
                }
            }
        }
        edges
    }

    /// Follows a path as written in a module.
    pub(crate) fn resolve(&self, module: &Module, path: &[String]) -> Place {
        self.follow(module, path, 0)
    }

    fn follow(&self, module: &Module, path: &[String], depth: usize) -> Place {
        let elsewhere = Place::Elsewhere(path.to_vec());
        // Imports may form a circle through globs.
        if depth > 16 {
            return elsewhere;
        }
        match path.first().map(String::as_str) {
            Some(ROOT) => Place::Elsewhere(path[1..].to_vec()),
            Some("crate") => self.descend(&Vec::new(), &path[1..], depth),
            Some("self") => self.descend(module, &path[1..], depth),
            Some("super") => {
                let parent = module[..module.len().saturating_sub(1)].to_vec();
                match path.get(1).map(String::as_str) {
                    Some("super") => self.follow(&parent, &path[1..], depth + 1),
                    _ => self.descend(&parent, &path[1..], depth),
                }
            }
            Some(first) if self.knows(module, first) => self.descend(module, path, depth),
            _ => elsewhere,
        }
    }

    /// Whether a module has a child, an import or an item of this name.
    fn knows(&self, module: &Module, name: &str) -> bool {
        let child = [&module[..], &[name.to_owned()]].concat();
        let Some(node) = self.modules.get(module) else { return false };
        let imports = |leaf: &super::source::Use| {
            // `use serde;` and the like name another crate by itself.
            leaf.name.as_deref() == Some(name) && leaf.path != [name]
        };
        self.modules.contains_key(&child)
            || node.scope.items.iter().any(|item| item == name)
            || node.scope.uses.iter().any(imports)
    }

    fn descend(&self, module: &Module, path: &[String], depth: usize) -> Place {
        let Some(name) = path.first() else { return Place::Here(module.clone()) };
        let child = [&module[..], std::slice::from_ref(name)].concat();
        if self.modules.contains_key(&child) {
            return self.descend(&child, &path[1..], depth);
        }
        let Some(node) = self.modules.get(module) else { return Place::Here(module.clone()) };
        if node.scope.items.contains(name) {
            return Place::Here(module.clone());
        }
        for leaf in &node.scope.uses {
            if leaf.name.as_ref() == Some(name) && leaf.path != [name.clone()] {
                let longer = [&leaf.path[..], &path[1..]].concat();
                return self.follow(module, &longer, depth + 1);
            }
        }
        for leaf in node.scope.uses.iter().filter(|leaf| leaf.path.ends_with(&["*".to_owned()])) {
            let parent = &leaf.path[..leaf.path.len() - 1];
            if let Place::Here(origin) = self.follow(module, parent, depth + 1)
                && origin != *module
                && self.knows(&origin, name)
            {
                return self.descend(&origin, path, depth + 1);
            }
        }
        Place::Here(module.clone())
    }
}

/// The graph of one level: how the children of a module (and the module's own code, named `self`)
/// depend on each other, with an edge that shows it.
pub(crate) fn levels(edges: &BTreeSet<Edge>) -> BTreeMap<Module, BTreeMap<(String, String), Edge>> {
    let mut levels: BTreeMap<Module, BTreeMap<(String, String), Edge>> = BTreeMap::new();
    for edge in edges {
        let common = edge.from.iter().zip(&edge.to).take_while(|(a, b)| a == b).count();
        let name = |module: &Module| module.get(common).map_or("self", |name| name).to_owned();
        let pair = (name(&edge.from), name(&edge.to));
        let level = levels.entry(edge.from[..common].to_vec()).or_default();
        level.entry(pair).or_insert_with(|| edge.clone());
    }
    levels
}

/// A circle in a graph, as its nodes in order, if there is one.
pub(crate) fn circle(pairs: &BTreeMap<(String, String), Edge>) -> Option<Vec<String>> {
    let nodes: BTreeSet<&String> = pairs.keys().map(|(from, _)| from).collect();
    nodes.into_iter().find_map(|start| way(pairs, start, start, &mut BTreeSet::new()))
}

fn way(
    pairs: &BTreeMap<(String, String), Edge>,
    from: &String,
    to: &String,
    seen: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    for (_, next) in pairs.keys().filter(|(node, _)| node == from) {
        if next == to {
            return Some(vec![from.clone(), to.clone()]);
        }
        if seen.insert(next.clone())
            && let Some(rest) = way(pairs, next, to, seen)
        {
            return Some([std::slice::from_ref(from), &rest[..]].concat());
        }
    }
    None
}

/// All modules that code of a module can reach: what it names, what lies below that, and so on.
pub(crate) fn reachable(krate: &Crate, start: &Module) -> BTreeSet<Module> {
    let mut reached = BTreeSet::from([start.clone()]);
    let mut fresh = vec![start.clone()];
    while let Some(module) = fresh.pop() {
        let named = krate.edges.iter().filter(|edge| edge.from == module).map(|edge| &edge.to);
        // Methods of a type may be written in the modules below its own.
        let below = |to: &Module| {
            krate.modules.keys().filter(|m| m.starts_with(to)).cloned().collect::<Vec<_>>()
        };
        for module in named.flat_map(below) {
            if reached.insert(module.clone()) {
                fresh.push(module);
            }
        }
    }
    reached
}
