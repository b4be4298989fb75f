// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan of the demo: names, addresses and AS numbers of two racks. Pure.
//!
//! Two racks of two ToRs and two nodes. Each node has a point-to-point link (/31 and /127) to both ToRs of its rack,
//! each ToR one to both ToRs of the other rack: 8 node sessions and 4 fabric sessions. Router ids sit on loopbacks.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Every namespace of the demo starts with this.
pub(super) const PREFIX: &str = "rtd-demo-";

/// Which program plays the ToR switches of a rack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TorKind {
    Frr,
    Bird,
    Routed,
}

impl std::fmt::Display for TorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Frr => "FRR",
            Self::Bird => "BIRD",
            Self::Routed => "routed",
        })
    }
}

/// One end of a point-to-point link.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

/// One neighbour of a router as it sees it.
#[derive(Clone, Debug)]
pub(super) struct Neighbour {
    pub(super) name: String,
    pub(super) asn: u32,
    pub(super) local: Port,
    pub(super) remote: Port,
}

/// A ToR or a node: a namespace that speaks BGP.
#[derive(Clone, Debug)]
pub(super) struct Router {
    pub(super) name: String,
    pub(super) rack: u8,
    pub(super) asn: u32,
    pub(super) loopback_v4: Ipv4Addr,
    pub(super) loopback_v6: Ipv6Addr,
    pub(super) neighbours: Vec<Neighbour>,
}

impl Router {
    pub(super) fn netns(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }
}

/// One workload of the demo.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) app: &'static str,
    pub(super) node: String,
    pub(super) rack: u8,
    pub(super) v4: Ipv4Addr,
    pub(super) v6: Ipv6Addr,
}

impl Workload {
    pub(super) fn netns(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }
}

/// A cable between two routers.
#[derive(Clone, Debug)]
pub(super) struct Cable {
    pub(super) a: (String, Port),
    pub(super) b: (String, Port),
}

/// The whole demo.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) tors: Vec<Router>,
    pub(super) nodes: Vec<Router>,
    pub(super) cables: Vec<Cable>,
    pub(super) workloads: Vec<Workload>,
}

/// The IPv4 block of a node: the n-th /26 of its rack's /24.
pub(super) fn block_v4(rack: u8, node: u8) -> String {
    format!("10.64.{rack}.{}/26", (u16::from(node) - 1) * 64)
}

/// The IPv6 block of a node: the n-th /122 of its rack's /112.
pub(super) fn block_v6(rack: u8, node: u8) -> String {
    if node == 1 {
        format!("fd00:64:{rack}::/122")
    } else {
        format!("fd00:64:{rack}::{:x}/122", (u16::from(node) - 1) * 64)
    }
}

impl Plan {
    /// Two racks, two ToRs and two nodes each, two workloads a node.
    pub(super) fn new() -> Self {
        let mut plan = Self { tors: vec![], nodes: vec![], cables: vec![], workloads: vec![] };
        for rack in 1..=2u8 {
            for side in 1..=2u8 {
                plan.tors.push(tor(rack, side));
            }
            for node in 1..=2u8 {
                plan.nodes.push(self::node(rack, node));
                plan.add_workloads(rack, node);
            }
        }
        for rack in 1..=2u8 {
            for node in 1..=2u8 {
                for side in 1..=2u8 {
                    plan.cable_node(rack, node, side);
                }
            }
        }
        for left in 1..=2u8 {
            for right in 1..=2u8 {
                plan.cable_racks(left, right);
            }
        }
        plan
    }

    fn add_workloads(&mut self, rack: u8, node: u8) {
        for (index, app) in [(1u16, "web"), (2, "db")] {
            let host = (u16::from(node) - 1) * 64 + index;
            self.workloads.push(Workload {
                name: format!("{app}-{rack}{node}"),
                app,
                node: format!("r{rack}n{node}"),
                rack,
                v4: Ipv4Addr::new(10, 64, rack, u8::try_from(host).unwrap_or(u8::MAX)),
                v6: Ipv6Addr::new(0xfd00, 0x64, u16::from(rack), 0, 0, 0, 0, host),
            });
        }
    }

    fn cable_node(&mut self, rack: u8, node: u8, side: u8) {
        let low = (side - 1) * 2;
        let v6 = |host| {
            Ipv6Addr::new(
                0xfd00,
                0x1000 + u16::from(rack),
                u16::from(node),
                u16::from(side),
                0,
                0,
                0,
                host,
            )
        };
        let tor_port =
            Port { name: format!("n{node}"), v4: Ipv4Addr::new(10, rack, node, low), v6: v6(0) };
        let node_port = Port {
            name: format!("eth{}", side - 1),
            v4: Ipv4Addr::new(10, rack, node, low + 1),
            v6: v6(1),
        };
        self.connect((tor_name(rack, side), tor_port), (format!("r{rack}n{node}"), node_port));
    }

    fn cable_racks(&mut self, left: u8, right: u8) {
        let link = (left - 1) * 2 + right;
        let v6 = |host| Ipv6Addr::new(0xfd00, 0x1000, u16::from(link), 0, 0, 0, 0, host);
        let a = Port { name: format!("x{right}"), v4: Ipv4Addr::new(10, 0, link, 0), v6: v6(0) };
        let b = Port { name: format!("x{left}"), v4: Ipv4Addr::new(10, 0, link, 1), v6: v6(1) };
        self.connect((tor_name(1, left), a), (tor_name(2, right), b));
    }

