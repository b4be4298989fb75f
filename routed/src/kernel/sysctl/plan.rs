// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which switches differ from what a routing node needs. Pure: values come in through a function.

use std::collections::BTreeSet;

use crate::kernel::proc::Switch;

/// Interfaces of the kernel's that stand for all others.
const ALL: &str = "all";

/// A switch that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) switch: Switch,
    pub(crate) found: i64,
    pub(crate) wanted: i64,
}

/// The switches that differ, in the order in which they must be written.
///
/// `read` gives a switch's value, `None` if the kernel has no such switch or the interface does not
/// exist. `ra_default` gives the interfaces with a default route by router advertisement; it is
/// asked only if it matters.
pub(crate) fn needs(
    uplinks: &[String],
    read: &impl Fn(&Switch) -> Option<i64>,
    ra_default: &impl Fn() -> BTreeSet<String>,
) -> Vec<Need> {
    let mut plan = Plan { read, needs: Vec::new() };
    plan.want(Switch::new("ipv4/ip_forward"), 1, is_on);
    for family in ["ipv4", "ipv6"] {
        plan.want(Switch::new(format!("{family}/fib_multipath_hash_policy")), 1, |v| v == 1);
    }
    for uplink in uplinks {
        // Off here while on for all: somebody turned it off for this one.
        if !plan.lacks(&Switch::new("ipv4/ip_forward")) {
            plan.want(Switch::ipv4(uplink, "forwarding"), 1, is_on);
        }
        plan.ignore_arp(uplink);
    }
    plan.forward_v6(uplinks, ra_default);
    plan.needs
}

struct Plan<'a, R> {
    read: &'a R,
    needs: Vec<Need>,
}

fn is_on(value: i64) -> bool {
    value != 0
}

