// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed demo`: two racks on one machine, in network namespaces.
//!
//! FRR plays the ToRs of rack 1 and BIRD those of rack 2; four nodes run this very binary without privileges; eight
//! workloads are attached by the CNI plugin. `demo` alone builds, checks and takes down; `up`, `status`, `shell` and
//! `down` do it step by step. Everything lives in one directory and in namespaces with the prefix `rtd-demo-`.

mod check;
mod node;
mod plan;
mod system;
mod tor;
mod workload;

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use node::NodeDirs;
use plan::{Plan, Router, TorKind};
use system::Process;

/// What `routed demo` is asked to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Verb {
    /// Build the racks and leave them running
    Up,
    /// Check the running racks: expectation beside observation
    Status,
    /// Open a shell in the namespace of a ToR, node or workload
    Shell {
        /// for example r1n1, tor2a, web-11
        name: String,
    },
    /// Take the racks down and remove everything
    Down,
}

/// Arguments of `routed demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Play all ToRs with this program instead of FRR in rack 1 and BIRD in rack 2
    #[arg(long, value_enum, global = true)]
    tor: Option<Tor>,
    /// The CNI plugin binary [default: routed-cni beside this program]
    #[arg(long, global = true)]
    plugin: Option<PathBuf>,
}

/// Values of `--tor`.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Tor {
    Frr,
    Bird,
    /// our own speaker: no proof of interoperability
    Routed,
}

impl From<Tor> for TorKind {
    fn from(tor: Tor) -> Self {
        match tor {
            Tor::Frr => Self::Frr,
            Tor::Bird => Self::Bird,
            Tor::Routed => Self::Routed,
        }
    }
}

/// What `up` did and `down` must undo, kept in the demo's directory.
#[derive(Debug, Default, serde::Serialize, serde::Deserialize)]
struct State {
    kinds: Vec<(String, TorKind)>,
    plugin: PathBuf,
    processes: Vec<Process>,
}

/// A demo that is being built or runs.
struct Demo {
    plan: Plan,
    base: PathBuf,
    state: State,
}

/// Runs `routed demo …`; true if everything that was checked holds.
///
/// # Errors
/// Missing privileges or programs, a demo that already runs, or a step that failed. What was built is taken down.
pub fn run(args: &Args) -> Result<bool> {
    if !rustix::process::geteuid().is_root() {
        bail!("the demo builds network namespaces and needs root: sudo routed demo");
    }
    match &args.verb {
        None => once(args),
        Some(Verb::Up) => up(args),
        Some(Verb::Status) => status(),
        Some(Verb::Shell { name }) => shell(name),
        Some(Verb::Down) => down(),
    }
}

fn once(args: &Args) -> Result<bool> {
    end_on_interrupt()?;
    let demo = Demo::up(args)?;
    let holds = check::print(&check::all(&demo));
    let clean = demo.down();
    println!(
        "{}",
        if clean { "taken down: nothing is left behind" } else { "NOT taken down cleanly" }
    );
    Ok(holds && clean)
}

fn up(args: &Args) -> Result<bool> {
    let demo = Demo::up(args)?;
    let holds = check::print(&check::all(&demo));
    demo.print_tour();
    Ok(holds)
}

fn status() -> Result<bool> {
    let demo = Demo::load()?;
    let dead: Vec<&Process> = demo.state.processes.iter().filter(|p| !p.is_alive()).collect();
    for process in &dead {
        println!("not running: {} (pid {})", process.name, process.pid);
    }
    Ok(check::print(&check::all(&demo)) && dead.is_empty())
}

fn down() -> Result<bool> {
    if !Demo::exists() {
        println!("no demo is running");
        return Ok(true);
    }
    let clean = Demo::load_or_remains().down();
    println!(
        "{}",
        if clean { "taken down: nothing is left behind" } else { "NOT taken down cleanly" }
    );
    Ok(clean)
}

fn shell(name: &str) -> Result<bool> {
    let demo = Demo::load()?;
    let netns = format!("{}{name}", plan::PREFIX);
    if !demo.plan.namespaces().contains(&netns) {
        let names: Vec<String> = demo.plan.namespaces();
        let names: Vec<&str> = names.iter().filter_map(|n| n.strip_prefix(plan::PREFIX)).collect();
        bail!("no {name} in the demo; there are: {}", names.join(" "));
    }
    let shell = std::env::var("SHELL").unwrap_or_else(|_| "/bin/sh".to_owned());
    let dirs = NodeDirs::new(&demo.base, name);
    let error = system::inside(&netns, &shell)
        .env("ROUTED_SOCKET", dirs.admin_socket())
        .env("PS1", format!("{name}# "))
        .exec();
    Err(error).context("starting a shell")
}

