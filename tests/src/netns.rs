// SPDX-License-Identifier: MIT OR Apache-2.0
//! Network namespaces that vanish with their handle.
//!
//! Names are `rtd-t-<pid>-<n>-<label>`, so that two test processes never meet and a crashed one is
//! recognised: its namespaces are removed by the next process that creates one.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tempfile::TempDir;

use crate::diag::{self, Diagnose};
use crate::process::{command, run};

const DIRECTORY: &str = "/run/netns";
const PREFIX: &str = "rtd-t-";

static COUNT: AtomicU32 = AtomicU32::new(0);
static SWEEP: Once = Once::new();

/// A network namespace; clones share it, the last one removes it.
#[derive(Clone)]
pub struct Netns {
    inner: Rc<Inner>,
}

struct Inner {
    name: String,
    fd: OwnedFd,
    scratch: TempDir,
    /// Somebody else made it and will remove it.
    foreign: bool,
}

impl Netns {
    /// Creates a namespace with its loopback up.
    ///
    /// # Errors
    /// Without root or without `ip`.
    pub fn new(label: &str) -> Result<Self> {
        SWEEP.call_once(sweep);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{label}", std::process::id());
        run(command("ip").args(["netns", "add", &name]))?;
        match Self::open(&name, false) {
            Ok(netns) => {
                netns.run("ip link set lo up")?;
                Ok(netns)
            }
            Err(error) => {
                delete(&name);
                Err(error)
            }
        }
    }

    /// A namespace that somebody else made and will remove.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn existing(name: &str) -> Result<Self> {
        Self::open(name, true)
    }

    fn open(name: &str, foreign: bool) -> Result<Self> {
        let path = Path::new(DIRECTORY).join(name);
        let fd = rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| format!("opening {}", path.display()))?;
        // Peers that change their user must be able to walk through it.
        let scratch = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .tempdir()
            .context("creating a scratch directory")?;
        let inner = Rc::new(Inner { name: name.to_owned(), fd, scratch, foreign });
        diag::register(&inner);
        Ok(Self { inner })
    }

    /// Its name as `ip netns` shows it.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its path, as a runtime passes it to a CNI plugin.
    pub fn path(&self) -> PathBuf {
        self.inner.path()
    }

    /// A directory for configuration and logs that is removed with the namespace.
    pub fn dir(&self) -> &Path {
        self.inner.scratch.path()
    }

    /// A command that runs inside.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.inner.command(program)
    }

    /// Runs a command line inside, split at white space, and returns its standard output.
    ///
    /// # Errors
    /// If it cannot be started or fails.
    pub fn run(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let Some(program) = words.next() else { bail!("an empty command line") };
        run(self.command(program).args(words))
    }

    /// Writes a switch under `/proc/sys`, named with slashes or dots: `net.ipv4.ip_forward`.
    ///
    /// # Errors
    /// If there is no such switch.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        self.enter(|| fs::write(&path, value))?.with_context(|| format!("writing {path}"))
    }

    /// Runs code on a thread inside. A socket created there stays inside and may be used anywhere.
    ///
    /// # Errors
    /// If the thread cannot enter or panics.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let fd = self.fd();
        let entered = std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))?;
                Ok::<T, rustix::io::Errno>(work())
            });
            thread.join()
        });
        match entered {
            Ok(result) => result.with_context(|| format!("entering {}", self.name())),
            Err(_) => bail!("the thread in {} panicked", self.name()),
        }
    }

    /// The namespace itself.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd.as_fd()
    }
}

impl std::fmt::Debug for Netns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Inner {
    fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.name)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = command("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.foreign {
            delete(&self.name);
        }
    }
}

impl Diagnose for Inner {
    fn diagnose(&self) -> String {
        let questions: [&[&str]; 5] = [
            &["ip", "-br", "address"],
            &["ip", "route"],
            &["ip", "-6", "route"],
            &["ip", "neighbour"],
            &["nft", "list", "ruleset"],
        ];
        let mut text = format!("namespace {}", self.name);
        for question in questions {
            let answer = run(self.command(question[0]).args(&question[1..]));
            let answer = answer.unwrap_or_else(|error| format!("{error:#}"));
            text.push_str(&format!("\n$ {}\n{}", question.join(" "), answer.trim_end()));
        }
        text
    }
}

/// Removes a name; what still runs inside keeps the namespace itself alive.
fn delete(name: &str) {
    if let Err(error) = run(command("ip").args(["netns", "del", name])) {
        eprintln!("{error:#}");
    }
}

/// Removes what test processes left behind that were killed: their namespaces and the processes
/// in them.
fn sweep() {
    let Ok(entries) = fs::read_dir(DIRECTORY) else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let Some(pid) = rest.split('-').next().and_then(|pid| pid.parse::<u32>().ok()) else {
            continue;
        };
        if Path::new("/proc").join(pid.to_string()).exists() {
            continue;
        }
        let inside = run(command("ip").args(["netns", "pids", &name])).unwrap_or_default();
        for pid in inside.lines().filter_map(|line| line.trim().parse().ok()) {
            if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                let _ended = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        delete(&name);
    }
}