impl<R: Fn(&Switch) -> Option<i64>> Plan<'_, R> {
    fn want(&mut self, switch: Switch, wanted: i64, is_good: impl Fn(i64) -> bool) {
        if let Some(found) = (self.read)(&switch).filter(|value| !is_good(*value)) {
            self.needs.push(Need { switch, found, wanted });
        }
    }

    fn lacks(&self, switch: &Switch) -> bool {
        self.needs.iter().any(|need| need.switch == *switch)
    }

    /// The workloads' gateway address is on every workload link, not on uplinks: who asks for it
    /// there gets no answer. The kernel takes the stricter of two switches.
    fn ignore_arp(&mut self, uplink: &str) {
        let for_all = (self.read)(&Switch::ipv4(ALL, "arp_ignore")).unwrap_or(0);
        // 1 and 2: only what is on the interface itself. 3: also what is on others, if scope link.
        let is_good = |value: i64| matches!(value.max(for_all), 1 | 2 | 8);
        self.want(Switch::ipv4(uplink, "arp_ignore"), 1, is_good);
    }

    fn forward_v6(&mut self, uplinks: &[String], ra_default: &impl Fn() -> BTreeSet<String>) {
        let everywhere = Switch::ipv6(ALL, "forwarding");
        if (self.read)(&everywhere) != Some(0) {
            return;
        }
        if (self.read)(&Switch::ipv6(ALL, "force_forwarding")).is_some() {
            // The uplink stays a host: it goes on taking router advertisements.
            for uplink in uplinks {
                self.want(Switch::ipv6(uplink, "force_forwarding"), 1, is_on);
            }
            return;
        }
        // A forwarding interface drops what it learned by router advertisement unless told 2.
        let holders = ra_default();
        for uplink in uplinks.iter().filter(|uplink| holders.contains(*uplink)) {
            self.want(Switch::ipv6(uplink, "accept_ra"), 2, |value| value == 2);
        }
        self.want(everywhere, 1, is_on);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn node(extra: &[(&str, i64)]) -> BTreeMap<String, i64> {
        let plain = [
            ("ipv4/ip_forward", 0),
            ("ipv4/fib_multipath_hash_policy", 0),
            ("ipv6/fib_multipath_hash_policy", 0),
            ("ipv4/conf/all/arp_ignore", 0),
            ("ipv4/conf/up0/arp_ignore", 0),
            ("ipv4/conf/up0/forwarding", 0),
            ("ipv6/conf/all/forwarding", 0),
            ("ipv6/conf/up0/accept_ra", 1),
        ];
        plain.iter().chain(extra).map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn plan(node: &BTreeMap<String, i64>, ra: &[&str]) -> Vec<(String, i64)> {
        let uplinks = ["up0".to_owned(), "absent".to_owned()];
        let ra = || ra.iter().map(|name| (*name).to_owned()).collect();
        needs(&uplinks, &|switch| node.get(switch.name()).copied(), &ra)
            .into_iter()
            .map(|need| (need.switch.name().to_owned(), need.wanted))
            .collect()
    }

    /// Carries out a plan the way the kernel would.
    fn carry_out(node: &mut BTreeMap<String, i64>, ra: &[&str]) {
        for (name, value) in plan(node, ra) {
            if name == "ipv4/ip_forward" {
                node.insert("ipv4/conf/up0/forwarding".to_owned(), value);
            }
            node.insert(name, value);
        }
    }

    #[test]
    fn a_fresh_node_gets_everything_and_then_nothing() {
        let mut node =
            node(&[("ipv6/conf/all/force_forwarding", 0), ("ipv6/conf/up0/force_forwarding", 0)]);
        let want = [
            ("ipv4/ip_forward", 1),
            ("ipv4/fib_multipath_hash_policy", 1),
            ("ipv6/fib_multipath_hash_policy", 1),
            ("ipv4/conf/up0/arp_ignore", 1),
            ("ipv6/conf/up0/force_forwarding", 1),
        ];
        assert_eq!(plan(&node, &[]), want.map(|(name, value)| (name.to_owned(), value)));
        carry_out(&mut node, &[]);
        assert_eq!(plan(&node, &[]), []);
    }

    #[test]
    fn an_older_kernel_forwards_everywhere_and_keeps_router_advertisements_first() {
        let mut node = node(&[]);
        let v6 = |plan: Vec<(String, i64)>| -> Vec<_> {
            plan.into_iter().filter(|(name, _)| name.starts_with("ipv6/conf")).collect()
        };
        let forwarding = ("ipv6/conf/all/forwarding".to_owned(), 1);
        let accept = ("ipv6/conf/up0/accept_ra".to_owned(), 2);
        let both = [accept, forwarding];
        assert_eq!(v6(plan(&node, &[])), both[1..]);
        assert_eq!(v6(plan(&node, &["up0", "other"])), both);
        carry_out(&mut node, &["up0"]);
        assert_eq!(plan(&node, &["up0"]), []);
    }

    #[test]
    fn a_node_that_forwards_already_is_left_alone() {
        let mut node = node(&[("ipv6/conf/all/force_forwarding", 0)]);
        node.insert("ipv6/conf/all/forwarding".to_owned(), 1);
        assert!(plan(&node, &["up0"]).iter().all(|(name, _)| !name.starts_with("ipv6/conf")));
    }

    #[test]
    fn a_node_without_ipv6_needs_nothing_of_it() {
        let mut node = node(&[]);
        node.retain(|name, _| name.starts_with("ipv4"));
        assert!(plan(&node, &["up0"]).iter().all(|(name, _)| name.starts_with("ipv4")));
    }

    #[test]
    fn forwarding_turned_off_for_one_uplink_is_turned_on_again() {
        let mut node = node(&[]);
        carry_out(&mut node, &[]);
        node.insert("ipv4/conf/up0/forwarding".to_owned(), 0);
        assert_eq!(plan(&node, &[]), [("ipv4/conf/up0/forwarding".to_owned(), 1)]);
    }

    #[test]
    fn a_stricter_arp_ignore_stays() {
        for (all, own, good) in
            [(0, 0, false), (1, 0, true), (0, 2, true), (0, 3, false), (0, 8, true)]
        {
            let mut node = node(&[]);
            node.insert("ipv4/conf/all/arp_ignore".to_owned(), all);
            node.insert("ipv4/conf/up0/arp_ignore".to_owned(), own);
            let asked = plan(&node, &[]).iter().any(|(name, _)| name.ends_with("up0/arp_ignore"));
            assert_eq!(asked, !good, "all {all} own {own}");
        }
    }
}
