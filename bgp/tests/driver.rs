// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver on the loopback: real sockets, no privileges, no other daemon.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failing step fails the test")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bgp::net::Error;
use bgp::{
    Asn, Community, DownReason, Handle, Originate, PathSet, PeerConfig, PeerStatus, Prefix,
    Shutdown, SpeakerConfig, Start, State, Stopped,
};
use reconcile::{Completeness, Mailbox};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// A loopback address and port that no other test uses.
fn endpoint() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let process = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 16 + process[2] % 200, process[3], number[1]);
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}

fn config(listen: SocketAddr, asn: u32) -> SpeakerConfig {
    let IpAddr::V4(id) = listen.ip() else { panic!("{listen} is not IPv4") };
    SpeakerConfig { listen: vec![listen], ..SpeakerConfig::new(Asn(asn), id.try_into().unwrap()) }
}

fn peer(name: &str, at: SocketAddr, local: SocketAddr, asn: u32) -> PeerConfig {
    PeerConfig {
        port: at.port(),
        local_address: Some(local.ip()),
        // Addresses of the loopback are no gateways anybody accepts.
        next_hop_v4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        next_hop_v6: Some("2001:db8::1".parse().unwrap()),
        ..PeerConfig::new(name, at.ip(), Asn(asn))
    }
}

/// Two configurations that name each other.
fn pair() -> (SpeakerConfig, SpeakerConfig) {
    let (a, b) = (endpoint(), endpoint());
    let (mut left, mut right) = (config(a, 65001), config(b, 65002));
    left.peers.push(peer("right", b, a, 65002));
    right.peers.push(peer("left", a, b, 65001));
    (left, right)
}

struct Node {
    handle: Handle,
    feed: Mailbox<Prefix, Arc<PathSet>>,
    routes: BTreeMap<Prefix, Arc<PathSet>>,
    complete: bool,
    cancel: CancellationToken,
    thread: Option<JoinHandle<Result<(), Error>>>,
    runtime: tokio::runtime::Runtime,
}

impl Node {
    fn start(config: SpeakerConfig) -> Self {
        let (handle, requests) = Handle::new();
        let cancel = CancellationToken::new();
        let token = cancel.clone();
        let thread = std::thread::spawn(move || {
            runtime().block_on(bgp::net::run(config, Start::Cold, requests, token))
        });
        let (feed, thread, runtime) = (handle.best_paths(), Some(thread), runtime());
        let (routes, complete) = (BTreeMap::new(), false);
        Self { handle, feed, routes, complete, cancel, thread, runtime }
    }

    fn ask<T, F: Future<Output = T>>(&self, question: impl FnOnce(Handle) -> F) -> T {
        self.runtime.block_on(question(self.handle.clone()))
    }

    fn peer(&self) -> PeerStatus {
        self.ask(|handle| async move { handle.peers().await.unwrap().remove(0) })
    }

    fn is_up(&self) -> bool {
        self.peer().state == State::Established
    }

    fn count(&mut self) -> usize {
        let changes = self.feed.take();
        self.complete = changes.completeness == Completeness::Complete;
        for (prefix, change) in changes.entries {
            match change.value {
                Some(paths) => self.routes.insert(prefix, paths),
                None => self.routes.remove(&prefix),
            };
        }
        self.routes.len()
    }

