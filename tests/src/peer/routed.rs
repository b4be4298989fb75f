// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon under test: the real binary, unprivileged, with directories of its own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::diag::{self, Diagnose};
use crate::netns::Netns;
use crate::process::{Process, output};
use crate::wait::eventually;

/// The daemon's user: `nobody`.
const UID: u32 = 65534;
/// All that it may do beside what every user may.
const CAPABILITIES: &str = "+net_admin,+net_bind_service";
/// Exit code of the command line when the daemon is not reachable.
const UNREACHABLE: i32 = 3;

/// A node daemon and its directories.
pub struct Routed {
    node: Rc<Node>,
    process: Option<Process>,
    bfd: Option<Process>,
}

struct Node {
    netns: Netns,
    program: PathBuf,
    base: PathBuf,
}

impl Routed {
    /// Prepares empty directories; uses the binary named by `ROUTED_BIN`, or the one beside the
    /// test executable.
    ///
    /// # Errors
    /// If there is no binary; the error says how to build it.
    pub fn new(netns: &Netns) -> Result<Self> {
        let program = find_program("ROUTED_BIN", "routed", "routed")?;
        let base = netns.dir().join("routed");
        for dir in ["config", "run", "state"] {
            fs::create_dir_all(base.join(dir)).with_context(|| format!("creating {dir}"))?;
        }
        for dir in ["run", "state"] {
            chown(base.join(dir), Some(UID), Some(UID)).with_context(|| format!("chown {dir}"))?;
        }
        let node = Rc::new(Node { netns: netns.clone(), program, base });
        diag::register(&node);
        Ok(Self { node, process: None, bfd: None })
    }

    /// The configuration tree.
    pub fn config_dir(&self) -> PathBuf {
        self.node.base.join("config")
    }

    /// Sockets and workload records.
    pub fn run_dir(&self) -> PathBuf {
        self.node.base.join("run")
    }

    /// What outlives a reboot.
    pub fn state_dir(&self) -> PathBuf {
        self.node.base.join("state")
    }

    /// The socket of the CNI plugin.
    pub fn cni_socket(&self) -> PathBuf {
        self.run_dir().join("cni.sock")
    }

    /// Writes a file of the configuration tree, at once as far as a reader can see.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn configure(&self, file: &str, text: &str) -> Result<()> {
        let path = self.config_dir().join(file);
        let parent = path.parent().context("a file has a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
        // Outside the directory, where a watcher would see it.
        let draft = self.node.base.join("draft");
        fs::write(&draft, text).with_context(|| format!("writing {}", draft.display()))?;
        fs::rename(&draft, &path).with_context(|| format!("renaming to {}", path.display()))
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Errors
    /// If it ends or does not answer within ten seconds.
    pub fn start(&mut self) -> Result<()> {
        let node = &self.node;
        let mut command = node.unprivileged(CAPABILITIES);
        command
            .arg("run")
            .arg("--config")
            .arg(self.config_dir())
            .arg("--run-dir")
            .arg(self.run_dir())
            .arg("--state-dir")
            .arg(self.state_dir());
        let log = node.base.join("routed.log");
        let name = format!("routed in {}", node.netns.name());
        let process = self.process.insert(Process::spawn(&name, &mut command, &log)?);
        eventually(Duration::from_secs(10), "routed answers", || {
            ensure!(process.is_running(), "routed ended: {}", process.log_tail());
            let answer = node.cli(&["-o", "json", "status"])?;
            ensure!(answer.status.code() != Some(UNREACHABLE), "not reachable");
            Ok(())
        })
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// If it does not end within ten seconds.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the BFD process, which has no capability at all, and waits for its socket.
    ///
    /// # Errors
    /// If it ends or does not listen within ten seconds.
    pub fn start_bfd(&mut self) -> Result<()> {
        let node = &self.node;
        let mut command = node.unprivileged("");
        command.arg("bfd").arg("--run-dir").arg(self.run_dir());
        let log = node.base.join("bfd.log");
        let name = format!("routed bfd in {}", node.netns.name());
        let socket = self.run_dir().join("bfd.sock");
        let _absent = fs::remove_file(&socket);
        let process = self.bfd.insert(Process::spawn(&name, &mut command, &log)?);
        eventually(Duration::from_secs(10), "the BFD process listens", || {
            ensure!(process.is_running(), "routed bfd ended: {}", process.log_tail());
            ensure!(socket.exists(), "no {}", socket.display());
            Ok(())
        })
    }

    /// Ends the BFD process with SIGTERM.
    ///
    /// # Errors
    /// If it does not end within ten seconds.
    pub fn stop_bfd(&mut self) -> Result<()> {
        if let Some(mut process) = self.bfd.take() {
            process.stop(Duration::from_secs(10))?;
        }
        Ok(())
    }

    /// Ends the BFD process with SIGKILL.
    pub fn kill_bfd(&mut self) {
        self.bfd = None;
    }

    /// The process id while it was started and not ended by us.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Runs the command line against this daemon, as root.
    ///
    /// # Errors
    /// If it cannot be run; an exit code is part of the output.
    pub fn cli(&self, arguments: &[&str]) -> Result<Output> {
        self.node.cli(arguments)
    }

    /// Asks with `-o json` and returns the answer.
    ///
    /// # Errors
    /// If the command fails or prints no JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.node.cli(&[&["-o", "json"], arguments].concat())?;
        let problem = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}: {problem}", output.status);
        serde_json::from_slice(&output.stdout).with_context(|| format!("JSON of {arguments:?}"))
    }

