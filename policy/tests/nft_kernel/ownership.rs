// SPDX-License-Identifier: MIT OR Apache-2.0
//! The table is ours: nobody changes it while we live, it outlives us, a restart adopts it, and
//! what others did to it in between is undone.

use policy::{
    ir::{Key, KeyType, Object, ObjectId, SetSpec, Target as To},
    nft::Target,
};
use reconcile::{FailureKind, Target as _};

use crate::{
    constructs::everything,
    support::{
        Monitor, Namespace, Ruleset, apply, chain, deletes, difference, failures, ifname, listing,
        loaded, map, name, nft_load, output, puts, rule, run, set, v4,
    },
};

fn succeeds(args: &[&str]) -> bool {
    output("nft", args).status.success()
}

#[test]
fn others_cannot_touch_the_table_while_we_live() {
    let _namespace = Namespace::enter();
    let target = loaded(&everything());
    assert!(target.stats().is_owned);
    let before = listing();
    run("nft", &["flush", "ruleset"]);
    for args in [
        &["delete", "table", "inet", "routed"][..],
        &["add", "chain", "inet", "routed", "foreign"],
        &["flush", "chain", "inet", "routed", "pol/1"],
        &["add", "rule", "inet", "routed", "pol/1", "accept"],
        &["delete", "element", "inet", "routed", "dispatch", "{ \"rtd1\" }"],
    ] {
        let output = output("nft", args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("Operation not permitted"), "{args:?}: {error}");
    }
    assert_eq!(listing(), before);
}

#[test]
fn a_restart_claims_the_table_and_writes_nothing_else() {
    let _namespace = Namespace::enter();
    let rules = everything();
    drop(loaded(&rules));
    let before = listing();

    let mut monitor = Monitor::start();
    let mut target = Target::open().unwrap();
    assert_eq!(difference(&mut target, &rules), []);
    let changes = monitor.changes();
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert!(changes[0].starts_with("add table inet routed"), "{changes:?}");
    assert_eq!(target.stats().messages, 1);
    assert!(target.stats().is_owned);
    assert_eq!(listing(), before);
    assert!(!succeeds(&["delete", "table", "inet", "routed"]));

    // Reading again writes nothing at all.
    assert_eq!(difference(&mut target, &rules), []);
    assert_eq!(monitor.changes(), [""; 0]);
}

#[test]
fn the_table_outlives_its_owner() {
    let _namespace = Namespace::enter();
    let target = loaded(&everything());
    let before = listing();
    drop(target);
    assert_eq!(listing(), before);
}

#[test]
fn a_second_writer_is_refused() {
    let _namespace = Namespace::enter();
    let rules = everything();
    let mut first = loaded(&rules);
    let mut second = Target::open().unwrap();
    let failure = second.dump().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Fatal);
    assert!(failure.reason.contains("owned by another process"), "{}", failure.reason);
    assert_eq!(difference(&mut first, &rules), []);
}

#[test]
fn a_foreign_table_of_our_name_is_left_alone() {
    let _namespace = Namespace::enter();
    let script = "table inet routed { comment \"mine\"; chain c { tcp dport 80 accept; }; }";
    assert!(nft_load(script).status.success());
    let before = listing();
    let mut target = Target::open().unwrap();
    let failure = target.dump().unwrap_err();
    assert_eq!(failure.kind, FailureKind::Fatal);
    assert!(failure.reason.contains("exists and is not ours"), "{}", failure.reason);
    let failed = failures(target.apply(&puts(&everything())));
    assert_eq!(failed.len(), everything().len());
    assert_eq!(listing(), before);
    assert_eq!(target.stats().messages, 0);

    run("nft", &["delete", "table", "inet", "routed"]);
    assert!(target.dump().unwrap().is_empty());
    apply(&mut target, &puts(&everything()));
    assert_eq!(difference(&mut target, &everything()), []);
}

#[test]
fn a_table_that_appears_between_dump_and_write_is_left_alone() {
    let _namespace = Namespace::enter();
    let mut target = Target::open().unwrap();
    assert!(target.dump().unwrap().is_empty());
    run("nft", &["add", "table", "inet", "routed"]);
    let failed = failures(target.apply(&puts(&everything())));
    assert_eq!(failed.len(), everything().len());
    assert!(failed.iter().all(|(_, failure)| failure.kind == FailureKind::Resync));
    assert_eq!(listing(), "table inet routed {\n}\n");
}

#[test]
fn a_table_flushed_while_orphaned_is_rebuilt() {
    let _namespace = Namespace::enter();
    let rules = everything();
    let target = loaded(&rules);
    let before = listing();
    drop(target);
    run("nft", &["flush", "ruleset"]);

    let mut target = Target::open().unwrap();
    assert_eq!(difference(&mut target, &rules).len(), rules.len());
    assert_eq!(target.stats().rebuilds, 1);
    apply(&mut target, &puts(&rules));
    assert_eq!(listing(), before);
    assert_eq!(difference(&mut target, &rules), []);
    assert!(target.stats().is_owned);
}

