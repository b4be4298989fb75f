// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two namespaces joined by a veth: the device under test in one, the generator in the other.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use fabric_tests::{Netns, Port, cable};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The device's address.
pub(crate) const DEVICE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// The device's AS.
pub(crate) const DEVICE_AS: u32 = 65_000;
/// Addresses of the generator.
const CLIENTS: usize = 200;

/// Address of client `number`, counted from 0.
pub(crate) fn client(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 1, u8::try_from(number + 1).unwrap_or(255))
}

/// The network of all rows.
pub(crate) struct Lab {
    pub(crate) device: Netns,
    generator: Netns,
    /// The device's TCP sockets, as its namespace shows them.
    sockets: File,
}

impl Lab {
    /// Builds it and moves the calling thread into the generator's namespace.
    pub(crate) fn enter() -> Result<Self> {
        let (device, generator) = (Netns::new("device")?, Netns::new("gen")?);
        cable(
            &Port::new(&device, "v0", &["10.99.0.1/16"]),
            &Port::new(&generator, "v0", &["10.99.0.2/16"]),
        )?;
        // A rack of clients on one cable: their neighbour entries are there already.
        let mut addresses = String::new();
        let mut neighbours = String::new();
        let mac = link_address(&generator)?;
        for number in 0..CLIENTS {
            let address = client(number);
            addresses.push_str(&format!("address add {address}/16 dev v0\n"));
            neighbours.push_str(&format!(
                "neighbour replace {address} lladdr {mac} dev v0 nud permanent\n"
            ));
        }
        for (netns, text) in [(&generator, addresses), (&device, neighbours)] {
            let path = netns.dir().join("batch");
            fs::write(&path, text).context("writing a batch")?;
            netns.run(&format!("ip -batch {}", path.display()))?;
        }
        let sockets = device.enter(|| File::open("/proc/thread-self/net/tcp"))?;
        let sockets = sockets.context("opening the device's list of sockets")?;
        let lab = Self { device, generator, sockets };
        lab.reenter()?;
        Ok(lab)
    }

    /// Moves the calling thread into the generator's namespace, from that of another network.
    pub(crate) fn reenter(&self) -> Result<()> {
        move_into_link_name_space(self.generator.fd(), Some(LinkNameSpaceType::Network))
            .context("entering the generator's namespace")
    }

    /// Whether something listens on the device's BGP port.
    pub(crate) fn listens(&self) -> bool {
        let mut octets = vec![0; 256 << 10];
        let read = self.sockets.read_at(&mut octets, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(&octets[..read]);
        let listens = |line: &str| {
            let mut words = line.split_whitespace().skip(1);
            let local = words.next().is_some_and(|local| local.ends_with(":00B3"));
            local && words.nth(1) == Some("0A")
        };
        text.lines().any(listens)
    }
}

fn link_address(netns: &Netns) -> Result<String> {
    let text = netns.run("ip -o link show v0")?;
    let mut words = text.split_whitespace().skip_while(|word| *word != "link/ether");
    words.nth(1).map(str::to_owned).context("v0 has no address")
}
