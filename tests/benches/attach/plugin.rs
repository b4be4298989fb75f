// SPDX-License-Identifier: MIT OR Apache-2.0
//! One execution of a CNI plugin, by the clock.
//!
//! The plugin is started from a thread that is inside the node's namespace, as a runtime is: no
//! shell, no `nsenter` and no wrapper is between, and none of them is in the figures.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use fabric_tests::{Netns, command};
use serde_json::Value;

use crate::crowd::Container;

/// What a plugin is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Del,
    Version,
}

/// A plugin with its configuration, on a node.
pub(crate) struct Plugin {
    node: Netns,
    program: PathBuf,
    config: String,
    /// Addresses that an ADD answers.
    addresses: usize,
}

impl Plugin {
    pub(crate) fn new(node: &Netns, program: &Path, config: &Value, addresses: usize) -> Self {
        let (node, program) = (node.clone(), program.to_owned());
        Self { node, program, config: config.to_string(), addresses }
    }

    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    pub(crate) fn node(&self) -> &Netns {
        &self.node
    }

    /// From before the plugin is started until it has ended and its answer is read.
    pub(crate) fn run(&self, verb: Verb, container: &Container) -> Result<Duration> {
        self.run_all(verb, std::slice::from_ref(container))
    }

    /// Starts the plugin once per container without waiting in between, then waits for all.
    pub(crate) fn run_all(&self, verb: Verb, containers: &[Container]) -> Result<Duration> {
        let mut commands: Vec<Command> =
            containers.iter().map(|container| self.command(verb, container)).collect();
        let config = self.config.as_bytes();
        let (elapsed, outputs) = self.node.enter(move || {
            let begun = Instant::now();
            let children: Vec<Child> =
                commands.iter_mut().map(|command| start(command, config)).collect::<Result<_>>()?;
            let outputs: Vec<_> =
                children.into_iter().map(Child::wait_with_output).collect::<Result<_, _>>()?;
            anyhow::Ok((begun.elapsed(), outputs))
        })??;
        outputs.iter().try_for_each(|output| self.judge(verb, output))?;
        Ok(elapsed)
    }

    /// Keeps so many executions going until each container had its turn.
    pub(crate) fn run_streams(
        &self,
        verb: Verb,
        containers: &[Container],
        streams: usize,
    ) -> Result<Duration> {
        let mut commands: Vec<Command> =
            containers.iter().map(|container| self.command(verb, container)).collect();
        let config = self.config.as_bytes();
        let share = commands.len().div_ceil(streams);
        let one_by_one = |commands: &mut [Command]| -> Result<Vec<Output>> {
            let outputs = commands
                .iter_mut()
                .map(|command| start(command, config)?.wait_with_output().context("waiting"));
            outputs.collect()
        };
        let (elapsed, outputs) = self.node.enter(move || {
            let begun = Instant::now();
            let outputs = thread::scope(|scope| {
                let streams: Vec<_> = commands
                    .chunks_mut(share)
                    .map(|share| scope.spawn(move || one_by_one(share)))
                    .collect();
                let ends = streams
                    .into_iter()
                    .map(|stream| stream.join().map_err(|_| anyhow!("a stream panicked"))?);
                ends.collect::<Result<Vec<_>>>()
            })?;
            anyhow::Ok((begun.elapsed(), outputs))
        })??;
        outputs.iter().flatten().try_for_each(|output| self.judge(verb, output))?;
        Ok(elapsed)
    }

    /// Whether the plugin did what it was asked for.
    fn judge(&self, verb: Verb, output: &Output) -> Result<()> {
        let text = String::from_utf8_lossy(&output.stdout);
        let problem = String::from_utf8_lossy(&output.stderr);
        let program = self.program.display();
        ensure!(output.status.success(), "{program} {verb:?}: {text} {problem}");
        if verb == Verb::Add {
            let answer: Value = serde_json::from_str(&text).context("the answer of ADD")?;
            let addresses = answer["ips"].as_array().map_or(0, Vec::len);
            ensure!(addresses == self.addresses, "{program} answered {answer}");
        }
        Ok(())
    }

    fn command(&self, verb: Verb, container: &Container) -> Command {
        let mut command = command(&self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("CNI_COMMAND", verb.name())
            .env("CNI_CONTAINERID", &container.id)
            .env("CNI_NETNS", &container.netns)
            .env("CNI_IFNAME", "eth0")
            .env("CNI_PATH", self.program.parent().unwrap_or_else(|| Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Del => "DEL",
            Self::Version => "VERSION",
        }
    }
}

fn start(command: &mut Command, config: &[u8]) -> Result<Child> {
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let mut stdin = child.stdin.take().context("the plugin has no standard input")?;
    // A plugin that does not read its input says so by its answer.
    let _unread = stdin.write_all(config);
    Ok(child)
}
