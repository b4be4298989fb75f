// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every construct of the ruleset is accepted, reads back equal and is printed for people.

use nftables::schema::{NfListObject, NfObject, Nftables};
use policy::ir::{
    BasePolicy, CtStates, Family, Hook, Interface, Key, KeyType, Match, Object, ObjectId, Part,
    Rule, Side, Target as To,
};

use crate::support::{
    Namespace, Ruleset, base_chain, chain, difference, ifname, listing, loaded, map, name,
    nft_load, rule, run, set, v4, v6, vmap, without_hashes,
};

const TCP: Match = Match::Protocol { protocol: 6, negated: false };
const V4: Match = Match::Family(Family::V4);
const V6: Match = Match::Family(Family::V6);

/// A ruleset with every construct of the IR at least once.
pub(crate) fn everything() -> Ruleset {
    let mut rules = Ruleset::new();
    let range = |from, to| Key::Range(from, to);
    set(
        &mut rules,
        "s-v4",
        KeyType::Ipv4,
        &[Key::Single(v4("10.0.0.1")), Key::Single(v4("10.0.0.2"))],
    );
    set(&mut rules, "s-v6", KeyType::Ipv6, &[Key::Single(v6("fd00::1"))]);
    set(
        &mut rules,
        "n-v4",
        KeyType::Ipv4,
        &[
            range(v4("10.0.0.0"), v4("10.0.255.255")),
            range(v4("192.0.2.1"), v4("192.0.2.1")),
            range(v4("240.0.0.0"), v4("255.255.255.255")),
        ],
    );
    set(&mut rules, "n-v6", KeyType::Ipv6, &[range(v6("fd00::"), v6("fd00::ffff"))]);
    set(
        &mut rules,
        "p-web",
        KeyType::Port,
        &[
            range(Part::Port(0), Part::Port(21)),
            range(Part::Port(80), Part::Port(80)),
            range(Part::Port(8000), Part::Port(8100)),
        ],
    );
    set(&mut rules, "p-hash", KeyType::Port, &[Key::Single(Part::Port(443))]);
    set(&mut rules, "src4", KeyType::IfNameIpv4, &[Key::Pair(ifname("rtd1"), v4("10.0.0.1"))]);
    set(&mut rules, "src6", KeyType::IfNameIpv6, &[Key::Pair(ifname("rtd1"), v6("fd00::1"))]);
    set(&mut rules, "names", KeyType::IfName, &[Key::Single(ifname("rtd0123456789a"))]);
    let targets = [
        ("rtd1", To::Goto(name("ep-1"))),
        ("rtd2", To::Jump(name("empty-1"))),
        ("rtd3", To::Drop),
        ("rtd4", To::Accept),
        ("rtd5", To::Return),
    ];
    map(&mut rules, "dispatch", &targets);
    chain(&mut rules, "empty-1", Vec::new());
    chain(&mut rules, "ep-1", vec![rule(vec![], To::Jump(name("pol/1")), "signature")]);
    chain(&mut rules, "pol/1", policy_rules());
    chain(&mut rules, "net/1", net_rules());
    base_chain(
        &mut rules,
        "base_forward",
        Hook::Forward,
        vec![
            rule(vec![Match::CtState(CtStates::INVALID)], To::Drop, ""),
            rule(vec![Match::CtState(CtStates::ESTABLISHED.or(CtStates::RELATED))], To::Accept, ""),
            rule(vec![interface(Interface::Output, "eth0", false, true)], To::Return, ""),
            Rule {
                matches: vec![interface(Interface::Input, "rtd", true, false)],
                ..vmap(Interface::Input, "dispatch")
            },
            vmap(Interface::Output, "dispatch"),
            rule(vec![interface(Interface::Input, "rtd", true, false)], To::Drop, "not dispatched"),
        ],
    );
    for (chain, hook) in [
        ("base_prerouting", Hook::Prerouting),
        ("base_input", Hook::Input),
        ("base_output", Hook::Output),
    ] {
        base_chain(&mut rules, chain, hook, Vec::new());
    }
    rules
}

fn interface(interface: Interface, text: &str, prefix: bool, negated: bool) -> Match {
    Match::IfName { interface, name: name(text), prefix, negated }
}

fn policy_rules() -> Vec<Rule> {
    let address =
        |side, family, set, negated| Match::AddressIn { side, family, set: name(set), negated };
    let port = |side, set, negated| Match::PortIn { side, set: name(set), negated };
    let ports = |side, start, end, negated| Match::PortRange { side, start, end, negated };
    let icmp = |protocol| Match::Protocol { protocol, negated: false };
    vec![
        rule(
            vec![
                V4,
                address(Side::Source, Family::V4, "s-v4", false),
                TCP,
                port(Side::Destination, "p-web", false),
            ],
            To::Accept,
            "policy default/web rule 1",
        ),
        rule(vec![V6, address(Side::Destination, Family::V6, "s-v6", true)], To::Drop, ""),
        rule(vec![V4, address(Side::Destination, Family::V4, "n-v4", false)], To::Accept, ""),
        rule(vec![V6, address(Side::Source, Family::V6, "n-v6", true)], To::Accept, ""),
        rule(vec![V4, Match::SourceIn { family: Family::V4, set: name("src4") }], To::Return, ""),
        rule(vec![V6, Match::SourceIn { family: Family::V6, set: name("src6") }], To::Return, ""),
        rule(vec![TCP, port(Side::Source, "p-hash", true)], To::Accept, ""),
        rule(vec![TCP, ports(Side::Destination, 80, 80, false)], To::Accept, ""),
        rule(vec![TCP, ports(Side::Destination, 80, 80, true)], To::Accept, ""),
        rule(vec![TCP, ports(Side::Source, 1000, 2000, false)], To::Accept, ""),
        rule(vec![TCP, ports(Side::Source, 1000, 2000, true)], To::Accept, ""),
        rule(vec![V4, icmp(1), Match::IcmpType(8)], To::Accept, ""),
        rule(vec![V6, icmp(58), Match::IcmpType(128)], To::Accept, ""),
        rule(vec![Match::Protocol { protocol: 132, negated: true }], To::Goto(name("empty-1")), ""),
        Rule { counter: true, ..rule(vec![], To::Drop, "counted") },
    ]
}

