// SPDX-License-Identifier: MIT OR Apache-2.0
//! ADD, CHECK and VERSION: what the runtime is told, and what is true of it.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use fabric_tests::workload::{Answer, Attachment};
use fabric_tests::{Netns, eventually, require};
use serde_json::{Value, json};

use super::scene::{CHECK_FAILED, Container, DUAL, PATIENCE, Scene, expect_refusal};

const VERSIONS: [&str; 3] = ["0.3.1", "0.4.0", "1.0.0"];
/// `CNI_VERSION_INCOMPATIBLE`
const INCOMPATIBLE_VERSION: u64 = 1;

/// The result in the shape of the version, compared with what the kernel of both sides holds.
fn judge_result(
    scene: &Scene,
    container: &Container,
    version: &str,
    families: &[&str],
    added: &Answer,
) -> Result<()> {
    let body = &added.body;
    ensure!(body["cniVersion"] == version, "{body}");
    let link = |netns: &Netns, name: &str| -> Result<Value> {
        let text = netns.run(&format!("ip -j -d link show dev {name}"))?;
        let links: Vec<Value> = serde_json::from_str(&text).context("JSON of ip link")?;
        links.into_iter().next().with_context(|| format!("no link {name}"))
    };
    let [host, inside] = body["interfaces"].as_array().map(Vec::as_slice).unwrap_or_default()
    else {
        anyhow::bail!("not two interfaces: {body}");
    };
    ensure!(host.get("sandbox").is_none(), "the host end comes first, without a sandbox: {body}");
    let name = host["name"].as_str().context("a name")?;
    ensure!(link(&scene.netns, name)?["address"] == host["mac"], "{body}");
    let sandbox = container.netns.path();
    ensure!(inside["sandbox"].as_str().map(AsRef::as_ref) == Some(sandbox.as_path()), "{body}");
    ensure!(inside["name"] == "eth0", "{body}");
    ensure!(link(&container.netns, "eth0")?["address"] == inside["mac"], "{body}");

    let ips = body["ips"].as_array().context("ips")?;
    ensure!(ips.len() == families.len(), "{body}");
    for (ip, family) in ips.iter().zip(families) {
        ensure!(ip["interface"] == 1, "ips belong to the container's end: {body}");
        let told = ip.get("version").and_then(Value::as_str);
        ensure!(told == (version != "1.0.0").then_some(*family), "{body}");
        let (length, gateway) =
            if *family == "4" { ("/32", "169.254.1.1") } else { ("/128", "fe80::1") };
        let whole = ip["address"].as_str().is_some_and(|address| address.ends_with(length));
        ensure!(whole && ip["gateway"] == gateway, "{body}");
    }
    let mut held = container.addresses()?;
    held.sort();
    ensure!(held == added.addresses(), "{held:?} in the container, but {body}");
    let default = |family: &&str| match *family {
        "4" => json!({ "dst": "0.0.0.0/0", "gw": "169.254.1.1" }),
        _ => json!({ "dst": "::/0", "gw": "fe80::1" }),
    };
    ensure!(body["routes"] == Value::from_iter(families.iter().map(default)), "{body}");
    Ok(())
}

/// One node's families in every version: VERSION, ADD, ADD again, CHECK, DEL, DEL again.
fn every_version(label: &str, blocks: &[&str], families: &[&str]) -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new(label, blocks)?;
    let before = scene.footprint()?;
    for version in VERSIONS {
        let runtime = scene.runtime.clone().with("cniVersion", version.into());
        let container = Container::new(&format!("{label}-{version}"))?;
        let attachment = container.attachment();
        let asked = runtime.start("VERSION", attachment, runtime.config())?.finish()?.success()?;
        ensure!(asked.body["supportedVersions"] == json!(VERSIONS), "{}", asked.body);

        let added = runtime.add(attachment, &[])?.success()?;
        judge_result(&scene, &container, version, families, &added)
            .with_context(|| format!("version {version}"))?;
        let again = runtime.add(attachment, &[])?.success()?;
        ensure!(again.body == added.body, "{} is not {}", again.body, added.body);

        let checked = runtime.check(attachment, &added)?;
        if version == "0.3.1" {
            expect_refusal(&checked, INCOMPATIBLE_VERSION, &["0.3.1", "CHECK"])?;
        } else {
            ensure!(checked.clone().success()?.body.is_null(), "{checked:?}");
        }
        for _ in 0..2 {
            let deleted = runtime.del(attachment)?.success()?;
            ensure!(deleted.body.is_null(), "{}", deleted.body);
        }
        container.wait_bare()?;
    }
    eventually(PATIENCE, "nothing is left", || {
        scene.footprint()?.ensure_same(&before)?;
        Ok(())
    })
}

#[test]
fn v4_only_in_every_version() -> Result<()> {
    every_version("v4", &DUAL[..1], &["4"])
}

#[test]
fn v6_only_in_every_version() -> Result<()> {
    every_version("v6", &DUAL[1..], &["6"])
}

#[test]
fn dual_stack_in_every_version() -> Result<()> {
    every_version("dual", &DUAL, &["4", "6"])
}

