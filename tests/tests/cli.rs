// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line against a real daemon: exit codes, JSON keys, tables, and what is printed where.
//!
//! One node with a workload, a policy and a BIRD as peer. Every command that reads is asked for everything, for one
//! thing that is there, and for one that is not; as a table and as JSON.

#[path = "cli/keys.rs"]
mod keys;

use std::io::Read as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fabric_tests::node::{NodeConfig, PeerConfig, kernel_routes};
use fabric_tests::peer::routed::{Routed, find_program};
use fabric_tests::peer::{self, Config, Kind, Peer, Session};
use fabric_tests::workload::{Attachment, Runtime};
use fabric_tests::{Netns, Port, cable, command, eventually, output, require};
use serde_json::Value;

use keys::Keys;

const PATIENCE: Duration = Duration::from_secs(30);

const POLICY: &str = r#"apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: a-in, namespace: shop }
spec:
  order: 100
  selector: app == "a"
  types: [Ingress]
  ingress: [{ action: Allow, protocol: UDP, destination: { ports: [7001] } }]
"#;

struct Scene {
    node: Routed,
    netns: Netns,
    bird: Box<dyn Peer>,
    _workload: Netns,
}

fn scene() -> Result<Scene> {
    let (netns, tor) = (Netns::new("node")?, Netns::new("tor")?);
    cable(
        &Port::new(&netns, "eth0", &["10.0.1.1/24", "fd00:1::1/64"]),
        &Port::new(&tor, "eth0", &["10.0.1.2/24", "fd00:1::2/64"]),
    )?;
    let session = Session::new("10.0.1.2".parse()?, "10.0.1.1".parse()?, 4_200_000_111);
    let config = Config::new(65_101, "10.0.1.2".parse()?)
        .session(session.dual("fd00:1::2".parse()?).passive());
    let config = Config { graceful_restart: true, ..config };
    let mut node = Routed::new(&netns)?;
    let mut wanted = NodeConfig::new("n1", 4_200_000_111);
    wanted.uplinks = vec!["eth0".to_owned()];
    let peer = |name: &str, address: &str| PeerConfig {
        name: name.to_owned(),
        address: address.to_owned(),
        asn: 65_101,
        passive: false,
        families: vec!["ipv4", "ipv6"],
        bfd: None,
    };
    wanted.peers = vec![peer("tor", "10.0.1.2")];
    wanted.write(&node)?;
    node.configure("policies/a.yaml", POLICY)?;
    node.start()?;
    // The first attempt fails, so that there is a reason why the last session ended.
    eventually(PATIENCE, "an attempt failed", || {
        let peers = node.json(&["bgp", "peers"])?;
        ensure!(peers["items"][0]["lastDown"]["reason"].is_string(), "{peers}");
        Ok(())
    })?;
    let mut bird = peer::start(Kind::Bird, &tor, config)?;
    bird.originate("10.64.2.0/26".parse()?)?;
    bird.originate("fd00:64:2::/122".parse()?)?;
    // Ours: refused.
    bird.originate("10.64.1.0/26".parse()?)?;
    eventually(PATIENCE, "the node is in sync", || {
        let status = node.json(&["status"])?;
        ensure!(status["degraded"] == false && status["routes"]["programmed"] == 4, "{status}");
        Ok(())
    })?;
    let workload = Netns::new("a")?;
    let runtime = Runtime::new(&netns, &node.cni_socket())?.in_namespace("shop");
    runtime.add(Attachment::new("a", &workload), &[("app", "a")])?.success()?;
    Ok(Scene { node, netns, bird, _workload: workload })
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs it as a table and as JSON, and holds both to the exit code. Returns the table and the JSON of where it belongs:
/// standard output if good, else standard error.
fn both(node: &Routed, words: &[&str], code: i32) -> Result<(String, Value)> {
    let table = node.cli(words)?;
    let json = node.cli(&[words, &["-j"]].concat())?;
    for (name, answer) in [("table", &table), ("JSON", &json)] {
        ensure!(
            answer.status.code() == Some(code),
            "{words:?} as {name}: {} instead of {code}: {}",
            answer.status,
            stderr(answer)
        );
        // Data on one, everything else on the other.
        ensure!(answer.stdout.is_empty() == (code != 0), "{words:?} as {name}: {}", stdout(answer));
        ensure!(answer.stderr.is_empty() == (code == 0), "{words:?} as {name}: {}", stderr(answer));
    }
    let (table, json) =
        if code == 0 { (table.stdout, json.stdout) } else { (table.stderr, json.stderr) };
    let json = serde_json::from_slice(&json).with_context(|| format!("JSON of {words:?}"))?;
    Ok((String::from_utf8(table)?, json))
}

#[test]
fn every_reading_command_keeps_its_exit_codes_and_json_keys() -> Result<()> {
    require!("ip", "nft", "bird");
    let scene = scene()?;
    let node = &scene.node;
    lists_have_their_keys(node)?;
    objects_have_their_keys(node)?;
    what_is_not_there_is_exit_code_4(node)?;
    what_makes_no_sense_is_exit_code_2(node)?;
    tables_count_in_english(node)?;
    readers_may_go_away(node)?;
    ok_means_in_sync(scene)
}

fn lists_have_their_keys(node: &Routed) -> Result<()> {
    let workload = node.json(&["workloads"])?["items"][0].clone();
    let address = workload["addresses"][0].as_str().context("an address")?.to_owned();
    for (words, kind, keys) in [
        (&["bgp", "peers"][..], "BgpPeerList", keys::BGP_PEER),
        (&["bgp", "peers", "tor"], "BgpPeerList", keys::BGP_PEER),
        (&["bgp", "peers", "10.0.1.2"], "BgpPeerList", keys::BGP_PEER),
        (&["bgp", "routes"], "BgpRouteList", keys::BGP_ROUTE),
        (&["bgp", "routes", "10.64.2.0/26"], "BgpRouteList", keys::BGP_ROUTE),
        (&["bgp", "routes", "10.64.2.9"], "BgpRouteList", keys::BGP_ROUTE),
        (&["bgp", "routes", "10.64.0.0/16", "--longer"], "BgpRouteList", keys::BGP_ROUTE),
        (&["bgp", "routes", "--family", "v6"], "BgpRouteList", keys::BGP_ROUTE),
        (&["bgp", "routes", "--from", "tor"], "BgpRouteList", keys::BGP_ROUTE),
        (&["bgp", "routes", "--rejected"], "BgpRouteList", keys::BGP_ROUTE),
        (&["bgp", "routes", "--from", "tor", "--rejected"], "BgpRouteList", keys::BGP_ROUTE),
        (&["routes", "10.64.2.0/26"], "RouteList", keys::ROUTE),
        (&["routes", "fd00:64:2::9"], "RouteList", keys::ROUTE),
        (&["workloads"], "WorkloadList", keys::WORKLOAD),
        (&["workloads", "a"], "WorkloadList", keys::WORKLOAD),
        (&["ipam", "show"], "IpamBlockList", keys::IPAM_BLOCK),
        (&["ipam", "show", "--blocks"], "IpamBlockList", keys::IPAM_BLOCK),
        (&["ipam", "show", "--ip", &address], "WorkloadList", keys::WORKLOAD),
        (&["ipam", "show", "--workload", "a"], "WorkloadList", keys::WORKLOAD),
        (&["policy", "list"], "PolicyList", keys::POLICY),
    ] {
        let (table, json) = both(node, words, 0)?;
        keys.of_list(kind, &json).with_context(|| format!("{words:?}"))?;
        ensure!(table.lines().count() > 1, "{words:?} has rows: {table}");
    }
    // Blackholes have no next hop; all else holds for them, too.
    let (_, routes) = both(node, &["routes"], 0)?;
    let all = routes["items"].as_array().context("items")?;
    ensure!(all.len() == 6, "two blocks, two learned, two of the workload: {routes}");
    let but_hops = Keys(&["prefix", "family", "protocol", "table", "metric", "nextHops", "state"]);
    but_hops.of_list("RouteList", &routes)
}

fn objects_have_their_keys(node: &Routed) -> Result<()> {
    for (words, keys) in [
        (&["status"][..], keys::STATUS),
        (&["status", "--check"], keys::STATUS),
        (&["status", "--wait=1s"], keys::STATUS),
        (&["bgp", "why", "10.64.2.0/26"], keys::BGP_WHY),
        // That nobody sent it is an explanation.
        (&["bgp", "why", "192.0.2.0/24"], keys::BGP_WHY),
        (&["policy", "show", "shop/a-in"], keys::POLICY_DETAIL),
        (&["version"], keys::VERSION),
    ] {
        let (_, json) = both(node, words, 0)?;
        keys.of(&json).with_context(|| format!("{words:?}"))?;
    }
    let (table, _) = both(node, &["bgp", "why", "192.0.2.0/24"], 0)?;
    ensure!(table.contains("no peer sent it and it is not originated here"), "{table}");
    Ok(())
}

fn what_is_not_there_is_exit_code_4(node: &Routed) -> Result<()> {
    for words in [
        &["bgp", "peers", "nosuch"][..],
        &["bgp", "routes", "192.0.2.0/24"],
        &["bgp", "routes", "192.0.2.1"],
        &["bgp", "routes", "192.0.2.0/24", "--longer"],
        &["bgp", "routes", "10.64.2.0/26", "--family", "v6"],
        &["bgp", "routes", "10.64.2.0/26", "--rejected"],
        &["bgp", "routes", "192.0.2.0/24", "--from", "tor"],
        &["bgp", "routes", "--from", "nosuch"],
        &["routes", "192.0.2.0/24"],
        &["routes", "192.0.2.1"],
        &["workloads", "nosuch"],
        &["ipam", "show", "--ip", "192.0.2.1"],
        &["ipam", "show", "--workload", "nosuch"],
        &["policy", "show", "nosuch"],
        &["policy", "show", "a-in"],
    ] {
        let (_, json) = both(node, words, 4)?;
        ensure!(json["error"]["code"] == "notFound", "{words:?}: {json}");
    }
    // A question for all is answered with none.
    let none = both(node, &["bgp", "routes", "--rejected", "--family", "v6"], 0)?.1;
    ensure!(none["items"] == Value::Array(Vec::new()), "only IPv4 was refused: {none}");
    for words in
        [&["bgp", "routes", "--rejected"][..], &["bgp", "routes", "--rejected", "--from", "tor"]]
    {
        let (_, refused) = both(node, words, 0)?;
        let items = refused["items"].as_array().context("items")?;
        ensure!(items.len() == 1 && items[0]["prefix"] == "10.64.1.0/26", "{words:?}: {refused}");
    }
    Ok(())
}

fn what_makes_no_sense_is_exit_code_2(node: &Routed) -> Result<()> {
    for (words, code) in [
        (&["bgp", "nosuch"][..], "usage"),
        (&["--nosuch", "status"], "usage"),
        (&["routes", "10.64.2.1/26"], "usage"),
        (&["ipam", "show", "--ip", "nosuch"], "usage"),
        (&["run"], "usage"),
        (&["demo", "status"], "usage"),
        (&["bgp", "routes", "10.64.2.1/26"], "badRequest"),
        (&["bgp", "why", "nosuch"], "badRequest"),
    ] {
        let answer = node.cli(&[words, &["-j"]].concat())?;
        ensure!(answer.status.code() == Some(2), "{words:?}: {}", answer.status);
        let json: Value = serde_json::from_slice(&answer.stderr)
            .with_context(|| format!("{words:?}: {}", stderr(&answer)))?;
        ensure!(json["error"]["code"] == code, "{words:?}: {json}");
        ensure!(answer.stdout.is_empty(), "{words:?}: {}", stdout(&answer));
    }
    Ok(())
}

fn tables_count_in_english(node: &Routed) -> Result<()> {
    let (status, _) = both(node, &["status"], 0)?;
    ensure!(status.contains("  1 policy  "), "{status}");
    ensure!(status.lines().next().is_some_and(|line| line.ends_with("   OK")), "{status}");
    let (policy, _) = both(node, &["policy", "show", "shop/a-in"], 0)?;
    ensure!(policy.contains("   1 local endpoint   "), "{policy}");
    let config = node.config_dir();
    let config = config.to_str().context("a path")?;
    let (good, _) = both(node, &["validate", config], 0)?;
    let counts = "2 pools, 2 blocks, 1 peer, 1 policy, 0 static endpoints: good";
    ensure!(good.contains(counts), "{good}");
    let (bad, json) = both(node, &["validate", "/nonexistent"], 1)?;
    ensure!(bad.starts_with("error: 1 problem\n/nonexistent: cannot read"), "{bad}");
    ensure!(json["error"]["code"] == "configInvalid", "{json}");
    Ok(())
}

/// Standard output is a pipe whose reader has gone: the answer is nobody's, and no error.
fn readers_may_go_away(node: &Routed) -> Result<()> {
    let program = find_program("ROUTED_BIN", "routed", "routed")?;
    let socket = node.run_dir().join("routed.sock");
    let config = node.config_dir();
    for words in [
        "--help",
        "status",
        "bgp peers",
        "bgp routes",
        "bgp why 10.64.2.0/26",
        "routes",
        "workloads",
        "ipam show",
        "policy list",
        "policy show shop/a-in",
        "version",
        "validate",
    ] {
        for format in ["table", "json"] {
            let mut asked = command(&program);
            asked.arg("--socket").arg(&socket).args(["-o", format]).args(words.split(' '));
            if words == "validate" {
                asked.arg(&config);
            }
            let answer = unread(&mut asked)?;
            ensure!(answer.status.success(), "{words}: {}", answer.status);
            ensure!(answer.stderr.is_empty(), "{words}: {}", stderr(&answer));
        }
    }
    Ok(())
}

/// Runs it with an end of a pipe as standard output whose other end is closed before it starts.
fn unread(command: &mut Command) -> Result<Output> {
    let (reader, writer) = std::io::pipe().context("a pipe")?;
    drop(reader);
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped()).spawn()?;
    let mut text = Vec::new();
    child.stderr.take().context("standard error")?.read_to_end(&mut text)?;
    Ok(Output { status: child.wait()?, stdout: Vec::new(), stderr: text })
}

