// SPDX-License-Identifier: MIT OR Apache-2.0
//! A typo in any file of a running node is named to the letter, and disturbs nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use fabric_tests::peer::routed::Routed;
use fabric_tests::peer::{self, Config, Family, Kind, Learned, Peer, Session};
use fabric_tests::workload::Runtime;
use fabric_tests::{Netns, Port, cable, eventually, require};
use serde_json::Value;

use super::scene::{Container, Footprint, PATIENCE, Scene, items};

const NODE: &str = "\
apiVersion: routed.dev/v1
kind: NodeConfig
metadata:
  name: n1
  labels: { rack: \"1\" }
spec:
  asNumber: 4200000111
  routerId: 10.0.0.1
  uplinks: [eth0]
  blocks: [10.64.1.0/26, \"fd00:64:1::/122\"]
  workloads:
    mtu: 1400
";
const POOLS: &str = "\
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: pool-v4 }
spec: { cidr: 10.64.0.0/16, blockSize: 26 }
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: pool-v6 }
spec:
  cidr: fd00:64::/32
  blockSize: 122
  nodeSelector: rack == \"1\"
";
const BGP: &str = "\
apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: { name: default }
spec:
  nodeToNodeMeshEnabled: false
";
const PEER: &str = "\
apiVersion: projectcalico.org/v3
kind: BGPPeer
metadata: { name: tor }
spec:
  peerIP: 10.0.0.2
  asNumber: 65101
";
const PROFILE: &str = "\
apiVersion: routed.dev/v1
kind: BGPPeerProfile
metadata: { name: tors }
spec:
  peers: [tor]
  families: [ipv4, ipv6]
  timers:
    holdTime: 9s
    keepalive: 3s
";
const POLICY: &str = "\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: web-in, namespace: default }
spec:
  selector: app == \"web\"
  types: [Ingress]
  ingress:
  - action: Allow
    protocol: TCP
    destination:
      ports: [80]
";
const GLOBAL: &str = "\
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: web-from-far }
spec:
  order: 10
  selector: app == \"web\"
  ingress:
  - action: Allow
    source:
      selector: app == \"far\"
";
const ENDPOINT: &str = "\
apiVersion: routed.dev/v1
kind: WorkloadEndpoint
metadata:
  name: far
  namespace: default
  labels: { app: far }
spec:
  node: elsewhere
  addresses: [192.0.2.7]
";

const FILES: [(&str, &str); 8] = [
    ("node.yaml", NODE),
    ("fabric/pools.yaml", POOLS),
    ("fabric/bgp.yaml", BGP),
    ("fabric/peer.yaml", PEER),
    ("fabric/profile.yaml", PROFILE),
    ("policies/web.yaml", POLICY),
    ("policies/deep/er/far.yaml", GLOBAL),
    ("workloads.d/far.yaml", ENDPOINT),
];

/// One typo, and what must be said about it.
struct Typo {
    file: &'static str,
    /// Right, and what somebody typed: the last word of either is the one that differs.
    right: &'static str,
    wrong: &'static str,
    field: &'static str,
    /// What is suggested.
    meant: &'static str,
}

const fn typo(
    file: &'static str,
    right: &'static str,
    wrong: &'static str,
    field: &'static str,
    meant: &'static str,
) -> Typo {
    Typo { file, right, wrong, field, meant }
}

const TYPOS: [Typo; 16] = [
    typo("node.yaml", "asNumber", "asNumbr", "spec.asNumbr", "asNumber"),
    typo("node.yaml", "mtu", "mut", "spec.workloads.mut", "mtu"),
    typo("node.yaml", "NodeConfig", "NodeConfg", "kind", "NodeConfig"),
    typo("fabric/pools.yaml", "nodeSelector", "nodeSelecter", "spec.nodeSelecter", "nodeSelector"),
    typo("fabric/pools.yaml", "blockSize: 122", "blocksize: 122", "spec.blocksize", "blockSize"),
    typo(
        "fabric/bgp.yaml",
        "nodeToNodeMeshEnabled",
        "nodeToNodeMeshEnable",
        "spec.nodeToNodeMeshEnable",
        "nodeToNodeMeshEnabled",
    ),
    typo("fabric/peer.yaml", "peerIP", "peerIp", "spec.peerIp", "peerIP"),
    typo("fabric/peer.yaml", "BGPPeer", "BgpPeer", "kind", "BGPPeer"),
    typo("fabric/profile.yaml", "holdTime", "holdtime", "spec.timers.holdtime", "holdTime"),
    typo("fabric/profile.yaml", "ipv6", "ipv66", "spec.families[1]", "ipv6"),
    typo("policies/web.yaml", "protocol", "protcol", "spec.ingress[0].protcol", "protocol"),
    typo("policies/web.yaml", "Allow", "Alow", "spec.ingress[0].action", "Allow"),
    typo("policies/deep/er/far.yaml", "order", "ordr", "spec.ordr", "order"),
    typo("policies/deep/er/far.yaml", "source", "sorce", "spec.ingress[0].sorce", "source"),
    typo("workloads.d/far.yaml", "addresses", "adresses", "spec.adresses", "addresses"),
    typo("workloads.d/far.yaml", "labels", "lables", "metadata.lables", "labels"),
];

impl Typo {
    /// The file with it, and where it is.
    fn text(&self) -> Result<(String, usize, usize)> {
        let (_, good) = FILES.iter().find(|(name, _)| *name == self.file).context("the file")?;
        let at = good.find(self.right).context("the right word")?;
        let line = good[..at].matches('\n').count() + 1;
        let column = at - good[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
        Ok((good.replacen(self.right, self.wrong, 1), line, column))
    }
}

/// Everything that must stay as it is.
#[derive(Clone, Debug, PartialEq)]
struct Running {
    kernel: Footprint,
    workloads: Vec<Value>,
    policies: Vec<Value>,
    originated: Vec<Value>,
    /// State of each session, and how often it came up.
    sessions: Vec<(Value, Value, Value)>,
    /// What the ToR has of this node.
    tor: [BTreeSet<Learned>; 2],
}

struct Fabric {
    scene: Scene,
    tor: Box<dyn Peer>,
    web: Container,
    added: fabric_tests::workload::Answer,
}

impl Fabric {
    fn new() -> Result<Self> {
        let (netns, tor) = (Netns::new("typo")?, Netns::new("tor")?);
        cable(
            &Port::new(&netns, "eth0", &["10.0.0.1/24", "fd00::1/64"]),
            &Port::new(&tor, "node", &["10.0.0.2/24", "fd00::2/64"]),
        )?;
        let there: IpAddr = "10.0.0.1".parse()?;
        let session = Session::new("10.0.0.2".parse()?, there, 4_200_000_111);
        let session = session.dual("fd00::2".parse()?).passive();
        let config = Config::new(65_101, "10.0.0.2".parse()?).session(session);
        let mut tor = peer::start(Kind::Bird, &tor, config)?;
        tor.originate("203.0.113.0/24".parse()?)?;
        let node = Routed::new(&netns)?;
        for (file, text) in FILES {
            node.configure(file, text)?;
        }
        let runtime = Runtime::new(&netns, &node.cni_socket())?;
        let mut scene = Scene { netns, node, runtime };
        scene.start()?;
        let web = Container::new("web")?;
        let added = scene.runtime.add(web.attachment(), &[("app", "web")])?.success()?;
        let fabric = Self { scene, tor, web, added };
        fabric.wait_settled()?;
        Ok(fabric)
    }

    /// Both sides have what the other one originates.
    fn wait_settled(&self) -> Result<()> {
        for block in ["10.64.1.0/26", "fd00:64:1::/122"] {
            self.tor.wait_learned(block.parse()?, PATIENCE)?;
        }
        eventually(PATIENCE, "the ToR's route is in the kernel", || {
            let routes = self.scene.footprint()?.routes;
            ensure!(routes.iter().any(|route| route.starts_with("203.0.113.0/24")), "{routes:?}");
            Ok(())
        })?;
        self.scene.wait_in_sync()
    }

    fn running(&self) -> Result<Running> {
        let node = &self.scene.node;
        let peers = items(node.json(&["bgp", "peers"])?)?;
        let session = |peer: &Value| {
            let part = |name: &str| peer[name].clone();
            (part("name"), part("state"), part("establishedTransitions"))
        };
        Ok(Running {
            kernel: self.scene.footprint()?,
            workloads: self.scene.workloads()?,
            policies: items(node.json(&["policy", "list"])?)?,
            originated: items(node.json(&["bgp", "routes"])?)?,
            sessions: peers.iter().map(session).collect(),
            tor: [self.tor.learned(Family::V4)?, self.tor.learned(Family::V6)?],
        })
    }

    fn status(&self) -> Result<Value> {
        self.scene.node.json(&["status"])
    }

    /// `routed validate DIR`, as JSON and as text.
    fn validate(&self, line: usize, column: usize, typo: &Typo) -> Result<String> {
        let dir = self.scene.node.config_dir();
        let dir = dir.to_str().context("a path")?;
        let output = self.scene.node.cli(&["-o", "json", "validate", dir])?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        let errors: Value = serde_json::from_slice(&output.stderr).context("JSON of validate")?;
        let details = errors["error"]["details"].as_array().context("details")?.clone();
        ensure!(errors["error"]["code"] == "configInvalid", "{errors}");
        let found = details.iter().find(|d| d["file"] == typo.file && d["path"] == typo.field);
        let found = found.with_context(|| format!("{} {}: {errors}", typo.file, typo.field))?;
        ensure!(found["line"] == line && found["column"] == column, "{line}:{column}: {found}");
        let hint = found["hint"].as_str().unwrap_or_default();
        ensure!(hint.contains(&format!("did you mean {:?}?", typo.meant)), "{found}");
        // A field that must be there is missing, too.
        ensure!(details.iter().all(|d| d["file"] == typo.file), "only there: {errors}");

        let output = self.scene.node.cli(&["validate", dir])?;
        ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let start = format!("{}:{line}:{column}: {}: ", typo.file, typo.field);
        let told = text.lines().find(|told| told.starts_with(&start));
        Ok(told.with_context(|| format!("no {start:?} in {text}"))?.to_owned())
    }
}

#[test]
fn a_typo_in_any_file_is_named_to_the_letter_and_disturbs_nothing() -> Result<()> {
    require!("ip", "nft", "bird");
    let mut fabric = Fabric::new()?;
    let before = fabric.running()?;
    ensure!(fabric.status()?["degraded"] == false, "{}", fabric.status()?);
    ensure!(before.originated.len() >= 3 && before.kernel.links.len() == 2, "{before:?}");
    for typo in &TYPOS {
        one_typo(&fabric, typo, &before)
            .with_context(|| format!("{}: {}", typo.file, typo.wrong))?;
    }
    // Whoever attaches meanwhile gets what the last good configuration says.
    let typo = &TYPOS[1];
    fabric.scene.node.configure(typo.file, &typo.text()?.0)?;
    wait_degraded(&fabric, typo)?;
    let other = Container::new("other")?;
    let added = fabric.scene.runtime.add(other.attachment(), &[("app", "web")])?.success()?;
    ensure!(other.netns.run("ip link show dev eth0")?.contains("mtu 1400"));
    fabric.scene.runtime.check(other.attachment(), &added)?.success()?;
    fabric.scene.runtime.del(other.attachment())?.success()?;
    // Even a daemon that starts with the typo has it.
    fabric.scene.node.kill();
    fabric.scene.start()?;
    fabric.wait_settled()?;
    wait_degraded(&fabric, typo)?;
    let after = fabric.running()?;
    ensure!(after.kernel == before.kernel, "{after:#?} is not {before:#?}");
    ensure!(after.tor == before.tor && after.workloads == before.workloads, "{after:#?}");
    fabric.scene.runtime.check(fabric.web.attachment(), &fabric.added)?.success()?;
    repair(&fabric, typo)
}

fn one_typo(fabric: &Fabric, typo: &Typo, before: &Running) -> Result<()> {
    let (text, line, column) = typo.text()?;
    let node = &fabric.scene.node;
    let logged = node.log()?.len();
    node.configure(typo.file, &text)?;
    let told = fabric.validate(line, column, typo)?;
    wait_degraded(fabric, typo)?;
    let status = fabric.status()?;
    let reasons = status["reasons"].as_array().context("reasons")?;
    // Word for word what `validate` says.
    let named = reasons.iter().any(|r| r.as_str().is_some_and(|r| r.ends_with(&told)));
    ensure!(named, "no {told:?} in {status}");
    ensure!(status["ready"] == true, "{status}");
    let screen = node.cli(&["status"])?;
    ensure!(String::from_utf8_lossy(&screen.stdout).contains(&told), "{screen:?}");
    ensure!(node.cli(&["status", "--check"])?.status.code() == Some(1), "status --check");
    let log = node.log()?;
    let place = format!("{}:{line}:{column}", typo.file);
    ensure!(log[logged..].contains(&place), "no {place} in {}", &log[logged..]);

    let after = fabric.running()?;
    ensure!(after == *before, "{after:#?} is not {before:#?}");
    repair(fabric, typo)?;
    let after = fabric.running()?;
    ensure!(after == *before, "repaired: {after:#?} is not {before:#?}");
    Ok(())
}

fn wait_degraded(fabric: &Fabric, typo: &Typo) -> Result<()> {
    eventually(PATIENCE, "the status knows of the typo", || {
        let status = fabric.status()?;
        let reasons = status["reasons"].as_array().context("reasons")?;
        let named = reasons.iter().any(|r| r.as_str().is_some_and(|r| r.contains(typo.field)));
        ensure!(status["degraded"] == true && named, "{status}");
        Ok(())
    })
}

/// Puts the file right and waits until nothing is said about it any more.
fn repair(fabric: &Fabric, typo: &Typo) -> Result<()> {
    let (_, good) = FILES.iter().find(|(name, _)| *name == typo.file).context("the file")?;
    fabric.scene.node.configure(typo.file, good)?;
    eventually(PATIENCE, "the status forgets the typo", || {
        let status = fabric.status()?;
        ensure!(
            status["degraded"] == false && status["reasons"] == Value::from(Vec::<Value>::new()),
            "{status}"
        );
        Ok(())
    })
}