#[test]
fn labels_of_all_sources_are_shown() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("labels", &DUAL)?;
    let container = Container::new("web")?;
    // From the weakest to the strongest: plugin configuration, runtime, CNI_ARGS.
    let runtime = scene
        .runtime
        .clone()
        .with("labels", json!({ "rack": "1", "tier": "none", "app": "none" }))
        .with_arguments(
            "K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-7f;LABELS=app:web;IgnoreUnknown=1",
        );
    let labels = [("tier", "front"), ("app", "runtime")];
    runtime.add(container.attachment(), &labels)?.success()?;
    let workload = scene.workload("web")?;
    let expected = json!({ "rack": "1", "tier": "front", "app": "web" });
    ensure!(workload["labels"] == expected, "{workload}");
    ensure!(workload["namespace"] == "shop" && workload["pod"] == "web-7f", "{workload}");
    ensure!(workload["state"] == "ready" && workload["ifName"] == "eth0", "{workload}");
    Ok(())
}

#[test]
fn an_attached_id_in_a_new_namespace_keeps_its_addresses() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("moved", &DUAL)?;
    let (first, added) = Container::attached(&scene, "c")?;
    let second = Container::new("c")?;
    let moved = scene.runtime.add(second.attachment(), &[("moved", "yes")])?.success()?;
    ensure!(moved.addresses() == added.addresses(), "{} is not {}", moved.body, added.body);
    ensure!(moved.body["interfaces"][1]["sandbox"] != added.body["interfaces"][1]["sandbox"]);
    first.wait_bare()?;
    for address in moved.addresses() {
        reach(&scene, address)?;
    }
    scene.runtime.check(second.attachment(), &moved)?.success()?;
    ensure!(scene.workload("c")?["labels"] == json!({ "moved": "yes" }), "the new labels");
    ensure!(scene.workloads()?.len() == 1 && scene.records()?.len() == 1);

    // The first one's CHECK is not answered for the second one.
    expect_refusal(&scene.runtime.check(first.attachment(), &added)?, CHECK_FAILED, &["namespace"])
}

#[test]
fn a_second_interface_of_a_container_is_a_workload_of_its_own() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("second", &DUAL)?;
    let (container, first) = Container::attached(&scene, "c")?;
    let second = Attachment { interface: "net1", ..container.attachment() };
    let added = scene.runtime.add(second, &[])?.success()?;
    ensure!(added.addresses().iter().all(|a| !first.addresses().contains(a)), "{}", added.body);
    // Answers of the second one leave by the first, whose routes come first: a container's own affair.
    for address in first.addresses() {
        reach(&scene, address)?;
    }
    scene.runtime.check(second, &added)?.success()?;
    scene.runtime.del(second)?.success()?;
    scene.runtime.check(container.attachment(), &first)?.success()?;
    ensure!(scene.workloads()?.len() == 1);
    Ok(())
}

fn reach(scene: &Scene, address: IpAddr) -> Result<()> {
    scene.netns.run(&format!("ping -c 1 -W 2 {address}"))?;
    Ok(())
}

/// The node's side of a workload is the daemon's, which mends it at once. It has no way into the container but the
/// descriptors that come with a request: CHECK tells what is missing there, a repeated ADD mends it.
#[test]
fn check_names_what_is_missing_and_who_repairs_it_is_known() -> Result<()> {
    require!("ip", "nft");
    let scene = Scene::new("check", &DUAL)?;
    let (container, added) = Container::attached(&scene, "c")?;
    let check = || scene.runtime.check(container.attachment(), &added);
    check()?.success()?;
    let [v4, v6] = added.addresses()[..] else { anyhow::bail!("two addresses: {}", added.body) };

    // The node's side is the daemon's: it is mended without anybody asking.
    let host = added.body["interfaces"][0]["name"].as_str().context("a name")?.to_owned();
    scene.netns.run(&format!("ip route del {v4}/32 dev {host} proto 82"))?;
    scene.netns.run(&format!("ip -6 route del {v6}/128 dev {host} proto 82"))?;
    eventually(PATIENCE, "CHECK passes again", || check()?.success())?;
    reach(&scene, v4)?;
    reach(&scene, v6)?;

    // The container's side is looked at only when somebody lets the daemon in: CHECK tells, ADD mends.
    let damages = [
        (format!("ip address del {v4}/32 dev eth0"), format!("address {v4}/32")),
        (format!("ip address del {v6}/128 dev eth0"), format!("address {v6}/128")),
        ("ip route del default".to_owned(), "default".to_owned()),
        ("ip -6 route del default".to_owned(), "default".to_owned()),
        ("ip link set eth0 mtu 1400".to_owned(), "mtu 1500".to_owned()),
        ("ip neighbour del 169.254.1.1 dev eth0".to_owned(), "neighbour 169.254.1.1".to_owned()),
    ];
    for (damage, named) in damages {
        container.netns.run(&damage)?;
        expect_refusal(&check()?, CHECK_FAILED, &["container", &named]).context(damage.clone())?;
        let again = scene.runtime.add(container.attachment(), &[])?.success()?;
        ensure!(again.body == added.body, "{damage}: {} is not {}", again.body, added.body);
        check()?.success().context(damage)?;
        reach(&scene, v4)?;
        reach(&scene, v6)?;
    }
    Ok(())
}
