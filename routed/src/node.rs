// SPDX-License-Identifier: MIT OR Apache-2.0
//! The daemon: makes the mailboxes, starts the lanes, serves the sockets, and ends in order.
//!
//! ```text
//!  channel                                from → to              bound            when full
//!  CniCall                                cni server → main      64               further connections wait
//!  view questions                         admin server → main    16               the asker waits
//!  link, route, endpoint wishes           main → fabric, policy  one per key      the latest value stays
//!  policies, remote endpoints             main → policy          one per key      the latest value stays
//!  originations                           main → bgp             one per key      the latest value stays
//!  reports                                lanes → main           one per key      the latest report stays
//!  best paths                             bgp → fabric           one per prefix   the latest value stays
//!  checks                                 main → fabric          64               CHECK answers "try again later"
//!  configuration, uplinks, sources        watch                  1                the latest value stays
//!  bfd sessions, bfd states               main → bgp → main      1                the latest value stays
//! ```
//!
//! Order at the start: lock, records, sockets (plugins wait instead of failing), configuration, lanes. The policy lane
//! shuts workload interfaces before the fabric lane makes a link. At the end the lanes stop, sessions are closed as for
//! a restart, and everything in the kernel stays.

mod answers;
mod bgp;
mod policy;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use reconcile::Mailbox;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::core::{Core, Settings};
use crate::lane;
use crate::lane::core::{Inlets, MainLane, Offers, Outlets, Reports};
use crate::lane::fib::Sources;
use crate::server::{AdminServer, CALLS, CniServer};
use crate::source::{self, Directory, Reader, State};
use crate::store::{Lock, Store};
use answers::Answers;

/// View questions that may wait.
const VIEWS: usize = 16;

/// Where a daemon keeps what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Configuration tree.
    pub config: PathBuf,
    /// Sockets, workload records, lock.
    pub run_dir: PathBuf,
    /// Last good configuration, saved switches.
    pub state_dir: PathBuf,
}

/// A part of the daemon panicked: a bug, and the end of the process.
#[derive(Debug, thiserror::Error)]
#[error("{0} panicked")]
pub struct Panicked(pub String);

/// The node's name unless its `NodeConfig` has one.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Runs the daemon until SIGTERM or SIGINT.
///
/// # Errors
/// Another daemon runs, a socket or file cannot be opened, or a lane ended by itself.
pub fn run(options: &Options) -> Result<()> {
    let _lock = Lock::acquire(&options.run_dir).context("taking the lock of the run directory")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(daemon(options))
}

async fn daemon(options: &Options) -> Result<()> {
    let started = Instant::now();
    let cancel = CancellationToken::new();
    let store = Store::open(&options.run_dir).context("opening the workload records")?;
    let loaded = store.load().context("reading the workload records")?;
    tracing::info!(
        workloads = loaded.workloads.len(),
        quarantined = loaded.quarantined.len(),
        "records read"
    );
    let core = Core::new(Settings::default(), loaded);

    let (bgp, requests) = ::bgp::Handle::new();
    let reports = Reports::default();
    let (fabric_parts, fabric) = lane::fabric::new(reports.links.clone(), reports.routes.clone());
    let (policy_parts, policy) = lane::policy::new(reports.endpoints.clone());
    let withdrawals = Mailbox::new();
    let (speaker, speaker_seen) = watch::channel(None);
    let (sources, sources_seen) = watch::channel(Sources::default());
    let (config, config_seen) = watch::channel(State::default());
    let (bfd, bfd_wanted) = watch::channel(Vec::new());
    let (bfd_parts, bfd_seen) =
        lane::bfd::new(options.run_dir.join(crate::bfd::SOCKET), bfd_wanted);
    let (view, views) = mpsc::channel(VIEWS);
    let (call, calls) = mpsc::channel(CALLS);

    let mut tasks = JoinSet::new();
    let cni = CniServer::bind(&options.run_dir.join("cni.sock"))?;
    tasks.spawn(watched(cni.run(call, cancel.clone()), cancel.clone()));
    let answers = Answers {
        started,
        views: view,
        bgp: bgp.clone(),
        links: fabric.links.clone(),
        local_routes: fabric.local.clone(),
        learned_routes: fabric.learned.clone(),
        policy: policy.answers.clone(),
        problems: fabric.problems.clone(),
        bfd: bfd_seen,
    };
    let admin = AdminServer::bind(&options.run_dir.join("routed.sock"))?;
    tasks.spawn(watched(admin.run(answers, cancel.clone()), cancel.clone()));
    let mut reader = Reader::new(&options.config, &options.state_dir, &host_name());
    let watch = Directory::watch(&options.config);
    config.send_replace(reader.start().clone());
    let reload = Arc::new(Notify::new());
    let source = source::run(reader, watch, Arc::clone(&reload), config, cancel.clone());
    tasks.spawn(watched(source, cancel.clone()));
    tasks.spawn(watched(reload_on_hang_up(reload, cancel.clone()), cancel.clone()));
    let main = MainLane::new(
        core,
        Outlets {
            store,
            links: fabric.links.wishes.clone(),
            routes: fabric.local.wishes.clone(),
            adverts: bgp.originations(),
            withdrawals: withdrawals.clone(),
            endpoints: policy.endpoints.clone(),
            remotes: policy.remotes.clone(),
            policies: policy.policies.clone(),
            offers: Offers::new(fabric.handover.clone()),
            bfd,
        },
        fabric.checks.clone(),
        speaker,
        sources,
    );
    let inlets = Inlets {
        calls,
        views,
        config: config_seen.clone(),
        uplinks: fabric.uplinks.clone(),
        reports: reports.clone(),
    };
    let (kept, kept_seen) = oneshot::channel();
    let lanes = Lanes {
        config: config_seen,
        fabric: fabric_parts,
        fabric_inlets: |config| lane::fabric::Inlets {
            config,
            state_dir: options.state_dir.clone(),
            feed: bgp.best_paths(),
            sources: sources_seen,
            closed: policy.closed,
            kept,
        },
        policy: policy_parts,
        speaker: lane::speaker::Inlets {
            requests,
            config: speaker_seen,
            kept: kept_seen,
            withdrawals,
            adverts: reports.adverts,
            bfd: bfd_parts,
        },
        bgp: bgp.clone(),
    };
    let signalled = wait_for_signal(cancel.clone());
    let ((), threads, signalled) =
        tokio::join!(main.run(inlets, cancel.clone()), lanes.start(&cancel), signalled);
    end(tasks, threads?, signalled?).await
}

