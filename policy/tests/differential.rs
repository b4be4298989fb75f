// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random inputs: the increments equal the full recompute, the compiled ruleset equals the
//! reference evaluator, and no cut of a batch leaves a dangling reference.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use policy::{
    Change, CompileOptions, Endpoint, EndpointKey, Engine, HostAction, Labels, LocalEndpoint,
    Policy, PolicyId, RemoteEndpoint,
    eval::{Packet, Place, World},
    ir::{CtStates, Key, MAX_COMMENT, MAX_NAME, Object, ObjectId},
    model::{
        Action, EndpointSelector, Family, Net, Order, Peer, PortRange, Position, Protocol, Rule,
        Scope, Selector,
    },
};
use proptest::{collection::vec, option, prelude::*, sample::select};

use support::interpreter::{Frame, Ruleset, passes, references};

const INTERFACES: [&str; 4] = ["rtd1", "rtd2", "rtd3", "rtd4"];
const ADDRESSES: [&str; 8] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.1",
    "192.0.2.1",
    "fd00::1",
    "fd00::2",
    "fd00:0:0:1::1",
    "2001:db8::1",
];
const NETS: [&str; 10] = [
    "10.0.0.0/24",
    "10.0.0.1/32",
    "10.0.0.2/32",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "0.0.0.0/1",
    "128.0.0.0/1",
    "fd00::/64",
    "fd00::1/128",
    "::/0",
];
const SELECTORS: [&str; 10] = [
    "all()",
    "app == 'web'",
    "app != 'web'",
    "has(env)",
    "!has(env)",
    "app in {'web', 'db'} && env == 'prod'",
    "app == 'db' || env == 'test'",
    "app starts with 'w'",
    "projectcalico.org/namespace == 'shop'",
    "has(ghost)",
];
const NAMESPACE_SELECTORS: [&str; 4] =
    ["all()", "global()", "projectcalico.org/name == 'shop'", "projectcalico.org/name != 'shop'"];
const PORTS: [u16; 8] = [0, 53, 67, 80, 81, 179, 3784, 65535];

fn address() -> impl Strategy<Value = IpAddr> {
    select(&ADDRESSES[..]).prop_map(|text| text.parse().unwrap())
}

fn selector() -> impl Strategy<Value = Selector> {
    select(&SELECTORS[..]).prop_map(|text| text.parse().unwrap())
}

fn scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        Just(Scope::Any),
        select(vec!["shop", "bank"]).prop_map(|name| Scope::Namespace(name.into())),
        select(&NAMESPACE_SELECTORS[..]).prop_map(|text| Scope::Selected(text.parse().unwrap())),
    ]
}

fn endpoint_selector() -> impl Strategy<Value = EndpointSelector> {
    (scope(), selector()).prop_map(|(scope, selector)| EndpointSelector { scope, selector })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let app = option::of(select(vec!["web", "db", "api"]));
    let env = option::of(select(vec!["prod", "test"]));
    (select(vec!["shop", "bank"]), app, env, vec(address(), 0..3)).prop_map(
        |(namespace, app, env, addresses)| {
            let labels = [("app", app), ("env", env)];
            let labels: Labels = labels.into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
            Endpoint::new(namespace, &labels, addresses)
        },
    )
}

fn port_ranges() -> impl Strategy<Value = Vec<PortRange>> {
    vec((select(&PORTS[..]), select(&PORTS[..])), 1..4).prop_map(|pairs| {
        pairs.into_iter().map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap()).collect()
    })
}

fn nets() -> impl Strategy<Value = Vec<Net>> {
    vec(select(&NETS[..]).prop_map(|text| text.parse().unwrap()), 1..4)
}

/// `ports` says whether the rule's protocol has ports.
fn peer(ports: bool) -> impl Strategy<Value = Peer> {
    (
        option::weighted(0.3, nets()),
        option::weighted(0.2, nets()),
        option::weighted(0.4, endpoint_selector()),
        option::weighted(0.2, selector()),
        option::weighted(0.4, port_ranges()),
        option::weighted(0.2, port_ranges()),
    )
        .prop_map(move |(nets, not_nets, selector, not_selector, some, not)| Peer {
            nets,
            not_nets: not_nets.unwrap_or_default(),
            selector,
            not_selector,
            ports: some.filter(|_| ports),
            not_ports: not.filter(|_| ports).unwrap_or_default(),
        })
}

