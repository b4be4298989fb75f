// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the session into the kernel: the whole daemon, and the plainest loop beside it.
//!
//! Each measurement has a network of its own, which takes its routes along when it goes. Routes
//! count when the kernel notifies of them.

use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fabric_tests::node::{NodeConfig, PeerConfig};
use fabric_tests::peer::routed::Routed;
use fabric_tests::{Process, command, run};

use crate::bench::{Bench, LIMIT, Values, mib, ms};
use crate::client::{Client, State};
use crate::device::Kind;
use crate::held::Held;
use crate::lab::{DEVICE_AS, Lab, client};
use crate::load::Universe;
use crate::message::Author;
use crate::netlink::{Monitor, PlainLoop};
use crate::proc;
use crate::swarm::Swarm;

const PREFIXES: u32 = 100_000;
const PEER_AS: u32 = 65_101;

/// 100k prefixes of one peer into the kernel, then out of it.
pub(crate) fn kernel(bench: &Bench, kind: Kind) -> Result<Values> {
    let universe = Universe::interleaved(PREFIXES, 10_000);
    let values = daemon(kind, &universe);
    let floor = floor(&universe);
    bench.lab.reenter()?;
    let (mut values, floor) = (values?, floor?);
    let time = values.iter().find(|(key, _)| *key == "time").map_or(f64::NAN, |(_, time)| *time);
    values.push(("floor", ms(floor)));
    values.push(("by floor", time / ms(floor)));
    Ok(values)
}

/// The plain loop in a network of its own, listened to in the same way.
fn floor(universe: &Rc<Universe>) -> Result<Duration> {
    let lab = quiet_lab()?;
    let mut monitor = Monitor::new(&lab.device, universe)?;
    let mut plain = PlainLoop::new(&lab.device, universe, client(0))?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || plain.run());
        while monitor.count < universe.len() && start.elapsed() < LIMIT {
            monitor.drain()?;
            std::thread::sleep(Duration::from_micros(200));
            if writer.is_finished() && monitor.count < universe.len() {
                monitor.drain()?;
                break;
            }
        }
        let time = start.elapsed();
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        ensure!(monitor.count == universe.len(), "{} routes in the kernel", monitor.count);
        Ok(time)
    })
}

/// A network, once the kernel is through with tearing down the one before.
fn quiet_lab() -> Result<Lab> {
    std::thread::sleep(Duration::from_secs(1));
    Lab::enter()
}

fn daemon(kind: Kind, universe: &Rc<Universe>) -> Result<Values> {
    let (lab, count) = (quiet_lab()?, universe.len());
    let daemons = Daemons::start(kind, &lab)?;
    let author = Author { asn: PEER_AS, address: client(0), internal: false, variant: false };
    let advertise = universe.advertise(author, 0..count);
    let withdraw = universe.withdraw(0..count);
    let held = Held::new(universe, Some(DEVICE_AS)).blind();
    let mut swarm = Swarm::new(vec![Client::new(client(0), PEER_AS, held)])?;
    swarm.establish(LIMIT)?;
    let mut monitor = Monitor::new(&lab.device, universe)?;
    swarm.watch(&monitor.socket)?;
    swarm.idle(Duration::from_secs(1))?;
    let before = daemons.cpu()?;
    let time = pass(&mut swarm, &mut monitor, &advertise, count)?;
    swarm.idle(Duration::from_millis(500))?;
    let (cpu, memory) = (daemons.cpu()? - before, daemons.peak()?);
    let withdrawn = pass(&mut swarm, &mut monitor, &withdraw, 0)?;
    ensure!(swarm.clients[0].state == State::Established, "the session ended");
    Ok(vec![
        ("time", ms(time)),
        ("cpu", ms(cpu)),
        ("peak", mib(memory)),
        ("withdraw", ms(withdrawn)),
    ])
}

/// Sends, and waits until the kernel has that many of the routes.
fn pass(
    swarm: &mut Swarm,
    monitor: &mut Monitor,
    buffer: &crate::load::Buffer,
    count: usize,
) -> Result<Duration> {
    let start = Instant::now();
    swarm.send(0, buffer)?;
    while monitor.count != count {
        swarm.step()?;
        monitor.drain()?;
        ensure!(start.elapsed() < LIMIT, "{} routes in the kernel", monitor.count);
    }
    Ok(start.elapsed())
}

/// What runs for one device.
enum Daemons {
    Routed(Routed),
    Others(Vec<Process>),
}

