// SPDX-License-Identifier: MIT OR Apache-2.0
//! Workloads of the demo: namespaces that the real CNI plugin attaches over the real CNI protocol, and traffic from
//! inside them.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::node::NodeDirs;
use super::plan::Workload;
use super::system::{self, NETNS_DIR};

/// Calls the CNI plugin as a runtime does: environment, configuration on standard input, JSON on standard output.
fn call_plugin(
    verb: &str,
    w: &Workload,
    dirs: &NodeDirs,
    plugin: &Path,
) -> Result<serde_json::Value> {
    let config = serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "demo",
        "type": "routed-cni",
        "socket": dirs.cni_socket(),
        "args": { "cni": {
            "labels": [ { "key": "app", "value": w.app } ],
            "ips": [ format!("{}/32", w.v4), format!("{}/128", w.v6) ],
        } },
    });
    let mut child = system::command(&plugin.to_string_lossy())
        .env_clear()
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", &w.name)
        .env("CNI_NETNS", format!("{NETNS_DIR}/{}", w.netns()))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", plugin.parent().unwrap_or_else(|| Path::new("/")))
        .env("CNI_ARGS", format!("IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME={}", w.name))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {}", plugin.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(config.to_string().as_bytes()).context("writing the CNI configuration")?;
    }
    let output = child.wait_with_output().context("waiting for the CNI plugin")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("CNI {verb} of {}: {}", w.name, text.trim());
    }
    if text.trim().is_empty() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::from_str(&text).with_context(|| format!("CNI {verb} of {} answered {text}", w.name))
}

/// CNI ADD; checks that the answer carries the addresses of the plan.
pub(super) fn attach(w: &Workload, dirs: &NodeDirs, plugin: &Path) -> Result<()> {
    let answer = call_plugin("ADD", w, dirs, plugin)?;
    for address in [format!("{}/32", w.v4), format!("{}/128", w.v6)] {
        let has = answer["ips"]
            .as_array()
            .is_some_and(|ips| ips.iter().any(|ip| ip["address"] == address.as_str()));
        if !has {
            bail!("CNI ADD of {} did not give {address}: {answer}", w.name);
        }
    }
    Ok(())
}

/// CNI DEL.
pub(super) fn detach(w: &Workload, dirs: &NodeDirs, plugin: &Path) -> Result<()> {
    call_plugin("DEL", w, dirs, plugin).map(|_| ())
}

/// One echo from inside a namespace; the round-trip time in milliseconds, or nothing.
pub(super) fn ping(netns: &str, to: IpAddr) -> Option<f64> {
    let mut command = system::inside(netns, "ping");
    command.args(["-n", "-c", "1", "-W", "1"]).arg(to.to_string());
    let text = system::run(&mut command).ok()?;
    let rest = text.split_once("time=")?.1;
    rest.split_whitespace().next()?.parse().ok()
}

/// Runs a closure on a thread inside a namespace.
fn inside_thread<T: Send>(netns: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = format!("{NETNS_DIR}/{netns}");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            let file = std::fs::File::open(&path).with_context(|| format!("opening {path}"))?;
            rustix::thread::move_into_link_name_space(
                std::os::fd::AsFd::as_fd(&file),
                Some(rustix::thread::LinkNameSpaceType::Network),
            )
            .with_context(|| format!("entering {path}"))?;
            work()
        });
        thread.join().unwrap_or_else(|_| bail!("a thread in {netns} panicked"))
    })
}

/// Can a TCP connection be made from one workload to a port of another? Listens there meanwhile.
pub(super) fn connects(from: &str, to_netns: &str, to: SocketAddr) -> Result<bool> {
    let listener = inside_thread(to_netns, || TcpListener::bind(to).context("listening"))?;
    let connected = inside_thread(from, || {
        Ok(TcpStream::connect_timeout(&to, Duration::from_millis(700)).is_ok())
    })?;
    drop(listener);
    Ok(connected)
}
