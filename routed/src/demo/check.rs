// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the demo expects beside what it observes. Observations come from the ToRs, from `ip`, `nft` and /proc, and from
//! traffic: never from the daemons' own word.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

use super::plan::{Router, Workload};
use super::racks::Demo;
use super::{system, tor, workload};

/// Sessions come up and routes travel two racks: generous on a loaded machine, seconds on an idle one.
const PATIENCE: Duration = Duration::from_secs(45);

/// One line of the result.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) observed: String,
}

impl Check {
    fn new(what: &str, expected: impl Into<String>, observed: impl Into<String>) -> Self {
        Self { what: what.to_owned(), expected: expected.into(), observed: observed.into() }
    }

    fn counts(what: &str, expected: usize, observed: usize) -> Self {
        Self::new(what, expected.to_string(), observed.to_string())
    }

    pub(super) fn holds(&self) -> bool {
        self.expected == self.observed
    }
}

/// Prints the checks as a table; true if all hold.
pub(super) fn print(checks: &[Check]) -> bool {
    let width = |f: fn(&Check) -> &str, head: &str| {
        checks.iter().map(|c| f(c).chars().count()).max().unwrap_or(0).max(head.len())
    };
    let what = width(|c| &c.what, "CHECK");
    let expected = width(|c| &c.expected, "EXPECTED");
    let observed = width(|c| &c.observed, "OBSERVED");
    say!("{:what$}  {:expected$}  {:observed$}  RESULT", "CHECK", "EXPECTED", "OBSERVED");
    for c in checks {
        let result = if c.holds() { "ok" } else { "FAILED" };
        say!("{:what$}  {:expected$}  {:observed$}  {result}", c.what, c.expected, c.observed);
    }
    checks.iter().all(Check::holds)
}

/// All checks of a running demo.
pub(super) fn all(demo: &Demo) -> Vec<Check> {
    let mut checks = vec![sessions(demo), routes(demo)];
    checks.extend(privileges(demo));
    checks.push(table(demo));
    checks.extend(pings(demo));
    checks.extend(policy(demo));
    checks
}

fn sessions(demo: &Demo) -> Check {
    let total = demo.plan.sessions();
    let count = || {
        // A ToR sees its fabric sessions too; each of those has two ends, so both racks count half of them.
        let ends: usize = demo
            .plan
            .tors
            .iter()
            .map(|t| tor::established(demo.kind(t), &demo.dir_of(&t.name)).unwrap_or(0))
            .sum();
        let fabric = demo.plan.cables.iter().filter(|c| c.b.0.starts_with("tor")).count();
        ends.saturating_sub(fabric.min(ends))
    };
    system::wait_for(PATIENCE, || (count() == total).then_some(()));
    Check::counts("BGP sessions Established, asked of the ToRs", total, count())
}

/// Each node must hold every foreign block of both families over both of its ToRs, as routes of protocol 83.
fn routes(demo: &Demo) -> Check {
    let expected: usize = demo.plan.nodes.len() * 2 * (demo.plan.nodes.len() - 1);
    let count = || demo.plan.nodes.iter().map(|n| ecmp_blocks(demo, n).unwrap_or(0)).sum::<usize>();
    system::wait_for(PATIENCE, || (count() == expected).then_some(()));
    Check::counts("blocks of other nodes, ECMP over both ToRs, proto 83", expected, count())
}

fn ecmp_blocks(demo: &Demo, node: &Router) -> Result<usize> {
    let mut found = 0;
    for family in ["-4", "-6"] {
        let text = system::run(
            system::inside(&node.netns(), "ip")
                .args(["-j", family, "route", "show", "proto", "83"]),
        )?;
        let routes: Vec<serde_json::Value> = serde_json::from_str(&text)?;
        found +=
            routes.iter().filter(|r| r["nexthops"].as_array().map(Vec::len) == Some(2)).count();
    }
    debug_assert!(found <= 2 * demo.plan.nodes.len(), "more blocks than nodes");
    Ok(found)
}

