// SPDX-License-Identifier: MIT OR Apache-2.0
//! The reference: what becomes of a packet, decided straight from the policies' words.
//!
//! This is the definition that the compiled ruleset is tested against, on paper and with real
//! packets. It reads [`crate::model`] only and shares nothing with the indices and the compiler,
//! so that a mistake there cannot hide here. It is written to be read, not to be fast.
//!
//! A [`Packet`] is the first one of its connection; what belongs to a known connection passes.

use std::net::IpAddr;

use crate::model::{
    Action, Direction, Endpoint, EndpointKey, Family, HostAction, LocalEndpoint, Net, Peer, Policy,
    PolicyId, PortRange, Position, Protocol, RemoteEndpoint, Rule,
};

/// All there is to know.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The policies, in any order.
    pub policies: Vec<&'a Policy>,
    /// The workloads of this node by interface.
    pub locals: Vec<(&'a EndpointKey, &'a LocalEndpoint)>,
    /// Workloads elsewhere.
    pub remotes: Vec<&'a RemoteEndpoint>,
    /// What workloads may do with the node.
    pub endpoint_to_host: HostAction,
    /// Whether workloads may send from their own addresses only.
    pub anti_spoofing: bool,
}

/// Where a packet comes from or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Through the interface of a workload of this node.
    Workload(EndpointKey),
    /// A process of this node.
    Node,
    /// Anything beyond this node.
    Fabric,
}

/// The first packet of a connection.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Where it really comes from.
    pub from: Place,
    /// Where routing sends it.
    pub to: Place,
    /// The source address it claims.
    pub source: IpAddr,
    /// The destination address, of the same family.
    pub destination: IpAddr,
    /// The transport protocol.
    pub protocol: Protocol,
    /// Source and destination port, if the protocol has them.
    pub ports: Option<(u16, u16)>,
    /// The type, if the protocol is ICMP or ICMPv6.
    pub icmp_type: Option<u8>,
}

/// What becomes of a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it arrives.
    pub allowed: bool,
    /// What decided on the sender's side; nothing if the sender is no workload of this node.
    pub egress: Option<Reason>,
    /// What decided on the receiver's side; nothing if it is no matter of this node, or if the
    /// sender's side already dropped the packet.
    pub ingress: Option<Reason>,
}

/// What decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No workload is known behind the interface.
    UnknownWorkload,
    /// The source address does not belong to the workload.
    SpoofedSource,
    /// Only routers and DHCP servers send this.
    ForbiddenSender,
    /// A control protocol of the fabric.
    ControlProtocol,
    /// Neighbour discovery with the gateway.
    NeighbourDiscovery,
    /// ICMP echo from a workload to its node.
    EchoToNode,
    /// Traffic from a workload to its node.
    HostAction(HostAction),
    /// The node reaches its own workloads.
    FromNode,
    /// No policy selects the endpoint in this direction.
    NotSelected,
    /// A rule matched.
    Rule {
        /// Its policy.
        policy: PolicyId,
        /// Its place among the policy's rules of the direction, from 0.
        index: usize,
        /// What it says.
        action: Action,
        /// Where it stands.
        position: Position,
    },
    /// Policies select the endpoint, but none of their rules matches.
    NoRule,
}

impl Reason {
    /// Whether the packet may go on.
    pub fn allows(&self) -> bool {
        match self {
            Self::UnknownWorkload
            | Self::SpoofedSource
            | Self::ForbiddenSender
            | Self::ControlProtocol
            | Self::NoRule
            | Self::HostAction(HostAction::Drop) => false,
            Self::NeighbourDiscovery
            | Self::EchoToNode
            | Self::HostAction(HostAction::Accept | HostAction::Return)
            | Self::FromNode
            | Self::NotSelected => true,
            Self::Rule { action, .. } => *action == Action::Allow,
        }
    }
}

