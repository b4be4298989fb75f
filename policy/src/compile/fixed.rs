// SPDX-License-Identifier: MIT OR Apache-2.0
//! The base ruleset: there before any endpoint, closed for every workload interface.

use std::{net::Ipv6Addr, sync::Arc};

use super::{
    CompileOptions,
    names::{self, ANTISPOOF, EGRESS, FROM_WORKLOAD, INGRESS, INPUT_EGRESS, TO_NODE, TO_WORKLOAD},
};
use crate::{
    ir::{
        BaseChain, BasePolicy, CtStates, Hook, Interface, KeyType, Match, Name, Object, ObjectId,
        Rule, SetSpec, Side, Target, Verdict,
    },
    model::{Family, HostAction, Protocol},
};

/// ICMP types.
mod icmp {
    pub(super) const REDIRECT: u8 = 5;
    pub(super) const ECHO_REQUEST: u8 = 8;
}

/// ICMPv6 types.
mod icmpv6 {
    pub(super) const ECHO_REQUEST: u8 = 128;
    pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;
    pub(super) const NEIGHBOUR_SOLICITATION: u8 = 135;
    pub(super) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
    pub(super) const REDIRECT: u8 = 137;
}

/// Priority of the chain that looks at sources, before connection tracking.
const RAW: i32 = -300;
/// Priorities of the two directions: egress is judged before ingress.
const EGRESS_PRIORITY: i32 = -1;
const INGRESS_PRIORITY: i32 = 0;

/// Ports of the fabric's control protocols, which no workload may speak: BGP, and BFD with its
/// echo and multihop variants.
const CONTROL_PORTS: [(Protocol, u16, u16, &str); 3] = [
    (Protocol::TCP, 179, 179, "BGP from a workload"),
    (Protocol::UDP, 3784, 3785, "BFD from a workload"),
    (Protocol::UDP, 4784, 4784, "multihop BFD from a workload"),
];

/// All objects of the base ruleset.
pub(crate) fn fixed_objects(options: &CompileOptions) -> Vec<(ObjectId, Object)> {
    let mut objects = Vec::new();
    for (name, key, verdicts) in [
        (names::source_set(Family::V4), KeyType::IfNameIpv4, false),
        (names::source_set(Family::V6), KeyType::IfNameIpv6, false),
        (Name::new(FROM_WORKLOAD), KeyType::IfName, true),
        (Name::new(TO_WORKLOAD), KeyType::IfName, true),
    ] {
        let spec = SetSpec { key, interval: false, verdicts, comment: None };
        objects.push((ObjectId::Set(name), Object::Set(spec)));
    }
    for (name, rules) in [
        (ANTISPOOF, antispoof(options)),
        (EGRESS, egress()),
        (INGRESS, ingress()),
        (INPUT_EGRESS, input_egress()),
        (TO_NODE, to_node(options.endpoint_to_host)),
    ] {
        objects.push((ObjectId::Chain(Name::new(name)), Object::Chain(rules.into())));
    }
    let goto = |name: &str| Target::Goto(Name::new(name));
    for (name, hook, priority, interface, target) in [
        ("raw_prerouting", Hook::Prerouting, RAW, Interface::Input, goto(ANTISPOOF)),
        ("forward_egress", Hook::Forward, EGRESS_PRIORITY, Interface::Input, goto(EGRESS)),
        ("forward_ingress", Hook::Forward, INGRESS_PRIORITY, Interface::Output, goto(INGRESS)),
        ("input_from_workload", Hook::Input, EGRESS_PRIORITY, Interface::Input, goto(INPUT_EGRESS)),
        ("input_to_node", Hook::Input, INGRESS_PRIORITY, Interface::Input, goto(TO_NODE)),
        ("output_to_workload", Hook::Output, INGRESS_PRIORITY, Interface::Output, Target::Accept),
    ] {
        let workload = Match::IfName {
            interface,
            name: Name::new(&options.interface_prefix),
            prefix: true,
            negated: false,
        };
        let policy = BasePolicy::Accept;
        let rules = Arc::from([rule(vec![workload], target)]);
        let chain = BaseChain { hook, priority, policy, rules };
        objects.push((ObjectId::BaseChain(Name::new(name)), Object::BaseChain(chain)));
    }
    objects
}

