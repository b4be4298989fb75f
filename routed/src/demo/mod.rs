// SPDX-License-Identifier: MIT OR Apache-2.0
//! `routed demo`: two racks on one machine, in network namespaces.
//!
//! FRR plays the ToRs of rack 1 and BIRD those of rack 2; four nodes run this very binary without privileges; eight
//! workloads are attached by the CNI plugin. `demo` alone builds, checks and takes down; `up`, `status`, `shell` and
//! `down` do it step by step. Everything lives in one directory and in namespaces with the prefix `rtd-demo-`.

/// Prints a line. A reader that went away is no reason to leave racks half built or half taken down.
macro_rules! say {
    ($($words:tt)*) => {
        $crate::demo::print(&mut std::io::stdout(), format_args!($($words)*))
    };
}

/// The same on standard error.
macro_rules! complain {
    ($($words:tt)*) => {
        $crate::demo::print(&mut std::io::stderr(), format_args!($($words)*))
    };
}

mod check;
mod node;
mod plan;
mod racks;
mod system;
mod tor;
mod workload;

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use node::NodeDirs;
use plan::TorKind;
use racks::Demo;
use system::Process;

fn print(to: &mut impl std::io::Write, line: std::fmt::Arguments<'_>) {
    let _gone = writeln!(to, "{line}");
}

/// What `routed demo` is asked to do.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Verb {
    /// Build the racks and leave them running
    #[command(after_help = "Examples:\n  sudo routed demo up\n  sudo routed demo up --tor bird")]
    Up,
    /// Check the running racks: expectation beside observation
    #[command(after_help = "Examples:\n  sudo routed demo status\n  watch sudo routed demo status")]
    Status,
    /// Open a shell in the namespace of a ToR, node or workload
    #[command(
        after_help = "Examples:\n  sudo routed demo shell r1n1\n  sudo routed demo shell web-11"
    )]
    Shell {
        /// For example r1n1, tor2a, web-11
        name: String,
    },
    /// Take the racks down and remove everything
    #[command(
        after_help = "Examples:\n  sudo routed demo down\n  sudo routed demo down && sudo routed demo up"
    )]
    Down,
}

/// Arguments of `routed demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  sudo routed demo\n  sudo routed demo up\n  sudo routed demo down"
)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Play all ToRs with this program instead of FRR in rack 1 and BIRD in rack 2; routed is no proof of interoperability
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
    let demo = Demo::up(args.tor.map(TorKind::from), args.plugin.as_deref())?;
    let holds = check::print(&check::all(&demo));
    let clean = demo.down();
    say!("{}", if clean { "taken down: nothing is left behind" } else { "NOT taken down cleanly" });
    Ok(holds && clean)
}

fn up(args: &Args) -> Result<bool> {
    let demo = Demo::up(args.tor.map(TorKind::from), args.plugin.as_deref())?;
    let holds = check::print(&check::all(&demo));
    demo.print_tour();
    Ok(holds)
}

fn status() -> Result<bool> {
    let demo = Demo::load()?;
    let dead: Vec<&Process> = demo.state.processes.iter().filter(|p| !p.is_alive()).collect();
    for process in &dead {
        say!("not running: {} (pid {})", process.name, process.pid);
    }
    Ok(check::print(&check::all(&demo)) && dead.is_empty())
}

fn down() -> Result<bool> {
    if !Demo::exists() {
        say!("no demo is running");
        return Ok(true);
    }
    let clean = Demo::load_or_remains().down();
    say!("{}", if clean { "taken down: nothing is left behind" } else { "NOT taken down cleanly" });
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
            complain!("interrupted: taking the demo down");
            Demo::load_or_remains().down();
            std::process::exit(130);
        }
    });
    Ok(())
}
