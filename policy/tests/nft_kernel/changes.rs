// SPDX-License-Identifier: MIT OR Apache-2.0
//! Changes of a ruleset in force, each in one transaction.

use std::collections::BTreeSet;

use policy::{
    ir::{BaseChain, BasePolicy, Hook, Key, KeyType, Object, ObjectId, Part, Target as To},
    nft::Content,
};
use reconcile::{Batch, Target as _};

use crate::{
    constructs::everything,
    support::{
        Namespace, Ruleset, apply, chain, deletes, difference, ifname, listing, loaded, map, name,
        puts, rule, set, v4,
    },
};

fn small() -> Ruleset {
    let mut rules = Ruleset::new();
    map(&mut rules, "dispatch", &[("rtd1", To::Goto(name("ep-1")))]);
    chain(&mut rules, "ep-1", vec![rule(vec![], To::Jump(name("pol/1")), "")]);
    chain(&mut rules, "pol/1", vec![rule(vec![], To::Accept, "one")]);
    rules
}

/// The batch that turns one ruleset into another.
fn step(from: &Ruleset, to: &Ruleset) -> Batch<ObjectId, Content> {
    let mut batch = puts(to);
    batch.puts.retain(|(id, _)| from.get(id) != to.get(id));
    batch.deletes = deletes(from.keys().filter(|id| !to.contains_key(id)).cloned()).deletes;
    batch
}

#[test]
fn a_chain_is_replaced_as_a_whole() {
    let _namespace = Namespace::enter();
    let (from, mut to) = (small(), small());
    let rules = vec![rule(vec![], To::Drop, "two"), rule(vec![], To::Return, "three")];
    chain(&mut to, "pol/1", rules);
    let mut target = loaded(&from);
    let before = target.stats();
    apply(&mut target, &step(&from, &to));
    assert_eq!(target.stats().transactions, before.transactions + 1);
    assert_eq!(difference(&mut target, &to), []);
    assert!(!listing().contains("one"));
}

#[test]
fn a_map_element_is_pointed_elsewhere() {
    let _namespace = Namespace::enter();
    let (from, mut to) = (small(), small());
    chain(&mut to, "ep-2", Vec::new());
    map(&mut to, "dispatch", &[("rtd1", To::Goto(name("ep-2"))), ("rtd2", To::Drop)]);
    to.remove(&ObjectId::Chain(name("ep-1")));
    let mut target = loaded(&from);
    let before = target.stats();
    apply(&mut target, &step(&from, &to));
    assert_eq!(target.stats().transactions, before.transactions + 1);
    assert_eq!(difference(&mut target, &to), []);
}

#[test]
fn everything_goes_in_one_transaction() {
    let _namespace = Namespace::enter();
    let rules = everything();
    let mut target = loaded(&rules);
    let before = target.stats();
    apply(&mut target, &deletes(rules.keys().cloned()));
    assert_eq!(target.stats().transactions, before.transactions + 1);
    assert_eq!(target.stats().refusals, 0);
    assert_eq!(listing(), "table inet routed {\n\tcomment \"owned by routed, do not edit\"\n}\n");
    assert!(target.dump().unwrap().is_empty());
}

#[test]
fn puts_are_idempotent() {
    let _namespace = Namespace::enter();
    let rules = everything();
    let mut target = loaded(&rules);
    apply(&mut target, &puts(&rules));
    apply(&mut target, &puts(&rules));
    assert_eq!(difference(&mut target, &rules), []);
}

#[test]
fn deleting_what_is_gone_succeeds() {
    let _namespace = Namespace::enter();
    let rules = everything();
    let mut target = loaded(&Ruleset::from_iter(small()));
    apply(&mut target, &deletes(rules.keys().cloned()));
    let left: BTreeSet<_> = target.dump().unwrap().into_iter().map(|(id, _)| id).collect();
    assert!(left.iter().all(|id| !rules.contains_key(id)), "{left:?}");
}

#[test]
fn an_element_that_is_not_where_we_think_is_put_all_the_same() {
    let _namespace = Namespace::enter();
    let rules = small();
    let mut target = loaded(&rules);
    let dispatch = ObjectId::Dispatch(name("dispatch"), Key::Single(ifname("rtd1")));
    apply(&mut target, &deletes([dispatch.clone()]));
    apply(&mut target, &puts(&rules));
    apply(&mut target, &deletes([dispatch]));
    assert_eq!(difference(&mut target, &rules).len(), 1);
    apply(&mut target, &puts(&rules));
    assert_eq!(difference(&mut target, &rules), []);
}

#[test]
fn intervals_change_in_one_transaction() {
    let _namespace = Namespace::enter();
    let range = |from, to| Key::Range(v4(from), v4(to));
    let mut from = Ruleset::new();
    set(
        &mut from,
        "n-1",
        KeyType::Ipv4,
        &[range("10.0.0.0", "10.0.0.255"), range("10.0.2.0", "10.0.2.255")],
    );
    let mut to = Ruleset::new();
    set(
        &mut to,
        "n-1",
        KeyType::Ipv4,
        &[range("10.0.0.0", "10.0.2.255"), range("10.0.4.0", "255.255.255.255")],
    );
    let mut target = loaded(&from);
    apply(&mut target, &step(&from, &to));
    assert_eq!(difference(&mut target, &to), []);
    apply(&mut target, &step(&to, &from));
    assert_eq!(difference(&mut target, &from), []);
}

#[test]
fn ports_of_the_whole_range_read_back() {
    let _namespace = Namespace::enter();
    let mut rules = Ruleset::new();
    set(&mut rules, "p-1", KeyType::Port, &[Key::Range(Part::Port(0), Part::Port(65_535))]);
    let mut target = loaded(&rules);
    assert_eq!(difference(&mut target, &rules), []);
}

#[test]
fn a_base_chain_moves_to_another_hook() {
    let _namespace = Namespace::enter();
    let base = |hook, priority| {
        let rules = vec![rule(vec![], To::Jump(name("pol/1")), "")].into();
        Object::BaseChain(BaseChain { hook, priority, policy: BasePolicy::Accept, rules })
    };
    let id = ObjectId::BaseChain(name("base"));
    let mut rules = small();
    rules.insert(id.clone(), base(Hook::Forward, 0));
    let mut target = loaded(&rules);
    for (hook, priority) in [(Hook::Forward, -300), (Hook::Input, -300), (Hook::Output, 10)] {
        let from = rules.clone();
        rules.insert(id.clone(), base(hook, priority));
        assert_eq!(difference(&mut target, &rules), std::slice::from_ref(&id));
        apply(&mut target, &step(&from, &rules));
        assert_eq!(difference(&mut target, &rules), []);
    }
    assert!(listing().contains("hook output priority filter + 10;"));
}
