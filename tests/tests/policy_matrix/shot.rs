// SPDX-License-Identifier: MIT OR Apache-2.0
//! The packets of one case: all are sent, then what arrives is waited for.
//!
//! A packet to a workload or to the fabric has arrived when a capture in the receiver's namespace saw it *and* it had
//! its effect there: a TCP connection is established, a datagram is read from a socket, an echo is answered. Only the
//! association of SCTP is not waited for. To the node itself the effect alone counts, for a capture sees packets
//! before the node's rules do; there a refused connection is an effect, too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fabric_tests::Netns;
use fabric_tests::capture::{Capture, Packet};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// How long what must arrive may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long what must not arrive is waited for, beyond that.
const LINGER: Duration = Duration::from_millis(60);

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Udp,
    Sctp,
    /// An echo request of the family.
    Icmp,
}

/// One packet of a case.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    /// The sender's namespace.
    pub(crate) from: Netns,
    /// The sender's address, unspecified for the node, and its port or the identifier of an echo.
    pub(crate) source: SocketAddr,
    /// The receiver's namespace.
    pub(crate) to: Netns,
    /// Its address, and the port if there are ports.
    pub(crate) target: SocketAddr,
    /// Whether the receiver is the node.
    pub(crate) is_to_node: bool,
    pub(crate) kind: Kind,
    /// Whether it must arrive.
    pub(crate) allow: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// A capture in the receiver's namespace saw it.
    pub(crate) is_seen: bool,
    /// It had its effect.
    pub(crate) has_effect: bool,
}

impl Shot {
    /// Whether this fate is what the case demands.
    pub(crate) fn is_as_wanted(&self, fate: Fate) -> bool {
        let seen = self.is_to_node || fate.is_seen == self.allow;
        let effect = self.is_sctp() || fate.has_effect == self.allow;
        seen && effect
    }

    fn is_sctp(&self) -> bool {
        matches!(self.kind, Kind::Sctp)
    }

    fn domain(&self) -> Domain {
        if self.target.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
    }

    fn matches(&self, packet: &Packet) -> bool {
        let source = self.source.ip().is_unspecified() || packet.source == self.source.ip();
        let ports = |protocol| {
            packet.protocol == protocol
                && packet.ports == Some((self.source.port(), self.target.port()))
        };
        let is_it = match self.kind {
            Kind::Tcp => ports(6),
            Kind::Udp => ports(17),
            Kind::Sctp => ports(132),
            Kind::Icmp => {
                let kind = if self.target.is_ipv4() { 8 } else { 128 };
                packet.icmp == Some((kind, self.source.port()))
            }
        };
        is_it && source && packet.destination == self.target.ip()
    }

    /// A socket at the sender from which the packet has been sent.
    fn fire(&self) -> Result<Socket> {
        let (style, protocol) = match self.kind {
            Kind::Tcp => (Type::STREAM, Protocol::TCP),
            Kind::Udp => (Type::DGRAM, Protocol::UDP),
            Kind::Sctp => (Type::RAW, Protocol::from(132)),
            Kind::Icmp if self.target.is_ipv4() => (Type::DGRAM, Protocol::ICMPV4),
            Kind::Icmp => (Type::DGRAM, Protocol::ICMPV6),
        };
        let domain = self.domain();
        let socket = self.from.enter(|| Socket::new(domain, style, Some(protocol)))?;
        let socket = socket.with_context(|| format!("a socket for {self:?}"))?;
        socket.set_reuse_address(true).context("sharing the port")?;
        socket.set_nonblocking(true).context("setting a mode")?;
        let (mut source, mut target) = (self.source, self.target);
        if self.is_sctp() {
            // Ports of a raw socket's addresses say nothing.
            source.set_port(0);
            target.set_port(0);
        }
        socket.bind(&source.into()).with_context(|| format!("binding {self:?}"))?;
        let target = SockAddr::from(target);
        match self.kind {
            Kind::Tcp => match socket.connect(&target) {
                Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
                other => other.with_context(|| format!("connecting {self:?}"))?,
            },
            Kind::Udp => self.send_to(&socket, b"?", &target)?,
            Kind::Sctp => {
                let init = sctp_init(self.source.port(), self.target.port());
                self.send_to(&socket, &init, &target)?;
            }
            Kind::Icmp => {
                let kind = if self.target.is_ipv4() { 8 } else { 128 };
                self.send_to(&socket, &[kind, 0, 0, 0, 0, 0, 0, 1, b'?'], &target)?;
            }
        }
        Ok(socket)
    }