/// Ctrl-C during `routed demo` takes everything down before the process ends.
fn end_on_interrupt() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("preparing for Ctrl-C")?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            eprintln!("interrupted: taking the demo down");
            Demo::load_or_remains().down();
            std::process::exit(130);
        }
    });
    Ok(())
}

impl Demo {
    /// One fixed place, so that `status` and `down` find what `up` built.
    fn base() -> PathBuf {
        std::env::temp_dir().join("rtd-demo")
    }

    fn exists() -> bool {
        Self::base().exists() || !system::existing_namespaces().is_empty()
    }

    fn load() -> Result<Self> {
        let base = Self::base();
        let text = fs::read_to_string(base.join("state.json"))
            .context("no demo is running; start one with: routed demo up")?;
        let state = serde_json::from_str(&text).context("reading the demo's state")?;
        Ok(Self { plan: Plan::new(), base, state })
    }

    /// What runs, or what is left of a demo whose state cannot be read.
    fn load_or_remains() -> Self {
        Self::load().unwrap_or_else(|_| Self {
            plan: Plan::new(),
            base: Self::base(),
            state: State::default(),
        })
    }

    fn up(args: &Args) -> Result<Self> {
        if Self::exists() {
            bail!("a demo is already running (or was left behind): routed demo down");
        }
        let started = Instant::now();
        let mut demo = Self::prepare(args)?;
        match demo.build() {
            Ok(()) => {
                println!("up in {:.1} s", started.elapsed().as_secs_f64());
                Ok(demo)
            }
            Err(error) => {
                demo.down();
                Err(error.context("building the demo (everything was taken down)"))
            }
        }
    }

    fn prepare(args: &Args) -> Result<Self> {
        let plan = Plan::new();
        let kind_of = |t: &Router| match args.tor {
            Some(tor) => tor.into(),
            None if t.rack == 1 => TorKind::Frr,
            None => TorKind::Bird,
        };
        let kinds: Vec<(String, TorKind)> =
            plan.tors.iter().map(|t| (t.name.clone(), kind_of(t))).collect();
        let all: Vec<TorKind> = kinds.iter().map(|(_, k)| *k).collect();
        if let Some(install) = tor::missing(&all) {
            bail!("the ToR programs are not installed: {install}");
        }
        let plugin = match &args.plugin {
            Some(path) => path.clone(),
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
        println!("16 namespaces, {} cables", self.plan.cables.len());
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
        println!("nodes: {} unprivileged daemons", self.plan.nodes.len());
        for w in &self.plan.workloads {
            workload::attach(w, &NodeDirs::new(&self.base, &w.node), &self.state.plugin)?;
        }
        println!(
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

    fn dir_of(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    fn kind(&self, tor: &Router) -> TorKind {
        let found = self.state.kinds.iter().find(|(name, _)| *name == tor.name);
        found.map_or(TorKind::Frr, |(_, kind)| *kind)
    }

    fn print_tors(&self) {
        let mut kinds: Vec<TorKind> = self.state.kinds.iter().map(|(_, k)| *k).collect();
        kinds.dedup();
        for kind in kinds {
            let names = self.state.kinds.iter().filter(|(_, k)| *k == kind);
            let names: Vec<&str> = names.map(|(n, _)| n.as_str()).collect();
            println!("ToRs: {} {} as {}", kind, tor::version(kind), names.join(", "));
            if kind == TorKind::Routed {
                println!(
                    "      our own speaker on both ends: this is no proof of interoperability"
                );
            }
        }
    }

    fn print_tour(&self) {
        println!("\nlook around:");
        for tor in &self.plan.tors {
            println!("  {}", tor::look(self.kind(tor), &self.dir_of(&tor.name)));
        }
        let node = &self.plan.nodes[0];
        let netns = node.netns();
        let socket = NodeDirs::new(&self.base, &node.name).admin_socket();
        println!("  ip netns exec {netns} ip route show proto 83");
        println!("  ip netns exec {netns} nft list table inet routed");
        let web = |name: &str| self.plan.workloads.iter().find(|w| w.name == name);
        if let (Some(a), Some(b)) = (web("web-11"), web("web-21")) {
            println!("  ip netns exec {} ping {}", a.netns(), b.v4);
            println!("  ip netns exec {} ping {}", a.netns(), b.v6);
        }
        println!("  routed --socket {} status", socket.display());
        println!("  routed demo shell {}", node.name);
        println!("  routed demo down");
    }

    /// Undoes everything and goes on after errors; true if nothing is left.
    fn down(&self) -> bool {
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
            eprintln!("while taking the demo down: {problem:#}");
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
