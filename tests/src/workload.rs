// SPDX-License-Identifier: MIT OR Apache-2.0
//! Attaches namespaces through the real CNI plugin binary, as a container runtime does.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::netns::Netns;
use crate::peer::find_program;

/// A container runtime on one node: knows the plugin and the network configuration.
#[derive(Clone, Debug)]
pub struct Runtime {
    node: Netns,
    plugin: PathBuf,
    config: Value,
    arguments: Option<String>,
    omits_netns: bool,
}

/// One execution of the plugin that may still run.
#[derive(Debug)]
pub struct Execution {
    child: Child,
    start: Instant,
}

/// What the plugin said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Exit code of the process.
    pub exit: i32,
    /// Standard output as JSON, null if empty.
    pub body: Value,
    /// Standard error.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
}

/// What is attached: container id, interface name, and the namespace if there still is one.
#[derive(Clone, Copy, Debug)]
pub struct Attachment<'a> {
    /// `CNI_CONTAINERID`
    pub id: &'a str,
    /// `CNI_IFNAME`
    pub interface: &'a str,
    /// `CNI_NETNS`, empty without one.
    pub netns: Option<&'a Netns>,
}

impl<'a> Attachment<'a> {
    /// A container whose interface is `eth0`.
    pub fn new(id: &'a str, netns: &'a Netns) -> Self {
        Self { id, interface: "eth0", netns: Some(netns) }
    }
}

impl Runtime {
    /// Uses the plugin named by `ROUTED_CNI_BIN`, or the one beside the test executable.
    ///
    /// # Errors
    /// If there is no plugin; the error says how to build it.
    pub fn new(node: &Netns, socket: &Path) -> Result<Self> {
        let plugin = find_program("ROUTED_CNI_BIN", "routed-cni", "cni-plugin")?;
        let config = json!({
            "cniVersion": "1.0.0",
            "name": "fabric",
            "type": "routed",
            "socket": socket,
        });
        Ok(Self { node: node.clone(), plugin, config, arguments: None, omits_netns: false })
    }

    /// The same with a field of the network configuration set.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.config[field] = value;
        self
    }

    /// The same with these `CNI_ARGS`.
    #[must_use]
    pub fn with_arguments(mut self, arguments: &str) -> Self {
        self.arguments = Some(arguments.to_owned());
        self
    }

    /// The same for pods of a namespace, as Kubernetes names it in `CNI_ARGS`.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        self.with_arguments(&format!("K8S_POD_NAMESPACE={namespace}"))
    }

    /// The same without the variable `CNI_NETNS` where there is no namespace; else it is empty.
    #[must_use]
    pub fn omitting_netns(mut self) -> Self {
        self.omits_netns = true;
        self
    }

    /// The network configuration.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// ADD with labels.
    ///
    /// # Errors
    /// If the plugin cannot be run; a refusal is an [`Answer`].
    pub fn add(&self, attachment: Attachment<'_>, labels: &[(&str, &str)]) -> Result<Answer> {
        self.start_add(attachment, labels)?.finish()
    }

    /// Starts an ADD without waiting for its end.
    ///
    /// # Errors
    /// If the plugin cannot be started.
    pub fn start_add(
        &self,
        attachment: Attachment<'_>,
        labels: &[(&str, &str)],
    ) -> Result<Execution> {
        let labels: Vec<Value> =
            labels.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
        let mut config = self.config.clone();
        config["args"]["cni"]["labels"] = labels.into();
        self.start("ADD", attachment, &config)
    }

    /// DEL.
    ///
    /// # Errors
    /// If the plugin cannot be run; a refusal is an [`Answer`].
    pub fn del(&self, attachment: Attachment<'_>) -> Result<Answer> {
        self.start("DEL", attachment, &self.config)?.finish()
    }

    /// CHECK of what ADD answered.
    ///
    /// # Errors
    /// If the plugin cannot be run; a refusal is an [`Answer`].
    pub fn check(&self, attachment: Attachment<'_>, added: &Answer) -> Result<Answer> {
        let mut config = self.config.clone();
        config["prevResult"] = added.body.clone();
        self.start("CHECK", attachment, &config)?.finish()
    }

    /// Starts any command with any configuration.
    ///
    /// # Errors
    /// If the plugin cannot be started.
    pub fn start(
        &self,
        command: &str,
        attachment: Attachment<'_>,
        config: &Value,
    ) -> Result<Execution> {
        let netns = match attachment.netns {
            None if self.omits_netns => None,
            netns => Some(netns.map(Netns::path).unwrap_or_default()),
        };
        let start = Instant::now();
        let mut child = self
            .node
            .command(&self.plugin)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("CNI_COMMAND", command)
            .env("CNI_CONTAINERID", attachment.id)
            .envs(netns.map(|netns| ("CNI_NETNS", netns)))
            .env("CNI_IFNAME", attachment.interface)
            .envs(self.arguments.iter().map(|arguments| ("CNI_ARGS", arguments)))
            .env("CNI_PATH", self.plugin.parent().unwrap_or_else(|| Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", self.plugin.display()))?;
        let mut stdin = child.stdin.take().context("the plugin has no standard input")?;
        // A plugin that does not read its input says so by its answer.
        let _unread = stdin.write_all(config.to_string().as_bytes());
        Ok(Execution { child, start })
    }
}

impl Execution {
    /// Waits for the end.
    ///
    /// # Errors
    /// If the plugin printed something else than JSON or was killed.
    pub fn finish(self) -> Result<Answer> {
        let output = self.child.wait_with_output().context("waiting for the plugin")?;
        let elapsed = self.start.elapsed();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let exit = output.status.code().with_context(|| format!("{}: {stderr}", output.status))?;
        let body = match output.stdout.trim_ascii() {
            [] => Value::Null,
            text => serde_json::from_slice(text).with_context(|| {
                format!("the plugin printed {:?}", String::from_utf8_lossy(text))
            })?,
        };
        Ok(Answer { exit, body, stderr, elapsed })
    }
}

impl Answer {
    /// The answer itself if the command succeeded.
    ///
    /// # Errors
    /// The refusal, as text.
    pub fn success(self) -> Result<Self> {
        if self.exit != 0 {
            bail!("the plugin refused: {} {}", self.body, self.stderr.trim());
        }
        Ok(self)
    }

    /// The CNI error code of a refusal.
    pub fn code(&self) -> Option<u64> {
        self.body.get("code")?.as_u64().filter(|_| self.exit != 0)
    }

    /// The addresses of the container, in the order of the result.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let ips = self.body["ips"].as_array().map(Vec::as_slice).unwrap_or_default();
        let texts = ips.iter().filter_map(|ip| ip["address"].as_str());
        texts.filter_map(|text| text.split('/').next()?.parse().ok()).collect()
    }
}
