// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::model::Labels;

/// What a workload with one address of each family may send to its node or into the fabric.
fn sent(source: &str, destination: &str, protocol: Protocol, icmp_type: Option<u8>) -> Reason {
    let key = EndpointKey::new("rtd1");
    let addresses = vec!["10.64.1.2".parse().unwrap(), "fd00:64::2".parse().unwrap()];
    let endpoint = LocalEndpoint(Endpoint::new("shop", &Labels::default(), addresses));
    let world = World {
        policies: Vec::new(),
        locals: vec![(&key, &endpoint)],
        remotes: Vec::new(),
        endpoint_to_host: HostAction::Drop,
        anti_spoofing: true,
    };
    let decision = world.evaluate(&Packet {
        from: Place::Workload(key.clone()),
        to: Place::Node,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol,
        ports: None,
        icmp_type,
    });
    let reason = decision.egress.filter(|reason| !reason.allows()).or(decision.ingress);
    assert_eq!(decision.allowed, reason.as_ref().is_none_or(Reason::allows));
    reason.unwrap()
}

#[test]
fn the_gateway_answers_neighbour_discovery_and_echo() {
    let icmp = |source, destination, kind| sent(source, destination, Protocol::ICMPV6, Some(kind));
    for (source, destination, kind, expected) in [
        ("fe80::7", "ff02::1:ff00:1", 135, Reason::NeighbourDiscovery),
        ("fe80::7", "fe80::1", 136, Reason::NeighbourDiscovery),
        ("::", "ff02::1:ff00:2", 135, Reason::NeighbourDiscovery),
        ("fd00:64::2", "fe80::1", 135, Reason::NeighbourDiscovery),
        ("fe80::7", "fe80::1", 128, Reason::EchoToNode),
        ("fd00:64::2", "fe80::1", 128, Reason::EchoToNode),
        ("::", "fe80::1", 136, Reason::SpoofedSource),
        ("fe80::7", "fd00:64::1", 128, Reason::SpoofedSource),
        ("fe80::7", "fe80::1", 1, Reason::SpoofedSource),
        ("fd00:64::3", "fe80::1", 135, Reason::SpoofedSource),
        ("fe80::7", "ff02::1", 134, Reason::ForbiddenSender),
        ("fd00:64::2", "fe80::1", 137, Reason::ForbiddenSender),
    ] {
        assert_eq!(icmp(source, destination, kind), expected, "{source} {destination} {kind}");
    }
    assert_eq!(sent("10.64.1.2", "169.254.1.1", Protocol::ICMP, Some(8)), Reason::EchoToNode);
    let dropped = Reason::HostAction(HostAction::Drop);
    assert_eq!(sent("10.64.1.2", "169.254.1.1", Protocol::ICMP, Some(13)), dropped);
    assert_eq!(sent("10.64.1.3", "169.254.1.1", Protocol::ICMP, Some(8)), Reason::SpoofedSource);
    assert_eq!(sent("10.64.1.2", "169.254.1.1", Protocol::ICMP, Some(5)), Reason::ForbiddenSender);
}
