// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cables between namespaces.

use anyhow::Result;

use crate::netns::Netns;
use crate::process::{command, run};

/// One end of a cable: an interface with its addresses in a namespace.
#[derive(Clone, Debug)]
pub struct Port<'a> {
    netns: &'a Netns,
    interface: &'a str,
    addresses: &'a [&'a str],
}

impl<'a> Port<'a> {
    /// Addresses are written with their prefix length, of either family.
    pub fn new(netns: &'a Netns, interface: &'a str, addresses: &'a [&'a str]) -> Self {
        Self { netns, interface, addresses }
    }
}

/// Lays a veth pair between two namespaces, adds the addresses and sets both ends up.
///
/// IPv6 addresses are usable at once: duplicate detection is off.
///
/// # Errors
/// If an interface exists already or an address is malformed.
pub fn cable(a: &Port<'_>, b: &Port<'_>) -> Result<()> {
    let (ns_a, ns_b) = (a.netns.name(), b.netns.name());
    run(command("ip").args(["link", "add", a.interface, "netns", ns_a, "type", "veth"]).args([
        "peer",
        "name",
        b.interface,
        "netns",
        ns_b,
    ]))?;
    for port in [a, b] {
        port.netns.sysctl(&format!("net.ipv6.conf.{}.accept_dad", port.interface), "0")?;
        for address in port.addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            port.netns.run(&format!("ip address add {address} dev {}{nodad}", port.interface))?;
        }
        port.netns.run(&format!("ip link set {} up", port.interface))?;
    }
    Ok(())
}

/// Makes a namespace a router for both families that spreads flows over equal paths.
///
/// # Errors
/// If a switch cannot be written.
pub fn forward(netns: &Netns) -> Result<()> {
    for switch in [
        "net.ipv4.ip_forward",
        "net.ipv6.conf.all.forwarding",
        "net.ipv4.fib_multipath_hash_policy",
        "net.ipv6.fib_multipath_hash_policy",
    ] {
        netns.sysctl(switch, "1")?;
    }
    Ok(())
}
