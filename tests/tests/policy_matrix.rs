// SPDX-License-Identifier: MIT OR Apache-2.0
//! The policy cases with real packets: the daemon enforces, the kernel decides, and `policy::eval` and the case itself
//! must say the same.
//!
//! Per file of `policy/tests/cases`: a node with the daemon; the local endpoints are attached by the CNI plugin, the
//! remote ones and the strangers are addresses of one namespace behind the node's uplink, the remote ones described by
//! `WorkloadEndpoint` files. Case after case comes as a policy file into the running daemon.

#[path = "../../policy/tests/support/cases.rs"]
mod cases;
#[path = "policy_matrix/shot.rs"]
mod shot;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fabric_tests::node::NodeConfig;
use fabric_tests::peer::routed::Routed;
use fabric_tests::workload::{Attachment, Runtime};
use fabric_tests::{Netns, Port, cable, eventually, require};
use policy::eval::{Packet, Place, World};
use policy::load::{Document, parse};
use policy::model::Protocol;
use policy::{
    Endpoint, EndpointKey, HostAction, Labels, LocalEndpoint, Policy, PolicyId, RemoteEndpoint,
};

use cases::{Case, CaseEndpoint, CaseFile, CasePlace, Probe, Send, read_cases};
use shot::{Kind, Shot, fire, socket_address};

const PATIENCE: Duration = Duration::from_secs(20);
/// The files that a test below drives.
const FILES: [&str; 4] = ["match.yaml", "node.yaml", "order.yaml", "selector.yaml"];
const GATEWAYS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 1, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1)),
];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../policy/tests/cases")
}

/// An endpoint in the flesh.
struct Actor {
    endpoint: CaseEndpoint,
    netns: Netns,
    addresses: [IpAddr; 2],
}

/// A node, the endpoints of a file, and the network between them.
struct Stage {
    netns: Netns,
    node: Routed,
    actors: BTreeMap<String, Actor>,
    /// Source port or echo identifier of the next packet: none is used twice, so that no packet belongs to a known
    /// connection.
    next_port: u16,
    /// Number of the policy file in force.
    number: usize,
}

impl Stage {
    fn new(file: &CaseFile) -> Result<Self> {
        let (netns, fabric) = (Netns::new("node")?, Netns::new("fabric")?);
        cable(
            &Port::new(&netns, "eth0", &["10.0.0.1/24", "fd00::1/64"]),
            &Port::new(&fabric, "eth0", &["10.0.0.2/24", "fd00::2/64"]),
        )?;
        for route in ["10.64.1.0/26 via 10.0.0.1", "fd00:64:1::/122 via fd00::1"] {
            fabric.run(&format!("ip route add {route}"))?;
        }
        let mut node = Routed::new(&netns)?;
        let mut wanted = NodeConfig::new("n1", 4_200_000_111);
        wanted.uplinks = vec!["eth0".to_owned()];
        wanted.write(&node)?;
        let mut actors = BTreeMap::new();
        let elsewhere = |endpoint: &&CaseEndpoint| endpoint.place != CasePlace::Local;
        for (endpoint, number) in file.endpoints.iter().filter(elsewhere).zip(10_u8..) {
            let addresses = settle(&netns, &fabric, number)?;
            let actor = Actor { endpoint: endpoint.clone(), netns: fabric.clone(), addresses };
            actors.insert(endpoint.name.clone(), actor);
        }
        node.configure("workloads.d/remote.yaml", &described(actors.values()))?;
        node.start()?;
        eventually(PATIENCE, "the node is ready", || {
            let status = node.json(&["status"])?;
            ensure!(status["ready"] == true && status["policy"]["pending"] == 0, "{status}");
            Ok(())
        })?;
        for endpoint in file.endpoints.iter().filter(|e| e.place == CasePlace::Local) {
            let actor = attach(&netns, &node, endpoint)?;
            actors.insert(endpoint.name.clone(), actor);
        }
        for netns in actors.values().map(|actor| &actor.netns).chain([&netns]) {
            netns.sysctl("net.ipv4.ping_group_range", "0 2147483647")?;
        }
        Ok(Self { netns, node, actors, next_port: 20_000, number: 0 })
    }

