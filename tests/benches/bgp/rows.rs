// SPDX-License-Identifier: MIT OR Apache-2.0
//! The measurements with real sessions.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::bench::{Bench, LIMIT, Rig, Values, mib, ms};
use crate::client::State;
use crate::device::{Device, Kind, Setup};
use crate::held::Held;
use crate::lab::DEVICE_AS;
use crate::load::Universe;
use crate::message::Author;
use crate::proc;

/// One sender, one receiver: all in, all out, all withdrawn.
fn load(bench: &Bench, kind: Kind, universe: &Rc<Universe>) -> Result<Values> {
    let count = universe.len();
    let mut rig = Rig::external(bench, kind, 2, universe)?;
    let advertise = universe.advertise(rig.author(0), 0..count);
    let withdraw = universe.withdraw(0..count);
    rig.warm_up((0, 1), universe)?;
    let (before, generator) = (rig.device.cpu()?, proc::generator());
    let start = Instant::now();
    let time = rig.transfer((0, 1), &advertise, count)?;
    let generator = proc::generator() - generator;
    let first = rig.swarm.clients[1].first.context("no first prefix")? - start;
    rig.settle()?;
    let cpu = rig.device.cpu()? - before;
    let loaded = rig.device.memory()?;
    let withdrawn = rig.transfer((0, 1), &withdraw, 0)?;
    rig.settle()?;
    let after = rig.device.memory()?;
    rig.finish()?;
    Ok(vec![
        ("time", ms(time)),
        ("cpu", ms(cpu)),
        ("peak", mib(loaded.peak)),
        ("generator", ms(generator)),
        ("first", ms(first)),
        ("withdraw", ms(withdrawn)),
        ("after", mib(after.now)),
    ])
}

pub(crate) fn load_100k(bench: &Bench, kind: Kind) -> Result<Values> {
    load(bench, kind, &Universe::interleaved(100_000, 10_000))
}

pub(crate) fn load_32k(bench: &Bench, kind: Kind) -> Result<Values> {
    load(bench, kind, &Universe::nodes(32_000, 500))
}

pub(crate) fn load_1m(bench: &Bench, kind: Kind) -> Result<Values> {
    load(bench, kind, &Universe::interleaved(1_000_000, 10_000))
}

/// The cost of a prefix with ten prefixes in every attribute set, as the table grows.
pub(crate) fn scale(bench: &Bench, kind: Kind) -> Result<Values> {
    let mut values = Values::new();
    for (key, count) in [("10k", 10_000_u32), ("100k", 100_000), ("1m", 1_000_000)] {
        let loaded = load(bench, kind, &Universe::interleaved(count, count / 10))?;
        let time = loaded.iter().find(|(name, _)| *name == "time").map_or(0.0, |(_, time)| *time);
        values.push((key, time * 1e6 / f64::from(count)));
    }
    let all = values.iter().map(|(_, nanoseconds)| *nanoseconds);
    let (least, most) = (all.clone().fold(f64::MAX, f64::min), all.fold(0.0, f64::max));
    values.push(("growth", most / least));
    Ok(values)
}

/// A route reflector whose clients all send and all receive.
fn reflect(bench: &Bench, kind: Kind, clients: u32, each: usize) -> Result<Values> {
    let total = clients as usize * each;
    let count = u32::try_from(total).context("too many prefixes")?;
    let universe = Universe::nodes(count, clients);
    let own = |number: usize| number * each..(number + 1) * each;
    let helds = (0..clients as usize).map(|number| Held::new(&universe, None).without(own(number)));
    let mut rig = Rig::new(bench, kind, true, helds.collect())?;
    let advertise: Vec<_> = (0..clients as usize)
        .map(|number| universe.advertise(rig.author(number), own(number)))
        .collect();
    let (cold, cold_cpu) = everybody(&mut rig, &advertise, total - each)?;
    let withdraw: Vec<_> =
        (0..clients as usize).map(|number| universe.withdraw(own(number))).collect();
    everybody(&mut rig, &withdraw, 0)?;
    let generator = proc::generator();
    let (warm, warm_cpu) = everybody(&mut rig, &advertise, total - each)?;
    let generator = proc::generator() - generator;
    let memory = rig.device.memory()?;
    rig.finish()?;
    Ok(vec![
        ("cold", ms(cold)),
        ("warm", ms(warm)),
        ("cold cpu", ms(cold_cpu)),
        ("cpu", ms(warm_cpu)),
        ("generator", ms(generator)),
        ("peak", mib(memory.peak)),
    ])
}