fn protocol() -> impl Strategy<Value = Protocol> {
    select(vec![1, 6, 17, 58, 132, 200]).prop_map(Protocol)
}

fn rule() -> impl Strategy<Value = Rule> {
    option::of(protocol()).prop_flat_map(|protocol| {
        let ports = protocol.is_some_and(Protocol::has_ports);
        (
            select(vec![Action::Allow, Action::Allow, Action::Deny]),
            option::weighted(0.2, select(vec![Family::V4, Family::V6])),
            option::weighted(0.1, self::protocol()),
            peer(ports),
            peer(ports),
        )
            .prop_map(move |(action, ip_version, not_protocol, source, destination)| {
                Rule {
                    action,
                    ip_version,
                    protocol,
                    not_protocol,
                    source,
                    destination,
                    position: Position { file: "random".into(), line: 1 },
                }
            })
    })
}

fn policy_id() -> impl Strategy<Value = PolicyId> {
    prop_oneof![
        select(vec!["a", "b", "c"]).prop_map(PolicyId::global),
        (select(vec!["shop", "bank"]), select(vec!["a", "b"]))
            .prop_map(|(namespace, name)| PolicyId::namespaced(namespace, name)),
    ]
}

fn policy() -> impl Strategy<Value = Policy> {
    let order = option::of(select(vec![-1.0, 0.0, 1.5]));
    let rules = || option::of(vec(rule(), 0..4));
    (policy_id(), order, endpoint_selector(), rules(), rules()).prop_map(
        |(id, order, subject, ingress, egress)| Policy {
            id,
            order: order.map_or(Order::UNSET, |order| Order::try_new(order).unwrap()),
            subject,
            ingress,
            egress,
            position: Position { file: "random".into(), line: 1 },
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    let key = |names: &'static [&'static str]| select(names).prop_map(EndpointKey::new);
    prop_oneof![
        2 => policy().prop_map(|policy| Change::Policy(policy.id.clone(), Some(Arc::new(policy)))),
        1 => policy_id().prop_map(|id| Change::Policy(id, None)),
        2 => (key(&INTERFACES), endpoint())
            .prop_map(|(key, endpoint)| Change::Local(key, Some(LocalEndpoint(endpoint)))),
        1 => key(&INTERFACES).prop_map(|key| Change::Local(key, None)),
        2 => (key(&["rtd1", "x", "y"]), endpoint())
            .prop_map(|(key, endpoint)| Change::Remote(key, Some(RemoteEndpoint(endpoint)))),
        1 => key(&["rtd1", "x", "y"]).prop_map(|key| Change::Remote(key, None)),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        4 => select(&INTERFACES[..]).prop_map(|name| Place::Workload(name.into())),
        1 => Just(Place::Node),
        2 => Just(Place::Fabric),
    ]
}

fn packet() -> impl Strategy<Value = Packet> {
    let icmp = select(vec![5, 8, 128, 134, 135, 136, 137]);
    let source = prop_oneof![
        8 => address(),
        1 => select(vec!["fe80::7", "::", "0.0.0.0"]).prop_map(|text| text.parse().unwrap()),
    ];
    let destination = prop_oneof![8 => address(), 1 => Just("fe80::1".parse().unwrap())];
    let ports = (select(&PORTS[..]), select(&PORTS[..]));
    (place(), place(), source, destination, protocol(), ports, icmp)
        .prop_filter("one family", |packet| packet.2.is_ipv4() == packet.3.is_ipv4())
        .prop_filter("some way", |packet| (&packet.0, &packet.1) != (&Place::Node, &Place::Node))
        .prop_map(|(from, to, source, destination, protocol, ports, icmp)| Packet {
            from,
            to,
            source,
            destination,
            protocol,
            ports: protocol.has_ports().then_some(ports),
            icmp_type: matches!(protocol, Protocol::ICMP | Protocol::ICMPV6).then_some(icmp),
        })
}

/// The inputs as they stand after all changes.
#[derive(Default)]
struct Inputs {
    policies: BTreeMap<PolicyId, Arc<Policy>>,
    locals: BTreeMap<EndpointKey, LocalEndpoint>,
    remotes: BTreeMap<EndpointKey, RemoteEndpoint>,
}

impl Inputs {
    fn apply(&mut self, change: &Change) {
        fn put<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, V>, key: &K, value: &Option<V>) {
            map.remove(key);
            map.extend(value.clone().map(|value| (key.clone(), value)));
        }
        match change {
            Change::Policy(id, policy) => put(&mut self.policies, id, policy),
            Change::Local(key, endpoint) => put(&mut self.locals, key, endpoint),
            Change::Remote(key, endpoint) => put(&mut self.remotes, key, endpoint),
        }
    }
}