    fn end(mut self) -> Result<(), Error> {
        self.cancel.cancel();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_drivers_exchange_ten_thousand_prefixes_and_withdraw_them() {
    let (left, right) = pair();
    let (left, mut right) = (Node::start(left), Node::start(right));
    let originator = left.handle.originate();
    for index in 0..10_000_u32 {
        let address = Ipv4Addr::from(0x0b00_0000 + (index << 8));
        let prefix = Prefix::try_new(address.into(), 24).unwrap();
        let group = u16::try_from(index % 100).unwrap();
        let communities = vec![Community::new(65001, group)];
        originator.set(prefix, Originate { communities, ..Originate::default() });
    }
    originator.complete();
    right.handle.originate().complete();
    eventually("ten thousand routes", || right.count() == 10_000);
    eventually("completeness", || {
        right.count();
        right.complete
    });
    assert_eq!(left.peer().families[0].advertised, 10_000);
    let stats = right.ask(|handle| async move { handle.stats().await.unwrap() });
    assert_eq!((stats.prefixes, stats.synced), (10_000, true));
    assert!(stats.attribute_sets <= 200, "{} sets", stats.attribute_sets);
    for prefix in right.routes.keys() {
        left.handle.originate().remove(*prefix);
    }
    eventually("no route", || right.count() == 0);
    assert_eq!(right.peer().established_transitions, 1);
}

#[test]
fn cancelling_closes_silently_and_the_other_side_loses_its_routes_at_once() {
    let (left, right) = pair();
    let (left, mut right) = (Node::start(left), Node::start(right));
    left.handle.originate().set("203.0.113.0/24".parse().unwrap(), Originate::default());
    eventually("route", || right.count() == 1);
    left.end().unwrap();
    eventually("no route", || right.count() == 0);
    let down = right.peer().last_down.unwrap();
    assert_eq!((down.reason, down.code), (DownReason::ConnectionClosed, 0));
}

#[test]
fn a_cease_arrives_with_its_text_before_the_connection_closes() {
    let (left, right) = pair();
    let (left, right) = (Node::start(left), Node::start(right));
    eventually("established", || left.is_up() && right.is_up());
    let kind = Shutdown::Cease { subcode: 2, text: "bye".to_owned() };
    left.ask(|handle| async move { handle.shutdown(kind).await.unwrap() });
    eventually("loss", || !right.is_up());
    let down = right.peer().last_down.unwrap();
    assert_eq!((down.code, down.subcode, down.text.as_str()), (6, 2, "bye"));
    assert_eq!(left.ask(|handle| async move { handle.peers().await }).unwrap_err(), Stopped);
}

#[test]
fn strangers_are_closed_and_counted() {
    let listen = endpoint();
    let node = Node::start(config(listen, 65001));
    for _ in 0..50 {
        eventually("closed", || match TcpStream::connect(listen) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_))
            }
            Err(_) => false,
        });
    }
    let stats = node.ask(|handle| async move { handle.stats().await.unwrap() });
    assert!(stats.unknown_peer >= 50, "{stats:?}");
}

#[test]
fn rubbish_from_a_peer_is_answered_and_closed() {
    let (listen, from) = (endpoint(), endpoint());
    let mut config = config(listen, 65001);
    let mut scripted = peer("script", from, listen, 65002);
    scripted.passive = true;
    config.peers.push(scripted);
    let node = Node::start(config);
    for rubbish in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".as_slice(), &[0xff; 64], &[0; 4096]] {
        eventually("answer", || {
            let Some(mut stream) = connect_from(from, listen) else { return false };
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut answer = Vec::new();
            // Refused while it rests after the failure before, or the answer may be cut short
            // by a reset, because octets of ours are still unread.
            let _ = stream.write_all(rubbish);
            let _ = stream.read_to_end(&mut answer);
            let types: Vec<_> = answer.chunks(1).skip(18).take(1).flatten().copied().collect();
            types == [1]
        });
    }
    assert_eq!(node.peer().established_transitions, 0);
}

/// Connects from the address of `from`, with any port.
fn connect_from(from: SocketAddr, to: SocketAddr) -> Option<TcpStream> {
    runtime().block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().ok()?;
        socket.bind(SocketAddr::new(from.ip(), 0)).ok()?;
        let stream = socket.connect(to).await.ok()?.into_std().ok()?;
        stream.set_nonblocking(false).ok()?;
        Some(stream)
    })
}

#[test]
fn listening_sockets_follow_the_configuration() {
    let (first, second) = (endpoint(), endpoint());
    let node = Node::start(config(first, 65001));
    eventually("first", || TcpStream::connect(first).is_ok());
    let next = SpeakerConfig { listen: vec![second], ..config(first, 65001) };
    let diff = node.ask(|handle| async move { handle.apply_config(next).await.unwrap() });
    assert!(diff.listeners);
    eventually("second", || TcpStream::connect(second).is_ok());
    eventually("no first", || TcpStream::connect(first).is_err());
}

#[test]
fn an_address_in_use_is_an_error_at_the_start_and_an_absent_one_is_waited_for() {
    let taken = endpoint();
    let _holder = TcpListener::bind(taken).unwrap();
    let node = Node::start(config(taken, 65001));
    eventually("end", || node.thread.as_ref().unwrap().is_finished());
    let Err(Error::Listen { address, .. }) = node.end() else { panic!("no error") };
    assert_eq!(address, taken);

    let listen = endpoint();
    let mut config = config(listen, 65001);
    config.listen.push("192.0.2.77:1179".parse().unwrap());
    let node = Node::start(config);
    eventually("the other one", || TcpStream::connect(listen).is_ok());
    node.end().unwrap();
}

#[test]
fn a_handle_that_is_gone_ends_the_speaker() {
    let (handle, requests) = Handle::new();
    let config = config(endpoint(), 65001);
    let cancel = CancellationToken::new();
    let thread = std::thread::spawn(move || {
        runtime().block_on(bgp::net::run(config, Start::Cold, requests, cancel))
    });
    drop(handle);
    eventually("end", || thread.is_finished());
    thread.join().unwrap().unwrap();
}