/// The lanes of the other threads, started once a configuration is good.
struct Lanes<F> {
    config: watch::Receiver<State>,
    fabric: lane::fabric::Parts,
    fabric_inlets: F,
    policy: lane::policy::Parts,
    speaker: lane::speaker::Inlets,
    bgp: ::bgp::Handle,
}

impl<F: FnOnce(Arc<Config>) -> lane::fabric::Inlets> Lanes<F> {
    async fn start(mut self, cancel: &CancellationToken) -> Result<Vec<JoinHandle<()>>> {
        let good = tokio::select! {
            () = cancel.cancelled() => return Ok(Vec::new()),
            state = self.config.wait_for(|state| state.loaded.is_some()) => {
                state.ok().and_then(|state| state.loaded.clone())
            }
        };
        let Some(config) = good.map(|loaded| loaded.config) else { return Ok(Vec::new()) };
        let started = || -> std::io::Result<Vec<JoinHandle<()>>> {
            Ok(vec![
                lane::policy::start(self.policy, &config, cancel.clone())?,
                lane::fabric::start(self.fabric, (self.fabric_inlets)(config), cancel.clone())?,
                lane::speaker::start(self.bgp, self.speaker, cancel.clone())?,
            ])
        };
        started().inspect_err(|_| cancel.cancel()).context("starting the lanes")
    }
}

/// SIGHUP reads the configuration again.
async fn reload_on_hang_up(reload: Arc<Notify>, cancel: CancellationToken) {
    let mut hang_up = match signal(SignalKind::hangup()) {
        Ok(hang_up) => hang_up,
        Err(error) => return tracing::error!(%error, "cannot catch SIGHUP"),
    };
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = hang_up.recv() => reload.notify_one(),
        }
    }
}

/// True when the operator asked for the end, false when a lane ended.
async fn wait_for_signal(cancel: CancellationToken) -> Result<bool> {
    let mut terminate = signal(SignalKind::terminate()).context("catching SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("catching SIGINT")?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = cancel.cancelled() => return Ok(false),
    };
    tracing::info!(signal = name, "shutting down; the kernel keeps forwarding");
    cancel.cancel();
    Ok(true)
}

/// A task whose panic ends all others: the supervisor starts a new daemon, and the kernel keeps forwarding.
async fn watched(work: impl Future<Output = ()>, cancel: CancellationToken) {
    let ends_all = cancel.drop_guard();
    work.await;
    ends_all.disarm();
}

async fn end(mut tasks: JoinSet<()>, threads: Vec<JoinHandle<()>>, signalled: bool) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Panicked(format!("a task of the daemon: {error}")))?;
    }
    for thread in threads {
        let name = thread.thread().name().unwrap_or("?").to_owned();
        // Blocking is fine: nothing else runs on this thread any more.
        if thread.join().is_err() {
            return Err(Panicked(format!("lane {name}")).into());
        }
    }
    if !signalled {
        bail!("a lane ended by itself");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