fn frame(packet: &Packet) -> Frame {
    let interface = |place: &Place| match place {
        Place::Workload(key) => Some(key.as_str().to_owned()),
        Place::Node => None,
        Place::Fabric => Some("eth0".to_owned()),
    };
    Frame {
        input: interface(&packet.from),
        output: interface(&packet.to),
        source: packet.source,
        destination: packet.destination,
        protocol: packet.protocol.0,
        ports: packet.ports,
        icmp_type: packet.icmp_type,
        state: CtStates::NEW,
    }
}

/// Applies changes as a kernel would, checking every reference on the way.
fn write(ruleset: &mut Ruleset, changes: &[(ObjectId, Option<Object>)]) {
    let mut puts: Vec<_> = changes.iter().filter_map(|(id, o)| Some((id, o.as_ref()?))).collect();
    let mut deletes: Vec<_> =
        changes.iter().filter(|(_, o)| o.is_none()).map(|(id, _)| id).collect();
    puts.sort_by_key(|(id, _)| id.rank());
    deletes.sort_by_key(|id| std::cmp::Reverse(id.rank()));
    for (id, object) in puts {
        for reference in references(id, object) {
            assert!(ruleset.contains_key(&reference), "{id} needs {reference}");
        }
        ruleset.insert(id.clone(), object.clone());
    }
    for id in deletes {
        if ruleset.remove(id).is_none() {
            continue;
        }
        for (user, object) in ruleset.iter() {
            assert!(!references(user, object).contains(id), "{user} still needs {id}");
        }
    }
}

