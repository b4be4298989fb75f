// SPDX-License-Identifier: MIT OR Apache-2.0
//! A node under attack: what others do wrong, by malice or by accident, costs them, not the node.

#[path = "cni_lifecycle/scene.rs"]
#[expect(dead_code, reason = "shared with the life of a workload, which uses all of it")]
mod scene;

#[path = "hostile/peer.rs"]
mod peer;

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use fabric_tests::node::{NodeConfig, PeerConfig};
use fabric_tests::workload::Execution;
use fabric_tests::{Netns, Port, cable, eventually, require};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use scene::{Container, DUAL, PATIENCE, Scene, TRY_AGAIN, expect_refusal, items};

/// More than this is growth without bound. The daemon takes about 30 MB at rest, unoptimised.
const MEMORY_MB: u64 = 200;

/// The most memory a process ever held.
fn peak_mb(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("reading status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()).context("no VmHWM")?;
    Ok(kilobytes.parse::<u64>().context("parsing VmHWM")? / 1024)
}

/// The same process still runs, its memory is bounded, and it attaches and detaches a container.
fn ensure_well(scene: &mut Scene, pid: u32, after: &str) -> Result<()> {
    let running = scene.node.is_running() && scene.node.pid() == Some(pid);
    ensure!(running, "the daemon ended after {after}: {}", scene.node.log()?);
    let peak = peak_mb(pid)?;
    ensure!(peak < MEMORY_MB, "{peak} MB after {after}");
    let (container, _) = Container::attached(scene, "probe").context(after.to_owned())?;
    scene.runtime.del(container.attachment())?.success().context(after.to_owned())?;
    container.wait_bare()
}

fn connect(scene: &Scene, socket: &str) -> Result<UnixStream> {
    let stream = UnixStream::connect(scene.node.run_dir().join(socket)).context("connecting")?;
    stream.set_read_timeout(Some(PATIENCE)).context("setting a time limit")?;
    stream.set_write_timeout(Some(PATIENCE)).context("setting a time limit")?;
    Ok(stream)
}

/// Sends bytes with copies of a descriptor, and gives everything that comes back.
fn exchange(mut stream: UnixStream, bytes: &[u8], fds: usize) -> Result<String> {
    let null = fs::File::open("/dev/null").context("opening /dev/null")?;
    let all = vec![null.as_fd(); fds];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if fds > 0 {
        ensure!(control.push(SendAncillaryMessage::ScmRights(&all)), "no room for descriptors");
    }
    let sent =
        rustix::net::sendmsg(&stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    let sent = sent.context("sending")?;
    // The daemon may have heard enough before the end.
    let _refused = stream.write_all(&bytes[sent..]);
    let _refused = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _reset = stream.read_to_end(&mut answer);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn frame(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], body].concat()
}

#[test]
fn garbage_on_the_sockets_is_refused_and_costs_nothing() -> Result<()> {
    require!("ip", "nft");
    let mut scene = Scene::new("garbage", &DUAL)?;
    let pid = scene.node.pid().context("no process")?;
    let deep = [&b"{\"version\":{\"major\":1,\"minor\":0},\"x\":"[..], &[b'['; 500_000]].concat();
    let add = br#"{"version":{"major":1,"minor":0},"plugin":"0","call":{"add":{"containerId":"x","ifname":"eth0",
        "network":"n","netns":{"dev":4,"ino":1},"ips":[],"mac":null,"labels":{},"namespace":null,"name":null,
        "ipv6Problem":null}}}"#;
    let frames: [(&str, Vec<u8>, usize, &str); 8] = [
        ("a length of zero", vec![0; 4], 0, "cannot be decoded"),
        ("a length of 4 GiB", vec![0xff; 64], 0, "longer than"),
        ("no JSON", frame(&[0x80; 64]), 0, "cannot be decoded"),
        ("deep JSON", frame(&deep), 0, "cannot be decoded"),
        ("no descriptors", frame(add), 0, "0 file descriptors"),
        ("one descriptor", frame(add), 1, "1 file descriptors"),
        ("a strange kind of descriptor", frame(add), 2, "not the descriptors of a container"),
        ("all descriptors there can be", frame(add), 253, "more than 2 file descriptors"),
    ];
    for (what, bytes, fds, expected) in frames {
        let answer = exchange(connect(&scene, "cni.sock")?, &bytes, fds)?;
        ensure!(answer.contains(expected), "{what}: {answer:?}");
    }
    let heads: [(&[u8], &str); 4] = [
        (&[0xff; 4096], "400 Bad Request"),
        (&[&b"GET / HTTP/1.1\r\nX: "[..], &[b'a'; 1 << 20]].concat(), "431"),
        (b"POST /api/v1/status HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\nx", "405"),
        (b"GET /api/v1/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "404"),
    ];
    for (head, expected) in heads {
        let answer = exchange(connect(&scene, "routed.sock")?, head, 0)?;
        ensure!(answer.starts_with("HTTP/1.1 4") && answer.contains(expected), "{answer:?}");
    }
    let before = fs::read_dir(format!("/proc/{pid}/fd")).context("listing")?.count();
    // Clients that never say what they want, more than there are places.
    for socket in ["cni.sock", "routed.sock"] {
        let silent: Vec<_> = (0..200).map(|_| connect(&scene, socket)).collect::<Result<_>>()?;
        ensure_well(&mut scene, pid, "silent clients")?;
        drop(silent);
    }
    eventually(PATIENCE, "the descriptors are closed", || {
        let now = fs::read_dir(format!("/proc/{pid}/fd")).context("listing")?.count();
        ensure!(now <= before, "{now} instead of {before}");
        Ok(())
    })
}

