// SPDX-License-Identifier: MIT OR Apache-2.0
//! From best paths to kernel routes. Pure.
//!
//! A gateway is used only over an uplink that is up and whose subnet holds it: next hops are never resolved over learned
//! routes. When uplinks or the node's addresses change, every route is derived anew from the same inputs.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use bgp::PathSet;
use bgp::types::Prefix;

use crate::model::{
    NextHop, PROTOCOL_LEARNED, RouteClass, RouteKey, RouteKind, RouteScope, RouteSpec, TABLE_MAIN,
    Uplinks,
};

/// Metric of learned routes: behind those of this node and what an operator sets by hand without a metric (0 in IPv4, 1024
/// in IPv6).
pub(crate) const METRIC_LEARNED: u32 = 2048;

/// The node's own addresses, which learned routes prefer as source while the node holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    /// For IPv4 routes.
    pub(crate) v4: Option<IpAddr>,
    /// For IPv6 routes.
    pub(crate) v6: Option<IpAddr>,
}

/// Learned paths and what they need to become routes.
#[derive(Debug, Default)]
pub(crate) struct Fib {
    paths: HashMap<Prefix, Arc<PathSet>>,
    uplinks: Uplinks,
    sources: Sources,
}

impl Fib {
    /// Takes in the best paths of one prefix; what its route shall be now.
    pub(crate) fn on_paths(
        &mut self,
        prefix: Prefix,
        paths: Option<Arc<PathSet>>,
    ) -> (RouteKey, Option<RouteSpec>) {
        let spec = paths.as_ref().and_then(|paths| self.derive(prefix, paths));
        match paths {
            Some(paths) => self.paths.insert(prefix, paths),
            None => self.paths.remove(&prefix),
        };
        (key(prefix), spec)
    }

    /// Takes in an observation of the node; true if routes may change.
    pub(crate) fn on_node(&mut self, uplinks: &Uplinks, sources: Sources) -> bool {
        if self.uplinks == *uplinks && self.sources == sources {
            return false;
        }
        self.uplinks = uplinks.clone();
        self.sources = sources;
        true
    }

    /// Every route, derived from the inputs of this moment.
    pub(crate) fn all(&self) -> impl Iterator<Item = (RouteKey, Option<RouteSpec>)> {
        self.paths.iter().map(|(prefix, paths)| (key(*prefix), self.derive(*prefix, paths)))
    }

    fn derive(&self, prefix: Prefix, paths: &PathSet) -> Option<RouteSpec> {
        let mut gateways: Vec<NextHop> =
            paths.next_hops().filter_map(|via| self.resolve(via)).collect();
        gateways.sort();
        gateways.dedup();
        if gateways.is_empty() {
            return None;
        }
        let wanted = match prefix {
            Prefix::V4(_) => self.sources.v4,
            Prefix::V6(_) => self.sources.v6,
        };
        Some(RouteSpec {
            protocol: PROTOCOL_LEARNED,
            kind: RouteKind::Gateways(gateways),
            scope: RouteScope::Universe,
            prefer_src: wanted.filter(|address| self.uplinks.local.contains(address)),
            class: RouteClass::Learned,
        })
    }

    fn resolve(&self, via: IpAddr) -> Option<NextHop> {
        let uplink = self.uplinks.interfaces.iter().find(|uplink| {
            uplink.up
                && uplink.addresses.iter().any(|own| {
                    Prefix::new_masked(own.address, own.prefix_len)
                        .is_ok_and(|subnet| subnet.contains_addr(via))
                })
        })?;
        Some(NextHop { dev: uplink.name.clone(), via, weight: 1 })
    }
}

fn key(prefix: Prefix) -> RouteKey {
    RouteKey { prefix, table: TABLE_MAIN, metric: METRIC_LEARNED }
}
