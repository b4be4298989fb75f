// SPDX-License-Identifier: MIT OR Apache-2.0
//! Big sets and big batches. The times are printed (`--nocapture`); the bounds are for a debug
//! build on a busy machine and only catch work that grows faster than its input.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use policy::{
    ir::{
        Family, Hook, Interface, Key, KeyType, Match, Object, ObjectId, Part, Side, Target as To,
    },
    nft::Content,
};
use reconcile::{Batch, Target as _};

use crate::support::{
    Namespace, Ruleset, apply, base_chain, chain, deletes, difference, loaded, map, name, puts,
    rule, set, vmap,
};

fn address(number: u32) -> Key {
    Key::Single(Part::Ipv4(Ipv4Addr::from(0x0a00_0000 + number)))
}

fn member(set: &str, number: u32) -> ObjectId {
    ObjectId::Element(name(set), address(number))
}

fn hash_set(rules: &mut Ruleset, text: &str, members: u32) {
    set(rules, text, KeyType::Ipv4, &[]);
    rules.extend((0..members).map(|number| (member(text, number), Object::Element)));
}

/// Like a node with many workloads: each has two chains of ten rules.
fn endpoints(count: u32) -> Ruleset {
    let mut rules = Ruleset::new();
    map(&mut rules, "dispatch_in", &[]);
    map(&mut rules, "dispatch_out", &[]);
    base_chain(
        &mut rules,
        "base_forward",
        Hook::Forward,
        vec![vmap(Interface::Input, "dispatch_in"), vmap(Interface::Output, "dispatch_out")],
    );
    for number in 0..count {
        let interface = format!("rtd{number:011x}");
        for (way, map_name) in [("in", "dispatch_in"), ("out", "dispatch_out")] {
            let content = (0..10)
                .map(|port| {
                    let (start, end) = (port * 100, port * 100 + 9);
                    let matches = vec![
                        Match::Family(Family::V4),
                        Match::AddressIn {
                            side: Side::Source,
                            family: Family::V4,
                            set: name("s-members"),
                            negated: false,
                        },
                        Match::Protocol { protocol: 6, negated: false },
                        Match::PortRange { side: Side::Destination, start, end, negated: false },
                    ];
                    rule(matches, To::Accept, "policy shop/web")
                })
                .collect();
            let text = format!("ep-{interface}-{way}");
            chain(&mut rules, &text, content);
            map(&mut rules, map_name, &[(&interface, To::Goto(name(&text)))]);
        }
    }
    rules
}

/// Cuts a batch as a driver does.
fn chunks(batch: &Batch<ObjectId, Content>, size: usize) -> Vec<Batch<ObjectId, Content>> {
    let puts = batch.puts.chunks(size);
    puts.map(|puts| Batch { puts: puts.to_vec(), deletes: Vec::new() }).collect()
}

#[test]
fn a_hundred_thousand_members_load_and_read_back() {
    let _namespace = Namespace::enter();
    let mut rules = Ruleset::new();
    hash_set(&mut rules, "s-members", 100_000);
    let mut target = loaded(&Ruleset::new());
    let batches = chunks(&puts(&rules), 2000);
    let start = Instant::now();
    for batch in &batches {
        apply(&mut target, batch);
    }
    println!("100k members in batches of 2000: {:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(30));

    let start = Instant::now();
    let found = target.dump().unwrap();
    println!("dump of 100k members: {:?}", start.elapsed());
    assert_eq!(found.len(), rules.len());
    assert_eq!(difference(&mut target, &rules), []);

    let count: u32 = 1000;
    let start = Instant::now();
    for number in 0..count {
        let puts = vec![(member("s-members", 200_000 + number), Content::from(Object::Element))];
        apply(&mut target, &Batch { puts, deletes: Vec::new() });
    }
    println!("one member more: {:?}", start.elapsed() / count);
    let start = Instant::now();
    for number in 0..count {
        apply(&mut target, &deletes([member("s-members", 200_000 + number)]));
    }
    println!("one member less: {:?}", start.elapsed() / count);
    assert_eq!(difference(&mut target, &rules), []);
}

#[test]
fn a_thousand_endpoints_load_and_read_back() {
    let _namespace = Namespace::enter();
    let mut rules = endpoints(1000);
    hash_set(&mut rules, "s-members", 100_000);
    let mut target = loaded(&Ruleset::new());
    let batches = chunks(&puts(&rules), 2000);
    let start = Instant::now();
    let mut longest = Duration::ZERO;
    for batch in &batches {
        let begin = Instant::now();
        apply(&mut target, batch);
        longest = longest.max(begin.elapsed());
    }
    println!(
        "1000 endpoints (2 chains x 10 rules) and 100k members: {:?} in {} batches, longest {longest:?}",
        start.elapsed(),
        batches.len(),
    );
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(target.stats().refusals, 0);

    let start = Instant::now();
    let found = target.dump().unwrap();
    println!("dump of {} objects: {:?}", found.len(), start.elapsed());
    let start = Instant::now();
    assert_eq!(difference(&mut target, &rules), []);
    println!("dump and comparison: {:?}", start.elapsed());

    let start = Instant::now();
    apply(&mut target, &deletes(rules.keys().cloned()));
    println!("removal of all in one transaction: {:?}", start.elapsed());
    assert!(target.dump().unwrap().is_empty());
}

#[test]
fn two_thousand_objects_fit_into_a_batch() {
    let _namespace = Namespace::enter();
    let mut rules = endpoints(500);
    hash_set(&mut rules, "s-members", 10);
    let batch = puts(&rules);
    assert!(batch.puts.len() >= 2000);
    let mut target = loaded(&Ruleset::new());
    let start = Instant::now();
    apply(&mut target, &batch);
    println!("{} objects, 10k rules in one batch: {:?}", batch.puts.len(), start.elapsed());
    let start = Instant::now();
    apply(&mut target, &batch);
    println!("the same again: {:?}", start.elapsed());
    assert_eq!(target.stats().transactions, 2);
    assert_eq!(difference(&mut target, &rules), []);
}

#[test]
fn a_thousand_sets_load_and_read_back() {
    let _namespace = Namespace::enter();
    let mut rules = Ruleset::new();
    for number in 0..1000 {
        let text = format!("s-{number}");
        set(&mut rules, &text, KeyType::Ipv4, &[address(number)]);
    }
    let mut target = loaded(&Ruleset::new());
    let start = Instant::now();
    apply(&mut target, &puts(&rules));
    println!("1000 sets with a member each: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(difference(&mut target, &rules), []);
    println!("dump of 1000 sets: {:?}", start.elapsed());
}
