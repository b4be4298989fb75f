// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rows: what is measured, for whom, and what is to be reached.

use anyhow::Result;

use crate::bench::{Bench, Values};
use crate::device::Kind;
use crate::{codec, kernel, rows};

/// What to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// Context only.
    None,
    /// At most this many times what somebody else needs for a metric.
    Times(f64, Kind, &'static str),
    /// At most this, whoever else there is.
    AtMost(f64),
}

/// One number of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Metric {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
}

/// One scenario.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) devices: &'static [Kind],
    /// Runs when the command line does not say.
    pub(crate) runs: usize,
    /// The device must pass on what it learns.
    pub(crate) transit: bool,
    pub(crate) measure: fn(&Bench, Kind) -> Result<Values>,
    pub(crate) metrics: &'static [Metric],
}

use Target::{AtMost, None, Times};

const fn metric(
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    target: Target,
) -> Metric {
    Metric { key, title, unit, target }
}

const BIRD: Kind = Kind::Bird;
const FRR: Kind = Kind::Frr;
/// GoBGP, which sends one prefix a message, is in the short rows only.
const FAST: &[Kind] = &[Kind::Routed, Kind::Bird, Kind::Frr, Kind::Openbgpd];
const ALL: &[Kind] = &Kind::ALL;
const OURS: &[Kind] = &[Kind::Routed];

const LOAD: &[Metric] = &[
    metric("time", "all prefixes through", "ms", Times(0.7, BIRD, "time")),
    metric("cpu", "CPU", "ms", Times(0.7, BIRD, "cpu")),
    metric("peak", "peak memory", "MiB", Times(1.0, BIRD, "peak")),
    metric("generator", "CPU of the generator meanwhile", "ms", None),
    metric("first", "first prefix out", "ms", None),
    metric("withdraw", "all prefixes withdrawn", "ms", Times(0.7, BIRD, "withdraw")),
    metric("after", "memory after that", "MiB", None),
];
const MILLION: &[Metric] = &[
    metric("time", "all prefixes through", "ms", Times(0.7, BIRD, "time")),
    metric("cpu", "CPU", "ms", Times(1.0, BIRD, "cpu")),
    metric("peak", "peak memory", "MiB", Times(1.0, BIRD, "peak")),
    metric("generator", "CPU of the generator meanwhile", "ms", None),
    metric("first", "first prefix out", "ms", None),
    metric("withdraw", "all prefixes withdrawn", "ms", Times(0.5, BIRD, "withdraw")),
    metric("after", "memory after that", "MiB", None),
];
const FAILOVER: &[Metric] = &[
    metric("time", "receiver on the second path", "ms", Times(0.55, BIRD, "time")),
    metric("cpu", "CPU", "ms", None),
    metric("updates", "UPDATEs to the receiver", "", None),
];
const FAILOVER_1K: &[Metric] = &[
    metric("time", "receiver on the second path", "ms", None),
    metric("cpu", "CPU", "ms", None),
    metric("updates", "UPDATEs to the receiver", "", AtMost(1_100.0)),
];

