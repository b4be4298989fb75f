// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sockets: two ports to hear on for each family, and one socket to send from for each session.
//!
//! Nothing here waits. The owner watches the descriptors of [`Listener`]s, reads batches until
//! there is nothing left, and only then runs timers: a process that was held up must not take
//! packets for missing that are there to be read.
//!
//! `recvmmsg` and its control messages have no safe wrapper that knows TTL and hop limit, so this
//! file calls it itself.
#![expect(unsafe_code, reason = "recvmmsg with TTL and hop limit has no safe wrapper")]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};

use crate::packet::Packet;
use crate::table::Arrival;
use crate::{MULTIHOP_PORT, SINGLE_HOP_PORT};

/// Datagrams read with one call.
pub const BATCH: usize = 32;
/// Octets kept of each; a control packet with authentication has less.
const DATAGRAM: usize = 256;
/// Room for TTL and destination of one datagram.
const CONTROL: usize = 128;
/// RFC 5881 §5.
const TTL: u32 = 255;
/// Class selector 6, network control.
const TRAFFIC_CLASS: u32 = 0xc0;
/// Source ports (RFC 5881 §4).
const PORTS: std::ops::RangeInclusive<u16> = 49_152..=65_535;
/// Ports tried before giving up.
const ATTEMPTS: usize = 64;

/// One port of one family, open for packets from anywhere.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    is_multihop: bool,
}

/// Opens every listener this machine can have: both ports, and both families unless one is off.
///
/// # Errors
/// A port is taken, or the system gives no socket.
pub fn listen() -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for is_multihop in [false, true] {
        let port = if is_multihop { MULTIHOP_PORT } else { SINGLE_HOP_PORT };
        for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            match Listener::open(SocketAddr::new(any, port), is_multihop) {
                Ok(listener) => listeners.push(listener),
                Err(error) if is_family_off(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(listeners)
}

fn is_family_off(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

impl Listener {
    fn open(address: SocketAddr, is_multihop: bool) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        let options: &[(i32, i32)] = if address.is_ipv4() {
            &[(libc::IPPROTO_IP, libc::IP_RECVTTL), (libc::IPPROTO_IP, libc::IP_PKTINFO)]
        } else {
            socket.set_only_v6(true)?;
            &[
                (libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT),
                (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            ]
        };
        for (level, name) in options {
            switch_on(&socket, *level, *name)?;
        }
        socket.bind(&address.into())?;
        Ok(Self { socket, is_multihop })
    }

    /// Reads what is there, at most [`BATCH`] datagrams, and hands each to `handle`; how many
    /// there were. Datagrams without TTL or destination are left out.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing.
    pub fn receive(&self, mut handle: impl FnMut(&Arrival, &[u8])) -> io::Result<usize> {
        let mut octets = [[0u8; DATAGRAM]; BATCH];
        let mut control = [Control([0; CONTROL]); BATCH];
        // SAFETY: both are plain C structures for which all zeros is a valid value.
        let mut names: [libc::sockaddr_storage; BATCH] = unsafe { std::mem::zeroed() };
        // SAFETY: as above; null pointers with length 0.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        let mut pieces = octets
            .each_mut()
            .map(|octets| libc::iovec { iov_base: octets.as_mut_ptr().cast(), iov_len: DATAGRAM });
        let parts = headers.iter_mut().zip(&mut names).zip(&mut pieces).zip(&mut control);
        for (((header, name), piece), control) in parts {
            header.msg_hdr.msg_name = std::ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = NAME_LEN;
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL as _;
        }
        let fd = self.socket.as_raw_fd();
        let (len, flags) = (BATCH_LEN, libc::MSG_DONTWAIT);
        // SAFETY: `headers` has `BATCH` entries, each pointing to a name, a piece and a control
        // buffer that outlive the call, with their true lengths; no timeout is given.
        let got =
            unsafe { libc::recvmmsg(fd, headers.as_mut_ptr(), len, flags, std::ptr::null_mut()) };
        let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
        for ((header, name), octets) in headers.iter().zip(&names).zip(&octets).take(got) {
            let source = address_of(name);
            let Some(arrival) = source.and_then(|ip| self.arrival(ip, &header.msg_hdr)) else {
                continue;
            };
            let len = usize::try_from(header.msg_len).unwrap_or(DATAGRAM).min(DATAGRAM);
            handle(&arrival, octets.get(..len).unwrap_or_default());
        }
        Ok(got)
    }

    fn arrival(&self, source: IpAddr, header: &libc::msghdr) -> Option<Arrival> {
        let (mut ttl, mut to) = (None, None);
        // SAFETY: the kernel has filled `header` and set `msg_controllen` to what it wrote.
        let mut next = unsafe { libc::CMSG_FIRSTHDR(header) };
        // SAFETY: not null, so the macros found a whole control message header there.
        while let Some(message) = unsafe { next.as_ref() } {
            // SAFETY: `message` is a control message of this buffer.
            let data = unsafe { libc::CMSG_DATA(message) };
            match (message.cmsg_level, message.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                    // SAFETY: the payload of these types is an int, maybe not aligned.
                    let value = unsafe { data.cast::<libc::c_int>().read_unaligned() };
                    ttl = u8::try_from(value).ok();
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    // SAFETY: the payload of this type is an in_pktinfo, maybe not aligned.
                    let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                    let address = Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr));
                    to = Some((IpAddr::V4(address), u32::try_from(info.ipi_ifindex).ok()?));
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    // SAFETY: the payload of this type is an in6_pktinfo, maybe not aligned.
                    let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                    let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    to = Some((IpAddr::V6(address), info.ipi6_ifindex));
                }
                _ => {}
            }
            // SAFETY: `message` is a control message of the buffer that `header` describes.
            next = unsafe { libc::CMSG_NXTHDR(header, message) };
        }
        let (destination, interface) = to?;
        let is_multihop = self.is_multihop;
        Some(Arrival { source, destination, interface, is_multihop, ttl: ttl? })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.socket.as_raw_fd()
    }
}