/// After a restart the routes of the run before stay until the peers have sent everything: the node is not OK before.
fn ok_means_in_sync(mut scene: Scene) -> Result<()> {
    scene.node.kill();
    scene.bird.kill();
    scene.node.start()?;
    eventually(PATIENCE, "the routes of the run before wait for the peer", || {
        let status = consistent(&scene.node)?;
        let reasons = status["reasons"].to_string();
        ensure!(reasons.contains("2 learned routes pending"), "{status}");
        ensure!(status["kernel"]["inSync"] == false, "{status}");
        Ok(())
    })?;
    ensure!(kernel_routes(&scene.netns, "-4", 83)?.len() == 1, "the route of the run before");
    let table = stdout(&scene.node.cli(&["status"])?);
    ensure!(table.contains("DEGRADED") && table.contains("NOT in sync"), "{table}");
    ensure!(table.contains("  !          2 learned routes pending\n"), "{table}");
    let check = scene.node.cli(&["status", "--check"])?;
    ensure!(check.status.code() == Some(1), "--check of it: {}", check.status);
    scene.bird.start()?;
    eventually(PATIENCE, "the node is healthy again", || {
        let status = consistent(&scene.node)?;
        ensure!(status["degraded"] == false && status["kernel"]["inSync"] == true, "{status}");
        Ok(())
    })
}