/// Every row, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "load-100k",
        title: "100k prefixes, 10k attribute sets",
        devices: FAST,
        runs: 5,
        transit: true,
        measure: rows::load_100k,
        metrics: LOAD,
    },
    Row {
        name: "load-32k",
        title: "32k prefixes of 500 nodes, one attribute set a node",
        devices: ALL,
        runs: 5,
        transit: true,
        measure: rows::load_32k,
        metrics: LOAD,
    },
    Row {
        name: "reflect-50",
        title: "route reflector, 50 clients × 1,000 prefixes",
        devices: FAST,
        runs: 5,
        transit: true,
        measure: rows::reflect_50,
        metrics: &[
            metric("cold", "new sessions: all hold all", "ms", Times(0.8, FRR, "warm")),
            metric("warm", "again on the same sessions", "ms", Times(0.8, FRR, "warm")),
            metric("cold cpu", "CPU, new sessions", "ms", None),
            metric("cpu", "CPU, same sessions", "ms", Times(0.8, FRR, "cpu")),
            metric("generator", "CPU of the generator meanwhile", "ms", None),
            metric("peak", "peak memory", "MiB", Times(1.2, BIRD, "peak")),
        ],
    },
    Row {
        name: "reflect-200",
        title: "route reflector, 200 clients × 100 prefixes",
        devices: FAST,
        runs: 5,
        transit: true,
        measure: rows::reflect_200,
        metrics: &[
            metric("cold", "new sessions: all hold all", "ms", Times(0.9, FRR, "warm")),
            metric("warm", "again on the same sessions", "ms", Times(0.9, FRR, "warm")),
            metric("cold cpu", "CPU, new sessions", "ms", None),
            metric("cpu", "CPU, same sessions", "ms", None),
            metric("generator", "CPU of the generator meanwhile", "ms", None),
            metric("peak", "peak memory", "MiB", Times(2.0, BIRD, "peak")),
        ],
    },
    Row {
        name: "connect-200",
        title: "200 sessions connecting at once",
        devices: FAST,
        runs: 5,
        transit: false,
        measure: rows::connect,
        metrics: &[
            metric("time", "all up", "ms", Times(0.15, FRR, "time")),
            metric("peak", "peak memory", "MiB", None),
        ],
    },
    Row {
        name: "failover-1k",
        title: "one of two senders of 100k prefixes in 1,000 attribute sets dies",
        devices: FAST,
        runs: 5,
        transit: true,
        measure: rows::failover_1k,
        metrics: FAILOVER_1K,
    },
    Row {
        name: "failover-10k",
        title: "one of two senders of 100k prefixes in 10k attribute sets dies",
        devices: FAST,
        runs: 5,
        transit: true,
        measure: rows::failover_10k,
        metrics: FAILOVER,
    },
    Row {
        name: "flap",
        title: "10 % of 32k prefixes flapping every 100 ms for 5 s",
        devices: FAST,
        runs: 5,
        transit: true,
        measure: rows::flap,
        metrics: &[
            metric("cpu", "CPU", "ms", Times(1.0, BIRD, "cpu")),
            metric("settle", "settled after the last change", "ms", Times(1.0, BIRD, "settle")),
        ],
    },
    Row {
        name: "first",
        title: "one prefix into quiet sessions",
        devices: FAST,
        runs: 3,
        transit: true,
        measure: rows::first,
        metrics: &[metric("time", "first prefix out, median of 20", "ms", AtMost(1.0))],
    },
    Row {
        name: "idle",
        title: "nothing to do",
        devices: ALL,
        runs: 5,
        transit: false,
        measure: rows::idle,
        metrics: &[
            metric("two", "memory, 2 peers", "MiB", Times(1.0, BIRD, "two")),
            metric("many", "memory, 200 configured peers", "MiB", Times(1.0, BIRD, "many")),
            metric("listen", "start to listening", "ms", Times(1.0, BIRD, "listen")),
        ],
    },
    Row {
        name: "load-1m",
        title: "1M prefixes, 10k attribute sets",
        devices: FAST,
        runs: 3,
        transit: true,
        measure: rows::load_1m,
        metrics: MILLION,
    },
    Row {
        name: "scale",
        title: "cost of a prefix as the table grows, ten prefixes a set",
        devices: &[Kind::Routed, Kind::Bird],
        runs: 3,
        transit: true,
        measure: rows::scale,
        metrics: &[
            metric("10k", "10k prefixes", "ns", None),
            metric("100k", "100k prefixes", "ns", None),
            metric("1m", "1M prefixes", "ns", None),
            metric("growth", "largest by smallest", "×", AtMost(1.5)),
        ],
    },
    Row {
        name: "kernel-100k",
        title: "100k prefixes from the session into the kernel, whole daemons",
        devices: &[Kind::Routed, Kind::Bird, Kind::Frr],
        runs: 5,
        transit: false,
        measure: kernel::kernel,
        metrics: &[
            metric("time", "all routes in the kernel", "ms", Times(0.7, BIRD, "time")),
            metric("floor", "a plain netlink loop beside it", "ms", None),
            metric("by floor", "by that loop", "×", AtMost(1.3)),
            metric("cpu", "CPU", "ms", None),
            metric("peak", "peak memory", "MiB", None),
            metric("withdraw", "all routes withdrawn", "ms", None),
        ],
    },
    Row {
        name: "originate",
        title: "local prefix added, 200 tries",
        devices: OURS,
        runs: 5,
        transit: false,
        measure: rows::originate,
        metrics: &[
            metric("p50", "UPDATE at the peer, p50", "ms", None),
            metric("p99", "UPDATE at the peer, p99", "ms", AtMost(5.0)),
        ],
    },
    Row {
        name: "codec",
        title: "wire codec in this process, for each IPv4 prefix",
        devices: OURS,
        runs: 5,
        transit: false,
        measure: codec::codec,
        metrics: &[
            metric("decode", "decode, full messages", "ns", AtMost(5.0)),
            metric("encode", "encode, full messages", "ns", AtMost(5.0)),
            metric("octets", "allocated, the worse of both", "octets", AtMost(1.0)),
            metric("decode ten", "decode, ten prefixes a message", "ns", None),
            metric("encode ten", "encode, ten prefixes a message", "ns", None),
        ],
    },
];
