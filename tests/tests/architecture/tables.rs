// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is allowed where. An entry names a file, or a folder with its trailing slash.

/// Longest source file.
pub(crate) const MAX_LINES: usize = 800;

/// First line of every source file.
pub(crate) const SPDX: &str = "// SPDX-License-Identifier: MIT OR Apache-2.0";

/// Our crates by folder, and which of ours each may depend on, tests of it included.
pub(crate) const CRATES: &[(&str, &[&str])] = &[
    ("reconcile", &[]),
    ("bfd", &[]),
    ("bgp", &["reconcile"]),
    ("policy", &["reconcile"]),
    ("cni-plugin", &[]),
    ("routed", &["reconcile", "bfd", "bgp", "policy", "cni-plugin"]),
    ("tests", &["reconcile", "bgp", "policy", "cni-plugin", "routed"]),
    ("examples", &["reconcile", "bgp", "policy", "cni-plugin", "routed", "tests"]),
];

/// Crates of others that are never built into what users run.
pub(crate) const DEV_ONLY: &[&str] =
    &["zettabgp", "netgauze-bgp-pkt", "nftables", "rtnetlink", "serde_yaml", "proptest", "insta"];

/// Top-level modules, lowest layer first; a module names modules of lower layers only.
pub(crate) const LAYERS: &[(&str, &[&[&str]])] = &[
    (
        "reconcile",
        &[
            &["status", "hash"],
            &["mailbox", "target", "delta", "backoff", "queue", "plan"],
            &["hints", "fake"],
            &["driver"],
            &["run"],
        ],
    ),
    ("bfd", &[&["packet"], &["session"], &["table"], &["net"]]),
    (
        "bgp",
        &[
            &["types"],
            &["wire"],
            &["family", "reason"],
            &["config"],
            &["rib"],
            &["filter"],
            &["session"],
            &["speaker"],
            &["handle"],
            &["net"],
        ],
    ),
    (
        "policy",
        &[&["model"], &["load", "index", "eval"], &["ir"], &["compile"], &["engine"], &["nft"]],
    ),
    (
        "routed",
        &[
            &["model"],
            &["config", "ipam", "store"],
            &["derive"],
            &["core"],
            &["bfd", "kernel", "source"],
            &["lane"],
            &["server"],
            &["node"],
            &["demo"],
            &["cli"],
        ],
    ),
    ("cni-plugin", &[&["spec"], &["rpc"], &["client", "netns", "render"], &["plugin"]]),
];

/// Edges that the order of layers would allow.
pub(crate) const FORBIDDEN_EDGES: &[(&str, &str, &str)] = &[
    // The state machine of a session knows messages, not routes.
    ("bgp", "session", "rib"),
    ("bgp", "session", "filter"),
    // The reference evaluator shares nothing with what it judges.
    ("policy", "eval", "index"),
    // The hand knows values, not why they are wanted.
    ("routed", "kernel", "core"),
    ("routed", "kernel", "derive"),
    ("routed", "kernel", "store"),
    ("routed", "kernel", "ipam"),
];

/// Crates of others, by the name they have in code, and where they may be named.
pub(crate) const CONFINED: &[(&str, &[&str])] = &[
    ("netlink_packet_core", NETLINK),
    ("netlink_packet_route", NETLINK),
    ("netlink_packet_utils", NETLINK),
    ("netlink_proto", NETLINK),
    ("netlink_sys", NETLINK),
    ("serde_saphyr", &["policy/src/load", "routed/src/config"]),
    ("serde_yaml", &[]),
    ("zettabgp", &["bgp/tests/"]),
    ("netgauze_bgp_pkt", &["bgp/tests/"]),
    ("netgauze_parse_utils", &["bgp/tests/"]),
    ("nftables", &["policy/tests/", "tests/"]),
    ("rtnetlink", &["routed/tests/", "tests/"]),
];

const NETLINK: &[&str] =
    &["routed/src/kernel/", "routed/tests/kernel", "policy/src/nft/", "policy/tests/nft"];

