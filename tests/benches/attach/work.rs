// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is measured. The two sides of a row take turns within one run, and each round the other one
//! begins, so that whatever else the machine does hits both alike.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::crowd::{Container, Crowd};
use crate::node::{Families, Node};
use crate::plugin::Verb;
use crate::table::{Figure, Row, Target, Unit};
use crate::usage;

/// Rounds of a plain ADD and DEL.
const ROUNDS: usize = 61;
/// Rounds of ptp with two families, which takes seconds.
const SLOW_ROUNDS: usize = 9;
/// Rounds with many workloads, and of many ADDs at once.
const HEAVY_ROUNDS: usize = 21;
/// ADDs at once.
const PARALLEL: usize = 8;
/// Workloads of a full node.
const MANY: usize = 1000;

/// Times of one side.
#[derive(Default)]
struct Times {
    add: Vec<Duration>,
    del: Vec<Duration>,
    /// CPU of the plugins and what they started.
    cpu: Duration,
}

impl Times {
    fn added(&self) -> Figure {
        Figure::times(&self.add)
    }

    fn deleted(&self) -> Figure {
        Figure::times(&self.del)
    }

    /// CPU of one ADD and its DEL, with what a daemon used.
    fn cpu(&self, daemon: Duration) -> Figure {
        let total = (self.cpu + daemon).as_secs_f64() * 1e3;
        Figure::new(Unit::Milliseconds, [total / self.add.len() as f64])
    }
}

/// Indices of the sides in the order of this round.
fn turns(round: usize, sides: usize) -> impl Iterator<Item = usize> {
    (0..sides).map(move |side| (side + round) % sides)
}

/// ADD and DEL of a container at a time on each node in turn.
fn singles<const N: usize>(nodes: [&Node; N], rounds: usize) -> Result<[Times; N]> {
    let crowd = Crowd::new(rounds * N)?;
    let mut times: [Times; N] = std::array::from_fn(|_| Times::default());
    let links: Vec<usize> = nodes.iter().map(|node| node.links()).collect::<Result<_>>()?;
    for (round, containers) in crowd.members().chunks(N).enumerate() {
        for verb in [Verb::Add, Verb::Del] {
            for side in turns(round, N) {
                let cpu = usage::children()?;
                let elapsed = nodes[side].plugin.run(verb, &containers[side])?;
                times[side].cpu += usage::children()? - cpu;
                match verb {
                    Verb::Add => times[side].add.push(elapsed),
                    _ => times[side].del.push(elapsed),
                }
                if verb == Verb::Del {
                    nodes[side].settle(links[side])?;
                }
            }
        }
    }
    Ok(times)
}

/// The plugin as a file and its shortest execution.
pub(crate) fn binary(ours: &Node, ptp: &Node) -> Result<Vec<Row>> {
    let size = |node: &Node| -> Result<Figure> {
        let bytes = std::fs::metadata(node.plugin.program()).context("the plugin")?.len();
        Ok(Figure::new(Unit::KiB, [bytes as f64 / 1024.0]))
    };
    let crowd = Crowd::new(1)?;
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..2 * ROUNDS {
        for side in turns(round, 2) {
            let plugin = &[ours, ptp][side].plugin;
            times[side].push(plugin.run(Verb::Version, &crowd.members()[0])?);
        }
    }
    Ok(vec![
        Row {
            work: "plugin binary, size",
            ours: size(ours)?,
            beside: "ptp (host-local excluded)",
            theirs: size(ptp)?,
            target: Target::None,
        },
        Row {
            work: "plugin binary, size",
            ours: size(ours)?,
            beside: "the limit",
            theirs: Figure::new(Unit::KiB, [1.2 * 1024.0]),
            target: Target::AtMost(1.0),
        },
        Row {
            work: "VERSION, exec to exit",
            ours: Figure::times(&times[0]),
            beside: "ptp",
            theirs: Figure::times(&times[1]),
            target: Target::AtMost(1.0 / 3.0),
        },
    ])
}

/// ADD and DEL on empty nodes, one family.
pub(crate) fn plain(ours: &Node, ptp: &Node) -> Result<Vec<Row>> {
    let pid = ours.daemon_pid().context("our node has no daemon")?;
    let before = usage::process(pid)?;
    let [us, them] = singles([ours, ptp], ROUNDS)?;
    let daemon = usage::process(pid)? - before;
    let beside = "ptp + host-local";
    Ok(vec![
        Row {
            work: "ADD v4, no other workloads",
            ours: us.added(),
            beside,
            theirs: them.added(),
            target: Target::AtMost(1.0 / 6.0),
        },
        Row {
            work: "DEL v4, no other workloads",
            ours: us.deleted(),
            beside,
            theirs: them.deleted(),
            target: Target::AtMost(0.1),
        },
        Row {
            work: "CPU of one ADD and its DEL, plugins only",
            ours: us.cpu(Duration::ZERO),
            beside,
            theirs: them.cpu(Duration::ZERO),
            target: Target::None,
        },
        Row {
            work: "CPU of one ADD and its DEL, daemon included",
            ours: us.cpu(daemon),
            beside,
            theirs: them.cpu(Duration::ZERO),
            target: Target::None,
        },
    ])
}

