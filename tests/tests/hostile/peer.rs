// SPDX-License-Identifier: MIT OR Apache-2.0
//! A BGP peer made of raw bytes: one that behaves, and the connections of one that does not.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use fabric_tests::{Netns, eventually};

use super::scene::PATIENCE;

/// A third of the hold time; reading ends after it, so that it is the time to say something.
const TICK: Duration = Duration::from_secs(1);

pub(crate) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).unwrap_or(u16::MAX);
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

pub(crate) fn keepalive() -> Vec<u8> {
    message(4, &[])
}

/// An OPEN with four-octet AS numbers and IPv4.
pub(crate) fn open(version: u8, asn: u16, hold: u16, id: Ipv4Addr) -> Vec<u8> {
    let [high, low] = asn.to_be_bytes();
    let capabilities = [1, 4, 0, 1, 0, 1, 65, 4, 0, 0, high, low];
    let fixed = [&[version, high, low][..], &hold.to_be_bytes(), &id.octets()].concat();
    let length = u8::try_from(capabilities.len()).unwrap_or(u8::MAX);
    message(1, &[&fixed[..], &[length + 2, 2, length], &capabilities].concat())
}

/// An UPDATE with IPv4 prefixes, such as `(10.0.0.0, 8)`.
pub(crate) fn update(asn: u16, hop: Ipv4Addr, prefixes: &[(Ipv4Addr, u8)]) -> Vec<u8> {
    let [high, low] = asn.to_be_bytes();
    let [a, b, c, d] = hop.octets();
    let attributes = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, high, low, 0x40, 3, 4, a, b, c, d];
    let nlri = prefixes.iter().flat_map(|(address, length)| {
        let octets = usize::from(length.div_ceil(8));
        [*length].into_iter().chain(address.octets().into_iter().take(octets))
    });
    let mut body = vec![0, 0, 0, u8::try_from(attributes.len()).unwrap_or(u8::MAX)];
    body.extend(attributes);
    body.extend(nlri);
    message(2, &body)
}

pub(crate) fn connect(from: &Netns, to: Ipv4Addr) -> Result<TcpStream> {
    let target = SocketAddr::from((to, 179));
    let stream = from.enter(|| TcpStream::connect_timeout(&target, PATIENCE))?;
    let stream = stream.with_context(|| format!("connecting to {target}"))?;
    stream.set_read_timeout(Some(TICK)).context("setting a time limit")?;
    stream.set_write_timeout(Some(PATIENCE)).context("setting a time limit")?;
    Ok(stream)
}

/// A peer that keeps its session up until it is dropped.
pub(crate) struct Steady {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Steady {
    pub(crate) fn new(from: &Netns, to: Ipv4Addr, asn: u16, id: Ipv4Addr) -> Result<Self> {
        let mut stream = None;
        eventually(PATIENCE, "the node listens", || {
            stream = Some(connect(from, to)?);
            Ok(())
        })?;
        let mut stream = stream.context("no connection")?;
        stream.write_all(&[open(4, asn, 9, id), keepalive()].concat()).context("sending")?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::Relaxed) {
                let waits = [ErrorKind::WouldBlock, ErrorKind::TimedOut];
                match stream.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(_) => {}
                    Err(error) if waits.contains(&error.kind()) => {}
                    Err(_) => return,
                }
                if stream.write_all(&keepalive()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed by the thread.
            let _panicked = thread.join();
        }
    }
}