/// uid, capabilities and NoNewPrivs of every daemon, from /proc; whoever started it.
fn privileges(demo: &Demo) -> Vec<Check> {
    // CAP_NET_ADMIN is bit 12, CAP_NET_BIND_SERVICE bit 10.
    let expected =
        "uid 65534, caps 0000000000001400, bounding 0000000000001400, no new privileges 1";
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let found = demo.plan.nodes.iter().flat_map(|n| system::processes_in(&n.netns()));
    for process in found.flatten() {
        let status =
            fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap_or_default();
        if !status.starts_with("Name:\trouted\n") {
            continue;
        }
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            line.and_then(|l| l.split_whitespace().next()).unwrap_or("?").to_owned()
        };
        let line = format!(
            "uid {}, caps {}, bounding {}, no new privileges {}",
            field("Uid:"),
            field("CapEff:"),
            field("CapBnd:"),
            field("NoNewPrivs:")
        );
        *seen.entry(line).or_default() += 1;
    }
    let observed: Vec<String> = seen.into_iter().map(|(line, n)| format!("{n} × {line}")).collect();
    let expected = format!("{} × {expected}", demo.plan.nodes.len());
    vec![Check::new("daemons run unprivileged", expected, observed.join("; "))]
}

fn table(demo: &Demo) -> Check {
    let has = |node: &&Router| {
        let listed = system::run(
            system::inside(&node.netns(), "nft").args(["list", "table", "inet", "routed"]),
        );
        listed.is_ok_and(|text| text.contains("chain") && text.contains("rtd"))
    };
    let found = demo.plan.nodes.iter().filter(has).count();
    Check::counts("nftables table inet routed on each node", demo.plan.nodes.len(), found)
}

/// Echoes between web workloads of different racks, both directions and families.
fn pings(demo: &Demo) -> Vec<Check> {
    let web: Vec<&Workload> = demo.plan.workloads.iter().filter(|w| w.app == "web").collect();
    let pairs: Vec<(&Workload, &Workload)> = web
        .iter()
        .flat_map(|a| web.iter().map(move |b| (*a, *b)))
        .filter(|(a, b)| a.rack != b.rack)
        .collect();
    let mut checks = Vec::new();
    for family in ["IPv4", "IPv6"] {
        let address =
            |w: &Workload| -> IpAddr { if family == "IPv4" { w.v4.into() } else { w.v6.into() } };
        let answered = |(a, b): &&(&Workload, &Workload)| {
            system::wait_for(Duration::from_secs(5), || workload::ping(&a.netns(), address(b)))
                .is_some()
        };
        let count = pairs.iter().filter(answered).count();
        checks.push(Check::new(
            &format!("{family} ping between racks, web to web"),
            format!("{} of {}", pairs.len(), pairs.len()),
            format!("{count} of {}", pairs.len()),
        ));
    }
    checks
}

/// The policy file as traffic sees it.
fn policy(demo: &Demo) -> Vec<Check> {
    let find = |name: &str| demo.plan.workloads.iter().find(|w| w.name == name);
    let cases = [
        ("web-11", "db-21", 5432, true, "web → db tcp/5432, other rack"),
        ("web-11", "db-11", 5432, true, "web → db tcp/5432, same node"),
        ("web-11", "db-21", 8080, false, "web → db tcp/8080"),
        ("db-11", "db-21", 5432, false, "db → db tcp/5432, other rack"),
        ("db-11", "web-21", 8080, true, "db → web tcp/8080 (no policy)"),
    ];
    let word = |allowed: bool| if allowed { "connects" } else { "no answer" };
    let mut checks = Vec::new();
    for (from, to, port, expected, what) in cases {
        let (Some(from), Some(to)) = (find(from), find(to)) else { continue };
        for address in [IpAddr::from(to.v4), IpAddr::from(to.v6)] {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            let observed =
                workload::connects(&from.netns(), &to.netns(), SocketAddr::new(address, port));
            let observed = match observed {
                Ok(connected) => word(connected).to_owned(),
                Err(error) => format!("{error:#}"),
            };
            checks.push(Check::new(&format!("{what}, {family}"), word(expected), observed));
        }
    }
    checks
}
