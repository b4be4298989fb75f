// SPDX-License-Identifier: MIT OR Apache-2.0
//! DEL: as often as a runtime likes, with as little as it has left.

use anyhow::{Result, ensure};
use fabric_tests::workload::Attachment;
use fabric_tests::{eventually, require};

use super::scene::{Container, DUAL, PATIENCE, Scene, UNKNOWN_CONTAINER, expect_refusal};

#[test]
fn del_succeeds_again_and_again_with_less_and_less() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("del", &DUAL)?;
    let before = scene.footprint()?;
    let (container, added) = Container::attached(&scene, "c")?;
    let here = container.attachment();
    let nowhere = Attachment { netns: None, ..here };
    let never = Attachment { id: "never-attached", ..nowhere };
    let silent = scene.runtime.clone().omitting_netns();
    for (runtime, attachment) in [
        (&scene.runtime, here),
        (&scene.runtime, here),
        (&scene.runtime, nowhere),
        (&silent, nowhere),
        (&scene.runtime, never),
        (&silent, never),
    ] {
        let answer = runtime.del(attachment)?.success()?;
        ensure!(answer.body.is_null(), "{}", answer.body);
    }
    expect_refusal(&scene.runtime.check(here, &added)?, UNKNOWN_CONTAINER, &["not attached"])?;
    eventually(PATIENCE, "nothing is left", || {
        scene.footprint()?.ensure_same(&before)?;
        ensure!(scene.records()?.is_empty() && scene.workloads()?.is_empty());
        Ok(())
    })
}

#[test]
fn the_first_del_may_come_without_a_namespace() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("dead", &DUAL)?;
    let before = scene.footprint()?;
    let (empty, _) = Container::attached(&scene, "empty")?;
    let (missing, _) = Container::attached(&scene, "missing")?;
    let (gone, _) = Container::attached(&scene, "gone")?;
    scene.runtime.del(Attachment { netns: None, ..empty.attachment() })?.success()?;
    let silent = scene.runtime.clone().omitting_netns();
    silent.del(Attachment { netns: None, ..missing.attachment() })?.success()?;
    // The container died first, and its end of the link with it.
    drop(gone);
    let dead = Attachment { id: "gone", interface: "eth0", netns: None };
    scene.runtime.del(dead)?.success()?;
    for container in [&empty, &missing] {
        container.wait_bare()?;
    }
    eventually(PATIENCE, "nothing is left", || {
        scene.footprint()?.ensure_same(&before)?;
        ensure!(scene.records()?.is_empty() && scene.workloads()?.is_empty());
        Ok(())
    })
}

#[test]
fn del_of_another_namespace_is_success_without_effect() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("late", &DUAL)?;
    let (first, _) = Container::attached(&scene, "c")?;
    // The runtime made the sandbox anew, then cleans up the first one.
    let second = Container::new("c")?;
    let added = scene.runtime.add(second.attachment(), &[])?.success()?;
    let before = (scene.footprint()?, scene.records()?, scene.workloads()?);
    scene.runtime.del(first.attachment())?.success()?;
    scene.wait_in_sync()?;
    let after = (scene.footprint()?, scene.records()?, scene.workloads()?);
    ensure!(after == before, "{after:?} is not {before:?}");
    scene.runtime.check(second.attachment(), &added)?.success()?;
    for address in added.addresses() {
        scene.netns.run(&format!("ping -c 1 -W 2 {address}"))?;
    }
    Ok(())
}