    fn actor(&self, name: &str) -> Result<&Actor> {
        self.actors.get(name).with_context(|| format!("no endpoint {name}"))
    }

    fn address(&self, name: &str, family: u8) -> Option<IpAddr> {
        let actor = self.actors.get(name)?;
        Some(actor.addresses[usize::from(family == 6)])
    }

    fn place(&self, name: &str) -> Result<Place> {
        if name == "node" {
            return Ok(Place::Node);
        }
        Ok(match self.actor(name)?.endpoint.place {
            CasePlace::Local => Place::Workload(EndpointKey::new(name)),
            CasePlace::Remote | CasePlace::Outside => Place::Fabric,
        })
    }

    /// Gives the daemon a case's policies in place of those before, and waits until they are in force.
    fn enforce(&mut self, case: &Case) -> Result<Vec<Arc<Policy>>> {
        let text = case.policies(|name, family| self.address(name, family));
        let (before, now) = (
            format!("policies/case-{}.yaml", self.number),
            format!("case-{}.yaml", self.number + 1),
        );
        if self.number > 0 {
            fs::remove_file(self.node.config_dir().join(before)).context("removing a file")?;
        }
        self.number += 1;
        self.node.configure(&format!("policies/{now}"), &text)?;
        let policies = parse_policies(&now, &text)?;
        let wanted: BTreeSet<String> = policies.iter().map(|policy| name_of(&policy.id)).collect();
        eventually(PATIENCE, &format!("policies of {:?}", case.name), || {
            let list = self.node.json(&["policy", "list"])?;
            let items = list["items"].as_array().context("items")?;
            let found: BTreeSet<String> = items
                .iter()
                .filter_map(|item| {
                    let name = item["name"].as_str()?;
                    Some(match item["namespace"].as_str() {
                        Some(namespace) => format!("{namespace}/{name}"),
                        None => name.to_owned(),
                    })
                })
                .collect();
            ensure!(found == wanted, "{found:?}, not {wanted:?}");
            // A policy of the same name may be that of the case before.
            for name in &wanted {
                let shown = self.node.json(&["policy", "show", name])?;
                let source = shown["source"].as_str().context("a source")?;
                ensure!(source.contains(&now), "{name} is still from {source}");
            }
            let status = self.node.json(&["status"])?;
            ensure!(status["policy"]["pending"] == 0, "{status}");
            Ok(())
        })?;
        Ok(policies)
    }

    /// The packet of a probe, for the senders' and for the evaluator's eyes.
    fn prepare(&mut self, probe: &Probe, family: u8) -> Result<(Shot, Packet)> {
        let source_port = probe.source_port.unwrap_or(self.next_port);
        self.next_port += 1;
        let unspecified: IpAddr =
            if family == 4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let (from, source) = match probe.from.as_str() {
            "node" => (&self.netns, unspecified),
            name => (&self.actor(name)?.netns, self.address(name, family).context("an address")?),
        };
        let (to, target, is_to_node) = match probe.to.as_str() {
            "node" => (&self.netns, GATEWAYS[usize::from(family == 6)], true),
            name => {
                let address = self.address(name, family).context("an address")?;
                (&self.actor(name)?.netns, address, false)
            }
        };
        let (kind, protocol, port) = match probe.send {
            Send::Tcp(port) => (Kind::Tcp, Protocol::TCP, Some(port)),
            Send::Udp(port) => (Kind::Udp, Protocol::UDP, Some(port)),
            Send::Sctp(port) => (Kind::Sctp, Protocol::SCTP, Some(port)),
            Send::Icmp if family == 4 => (Kind::Icmp, Protocol::ICMP, None),
            Send::Icmp => (Kind::Icmp, Protocol::ICMPV6, None),
        };
        let packet = Packet {
            from: self.place(&probe.from)?,
            to: self.place(&probe.to)?,
            source,
            destination: target,
            protocol,
            ports: port.map(|port| (source_port, port)),
            icmp_type: port.is_none().then_some(if family == 4 { 8 } else { 128 }),
        };
        let shot = Shot {
            from: from.clone(),
            source: socket_address(source, source_port, 0),
            to: to.clone(),
            target: socket_address(target, port.unwrap_or(0), interface_index(from)?),
            is_to_node,
            kind,
            allow: probe.allow,
        };
        Ok((shot, packet))
    }