/// Every client sends its buffer: time until every client holds `count` routes, and CPU until the
/// device has nothing left to do.
fn everybody(
    rig: &mut Rig<'_>,
    buffers: &[crate::load::Buffer],
    count: usize,
) -> Result<(Duration, Duration)> {
    let (start, before) = (Instant::now(), rig.device.cpu()?);
    for (number, buffer) in buffers.iter().enumerate() {
        rig.swarm.send(number, buffer)?;
    }
    let time = rig.until(start, |all| all.iter().all(|client| client.held.count() == count))?;
    rig.settle()?;
    Ok((time, rig.device.cpu()? - before))
}

pub(crate) fn reflect_50(bench: &Bench, kind: Kind) -> Result<Values> {
    reflect(bench, kind, 50, 1_000)
}

pub(crate) fn reflect_200(bench: &Bench, kind: Kind) -> Result<Values> {
    reflect(bench, kind, 200, 100)
}

/// 200 clients connect at once.
pub(crate) fn connect(bench: &Bench, kind: Kind) -> Result<Values> {
    let universe = Universe::nodes(200, 200);
    let before = Rig::external(bench, kind, 200, &universe)?;
    let values = vec![("time", ms(before.connected)), ("peak", mib(before.device.memory()?.peak))];
    before.finish()?;
    Ok(values)
}

/// Two senders of the same prefixes; the better one dies.
fn failover(bench: &Bench, kind: Kind, sets: u32) -> Result<Values> {
    let universe = Universe::interleaved(100_000, sets);
    let count = universe.len();
    let mut rig = Rig::external(bench, kind, 3, &universe)?;
    let second = Author { variant: true, ..rig.author(1) };
    let (first, second) =
        (universe.advertise(rig.author(0), 0..count), universe.advertise(second, 0..count));
    rig.transfer((0, 2), &first, count)?;
    rig.settle()?;
    rig.swarm.send(1, &second)?;
    rig.settle()?;
    let chosen = rig.swarm.clients[2].held.second();
    anyhow::ensure!(chosen == 0, "{chosen} prefixes took the longer path");
    rig.swarm.clients[2].held.updates = 0;
    let (start, before) = (Instant::now(), rig.device.cpu()?);
    rig.swarm.clients[0].die();
    let time = rig.until(start, |clients| clients[2].held.second() == count)?;
    rig.settle()?;
    let cpu = rig.device.cpu()? - before;
    let updates = rig.swarm.clients[2].held.updates;
    rig.finish()?;
    Ok(vec![("time", ms(time)), ("cpu", ms(cpu)), ("updates", updates as f64)])
}

pub(crate) fn failover_1k(bench: &Bench, kind: Kind) -> Result<Values> {
    failover(bench, kind, 1_000)
}

pub(crate) fn failover_10k(bench: &Bench, kind: Kind) -> Result<Values> {
    failover(bench, kind, 10_000)
}

