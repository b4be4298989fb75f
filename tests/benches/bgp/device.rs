// SPDX-License-Identifier: MIT OR Apache-2.0
//! The devices under test: how each is told what to do, started, and measured from outside.

use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fabric_tests::{Process, command, run};

use crate::lab::{DEVICE, DEVICE_AS, Lab, client};
use crate::proc;

/// OpenBGPD's processes change their root to the home of their user, which systemd makes for a
/// service and nobody makes for us.
const OPENBGPD_HOME: &str = "/run/openbgpd";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Routed,
    Bird,
    Frr,
    Openbgpd,
    Gobgp,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Routed, Self::Bird, Self::Frr, Self::Openbgpd, Self::Gobgp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Routed => "routed",
            Self::Bird => "bird",
            Self::Frr => "frr",
            Self::Openbgpd => "openbgpd",
            Self::Gobgp => "gobgp",
        }
    }

    /// Its program, if it is somebody else's. Two of them are called bgpd.
    pub(crate) fn program(self) -> Option<&'static str> {
        match self {
            Self::Routed => None,
            Self::Bird => Some("/usr/sbin/bird"),
            Self::Frr => Some("/usr/lib/frr/bgpd"),
            Self::Openbgpd => Some("/usr/sbin/bgpd"),
            Self::Gobgp => Some("/usr/bin/gobgpd"),
        }
    }

    /// The first line of what it says about its version.
    pub(crate) fn version(self) -> String {
        let Some(program) = self.program() else { return env!("CARGO_PKG_VERSION").to_owned() };
        let mut asked = command(program);
        asked.arg(if self == Self::Openbgpd { "-V" } else { "--version" });
        let Ok(output) = fabric_tests::output(&mut asked) else {
            return "not installed".to_owned();
        };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        text.lines().next().unwrap_or("unknown").trim().to_owned()
    }
}

/// What a device shall do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    /// Neighbours, all of them passive for the device.
    pub(crate) peers: usize,
    /// All neighbours are internal and clients of a route reflector; else all are external.
    pub(crate) reflector: bool,
}

impl Setup {
    pub(crate) fn asn(self, number: usize) -> u32 {
        if self.reflector { DEVICE_AS } else { 65_101 + u32::try_from(number).unwrap_or(0) }
    }

    fn neighbours(self) -> impl Iterator<Item = (usize, Ipv4Addr, u32)> {
        (0..self.peers).map(move |number| (number, client(number), self.asn(number)))
    }
}

/// A running device.
pub(crate) struct Device {
    process: Process,
    dir: PathBuf,
    /// From the start of the process to a listening socket.
    pub(crate) listening: Duration,
}

