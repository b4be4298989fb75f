// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernel routes as a reconciler's target.
//!
//! Ours are the routes with one of our two protocol numbers, in any table; a dump asks the kernel
//! for these alone. Interfaces are named in wishes and numbered in the kernel: a name is resolved
//! anew for every batch, so that no route is ever written for an index that has changed hands.
//!
//! Invariants:
//! - a key that was never ours is only ever created, and if somebody else's route is in its place
//!   that is a failure; a key that was ours is replaced, whoever took its place;
//! - a delete names our protocol, so it cannot hit a foreign route;
//! - a dump of what was written equals what was wished: gateways in ascending order of
//!   `(dev, via)`, IPv6 with scope universe, as wishes have them.

mod decode;
mod encode;

use std::collections::HashMap;
use std::hash::BuildHasher;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use reconcile::{Batch, Failure, FailureKind, Outcome, Target};
use rustc_hash::{FxBuildHasher, FxHashMap};
use rustix::io::Errno;
use rustix::net::netdevice;

use super::error::{Error, Refusal};
use super::marks::{PROTOCOL_LEARNED, PROTOCOL_LOCAL};
use super::socket::{Request, Socket, SocketStats};
use crate::model::{RouteKey, RouteSpec};

pub(crate) use decode::key as decode_key;

/// The routes of this node that are ours.
#[derive(Debug)]
pub struct RouteTarget {
    socket: Socket,
    /// Protocol of every key that is or was ours, by the key's hash: 1M routes fit into 16 MB. Two
    /// keys with one hash would cost one of them its protection of foreign routes, nothing else.
    ours: FxHashMap<u64, u8>,
}

impl RouteTarget {
    /// Routes of the calling thread's namespace.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open()?, ours: FxHashMap::default() })
    }

    /// The port of its socket: a monitor ignores what it does.
    pub fn port(&self) -> u32 {
        self.socket.port()
    }

    /// How much its socket has been used.
    pub fn stats(&self) -> SocketStats {
        self.socket.stats()
    }

    /// Shrinks the receive buffer, so that a test can overrun it.
    ///
    /// # Errors
    /// If the kernel refuses.
    #[doc(hidden)]
    pub fn shrink_receive_buffer(&self, bytes: usize) -> Result<(), Error> {
        self.socket.shrink_receive_buffer(bytes)
    }

    fn try_dump(&mut self) -> Result<Vec<(RouteKey, RouteSpec)>, Error> {
        let mut names = Names::default();
        let mut routes = Vec::new();
        for request in encode::dumps() {
            for message in self.socket.dump("routes", &request)? {
                let RouteNetlinkMessage::NewRoute(message) = message else { continue };
                let mut name = |index| names.of(&self.socket, index);
                if let Some((key, spec)) = decode::route(&message, &mut name) {
                    self.ours.insert(hash(&key), spec.protocol);
                    routes.push((key, spec));
                }
            }
        }
        Ok(routes)
    }

    fn put(&mut self, puts: &[(RouteKey, RouteSpec)]) -> Vec<(RouteKey, Outcome)> {
        let mut indexes = Indexes::default();
        let mut outcomes = Vec::with_capacity(puts.len());
        let mut requests = Vec::with_capacity(puts.len());
        let mut written = Vec::with_capacity(puts.len());
        for (key, spec) in puts {
            let mut index = |name: &str| indexes.of(&self.socket, name);
            match encode::route(key, spec, &mut index) {
                Ok(message) => {
                    let fate =
                        if self.ours.contains_key(&hash(key)) { NLM_F_REPLACE } else { NLM_F_EXCL };
                    let message = RouteNetlinkMessage::NewRoute(message);
                    requests.push(Request::new(message, NLM_F_CREATE | fate));
                    written.push((key, spec));
                }
                Err(failure) => outcomes.push((*key, Outcome::Failed(failure))),
            }
        }
        match self.socket.execute(&requests) {
            Ok(results) => {
                for ((key, spec), result) in written.into_iter().zip(results) {
                    let outcome = match result {
                        Ok(()) => {
                            self.ours.insert(hash(key), spec.protocol);
                            Outcome::Applied
                        }
                        Err(refusal) => Outcome::Failed(put_failure(spec, &refusal)),
                    };
                    outcomes.push((*key, outcome));
                }
            }
            Err(error) => {
                outcomes.extend(written.into_iter().map(|(key, _)| (*key, error.outcome())));
            }
        }
        outcomes
    }

    fn delete(&mut self, keys: &[RouteKey]) -> Vec<(RouteKey, Outcome)> {
        let mut requests = Vec::with_capacity(keys.len());
        let mut owners = Vec::with_capacity(keys.len());
        for key in keys {
            // A key that no dump and no write has shown may have either protocol.
            let known = self.ours.get(&hash(key)).copied();
            let protocols = match known {
                Some(protocol) => vec![protocol],
                None => vec![PROTOCOL_LOCAL, PROTOCOL_LEARNED],
            };
            for protocol in protocols {
                requests.push(encode::delete(key, protocol));
                owners.push(*key);
            }
        }
        let results = match self.socket.execute(&requests) {
            Ok(results) => results,
            Err(error) => return keys.iter().map(|key| (*key, error.outcome())).collect(),
        };
        let mut failures: HashMap<RouteKey, Failure> = HashMap::new();
        for (key, result) in owners.into_iter().zip(results) {
            if let Err(refusal) = result
                && !is_absent(&refusal)
            {
                failures.insert(key, failure(refusal.kind(), &refusal));
            }
        }
        keys.iter()
            .map(|key| match failures.remove(key) {
                None => {
                    self.ours.remove(&hash(key));
                    (*key, Outcome::Applied)
                }
                Some(failure) => (*key, Outcome::Failed(failure)),
            })
            .collect()
    }
}

