// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's IPv4 routes, seen through its notifications, and the plainest way to write them.

use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};
use fabric_tests::Netns;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::net::{RecvFlags, SendFlags, bind, recv, send};
use socket2::{Domain, Protocol, Socket, Type};

use crate::load::Universe;

const NETLINK: i32 = 16;
/// RTMGRP_IPV4_ROUTE
const IPV4_ROUTES: u32 = 0x40;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;
const ERROR: u16 = 2;
/// More notifications than any row brings.
const BUFFER: usize = 512 << 20;
/// Messages in one write of the plain loop.
const BATCH: usize = 50;

fn socket(netns: &Netns, groups: u32) -> Result<Socket> {
    let open = || Socket::new(Domain::from(NETLINK), Type::RAW, Some(Protocol::from(0)));
    let socket = netns.enter(open)?.context("opening a netlink socket")?;
    set_socket_recv_buffer_size_force(&socket, BUFFER).context("the receive buffer")?;
    bind(&socket, &SocketAddrNetlink::new(0, groups)).context("binding a netlink socket")?;
    Ok(socket)
}

/// Counts the routes of a universe in a namespace.
pub(crate) struct Monitor {
    pub(crate) socket: Socket,
    universe: Rc<Universe>,
    present: Vec<bool>,
    pub(crate) count: usize,
    buffer: Vec<u8>,
}

impl Monitor {
    pub(crate) fn new(netns: &Netns, universe: &Rc<Universe>) -> Result<Self> {
        let socket = socket(netns, IPV4_ROUTES)?;
        let (universe, present) = (Rc::clone(universe), vec![false; universe.len()]);
        Ok(Self { socket, universe, present, count: 0, buffer: vec![0; 1 << 20] })
    }

    /// Takes in what has come.
    pub(crate) fn drain(&mut self) -> Result<()> {
        loop {
            let got = recv(self.socket.as_fd(), &mut self.buffer[..], RecvFlags::DONTWAIT);
            let length = match got {
                Ok((length, _)) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error).context("notifications of routes"),
            };
            let octets = std::mem::take(&mut self.buffer);
            messages(&octets[..length], |kind, body| {
                self.take(kind, body);
                Ok(())
            })?;
            self.buffer = octets;
        }
    }

    /// `struct rtmsg` and its attributes.
    fn take(&mut self, kind: u16, body: &[u8]) {
        let Some(length) = body.get(1) else { return };
        let Some(address) = destination(body.get(12..).unwrap_or_default()) else { return };
        if *length != self.universe.length || (kind != NEW_ROUTE && kind != DEL_ROUTE) {
            return;
        }
        let Some(number) = self.universe.number(address) else { return };
        let is = kind == NEW_ROUTE;
        match (self.present[number], is) {
            (false, true) => self.count += 1,
            (true, false) => self.count -= 1,
            _ => {}
        }
        self.present[number] = is;
    }
}

fn destination(mut attributes: &[u8]) -> Option<u32> {
    loop {
        let length = usize::from(u16::from_ne_bytes(*attributes.first_chunk()?));
        let kind = u16::from_ne_bytes(*attributes.get(2..)?.first_chunk()?);
        if kind == 1 {
            return Some(u32::from_be_bytes(*attributes.get(4..)?.first_chunk()?));
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

/// Calls `each` with type and body of every message.
fn messages(mut octets: &[u8], mut each: impl FnMut(u16, &[u8]) -> Result<()>) -> Result<()> {
    while let Some(head) = octets.first_chunk::<16>() {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = octets.get(16..length).context("a netlink message cut short")?;
        each(u16::from_ne_bytes([head[4], head[5]]), body)?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// The floor: encoded messages, fifty in each write, the last of which asks for an answer.
pub(crate) struct PlainLoop {
    socket: Socket,
    batches: Vec<Vec<u8>>,
}

impl PlainLoop {
    /// Routes to the whole universe through a gateway.
    pub(crate) fn new(netns: &Netns, universe: &Universe, gateway: Ipv4Addr) -> Result<Self> {
        let socket = socket(netns, 0)?;
        let index = netns.run("ip -o link show v0")?;
        let index: u32 = index.split(':').next().unwrap_or_default().parse().context("index")?;
        let numbers: Vec<usize> = (0..universe.len()).collect();
        let batch = |numbers: &[usize]| {
            let mut out = Vec::new();
            for (at, number) in (1..).zip(numbers) {
                let address = universe.address(*number);
                let last = at == numbers.len();
                put(&mut out, (address, universe.length), (gateway, index), last);
            }
            out
        };
        Ok(Self { socket, batches: numbers.chunks(BATCH).map(batch).collect() })
    }

    /// Writes everything; returns when the kernel has done it.
    pub(crate) fn run(&mut self) -> Result<()> {
        let mut answer = vec![0; 64 << 10];
        for batch in &self.batches {
            send(&self.socket, batch, SendFlags::empty()).context("writing routes")?;
            let length = self.socket.read(&mut answer).context("reading the answer")?;
            messages(&answer[..length], |kind, body| {
                let Some(code) = body.first_chunk().filter(|_| kind == ERROR) else {
                    bail!("message {kind} is no answer");
                };
                let code = i32::from_ne_bytes(*code);
                ensure!(code == 0, "the kernel refused a route: error {code}");
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// RTM_NEWROUTE: main table, protocol 250, universe scope, unicast.
fn put(
    out: &mut Vec<u8>,
    (address, length): (Ipv4Addr, u8),
    (gateway, index): (Ipv4Addr, u32),
    answer: bool,
) {
    // NLM_F_REQUEST, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_ACK
    let flags: u16 = 0x001 | 0x400 | 0x100 | if answer { 0x004 } else { 0 };
    out.extend_from_slice(&52_u32.to_ne_bytes());
    out.extend_from_slice(&NEW_ROUTE.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&[2, length, 0, 0, 254, 250, 0, 1, 0, 0, 0, 0]);
    for (kind, value) in
        [(1_u16, address.octets()), (5, gateway.octets()), (4, index.to_ne_bytes())]
    {
        out.extend_from_slice(&8_u16.to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out.extend_from_slice(&value);
    }
}
