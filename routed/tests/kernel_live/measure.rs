// SPDX-License-Identifier: MIT OR Apache-2.0
//! Times, for people: run by hand with `--ignored --nocapture`.

use std::time::Instant;

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
            let found = reconcile::Target::dump(&mut links).unwrap().len();
            println!("dump of {found}: {:?}", began.elapsed());
        });
    }
}