    fn send_to(&self, socket: &Socket, bytes: &[u8], target: &SockAddr) -> Result<()> {
        socket.send_to(bytes, target).with_context(|| format!("sending {self:?}"))?;
        Ok(())
    }

    /// Where the receiver waits for it; `None` if its kernel answers by itself.
    fn listener(&self) -> Option<(Type, SocketAddr)> {
        let kind = match self.kind {
            Kind::Tcp => Type::STREAM,
            Kind::Udp => Type::DGRAM,
            Kind::Sctp | Kind::Icmp => return None,
        };
        let address = match (self.is_to_node, self.target.is_ipv4()) {
            (false, _) => self.target.ip(),
            (true, true) => Ipv4Addr::UNSPECIFIED.into(),
            (true, false) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Some((kind, SocketAddr::new(address, self.target.port())))
    }
}

/// Receivers' sockets by namespace, whether they are for TCP, and address.
type Listeners = BTreeMap<(String, bool, SocketAddr), Socket>;

fn listen(shots: &[Shot]) -> Result<Listeners> {
    let mut listeners = Listeners::new();
    for shot in shots {
        let Some((kind, address)) = shot.listener() else { continue };
        let key = (shot.to.name().to_owned(), kind == Type::STREAM, address);
        if listeners.contains_key(&key) {
            continue;
        }
        let domain = shot.domain();
        let socket = shot.to.enter(|| Socket::new(domain, kind, None))?;
        let socket = socket.context("a socket to listen")?;
        socket.set_reuse_address(true).context("sharing the port")?;
        if address.is_ipv6() {
            socket.set_only_v6(true).context("confining it to IPv6")?;
        }
        socket.set_nonblocking(true).context("setting a mode")?;
        match socket.bind(&address.into()) {
            // The daemon listens itself, and a refused connection tells as much.
            Err(error) if shot.is_to_node && error.kind() == ErrorKind::AddrInUse => continue,
            other => other.with_context(|| format!("binding {key:?}"))?,
        }
        if kind == Type::STREAM {
            socket.listen(64).with_context(|| format!("listening at {key:?}"))?;
        }
        listeners.insert(key, socket);
    }
    Ok(listeners)
}

/// Sends everything and says what became of each packet.
pub(crate) fn fire(shots: &[Shot]) -> Result<Vec<Fate>> {
    let listeners = listen(shots)?;
    let mut captures = BTreeMap::new();
    for shot in shots.iter().filter(|shot| !shot.is_to_node) {
        if !captures.contains_key(shot.to.name()) {
            captures.insert(shot.to.name().to_owned(), Capture::start(&shot.to, |_| true)?);
        }
    }
    let sockets = shots.iter().map(Shot::fire).collect::<Result<Vec<_>>>()?;
    let arrived = wait(shots, &sockets, &listeners)?;
    let mut packets = BTreeMap::new();
    for (name, capture) in captures {
        packets.insert(name, capture.finish()?);
    }
    let fate = |(index, shot): (usize, &Shot)| Fate {
        is_seen: packets
            .get(shot.to.name())
            .is_some_and(|packets| packets.iter().any(|packet| shot.matches(packet))),
        has_effect: arrived.contains(&index),
    };
    Ok(shots.iter().enumerate().map(fate).collect())
}

/// Waits for everything that must have an effect, and a little for everything that must not.
fn wait(shots: &[Shot], sockets: &[Socket], listeners: &Listeners) -> Result<BTreeSet<usize>> {
    let start = Instant::now();
    let mut arrived = BTreeSet::new();
    let wanted = |(_, shot): &(usize, &Shot)| shot.allow && !shot.is_sctp();
    let wanted: Vec<usize> = shots.iter().enumerate().filter(wanted).map(|(n, _)| n).collect();
    loop {
        collect(shots, sockets, listeners, &mut arrived);
        let is_done = wanted.iter().all(|index| arrived.contains(index));
        let end = start + if is_done { LINGER } else { PATIENCE };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(arrived);
        }
        // What is connected stays ready: it is not waited for again.
        let open = sockets.iter().enumerate().filter(|(index, _)| !arrived.contains(index));
        let mut fds: Vec<PollFd<'_>> = open
            .map(|(index, socket)| match shots[index].kind {
                Kind::Tcp => PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::OUT),
                _ => PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN),
            })
            .collect();
        let datagrams = listeners.iter().filter(|((_, is_tcp, _), _)| !is_tcp);
        fds.extend(datagrams.map(|(_, s)| PollFd::from_borrowed_fd(s.as_fd(), PollFlags::IN)));
        let timeout = Timespec { tv_sec: 0, tv_nsec: left.min(LINGER).subsec_nanos().into() };
        // Interrupted or over: the loop looks again.
        let _ready = poll(&mut fds, Some(&timeout));
    }
}

