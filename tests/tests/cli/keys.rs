// SPDX-License-Identifier: MIT OR Apache-2.0
//! The JSON contract by hand: which keys each answer has. More may be added, none may go.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// An object's keys; a dot leads into an object, `[]` into every item of a list that must not be empty.
pub(crate) struct Keys(pub(crate) &'static [&'static str]);

pub(crate) const STATUS: Keys = Keys(&[
    "node",
    "asNumber",
    "routerId",
    "version",
    "uptimeSeconds",
    "ready",
    "degraded",
    "reasons",
    "bgp.established",
    "bgp.configured",
    "routes.programmed",
    "routes.pending",
    "routes.failed",
    "workloads.ready",
    "workloads.pending",
    "workloads.failed",
    "ipam[].block",
    "ipam[].used",
    "ipam[].total",
    "policy.revision",
    "policy.policies",
    "policy.pending",
    "kernel.inSync",
    "kernel.driftRepaired",
]);

pub(crate) const BGP_PEER: Keys = Keys(&[
    "name",
    "address",
    "port",
    "localAs",
    "peerAs",
    "type",
    "state",
    "stateSince",
    "stateSeconds",
    "establishedTransitions",
    "families[].family",
    "families[].received",
    "families[].accepted",
    "families[].advertised",
    "lastDown.time",
    "lastDown.by",
    "lastDown.reason",
    "lastDown.code",
    "lastDown.subcode",
    "nextRetrySeconds",
    "timers.holdTimeConfigured",
    "timers.holdTimeNegotiated",
    "timers.keepalive",
    "timers.sendHold",
    "gracefulRestart.enabled",
    "gracefulRestart.peer",
    "gracefulRestart.restartTimeSeconds",
    "gracefulRestart.stalePaths",
    "gracefulRestart.expiresSeconds",
    "messages.received.open",
    "messages.received.update",
    "messages.received.notification",
    "messages.received.keepalive",
    "messages.received.routeRefresh",
    "messages.sent.open",
    "messages.sent.update",
    "messages.sent.notification",
    "messages.sent.keepalive",
    "messages.sent.routeRefresh",
    "queues.out",
]);

pub(crate) const BGP_ROUTE: Keys = Keys(&[
    "prefix",
    "family",
    "best",
    "multipath",
    "stale",
    "nextHop",
    "peer",
    "asPath",
    "localPref",
    "med",
    "communities",
    "largeCommunities",
    "reason",
]);

pub(crate) const BGP_WHY: Keys =
    Keys(&["prefix", "steps[].name", "steps[].result", "steps[].reason"]);

/// A route with a next hop; a blackhole has an empty list.
pub(crate) const ROUTE: Keys = Keys(&[
    "prefix",
    "family",
    "protocol",
    "table",
    "metric",
    "nextHops[].via",
    "nextHops[].dev",
    "nextHops[].weight",
    "state",
]);

pub(crate) const WORKLOAD: Keys = Keys(&[
    "id",
    "containerId",
    "ifName",
    "namespace",
    "pod",
    "addresses",
    "mac",
    "mtu",
    "hostInterface",
    "labels",
    "state",
]);

pub(crate) const IPAM_BLOCK: Keys =
    Keys(&["pool", "cidr", "total", "inUse", "reserved", "cooling", "free"]);

pub(crate) const POLICY: Keys =
    Keys(&["kind", "namespace", "name", "tier", "order", "types", "endpoints", "revision"]);

pub(crate) const POLICY_DETAIL: Keys = Keys(&[
    "policy.kind",
    "policy.namespace",
    "policy.name",
    "policy.tier",
    "policy.order",
    "policy.types",
    "policy.endpoints",
    "policy.revision",
    "selector",
    "source",
    "rules[].direction",
    "rules[].index",
    "rules[].action",
    "rules[].matches",
    "rules[].source",
]);

pub(crate) const VERSION: Keys = Keys(&["client", "daemon", "cniProtocol"]);

impl Keys {
    /// Whether an object has every key.
    pub(crate) fn of(&self, object: &Value) -> Result<()> {
        for path in self.0 {
            has(object, path).with_context(|| format!("key {path} of {object}"))?;
        }
        Ok(())
    }

    /// Whether it is a list of this kind with at least one item, and every item has every key.
    pub(crate) fn of_list(&self, kind: &str, list: &Value) -> Result<()> {
        ensure!(list["apiVersion"] == "routed.dev/v1", "apiVersion: {list}");
        ensure!(list["kind"] == kind, "kind {kind}: {list}");
        let items = list["items"].as_array().with_context(|| format!("items: {list}"))?;
        ensure!(!items.is_empty(), "no items: {list}");
        items.iter().try_for_each(|item| self.of(item))
    }
}

fn has(value: &Value, path: &str) -> Result<()> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let name = first.trim_end_matches("[]");
    let found = value.get(name).with_context(|| format!("{name} is missing"))?;
    if rest.is_empty() {
        return Ok(());
    }
    if name == first {
        return has(found, rest);
    }
    let items = found.as_array().with_context(|| format!("{name} is no list"))?;
    ensure!(!items.is_empty(), "{name} is empty");
    items.iter().try_for_each(|item| has(item, rest))
}