impl Target for RouteTarget {
    type Key = RouteKey;
    type Value = RouteSpec;

    fn dump(&mut self) -> Result<Vec<(RouteKey, RouteSpec)>, Failure> {
        self.try_dump().map_err(|error| error.failure())
    }

    fn apply(&mut self, batch: &Batch<RouteKey, RouteSpec>) -> Vec<(RouteKey, Outcome)> {
        let mut outcomes = self.put(&batch.puts);
        outcomes.extend(self.delete(&batch.deletes));
        outcomes
    }
}

fn hash(key: &RouteKey) -> u64 {
    FxBuildHasher.hash_one(key)
}

/// The kernel has no such route (or its interface is gone, and the route with it).
fn is_absent(refusal: &Refusal) -> bool {
    matches!(refusal.errno, Errno::SRCH | Errno::NODEV | Errno::NOENT)
}

fn failure(kind: FailureKind, reason: &impl ToString) -> Failure {
    Failure::new(kind, reason.to_string())
}

fn put_failure(spec: &RouteSpec, refusal: &Refusal) -> Failure {
    match refusal.errno {
        // Only a key that is not ours is written with EXCL. The other one may go.
        Errno::EXIST => Failure::new(
            FailureKind::Retry,
            "conflict: a foreign route has the same prefix and metric",
        ),
        // The preferred source is not an address of the node: not yet, or not any more.
        Errno::INVAL if spec.prefer_src.is_some() => failure(FailureKind::Retry, refusal),
        _ => failure(refusal.kind(), refusal),
    }
}

/// Interface indexes by name, looked up once per batch.
#[derive(Default)]
struct Indexes(FxHashMap<String, Option<u32>>);

impl Indexes {
    fn of(&mut self, socket: &Socket, name: &str) -> Option<u32> {
        if let Some(known) = self.0.get(name) {
            return *known;
        }
        let index = netdevice::name_to_index(socket, name).ok();
        self.0.insert(name.to_owned(), index);
        index
    }
}

/// Interface names by index, looked up once per dump.
#[derive(Default)]
struct Names(FxHashMap<u32, String>);

impl Names {
    /// The empty name, which no wish has, if the interface has just gone.
    fn of(&mut self, socket: &Socket, index: u32) -> String {
        let name = || netdevice::index_to_name(socket, index).unwrap_or_default();
        self.0.entry(index).or_insert_with(name).clone()
    }
}