/// What the representation promises of every object.
fn check(ruleset: &Ruleset) {
    let mut ranges = BTreeMap::<_, Vec<(&_, &_)>>::new();
    for (id, object) in ruleset {
        let fits = matches!(
            (id, object),
            (ObjectId::Set(_), Object::Set(_))
                | (ObjectId::Chain(_), Object::Chain(_))
                | (ObjectId::BaseChain(_), Object::BaseChain(_))
                | (ObjectId::Element(..), Object::Element)
                | (ObjectId::Dispatch(..), Object::Dispatch(_))
        );
        assert!(fits, "{id}: {object:?}");
        let name = id.name().as_str();
        let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
        assert!(name.len() < MAX_NAME && name.chars().all(valid), "{name}");
        assert!(name.starts_with(|c: char| c.is_ascii_alphabetic()), "{name}");
        if let Object::Set(spec) = object {
            assert!(spec.comment.as_ref().is_none_or(|comment| comment.len() < MAX_COMMENT));
        }
        if let ObjectId::Element(set, key) = id {
            let Some(Object::Set(spec)) = ruleset.get(&ObjectId::Set(set.clone())) else {
                panic!("{id} has no set");
            };
            assert_eq!(spec.interval, matches!(key, Key::Range(..)), "{id}");
            if let Key::Range(start, end) = key {
                ranges.entry(set).or_default().push((start, end));
            }
        }
    }
    for (set, mut ranges) in ranges {
        ranges.sort();
        assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "{set} overlaps");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn increments_equal_the_full_recompute(
        changes in vec((change(), any::<bool>()), 0..40),
    ) {
        let mut engine = Engine::new(&CompileOptions::default());
        let mut kernel = Ruleset::new();
        let mut inputs = Inputs::default();
        for (change, flush) in &changes {
            engine.apply(change.clone());
            inputs.apply(change);
            if *flush {
                write(&mut kernel, &engine.take_changes());
                prop_assert_eq!(&kernel, &engine.rebuild());
            }
        }
        write(&mut kernel, &engine.take_changes());
        prop_assert_eq!(&kernel, &engine.rebuild());
        prop_assert!(engine.take_changes().is_empty(), "nothing changed since");
        check(&kernel);
        for (id, object) in &kernel {
            prop_assert!(engine.object(id).as_ref() == Some(object), "{}", id);
        }
        // History does not matter: the same inputs in one go give the same ruleset.
        let mut fresh = Engine::new(&CompileOptions::default());
        for (key, endpoint) in inputs.remotes.iter().rev() {
            fresh.apply(Change::Remote(key.clone(), Some(endpoint.clone())));
        }
        for (key, endpoint) in inputs.locals.iter().rev() {
            fresh.apply(Change::Local(key.clone(), Some(endpoint.clone())));
        }
        for (id, policy) in inputs.policies.iter().rev() {
            fresh.apply(Change::Policy(id.clone(), Some(Arc::clone(policy))));
        }
        let mut other = Ruleset::new();
        write(&mut other, &fresh.take_changes());
        prop_assert_eq!(&kernel, &other);
        // An endpoint is in force when all that is named for it is there.
        for key in inputs.locals.keys() {
            let needed: BTreeSet<_> = engine.objects_of(key).into_iter().collect();
            for id in &needed {
                prop_assert!(kernel.contains_key(id), "{} names {}", key, id);
            }
            prop_assert!(kernel.keys().filter(|id| id.is_fixed()).all(|id| needed.contains(id)));
        }
        // Everything can go again.
        for change in &changes {
            engine.apply(match &change.0 {
                Change::Policy(id, _) => Change::Policy(id.clone(), None),
                Change::Local(key, _) => Change::Local(key.clone(), None),
                Change::Remote(key, _) => Change::Remote(key.clone(), None),
            });
        }
        write(&mut kernel, &engine.take_changes());
        prop_assert!(kernel.keys().all(ObjectId::is_fixed));
    }

    #[test]
    fn ruleset_equals_evaluator(
        changes in vec(change(), 0..25),
        packets in vec(packet(), 40),
        endpoint_to_host in select(vec![HostAction::Drop, HostAction::Accept, HostAction::Return]),
        anti_spoofing in prop::bool::weighted(0.5),
    ) {
        let options =
            CompileOptions { endpoint_to_host, anti_spoofing, ..CompileOptions::default() };
        let mut engine = Engine::new(&options);
        let mut inputs = Inputs::default();
        for change in &changes {
            engine.apply(change.clone());
            inputs.apply(change);
        }
        let ruleset = engine.rebuild();
        let world = World {
            policies: inputs.policies.values().map(Arc::as_ref).collect(),
            locals: inputs.locals.iter().collect(),
            remotes: inputs.remotes.values().collect(),
            endpoint_to_host,
            anti_spoofing,
        };
        for mut packet in packets {
            // Mostly honest senders, or nothing behind the source check would be seen.
            if let Place::Workload(sender) = &packet.from
                && packet.protocol.0 % 2 == 0
                && let Some(own) = inputs.locals.get(sender).and_then(|local| {
                    let own = local.0.addresses();
                    own.iter().find(|a| a.is_ipv4() == packet.source.is_ipv4())
                })
            {
                packet.source = *own;
            }
            let decision = world.evaluate(&packet);
            let passes = passes(&ruleset, &frame(&packet));
            prop_assert_eq!(passes, decision.allowed, "{:?}: {:?}", packet, decision);
        }
    }
}
