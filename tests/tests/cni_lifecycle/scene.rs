// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node with the daemon, and what can be seen of it from outside.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fabric_tests::node::NodeConfig;
use fabric_tests::peer::routed::Routed;
use fabric_tests::workload::{Answer, Attachment, Runtime};
use fabric_tests::{Netns, eventually};
use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// Addresses of the node itself.
pub(crate) const NODE_V4: &str = "10.255.0.1";
pub(crate) const NODE_V6: &str = "fd00:255::1";
/// A block of each family.
pub(crate) const DUAL: [&str; 2] = ["10.64.1.0/26", "fd00:64:1::/122"];

/// CNI error codes.
pub(crate) const TRY_AGAIN: u64 = 11;
pub(crate) const UNKNOWN_CONTAINER: u64 = 3;
pub(crate) const CHECK_FAILED: u64 = 100;

/// A node without uplinks and peers.
pub(crate) struct Scene {
    pub(crate) netns: Netns,
    pub(crate) node: Routed,
    pub(crate) runtime: Runtime,
}

impl Scene {
    /// With the daemon running and ready.
    pub(crate) fn new(label: &str, blocks: &[&str]) -> Result<Self> {
        Self::with(label, blocks, None)
    }

    /// The same with these pools instead of the usual ones.
    pub(crate) fn with(label: &str, blocks: &[&str], pools: Option<&str>) -> Result<Self> {
        let netns = Netns::new(label)?;
        netns.run(&format!("ip address add {NODE_V4}/32 dev lo"))?;
        netns.run(&format!("ip address add {NODE_V6}/128 dev lo"))?;
        let node = Routed::new(&netns)?;
        let mut wanted = NodeConfig::new(label, 4_200_000_111);
        wanted.addresses = Some((NODE_V4.to_owned(), NODE_V6.to_owned()));
        wanted.blocks = blocks.iter().map(|block| (*block).to_owned()).collect();
        wanted.write(&node)?;
        if let Some(pools) = pools {
            node.configure("fabric/pools.yaml", pools)?;
        }
        let runtime = Runtime::new(&netns, &node.cni_socket())?;
        let mut scene = Self { netns, node, runtime };
        scene.start()?;
        Ok(scene)
    }

    /// Starts the daemon and waits until it is in sync.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.node.start()?;
        self.wait_in_sync()
    }

    pub(crate) fn wait_in_sync(&self) -> Result<()> {
        eventually(PATIENCE, "the node is in sync", || {
            let status = self.node.json(&["status"])?;
            ensure!(status["ready"] == true && status["kernel"]["inSync"] == true, "{status}");
            ensure!(status["workloads"]["pending"] == 0, "{status}");
            Ok(())
        })
    }

    /// `routed workloads -o json`.
    pub(crate) fn workloads(&self) -> Result<Vec<Value>> {
        items(self.node.json(&["workloads"])?)
    }

    /// One of them, by container id.
    pub(crate) fn workload(&self, container: &str) -> Result<Value> {
        let found = self.workloads()?.into_iter().find(|w| w["containerId"] == container);
        found.with_context(|| format!("no workload {container}"))
    }

    /// The files that stand for workloads.
    pub(crate) fn records(&self) -> Result<BTreeSet<String>> {
        let dir = self.node.run_dir().join("workloads");
        let entries = fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))?;
        Ok(entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
    }

    /// What of the node's kernel belongs to workloads and their network: links, routes, neighbours, nftables.
    pub(crate) fn footprint(&self) -> Result<Footprint> {
        let links = self.netns.run("ip -j link show type veth")?;
        let links: Vec<Value> = serde_json::from_str(or_empty(&links)).context("JSON of ip")?;
        let names = links.iter().filter_map(|link| link["ifname"].as_str().map(str::to_owned));
        let mut routes = String::new();
        for family in ["-4", "-6"] {
            for protocol in ["82", "83"] {
                let line = format!("ip {family} route show table all proto {protocol}");
                routes.push_str(&self.netns.run(&line)?);
            }
        }
        Ok(Footprint {
            links: names.collect(),
            routes: sorted(&routes),
            neighbours: sorted(&self.netns.run("ip neighbour show nud permanent")?),
            rules: self.netns.run("nft -s list table inet routed")?,
        })
    }
}

/// See [`Scene::footprint`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    pub(crate) links: BTreeSet<String>,
    pub(crate) routes: Vec<String>,
    pub(crate) neighbours: Vec<String>,
    pub(crate) rules: String,
}

