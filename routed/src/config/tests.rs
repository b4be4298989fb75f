// SPDX-License-Identifier: MIT OR Apache-2.0

use std::fs;
use std::time::Duration;

use bgp::types::{Asn, Family, FamilySet};
use tempfile::TempDir;

use super::*;

const NODE: &str = r#"apiVersion: routed.dev/v1
kind: NodeConfig
metadata:
  name: r1n1
  labels: { rack: "1", role: worker }
spec:
  asNumber: 4200000111
  routerId: 10.1.1.11
  uplinks: [eth0, eth1]
  bgp: { listen: [10.1.1.11, "fd00:1::11"], port: 1790 }
  blocks: [10.64.1.0/26, "fd00:64:1::/122"]
  kernel: { routes: true, policy: true, forwarding: require }
  addresses: { v4: 10.1.1.11, v6: "fd00:1::11" }
  workloads:
    interfacePrefix: rtd
    mtu: 1450
    gateway: { v4: 169.254.1.1, v6: "fe80::1" }
    antiSpoofing: strict
"#;

const POOLS: &str = r#"apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: rack1-v4 }
spec: { cidr: 10.64.1.0/24, blockSize: 26, nodeSelector: rack == "1", natOutgoing: false, ipipMode: Never, vxlanMode: Never }
---
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: { name: rack1-v6, uid: 8d9c, resourceVersion: "7", creationTimestamp: null }
spec: { cidr: "fd00:64:1::/112", blockSize: 122, nodeSelector: rack == "1" }
---
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: rack2-v4 }
spec: { cidr: 10.64.2.0/24, blockSize: 26, nodeSelector: rack == "2" }
"#;

const BGP: &str = r#"apiVersion: projectcalico.org/v3
kind: BGPConfiguration
metadata: { name: default }
spec: { nodeToNodeMeshEnabled: false, asNumber: 64600, listenPort: 179 }
---
apiVersion: projectcalico.org/v3
kind: BGPPeerList
items:
- metadata: { name: tor1a }
  spec: { nodeSelector: rack == "1", peerIP: 10.1.1.1, asNumber: 65101 }
- metadata: { name: tor1b }
  spec: { nodeSelector: rack == "1", peerIP: "[fd00:1::2]:1179", asNumber: "1.10", keepaliveTime: 2s, maxRestartTime: 40s, sourceAddress: UseNodeIP }
- metadata: { name: tor2a }
  spec: { nodeSelector: rack == "2", peerIP: 10.1.2.1, asNumber: 65102 }
- metadata: { name: mine }
  spec: { node: r1n1, peerIP: 10.9.9.9:1790, asNumber: 4200000111 }
---
apiVersion: routed.dev/v1
kind: BGPPeerProfile
metadata: { name: tors }
spec:
  peers: ["tor*"]
  passive: true
  families: [ipv4]
  timers: { holdTime: 30s, connectRetry: 2s }
  ebgpMultihop: 4
  gracefulRestart: { enabled: true, restartTime: 60s }
"#;

const POLICY: &str = r#"apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: default-deny }
spec: { order: 1000, selector: env == "prod", types: [Ingress, Egress] }
"#;

const ENDPOINTS: &str = r#"apiVersion: routed.dev/v1
kind: WorkloadEndpoint
metadata: { name: api-2, namespace: shop, labels: { app: api } }
spec: { node: r2n1, addresses: [10.64.2.9, "fd00:64:2::9"] }
---
apiVersion: routed.dev/v1
kind: WorkloadEndpoint
metadata: { name: legacy, labels: { app: db } }
spec: { ipNetworks: [192.0.2.7/32] }
"#;

fn sample() -> Vec<(&'static str, String)> {
    vec![
        ("fabric/bgp.yaml", BGP.to_owned()),
        ("fabric/pools.yaml", POOLS.to_owned()),
        ("node.yaml", NODE.to_owned()),
        ("policies/shop.yaml", POLICY.to_owned()),
        ("workloads.d/remote.yaml", ENDPOINTS.to_owned()),
    ]
}

