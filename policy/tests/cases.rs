// SPDX-License-Identifier: MIT OR Apache-2.0
//! The policy cases: the reference evaluator and a naive reading of the compiled ruleset must both
//! say what the case says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

use policy::{
    Change, CompileOptions, Endpoint, EndpointKey, Engine, HostAction, Labels, LocalEndpoint,
    Policy, RemoteEndpoint,
    eval::{Packet, Place, World},
    ir::CtStates,
    load::{Document, parse},
    model::Protocol,
};

use support::{
    cases::{CaseEndpoint, CaseFile, CasePlace, Probe, Send, read_cases},
    interpreter::{Frame, Ruleset, passes},
};

const UPLINK: &str = "eth0";

/// The endpoints of a file with the addresses of this run.
struct Cast<'a> {
    endpoints: Vec<(&'a CaseEndpoint, [IpAddr; 2])>,
}

impl<'a> Cast<'a> {
    fn new(file: &'a CaseFile) -> Self {
        let address = |number: u16| {
            [
                IpAddr::V4(Ipv4Addr::from_bits(0x0a40_0100 + u32::from(number))),
                IpAddr::V6(Ipv6Addr::from_bits((0xfd00_0064 << 96) + u128::from(number))),
            ]
        };
        Self { endpoints: file.endpoints.iter().zip((10..).map(address)).collect() }
    }

    fn address(&self, name: &str, family: u8) -> Option<IpAddr> {
        let (_, addresses) = self.endpoints.iter().find(|(endpoint, _)| endpoint.name == name)?;
        addresses.iter().copied().find(|address| address.is_ipv4() == (family == 4))
    }

    fn place(&self, name: &str) -> Place {
        if name == "node" {
            return Place::Node;
        }
        let found = self.endpoints.iter().find(|(endpoint, _)| endpoint.name == name);
        let (endpoint, _) = found.unwrap_or_else(|| panic!("no endpoint {name}"));
        match endpoint.place {
            CasePlace::Local => Place::Workload(interface(name)),
            CasePlace::Remote | CasePlace::Outside => Place::Fabric,
        }
    }

    fn packet(&self, probe: &Probe, family: u8) -> Packet {
        let gateway = if family == 4 { "169.254.1.1" } else { "fe80::1" };
        let address = |name: &str| match name {
            "node" => gateway.parse().unwrap(),
            name => self.address(name, family).unwrap(),
        };
        let source_port = probe.source_port.unwrap_or(40_000);
        let (protocol, port) = match probe.send {
            Send::Tcp(port) => (Protocol::TCP, Some(port)),
            Send::Udp(port) => (Protocol::UDP, Some(port)),
            Send::Sctp(port) => (Protocol::SCTP, Some(port)),
            Send::Icmp if family == 4 => (Protocol::ICMP, None),
            Send::Icmp => (Protocol::ICMPV6, None),
        };
        Packet {
            from: self.place(&probe.from),
            to: self.place(&probe.to),
            source: address(&probe.from),
            destination: address(&probe.to),
            protocol,
            ports: port.map(|port| (source_port, port)),
            icmp_type: port.is_none().then_some(if family == 4 { 8 } else { 128 }),
        }
    }
}

fn interface(name: &str) -> EndpointKey {
    EndpointKey::new(&format!("rtd{name}"))
}

fn frame(packet: &Packet) -> Frame {
    let interface = |place: &Place| match place {
        Place::Workload(key) => Some(key.as_str().to_owned()),
        Place::Node => None,
        Place::Fabric => Some(UPLINK.to_owned()),
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

#[test]
fn evaluator_and_ruleset_decide_as_the_cases_say() {
    let files = read_cases(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    let mut names = std::collections::BTreeSet::new();
    for file in &files {
        let cast = Cast::new(file);
        let mut locals = BTreeMap::new();
        let mut remotes = BTreeMap::new();
        for (endpoint, addresses) in &cast.endpoints {
            let labels: Labels = endpoint.labels.iter().collect();
            let value = Endpoint::new(&endpoint.namespace, &labels, addresses.to_vec());
            match endpoint.place {
                CasePlace::Local => {
                    locals.insert(interface(&endpoint.name), LocalEndpoint(value));
                }
                CasePlace::Remote => {
                    remotes.insert(EndpointKey::new(&endpoint.name), RemoteEndpoint(value));
                }
                CasePlace::Outside => {}
            }
        }
        for case in &file.cases {
            assert!(names.insert(case.name.clone()), "{} is there twice", case.name);
            assert!(!case.probes.is_empty(), "{} shows nothing", case.name);
            let text = case.policies(|name, family| cast.address(name, family));
            let path = format!("{}: {}", file.name, case.name);
            let policies = policies(&path, &text);
            let world = World {
                policies: policies.iter().map(Arc::as_ref).collect(),
                locals: locals.iter().collect(),
                remotes: remotes.values().collect(),
                endpoint_to_host: HostAction::Drop,
                anti_spoofing: true,
            };
            let ruleset = compile(&policies, &locals, &remotes);
            for probe in &case.probes {
                for family in &probe.families {
                    let packet = cast.packet(probe, *family);
                    let decision = world.evaluate(&packet);
                    let at = format!("{path}, line {}, IPv{family}: {decision:?}", probe.line);
                    assert_eq!(decision.allowed, probe.allow, "evaluator: {at}");
                    assert_eq!(passes(&ruleset, &frame(&packet)), probe.allow, "ruleset: {at}");
                }
            }
        }
    }
    assert!(names.len() >= 40, "only {} cases", names.len());
}

fn policies(path: &str, text: &str) -> Vec<Arc<Policy>> {
    let documents = parse(path, text).unwrap_or_else(|errors| {
        panic!("{}", errors.iter().map(|e| e.to_string()).collect::<Vec<_>>().join("\n"))
    });
    documents
        .into_iter()
        .map(|document| match document {
            Document::Policy(policy) => policy,
            Document::Other { kind, .. } => panic!("{path}: {kind}"),
        })
        .collect()
}

fn compile(
    policies: &[Arc<Policy>],
    locals: &BTreeMap<EndpointKey, LocalEndpoint>,
    remotes: &BTreeMap<EndpointKey, RemoteEndpoint>,
) -> Ruleset {
    let mut engine = Engine::new(&CompileOptions::default());
    for policy in policies {
        engine.apply(Change::Policy(policy.id.clone(), Some(Arc::clone(policy))));
    }
    for (key, endpoint) in locals {
        engine.apply(Change::Local(key.clone(), Some(endpoint.clone())));
    }
    for (key, endpoint) in remotes {
        engine.apply(Change::Remote(key.clone(), Some(endpoint.clone())));
    }
    let changes = engine.take_changes();
    changes.into_iter().filter_map(|(id, object)| Some((id, object?))).collect()
}