#[test]
fn foreign_changes_while_orphaned_are_seen_and_undone() {
    let _namespace = Namespace::enter();
    let rules = everything();
    let target = loaded(&rules);
    let before = listing();
    drop(target);
    for change in [
        "add rule inet routed pol/1 accept",
        "insert rule inet routed ep-1 accept",
        "add rule inet routed empty-1 accept",
        "flush chain inet routed net/1",
        "add chain inet routed foreign",
        "add chain inet routed foreign2",
        "add rule inet routed foreign jump foreign2",
        "add rule inet routed foreign2 tcp dport { 80, 443 } accept",
        "add set inet routed foreignset { type ipv4_addr; }",
        "add element inet routed foreignset { 10.9.9.9 }",
        "add rule inet routed foreign ip saddr @foreignset accept",
        "add set inet routed macs { type ether_addr; flags timeout; }",
        "add element inet routed s-v4 { 10.9.9.9 }",
        "delete element inet routed s-v4 { 10.0.0.1 }",
        "add element inet routed n-v4 { 172.16.0.0/12 }",
        "delete element inet routed dispatch { \"rtd3\" }",
        "add element inet routed dispatch { \"rtd3\" : accept }",
        "add chain inet routed base_input { policy drop; }",
    ] {
        run("nft", &change.split(' ').collect::<Vec<_>>());
    }

    let mut target = Target::open().unwrap();
    let found = target.dump().unwrap();
    let different = difference(&mut target, &rules);
    let wanted = puts(&rules);
    let mut batch =
        deletes(found.iter().map(|(id, _)| id.clone()).filter(|id| !rules.contains_key(id)));
    assert_eq!(batch.deletes.len(), 7, "{:?}", batch.deletes);
    batch.puts = wanted.puts.into_iter().filter(|(id, _)| different.contains(id)).collect();
    assert_eq!(batch.puts.len(), 7, "{:?}", batch.puts);
    apply(&mut target, &batch);
    assert_eq!(target.stats().rebuilds, 0);
    assert_eq!(sorted(&listing()), sorted(&before));
    assert_eq!(difference(&mut target, &rules), []);
}

/// Chains that were made anew are listed elsewhere.
fn sorted(listing: &str) -> Vec<&str> {
    let mut lines: Vec<_> = listing.lines().collect();
    lines.sort_unstable();
    lines
}

/// Things that cannot be deleted by name: the table is replaced in one transaction.
#[test]
fn unnameable_foreign_things_go_with_the_whole_table() {
    for change in [
        "add element inet routed s-v4 { * }",
        "add chain inet routed natty { type nat hook postrouting priority 100; }",
        "add chain inet routed later { type filter hook postrouting priority 0; }",
        "add counter inet routed foreign",
    ] {
        let _namespace = Namespace::enter();
        let mut rules = Ruleset::new();
        set(&mut rules, "s-v4", KeyType::Ipv4, &[Key::Single(v4("10.0.0.1"))]);
        map(&mut rules, "dispatch", &[("rtd1", To::Goto(name("ep-1")))]);
        chain(&mut rules, "ep-1", vec![rule(vec![], To::Accept, "")]);
        let target = loaded(&rules);
        let before = listing();
        drop(target);
        run("nft", &change.split(' ').collect::<Vec<_>>());

        let mut target = Target::open().unwrap();
        assert!(target.dump().unwrap().is_empty(), "{change}");
        assert_ne!(listing(), before, "nothing may be written before the wishes are known");
        apply(&mut target, &puts(&rules));
        assert_eq!(listing(), before, "{change}");
        assert_eq!(difference(&mut target, &rules), []);
        assert!(!succeeds(&["delete", "table", "inet", "routed"]));
    }
}

#[test]
fn a_set_of_another_kind_is_replaced_with_the_table() {
    let _namespace = Namespace::enter();
    let mut rules = Ruleset::new();
    set(&mut rules, "s-v4", KeyType::Ipv4, &[Key::Single(v4("10.0.0.1"))]);
    chain(&mut rules, "ep-1", vec![rule(vec![], To::Accept, "")]);
    let mut target = loaded(&rules);

    let spec = SetSpec { key: KeyType::IfName, interval: false, verdicts: false, comment: None };
    rules.retain(|id, _| !matches!(id, ObjectId::Element(..)));
    rules.insert(ObjectId::Set(name("s-v4")), Object::Set(spec));
    rules.insert(ObjectId::Element(name("s-v4"), Key::Single(ifname("eth0"))), Object::Element);
    let failed = failures(target.apply(&puts(&rules)));
    assert!(failed.iter().all(|(_, failure)| failure.kind == FailureKind::Resync));
    assert_eq!(failed.len(), rules.len());
    assert!(target.dump().unwrap().is_empty());
    apply(&mut target, &puts(&rules));
    assert_eq!(difference(&mut target, &rules), []);
}

#[test]
fn losing_the_table_while_running_shows_at_the_next_write() {
    let _namespace = Namespace::enter();
    let rules = everything();
    drop(loaded(&rules));
    // Without the flags, as on a kernel that does not have them.
    let plain = listing();
    run("nft", &["delete", "table", "inet", "routed"]);
    assert!(nft_load(&plain).status.success());
    let mut target = Target::open().unwrap();
    assert_eq!(difference(&mut target, &rules), []);
    assert!(!target.stats().is_owned);

    run("nft", &["delete", "table", "inet", "routed"]);
    let failed = failures(target.apply(&puts(&rules)));
    assert_eq!(failed.len(), rules.len());
    assert!(failed.iter().all(|(_, failure)| failure.kind == FailureKind::Resync));
    assert!(target.dump().unwrap().is_empty());
    apply(&mut target, &puts(&rules));
    assert_eq!(difference(&mut target, &rules), []);
    assert!(target.stats().is_owned);
}