/// A workload sends from its own addresses only, and never what a router or DHCP server sends.
fn antispoof(options: &CompileOptions) -> Vec<Rule> {
    let mut rules = vec![
        dropped(of_icmpv6(icmpv6::ROUTER_ADVERTISEMENT), "router advertisement from a workload"),
        dropped(of_icmpv6(icmpv6::REDIRECT), "redirect from a workload"),
        dropped(of_icmp(icmp::REDIRECT), "redirect from a workload"),
        dropped(from_port(67), "DHCP server in a workload"),
        dropped(from_port(547), "DHCP server in a workload"),
    ];
    if !options.anti_spoofing {
        return rules;
    }
    for family in [Family::V4, Family::V6] {
        let set = names::source_set(family);
        let own = vec![Match::Family(family), Match::SourceIn { family, set }];
        rules.push(rule(own, Target::Accept));
    }
    // With the gateway, which is never beyond the link: neighbour discovery from link-local
    // addresses, and from none at all while an address is checked for duplicates; and echo.
    let link_local = (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);
    let none = (Ipv6Addr::UNSPECIFIED, 128);
    for (kind, source, destination) in [
        (icmpv6::NEIGHBOUR_SOLICITATION, link_local, None),
        (icmpv6::NEIGHBOUR_SOLICITATION, none, None),
        (icmpv6::NEIGHBOUR_ADVERTISEMENT, link_local, None),
        (icmpv6::ECHO_REQUEST, link_local, Some(link_local)),
    ] {
        let mut matches = of_icmpv6(kind);
        let ends = [(Side::Source, Some(source)), (Side::Destination, destination)];
        for (side, network, length) in ends.into_iter().filter_map(|(s, n)| Some((s, n?.0, n?.1))) {
            let network = network.into();
            matches.push(Match::AddressNet { side, network, length, negated: false });
        }
        rules.push(rule(matches, Target::Accept));
    }
    rules.push(dropped(Vec::new(), "source does not belong to the workload"));
    rules
}

fn egress() -> Vec<Rule> {
    let mut rules = tracked();
    for (protocol, start, end, comment) in CONTROL_PORTS {
        let mut matches = of(protocol);
        matches.push(Match::PortRange { side: Side::Destination, start, end, negated: false });
        rules.push(dropped(matches, comment));
    }
    rules.push(by_map(Interface::Input, FROM_WORKLOAD));
    rules.push(dropped(Vec::new(), "workload without an entry"));
    rules
}

fn ingress() -> Vec<Rule> {
    let mut rules = tracked();
    rules.push(by_map(Interface::Output, TO_WORKLOAD));
    rules.push(dropped(Vec::new(), "workload without an entry"));
    rules
}

fn input_egress() -> Vec<Rule> {
    let mut rules = neighbour_discovery();
    rules.push(rule(Vec::new(), Target::Goto(Name::new(EGRESS))));
    rules
}

fn to_node(action: HostAction) -> Vec<Rule> {
    let mut rules = tracked();
    rules.extend(neighbour_discovery());
    rules.push(rule(of_icmp(icmp::ECHO_REQUEST), Target::Accept));
    rules.push(rule(of_icmpv6(icmpv6::ECHO_REQUEST), Target::Accept));
    rules.push(match action {
        HostAction::Drop => dropped(Vec::new(), "workload to node"),
        HostAction::Accept => rule(Vec::new(), Target::Accept),
        HostAction::Return => rule(Vec::new(), Target::Return),
    });
    rules
}

/// Packets of known connections pass, packets of impossible ones do not.
fn tracked() -> Vec<Rule> {
    let known = CtStates::ESTABLISHED.or(CtStates::RELATED);
    vec![
        rule(vec![Match::CtState(known)], Target::Accept),
        dropped(vec![Match::CtState(CtStates::INVALID)], "impossible in its connection"),
    ]
}

fn neighbour_discovery() -> Vec<Rule> {
    [icmpv6::NEIGHBOUR_SOLICITATION, icmpv6::NEIGHBOUR_ADVERTISEMENT]
        .map(|kind| rule(of_icmpv6(kind), Target::Accept))
        .into()
}

fn rule(matches: Vec<Match>, target: Target) -> Rule {
    Rule { matches, counter: false, verdict: Verdict::To(target), comment: None }
}

fn dropped(matches: Vec<Match>, comment: &str) -> Rule {
    let verdict = Verdict::To(Target::Drop);
    Rule { matches, counter: true, verdict, comment: Some(names::comment(comment)) }
}

fn by_map(interface: Interface, map: &str) -> Rule {
    let verdict = Verdict::Vmap(interface, Name::new(map));
    Rule { matches: Vec::new(), counter: false, verdict, comment: None }
}

fn of(protocol: Protocol) -> Vec<Match> {
    vec![Match::Protocol { protocol: protocol.0, negated: false }]
}

fn from_port(port: u16) -> Vec<Match> {
    let mut matches = of(Protocol::UDP);
    let (start, end) = (port, port);
    matches.push(Match::PortRange { side: Side::Source, start, end, negated: false });
    matches
}

fn of_icmp(kind: u8) -> Vec<Match> {
    let mut matches = vec![Match::Family(Family::V4)];
    matches.extend(of(Protocol::ICMP));
    matches.push(Match::IcmpType(kind));
    matches
}

fn of_icmpv6(kind: u8) -> Vec<Match> {
    let mut matches = vec![Match::Family(Family::V6)];
    matches.extend(of(Protocol::ICMPV6));
    matches.push(Match::IcmpType(kind));
    matches
}
