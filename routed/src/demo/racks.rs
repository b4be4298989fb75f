// SPDX-License-Identifier: MIT OR Apache-2.0
//! The racks of the demo: built step by step, found again by later commands, taken down.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::node::{self, NodeDirs};
use super::plan::{Plan, Router, TorKind};
use super::system::{self, Process};
use super::{tor, workload};

/// What `up` did and `down` must undo, kept in the demo's directory.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct State {
    kinds: Vec<(String, TorKind)>,
    plugin: PathBuf,
    pub(super) processes: Vec<Process>,
}

/// A demo that is being built or runs.
pub(super) struct Demo {
    pub(super) plan: Plan,
    pub(super) base: PathBuf,
    pub(super) state: State,
}

impl Demo {
    /// One fixed place, so that `status` and `down` find what `up` built.
    fn base() -> PathBuf {
        std::env::temp_dir().join("rtd-demo")
    }

    pub(super) fn exists() -> bool {
        Self::base().exists() || !system::existing_namespaces().is_empty()
    }

    pub(super) fn load() -> Result<Self> {
        let base = Self::base();
        let text = fs::read_to_string(base.join("state.json"))
            .context("no demo is running; start one with: routed demo up")?;
        let state = serde_json::from_str(&text).context("reading the demo's state")?;
        Ok(Self { plan: Plan::new(), base, state })
    }

    /// What runs, or what is left of a demo whose state cannot be read.
    pub(super) fn load_or_remains() -> Self {
        Self::load().unwrap_or_else(|_| Self {
            plan: Plan::new(),
            base: Self::base(),
            state: State::default(),
        })
    }

    /// Builds the racks; `tor` plays all ToRs instead of FRR and BIRD.
    pub(super) fn up(tor: Option<TorKind>, plugin: Option<&Path>) -> Result<Self> {
        if Self::exists() {
            bail!("a demo is already running (or was left behind): routed demo down");
        }
        let started = Instant::now();
        let mut demo = Self::prepare(tor, plugin)?;
        match demo.build() {
            Ok(()) => {
                say!("up in {:.1} s", started.elapsed().as_secs_f64());
                Ok(demo)
            }
            Err(error) => {
                demo.down();
                Err(error.context("building the demo (everything was taken down)"))
            }
        }
    }

    fn prepare(tor: Option<TorKind>, plugin: Option<&Path>) -> Result<Self> {
        let plan = Plan::new();
        let kind_of = |t: &Router| match tor {
            Some(kind) => kind,
            None if t.rack == 1 => TorKind::Frr,
            None => TorKind::Bird,
        };
        let kinds: Vec<(String, TorKind)> =
            plan.tors.iter().map(|t| (t.name.clone(), kind_of(t))).collect();
        let all: Vec<TorKind> = kinds.iter().map(|(_, k)| *k).collect();
        if let Some(install) = tor::missing(&all) {
            bail!("the ToR programs are not installed: {install}");
        }
        let plugin = match plugin {
            Some(path) => path.to_owned(),
            None => std::env::current_exe()
                .context("finding this program")?
                .with_file_name("routed-cni"),
        };
        if !plugin.is_file() {
            bail!(
                "no CNI plugin at {}: build it with `make plugin`, name it with --plugin",
                plugin.display()
            );
        }
        let plugin = plugin.canonicalize().context("resolving the plugin's path")?;
        let base = Self::base();
        Ok(Self { plan, base, state: State { kinds, plugin, processes: vec![] } })
    }

    fn build(&mut self) -> Result<()> {
        fs::create_dir_all(&self.base).context("creating the demo's directory")?;
        self.save()?;
        system::build(&self.plan)?;
        say!("16 namespaces, {} cables", self.plan.cables.len());
        for tor in self.plan.tors.clone() {
            let kind = self.kind(&tor);
            let processes = tor::start(&tor, kind, &self.dir_of(&tor.name))?;
            self.state.processes.extend(processes);
            self.save()?;
        }
        self.print_tors();
        let routed = std::env::current_exe().context("finding this program")?;
        for node in self.plan.nodes.clone() {
            let dirs = NodeDirs::new(&self.base, &node.name);
            node::configure(&self.plan, &node, &dirs)?;
            self.state.processes.push(node::start(&node, &dirs, &routed)?);
            self.save()?;
        }
        say!("nodes: {} unprivileged daemons", self.plan.nodes.len());
        for w in &self.plan.workloads {
            workload::attach(w, &NodeDirs::new(&self.base, &w.node), &self.state.plugin)?;
        }
        say!(
            "workloads: {} attached by {}",
            self.plan.workloads.len(),
            self.state.plugin.display()
        );
        Ok(())
    }