impl World<'_> {
    /// What becomes of a packet.
    pub fn evaluate(&self, packet: &Packet) -> Decision {
        let egress = match &packet.from {
            Place::Workload(sender) => Some(self.judge_sender(sender, packet)),
            Place::Node | Place::Fabric => None,
        };
        if egress.as_ref().is_some_and(|reason| !reason.allows()) {
            return Decision { allowed: false, egress, ingress: None };
        }
        let ingress = match (&packet.from, &packet.to) {
            (Place::Node, Place::Workload(_)) => Some(Reason::FromNode),
            (_, Place::Workload(receiver)) => Some(self.judge_receiver(receiver, packet)),
            (Place::Workload(_), Place::Node) => Some(self.judge_to_node(packet)),
            (Place::Node | Place::Fabric, Place::Node) | (_, Place::Fabric) => None,
        };
        let allowed = ingress.as_ref().is_none_or(Reason::allows);
        Decision { allowed, egress, ingress }
    }

    fn judge_sender(&self, sender: &EndpointKey, packet: &Packet) -> Reason {
        let endpoint = self.local(sender);
        let to_node = packet.to == Place::Node;
        if is_router_or_dhcp_server(packet) {
            return Reason::ForbiddenSender;
        }
        let own = endpoint.is_some_and(|e| e.addresses().contains(&packet.source));
        let with_gateway = is_link_local_discovery(packet) || is_link_local_echo(packet);
        if self.anti_spoofing && !own && !with_gateway {
            return Reason::SpoofedSource;
        }
        if to_node && is_neighbour_discovery(packet) {
            return Reason::NeighbourDiscovery;
        }
        if is_control_protocol(packet) {
            return Reason::ControlProtocol;
        }
        match endpoint {
            None => Reason::UnknownWorkload,
            Some(endpoint) => self.judge_by_policies(endpoint, Direction::Egress, packet),
        }
    }

    fn judge_receiver(&self, receiver: &EndpointKey, packet: &Packet) -> Reason {
        match self.local(receiver) {
            None => Reason::UnknownWorkload,
            Some(endpoint) => self.judge_by_policies(endpoint, Direction::Ingress, packet),
        }
    }

    fn judge_to_node(&self, packet: &Packet) -> Reason {
        if is_neighbour_discovery(packet) {
            return Reason::NeighbourDiscovery;
        }
        let echo = match packet.source {
            IpAddr::V4(_) => (Protocol::ICMP, Some(8)),
            IpAddr::V6(_) => (Protocol::ICMPV6, Some(128)),
        };
        if (packet.protocol, packet.icmp_type) == echo {
            return Reason::EchoToNode;
        }
        Reason::HostAction(self.endpoint_to_host)
    }

    /// The first rule that matches decides; an endpoint that is selected but not matched is
    /// closed, one that is not selected is open.
    fn judge_by_policies(
        &self,
        endpoint: &Endpoint,
        direction: Direction,
        packet: &Packet,
    ) -> Reason {
        let mut policies: Vec<&&Policy> = self
            .policies
            .iter()
            .filter(|policy| policy.rules(direction).is_some() && policy.subject.matches(endpoint))
            .collect();
        if policies.is_empty() {
            return Reason::NotSelected;
        }
        policies.sort_by(|a, b| a.cmp_precedence(b));
        for policy in policies {
            for (index, rule) in policy.rules(direction).into_iter().flatten().enumerate() {
                if self.rule_matches(rule, packet) {
                    return Reason::Rule {
                        policy: policy.id.clone(),
                        index,
                        action: rule.action,
                        position: rule.position.clone(),
                    };
                }
            }
        }
        Reason::NoRule
    }

    fn rule_matches(&self, rule: &Rule, packet: &Packet) -> bool {
        let (source_port, destination_port) = packet.ports.unzip();
        rule.ip_version.is_none_or(|version| version == Family::of(packet.source))
            && rule.protocol.is_none_or(|protocol| protocol == packet.protocol)
            && rule.not_protocol.is_none_or(|protocol| protocol != packet.protocol)
            && self.peer_matches(&rule.source, packet.source, source_port)
            && self.peer_matches(&rule.destination, packet.destination, destination_port)
    }

    fn peer_matches(&self, peer: &Peer, address: IpAddr, port: Option<u16>) -> bool {
        let in_nets = |nets: &[Net]| nets.iter().any(|net| net.contains(address));
        let in_ports = |ports: &[PortRange]| {
            port.is_some_and(|port| ports.iter().any(|range| range.contains(port)))
        };
        peer.nets.as_deref().is_none_or(in_nets)
            && !in_nets(&peer.not_nets)
            && peer.selector.as_ref().is_none_or(|s| self.holder(address, |e| s.matches(e)))
            && !peer
                .not_selector
                .as_ref()
                .is_some_and(|s| self.holder(address, |e| s.matches(e.labels())))
            && peer.ports.as_deref().is_none_or(in_ports)
            && !in_ports(&peer.not_ports)
    }

    /// Whether some endpoint that has the address satisfies a condition.
    fn holder(&self, address: IpAddr, condition: impl Fn(&Endpoint) -> bool) -> bool {
        let locals = self.locals.iter().map(|(_, endpoint)| &endpoint.0);
        let remotes = self.remotes.iter().map(|endpoint| &endpoint.0);
        locals.chain(remotes).any(|e| e.addresses().contains(&address) && condition(e))
    }

    fn local(&self, key: &EndpointKey) -> Option<&Endpoint> {
        self.locals.iter().find(|(k, _)| *k == key).map(|(_, endpoint)| &endpoint.0)
    }
}

/// Router advertisements, redirects of both families, and what DHCP servers send.
fn is_router_or_dhcp_server(packet: &Packet) -> bool {
    match (packet.source, packet.protocol) {
        (IpAddr::V4(_), Protocol::ICMP) => packet.icmp_type == Some(5),
        (IpAddr::V6(_), Protocol::ICMPV6) => matches!(packet.icmp_type, Some(134 | 137)),
        (_, Protocol::UDP) => packet.ports.is_some_and(|(source, _)| matches!(source, 67 | 547)),
        _ => false,
    }
}

/// BGP and BFD.
fn is_control_protocol(packet: &Packet) -> bool {
    let port = packet.ports.map(|(_, destination)| destination);
    match packet.protocol {
        Protocol::TCP => port == Some(179),
        Protocol::UDP => matches!(port, Some(3784 | 3785 | 4784)),
        _ => false,
    }
}

/// Neighbour solicitations and advertisements.
fn is_neighbour_discovery(packet: &Packet) -> bool {
    packet.source.is_ipv6()
        && packet.protocol == Protocol::ICMPV6
        && matches!(packet.icmp_type, Some(135 | 136))
}

/// Neighbour discovery from a link-local address, or a solicitation from none.
fn is_link_local_discovery(packet: &Packet) -> bool {
    let IpAddr::V6(source) = packet.source else { return false };
    is_neighbour_discovery(packet)
        && (source.is_unicast_link_local()
            || (source.is_unspecified() && packet.icmp_type == Some(135)))
}

/// An echo request between link-local addresses, which never leaves the link.
fn is_link_local_echo(packet: &Packet) -> bool {
    let link_local =
        |address| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    link_local(packet.source)
        && link_local(packet.destination)
        && (packet.protocol, packet.icmp_type) == (Protocol::ICMPV6, Some(128))
}

#[cfg(test)]
mod tests;
