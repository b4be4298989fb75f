// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hands of the demo: namespaces, cables, and processes that it starts and ends. Nothing else of the binary starts
//! processes but this folder and the command line.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::plan::{Cable, Plan, Port};

/// Where named namespaces live.
pub(super) const NETNS_DIR: &str = "/run/netns";

/// A process of the demo: its pid and the kernel's start time, so that a reused pid is never mistaken for ours.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) pid: i32,
    pub(super) start_time: u64,
}

impl Process {
    /// Is this very process still running (a zombie is not)?
    pub(super) fn is_alive(&self) -> bool {
        stat_of(self.pid).is_some_and(|(state, start)| start == self.start_time && state != 'Z')
    }

    /// Sends SIGTERM, waits up to three seconds, then SIGKILL.
    pub(super) fn end(&self) {
        for (signal, patience) in [
            (rustix::process::Signal::TERM, Duration::from_secs(3)),
            (rustix::process::Signal::KILL, Duration::from_secs(3)),
        ] {
            if !self.is_alive() {
                break;
            }
            self.signal(signal);
            let deadline = Instant::now() + patience;
            while self.is_alive() && Instant::now() < deadline {
                reap(self.pid);
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        reap(self.pid);
    }

    pub(super) fn signal(&self, signal: rustix::process::Signal) {
        if let Some(pid) = rustix::process::Pid::from_raw(self.pid) {
            // It may have ended meanwhile: then there is nothing left to signal.
            let _ended = rustix::process::kill_process(pid, signal);
        }
    }
}

/// Collects the exit status if the process is our child; otherwise nothing happens.
fn reap(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _not_ours = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::NOHANG);
    }
}

/// State letter and start time (clock ticks since boot) from /proc/PID/stat.
fn stat_of(pid: i32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = text.rsplit_once(')')?.1;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

/// A command that runs inside a namespace.
#[expect(
    clippy::disallowed_methods,
    reason = "the demo is one of the places that may start processes"
)]
pub(super) fn inside(netns: &str, program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={NETNS_DIR}/{netns}")).arg("--").arg(program);
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo is one of the places that may start processes"
)]
pub(super) fn command(program: &str) -> Command {
    Command::new(program)
}

/// Runs to the end and returns standard output; an error names the command and what it said.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}").replace('"', "");
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("starting {shown}"))?;
    if !output.status.success() {
        bail!("{shown}: {} {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs `ip` with a batch of lines on standard input, in a namespace or outside.
pub(super) fn ip_batch(netns: Option<&str>, lines: &str) -> Result<()> {
    let mut command = match netns {
        Some(netns) => inside(netns, "ip"),
        None => self::command("ip"),
    };
    let mut child = command
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting ip -batch (Debian package iproute2)")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes()).context("writing to ip -batch")?;
    }
    let output = child.wait_with_output().context("waiting for ip -batch")?;
    if !output.status.success() {
        bail!("ip -batch: {}\n{lines}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Starts a long-running process in its own session with its output in `log`.
pub(super) fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Process> {
    let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let err = out.try_clone().context("sharing the log file")?;
    let child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .with_context(|| format!("starting {name}"))?;
    let pid = i32::try_from(child.id()).context("pid out of range")?;
    let (_, start_time) =
        stat_of(pid).with_context(|| format!("{name} (pid {pid}) ended at once"))?;
    Ok(Process { name: name.to_owned(), pid, start_time })
}

/// Creates all namespaces, loopback addresses and cables.
pub(super) fn build(plan: &Plan) -> Result<()> {
    let add: String = plan.namespaces().iter().map(|n| format!("netns add {n}\n")).collect();
    ip_batch(None, &add)?;
    for cable in &plan.cables {
        lay(cable)?;
    }
    for router in plan.routers() {
        let mut lines = format!(
            "link set lo up\naddr add {}/32 dev lo\naddr add {}/128 dev lo\n",
            router.loopback_v4, router.loopback_v6
        );
        for neighbour in &router.neighbours {
            lines.push_str(&port_lines(&neighbour.local));
        }
        ip_batch(Some(&router.netns()), &lines)?;
    }
    for tor in &plan.tors {
        forward(&tor.netns())?;
    }
    Ok(())
}

fn lay(cable: &Cable) -> Result<()> {
    let (a, b) = (&cable.a, &cable.b);
    let ns = |name: &str| format!("{}{name}", super::plan::PREFIX);
    ip_batch(
        None,
        &format!(
            "link add {} netns {} type veth peer name {} netns {}\n",
            a.1.name,
            ns(&a.0),
            b.1.name,
            ns(&b.0)
        ),
    )
}

fn port_lines(port: &Port) -> String {
    let name = &port.name;
    format!(
        "addr add {}/31 dev {name}\naddr add {}/127 dev {name} nodad\nlink set {name} up\n",
        port.v4, port.v6
    )
}

/// ToRs forward both families and hash flows over equal paths. Nodes do this themselves. A link that was set down and up
/// again has its IPv6 addresses back, as a switch with a configuration file would: without, FRR sends the session's IPv4
/// address as IPv6 next hop.
fn forward(netns: &str) -> Result<()> {
    let switches = [
        "net.ipv4.ip_forward=1",
        "net.ipv6.conf.all.forwarding=1",
        "net.ipv4.fib_multipath_hash_policy=1",
        "net.ipv6.fib_multipath_hash_policy=1",
        "net.ipv6.conf.all.keep_addr_on_down=1",
    ];
    run(inside(netns, "sysctl").arg("-qw").args(switches)).map(|_| ())
}

/// Names of existing namespaces of the demo.
pub(super) fn existing_namespaces() -> Vec<String> {
    let Ok(entries) = fs::read_dir(NETNS_DIR) else { return Vec::new() };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|n| n.starts_with(super::plan::PREFIX)).collect();
    names.sort();
    names
}

/// The processes that live in a namespace.
pub(super) fn processes_in(netns: &str) -> Result<Vec<Process>> {
    let listed = run(command("ip").args(["netns", "pids", netns]))?;
    let found = listed.split_whitespace().filter_map(|word| {
        let pid = word.parse().ok()?;
        let (_, start_time) = stat_of(pid)?;
        Some(Process { name: format!("process in {netns}"), pid, start_time })
    });
    Ok(found.collect())
}

/// Deletes the namespaces; goes on after an error and returns all of them.
pub(super) fn delete_namespaces(names: &[String]) -> Vec<anyhow::Error> {
    names.iter().filter_map(|n| run(command("ip").args(["netns", "del", n])).err()).collect()
}

/// Waits for a condition; `None` when the deadline passed.
pub(super) fn wait_for<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
