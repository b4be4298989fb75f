// SPDX-License-Identifier: MIT OR Apache-2.0
//! Addresses as containers come and go: first in, first out, a rest in between, and a word when there are none.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fabric_tests::{eventually, require};
use serde_json::Value;

use super::scene::{Container, Scene, TRY_AGAIN, expect_refusal, items};

/// `ADDRESS_UNAVAILABLE` of the plugin.
const ADDRESS_UNAVAILABLE: u64 = 101;
/// A released address rests for 30 s.
const COOL_DOWN: Duration = Duration::from_secs(40);
const BLOCK: &str = "10.64.1.0/30";
const POOL: &str = "\
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: { name: small }
spec: { cidr: 10.64.0.0/16, blockSize: 30 }
";

fn usage(scene: &Scene) -> Result<Value> {
    let blocks = items(scene.node.json(&["ipam", "show"])?)?;
    blocks.into_iter().find(|block| block["cidr"] == BLOCK).context("the block")
}

fn only(addresses: &[IpAddr]) -> Result<IpAddr> {
    let [address] = addresses else { anyhow::bail!("one address: {addresses:?}") };
    Ok(*address)
}

/// One test, since it waits for both: an address that rests, and a plugin that waits for a daemon in vain.
#[test]
fn addresses_rest_before_they_come_back_and_a_plugin_waits_for_its_daemon() -> Result<()> {
    require!("ip", "nft");
    // Nobody answers there; the plugin waits while everything below goes on.
    let mut away = Scene::new("away", &["10.64.1.0/26"])?;
    let (known, known_added) = Container::attached(&away, "known")?;
    let unborn = Container::new("unborn")?;
    away.node.kill();
    let add = away.runtime.start_add(unborn.attachment(), &[])?;
    let mut config = away.runtime.config().clone();
    config["prevResult"] = known_added.body.clone();
    let check = away.runtime.start("CHECK", known.attachment(), &config)?;
    let del = away.runtime.start("DEL", known.attachment(), away.runtime.config())?;

    let scene = Scene::with("fifo", &[BLOCK], Some(POOL))?;
    addresses_rest(&scene)?;

    for (verb, execution) in [("ADD", add), ("CHECK", check), ("DEL", del)] {
        let answer = execution.finish()?;
        expect_refusal(&answer, TRY_AGAIN, &["not reachable", "cni.sock"]).context(verb)?;
    }
    // What was refused has no effect that comes later; what was there is there.
    away.start()?;
    ensure!(away.workloads()?.len() == 1, "{:?}", away.workloads()?);
    away.runtime.check(known.attachment(), &known_added)?.success()?;
    unborn.wait_bare()?;
    away.runtime.add(unborn.attachment(), &[])?.success()?;
    Ok(())
}

fn addresses_rest(scene: &Scene) -> Result<()> {
    let attach = |id: &str| -> Result<(Container, IpAddr)> {
        let (container, added) = Container::attached(scene, id)?;
        let address = only(&added.addresses())?;
        Ok((container, address))
    };
    // The one that was free longest comes first, so released ones come last.
    let (first, first_address) = attach("first")?;
    let (second, second_address) = attach("second")?;
    for container in [&second, &first] {
        scene.runtime.del(container.attachment())?.success()?;
    }
    let mut held = Vec::new();
    for number in 0..2 {
        let (container, address) = attach(&format!("held-{number}"))?;
        let rested = address != first_address && address != second_address;
        ensure!(rested, "{address} had no rest");
        held.push((container, address));
    }
    let distinct: BTreeSet<_> = held.iter().map(|(_, address)| address).collect();
    ensure!(distinct.len() == held.len(), "{distinct:?}");

    let late = Container::new("late")?;
    let full = scene.runtime.add(late.attachment(), &[])?;
    expect_refusal(&full, ADDRESS_UNAVAILABLE, &["exhausted", BLOCK, "2 cooling"])?;
    let block = usage(scene)?;
    ensure!(block["inUse"] == 2 && block["cooling"] == 2 && block["free"] == 0, "{block}");
    // Somebody who insists on it is told how long.
    let wanted = scene.runtime.clone().with_arguments(&format!("IP={first_address}"));
    let resting = wanted.add(late.attachment(), &[])?;
    expect_refusal(&resting, TRY_AGAIN, &[&first_address.to_string(), "free in"])?;
    ensure!(scene.records()?.len() == 2, "a refused ADD leaves nothing: {:?}", scene.records()?);
    late.wait_bare()?;

    eventually(COOL_DOWN, "the released addresses have rested", || {
        let block = usage(scene)?;
        ensure!(block["free"] == 2 && block["cooling"] == 0, "{block}");
        Ok(())
    })?;
    let added = scene.runtime.add(late.attachment(), &[])?.success()?;
    ensure!(only(&added.addresses())? == second_address, "first in, first out: {}", added.body);
    let (_last, address) = attach("last")?;
    ensure!(address == first_address, "{address}");

    // Now it is full for good.
    let extra = Container::new("extra")?;
    let full = scene.runtime.add(extra.attachment(), &[])?;
    expect_refusal(&full, ADDRESS_UNAVAILABLE, &["exhausted", BLOCK, "4/4", "0 cooling"])?;
    Ok(())
}
