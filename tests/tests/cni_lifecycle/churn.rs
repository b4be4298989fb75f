// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two hundred containers that come and go at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use fabric_tests::workload::{Answer, Execution};
use fabric_tests::{eventually, require};

use super::scene::{Container, PATIENCE, Scene, TRY_AGAIN, expect_refusal, items};

const CONTAINERS: usize = 200;
/// Pairs of ADD and DEL of the same container in one wave.
const RACES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Add,
    Del,
}

/// Starts everything in a random order before it waits for anything; gives the answers by container.
fn wave(
    scene: &Scene,
    containers: &[Container],
    mut wanted: Vec<(usize, Verb)>,
) -> Result<Vec<(usize, Verb, Answer)>> {
    fastrand::shuffle(&mut wanted);
    let started: Vec<(usize, Verb, Execution)> = wanted
        .into_iter()
        .map(|(number, verb)| {
            let attachment = containers[number].attachment();
            let execution = match verb {
                Verb::Add => scene.runtime.start_add(attachment, &[("wave", "yes")])?,
                Verb::Del => scene.runtime.start("DEL", attachment, scene.runtime.config())?,
            };
            Ok((number, verb, execution))
        })
        .collect::<Result<_>>()?;
    started.into_iter().map(|(n, verb, execution)| Ok((n, verb, execution.finish()?))).collect()
}

/// Every container that should live has the addresses it was told, alone, and answers at them; no other is there.
fn judge(
    scene: &Scene,
    containers: &[Container],
    live: &BTreeMap<usize, Vec<IpAddr>>,
) -> Result<()> {
    scene.wait_in_sync()?;
    let mut owners = BTreeMap::new();
    for (number, addresses) in live {
        ensure!(addresses.len() == 2, "an address of each family: {addresses:?}");
        for address in addresses {
            let other = owners.insert(*address, *number);
            ensure!(other.is_none(), "{address} is {other:?}'s and {number}'s");
        }
        let mut held = containers[*number].addresses()?;
        held.sort();
        ensure!(held == *addresses, "{number} has {held:?}, not {addresses:?}");
    }
    let targets: Vec<String> = owners.keys().map(ToString::to_string).collect();
    let pings = targets
        .iter()
        .map(|target| format!("ping -n -c 1 -W 5 {target} >/dev/null || echo {target}"));
    let script = pings.collect::<Vec<_>>().join("\n");
    let silent = fabric_tests::run(scene.netns.command("sh").arg("-c").arg(script))?;
    ensure!(silent.is_empty(), "no answer from {silent}");

    let shown = scene.workloads()?;
    let shown: BTreeSet<_> = shown.iter().filter_map(|w| w["containerId"].as_str()).collect();
    let expected: BTreeSet<_> = live.keys().map(|n| containers[*n].id.as_str()).collect();
    ensure!(shown == expected, "{shown:?} is not {expected:?}");
    ensure!(scene.records()?.len() == live.len(), "{:?}", scene.records()?);
    let footprint = scene.footprint()?;
    ensure!(footprint.links.len() == live.len(), "{:?}", footprint.links);
    // The blocks' own routes beside those of the workloads.
    let hosts = footprint.routes.iter().filter(|route| !route.starts_with("blackhole")).count();
    ensure!(hosts == owners.len(), "{:?}", footprint.routes);
    Ok(())
}

#[test]
fn two_hundred_adds_and_dels_at_once_leave_nothing_behind() -> Result<()> {
    require!("ip", "nft");
    // Released addresses rest, so there are more than containers.
    let blocks: Vec<String> = (0..16)
        .flat_map(|n| {
            let host = n * 64;
            [
                format!("10.64.{}.{}/26", host / 256, host % 256),
                format!("fd00:64:0:0:0:0:0:{host:x}/122"),
            ]
        })
        .collect();
    let blocks: Vec<&str> = blocks.iter().map(String::as_str).collect();
    let scene = Scene::new("churn", &blocks)?;
    let before = scene.footprint()?;
    let containers: Vec<Container> =
        (0..CONTAINERS).map(|n| Container::new(&format!("c{n}"))).collect::<Result<_>>()?;
    let mut live = BTreeMap::new();

    // A half comes.
    let half = CONTAINERS / 2;
    for (number, _, answer) in
        wave(&scene, &containers, (0..half).map(|n| (n, Verb::Add)).collect())?
    {
        live.insert(number, answer.success()?.addresses());
    }
    judge(&scene, &containers, &live).context("the first half")?;

    // It goes while the other half comes.
    let verb = |n| if n < half { (n, Verb::Del) } else { (n, Verb::Add) };
    for (number, verb, answer) in wave(&scene, &containers, (0..CONTAINERS).map(verb).collect())? {
        let answer = answer.success()?;
        match verb {
            Verb::Add => live.insert(number, answer.addresses()),
            Verb::Del => live.remove(&number),
        };
    }
    judge(&scene, &containers, &live).context("the other half")?;

    // Everybody asks again, and some are asked to come and to go at the same time.
    let mut wanted: Vec<_> = (0..CONTAINERS).map(|n| (n, Verb::Add)).collect();
    wanted.extend((0..RACES).map(|n| (n * CONTAINERS / RACES, Verb::Del)));
    let raced = |n: usize| n.is_multiple_of(CONTAINERS / RACES);
    for (number, verb, answer) in wave(&scene, &containers, wanted)? {
        match verb {
            Verb::Add if raced(number) && answer.exit != 0 => {
                expect_refusal(&answer, TRY_AGAIN, &["meanwhile"])?;
            }
            Verb::Add => {
                let addresses = answer.success()?.addresses();
                let before = live.insert(number, addresses.clone());
                let same = raced(number) || before.is_none_or(|before| before == addresses);
                ensure!(same, "{number} got another address");
            }
            Verb::Del => {
                answer.success()?;
            }
        }
    }
    // Who won a race is told by the daemon, and what it tells must be so.
    eventually(PATIENCE, "the races are over", || {
        ensure!(scene.workloads()?.iter().all(|w| w["state"] == "ready"));
        Ok(())
    })?;
    let shown = scene.workloads()?;
    let shown: BTreeSet<_> = shown.iter().filter_map(|w| w["containerId"].as_str()).collect();
    live.retain(|number, _| !raced(*number) || shown.contains(containers[*number].id.as_str()));
    judge(&scene, &containers, &live).context("after the races")?;

    // All go.
    for (_, _, answer) in
        wave(&scene, &containers, (0..CONTAINERS).map(|n| (n, Verb::Del)).collect())?
    {
        answer.success()?;
    }
    eventually(PATIENCE, "nothing is left", || {
        scene.footprint()?.ensure_same(&before)?;
        ensure!(scene.records()?.is_empty(), "{:?}", scene.records()?);
        ensure!(scene.workloads()?.is_empty(), "{:?}", scene.workloads()?);
        Ok(())
    })?;
    for block in items(scene.node.json(&["ipam", "show"])?)? {
        ensure!(block["inUse"] == 0, "{block}");
    }
    for container in &containers {
        container.wait_bare()?;
    }
    ensure!(scene.node.json(&["status"])?["degraded"] == false);
    Ok(())
}
