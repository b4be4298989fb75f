// SPDX-License-Identifier: MIT OR Apache-2.0
//! Packets that tell whether the network works: echo with sequence numbers, flood, and TCP.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::netns::Netns;
use crate::stop::{Stop, Wake, Worker};

/// How long a probe waits for the answers to its last packets.
const GRACE: Duration = Duration::from_millis(500);

/// Answers every datagram with itself, on one port and both families, until dropped.
pub struct Echo {
    _worker: Worker<()>,
}

impl Echo {
    /// Listens on all addresses of a namespace.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start(netns: &Netns, port: u16) -> Result<Self> {
        // An IPv6 socket takes IPv4 packets, too, unless told otherwise.
        let socket = bind(netns, (Ipv6Addr::UNSPECIFIED, port).into())?;
        let worker = Worker::spawn(move |stop| echo(&socket, &stop))?;
        Ok(Self { _worker: worker })
    }
}

fn echo(socket: &UdpSocket, stop: &Stop) {
    let mut buffer = [0; 2048];
    while stop.wait(socket.as_fd(), None) != Wake::Stopped {
        if let Ok((length, from)) = socket.recv_from(&mut buffer) {
            // Lost answers are what the other side counts.
            let _lost = socket.send_to(&buffer[..length], from);
        }
    }
}

/// What became of the packets of a [`Probe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Packets sent.
    pub sent: u64,
    /// Packets that were not answered.
    pub lost: u64,
    /// Longest time between the sending of two consecutive answered packets: one interval if
    /// nothing is lost, the length of the outage otherwise.
    pub longest_gap: Duration,
}

/// Sends a numbered datagram at a fixed interval to an [`Echo`] and notes which come back.
pub struct Probe {
    worker: Worker<Loss>,
}

impl Probe {
    /// Starts at one packet a millisecond. `source` fixes the sender's address.
    ///
    /// # Errors
    /// If the source address is not there.
    pub fn start(netns: &Netns, source: Option<IpAddr>, target: SocketAddr) -> Result<Self> {
        Self::with_interval(netns, source, target, Duration::from_millis(1))
    }

    /// Starts with another interval.
    ///
    /// # Errors
    /// If the source address is not there.
    pub fn with_interval(
        netns: &Netns,
        source: Option<IpAddr>,
        target: SocketAddr,
        interval: Duration,
    ) -> Result<Self> {
        let source = source.unwrap_or_else(|| unspecified(target.ip()));
        let socket = bind(netns, (source, 0).into())?;
        let worker = Worker::spawn(move |stop| probe(&socket, &stop, target, interval))?;
        Ok(Self { worker })
    }

    /// Stops sending, waits for late answers, and says what was lost.
    ///
    /// # Errors
    /// If the sender panicked.
    pub fn finish(mut self) -> Result<Loss> {
        self.worker.finish().context("the probe failed")
    }
}

fn probe(socket: &UdpSocket, stop: &Stop, target: SocketAddr, interval: Duration) -> Loss {
    let start = Instant::now();
    let mut sent_at: Vec<Instant> = Vec::new();
    let mut answered: Vec<bool> = Vec::new();
    let mut end = None;
    loop {
        let due = start + interval * u32::try_from(sent_at.len()).unwrap_or(u32::MAX);
        let until = end.unwrap_or(due);
        if Instant::now() >= until {
            if end.is_some() {
                break;
            }
            let number = sent_at.len() as u64;
            sent_at.push(Instant::now());
            answered.push(false);
            // Unreachable is a loss like any other.
            let _lost = socket.send_to(&number.to_be_bytes(), target);
        }
        let waited = match end {
            None => stop.wait(socket.as_fd(), Some(due)),
            Some(end) => wait_readable(socket, end),
        };
        match waited {
            Wake::Stopped => end = Some(Instant::now() + GRACE),
            Wake::Readable => take_answers(socket, &mut answered),
            Wake::Timeout => {}
        }
        if end.is_some() && answered.iter().all(|answered| *answered) {
            break;
        }
    }
    summarize(&sent_at, &answered, interval)
}

/// After the stop the pipe is at its end for good, so the socket is waited for alone.
fn wait_readable(socket: &UdpSocket, until: Instant) -> Wake {
    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let _blocking = socket.set_nonblocking(false);
    let _timeout = socket.set_read_timeout(Some(left));
    let peeked = socket.peek(&mut [0; 8]);
    let _nonblocking = socket.set_nonblocking(true);
    if peeked.is_ok() { Wake::Readable } else { Wake::Timeout }
}

fn take_answers(socket: &UdpSocket, answered: &mut [bool]) {
    let mut number = [0; 8];
    while socket.recv(&mut number).is_ok() {
        let index = usize::try_from(u64::from_be_bytes(number)).unwrap_or(usize::MAX);
        if let Some(answered) = answered.get_mut(index) {
            *answered = true;
        }
    }
}

fn summarize(sent_at: &[Instant], answered: &[bool], interval: Duration) -> Loss {
    let times = || sent_at.iter().zip(answered).filter(|(_, answered)| **answered);
    let lost = answered.iter().filter(|answered| !**answered).count() as u64;
    let inner = times().zip(times().skip(1)).map(|((a, _), (b, _))| *b - *a).max();
    // An outage at an edge counts as well.
    let (first, last) = (sent_at.first(), sent_at.last());
    let head = times().next().zip(first).map(|((time, _), first)| *time - *first);
    let tail = times().next_back().zip(last).map(|((time, _), last)| *last - *time);
    let whole = last.zip(first).map(|(last, first)| *last - *first);
    let longest = [inner, head, tail].into_iter().flatten().max();
    let longest_gap = longest.or(whole).unwrap_or(interval);
    Loss { sent: sent_at.len() as u64, lost, longest_gap }
}

