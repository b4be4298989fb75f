// SPDX-License-Identifier: MIT OR Apache-2.0
//! The socket against the kernel.

use super::{
    super::{
        attr::AttrWriter,
        message::msg,
        object::{chain, table},
    },
    *,
};
use crate::nft::testing::Namespace;

fn table_name(attrs: &mut AttrWriter<'_>) {
    attrs.string(table::NAME, "t");
}

fn add_table(batch: &mut Batch) {
    batch.push(msg::NEW_TABLE, nl::F_CREATE, table_name);
}

/// A message that the kernel refuses: there is no such table.
fn add_lost_chain(batch: &mut Batch) {
    batch.push(msg::NEW_CHAIN, nl::F_CREATE, |attrs| {
        attrs.string(chain::TABLE, "missing");
        attrs.string(chain::NAME, "c");
    });
}

fn transact(socket: &mut NfSocket, fill: impl FnOnce(&mut Batch)) -> Result<Answer, Error> {
    let mut batch = socket.batch();
    fill(&mut batch);
    socket.transact(&batch.seal().unwrap())
}

fn exists(socket: &mut NfSocket) -> bool {
    socket.lookup(msg::GET_TABLE, table_name, |_| ()).unwrap().is_some()
}

#[test]
fn a_batch_is_committed_and_seen() {
    let _namespace = Namespace::enter();
    let mut socket = NfSocket::open().unwrap();
    assert!(!exists(&mut socket));
    assert_eq!(transact(&mut socket, add_table).unwrap(), Answer::Committed);
    assert!(exists(&mut socket));
    assert_eq!(socket.messages_sent(), 1);
}

#[test]
fn every_refused_message_is_named_and_nothing_is_in_force() {
    let _namespace = Namespace::enter();
    let mut socket = NfSocket::open().unwrap();
    let answer = transact(&mut socket, |batch| {
        add_lost_chain(batch);
        add_table(batch);
        add_lost_chain(batch);
    });
    let Ok(Answer::Refused(refusals)) = answer else { panic!("{answer:?}") };
    let named: Vec<_> = refusals.iter().map(|refusal| (refusal.about, refusal.errno)).collect();
    let expected = [About::Message(0), About::Message(2)];
    assert_eq!(named, expected.map(|about| (about, Errno::NOENT)));
    assert!(!exists(&mut socket));
}

/// With a small receive buffer most of the answers are lost; that must never look like success.
#[test]
fn lost_answers_are_noticed_and_the_socket_stays_usable() {
    let _namespace = Namespace::enter();
    let mut socket = NfSocket::open().unwrap();
    sockopt::set_socket_recv_buffer_size(&socket.socket, 1).unwrap();
    let answer = transact(&mut socket, |batch| (0..1000).for_each(|_| add_lost_chain(batch)));
    assert!(matches!(answer, Err(Error::Lost)), "{answer:?}");
    assert_eq!(transact(&mut socket, add_table).unwrap(), Answer::Committed);
    assert!(exists(&mut socket));
}

#[test]
fn a_batch_that_the_socket_cannot_hold_is_an_error() {
    let _namespace = Namespace::enter();
    let mut socket = NfSocket::open().unwrap();
    sockopt::set_socket_send_buffer_size(&socket.socket, 1).unwrap();
    let answer = transact(&mut socket, |batch| (0..1000).for_each(|_| add_lost_chain(batch)));
    assert!(matches!(answer, Err(Error::Socket { .. })), "{answer:?}");
    assert_eq!(transact(&mut socket, add_table).unwrap(), Answer::Committed);
}

#[test]
fn a_listing_of_many_parts_is_complete() {
    let _namespace = Namespace::enter();
    let mut socket = NfSocket::open().unwrap();
    let answer = transact(&mut socket, |batch| {
        add_table(batch);
        for number in 0..5000 {
            batch.push(msg::NEW_CHAIN, nl::F_CREATE, |attrs| {
                attrs.string(chain::TABLE, "t");
                attrs.string(chain::NAME, &format!("c{number}"));
            });
        }
    });
    assert_eq!(answer.unwrap(), Answer::Committed);
    let count = |socket: &mut NfSocket| {
        socket.list(msg::GET_CHAIN, |_| {}, || 0, |count, _| *count += 1).unwrap()
    };
    assert_eq!(count(&mut socket), 5000);
    sockopt::set_socket_recv_buffer_size(&socket.socket, 1).unwrap();
    assert_eq!(count(&mut socket), 5000);
}
