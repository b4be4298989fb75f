// SPDX-License-Identifier: MIT OR Apache-2.0
//! Processes that a scenario starts, and ends.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::diag::{self, Diagnose};

/// Lines of a log that a diagnosis shows.
const TAIL: usize = 25;

/// A command in the namespace of the test itself.
#[expect(clippy::disallowed_methods, reason = "scenarios are made of real processes")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// Runs a command to its end, whatever its exit code.
///
/// # Errors
/// If it cannot be started.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("starting {command:?}"))
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// If it cannot be started or fails; the error says what it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let problem = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {} {}", output.status, problem.trim(), text.trim());
    }
    Ok(text)
}

/// A long-running process; killed when dropped, and by the kernel when the test process dies.
pub struct Process {
    child: Child,
    log: Rc<Log>,
}

struct Log {
    name: String,
    path: PathBuf,
}

impl Process {
    /// Starts a process whose output goes to a log file. To be called on the test's own thread,
    /// for the kernel kills the process when that thread ends.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let out = File::options().create(true).append(true).open(log);
        let out = out.with_context(|| format!("opening {}", log.display()))?;
        let err = out.try_clone().context("sharing the log")?;
        let child = dying_with_us(command)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let log = Rc::new(Log { name: name.to_owned(), path: log.to_owned() });
        diag::register(&log);
        Ok(Self { child, log })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Ends it with SIGTERM and waits; with SIGKILL if it has not ended by then.
    ///
    /// # Errors
    /// If it had to be killed.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().context("waiting for the end")? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        bail!("{} did not end within {patience:?} of SIGTERM", self.log.name)
    }

    /// Ends it with SIGKILL, now.
    pub fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&mut self, signal: Signal) {
        // Not waited for yet: the pid is still ours, even if the process has ended.
        if self.is_running() {
            let _ended = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.log.name, self.pid())
    }
}

impl Log {
    fn tail(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Diagnose for Log {
    fn diagnose(&self) -> String {
        format!("log of {}:\n{}", self.name, self.tail())
    }
}

/// The same command under `setpriv`, so that the kernel kills it when this thread ends.
fn dying_with_us(inner: &Command) -> Command {
    let mut outer = command("setpriv");
    outer.args(["--pdeathsig", "KILL", "--"]).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(dir) = inner.get_current_dir() {
        outer.current_dir(dir);
    }
    outer
}