/// Control messages start where a pointer may.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL]);

fn address_of(name: &libc::sockaddr_storage) -> Option<IpAddr> {
    let name = std::ptr::from_ref(name);
    // SAFETY: the storage is large enough and aligned for every address family.
    unsafe {
        match i32::from((*name).ss_family) {
            libc::AF_INET => {
                let v4 = &*name.cast::<libc::sockaddr_in>();
                Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr))))
            }
            libc::AF_INET6 => {
                let v6 = &*name.cast::<libc::sockaddr_in6>();
                Some(IpAddr::V6(Ipv6Addr::from(v6.sin6_addr.s6_addr)))
            }
            _ => None,
        }
    }
}

fn switch_on(socket: &Socket, level: i32, name: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    let value = std::ptr::from_ref(&on).cast();
    // SAFETY: `value` points to an int, and that is what `INT_LEN` says.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, INT_LEN) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Where a session sends from.
#[derive(Clone, Copy, Debug)]
pub struct From<'a> {
    /// Our address; the system's choice when absent.
    pub local: Option<IpAddr>,
    /// The only interface to use, by name and number.
    pub interface: Option<(&'a str, u32)>,
}

/// The socket of one session: one source port for its whole life (RFC 5881 §4).
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
    to: SocketAddr,
    port: u16,
}

impl Sender {
    /// A socket towards a peer. `first` is where to begin to look for a free port, such as a
    /// random number, or the port of a socket that this one replaces.
    ///
    /// # Errors
    /// The address or the interface is not there, or no port is free.
    pub fn open(peer: IpAddr, is_multihop: bool, from: &From<'_>, first: u16) -> io::Result<Self> {
        let any = match peer {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let scope = from.interface.map_or(0, |(_, number)| number);
        let port = if is_multihop { MULTIHOP_PORT } else { SINGLE_HOP_PORT };
        let to = scoped(peer, port, scope);
        let domain = Domain::for_address(to);
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if let Some((name, _)) = from.interface {
            socket.bind_device(Some(name.as_bytes()))?;
        }
        if peer.is_ipv4() {
            socket.set_ttl_v4(TTL)?;
            socket.set_tos_v4(TRAFFIC_CLASS)?;
        } else {
            socket.set_unicast_hops_v6(TTL)?;
            socket.set_tclass_v6(TRAFFIC_CLASS)?;
        }
        // Nothing is ever read from it.
        socket.set_recv_buffer_size(0)?;
        let count = PORTS.end() - PORTS.start() + 1;
        let first = first % count;
        let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
        for step in (0..=u16::MAX).take(ATTEMPTS) {
            let port = PORTS.start() + (first + step) % count;
            match socket.bind(&scoped(from.local.unwrap_or(any), port, scope).into()) {
                Ok(()) => return Ok(Self { socket, to, port }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
                Err(error) => return Err(error),
            }
        }
        Err(taken)
    }

    /// The source port, as [`Self::open`] takes it to find it again.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port - PORTS.start()
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// The path refuses it; BFD finds that out by itself.
    pub fn send(&self, packet: &Packet) -> io::Result<()> {
        self.socket.send_to(&packet.encode(), &self.to.into()).map(|_| ())
    }
}

fn scoped(address: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            SocketAddrV6::new(v6, port, 0, scope).into()
        }
        address => SocketAddr::new(address, port),
    }
}

// Lengths as the kernel's interface has them.
const BATCH_LEN: libc::c_uint = 32;
const NAME_LEN: libc::socklen_t = 128;
const INT_LEN: libc::socklen_t = 4;
const _: () = assert!(
    BATCH_LEN as usize == BATCH
        && NAME_LEN as usize == size_of::<libc::sockaddr_storage>()
        && INT_LEN as usize == size_of::<libc::c_int>()
);
