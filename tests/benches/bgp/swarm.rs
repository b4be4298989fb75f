// SPDX-License-Identifier: MIT OR Apache-2.0
//! All sessions of the generator on one thread, behind one epoll.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use socket2::Socket;

use crate::client::{Client, State};

const SCRATCH: usize = 1 << 20;
const EVENTS: usize = 64;
/// Longest sleep; what is due by the clock is late by no more than this.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Nothing came within the time in which something must.
#[derive(Debug)]
pub(crate) struct Silent;

impl std::fmt::Display for Silent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nothing arrived")
    }
}

impl std::error::Error for Silent {}

/// The sessions, and what they wait with.
pub(crate) struct Swarm {
    epoll: OwnedFd,
    pub(crate) clients: Vec<Client>,
    scratch: Vec<u8>,
    ticked: Instant,
}

impl Swarm {
    pub(crate) fn new(clients: Vec<Client>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("creating an epoll")?;
        Ok(Self { epoll, clients, scratch: vec![0; SCRATCH], ticked: Instant::now() })
    }

    /// Wakes up when something else is readable, too.
    pub(crate) fn watch(&self, other: &Socket) -> Result<()> {
        Ok(epoll::add(&self.epoll, other, EventData::new_u64(u64::MAX), EventFlags::IN)?)
    }

    /// Connects every client; returns how long it took until the last session was up.
    pub(crate) fn establish(&mut self, limit: Duration) -> Result<Duration> {
        let start = Instant::now();
        for number in 0..self.clients.len() {
            self.connect(number)?;
        }
        let up = |clients: &[Client]| clients.iter().all(|c| c.state == State::Established);
        let end = self.until(limit, limit, up).context("connecting")?;
        Ok(end - start)
    }

    fn connect(&mut self, number: usize) -> Result<()> {
        let client = &mut self.clients[number];
        client.connect()?;
        let Some(socket) = &client.socket else { return Ok(()) };
        let flags = EventFlags::IN | EventFlags::OUT;
        epoll::add(&self.epoll, socket, EventData::new_u64(number as u64), flags)?;
        Ok(())
    }

    /// Queues octets; they leave as fast as the device takes them.
    pub(crate) fn send(&mut self, number: usize, buffer: &crate::load::Buffer) -> Result<()> {
        self.clients[number].send(buffer)?;
        self.arm(number)
    }

    /// Waits for what is readable, and writable where something is left to write.
    fn arm(&mut self, number: usize) -> Result<()> {
        let client = &self.clients[number];
        let Some(socket) = &client.socket else { return Ok(()) };
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, client.wants_to_write());
        epoll::modify(&self.epoll, socket, EventData::new_u64(number as u64), flags)?;
        Ok(())
    }

    /// Serves the sessions until the condition holds; returns when that was.
    ///
    /// # Errors
    /// If it does not hold within `limit`; [`Silent`] if no client has ever received a prefix
    /// within `silence`.
    pub(crate) fn until(
        &mut self,
        limit: Duration,
        silence: Duration,
        done: impl Fn(&[Client]) -> bool,
    ) -> Result<Instant> {
        let start = Instant::now();
        loop {
            let now = Instant::now();
            if done(&self.clients) {
                return Ok(now);
            }
            let waited = now - start;
            if waited > silence && self.clients.iter().all(|client| client.held.prefixes == 0) {
                return Err(Silent.into());
            }
            if waited > limit {
                bail!("not within {limit:?}: {}", self.summary());
            }
            self.step()?;
        }
    }

    /// Serves the sessions for as long as nothing but time shall pass.
    pub(crate) fn idle(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let nanoseconds = left.min(Duration::from_millis(20)).subsec_nanos();
            self.serve(&Timespec { tv_sec: 0, tv_nsec: nanoseconds.into() })?;
        }
        Ok(())
    }

    /// Waits for something to be ready, and serves it.
    pub(crate) fn step(&mut self) -> Result<()> {
        self.serve(&TICK)
    }

    fn serve(&mut self, patience: &Timespec) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("waiting for the sessions"),
        }
        for event in events {
            let number = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
            let Some(client) = self.clients.get_mut(number) else { continue };
            let writes = client.wants_to_write();
            let flags = event.flags;
            client.ready(flags.contains(EventFlags::OUT), &mut self.scratch)?;
            if client.wants_to_write() != writes {
                self.arm(number)?;
            }
        }
        let now = Instant::now();
        if now - self.ticked > Duration::from_millis(20) {
            self.ticked = now;
            for number in 0..self.clients.len() {
                if self.clients[number].tick(now)? {
                    self.connect(number)?;
                }
            }
        }
        Ok(())
    }

    fn summary(&self) -> String {
        let held: Vec<usize> = self.clients.iter().map(|client| client.held.count()).collect();
        let up = self.clients.iter().filter(|client| client.state == State::Established).count();
        let (least, most) = (held.iter().min(), held.iter().max());
        format!("{up} of {} sessions up, {least:?} to {most:?} routes held", held.len())
    }
}