#[test]
fn bad_files_are_refused_by_name_and_what_was_in_force_stays() -> Result<()> {
    require!("ip", "nft");
    let mut scene = Scene::new("files", &DUAL)?;
    let pid = scene.node.pid().context("no process")?;
    let dir = scene.node.config_dir().join("policies");
    fs::create_dir_all(&dir).context("creating a directory")?;
    let nested = |depth: usize| {
        (0..depth).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>().into_bytes()
    };
    let mut bomb = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_vec();
    for level in 1..20 {
        let alias = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.extend(format!("a{level}: &a{level} [{alias}]\n").bytes());
    }
    let files: [(&str, Vec<u8>); 6] = [
        ("no text", vec![0xff, 0xfe, 0, 0]),
        ("half a document", b"apiVersion: projectcalico.org/v3\nkind".to_vec()),
        ("an alias bomb", bomb),
        ("63 levels", nested(63)),
        ("3000 levels", nested(3000)),
        ("a list of lists", vec![b'['; 200_000]),
    ];
    let bad = dir.join("bad.yaml");
    let refused = |scene: &Scene, what: &str| {
        eventually(PATIENCE, "the file is refused", || {
            let reasons = scene.node.json(&["status"])?["reasons"].to_string();
            ensure!(reasons.contains("policies/bad.yaml"), "{what}: {reasons}");
            Ok(())
        })
    };
    for (what, text) in files {
        fs::write(&bad, text).with_context(|| what.to_owned())?;
        refused(&scene, what)?;
        ensure_well(&mut scene, pid, what)?;
        fs::remove_file(&bad).with_context(|| what.to_owned())?;
        eventually(PATIENCE, "the good files count again", || {
            let status = scene.node.json(&["status"])?;
            ensure!(status["degraded"] == false, "{what}: {status}");
            Ok(())
        })?;
    }
    std::os::unix::fs::symlink("bad.yaml", &bad).context("linking")?;
    refused(&scene, "a link to itself")?;
    ensure_well(&mut scene, pid, "a link to itself")
}

#[test]
fn an_add_that_a_del_overtakes_is_told_to_come_again() -> Result<()> {
    require!("ip", "nft");
    let blocks = ["10.64.0.0/26", "10.64.0.64/26", "10.64.0.128/26", "10.64.0.192/26"];
    let scene = Scene::new("races", &blocks)?;
    let containers: Vec<Container> =
        (0..8).map(|n| Container::new(&format!("c{n}"))).collect::<Result<_>>()?;
    for _round in 0..16 {
        for container in &containers {
            scene.runtime.add(container.attachment(), &[])?.success()?;
        }
        let mut wanted: Vec<(usize, bool)> =
            (0..containers.len()).flat_map(|n| [(n, true), (n, true), (n, false)]).collect();
        fastrand::shuffle(&mut wanted);
        let started: Vec<(bool, Execution)> = wanted
            .into_iter()
            .map(|(n, adds)| {
                let at = containers[n].attachment();
                Ok((
                    adds,
                    match adds {
                        true => scene.runtime.start_add(at, &[])?,
                        false => scene.runtime.start("DEL", at, scene.runtime.config())?,
                    },
                ))
            })
            .collect::<Result<_>>()?;
        for (adds, execution) in started {
            let answer = execution.finish()?;
            if adds && answer.exit != 0 {
                expect_refusal(&answer, TRY_AGAIN, &["meanwhile"])?;
            } else {
                answer.success()?;
            }
        }
    }
    for container in &containers {
        scene.runtime.del(container.attachment())?.success()?;
        container.wait_bare()?;
    }
    ensure!(scene.workloads()?.is_empty() && scene.records()?.is_empty());
    Ok(())
}

const BAD: u16 = 65_101;
const GOOD: u16 = 65_102;

/// State and number of sessions so far of a peer.
fn session(scene: &Scene, name: &str) -> Result<(String, u64)> {
    let peers = items(scene.node.json(&["bgp", "peers"])?)?;
    let peer = peers.into_iter().find(|peer| peer["name"] == name).context("no such peer")?;
    let state = peer["state"].as_str().context("no state")?.to_owned();
    Ok((state, peer["establishedTransitions"].as_u64().context("no count")?))
}