impl Device {
    /// Starts a device and waits until it listens.
    pub(crate) fn start(lab: &Lab, kind: Kind, setup: Setup, speaker: &Path) -> Result<Self> {
        let dir = lab.device.dir().join(kind.name());
        // Left over from the run before.
        let _absent = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).context("creating the directory of a device")?;
        let config = dir.join("config");
        fs::write(&config, config_text(kind, setup, &dir)).context("writing a configuration")?;
        let mut command = command_line(lab, kind, &dir, speaker);
        match kind {
            Kind::Frr => {
                drop(run(fabric_tests::command("chown").args(["-R", "frr:frr"]).arg(&dir))?)
            }
            Kind::Openbgpd => {
                run(fabric_tests::command("chmod").arg("0600").arg(&config))?;
                fs::create_dir_all(OPENBGPD_HOME).context("the root of OpenBGPD's processes")?;
            }
            Kind::Routed | Kind::Bird | Kind::Gobgp => {}
        }
        let start = Instant::now();
        let mut process = Process::spawn(kind.name(), &mut command, &dir.join("log"))?;
        while !lab.listens() {
            ensure!(process.is_running(), "{} ended: {}", kind.name(), process.log_tail());
            ensure!(start.elapsed() < Duration::from_secs(20), "{} never listened", kind.name());
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Self { process, dir, listening: start.elapsed() })
    }

    /// CPU time of all its processes until now.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        proc::cpu(self.process.pid())
    }

    /// Resident memory of all its processes: now, and the most there ever was; octets.
    pub(crate) fn memory(&self) -> Result<proc::Memory> {
        proc::memory(self.process.pid())
    }

    /// The socket on which our own speaker takes commands.
    pub(crate) fn control(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// Ends it and waits until its port is free.
    pub(crate) fn stop(mut self, lab: &Lab) -> Result<()> {
        // A peer that does not end in time has been killed.
        let _slow = self.process.stop(Duration::from_secs(5));
        let start = Instant::now();
        while lab.listens() {
            ensure!(start.elapsed() < Duration::from_secs(10), "the port is never free again");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

fn command_line(lab: &Lab, kind: Kind, dir: &Path, speaker: &Path) -> Command {
    let config = dir.join("config");
    let mut command = lab.device.command(kind.program().map_or(speaker, Path::new));
    match kind {
        Kind::Routed => command.arg(config),
        Kind::Bird => {
            command.arg("-f").arg("-c").arg(config);
            command.arg("-s").arg(dir.join("ctl")).arg("-P").arg(dir.join("pid"))
        }
        Kind::Frr => {
            command.arg("-f").arg(config).args(["-p", "179", "-n", "-Z", "-l", "10.99.0.1"]);
            command.arg("-i").arg(dir.join("pid")).arg("--vty_socket").arg(dir)
        }
        Kind::Openbgpd => command.arg("-d").arg("-f").arg(config),
        Kind::Gobgp => {
            command.arg("-f").arg(config).args(["--pprof-disable", "-l", "warn"]);
            command.args(["--api-hosts", "127.0.0.1:50051"])
        }
    };
    command
}

fn config_text(kind: Kind, setup: Setup, dir: &Path) -> String {
    match kind {
        Kind::Routed => routed(setup, dir),
        Kind::Bird => bird(setup),
        Kind::Frr => frr(setup),
        Kind::Openbgpd => openbgpd(setup, dir),
        Kind::Gobgp => gobgp(setup),
    }
}

fn routed(setup: Setup, dir: &Path) -> String {
    let mut text = format!(
        "asn {DEVICE_AS}\nrouter-id {DEVICE}\nlisten {DEVICE}:179\ntransit\ncontrol {}\n",
        dir.join("control").display()
    );
    for (number, address, asn) in setup.neighbours() {
        let client = if setup.reflector { " rr-client" } else { "" };
        let _infallible = writeln!(text, "peer p{number} {address} {asn} passive hold 90{client}");
    }
    text
}

fn bird(setup: Setup) -> String {
    let client = if setup.reflector { "rr client;" } else { "" };
    let mut text = format!(
        "log stderr {{ warning, error, fatal }};\nrouter id {DEVICE};\nprotocol device {{}}\n\
         protocol direct {{ ipv4; interface \"v0\"; }}\n\
         template bgp T {{ local {DEVICE} as {DEVICE_AS}; passive on; hold time 90; {client}\n \
         ipv4 {{ import all; export where source = RTS_BGP; }}; }}\n"
    );
    for (number, address, asn) in setup.neighbours() {
        let line = format!("protocol bgp p{number} from T {{ neighbor {address} as {asn}; }}\n");
        text.push_str(&line);
    }
    text
}

fn frr(setup: Setup) -> String {
    let mut text = format!(
        "frr defaults datacenter\nrouter bgp {DEVICE_AS}\n bgp router-id {DEVICE}\n \
         no bgp ebgp-requires-policy\n no bgp network import-check\n \
         no bgp default ipv4-unicast\n"
    );
    for (_, address, asn) in setup.neighbours() {
        let _infallible = writeln!(
            text,
            " neighbor {address} remote-as {asn}\n neighbor {address} passive\n \
             neighbor {address} timers 30 90"
        );
    }
    text.push_str(" address-family ipv4 unicast\n");
    for (_, address, _) in setup.neighbours() {
        let _infallible = writeln!(text, "  neighbor {address} activate");
        if setup.reflector {
            let _infallible = writeln!(text, "  neighbor {address} route-reflector-client");
        }
    }
    text
}

fn openbgpd(setup: Setup, dir: &Path) -> String {
    let client = if setup.reflector { "  route-reflector\n" } else { "" };
    let mut text = format!(
        "AS {DEVICE_AS}\nrouter-id {DEVICE}\nlisten on {DEVICE}\nsocket \"{}\"\nfib-update no\n\
         group \"g\" {{\n  passive\n  holdtime 90\n{client}",
        dir.join("bgpd.sock").display()
    );
    for (_, address, asn) in setup.neighbours() {
        let _infallible = writeln!(text, "  neighbor {address} {{ remote-as {asn} }}");
    }
    text.push_str("}\nallow from any\nallow to any\n");
    text
}

fn gobgp(setup: Setup) -> String {
    let mut text = format!(
        "[global.config]\nas = {DEVICE_AS}\nrouter-id = \"{DEVICE}\"\nport = 179\n\
         local-address-list = [\"{DEVICE}\"]\n"
    );
    for (_, address, asn) in setup.neighbours() {
        let _infallible = writeln!(
            text,
            "[[neighbors]]\n[neighbors.config]\nneighbor-address = \"{address}\"\npeer-as = {asn}\n\
             [neighbors.transport.config]\npassive-mode = true\nlocal-address = \"{DEVICE}\"\n\
             [[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\n\
             afi-safi-name = \"ipv4-unicast\""
        );
        if setup.reflector {
            let _infallible = writeln!(
                text,
                "[neighbors.route-reflector.config]\nroute-reflector-client = true\n\
                 route-reflector-cluster-id = \"{DEVICE}\""
            );
        }
    }
    text
}
