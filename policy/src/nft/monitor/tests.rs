// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whose changes are noticed.

use super::*;
use crate::nft::{
    netlink::{
        message::{msg, nl},
        object::{chain, table},
        socket::{Answer, NfSocket},
    },
    testing::Namespace,
};

fn add_chain(socket: &mut NfSocket, in_table: &str) {
    let mut batch = socket.batch();
    batch.push(msg::NEW_TABLE, nl::F_CREATE, |attrs| attrs.string(table::NAME, in_table));
    batch.push(msg::NEW_CHAIN, nl::F_CREATE, |attrs| {
        attrs.string(chain::TABLE, in_table);
        attrs.string(chain::NAME, "c");
    });
    assert_eq!(socket.transact(&batch.seal().unwrap()).unwrap(), Answer::Committed);
}

#[test]
fn only_changes_of_our_table_by_others_are_noticed() {
    let _namespace = Namespace::enter();
    let mut ours = NfSocket::open().unwrap();
    let mut theirs = NfSocket::open().unwrap();
    let mut monitor = Monitor::open(ours.port()).unwrap();
    assert!(!monitor.has_drifted().unwrap());
    add_chain(&mut ours, TABLE);
    assert!(!monitor.has_drifted().unwrap());
    add_chain(&mut theirs, "another");
    assert!(!monitor.has_drifted().unwrap());
    add_chain(&mut theirs, TABLE);
    assert!(monitor.has_drifted().unwrap());
    assert!(!monitor.has_drifted().unwrap(), "told once");
}

#[test]
fn an_overrun_counts_as_a_change() {
    let _namespace = Namespace::enter();
    let mut ours = NfSocket::open().unwrap();
    let mut monitor = Monitor::open(ours.port()).unwrap();
    sockopt::set_socket_recv_buffer_size(&monitor.socket, 1).unwrap();
    (0..100).for_each(|number| add_chain(&mut ours, &format!("t{number}")));
    assert!(monitor.has_drifted().unwrap());
    assert!(!monitor.has_drifted().unwrap());
}
