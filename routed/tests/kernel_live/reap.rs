// SPDX-License-Identifier: MIT OR Apache-2.0
//! Links given up, and their reaper.

use std::time::Instant;

use reconcile::{Batch, Hints, Outcome, Target};
use routed::kernel::{Bell, Handover, LinkTarget, Reaper, marks};
use tokio_util::sync::CancellationToken;

use super::support::{Netns, attach, delete, dump, eventually, put, spec, target};

#[test]
fn a_deleted_link_is_down_and_out_of_sight_at_once_and_gone_after_the_reaper() {
    let (node, a, b) = (Netns::new("node"), Netns::new("a"), Netns::new("b"));
    let (first, second) = (spec(1, a.id(), true, true), spec(2, b.id(), true, false));
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &first);
        attach(&mut links, &handover, &b, &second);
        assert_eq!(delete(&mut links, &first.key()), Outcome::Applied);
        assert_eq!(dump(&mut links), [(second.key(), second.clone())]);
        let shown = node.ip("-o link show dev rtd00000000001");
        assert!(!shown.contains(",UP"), "{shown}");
        let mut reaper = Reaper::new(Bell::new()).unwrap();
        assert_eq!(reaper.reap().unwrap(), 1);
        assert_eq!(reaper.reap().unwrap(), 0);
        assert!(!node.ip("-o link").contains("rtd00000000001"));
        assert_eq!(dump(&mut links), [(second.key(), second.clone())]);
        assert_eq!(delete(&mut links, &first.key()), Outcome::Applied);
    });
}

#[test]
fn a_dead_link_in_the_way_is_reaped_first_in_either_namespace() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let first = spec(1, a.id(), true, true);
    // Another workload in the same namespace: only the container's name is in the way.
    let second = spec(2, a.id(), true, true);
    node.enter(|| {
        let (mut links, handover) = target();
        for spec in [&first, &first, &second] {
            attach(&mut links, &handover, &a, spec);
            assert_eq!(dump(&mut links), [(spec.key(), spec.clone())]);
            assert_eq!(delete(&mut links, &spec.key()), Outcome::Applied);
        }
    });
}

#[test]
fn a_foreign_link_in_our_group_survives_the_reaper() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, true);
    let group = marks::DEAD_GROUP;
    node.ip(&format!("link add web0 group {group} type bridge"));
    node.ip(&format!("link add web1 group {group} type veth peer name web2"));
    node.enter(|| {
        let (mut links, handover) = target();
        let mut reaper = Reaper::new(Bell::new()).unwrap();
        assert_eq!(reaper.reap().unwrap(), 0);
        attach(&mut links, &handover, &a, &spec);
        assert_eq!(delete(&mut links, &spec.key()), Outcome::Applied);
        assert_eq!(reaper.reap().unwrap(), 1);
    });
    let left = node.ip("-o link");
    assert!(left.contains("web0") && left.contains("web1") && left.contains("web2"), "{left}");
    assert!(!left.contains("rtd"), "{left}");
}

#[test]
fn two_hundred_links_come_and_go() {
    const COUNT: u8 = 200;
    let node = Netns::new("node");
    let containers: Vec<_> = (0..COUNT).map(|_| Netns::new("c")).collect();
    let specs: Vec<_> =
        containers.iter().zip(1..).map(|(c, n)| spec(n, c.id(), true, n % 2 == 0)).collect();
    let (bell, cancel) = (Bell::new(), CancellationToken::new());
    node.enter(|| {
        let handover = Handover::new(Hints::new());
        let mut links = LinkTarget::new(handover.clone(), bell.clone(), Hints::new()).unwrap();
        let mut puts = Vec::new();
        for (container, spec) in containers.iter().zip(&specs) {
            handover.offer(&spec.key(), container.handles());
            puts.push((spec.key(), spec.clone()));
        }
        let outcomes = links.apply(&Batch { puts: puts.clone(), deletes: Vec::new() });
        assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Applied));
        assert_eq!(dump(&mut links), puts);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reaper = Reaper::new(bell.clone()).unwrap().run(cancel.clone());
            let work = async {
                let deletes = specs.iter().map(routed::model::LinkSpec::key).collect();
                let began = Instant::now();
                let outcomes = links.apply(&Batch { puts: Vec::new(), deletes });
                let answered = began.elapsed();
                assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Applied));
                assert_eq!(outcomes.len(), usize::from(COUNT));
                while node.ip("-o link").contains("rtd") {
                    assert!(began.elapsed() < super::support::DEADLINE);
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                println!("{COUNT} deletes answered in {answered:?}, gone in {:?}", began.elapsed());
                cancel.cancel();
            };
            tokio::join!(reaper, work);
        });
    });
    for container in &containers {
        assert!(!container.ip("-o link").contains("eth0"));
    }
}

#[test]
fn the_reaper_starts_with_what_an_earlier_process_left() {
    let (node, a) = (Netns::new("node"), Netns::new("a"));
    let spec = spec(1, a.id(), true, false);
    node.enter(|| {
        let (mut links, handover) = target();
        attach(&mut links, &handover, &a, &spec);
        assert_eq!(delete(&mut links, &spec.key()), Outcome::Applied);
        drop(links);
        let cancel = CancellationToken::new();
        let stop = cancel.clone();
        let reaper = std::thread::scope(|scope| {
            let handle = scope.spawn(|| {
                let runtime =
                    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(Reaper::new(Bell::new()).unwrap().run(cancel));
            });
            eventually("the reaper", || !node.ip("-o link").contains("rtd"));
            stop.cancel();
            handle.join()
        });
        assert!(reaper.is_ok());
        let (mut links, _) = target();
        assert_eq!(dump(&mut links), []);
        assert!(matches!(put(&mut links, &spec.key(), &spec), Outcome::Failed(_)));
    });
}