/// ADD with both families: beside ptp with both, and beside our own with one.
pub(crate) fn dual(single: &Node, ours: &Node) -> Result<Vec<Row>> {
    let ptp = Node::ptp("ptp46", Families::Dual)?;
    let [us, them] = singles([ours, &ptp], SLOW_ROUNDS)?;
    let [dual, own] = singles([ours, single], ROUNDS)?;
    let work = "ADD dual stack";
    Ok(vec![
        Row {
            work,
            ours: us.added(),
            beside: "ptp + host-local, dual stack",
            theirs: them.added(),
            target: Target::None,
        },
        Row {
            work,
            ours: dual.added(),
            beside: "routed, v4",
            theirs: own.added(),
            target: Target::AtMost(1.2),
        },
        Row {
            work: "DEL dual stack",
            ours: dual.deleted(),
            beside: "routed, v4",
            theirs: own.deleted(),
            target: Target::None,
        },
    ])
}

/// Many at once: how many a second.
pub(crate) fn parallel(ours: &Node, ptp: &Node) -> Result<Vec<Row>> {
    let mut rates = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    let nodes = [ours, ptp];
    let crowd = Crowd::new(HEAVY_ROUNDS * PARALLEL * nodes.len())?;
    let rounds: Vec<&[Container]> = crowd.members().chunks(PARALLEL * nodes.len()).collect();
    for (round, containers) in rounds.into_iter().enumerate() {
        let groups: Vec<&[Container]> = containers.chunks(PARALLEL).collect();
        for (index, verb) in [Verb::Add, Verb::Del].into_iter().enumerate() {
            for side in turns(round, nodes.len()) {
                let elapsed = nodes[side].plugin.run_all(verb, groups[side])?;
                rates[index][side].push(PARALLEL as f64 / elapsed.as_secs_f64());
                if verb == Verb::Del {
                    nodes[side].settle(0)?;
                }
            }
        }
    }
    let [[add, add_ptp], [del, del_ptp]] =
        rates.map(|sides| sides.map(|rate| Figure::new(Unit::PerSecond, rate)));
    let beside = "ptp + host-local";
    Ok(vec![
        Row {
            work: "8 ADDs v4 in parallel",
            ours: add,
            beside,
            theirs: add_ptp,
            target: Target::AtLeast(6.0),
        },
        Row {
            work: "8 DELs v4 in parallel",
            ours: del,
            beside,
            theirs: del_ptp,
            target: Target::None,
        },
    ])
}

/// A full node: ADD and DEL beside a thousand workloads, and their end.
pub(crate) fn full(empty: &Node) -> Result<Vec<Row>> {
    let ours = Node::routed("full", Families::V4)?;
    let ptp = Node::ptp("fullptp", Families::V4)?;
    let nodes = [&ours, &ptp];
    let crowds = [Crowd::new(MANY)?, Crowd::new(MANY)?];
    for (node, crowd) in nodes.iter().zip(&crowds) {
        node.plugin.run_streams(Verb::Add, crowd.members(), PARALLEL)?;
        let links = node.links()?;
        ensure!(links == MANY, "{links} links");
    }
    let [us, own, them] = singles([&ours, empty, &ptp], HEAVY_ROUNDS)?;
    let mut gone = Vec::new();
    for (node, crowd) in nodes.iter().zip(&crowds) {
        let begun = Instant::now();
        node.plugin.run_streams(Verb::Del, crowd.members(), PARALLEL)?;
        node.settle(0)?;
        gone.push(Figure::new(Unit::Seconds, [begun.elapsed().as_secs_f64()]));
    }
    let [gone, gone_ptp] = [gone[0].clone(), gone[1].clone()];
    let beside = "ptp + host-local";
    let row = |work, ours, beside, theirs, target| Row { work, ours, beside, theirs, target };
    let (add, del) = ("ADD v4 beside 1,000 workloads", "DEL v4 beside 1,000 workloads");
    let end = "1,000 workloads deleted, 8 at a time, until the last link is gone";
    let limit = Figure::new(Unit::Seconds, [3.0]);
    Ok(vec![
        row(add, us.added(), "routed, no other workloads", own.added(), Target::AtMost(2.0)),
        row(add, us.added(), beside, them.added(), Target::None),
        row(del, us.deleted(), beside, them.deleted(), Target::AtMost(0.1)),
        row(end, gone.clone(), beside, gone_ptp, Target::None),
        row(end, gone, "the limit", limit, Target::AtMost(1.0)),
    ])
}