#[test]
fn a_hostile_peer_harms_neither_the_node_nor_other_sessions() -> Result<()> {
    require!("ip", "nft");
    let mut scene = Scene::new("peers", &DUAL)?;
    let (bad, good) = (Netns::new("bad")?, Netns::new("good")?);
    cable(
        &Port::new(&scene.netns, "up0", &["10.0.0.1/31"]),
        &Port::new(&bad, "t0", &["10.0.0.0/31"]),
    )?;
    cable(
        &Port::new(&scene.netns, "up1", &["10.0.1.1/31"]),
        &Port::new(&good, "t0", &["10.0.1.0/31"]),
    )?;
    let peer = |name: &str, address: &str, asn: u16| PeerConfig {
        name: name.to_owned(),
        address: address.to_owned(),
        asn: asn.into(),
        passive: true,
        families: vec!["ipv4"],
        bfd: None,
    };
    let mut wanted = NodeConfig::new("peers", 4_200_000_111);
    wanted.addresses = Some((scene::NODE_V4.to_owned(), scene::NODE_V6.to_owned()));
    wanted.uplinks = vec!["up0".to_owned(), "up1".to_owned()];
    wanted.peers = vec![peer("bad", "10.0.0.0", BAD), peer("good", "10.0.1.0", GOOD)];
    wanted.write(&scene.node)?;
    let pid = scene.node.pid().context("no process")?;
    let node = Ipv4Addr::new(10, 0, 0, 1);
    let id = Ipv4Addr::new(10, 0, 0, 0);
    let _steady = peer::Steady::new(&good, Ipv4Addr::new(10, 0, 1, 1), GOOD, [10, 0, 1, 0].into())?;
    eventually(PATIENCE, "the good session is up", || {
        ensure!(session(&scene, "good")?.0 == "established");
        Ok(())
    })?;

    // What would take the node's own traffic away, then a prefix that shows that all was looked at.
    let mut stream = peer::connect(&bad, node)?;
    let harm: Vec<(Ipv4Addr, u8)> = [
        ([10, 64, 1, 0], 26),
        ([10, 64, 1, 7], 32),
        ([10, 0, 0, 0], 32),
        ([10, 0, 1, 0], 31),
        ([10, 0, 1, 0], 32),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([224, 0, 0, 0], 4),
    ]
    .map(|(address, length)| (address.into(), length))
    .to_vec();
    let sentinel = (Ipv4Addr::new(192, 168, 99, 0), 24);
    let talk = [
        peer::open(4, BAD, 9, id),
        peer::keepalive(),
        peer::update(BAD, id, &harm),
        peer::update(BAD, node, &[(Ipv4Addr::new(192, 168, 1, 0), 24)]),
        peer::update(BAD, Ipv4Addr::new(10, 64, 1, 3), &[(Ipv4Addr::new(192, 168, 2, 0), 24)]),
        peer::update(BAD, id, &[sentinel]),
        peer::keepalive(),
    ];
    stream.write_all(&talk.concat()).context("sending")?;
    eventually(PATIENCE, "the sentinel is a route", || {
        let routes = scene.netns.run("ip -4 route show proto 83")?;
        let lines: Vec<&str> = routes.lines().collect();
        ensure!(lines.len() == 1 && lines[0].starts_with("192.168.99.0/24 "), "{lines:?}");
        Ok(())
    })?;
    // A message that drips is no sign of life.
    stream.write_all(&peer::update(BAD, id, &[sentinel])[..30]).context("sending")?;
    eventually(PATIENCE, "the silent session is down", || {
        ensure!(session(&scene, "bad")?.0 != "established");
        ensure!(scene.netns.run("ip -4 route show proto 83")?.is_empty());
        Ok(())
    })?;
    ensure_well(&mut scene, pid, "harmful routes")?;

    // Connections that say nothing, something wrong, or nothing that is BGP.
    let words: [Vec<u8>; 7] = [
        Vec::new(),
        vec![0x55; 4096],
        peer::message(0, &[]),
        peer::open(3, BAD, 9, id),
        peer::open(4, GOOD, 9, id),
        peer::open(4, BAD, 1, id),
        peer::open(4, BAD, 9, Ipv4Addr::UNSPECIFIED),
    ];
    for _wave in 0..4 {
        let mut all = Vec::new();
        for n in 0..300 {
            // Refused by its reset or not: both is an answer.
            let Ok(mut stream) = peer::connect(&bad, node) else { continue };
            let _refused = stream.write_all(&words[n % words.len()]);
            all.push(stream);
        }
        ensure_well(&mut scene, pid, "a flood of connections")?;
    }
    ensure!(session(&scene, "good")? == ("established".to_owned(), 1), "the good session suffered");
    Ok(())
}