fn net_rules() -> Vec<Rule> {
    let net = |side, network: &str, length, negated| Match::AddressNet {
        side,
        network: network.parse().unwrap(),
        length,
        negated,
    };
    vec![
        rule(vec![V4, net(Side::Source, "10.0.0.0", 8, false)], To::Accept, ""),
        rule(vec![V4, net(Side::Destination, "10.128.0.0", 9, true)], To::Accept, ""),
        rule(vec![V4, net(Side::Source, "128.0.0.0", 1, false)], To::Accept, ""),
        rule(vec![V4, net(Side::Destination, "192.0.2.9", 32, false)], To::Accept, ""),
        rule(vec![V6, net(Side::Source, "fd00::", 8, true)], To::Accept, ""),
        rule(vec![V6, net(Side::Destination, "2001:db8:8000::", 33, false)], To::Accept, ""),
        rule(vec![V6, net(Side::Destination, "2001:db8::1", 128, false)], To::Accept, ""),
    ]
}

#[test]
fn every_construct_is_printed_for_people() {
    let _namespace = Namespace::enter();
    let _target = loaded(&everything());
    insta::assert_snapshot!(without_hashes(&listing()));
}

#[test]
fn every_construct_reads_back_equal() {
    let _namespace = Namespace::enter();
    let rules = everything();
    let mut target = loaded(&rules);
    assert_eq!(difference(&mut target, &rules), []);
}

#[test]
fn the_nft_program_loads_what_it_lists_and_lists_the_same() {
    let ours = Namespace::enter();
    let _target = loaded(&everything());
    let listed = listing();
    let theirs = Namespace::enter();
    let output = nft_load(&listed);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(listing(), listed);
    drop((ours, theirs));
}

/// The crate's types know no maps to verdicts (0.6.3), so the map is looked at as plain JSON.
#[test]
fn the_json_listing_parses_and_shows_every_object() {
    let _namespace = Namespace::enter();
    let rules = everything();
    let _target = loaded(&rules);
    let json = run("nft", &["-j", "list", "table", "inet", "routed"]);
    let mut listing: serde_json::Value = serde_json::from_str(&json).unwrap();
    let objects = listing["nftables"].as_array_mut().unwrap();
    let map = objects.iter().position(|object| object.get("map").is_some()).unwrap();
    let map = objects.remove(map);
    assert_eq!(map["map"]["map"], "verdict");
    assert_eq!(map["map"]["elem"].as_array().unwrap().len(), 5);

    let parsed: Nftables<'_> = serde_json::from_value(listing).unwrap();
    let count = |wanted: fn(&NfListObject<'_>) -> bool| {
        let listed = parsed.objects.iter().filter_map(|object| match object {
            NfObject::ListObject(object) => Some(object),
            NfObject::CmdObject(_) => None,
        });
        listed.filter(|object| wanted(object)).count()
    };
    let written = |wanted: fn(&Object) -> usize| rules.values().map(wanted).sum::<usize>();
    assert_eq!(
        count(|object| matches!(object, NfListObject::Chain(_))),
        written(|object| usize::from(matches!(object, Object::Chain(_) | Object::BaseChain(_))))
    );
    assert_eq!(
        count(|object| matches!(object, NfListObject::Rule(_))),
        written(|object| match object {
            Object::Chain(rules) => rules.len(),
            Object::BaseChain(base) => base.rules.len(),
            Object::Set(_) | Object::Element | Object::Dispatch(_) => 0,
        })
    );
    assert_eq!(
        count(|object| matches!(object, NfListObject::Set(_))),
        written(|object| usize::from(matches!(object, Object::Set(spec) if !spec.verdicts)))
    );
}

#[test]
fn the_base_policy_changes_in_place() {
    let _namespace = Namespace::enter();
    let mut rules = everything();
    let mut target = loaded(&rules);
    let id = ObjectId::BaseChain(name("base_input"));
    let Some(Object::BaseChain(base)) = rules.get_mut(&id) else { panic!("base chain") };
    base.policy = BasePolicy::Drop;
    let wanted = crate::support::puts(&rules);
    assert_eq!(difference(&mut target, &rules), [id]);
    crate::support::apply(&mut target, &wanted);
    assert_eq!(difference(&mut target, &rules), []);
    assert!(listing().contains("hook input priority filter - 1; policy drop;"));
}
