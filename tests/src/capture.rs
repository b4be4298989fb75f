// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets as they pass the interfaces of a namespace, without a process and without a filter
//! language.
//!
//! The socket is bound to no interface: it sees interfaces that come later from their first packet
//! on. Outgoing packets are seen as well.

use std::io::Read as _;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::Netns;
use crate::stop::{Stop, Wake, Worker};

/// Every ethertype (`ETH_P_ALL`).
const ALL: u16 = 3;
const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// An IP packet that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was read.
    pub time: Instant,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Number of the transport protocol; extension headers of IPv6 are not followed.
    pub protocol: u8,
    /// Source and destination port of TCP, UDP and SCTP.
    pub ports: Option<(u16, u16)>,
    /// Type of ICMP and ICMPv6, and the identifier if it is an echo.
    pub icmp: Option<(u8, u16)>,
    /// Length of the packet from its IP header on.
    pub length: usize,
}

impl Packet {
    /// Whether it is a datagram to this port.
    pub fn is_udp_to(&self, port: u16) -> bool {
        self.protocol == UDP && self.ports.is_some_and(|(_, to)| to == port)
    }

    /// Whether it is a TCP segment from or to this port.
    pub fn is_tcp_with(&self, port: u16) -> bool {
        self.protocol == TCP && self.ports.is_some_and(|(from, to)| from == port || to == port)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (source, destination, protocol, header): (IpAddr, IpAddr, u8, usize) = match bytes
            .first()?
            >> 4
        {
            4 => (
                array::<4>(bytes, 12)?.into(),
                array::<4>(bytes, 16)?.into(),
                *bytes.get(9)?,
                usize::from(bytes.first()? & 15) * 4,
            ),
            6 => {
                (array::<16>(bytes, 8)?.into(), array::<16>(bytes, 24)?.into(), *bytes.get(6)?, 40)
            }
            _ => return None,
        };
        let port = |at| array::<2>(bytes, header + at).map(u16::from_be_bytes);
        let has_ports = matches!(protocol, TCP | UDP | SCTP);
        let ports = has_ports.then(|| port(0).zip(port(2))).flatten();
        let kind = || bytes.get(header).copied().zip(port(4));
        let icmp = matches!(protocol, ICMP | ICMPV6).then(kind).flatten();
        let (time, length) = (Instant::now(), bytes.len());
        Some(Self { time, source, destination, protocol, ports, icmp, length })
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// Keeps the packets of a namespace that pass a filter.
pub struct Capture {
    worker: Worker<Vec<Packet>>,
    count: Arc<AtomicUsize>,
}

impl Capture {
    /// Starts to listen; packets are seen from the return of this function on.
    ///
    /// # Errors
    /// If no packet socket can be made.
    pub fn start(netns: &Netns, filter: impl Fn(&Packet) -> bool + Send + 'static) -> Result<Self> {
        let protocol = Protocol::from(i32::from(ALL.to_be()));
        let socket = netns.enter(|| Socket::new(Domain::PACKET, Type::DGRAM, Some(protocol)))?;
        let socket = socket.context("creating a packet socket")?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20)
            .context("enlarging the receive buffer")?;
        socket.set_nonblocking(true).context("setting a mode")?;
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let worker = Worker::spawn(move |stop| listen(&socket, &stop, &counter, filter))?;
        Ok(Self { worker, count })
    }

    /// Packets so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Stops and returns the packets in the order of arrival.
    ///
    /// # Errors
    /// If the filter panicked.
    pub fn finish(mut self) -> Result<Vec<Packet>> {
        self.worker.finish().context("the capture failed")
    }
}

fn listen(
    mut socket: &Socket,
    stop: &Stop,
    count: &AtomicUsize,
    filter: impl Fn(&Packet) -> bool,
) -> Vec<Packet> {
    let mut packets = Vec::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let wake = stop.wait(socket.as_fd(), None);
        // What is in the buffer at the end arrived before it.
        while let Ok(length) = socket.read(&mut buffer) {
            if let Some(packet) = Packet::parse(&buffer[..length]).filter(&filter) {
                packets.push(packet);
                count.store(packets.len(), Ordering::Relaxed);
            }
        }
        if wake == Wake::Stopped {
            return packets;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_come_after_the_header_of_either_family() {
        let mut v4 = vec![0x46, 0, 0, 32, 0, 0, 0, 0, 64, UDP, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        v4.extend([1, 1, 1, 1, 0, 53, 0x12, 0x34, 0, 8, 0, 0]);
        let packet = Packet::parse(&v4).expect("a packet");
        assert_eq!(packet.ports, Some((53, 0x1234)));
        assert_eq!(packet.destination, IpAddr::from([10, 0, 0, 2]));
        assert!(packet.is_udp_to(0x1234) && !packet.is_udp_to(53));

        let mut v6 = vec![0x60, 0, 0, 0, 0, 4, TCP, 64];
        v6.extend([0; 15].iter().chain(&[1]));
        v6.extend([0; 15].iter().chain(&[2]));
        v6.extend([0, 179, 0xc0, 0]);
        let packet = Packet::parse(&v6).expect("a packet");
        assert!(packet.is_tcp_with(179));
        assert_eq!(packet.source, IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]));
        assert_eq!(Packet::parse(&v6[..30]), None, "truncated");
        assert_eq!(Packet::parse(&[0x20; 60]), None, "neither 4 nor 6");
    }
}
