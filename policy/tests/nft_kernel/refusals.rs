// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel refuses does not hold up the rest, and leaves endpoints closed.

use std::net::Ipv4Addr;

use policy::ir::{
    Family, Hook, Interface, Key, KeyType, Match, Object, ObjectId, Part, Rule, Side, Target as To,
};
use reconcile::{FailureKind, Target as _};

use crate::support::{
    Namespace, Ruleset, apply, base_chain, chain, difference, failures, ifname, listing, loaded,
    map, name, puts, rule, set, v4, vmap,
};

/// A rule that names a set which does not exist.
fn dangling() -> Rule {
    let set = name("missing");
    let address = Match::AddressIn { side: Side::Source, family: Family::V4, set, negated: false };
    rule(vec![Match::Family(Family::V4), address], To::Accept, "")
}

/// A rule that the kernel refuses whatever else exists: the set holds no verdicts.
fn mismatched() -> Rule {
    vmap(Interface::Input, "s-v4")
}

fn good() -> Ruleset {
    let mut rules = Ruleset::new();
    set(&mut rules, "s-v4", KeyType::Ipv4, &[Key::Single(v4("10.0.0.1"))]);
    map(&mut rules, "dispatch", &[("rtd1", To::Goto(name("ep-1")))]);
    chain(&mut rules, "ep-1", vec![rule(vec![], To::Jump(name("pol/1")), "")]);
    chain(&mut rules, "pol/1", vec![rule(vec![], To::Accept, "fine")]);
    rules
}

#[test]
fn one_refused_chain_of_many_is_found_and_closed() {
    let _namespace = Namespace::enter();
    let mut rules = good();
    for number in 2..200 {
        let content = vec![rule(vec![], To::Accept, "fine")];
        chain(&mut rules, &format!("pol/{number}"), content);
    }
    chain(&mut rules, "pol/bad", vec![rule(vec![], To::Accept, "open"), mismatched()]);
    let mut target = loaded(&Ruleset::new());
    let failed = failures(target.apply(&puts(&rules)));
    let bad = ObjectId::Chain(name("pol/bad"));
    assert_eq!(failed.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&bad]);
    assert_eq!(failed[0].1.kind, FailureKind::Fatal);
    // Two transactions: the refused one named the culprit.
    assert_eq!(target.stats().refusals, 1);
    assert_eq!(difference(&mut target, &rules), [bad]);
    let listing = listing();
    let (_, chain) = listing.split_once("chain pol/bad {").unwrap();
    let (chain, _) = chain.split_once('}').unwrap();
    assert!(chain.trim().starts_with("counter packets 0 bytes 0 drop"), "{chain}");
    assert_eq!(chain.trim().lines().count(), 1);
}

#[test]
fn a_chain_in_force_whose_new_rules_are_refused_is_closed() {
    let _namespace = Namespace::enter();
    let mut rules = good();
    let mut target = loaded(&rules);
    chain(&mut rules, "pol/1", vec![mismatched()]);
    let failed = failures(target.apply(&puts(&rules)));
    assert_eq!(failed.len(), 1);
    assert_eq!(difference(&mut target, &rules), [ObjectId::Chain(name("pol/1"))]);
    assert!(!listing().contains("fine"));
    assert!(listing().contains("drop comment \"closed: kernel refused the rules"));

    // The next good content opens it again.
    apply(&mut target, &puts(&good()));
    assert_eq!(difference(&mut target, &good()), []);
}

#[test]
fn a_base_chain_is_never_closed() {
    let _namespace = Namespace::enter();
    let mut rules = good();
    let content = vec![rule(vec![], To::Return, "base")];
    base_chain(&mut rules, "base", Hook::Output, content);
    let mut target = loaded(&rules);
    base_chain(&mut rules, "base", Hook::Output, vec![mismatched()]);
    let failed = failures(target.apply(&puts(&rules)));
    assert_eq!(failed.len(), 1);
    assert!(listing().contains("return comment \"base"));
}

#[test]
fn an_element_that_needs_a_refused_chain_stays_out() {
    let _namespace = Namespace::enter();
    let mut rules = good();
    map(&mut rules, "dispatch", &[("rtd2", To::Goto(name("missing-2")))]);
    let mut target = loaded(&Ruleset::new());
    let failed = failures(target.apply(&puts(&rules)));
    let bad = ObjectId::Dispatch(name("dispatch"), Key::Single(ifname("rtd2")));
    assert_eq!(failed.len(), 1);
    assert_eq!((&failed[0].0, failed[0].1.kind), (&bad, FailureKind::Resync));
    assert_eq!(difference(&mut target, &rules), [bad]);
}

#[test]
fn a_missing_set_asks_for_a_resync() {
    let _namespace = Namespace::enter();
    let mut rules = good();
    chain(&mut rules, "pol/2", vec![dangling()]);
    let mut target = loaded(&Ruleset::new());
    let failed = failures(target.apply(&puts(&rules)));
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].1.kind, FailureKind::Resync);
}

#[test]
fn one_refused_element_of_many_is_found() {
    let _namespace = Namespace::enter();
    let mut rules = good();
    for number in 0..3000_u32 {
        let key = Key::Single(Part::Ipv4(Ipv4Addr::from(0x0a00_0000 + number)));
        rules.insert(ObjectId::Element(name("s-v4"), key), Object::Element);
    }
    let mut target = loaded(&Ruleset::new());
    // In the middle of a message, as short as its neighbours.
    let bad = ObjectId::Element(name("s-v4"), Key::Single(Part::Port(80)));
    let mut batch = puts(&rules);
    batch.puts.insert(1500, (bad.clone(), Object::Element.into()));
    let failed = failures(target.apply(&batch));
    assert_eq!(failed.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&bad]);
    assert_eq!(target.stats().refusals, 1);
    assert_eq!(difference(&mut target, &rules), []);
}

/// Loops are found only at the commit, and the kernel does not say where.
#[test]
fn a_loop_is_found_by_halving() {
    let _namespace = Namespace::enter();
    let mut rules = good();
    base_chain(&mut rules, "base", Hook::Forward, vec![vmap(Interface::Input, "dispatch")]);
    for number in 2..50 {
        map(&mut rules, "dispatch", &[(&format!("rtd{number}"), To::Goto(name("ep-1")))]);
    }
    chain(&mut rules, "ep-2", vec![rule(vec![], To::Jump(name("ep-2")), "")]);
    map(&mut rules, "dispatch", &[("rtd2", To::Goto(name("ep-2")))]);
    let mut target = loaded(&Ruleset::new());
    let failed = failures(target.apply(&puts(&rules)));
    let bad = ObjectId::Dispatch(name("dispatch"), Key::Single(ifname("rtd2")));
    assert_eq!(failed.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&bad]);
    assert_eq!(failed[0].1.kind, FailureKind::Fatal);
    assert_eq!(difference(&mut target, &rules), [bad]);
}

#[test]
fn a_name_that_is_too_long_is_refused_without_holding_up_the_rest() {
    let _namespace = Namespace::enter();
    let mut rules = good();
    let long = format!("pol/{}", "x".repeat(300));
    chain(&mut rules, &long, vec![rule(vec![], To::Accept, "")]);
    let mut target = loaded(&Ruleset::new());
    let failed = failures(target.apply(&puts(&rules)));
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].1.kind, FailureKind::Fatal);
    assert_eq!(difference(&mut target, &rules).len(), 1);
}