/// A tenth of the prefixes goes and comes, with other attributes each time, every 100 ms.
pub(crate) fn flap(bench: &Bench, kind: Kind) -> Result<Values> {
    const ROUNDS: usize = 50;
    let universe = Universe::nodes(32_000, 500);
    let (count, flapping) = (universe.len(), universe.len() / 10);
    let mut rig = Rig::external(bench, kind, 2, &universe)?;
    let author = rig.author(0);
    let with = |variant| universe.advertise(Author { variant, ..author }, 0..flapping);
    let (advertise, withdraw) = ([with(false), with(true)], universe.withdraw(0..flapping));
    rig.transfer((0, 1), &universe.advertise(author, 0..count), count)?;
    rig.settle()?;
    let (before, begin) = (rig.device.cpu()?, Instant::now());
    for round in 0..ROUNDS {
        let next = begin + Duration::from_millis(100) * u32::try_from(round)?;
        rig.swarm.idle(next.saturating_duration_since(Instant::now()))?;
        // A device that does not keep up is not pushed further.
        rig.swarm.until(LIMIT, LIMIT, |all| !all[0].wants_to_write())?;
        let buffer = if round % 2 == 0 { &withdraw } else { &advertise[round / 2 % 2] };
        rig.swarm.send(0, buffer)?;
    }
    let last = usize::from((ROUNDS - 1) / 2 % 2 == 1) * flapping;
    let start = Instant::now();
    let settled = rig.until(start, |clients| {
        clients[1].held.count() == count && clients[1].held.second() == last
    })?;
    rig.settle()?;
    let cpu = rig.device.cpu()? - before;
    rig.finish()?;
    Ok(vec![("cpu", ms(cpu)), ("settle", ms(settled))])
}

/// One prefix into quiet sessions; the median of 20.
pub(crate) fn first(bench: &Bench, kind: Kind) -> Result<Values> {
    let universe = Universe::interleaved(21, 21);
    let mut rig = Rig::external(bench, kind, 2, &universe)?;
    rig.warm_up((0, 1), &universe)?;
    let mut times = Vec::new();
    for prefix in 0..20 {
        let buffer = universe.advertise(rig.author(0), prefix..prefix + 1);
        rig.settle()?;
        times.push(ms(rig.transfer((0, 1), &buffer, prefix + 1)?));
    }
    rig.finish()?;
    Ok(vec![("time", percentile(&mut times, 0.5))])
}

/// Memory of a device with nothing to do, and how soon it listens.
pub(crate) fn idle(bench: &Bench, kind: Kind) -> Result<Values> {
    let universe = Universe::nodes(1, 1);
    let mut rig = Rig::external(bench, kind, 2, &universe)?;
    rig.settle()?;
    let (two, listening) = (rig.device.memory()?.now, rig.device.listening);
    rig.finish()?;
    let setup = Setup { peers: 200, reflector: false };
    let device = Device::start(&bench.lab, kind, setup, &bench.speaker)?;
    // Long enough to be through with its configuration.
    std::thread::sleep(Duration::from_millis(300));
    let many = device.memory()?.now;
    device.stop(&bench.lab)?;
    Ok(vec![("two", mib(two)), ("many", mib(many)), ("listen", ms(listening))])
}

/// A prefix is originated by command; until its UPDATE is with the peer.
pub(crate) fn originate(bench: &Bench, kind: Kind) -> Result<Values> {
    const TRIES: usize = 200;
    let universe = Universe::nodes(256, 256);
    let held = Held::new(&universe, Some(DEVICE_AS)).originated();
    let mut rig = Rig::new(bench, kind, false, vec![held])?;
    let mut control = UnixStream::connect(rig.device.control()).context("the control socket")?;
    let mut times = Vec::new();
    for prefix in 0..TRIES {
        let command = format!("originate {}/26\n", universe.address(prefix));
        rig.swarm.idle(Duration::from_millis(5))?;
        let start = Instant::now();
        control.write_all(command.as_bytes())?;
        times.push(ms(rig.until(start, |clients| clients[0].held.has(prefix))?));
    }
    anyhow::ensure!(rig.swarm.clients[0].state == State::Established, "the session ended");
    rig.finish()?;
    Ok(vec![("p50", percentile(&mut times, 0.5)), ("p99", percentile(&mut times, 0.99))])
}

/// The smallest value that this share of the values does not exceed.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let wanted = |number: usize| number as f64 >= share * values.len() as f64;
    let number = (1..=values.len()).find(|number| wanted(*number)).unwrap_or(1);
    values.get(number - 1).copied().unwrap_or(f64::NAN)
}