impl Footprint {
    /// Fails with the lines that are only in one of them.
    pub(crate) fn ensure_same(&self, before: &Self) -> Result<()> {
        let lines = |footprint: &Self| {
            let rules = footprint.rules.lines().map(|line| line.trim().to_owned());
            let parts = [&footprint.routes, &footprint.neighbours];
            let others = parts.into_iter().flatten().chain(&footprint.links).cloned();
            rules.chain(others).collect::<BTreeSet<String>>()
        };
        let (old, new) = (lines(before), lines(self));
        let added: Vec<_> = new.difference(&old).collect();
        let removed: Vec<_> = old.difference(&new).collect();
        ensure!(self == before, "added: {added:#?}, removed: {removed:#?}");
        Ok(())
    }
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

/// `ip -j` prints nothing at all where there is nothing.
fn or_empty(text: &str) -> &str {
    if text.trim().is_empty() { "[]" } else { text }
}

/// The items of a list.
pub(crate) fn items(list: Value) -> Result<Vec<Value>> {
    match list {
        Value::Object(mut list) => match list.remove("items") {
            Some(Value::Array(items)) => Ok(items),
            other => bail!("no items: {other:?}"),
        },
        other => bail!("no list: {other}"),
    }
}

/// A container: a namespace and an id.
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) netns: Netns,
}

impl Container {
    pub(crate) fn new(id: &str) -> Result<Self> {
        Ok(Self { id: id.to_owned(), netns: Netns::new("c")? })
    }

    pub(crate) fn attachment(&self) -> Attachment<'_> {
        Attachment::new(&self.id, &self.netns)
    }

    /// A new one that is attached, and the answer.
    pub(crate) fn attached(scene: &Scene, id: &str) -> Result<(Self, Answer)> {
        let container = Self::new(id)?;
        let added = scene.runtime.add(container.attachment(), &[])?.success()?;
        Ok((container, added))
    }

    /// DEL answers once nothing works any more; the link itself goes a moment later.
    pub(crate) fn wait_bare(&self) -> Result<()> {
        eventually(PATIENCE, "the container has no interface", || {
            let found = self.netns.run("ip -br link show type veth")?;
            ensure!(found.is_empty(), "{} has {found}", self.id);
            Ok(())
        })
    }

    /// The global addresses of its interface.
    pub(crate) fn addresses(&self) -> Result<Vec<IpAddr>> {
        let text = self.netns.run("ip -j address show dev eth0 scope global")?;
        let links: Vec<Value> = serde_json::from_str(or_empty(&text)).context("JSON of ip")?;
        let infos = links.iter().filter_map(|link| link["addr_info"].as_array()).flatten();
        infos.filter_map(|i| i["local"].as_str()).map(|a| a.parse().context("parsing")).collect()
    }
}

/// A refusal with this code, whose message contains all of these words.
pub(crate) fn expect_refusal(answer: &Answer, code: u64, words: &[&str]) -> Result<()> {
    ensure!(answer.code() == Some(code), "not code {code}: {answer:?}");
    let msg = format!("{} {}", answer.body["msg"], answer.body["details"]);
    for word in words {
        ensure!(msg.contains(word), "no {word:?} in {msg}");
    }
    Ok(())
}

/// A server that says who came: the address its kernel saw as the source of a connection.
pub(crate) struct Doorman {
    listener: TcpListener,
    port: u16,
}

impl Doorman {
    pub(crate) fn new(netns: &Netns) -> Result<Self> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let listener = netns.enter(|| TcpListener::bind(any))?.context("listening")?;
        listener.set_nonblocking(true).context("setting a mode")?;
        let port = listener.local_addr().context("asking for the port")?.port();
        Ok(Self { listener, port })
    }

    /// Connects from a namespace to one of the server's addresses; gives the source as the server sees it.
    pub(crate) fn visit(&self, from: &Netns, to: IpAddr) -> Result<IpAddr> {
        let target = SocketAddr::new(to, self.port);
        let visitor = from.enter(|| TcpStream::connect_timeout(&target, PATIENCE))?;
        let visitor = visitor.with_context(|| format!("{} to {target}", from.name()))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.listener.accept() {
                Ok((mut stream, source)) => {
                    drop(visitor);
                    stream.set_nonblocking(false).context("setting a mode")?;
                    // To its end, so that the port is free of it.
                    let _closed = stream.read(&mut [0]);
                    return Ok(source.ip().to_canonical());
                }
                Err(error) if Instant::now() >= deadline => bail!("nobody came: {error}"),
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}
