// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the rest of a program talks to a running speaker.
//!
//! A [`Handle`] is a cheap clone. State goes through mailboxes (what we originate, in; best
//! paths, out), so neither side can ever be made to wait by the other; questions and commands
//! are bounded requests with one answer each.

use std::net::IpAddr;
use std::sync::Arc;

use reconcile::{Completeness, Mailbox, Revision};
use tokio::sync::{mpsc, oneshot};

use crate::config::{ConfigDiff, ConfigError, SpeakerConfig};
use crate::speaker::{
    Originate, PathSet, PeerStatus, RibQuery, RibRoute, Shutdown, Stats, WhyStep,
};
use crate::types::Prefix;

/// Requests that may wait for the speaker; further callers wait for room.
const REQUESTS: usize = 64;

/// The speaker has ended, or never started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the speaker is not running")]
pub struct Stopped;

/// Why a new configuration is not in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// It contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nobody is there to apply it.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A running speaker, seen from outside.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    originate: Mailbox<Prefix, Originate>,
    best_paths: Mailbox<Prefix, Arc<PathSet>>,
}

impl Handle {
    /// A handle, and the other end of it, which goes to [`net::run`](crate::net::run).
    pub fn new() -> (Self, Requests) {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let handle = Self { requests, originate: Mailbox::new(), best_paths: Mailbox::new() };
        let requests = Requests {
            receiver,
            originate: handle.originate.clone(),
            best_paths: handle.best_paths.clone(),
        };
        (handle, requests)
    }

    /// The declared set of what this node originates.
    pub fn originate(&self) -> Originator {
        Originator { mailbox: self.originate.clone() }
    }

    /// The mailbox behind [`Self::originate`], for a producer that counts revisions itself.
    ///
    /// Publish a value to originate a prefix, none to withdraw it, and set the completeness
    /// once the initial set is published.
    pub fn originations(&self) -> Mailbox<Prefix, Originate> {
        self.originate.clone()
    }

    /// The feed of best paths: a value per prefix with a usable learned path.
    ///
    /// Complete once every configured peer has sent all it had, or was waited for long enough;
    /// until then a missing prefix may still come. There is one feed and it has one consumer.
    pub fn best_paths(&self) -> Mailbox<Prefix, Arc<PathSet>> {
        self.best_paths.clone()
    }

    /// Puts a configuration in force; only peers that it changes notice.
    ///
    /// # Errors
    /// If the configuration contradicts itself, then nothing has changed; or if the speaker is
    /// not running. Cancel-safe: the configuration is then applied or not, as a whole.
    pub async fn apply_config(&self, config: SpeakerConfig) -> Result<ConfigDiff, ApplyError> {
        let config = Box::new(config);
        let answer = self.ask(|reply| Request::Apply { config, reply }).await?;
        Ok(answer?)
    }

    /// Every configured peer, sorted by address.
    ///
    /// # Errors
    /// If the speaker is not running.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, Stopped> {
        self.ask(|reply| Request::Peers { reply }).await
    }

    /// The paths that answer the query, sorted by prefix, winners first.
    ///
    /// # Errors
    /// If the speaker is not running.
    pub async fn rib(&self, query: RibQuery) -> Result<Vec<RibRoute>, Stopped> {
        self.ask(|reply| Request::Rib { query, reply }).await
    }

    /// Why the prefix is used, refused or advertised as it is.
    ///
    /// # Errors
    /// If the speaker is not running.
    pub async fn why(&self, prefix: Prefix) -> Result<Vec<WhyStep>, Stopped> {
        self.ask(|reply| Request::Why { prefix, reply }).await
    }

    /// Counters of the whole speaker.
    ///
    /// # Errors
    /// If the speaker is not running.
    pub async fn stats(&self) -> Result<Stats, Stopped> {
        self.ask(|reply| Request::Stats { reply }).await
    }

    /// BFD saw the path to a peer fail: ends its session at once; true when there was one.
    ///
    /// # Errors
    /// If the speaker is not running.
    pub async fn bfd_down(&self, peer: IpAddr) -> Result<bool, Stopped> {
        self.ask(|reply| Request::BfdDown { peer, reply }).await
    }

    /// Ends all sessions as `kind` says and then the speaker; answers when both are done.
    ///
    /// # Errors
    /// If the speaker was not running.
    pub async fn shutdown(&self, kind: Shutdown) -> Result<(), Stopped> {
        self.ask(|reply| Request::Shutdown { kind, reply }).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(Reply(reply))).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}

/// The set of prefixes this node originates, as a value to edit.
#[derive(Clone, Debug)]
pub struct Originator {
    mailbox: Mailbox<Prefix, Originate>,
}

impl Originator {
    /// Originates a prefix, or changes its attributes.
    pub fn set(&self, prefix: Prefix, attrs: Originate) {
        self.mailbox.publish(prefix, Some(attrs), Revision::default());
    }

    /// Withdraws a prefix.
    pub fn remove(&self, prefix: Prefix) {
        self.mailbox.publish(prefix, None, Revision::default());
    }

    /// The initial set is complete: End-of-RIB may be sent.
    pub fn complete(&self) {
        self.mailbox.set_completeness(Completeness::Complete);
    }
}

/// The speaker's end of a [`Handle`].
#[derive(Debug)]
pub struct Requests {
    pub(crate) receiver: mpsc::Receiver<Request>,
    pub(crate) originate: Mailbox<Prefix, Originate>,
    pub(crate) best_paths: Mailbox<Prefix, Arc<PathSet>>,
}

/// One question or command.
#[derive(Debug)]
pub(crate) enum Request {
    Apply { config: Box<SpeakerConfig>, reply: Reply<Result<ConfigDiff, ConfigError>> },
    Peers { reply: Reply<Vec<PeerStatus>> },
    Rib { query: RibQuery, reply: Reply<Vec<RibRoute>> },
    Why { prefix: Prefix, reply: Reply<Vec<WhyStep>> },
    Stats { reply: Reply<Stats> },
    BfdDown { peer: IpAddr, reply: Reply<bool> },
    Shutdown { kind: Shutdown, reply: Reply<()> },
}

/// Where one answer goes.
#[derive(Debug)]
pub(crate) struct Reply<T>(oneshot::Sender<T>);

impl<T> Reply<T> {
    /// Answers; the asker may have given up.
    pub(crate) fn send(self, answer: T) {
        // Nobody waits any more: then nobody misses the answer.
        let _ = self.0.send(answer);
    }
}