    /// Everything it logged since the first start.
    ///
    /// # Errors
    /// If there is no log yet.
    pub fn log(&self) -> Result<String> {
        let log = self.node.base.join("routed.log");
        fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))
    }
}

impl Node {
    /// The program as an ordinary user with these capabilities (`+a,+b`) and no other.
    fn unprivileged(&self, capabilities: &str) -> Command {
        let capabilities = ["-all", capabilities].join(",");
        let capabilities = capabilities.trim_end_matches(',');
        let mut command = self.netns.command("setpriv");
        command
            .arg(format!("--reuid={UID}"))
            .arg(format!("--regid={UID}"))
            .args(["--clear-groups", "--no-new-privs", "--pdeathsig=KILL"])
            .arg(format!("--inh-caps={capabilities}"))
            .arg(format!("--ambient-caps={capabilities}"))
            .arg(format!("--bounding-set={capabilities}"))
            .arg("--")
            .arg(&self.program);
        command
    }

    fn cli(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = self.netns.command(&self.program);
        command.arg("--socket").arg(self.base.join("run/routed.sock")).args(arguments);
        output(&mut command)
    }
}

impl Diagnose for Node {
    fn diagnose(&self) -> String {
        let mut text = format!("routed in {}:", self.netns.name());
        for question in [
            &["status"][..],
            &["bgp", "peers"],
            &["bgp", "routes"],
            &["routes"],
            &["workloads"],
            &["policy", "list"],
        ] {
            let answer = match self.cli(question) {
                Ok(output) => {
                    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
                }
                Err(error) => format!("{error:#}"),
            };
            text.push_str(&format!("\n$ routed {}\n{}", question.join(" "), answer.trim_end()));
        }
        text
    }
}

/// A program under test: from an environment variable, or beside the test executable.
pub fn find_program(variable: &str, name: &str, package: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "{variable} names {}, which is no file", path.display());
        return path.canonicalize().with_context(|| format!("resolving {}", path.display()));
    }
    let executable = std::env::current_exe().context("finding the test executable")?;
    // target/debug/deps/test-123 and target/debug/routed
    let candidates = executable.ancestors().skip(1).take(2).map(|dir| dir.join(name));
    match candidates.into_iter().find(|path| Path::is_file(path)) {
        Some(path) => Ok(path),
        None => bail!("no {name}: build it with `cargo build -p {package}` or set {variable}"),
    }
}