    /// Judges a case three times; the text says where the judges differ.
    fn play(&mut self, case: &Case) -> Result<(usize, String)> {
        let policies = self.enforce(case)?;
        let (mut shots, mut packets, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        for probe in &case.probes {
            for family in &probe.families {
                let (shot, packet) = self.prepare(probe, *family)?;
                shots.push(shot);
                packets.push(packet);
                probes.push((probe, family));
            }
        }
        let fates = fire(&shots).with_context(|| format!("case {:?}", case.name))?;
        let endpoints = self.endpoints();
        let world = endpoints.world(&policies);
        let mut problems = String::new();
        for (index, (probe, family)) in probes.iter().enumerate() {
            let (shot, fate) = (&shots[index], fates[index]);
            let decision = world.evaluate(&packets[index]);
            if decision.allowed != probe.allow || !shot.is_as_wanted(fate) {
                let Probe { line, from, to, send, allow, .. } = probe;
                let _infallible = writeln!(
                    problems,
                    "{:?}, line {line}: IPv{family} {send:?} from {from} to {to}: allow {allow}, evaluator {decision:?}, \
                     kernel {fate:?}",
                    case.name
                );
            }
        }
        Ok((shots.len(), problems))
    }

    fn endpoints(&self) -> Endpoints {
        let (mut locals, mut remotes) = (Vec::new(), Vec::new());
        for (name, actor) in &self.actors {
            let labels: Labels = actor.endpoint.labels.iter().collect();
            let value = Endpoint::new(&actor.endpoint.namespace, &labels, actor.addresses.to_vec());
            match actor.endpoint.place {
                CasePlace::Local => locals.push((EndpointKey::new(name), LocalEndpoint(value))),
                CasePlace::Remote => remotes.push(RemoteEndpoint(value)),
                CasePlace::Outside => {}
            }
        }
        Endpoints { locals, remotes }
    }
}

/// The endpoints as the evaluator knows them.
struct Endpoints {
    locals: Vec<(EndpointKey, LocalEndpoint)>,
    remotes: Vec<RemoteEndpoint>,
}

impl Endpoints {
    fn world<'a>(&'a self, policies: &'a [Arc<Policy>]) -> World<'a> {
        World {
            policies: policies.iter().map(Arc::as_ref).collect(),
            locals: self.locals.iter().map(|(key, endpoint)| (key, endpoint)).collect(),
            remotes: self.remotes.iter().collect(),
            endpoint_to_host: HostAction::Drop,
            anti_spoofing: true,
        }
    }
}

/// Gives an endpoint beyond the node its addresses, and the node the way there.
fn settle(node: &Netns, fabric: &Netns, number: u8) -> Result<[IpAddr; 2]> {
    let (v4, v6) = (format!("10.99.0.{number}"), format!("fd00:99::{number}"));
    fabric.run(&format!("ip address add {v4}/32 dev lo"))?;
    fabric.run(&format!("ip address add {v6}/128 dev lo nodad"))?;
    node.run(&format!("ip route add {v4}/32 via 10.0.0.2"))?;
    node.run(&format!("ip route add {v6}/128 via fd00::2"))?;
    Ok([v4.parse()?, v6.parse()?])
}

/// `WorkloadEndpoint` documents for the remote ones among the actors.
fn described<'a>(actors: impl Iterator<Item = &'a Actor>) -> String {
    let mut text = String::new();
    for actor in actors.filter(|actor| actor.endpoint.place == CasePlace::Remote) {
        let CaseEndpoint { name, namespace, labels, .. } = &actor.endpoint;
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key:?}: {value:?}")).collect();
        let [v4, v6] = actor.addresses;
        let _infallible = write!(
            text,
            "---\napiVersion: routed.dev/v1\nkind: WorkloadEndpoint\n\
             metadata: {{ name: {name}, namespace: {namespace}, labels: {{ {} }} }}\n\
             spec: {{ node: elsewhere, addresses: [{v4}, \"{v6}\"] }}\n",
            labels.join(", ")
        );
    }
    text
}

