// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every row is made of: a device, its clients, and the waits between two measurements.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::client::Client;
use crate::device::{Device, Kind, Setup};
use crate::held::Held;
use crate::lab::{DEVICE_AS, Lab, client};
use crate::load::{Buffer, Universe};
use crate::message::Author;
use crate::swarm::Swarm;

/// Longest wait for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// FRR waits up to 10 s before its first advertisement; who says nothing for longer never will.
const SILENCE: Duration = Duration::from_secs(14);

/// Values of one measurement, by the key of their metric.
pub(crate) type Values = Vec<(&'static str, f64)>;

/// What rows need.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    /// The program around our own speaker.
    pub(crate) speaker: PathBuf,
    /// Our speaker was seen to pass on nothing.
    pub(crate) no_transit: bool,
}

/// A device with its sessions up.
pub(crate) struct Rig<'b> {
    bench: &'b Bench,
    pub(crate) device: Device,
    pub(crate) swarm: Swarm,
    pub(crate) setup: Setup,
    /// From the first SYN to the last session up.
    pub(crate) connected: Duration,
}

impl<'b> Rig<'b> {
    /// Starts a device and connects one client for each of `helds`.
    pub(crate) fn new(
        bench: &'b Bench,
        kind: Kind,
        reflector: bool,
        helds: Vec<Held>,
    ) -> Result<Self> {
        let setup = Setup { peers: helds.len(), reflector };
        let device = Device::start(&bench.lab, kind, setup, &bench.speaker)?;
        let clients = (0..)
            .zip(helds)
            .map(|(number, held)| Client::new(client(number), setup.asn(number), held))
            .collect();
        let mut swarm = Swarm::new(clients)?;
        let connected = swarm.establish(LIMIT)?;
        Ok(Self { bench, device, swarm, setup, connected })
    }

    /// External clients that all know the same universe.
    pub(crate) fn external(
        bench: &'b Bench,
        kind: Kind,
        clients: usize,
        universe: &Rc<Universe>,
    ) -> Result<Self> {
        let held = || Held::new(universe, Some(DEVICE_AS));
        Self::new(bench, kind, false, (0..clients).map(|_| held()).collect())
    }

    /// How client `number` signs its paths.
    pub(crate) fn author(&self, number: usize) -> Author {
        let (asn, address) = (self.setup.asn(number), client(number));
        Author { asn, address, internal: self.setup.reflector, variant: false }
    }

    /// Serves until the condition holds; returns the time from `start` to then.
    pub(crate) fn until(
        &mut self,
        start: Instant,
        done: impl Fn(&[Client]) -> bool,
    ) -> Result<Duration> {
        Ok(self.swarm.until(LIMIT, SILENCE, done)? - start)
    }

    /// Lets client `from` send and waits until client `to` holds that many routes.
    pub(crate) fn transfer(
        &mut self,
        (from, to): (usize, usize),
        buffer: &Buffer,
        count: usize,
    ) -> Result<Duration> {
        let start = Instant::now();
        self.swarm.send(from, buffer)?;
        self.until(start, |clients| clients[to].held.count() == count)
    }

    /// Takes the first-advertisement timers out of what follows: one prefix there and back.
    pub(crate) fn warm_up(&mut self, path: (usize, usize), universe: &Universe) -> Result<()> {
        self.transfer(path, &universe.advertise(self.author(path.0), 0..1), 1)?;
        self.transfer(path, &universe.withdraw(0..1), 0)?;
        self.settle()?;
        let client = &mut self.swarm.clients[path.1];
        (client.first, client.held.updates, client.held.prefixes) = (None, 0, 1);
        Ok(())
    }

    /// Waits until everything is sent and the device has nothing left to do.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let start = Instant::now();
        let mut before = self.device.cpu()?;
        let mut quiet = 0;
        while quiet < 3 && start.elapsed() < LIMIT {
            self.swarm.idle(Duration::from_millis(100))?;
            let now = self.device.cpu()?;
            let sending = self.swarm.clients.iter().any(Client::wants_to_write);
            let busy = sending || now - before > Duration::from_millis(3);
            quiet = if busy { 0 } else { quiet + 1 };
            before = now;
        }
        Ok(())
    }

    /// Ends the device, then the sessions.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { bench, device, swarm, .. } = self;
        drop(swarm);
        device.stop(&bench.lab).context("stopping the device")
    }
}

/// Milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Mebibytes.
pub(crate) fn mib(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}