/// The sample with a text replaced in one of its files.
fn with(file: &str, from: &str, to: &str) -> Result<Config, String> {
    let mut files = sample();
    let (_, text) = files.iter_mut().find(|(name, _)| *name == file).unwrap();
    assert!(text.contains(from), "{from:?} is not in {file}");
    *text = text.replacen(from, to, 1);
    read(files)
}

fn read(files: Vec<(&str, String)>) -> Result<Config, String> {
    match parse(files.into_iter().collect(), "host") {
        Ok(loaded) => Ok(Config::clone(&loaded.config)),
        Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

fn errors(file: &str, from: &str, to: &str) -> String {
    with(file, from, to).expect_err("this is wrong")
}

#[test]
fn the_sample_says_what_it_says() {
    let config = read(sample()).unwrap();
    assert_eq!(config.node.name, "r1n1");
    assert_eq!(config.node.asn, Asn(4_200_000_111));
    assert_eq!((config.node.port, config.node.transit), (1790, false));
    assert_eq!(config.node.kernel.forwarding, Forwarding::Require);
    assert_eq!(config.node.workloads.mtu, Mtu::Fixed(1450));
    assert_eq!(config.node.listen.as_ref().map(Vec::len), Some(2));
    let blocks: Vec<_> =
        config.blocks.iter().map(|b| (b.pool.as_str(), b.prefix.to_string(), b.enabled)).collect();
    assert_eq!(
        blocks,
        [
            ("rack1-v4", "10.64.1.0/26".to_owned(), true),
            ("rack1-v6", "fd00:64:1::/122".to_owned(), true),
        ]
    );
    assert!(!config.pools["rack2-v4"].selected);
    assert_eq!(config.policies.len(), 1);
    let endpoint = &config.endpoints[&"shop/api-2".into()];
    assert_eq!(endpoint.node.as_deref(), Some("r2n1"));
    assert_eq!(endpoint.addresses.len(), 2);
    assert_eq!(config.endpoints[&"default/legacy".into()].labels.get("app"), Some("db"));
}

#[test]
fn a_peer_gets_what_its_document_and_its_profile_say() {
    let config = read(sample()).unwrap();
    let names: Vec<_> = config.peers.iter().map(|p| p.speaker.name.as_str()).collect();
    assert_eq!(names, ["mine", "tor1a", "tor1b"], "tor2a is of the other rack");
    let tor = &config.peers[2];
    assert!(tor.use_node_address);
    let tor = &tor.speaker;
    assert_eq!((tor.address.to_string().as_str(), tor.port), ("fd00:1::2", 1179));
    assert_eq!(tor.asn, Asn(65_546), "1.10 in dotted notation");
    assert!(tor.passive);
    assert_eq!(tor.families, FamilySet::only(Family::Ipv4Unicast));
    assert_eq!(tor.multihop, Some(4));
    assert_eq!(tor.timers.hold_time, Duration::from_secs(30));
    assert_eq!(tor.timers.keepalive, Duration::from_secs(2), "the peer's own word counts");
    assert_eq!(tor.timers.send_hold, Duration::from_secs(60), "twice the hold time");
    assert_eq!(tor.timers.connect_retry, Duration::from_secs(2));
    assert_eq!(tor.graceful_restart.restart_time, Duration::from_secs(40));
    assert_eq!(config.peers[1].speaker.timers.keepalive, Duration::from_secs(10), "a third");
    let mine = &config.peers[0].speaker;
    assert_eq!((mine.port, mine.passive, mine.families), (1790, false, FamilySet::ALL));
    assert_eq!(mine.timers, bgp::Timers::default());
}

#[test]
fn the_smallest_configuration_is_enough() {
    let node = "apiVersion: routed.dev/v1\nkind: NodeConfig\nspec: { blocks: [10.0.0.0/26] }\n";
    let pool = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: { name: p }\n\
                spec: { cidr: 10.0.0.0/16 }\n";
    let files = vec![("node.yaml", node.to_owned()), ("fabric/pool.yaml", pool.to_owned())];
    let config = read(files.clone()).unwrap();
    assert_eq!(config.node.name, "host");
    assert_eq!(config.node.port, 179);
    assert_eq!(config.node.workloads.interface_prefix, "rtd");
    assert_eq!(config.node.workloads.mtu, Mtu::Auto);
    let peer = "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: { name: tor }\n\
                spec: { peerIP: 10.1.1.1, asNumber: 65101 }\n";
    let mut with_peer = files;
    with_peer.push(("fabric/peer.yaml", peer.to_owned()));
    let error = read(with_peer.clone()).unwrap_err();
    assert!(error.contains("spec.asNumber: the field is missing"), "{error}");
    let bgp = "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: { name: default }\n\
               spec: { asNumber: 64600, listenPort: 1179 }\n";
    with_peer.push(("fabric/bgp.yaml", bgp.to_owned()));
    let config = read(with_peer).unwrap();
    assert_eq!((config.node.asn, config.node.port), (Asn(64_600), 1179));
}

/// Acceptance: a typo in every kind of file yields place, field and suggestion.
#[test]
fn a_typo_in_any_kind_names_the_place_and_what_was_meant() {
    let typos = [
        ("node.yaml", "asNumber", "asNumbr"),
        ("node.yaml", "interfacePrefix", "interfaceprefx"),
        ("node.yaml", "labels:", "lables:"),
        ("node.yaml", "antiSpoofing: strict", "antiSpoofing: strct"),
        ("node.yaml", "kind: NodeConfig", "kind: NodeConfg"),
        ("node.yaml", "routed.dev/v1", "routed.dev/v2"),
        ("fabric/pools.yaml", "blockSize", "blokSize"),
        ("fabric/pools.yaml", "kind: IPPool", "kind: IPpool"),
        ("fabric/bgp.yaml", "listenPort", "listenport"),
        ("fabric/bgp.yaml", "peerIP", "peerIp"),
        ("fabric/bgp.yaml", "connectRetry", "conectRetry"),
        ("fabric/bgp.yaml", "[ipv4]", "[ipv5]"),
        ("fabric/bgp.yaml", "  passive", "  bfd: { intervall: 100ms }\n  passive"),
        ("policies/shop.yaml", "selector", "selektor"),
        ("policies/shop.yaml", "Ingress", "Ingres"),
        ("workloads.d/remote.yaml", "addresses", "adresses"),
        ("workloads.d/remote.yaml", "namespace", "namespce"),
    ];
    let shown: Vec<_> = typos.iter().map(|(file, from, to)| errors(file, from, to)).collect();
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn a_value_that_cannot_be_is_refused_with_its_place() {
    let wrong = [
        ("node.yaml", "4200000111", "0"),
        ("node.yaml", "4200000111", "1.10"),
        ("node.yaml", "10.1.1.11\n", "0.0.0.0\n"),
        ("node.yaml", "eth1", "eth0"),
        ("node.yaml", "eth1", "lo"),
        ("node.yaml", "port: 1790", "port: 70000"),
        ("node.yaml", "1450", "100"),
        ("node.yaml", "1450", "big"),
        ("node.yaml", "\"fe80::1\"", "\"fe80::2\""),
        ("node.yaml", "interfacePrefix: rtd", "interfacePrefix: eth"),
        ("node.yaml", "interfacePrefix: rtd", "interfacePrefix: routed"),
        ("node.yaml", "forwarding: require", "forwarding: yes"),
        ("node.yaml", "routes: true", "routes: \"true\""),
        ("node.yaml", "rack: \"1\"", "rack: 1"),
        ("node.yaml", "uplinks: [eth0, eth1]", "uplinks:"),
        ("node.yaml", "\"fd00:1::11\" }\n  work", "\"::1\" }\n  work"),
        ("fabric/pools.yaml", "10.64.1.0/24", "10.64.1.0/33"),
        ("fabric/pools.yaml", "10.64.1.0/24", "10.64.1.7/24"),
        ("fabric/pools.yaml", "blockSize: 26", "blockSize: 19"),
        ("fabric/pools.yaml", "10.64.1.0/24", "10.64.1.0/27"),
        ("fabric/pools.yaml", "rack == \"1\"", "rack = \"1\""),
        ("fabric/bgp.yaml", "10.1.1.1,", "tor1a,"),
        ("fabric/bgp.yaml", "keepaliveTime: 2s", "keepaliveTime: 2"),
        ("fabric/bgp.yaml", "holdTime: 30s", "holdTime: 2s"),
        ("fabric/bgp.yaml", "restartTime: 60s", "restartTime: 2h"),
        ("fabric/bgp.yaml", "  passive", "  bfd: { interval: 49ms }\n  passive"),
        ("fabric/bgp.yaml", "  passive", "  bfd: { interval: 11s }\n  passive"),
        ("fabric/bgp.yaml", "  passive", "  bfd: { interval: 100 }\n  passive"),
        ("fabric/bgp.yaml", "  passive", "  bfd: { multiplier: 0 }\n  passive"),
        ("fabric/bgp.yaml", "  passive", "  bfd: true\n  passive"),
        ("fabric/bgp.yaml", "node: r1n1", "node: r1n1, nodeSelector: all()"),
        ("fabric/bgp.yaml", "name: default", "name: node.r1n1"),
        ("workloads.d/remote.yaml", "10.64.2.9", "10.64.2.0/24"),
        ("workloads.d/remote.yaml", "192.0.2.7/32", "10.64.2.9"),
    ];
    let shown: Vec<_> = wrong.iter().map(|(file, from, to)| errors(file, from, to)).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn a_feature_that_is_not_built_is_refused_by_name() {
    let refused = [
        ("node.yaml", "blocks: [10.64.1.0/26, \"fd00:64:1::/122\"]", "blocks: derived"),
        ("node.yaml", "  bgp:", "  advertise: { node: true }\n  bgp:"),
        ("node.yaml", "  bgp:", "  labelsOverBgp: { enabled: true }\n  bgp:"),
        ("node.yaml", "  bgp:", "  metrics: { listen: [] }\n  bgp:"),
        ("node.yaml", "    mtu", "    labels: {}\n    mtu"),
        ("fabric/pools.yaml", "natOutgoing: false", "natOutgoing: true"),
        ("fabric/pools.yaml", "ipipMode: Never", "ipipMode: Always"),
        ("fabric/pools.yaml", "vxlanMode: Never", "vxlanMode: CrossSubnet"),
        ("fabric/pools.yaml", "vxlanMode: Never", "allowedUses: [Workload]"),
        ("fabric/pools.yaml", "kind: IPPool", "kind: IPReservation"),
        ("fabric/bgp.yaml", "MeshEnabled: false", "MeshEnabled: true"),
        ("fabric/bgp.yaml", "asNumber: 64600", "communities: []"),
        ("fabric/bgp.yaml", "asNumber: 65101", "asNumber: 65101, filters: [f]"),
        ("fabric/bgp.yaml", "asNumber: 65101", "asNumber: 65101, nextHopMode: Auto"),
        ("fabric/bgp.yaml", "asNumber: 65101", "asNumber: 65101, password: {}"),
        ("fabric/bgp.yaml", "  passive", "  sendCommunity: {}\n  passive"),
        ("fabric/bgp.yaml", "restartTime: 60s", "longLived: 0s"),
        ("fabric/bgp.yaml", "kind: BGPPeerProfile", "kind: BGPFilter"),
        ("policies/shop.yaml", "kind: GlobalNetworkPolicy", "kind: Tier"),
    ];
    let shown: Vec<_> = refused.iter().map(|(file, from, to)| errors(file, from, to)).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn bfd_is_off_unless_asked_for_and_has_defaults() {
    let timers = |text: &str| {
        let line = format!("  {text}\n  passive");
        let config = with("fabric/bgp.yaml", "  passive", &line).expect("a good configuration");
        let tor = config.peers.into_iter().find(|peer| peer.speaker.name == "tor1a");
        tor.expect("the peer").bfd.map(|bfd| (bfd.interval.as_millis(), bfd.multiplier))
    };
    assert_eq!(timers("# nothing"), None);
    assert_eq!(timers("bfd: {}"), Some((300, 3)));
    assert_eq!(timers("bfd: { enabled: true, interval: 50ms, multiplier: 255 }"), Some((50, 255)));
    assert_eq!(timers("bfd: { enabled: false, interval: 50ms }"), None);
}

#[test]
fn documents_that_contradict_each_other_are_refused() {
    let wrong = [
        ("node.yaml", "10.64.1.0/26", "10.99.1.0/26"),
        ("node.yaml", "\"fd00:64:1::/122\"", "10.64.1.0/26"),
        ("node.yaml", "10.64.1.0/26", "10.64.2.0/26"),
        ("node.yaml", "10.64.1.0/26", "10.64.1.0/28"),
        ("node.yaml", "  blocks: [10.64.1.0/26, \"fd00:64:1::/122\"]\n", ""),
        ("node.yaml", "routes: true", "routes: false"),
        ("fabric/pools.yaml", "blockSize: 26, ", ""),
        ("fabric/pools.yaml", "10.64.2.0/24", "10.64.0.0/16"),
        ("fabric/bgp.yaml", "10.9.9.9:1790", "10.1.1.1"),
        (
            "fabric/bgp.yaml",
            "kind: BGPPeerProfile",
            "kind: BGPPeerProfile\nspec: { peers: [tor1a] }\nmetadata: { name: other }\n---\napiVersion: routed.dev/v1\nkind: BGPPeerProfile",
        ),
    ];
    let shown: Vec<_> = wrong
        .iter()
        .map(|(file, from, to)| match with(file, from, to) {
            Ok(_) => format!("{from} -> {to}: good"),
            Err(error) => error,
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn the_same_identity_twice_names_both_files() {
    let mut files = sample();
    files.push(("fabric/more.yaml", POOLS.to_owned()));
    files.push(("policies/more.yaml", POLICY.to_owned()));
    files.push(("workloads.d/more.yaml", ENDPOINTS.to_owned()));
    files.push(("other.yaml", NODE.replace("r1n1", "r1n2")));
    let text = read(files).unwrap_err();
    insta::assert_snapshot!(text);
}

#[test]
fn all_problems_of_all_files_are_told_at_once() {
    let mut files = sample();
    for (name, text) in &mut files {
        *text = match *name {
            "node.yaml" => text.replace("asNumber", "asNumbr").replace("1450", "7"),
            "fabric/pools.yaml" => text.replace("10.64.1.0/24", "10.64.1.0/240"),
            "policies/shop.yaml" => {
                format!("{}---\n{}", text.replace("order", "ordr"), POOLS.replace("cidr", "cdir"))
            }
            "workloads.d/remote.yaml" => text.replace("spec:", "spec: ["),
            _ => text.clone(),
        };
    }
    insta::assert_snapshot!(read(files).unwrap_err());
}

#[test]
fn a_directory_without_a_node_says_so() {
    let error = read(vec![("fabric/pools.yaml", POOLS.to_owned())]).unwrap_err();
    assert_eq!(
        error,
        "node.yaml: the directory has no NodeConfig (it needs one NodeConfig, in node.yaml by custom)"
    );
}

#[test]
fn lists_of_documents_are_taken_apart() {
    let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: projectcalico.org/v3\n  \
                kind: IPPool\n  metadata: { name: p }\n  spec: { cidr: 10.0.0.0/16 }\n";
    let node = "apiVersion: routed.dev/v1\nkind: NodeConfig\nspec: { blocks: [10.0.0.0/26] }\n";
    let files = vec![("all.yaml", format!("{list}---\n{node}"))];
    assert_eq!(read(files).unwrap().blocks.len(), 1);
}

#[test]
fn blocks_of_one_and_two_addresses_are_good() {
    let pools = POOLS.replace("blockSize: 26, ", "").replace("blockSize: 122, ", "");
    for (v4, v6) in [("10.64.1.9/32", "fd00:64:1::9/128"), ("10.64.1.8/31", "fd00:64:1::8/127")] {
        let node = NODE.replace("10.64.1.0/26", v4).replace("fd00:64:1::/122", v6);
        let files = vec![("node.yaml", node), ("fabric/pools.yaml", pools.clone())];
        assert_eq!(read(files).unwrap().blocks.len(), 2);
    }
}

#[test]
fn a_disabled_pool_keeps_its_blocks_closed() {
    let config = with("fabric/pools.yaml", "blockSize: 26", "disabled: true, blockSize: 26");
    assert!(!config.unwrap().blocks[0].enabled);
}

#[test]
fn a_glob_covers_what_it_says() {
    let cases = [
        ("tor*", "tor1a", true),
        ("tor*", "tor", true),
        ("tor*", "to", false),
        ("*", "", true),
        ("t?r", "tor", true),
        ("t?r", "tr", false),
        ("*1*a", "tor1bba", true),
        ("*1*a", "tor1bb", false),
        ("tor", "tor1", false),
        ("?*", "", false),
    ];
    for (glob, name, covers) in cases {
        assert_eq!(peer::matches_glob(glob, name), covers, "{glob} {name}");
    }
}

#[test]
fn a_difference_says_what_it_disturbs() {
    let old = read(sample()).unwrap();
    let impact = |file: &str, from: &str, to: &str| {
        diff(&old, &with(file, from, to).unwrap())
            .into_iter()
            .map(|difference| (difference.what, difference.impact))
            .collect::<Vec<_>>()
    };
    let one = |what: &str, impact| vec![(what.to_owned(), impact)];
    assert_eq!(diff(&old, &old), []);
    assert_eq!(impact("node.yaml", "1450", "1400"), one("spec.workloads.mtu", Impact::Live));
    assert_eq!(
        impact("node.yaml", "4200000111", "4200000112"),
        one("spec.asNumber", Impact::SessionReset)
    );
    assert_eq!(
        impact("node.yaml", "rtd", "abc"),
        one("spec.workloads.interfacePrefix", Impact::Restart)
    );
    assert_eq!(
        impact("fabric/bgp.yaml", "65101", "65109"),
        one("BGPPeer tor1a", Impact::SessionReset)
    );
    assert_eq!(impact("fabric/bgp.yaml", "connectRetry: 2s", "connectRetry: 3s").len(), 2);
    assert_eq!(
        impact("fabric/bgp.yaml", "connectRetry: 2s", "connectRetry: 3s")[0],
        ("BGPPeer tor1a".to_owned(), Impact::Live)
    );
    assert_eq!(
        impact("policies/shop.yaml", "1000", "900"),
        one("GlobalNetworkPolicy default-deny", Impact::Live)
    );
    assert_eq!(
        impact("workloads.d/remote.yaml", "app: db", "app: web"),
        one("WorkloadEndpoint default/legacy", Impact::Live)
    );
    assert_eq!(
        impact("fabric/pools.yaml", "10.64.2.0/24", "10.64.3.0/24"),
        one("IPPool rack2-v4", Impact::Live)
    );
}

#[test]
fn a_directory_is_read_with_its_subdirectories_and_without_its_secrets() {
    let dir = TempDir::new().unwrap();
    for (name, text) in sample() {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    for (name, text) in [
        ("secrets/bgp/tor.yaml", "not: [yaml"),
        (".git/config.yaml", "not: [yaml"),
        ("policies/.hidden.yaml", "not: [yaml"),
        ("policies/README", "not: [yaml"),
        ("policies/shop.yaml~", "not: [yaml"),
        ("policies/deep/er/none.yaml", ""),
    ] {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let loaded = load(dir.path(), "host").unwrap();
    assert_eq!(*loaded.config, read(sample()).unwrap());
    std::os::unix::fs::symlink("..", dir.path().join("policies/loop")).unwrap();
    assert_eq!(*load(dir.path(), "host").unwrap().config, *loaded.config, "a link may lead back");
    fs::write(dir.path().join("policies/deep/er/none.yaml"), [0xff]).unwrap();
    std::os::unix::fs::symlink("/nonexistent", dir.path().join("gone.yaml")).unwrap();
    let errors = load(dir.path(), "host").unwrap_err();
    let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "gone.yaml: cannot read the file: No such file or directory (os error 2)",
            "policies/deep/er/none.yaml: cannot read the file: stream did not contain valid UTF-8",
        ]
    );
    let missing = load(&dir.path().join("none"), "host").unwrap_err();
    assert!(missing[0].to_string().contains("cannot read the directory"), "{}", missing[0]);
}

#[test]
fn the_last_good_configuration_comes_back() {
    let dir = TempDir::new().unwrap();
    let last_good = LastGood::new(&dir.path().join("state"));
    assert_eq!(last_good.load().unwrap(), None);
    let sources: Sources = sample().into_iter().collect();
    last_good.save(&sources).unwrap();
    last_good.save(&sources).unwrap();
    assert_eq!(last_good.load().unwrap(), Some(sources.clone()));
    let loaded = parse(last_good.load().unwrap().unwrap(), "host").unwrap();
    assert_eq!(*loaded.config, read(sample()).unwrap());
    fs::write(dir.path().join("state/last-good.json"), "{").unwrap();
    assert!(last_good.load().is_err());
    last_good.save(&sources).unwrap();
    assert_eq!(last_good.load().unwrap(), Some(sources));
}

#[test]
fn transit_is_asked_for_and_resets_every_session() {
    let config = read(sample()).unwrap();
    let line = NODE.lines().find(|line| line.contains("port:")).unwrap();
    let transit = with("node.yaml", line, &line.replace("port:", "transit: true, port:")).unwrap();
    assert!(transit.node.transit);
    let changes = diff(&config, &transit);
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].what.as_str(), changes[0].impact),
        ("spec.bgp.transit", Impact::SessionReset)
    );
}

#[test]
fn limits_on_what_a_peer_sends_are_taken_over() {
    let limited = |text: &str| {
        let line = "  ebgpMultihop: 4\n";
        with("fabric/bgp.yaml", line, &format!("{line}  prefixLimit: {text}\n"))
    };
    let config = limited("{ maxPrefixes: 20, action: warn, restart: 1m }").unwrap();
    let tor = config.peers.iter().find(|peer| peer.speaker.name.starts_with("tor")).unwrap();
    let limit = tor.speaker.prefix_limit.unwrap();
    assert_eq!((limit.max, limit.warning_threshold, limit.teardown), (20, 75, false));
    assert_eq!(limit.restart, Duration::from_secs(60));
    for (text, place, what) in [
        ("{ }", "spec.prefixLimit", "maxPrefixes"),
        ("{ maxPrefixes: 0 }", "spec.prefixLimit.maxPrefixes", "1"),
        ("{ maxPrefixes: 5, action: close }", "spec.prefixLimit.action", "teardown"),
        ("{ maxPrefixes: 5, warningThreshold: 101 }", "spec.prefixLimit.warningThreshold", "100"),
        ("{ maxPrefixes: 5, restart: 0s }", "spec.prefixLimit.restart", "5m"),
        ("{ maxPrefixes: 5, restrat: 1s }", "spec.prefixLimit.restrat", "restart"),
    ] {
        let errors = limited(text).expect_err("this is wrong");
        assert!(errors.contains(place) && errors.contains(what), "{text}: {errors}");
    }
    let allowed = with(
        "fabric/bgp.yaml",
        "asNumber: 65102 }",
        "asNumber: 65102, numAllowedLocalASNumbers: 2 }",
    );
    assert!(allowed.is_ok());
}
