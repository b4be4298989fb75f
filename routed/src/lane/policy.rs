// SPDX-License-Identifier: MIT OR Apache-2.0
//! The policy lane: one thread that keeps the nftables table what policies and endpoints say.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use policy::model::{EndpointKey, LocalEndpoint, Policy, PolicyId, RemoteEndpoint};
use policy::nft::{Enforcer, EnforcerConfig, Inputs, Runtime, Target, Turn};
use policy::{CompileOptions, PolicySummary};
use reconcile::{Mailbox, Report};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Questions that may wait.
const QUESTIONS: usize = 8;

/// How the other lanes reach this one.
pub(crate) struct PolicyLane {
    /// Endpoints of this node.
    pub(crate) endpoints: Mailbox<EndpointKey, LocalEndpoint>,
    /// Endpoints elsewhere.
    pub(crate) remotes: Mailbox<EndpointKey, RemoteEndpoint>,
    /// Policies.
    pub(crate) policies: Mailbox<PolicyId, Arc<Policy>>,
    /// Workload interfaces are shut unless dispatched (gate G0).
    pub(crate) closed: watch::Receiver<bool>,
    /// What the status asks.
    pub(crate) answers: Answers,
}

/// Numbers for the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PolicyStats {
    /// Input changes taken in.
    pub(crate) revision: u64,
    /// Policies loaded.
    pub(crate) policies: usize,
    /// Objects wished and not in the kernel.
    pub(crate) pending: usize,
    /// Objects that others had changed.
    pub(crate) drifted: u64,
    /// Workload interfaces without a policy are shut.
    pub(crate) closed: bool,
}

type Listed = Vec<(PolicySummary, Arc<Policy>)>;

/// What others may ask.
#[derive(Clone)]
pub(crate) struct Answers {
    stats: watch::Receiver<PolicyStats>,
    questions: mpsc::Sender<oneshot::Sender<Listed>>,
}

impl Answers {
    /// Numbers after the last turn.
    pub(crate) fn stats(&self) -> PolicyStats {
        *self.stats.borrow()
    }

    /// All policies in the order of evaluation; `None` when the lane does not answer.
    pub(crate) async fn list(&self) -> Option<Listed> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(reply).await.ok()?;
        answer.await.ok()
    }
}

/// The part that moves to the lane's thread.
pub(crate) struct Parts {
    inputs: Inputs,
    status: Mailbox<EndpointKey, Report<EndpointKey>>,
    closed: watch::Sender<bool>,
    stats: watch::Sender<PolicyStats>,
    questions: mpsc::Receiver<oneshot::Sender<Listed>>,
}

/// The lane before it runs: its mailboxes exist from the start.
pub(crate) fn new(status: Mailbox<EndpointKey, Report<EndpointKey>>) -> (Parts, PolicyLane) {
    let inputs = Inputs::default();
    let (closed, closed_seen) = watch::channel(false);
    let (stats, stats_seen) = watch::channel(PolicyStats::default());
    let (question, questions) = mpsc::channel(QUESTIONS);
    let lane = PolicyLane {
        endpoints: inputs.locals.clone(),
        remotes: inputs.remotes.clone(),
        policies: inputs.policies.clone(),
        closed: closed_seen,
        answers: Answers { stats: stats_seen, questions: question },
    };
    (Parts { inputs, status, closed, stats, questions }, lane)
}

/// Starts the lane.
///
/// # Errors
/// The system gives no thread or runtime.
pub(crate) fn start(
    parts: Parts,
    config: &Config,
    cancel: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    let enforces = config.node.kernel.policy;
    let compile = CompileOptions {
        interface_prefix: config.node.workloads.interface_prefix.clone(),
        ..CompileOptions::default()
    };
    super::start("policy", cancel.clone(), move || async move {
        if enforces {
            enforce(parts, compile, cancel).await;
        } else {
            stand_by(parts, cancel).await;
        }
    })
}

async fn enforce(parts: Parts, compile: CompileOptions, cancel: CancellationToken) {
    let Parts { inputs, status, closed, stats, mut questions } = parts;
    let target = match Target::open() {
        Ok(target) => target,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the policy lane cannot reach nf_tables");
            return;
        }
    };
    let config = EnforcerConfig { compile, seed: fastrand::u64(..), ..EnforcerConfig::default() };
    let mut enforcer = Enforcer::new(&config, target, inputs, status);
    while !cancel.is_cancelled() {
        let turn = enforcer.turn(Instant::now());
        tell(&enforcer, &closed, &stats);
        let Turn::Idle(until) = turn else {
            tokio::task::yield_now().await;
            continue;
        };
        // Every arm only waits, or takes a question out of its queue and answers it at once.
        tokio::select! {
            () = cancel.cancelled() => {}
            () = enforcer.wait(&Tokio, until) => {}
            Some(question) = questions.recv() => {
                let engine = enforcer.engine();
                let listed = engine.summaries().into_iter().filter_map(|summary| {
                    let id = match &summary.namespace {
                        Some(namespace) => PolicyId::namespaced(namespace, &summary.name),
                        None => PolicyId::global(&summary.name),
                    };
                    Some((summary, Arc::clone(engine.policy(&id)?)))
                });
                // The one who asked may have gone.
                let _gone = question.send(listed.collect());
            }
        }
    }
}

/// The runtime that the enforcer waits with.
struct Tokio;

impl Runtime for Tokio {
    async fn sleep_until(&self, time: Instant) {
        tokio::time::sleep_until(time.into()).await;
    }

    async fn readable(&self, socket: BorrowedFd<'_>) {
        #[expect(deprecated, reason = "sound here: the borrow keeps the descriptor open")]
        let watched = AsyncFd::with_interest(socket, Interest::READABLE);
        match watched {
            Ok(socket) => drop(socket.readable().await),
            // Without a watch the next audit finds what changed.
            Err(_) => std::future::pending().await,
        }
    }
}

fn tell(
    enforcer: &Enforcer<Target>,
    closed: &watch::Sender<bool>,
    stats: &watch::Sender<PolicyStats>,
) {
    let found = enforcer.stats();
    let is_closed = *closed.borrow() || enforcer.is_closed();
    closed.send_if_modified(|told| {
        let is_new = is_closed && !*told;
        *told |= is_closed;
        is_new
    });
    let now = PolicyStats {
        revision: found.revision.0,
        policies: enforcer.engine().policy_count(),
        pending: found.objects.pending,
        drifted: found.objects.drifted,
        closed: is_closed,
    };
    stats.send_if_modified(|told| {
        let is_new = *told != now;
        *told = now;
        is_new
    });
}

/// Policy is somebody else's: nothing is written, nobody waits for it.
async fn stand_by(parts: Parts, cancel: CancellationToken) {
    let Parts { inputs, closed, mut questions, .. } = parts;
    closed.send_replace(true);
    loop {
        // What is published is dropped, so that it does not pile up.
        inputs.locals.take();
        inputs.remotes.take();
        inputs.policies.take();
        tokio::select! {
            () = cancel.cancelled() => return,
            () = inputs.locals.changed() => {}
            () = inputs.remotes.changed() => {}
            () = inputs.policies.changed() => {}
            Some(question) = questions.recv() => {
                let _gone = question.send(Vec::new());
            }
        }
    }
}