    fn save(&self) -> Result<()> {
        let text =
            serde_json::to_string_pretty(&self.state).context("encoding the demo's state")?;
        fs::write(self.base.join("state.json"), text).context("writing the demo's state")
    }

    pub(super) fn dir_of(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    pub(super) fn kind(&self, tor: &Router) -> TorKind {
        let found = self.state.kinds.iter().find(|(name, _)| *name == tor.name);
        found.map_or(TorKind::Frr, |(_, kind)| *kind)
    }

    fn print_tors(&self) {
        let mut kinds: Vec<TorKind> = self.state.kinds.iter().map(|(_, k)| *k).collect();
        kinds.dedup();
        for kind in kinds {
            let names = self.state.kinds.iter().filter(|(_, k)| *k == kind);
            let names: Vec<&str> = names.map(|(n, _)| n.as_str()).collect();
            say!("ToRs: {} {} as {}", kind, tor::version(kind), names.join(", "));
            if kind == TorKind::Routed {
                say!("      our own speaker on both ends: this is no proof of interoperability");
            }
        }
    }

    pub(super) fn print_tour(&self) {
        say!("\nlook around:");
        for tor in &self.plan.tors {
            say!("  {}", tor::look(self.kind(tor), &self.dir_of(&tor.name)));
        }
        let node = &self.plan.nodes[0];
        let netns = node.netns();
        let socket = NodeDirs::new(&self.base, &node.name).admin_socket();
        say!("  ip netns exec {netns} ip route show proto 83");
        say!("  ip netns exec {netns} nft list table inet routed");
        let web = |name: &str| self.plan.workloads.iter().find(|w| w.name == name);
        if let (Some(a), Some(b)) = (web("web-11"), web("web-21")) {
            say!("  ip netns exec {} ping {}", a.netns(), b.v4);
            say!("  ip netns exec {} ping {}", a.netns(), b.v6);
        }
        say!("  routed --socket {} status", socket.display());
        say!("  routed demo shell {}", node.name);
        say!("  routed demo down");
    }

    /// Undoes everything and goes on after errors; true if nothing is left.
    pub(super) fn down(&self) -> bool {
        let mut problems = Vec::new();
        for w in &self.plan.workloads {
            let dirs = NodeDirs::new(&self.base, &w.node);
            // A daemon that somebody killed cannot detach; the namespaces take the links along.
            if dirs.answers() && self.state.plugin.is_file() {
                problems.extend(workload::detach(w, &dirs, &self.state.plugin).err());
            }
        }
        problems.extend(self.end_strangers().err());
        for process in self.state.processes.iter().rev() {
            process.end();
            if process.is_alive() {
                problems.push(anyhow::anyhow!(
                    "{} (pid {}) is still alive",
                    process.name,
                    process.pid
                ));
            }
            tor::remove_traces(process.pid);
        }
        problems.extend(system::delete_namespaces(&system::existing_namespaces()));
        if self.base.exists() {
            problems.extend(remove(&self.base).err());
        }
        for problem in &problems {
            complain!("while taking the demo down: {problem:#}");
        }
        problems.is_empty() && !Self::exists()
    }
}

impl Demo {
    /// Ends what somebody else started inside the demo's namespaces.
    fn end_strangers(&self) -> Result<()> {
        for name in system::existing_namespaces() {
            let known: Vec<i32> = self.state.processes.iter().map(|p| p.pid).collect();
            for process in system::processes_in(&name)? {
                if !known.contains(&process.pid) {
                    process.end();
                }
            }
        }
        Ok(())
    }
}

fn remove(dir: &Path) -> Result<()> {
    fs::remove_dir_all(dir).with_context(|| format!("removing {}", dir.display()))
}
