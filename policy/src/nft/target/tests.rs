// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a current kernel does not do: an older one is imitated.

use std::net::Ipv4Addr;

use reconcile::Target as _;

use super::*;
use crate::{
    ir::{Key, KeyType, Name, Part, SetSpec},
    nft::testing::Namespace,
};

fn member(part: Part) -> (ObjectId, Content) {
    (ObjectId::Element(Name::new("s-1"), Key::Single(part)), Object::Element.into())
}

fn wishes(members: impl IntoIterator<Item = Part>) -> Wishes<ObjectId, Content> {
    let spec = SetSpec { key: KeyType::Ipv4, interval: false, verdicts: false, comment: None };
    let mut puts = vec![(ObjectId::Set(Name::new("s-1")), Object::Set(spec).into())];
    puts.extend(members.into_iter().map(member));
    Wishes { puts, deletes: Vec::new() }
}

fn addresses(count: u32) -> impl Iterator<Item = Part> {
    (0..count).map(|number| Part::Ipv4(Ipv4Addr::from(0x0a00_0000 + number)))
}

fn failed(outcomes: Vec<(ObjectId, Outcome)>) -> Vec<ObjectId> {
    let failed = outcomes.into_iter().filter(|(_, outcome)| *outcome != Outcome::Applied);
    failed.map(|(id, _)| id).collect()
}

/// A kernel refuses flags it does not know; any unknown one will do.
#[test]
fn a_kernel_without_the_flags_gets_a_table_without_them() {
    let _namespace = Namespace::enter();
    let mut target = Target::open().unwrap();
    target.flags = OWNED | 0x8000;
    assert!(target.dump().unwrap().is_empty());
    assert_eq!(failed(target.apply(&wishes(addresses(3)))), []);
    assert_eq!(target.flags, 0);
    assert!(!target.stats().is_owned);
    assert_eq!(target.dump().unwrap().len(), 4);
    assert_eq!(target.stats().messages, 6, "the same three messages twice");

    // The next process on that kernel finds it and does not try to claim it.
    let mut next = Target::open().unwrap();
    assert_eq!(next.dump().unwrap().len(), 4);
    assert_eq!(next.stats().messages, 0);
    assert_eq!(failed(next.apply(&wishes(addresses(5)))), []);
    assert_eq!(next.dump().unwrap().len(), 6);
}

#[test]
fn a_kernel_that_does_not_say_which_element_is_asked_one_by_one() {
    let _namespace = Namespace::enter();
    let mut target = Target::open().unwrap();
    target.socket.be_terse();
    assert!(target.dump().unwrap().is_empty());
    let bad = Part::Port(80);
    let outcomes = target.apply(&wishes(addresses(500).chain([bad.clone()])));
    assert_eq!(failed(outcomes), [member(bad).0]);
    assert_eq!(target.stats().refusals, 2);
    assert_eq!(target.dump().unwrap().len(), 501);
}

#[test]
fn what_is_missing_since_it_was_refused_is_not_at_fault() {
    let refusal = |message, errno| Refusal { about: About::Message(message), errno, offset: None };
    let refusals = [refusal(0, Errno::NOENT), refusal(1, Errno::RANGE), refusal(2, Errno::NOENT)];
    assert_eq!(first_causes(&refusals).collect::<Vec<_>>(), [&refusals[1]]);
    let missing = [refusal(0, Errno::NOENT), refusal(1, Errno::NOENT)];
    assert_eq!(first_causes(&missing).count(), 2);
    let deep = [refusal(0, Errno::MLINK), refusal(1, Errno::LOOP), refusal(2, Errno::INVAL)];
    assert_eq!(first_causes(&deep).collect::<Vec<_>>(), [&deep[0], &deep[2]]);
}