/// Sends datagrams to a list of addresses, one after the other and again, until dropped.
pub struct Flood {
    worker: Worker<u64>,
}

impl Flood {
    /// Starts with a pause between two packets; zero is as fast as it goes.
    ///
    /// # Errors
    /// If no socket can be made, or a family is mixed with the other.
    pub fn start(netns: &Netns, targets: Vec<SocketAddr>, pause: Duration) -> Result<Self> {
        let Some(first) = targets.first() else { bail!("a flood needs a target") };
        if targets.iter().any(|target| target.is_ipv4() != first.is_ipv4()) {
            bail!("a flood is of one family");
        }
        let socket = bind(netns, (unspecified(first.ip()), 0).into())?;
        let worker = Worker::spawn(move |stop| {
            let mut sent = 0;
            let mut next = Instant::now();
            for target in targets.iter().cycle() {
                // No route and no neighbour are what a flood is for.
                sent += u64::from(socket.send_to(b"flood", target).is_ok());
                next += pause;
                let wake = stop.wait(socket.as_fd(), Some(next));
                if wake == Wake::Stopped {
                    break;
                }
            }
            sent
        })?;
        Ok(Self { worker })
    }

    /// Stops and says how many packets the kernel took.
    ///
    /// # Errors
    /// If the sender panicked.
    pub fn finish(mut self) -> Result<u64> {
        self.worker.finish().context("the flood failed")
    }
}

/// Connects, sends a byte and waits for it to come back from a [`TcpEcho`].
///
/// # Errors
/// If that does not work within the deadline.
pub fn tcp_round_trip(netns: &Netns, target: SocketAddr, deadline: Duration) -> Result<()> {
    netns.enter(|| {
        let mut stream = TcpStream::connect_timeout(&target, deadline).context("connecting")?;
        stream.set_read_timeout(Some(deadline)).context("setting a deadline")?;
        stream.write_all(b"?").context("sending")?;
        let mut answer = [0];
        stream.read_exact(&mut answer).context("waiting for the answer")
    })?
}

/// Accepts TCP connections on all addresses of a namespace and sends back what it reads, one
/// connection at a time, until dropped.
pub struct TcpEcho {
    _worker: Worker<()>,
}

impl TcpEcho {
    /// Listens on a port of both families.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start(netns: &Netns, port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let listener = netns.enter(|| TcpListener::bind(address))?.context("listening")?;
        listener.set_nonblocking(true).context("setting a mode")?;
        let worker = Worker::spawn(move |stop| {
            while stop.wait(listener.as_fd(), None) != Wake::Stopped {
                if let Ok((stream, _)) = listener.accept() {
                    serve(&stream, &stop);
                }
            }
        })?;
        Ok(Self { _worker: worker })
    }
}

fn serve(mut stream: &TcpStream, stop: &Stop) {
    let mut buffer = [0; 2048];
    while stop.wait(stream.as_fd(), None) == Wake::Readable {
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => {
                if stream.write_all(&buffer[..length]).is_err() {
                    return;
                }
            }
            Ok(_) | Err(_) => return,
        }
    }
}

/// Counts the datagrams that arrive at one port, by the address they were sent to.
///
/// It listens before any interface exists, so nothing escapes it.
pub struct Sink {
    capture: crate::capture::Capture,
}

impl Sink {
    /// Listens on all interfaces of a namespace, present and future.
    ///
    /// # Errors
    /// If no packet socket can be made.
    pub fn start(netns: &Netns, port: u16) -> Result<Self> {
        let filter = move |packet: &crate::capture::Packet| packet.is_udp_to(port);
        Ok(Self { capture: crate::capture::Capture::start(netns, filter)? })
    }

    /// Packets so far.
    pub fn count(&self) -> usize {
        self.capture.count()
    }

    /// Stops and returns the packets by destination address.
    ///
    /// # Errors
    /// If the listener panicked.
    pub fn finish(self) -> Result<BTreeMap<IpAddr, usize>> {
        let mut counts = BTreeMap::new();
        for packet in self.capture.finish()? {
            *counts.entry(packet.destination).or_default() += 1;
        }
        Ok(counts)
    }
}

fn unspecified(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn bind(netns: &Netns, address: SocketAddr) -> Result<UdpSocket> {
    let socket = netns.enter(|| UdpSocket::bind(address))?;
    let socket = socket.with_context(|| format!("binding {address} in {netns:?}"))?;
    socket.set_nonblocking(true).context("setting a mode")?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(answered: &[bool]) -> (u64, Duration) {
        let start = Instant::now();
        let at = |n: usize| start + Duration::from_millis(10 * n as u64);
        let sent_at: Vec<_> = (0..answered.len()).map(at).collect();
        let loss = summarize(&sent_at, answered, Duration::from_millis(10));
        (loss.lost, loss.longest_gap)
    }

    #[test]
    fn gap_is_the_longest_time_without_an_answered_packet() {
        let ms = Duration::from_millis;
        assert_eq!(loss(&[true, true, true]), (0, ms(10)));
        assert_eq!(loss(&[true, false, false, true, false, true]), (3, ms(30)));
        assert_eq!(loss(&[true, true, false, false, false]), (3, ms(30)));
        assert_eq!(loss(&[false, false, false]), (3, ms(20)));
    }
}