/// ADD with the endpoint's namespace and labels.
fn attach(node_ns: &Netns, node: &Routed, endpoint: &CaseEndpoint) -> Result<Actor> {
    let netns = Netns::new(&endpoint.name)?;
    let runtime = Runtime::new(node_ns, &node.cni_socket())?.in_namespace(&endpoint.namespace);
    let labels: Vec<(&str, &str)> =
        endpoint.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let added = runtime.add(Attachment::new(&endpoint.name, &netns), &labels)?.success()?;
    let addresses = added.addresses();
    let of = |v4| addresses.iter().copied().find(|a| a.is_ipv4() == v4);
    let (Some(v4), Some(v6)) = (of(true), of(false)) else { bail!("addresses {addresses:?}") };
    Ok(Actor { endpoint: endpoint.clone(), netns, addresses: [v4, v6] })
}

fn interface_index(netns: &Netns) -> Result<u32> {
    let line = netns.run("ip -o link show dev eth0")?;
    let index = line.split(':').next().context("a line")?;
    index.parse().with_context(|| format!("the index in {line}"))
}

fn name_of(id: &PolicyId) -> String {
    match id.namespace() {
        Some(namespace) => format!("{namespace}/{}", id.name()),
        None => id.name().to_owned(),
    }
}

fn parse_policies(path: &str, text: &str) -> Result<Vec<Arc<Policy>>> {
    let documents = parse(path, text).map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    documents
        .into_iter()
        .map(|document| match document {
            Document::Policy(policy) => Ok(policy),
            Document::Other { kind, .. } => bail!("{path}: {kind}"),
        })
        .collect()
}

fn drive(name: &str) -> Result<()> {
    require!("ip", "nft");
    let files = read_cases(&directory());
    let file = files.iter().find(|file| file.name == name).context("the file")?;
    let start = Instant::now();
    let mut stage = Stage::new(file)?;
    let (mut packets, mut problems) = (0, String::new());
    for case in &file.cases {
        let (count, problem) = stage.play(case)?;
        packets += count;
        problems.push_str(&problem);
    }
    let cases = file.cases.len();
    eprintln!("{name}: {cases} cases, {packets} packets in {:?}", start.elapsed());
    ensure!(problems.is_empty(), "{name}: the judges differ\n{problems}");
    stage.node.stop()
}

#[test]
fn what_rules_match() -> Result<()> {
    drive("match.yaml")
}

#[test]
fn what_workloads_and_node_may_do() -> Result<()> {
    drive("node.yaml")
}

#[test]
fn which_policy_decides() -> Result<()> {
    drive("order.yaml")
}

#[test]
fn whom_selectors_mean() -> Result<()> {
    drive("selector.yaml")
}

#[test]
fn no_case_is_left_out() {
    let files = read_cases(&directory());
    assert!(files.iter().map(|file| file.name.as_str()).eq(FILES), "{files:?}");
    let cases: usize = files.iter().map(|file| file.cases.len()).sum();
    assert!(cases >= 40, "only {cases} cases");
}