    fn connect(&mut self, a: (String, Port), b: (String, Port)) {
        let asn_of = |plan: &Self, name: &str| {
            plan.routers().find(|r| r.name == name).map(|r| r.asn).unwrap_or_default()
        };
        let (asn_a, asn_b) = (asn_of(self, &a.0), asn_of(self, &b.0));
        let ends = [(&a, &b, asn_b), (&b, &a, asn_a)];
        for (this, other, asn) in ends {
            let neighbour = Neighbour {
                name: other.0.clone(),
                asn,
                local: this.1.clone(),
                remote: other.1.clone(),
            };
            let router =
                self.tors.iter_mut().chain(self.nodes.iter_mut()).find(|r| r.name == this.0);
            if let Some(router) = router {
                router.neighbours.push(neighbour);
            }
        }
        self.cables.push(Cable { a, b });
    }

    /// All routers: ToRs, then nodes.
    pub(super) fn routers(&self) -> impl Iterator<Item = &Router> {
        self.tors.iter().chain(self.nodes.iter())
    }

    /// Every namespace of the demo.
    pub(super) fn namespaces(&self) -> Vec<String> {
        let routers = self.routers().map(Router::netns);
        routers.chain(self.workloads.iter().map(Workload::netns)).collect()
    }

    /// How many BGP sessions the fabric has.
    pub(super) fn sessions(&self) -> usize {
        self.cables.len()
    }
}

fn tor_name(rack: u8, side: u8) -> String {
    format!("tor{rack}{}", if side == 1 { "a" } else { "b" })
}

fn tor(rack: u8, side: u8) -> Router {
    Router {
        name: tor_name(rack, side),
        rack,
        asn: 65100 + u32::from(rack),
        loopback_v4: Ipv4Addr::new(10, 255, rack, 100 + side),
        loopback_v6: Ipv6Addr::new(
            0xfd00,
            0xff,
            u16::from(rack),
            0,
            0,
            0,
            0,
            100 + u16::from(side),
        ),
        neighbours: vec![],
    }
}

fn node(rack: u8, node: u8) -> Router {
    Router {
        name: format!("r{rack}n{node}"),
        rack,
        asn: 4_200_000_100 + u32::from(rack) * 10 + u32::from(node),
        loopback_v4: Ipv4Addr::new(10, 255, rack, node),
        loopback_v6: Ipv6Addr::new(0xfd00, 0xff, u16::from(rack), 0, 0, 0, 0, u16::from(node)),
        neighbours: vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn two_racks_have_twelve_sessions_and_eight_workloads() {
        let plan = Plan::new();
        assert_eq!(plan.sessions(), 12);
        assert_eq!(plan.workloads.len(), 8);
        assert_eq!(plan.namespaces().len(), 16);
        let ends: usize = plan.routers().map(|r| r.neighbours.len()).sum();
        assert_eq!(ends, 24);
        assert!(plan.tors.iter().all(|t| t.neighbours.len() == 4));
        assert!(plan.nodes.iter().all(|n| n.neighbours.len() == 2));
    }

    #[test]
    fn as_numbers_follow_rack_and_node() {
        let plan = Plan::new();
        let asn = |name: &str| plan.routers().find(|r| r.name == name).expect("router").asn;
        assert_eq!(asn("tor1a"), 65101);
        assert_eq!(asn("tor2b"), 65102);
        assert_eq!(asn("r1n1"), 4_200_000_111);
        assert_eq!(asn("r2n2"), 4_200_000_122);
        let neighbour = &plan.nodes[0].neighbours[1];
        assert_eq!((neighbour.name.as_str(), neighbour.asn), ("tor1b", 65101));
    }

    #[test]
    fn every_address_is_used_once() {
        let plan = Plan::new();
        let mut v4 = BTreeSet::new();
        let mut v6 = BTreeSet::new();
        for cable in &plan.cables {
            for port in [&cable.a.1, &cable.b.1] {
                assert!(v4.insert(port.v4), "{} twice", port.v4);
                assert!(v6.insert(port.v6), "{} twice", port.v6);
            }
            assert_eq!(u32::from(cable.a.1.v4) ^ 1, u32::from(cable.b.1.v4), "a /31");
            assert_eq!(u128::from(cable.a.1.v6) ^ 1, u128::from(cable.b.1.v6), "a /127");
        }
        for router in plan.routers() {
            assert!(v4.insert(router.loopback_v4));
            assert!(v6.insert(router.loopback_v6));
        }
        for workload in &plan.workloads {
            assert!(v4.insert(workload.v4));
            assert!(v6.insert(workload.v6));
        }
    }

    #[test]
    fn blocks_are_the_slices_of_the_racks_pool() {
        assert_eq!(block_v4(1, 1), "10.64.1.0/26");
        assert_eq!(block_v4(2, 2), "10.64.2.64/26");
        assert_eq!(block_v6(1, 1), "fd00:64:1::/122");
        assert_eq!(block_v6(2, 2), "fd00:64:2::40/122");
    }
}