/// The status, whose words must agree at any time.
fn consistent(node: &Routed) -> Result<Value> {
    let status = node.json(&["status"])?;
    let is_ok = status["ready"] == true && status["degraded"] == false;
    let reasons = status["reasons"].as_array().context("reasons")?;
    // Asserted, for no later look makes it good again.
    assert!(!is_ok || status["kernel"]["inSync"] == true, "OK without being in sync: {status}");
    assert_eq!(is_ok, reasons.is_empty(), "OK and reasons disagree: {status}");
    Ok(status)
}

#[test]
fn without_a_daemon_every_question_is_exit_code_3() -> Result<()> {
    let program = find_program("ROUTED_BIN", "routed", "routed")?;
    for words in [
        "status",
        "status --check",
        "bgp peers",
        "bgp peers x",
        "bgp routes",
        "bgp why 10.0.0.0/8",
        "routes",
        "workloads",
        "ipam show",
        "policy list",
        "policy show x",
    ] {
        let ask = |format: &str| {
            let socket = ["--socket", "/nonexistent/routed.sock", "-o", format];
            output(command(&program).args(socket).args(words.split(' ')))
        };
        let (table, json) = (ask("table")?, ask("json")?);
        ensure!(table.status.code() == Some(3), "{words}: {}", table.status);
        ensure!(json.status.code() == Some(3), "{words}: {}", json.status);
        let error: Value = serde_json::from_slice(&json.stderr).context("JSON of an error")?;
        ensure!(error["error"]["code"] == "daemonUnreachable", "{words}: {error}");
        ensure!(json.stdout.is_empty() && table.stdout.is_empty(), "{words}: data");
    }
    let version = output(command(&program).args(["--socket", "/nonexistent", "version", "-j"]))?;
    ensure!(version.status.success(), "the program knows its own version");
    let version: Value = serde_json::from_slice(&version.stdout)?;
    ensure!(version["daemon"].is_null(), "{version}");
    Ok(())
}

#[test]
fn every_help_fits_on_a_screen_and_has_examples() -> Result<()> {
    let program = find_program("ROUTED_BIN", "routed", "routed")?;
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(words) = waiting.pop() {
        let help = output(command(&program).args(&words).arg("--help"))?;
        ensure!(help.status.success(), "{words:?}: {}", help.status);
        let text = stdout(&help);
        ensure!(text.lines().count() <= 40, "{words:?}: {} lines", text.lines().count());
        let examples = text.lines().skip_while(|line| *line != "Examples:").skip(1);
        let examples = examples.take_while(|line| line.starts_with("  ")).count();
        ensure!(examples >= 2, "{words:?}: {examples} examples");
        let commands = text.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in commands.take_while(|line| !line.is_empty()) {
            match line.split_whitespace().next() {
                Some(name) if name != "help" && !line.starts_with("   ") => {
                    waiting.push([words.clone(), vec![name.to_owned()]].concat());
                }
                _ => {}
            }
        }
        seen += 1;
    }
    ensure!(seen >= 20, "only {seen} commands: is the help still understood?");
    Ok(())
}