/// Notes every effect that is there by now.
fn collect(
    shots: &[Shot],
    sockets: &[Socket],
    listeners: &Listeners,
    arrived: &mut BTreeSet<usize>,
) {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 256];
    for ((name, is_tcp, address), socket) in listeners {
        if *is_tcp {
            continue;
        }
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let Some(from) = from.as_socket() else { continue };
            let is_it = |shot: &Shot| {
                matches!(shot.kind, Kind::Udp)
                    && shot.to.name() == name
                    && shot.target.port() == address.port()
                    && (address.ip().is_unspecified() || shot.target.ip() == address.ip())
                    && shot.source.port() == from.port()
                    && (shot.source.ip().is_unspecified() || shot.source.ip() == from.ip())
            };
            arrived.extend((0..shots.len()).filter(|index| is_it(&shots[*index])));
        }
    }
    for (index, (shot, socket)) in shots.iter().zip(sockets).enumerate() {
        let is_answered = match shot.kind {
            Kind::Tcp => {
                let is_refused = || matches!(socket.take_error(), Ok(Some(_)));
                socket.peer_addr().is_ok() || (shot.is_to_node && is_refused())
            }
            Kind::Icmp => socket.recv(&mut buffer).is_ok(),
            Kind::Udp | Kind::Sctp => false,
        };
        if is_answered {
            arrived.insert(index);
        }
    }
}

/// A socket address; link-local ones are beyond the interface with this index.
pub(crate) fn socket_address(address: IpAddr, port: u16, interface: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, interface).into()
        }
        other => SocketAddr::new(other, port),
    }
}

/// The packet that opens an association (RFC 9260 §3.3.2).
fn sctp_init(source: u16, destination: u16) -> Vec<u8> {
    let mut packet = Vec::with_capacity(32);
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    // Verification tag and checksum.
    packet.extend([0; 8]);
    // INIT, no flags, 20 octets: tag, window, one stream each way, first number.
    packet.extend([1, 0, 0, 20]);
    packet.extend(0x1234_5678_u32.to_be_bytes());
    packet.extend(65_536_u32.to_be_bytes());
    packet.extend([0, 1, 0, 1]);
    packet.extend(1_u32.to_be_bytes());
    let checksum = crc32c(&packet).to_le_bytes();
    packet[8..12].copy_from_slice(&checksum);
    packet
}

/// CRC32c (RFC 9260 Appendix A), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut remainder = u32::MAX;
    for byte in bytes {
        remainder ^= u32::from(*byte);
        for _ in 0..8 {
            let is_odd = remainder & 1 == 1;
            remainder = (remainder >> 1) ^ if is_odd { 0x82f6_3b78 } else { 0 };
        }
    }
    !remainder
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    // The check value of CRC-32C (Castagnoli).
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