/// Paths of other crates with which code acts on the world.
pub(crate) const EFFECTS: &[&str] = &[
    "tokio",
    "tokio_util",
    "socket2",
    "rustix",
    "axum",
    "hyper",
    "std::fs",
    "std::thread",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::os::unix::net",
];

/// Who acts; everybody else decides.
pub(crate) const ACTORS: &[&str] = &[
    "reconcile/src/mailbox.rs",
    "reconcile/src/run.rs",
    "bfd/src/net.rs",
    "bgp/src/handle.rs",
    "bgp/src/net/",
    "policy/src/nft/",
    "routed/src/config/files.rs",
    "routed/src/store.rs",
    "routed/src/bfd/",
    "routed/src/kernel/",
    "routed/src/source/",
    "routed/src/lane/",
    "routed/src/server/",
    "routed/src/node",
    "routed/src/cli/",
    "routed/src/demo/",
    "cni-plugin/src/client.rs",
    "cni-plugin/src/netns.rs",
    "cni-plugin/src/plugin.rs",
    "tests/src/",
    "examples/",
];

/// Types whose `now` reads a clock.
pub(crate) const CLOCKS: &[&str] = &["Instant", "SystemTime", "Timestamp", "Zoned", "Utc", "Local"];

/// Who reads a clock; everybody else is told the time.
pub(crate) const CLOCK: &[&str] = &[
    "reconcile/src/run.rs",
    "bgp/src/net/",
    "policy/src/nft/",
    "routed/src/bfd/process.rs",
    "routed/src/lane/",
    "routed/src/server/",
    "routed/src/node",
    "routed/src/source/",
    "routed/src/cli/",
    "routed/src/demo/",
    "cni-plugin/src/client.rs",
    "tests/src/",
    "examples/",
];

/// Who starts tasks, threads and processes.
pub(crate) const SPAWN: &[&str] = &[
    "reconcile/src/run.rs",
    "bgp/src/net/",
    "routed/src/lane/",
    "routed/src/server/",
    "routed/src/node.rs",
    "routed/src/source/",
    "routed/src/demo/",
    // Waits in place for a call of the kernel that blocks.
    "routed/src/kernel/reaper.rs",
    "tests/src/",
    "examples/",
];

/// Who holds a lock.
pub(crate) const LOCKS: &[&str] = &["reconcile/src/mailbox.rs", "routed/src/metrics.rs"];

/// Where code may be unsafe, and `libc` may be named.
pub(crate) const UNSAFE: &[&str] = &[
    "bfd/src/net.rs",
    "bgp/src/net/sockopt.rs",
    "routed/src/kernel/",
    // Counting allocators.
    "tests/src/alloc.rs",
    "bgp/tests/fuzz_wire/alloc.rs",
    // Asks the kernel for the CPU time of ended children.
    "tests/benches/attach/usage.rs",
];

/// Crate roots and the attribute each carries.
pub(crate) const UNSAFE_ATTRIBUTES: &[(&str, &str)] = &[
    ("reconcile/src/lib.rs", "#![forbid(unsafe_code)]"),
    ("policy/src/lib.rs", "#![forbid(unsafe_code)]"),
    ("cni-plugin/src/lib.rs", "#![forbid(unsafe_code)]"),
    ("cni-plugin/src/main.rs", "#![forbid(unsafe_code)]"),
    ("bfd/src/lib.rs", "#![deny(unsafe_code)]"),
    ("bgp/src/lib.rs", "#![deny(unsafe_code)]"),
    ("routed/src/lib.rs", "#![deny(unsafe_code)]"),
    ("routed/src/main.rs", "#![forbid(unsafe_code)]"),
];

/// Who starts processes.
pub(crate) const COMMAND: &[&str] =
    &["routed/src/demo/", "routed/src/cli/", "tests/src/", "examples/"];

/// The module, in a crate, from which nothing that starts processes may be reached.
pub(crate) const NO_PROCESS: (&str, &str) = ("routed", "cli::run");
