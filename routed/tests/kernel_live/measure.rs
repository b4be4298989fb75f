// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times, for people: run by hand with `--ignored --nocapture`.

use std::time::Instant;

use reconcile::{Batch, Target};
use routed::kernel::RouteTarget;
use routed::model::{
    NextHop, PROTOCOL_LEARNED, RouteClass, RouteKey, RouteKind, RouteScope, RouteSpec, TABLE_MAIN,
};

use super::support::{Netns, spec, target};

#[test]
#[ignore = "prints times, asserts nothing"]
fn time_of_a_link() {
    const ROUNDS: u8 = 60;
    for (v4, v6) in [(true, false), (true, true), (false, true), (true, false), (true, true)] {
        let node = Netns::new("node");
        let containers: Vec<_> = (0..ROUNDS).map(|_| Netns::new("c")).collect();
        node.enter(|| {
            let (mut links, handover) = target();
            let mut times: Vec<_> = containers
                .iter()
                .zip(1..)
                .map(|(container, n)| {
                    let spec = spec(n, container.id(), v4, v6);
                    handover.offer(&spec.key(), container.handles());
                    let began = Instant::now();
                    let batch =
                        reconcile::Batch { puts: vec![(spec.key(), spec)], deletes: vec![] };
                    let _ = reconcile::Target::apply(&mut links, &batch);
                    began.elapsed().as_micros()
                })
                .collect();
            times.sort_unstable();
            let at = |percent: usize| times[times.len() * percent / 100];
            println!("v4 {v4} v6 {v6}: p10 {} p50 {} p90 {} us", at(10), at(50), at(90));
            let began = Instant::now();
            let found = links.dump().unwrap().len();
            println!("dump of {found}: {:?}", began.elapsed());
        });
    }
}

#[test]
#[ignore = "prints times, asserts nothing"]
fn time_of_routes() {
    const COUNT: u32 = 100_000;
    let (node, far) = (Netns::new("node"), Netns::new("far"));
    for n in [1, 2] {
        node.ip(&format!("link add up{n} type veth peer name far{n} netns {}", far.name));
        node.ip(&format!("addr add 10.0.{n}.1/24 dev up{n}"));
        node.ip(&format!("link set up{n} up"));
        far.ip(&format!("link set far{n} up"));
    }
    let hop = |n: u8| NextHop { dev: format!("up{n}"), via: [10, 0, n, 2].into(), weight: 1 };
    for (what, hops) in [("one gateway", vec![hop(1)]), ("two gateways", vec![hop(1), hop(2)])] {
        let puts: Vec<_> = (0..COUNT)
            .map(|n| {
                let prefix = format!("20.{}.{}.{}/32", n >> 16, (n >> 8) & 255, n & 255);
                let key =
                    RouteKey { prefix: prefix.parse().unwrap(), table: TABLE_MAIN, metric: 1024 };
                let kind = RouteKind::Gateways(hops.clone());
                let (scope, class) = (RouteScope::Universe, RouteClass::Learned);
                let protocol = PROTOCOL_LEARNED;
                (key, RouteSpec { protocol, kind, scope, prefer_src: None, class })
            })
            .collect();
        let keys: Vec<_> = puts.iter().map(|(key, _)| *key).collect();
        node.enter(|| {
            for size in [50, 128, 512] {
                let mut routes = RouteTarget::new().unwrap();
                let rate = |began: Instant| f64::from(COUNT) / began.elapsed().as_secs_f64();
                let began = Instant::now();
                for chunk in puts.chunks(size) {
                    routes.apply(&Batch { puts: chunk.to_vec(), deletes: Vec::new() });
                }
                let added = rate(began);
                let began = Instant::now();
                assert_eq!(routes.dump().unwrap().len(), puts.len());
                let read = rate(began);
                let began = Instant::now();
                for chunk in keys.chunks(size) {
                    routes.apply(&Batch { puts: Vec::new(), deletes: chunk.to_vec() });
                }
                let deleted = rate(began);
                println!(
                    "{what}, {size}: {added:.0} added/s {read:.0} read/s {deleted:.0} deleted/s"
                );
            }
        });
    }
}
