// SPDX-License-Identifier: MIT OR Apache-2.0
use reconcile::Stats;

use super::*;

#[test]
fn whatever_is_out_of_sync_has_a_reason() {
    let one = Stats { pending: 1, ..Stats::default() };
    let refused = Stats { pending: 3, failed: 2, ..Stats::default() };
    for (lag, reasons) in [
        (Lag::default(), &[][..]),
        (
            Lag { is_unread: true, ..Lag::default() },
            &["the kernel's links and routes were not read yet"],
        ),
        (Lag { is_unshut: true, ..Lag::default() }, &["workload interfaces are not shut yet"]),
        (
            Lag { is_without_blocks: true, ..Lag::default() },
            &["the routes of the blocks are not in force"],
        ),
        (Lag { links: one, ..Lag::default() }, &["1 link pending"]),
        (Lag { local: one, ..Lag::default() }, &["1 local route pending"]),
        (Lag { learned: one, ..Lag::default() }, &["1 learned route pending"]),
        (Lag { policy: 2, ..Lag::default() }, &["2 policy objects pending"]),
        (
            Lag { learned: refused, ..Lag::default() },
            &["2 routes refused by the kernel", "1 learned route pending"],
        ),
        (
            Lag { links: refused, ..Lag::default() },
            &["2 links refused by the kernel", "1 link pending"],
        ),
    ] {
        assert_eq!(lag.reasons(), reasons, "{lag:?}");
    }
}

fn view() -> View {
    View {
        config: None,
        config_errors: Vec::new(),
        workloads: Vec::new(),
        counts: crate::core::Counts::default(),
        ipam: Vec::new(),
        speaker: Err(crate::derive::speaker::NotReady::NoRouterId),
        quarantined: 1,
        audit_mismatches: 0,
        blocks_open: true,
    }
}

#[test]
fn a_node_that_is_behind_says_so() {
    let mut status = api::Status::default();
    let learned = Stats { pending: 12, ..Stats::default() };
    judge(&mut status, &view(), &[], &Lag { learned, ..Lag::default() });
    assert!(!status.ready, "{status:?}");
    assert_eq!(
        status.reasons,
        [
            "no good configuration was loaded yet",
            "1 workload record set aside",
            "12 learned routes pending",
        ]
    );
}