impl Daemons {
    fn start(kind: Kind, lab: &Lab) -> Result<Self> {
        let dir = lab.device.dir().join(kind.name());
        fs::create_dir_all(&dir).context("creating the directory of a device")?;
        let daemons = match kind {
            Kind::Bird => Self::Others(vec![bird(lab, &dir)?]),
            Kind::Frr => Self::Others(frr(lab, &dir)?),
            Kind::Routed => Self::Routed(routed(lab)?),
            Kind::Openbgpd | Kind::Gobgp => {
                anyhow::bail!("{} writes no routes here", kind.name())
            }
        };
        let start = Instant::now();
        while !lab.listens() {
            ensure!(start.elapsed() < Duration::from_secs(20), "{} never listened", kind.name());
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(daemons)
    }

    fn pids(&self) -> Vec<u32> {
        match self {
            Self::Routed(routed) => routed.pid().into_iter().collect(),
            Self::Others(processes) => processes.iter().map(Process::pid).collect(),
        }
    }

    fn cpu(&self) -> Result<Duration> {
        self.pids().into_iter().map(proc::cpu).sum()
    }

    fn peak(&self) -> Result<u64> {
        self.pids().into_iter().map(|pid| Ok(proc::memory(pid)?.peak)).sum()
    }
}

fn routed(lab: &Lab) -> Result<Routed> {
    let mut routed = Routed::new(&lab.device)?;
    let mut config = NodeConfig::new("bench", DEVICE_AS);
    config.router_id = "10.99.0.1".to_owned();
    config.uplinks = vec!["v0".to_owned()];
    config.peers = vec![PeerConfig {
        name: "p0".to_owned(),
        address: client(0).to_string(),
        asn: PEER_AS,
        passive: true,
        families: vec!["ipv4"],
        bfd: None,
    }];
    config.write(&routed)?;
    routed.start()?;
    Ok(routed)
}

fn bird(lab: &Lab, dir: &Path) -> Result<Process> {
    let config = dir.join("config");
    let text = format!(
        "log stderr {{ warning, error, fatal }};\nrouter id 10.99.0.1;\nprotocol device {{}}\n\
         protocol direct {{ ipv4; interface \"v0\"; }}\n\
         protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}\n\
         protocol bgp p0 {{ local 10.99.0.1 as {DEVICE_AS}; neighbor {} as {PEER_AS}; passive on;\n \
         hold time 90; ipv4 {{ import all; export where source = RTS_BGP; }}; }}\n",
        client(0)
    );
    fs::write(&config, text).context("writing a configuration")?;
    let mut command = lab.device.command("/usr/sbin/bird");
    command.arg("-f").arg("-c").arg(config);
    command.arg("-s").arg(dir.join("ctl")).arg("-P").arg(dir.join("pid"));
    Process::spawn("bird", &mut command, &dir.join("log"))
}

fn frr(lab: &Lab, dir: &Path) -> Result<Vec<Process>> {
    let peer = client(0);
    let text = format!(
        "frr defaults datacenter\nrouter bgp {DEVICE_AS}\n bgp router-id 10.99.0.1\n \
         no bgp ebgp-requires-policy\n no bgp default ipv4-unicast\n \
         neighbor {peer} remote-as {PEER_AS}\n neighbor {peer} passive\n \
         neighbor {peer} timers 30 90\n address-family ipv4 unicast\n  neighbor {peer} activate\n"
    );
    fs::write(dir.join("bgpd.conf"), text).context("writing bgpd.conf")?;
    fs::write(dir.join("zebra.conf"), "hostname zebra\n").context("writing zebra.conf")?;
    run(command("chown").args(["-R", "frr:frr"]).arg(dir))?;
    let api = dir.join("zserv.api");
    let spawn = |daemon: &str| {
        let mut command = lab.device.command(format!("/usr/lib/frr/{daemon}"));
        command.arg("-f").arg(dir.join(format!("{daemon}.conf")));
        command.arg("-i").arg(dir.join(format!("{daemon}.pid")));
        command.arg("-z").arg(&api).arg("--vty_socket").arg(dir);
        Process::spawn(daemon, &mut command, &dir.join(format!("{daemon}.log")))
    };
    let zebra = spawn("zebra")?;
    let start = Instant::now();
    while !api.exists() {
        ensure!(start.elapsed() < Duration::from_secs(10), "zebra: {}", zebra.log_tail());
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(vec![spawn("bgpd")?, zebra])
}
