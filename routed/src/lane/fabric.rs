// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fabric lane: links, routes, node-wide switches, and the ear at the kernel.
//!
//! Local routes and learned routes are two tables of one target: a workload's route must not wait until every BGP peer
//! was heard. They are told apart by their protocol in dumps and by their metric in hints.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use bgp::types::Prefix;
use bgp::{FamilySet, PathSet};
use reconcile::{
    Batch, Completeness, Drift, DriverConfig, Failure, Hints, Mailbox, Outcome, Report, Revision,
    Target,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::check::CheckCall;
use super::fib::{Fib, METRIC_LEARNED, Sources};
use super::reconciler::{self, Handle, Reconciler};
use crate::config::{Config, Forwarding};
use crate::kernel::{
    self, Bell, Handover, LinkTarget, Monitor, MonitorOutputs, Reaper, RouteTarget, SwitchMode,
    Switches,
};
use crate::model::{
    LinkKey, LinkSpec, PROTOCOL_LEARNED, PROTOCOL_LOCAL, RouteKey, RouteSpec, Uplinks,
};

/// How often the kernel is read in full, to find what no event told.
const AUDIT: Duration = Duration::from_secs(60);
/// Checks that may wait.
const CHECKS: usize = 64;

/// How the other lanes reach this one.
#[derive(Clone)]
pub(crate) struct Fabric {
    /// Links of workloads.
    pub(crate) links: Handle<LinkKey, LinkSpec>,
    /// Routes to workloads, and blackholes of own blocks.
    pub(crate) local: Handle<RouteKey, RouteSpec>,
    /// Routes learned by BGP.
    pub(crate) learned: Handle<RouteKey, RouteSpec>,
    /// Where descriptors wait for their link.
    pub(crate) handover: Handover,
    /// Checks to make.
    pub(crate) checks: mpsc::Sender<CheckCall>,
    /// What is wrong with the node itself.
    pub(crate) problems: watch::Receiver<Vec<String>>,
    /// The node's own interfaces.
    pub(crate) uplinks: watch::Receiver<Option<Uplinks>>,
}

/// The part that moves to the lane's thread.
pub(crate) struct Parts {
    links: Reconciler<LinkKey, LinkSpec>,
    local: Reconciler<RouteKey, RouteSpec>,
    learned: Reconciler<RouteKey, RouteSpec>,
    checks: mpsc::Receiver<CheckCall>,
    problems: watch::Sender<Vec<String>>,
    uplinks: watch::Sender<Option<Uplinks>>,
    handles: Fabric,
}

/// What the lane needs of the others.
pub(crate) struct Inlets {
    /// The first good configuration; uplinks and switches follow from it.
    pub(crate) config: Arc<Config>,
    /// Where previous values of switches are kept.
    pub(crate) state_dir: PathBuf,
    /// Best paths.
    pub(crate) feed: Mailbox<Prefix, Arc<PathSet>>,
    /// Preferred sources of learned routes.
    pub(crate) sources: watch::Receiver<Sources>,
    /// The base ruleset is in force (gate G0).
    pub(crate) closed: watch::Receiver<bool>,
    /// Told once: families whose routes an earlier run left behind.
    pub(crate) kept: oneshot::Sender<FamilySet>,
}

/// The lane before it runs: its mailboxes exist from the start.
pub(crate) fn new(
    link_reports: Mailbox<LinkKey, Report<LinkKey>>,
    route_reports: Mailbox<RouteKey, Report<RouteKey>>,
) -> (Parts, Fabric) {
    let config =
        |seed| DriverConfig { audit_interval: Some(AUDIT), seed, ..DriverConfig::default() };
    let seed = fastrand::u64(..);
    let (links, link_handle) = reconciler::new("link", config(seed), Some(link_reports));
    let (local, local_handle) = reconciler::new("route", config(seed), Some(route_reports));
    let (learned, learned_handle) = reconciler::new("learned", config(seed), None);
    let (check, checks) = mpsc::channel(CHECKS);
    let (problems, problems_seen) = watch::channel(Vec::new());
    let (uplinks, uplinks_seen) = watch::channel(None);
    let handles = Fabric {
        handover: Handover::new(link_handle.hints.clone()),
        links: link_handle,
        local: local_handle,
        learned: learned_handle,
        checks: check,
        problems: problems_seen,
        uplinks: uplinks_seen,
    };
    let parts =
        Parts { links, local, learned, checks, problems, uplinks, handles: handles.clone() };
    (parts, handles)
}

/// Starts the lane.
///
/// # Errors
/// The system gives no thread or runtime.
pub(crate) fn start(
    parts: Parts,
    inlets: Inlets,
    cancel: CancellationToken,
) -> std::io::Result<JoinHandle<()>> {
    super::start("fabric", cancel.clone(), move || async move {
        if let Err(error) = run(parts, inlets, cancel).await {
            tracing::error!(error = format!("{error:#}"), "the fabric lane ended");
        }
    })
}

async fn run(parts: Parts, inlets: Inlets, cancel: CancellationToken) -> anyhow::Result<()> {
    let Parts { links, local, learned, checks, problems, uplinks, handles } = parts;
    let Inlets { config, state_dir, feed, sources, mut closed, kept } = inlets;
    let wants = config.node.kernel;
    let routes_hints = Hints::new();
    let bell = Bell::new();
    let link_target = LinkTarget::new(handles.handover.clone(), bell.clone(), routes_hints.clone())
        .context("opening the socket for links")?;
    let mut local_target = Table::new(PROTOCOL_LOCAL)?;
    let mut learned_target = Table::new(PROTOCOL_LEARNED)?;
    let reaper = Reaper::new(bell).context("opening the socket of the reaper")?;
    let switches_bell = Bell::new();
    let uplinks_seen = handles.uplinks.clone();
    let outputs = MonitorOutputs {
        links: handles.links.hints.clone(),
        routes: routes_hints.clone(),
        switches: switches_bell.clone(),
        uplinks,
    };
    let ports =
        [link_target.port(), local_target.inner.port(), learned_target.inner.port(), reaper.port()];
    let monitor = Monitor::new(config.node.uplinks.clone(), &ports, outputs)
        .context("listening to the kernel")?;
    let monitor = async {
        if let Err(error) = monitor.run(cancel.clone()).await {
            tracing::error!(%error, "the ear at the kernel failed");
        }
    };
    if !wants.routes {
        // A pure speaker: it looks at its interfaces and writes nothing.
        let _speaker_gone = kept.send(FamilySet::EMPTY);
        tokio::join!(monitor, refuse(checks, cancel.clone()));
        return Ok(());
    }
    let families = families_kept(&mut local_target, &mut learned_target)?;
    let _speaker_gone = kept.send(families);
    let mode = match wants.forwarding {
        Forwarding::Manage => SwitchMode::Manage,
        Forwarding::Require => SwitchMode::Require,
    };
    let switches = Switches::new(mode, &state_dir);
    let keep_switches =
        keep_switches(switches, switches_bell, uplinks_seen, problems, cancel.clone());
    let split = split_hints(routes_hints, &handles, cancel.clone());
    let fib = follow_feed(feed, sources, families.is_empty(), &handles, cancel.clone());
    let links = async {
        // G0: no link before workload interfaces are shut.
        if closed.wait_for(|closed| *closed).await.is_ok() {
            links.run(link_target, cancel.clone()).await;
        }
    };
    tokio::join!(
        monitor,
        keep_switches,
        split,
        fib,
        links,
        local.run(local_target, cancel.clone()),
        learned.run(learned_target, cancel.clone()),
        reaper.run(cancel.clone()),
        make_checks(checks, cancel.clone()),
    );
    Ok(())
}

/// One protocol's routes: dumps show nothing else.
struct Table {
    inner: RouteTarget,
    protocol: u8,
}

impl Table {
    fn new(protocol: u8) -> anyhow::Result<Self> {
        let inner = RouteTarget::new().context("opening the socket for routes")?;
        Ok(Self { inner, protocol })
    }
}

impl Target for Table {
    type Key = RouteKey;
    type Value = RouteSpec;

    fn dump(&mut self) -> Result<Vec<(RouteKey, RouteSpec)>, Failure> {
        let mut found = self.inner.dump()?;
        found.retain(|(_, spec)| spec.protocol == self.protocol);
        Ok(found)
    }

    fn apply(&mut self, batch: &Batch<RouteKey, RouteSpec>) -> Vec<(RouteKey, Outcome)> {
        self.inner.apply(batch)
    }

    fn rank(&self, key: &RouteKey) -> u32 {
        self.inner.rank(key)
    }
}

/// Families of which an earlier run left routes in the kernel: forwarding went on meanwhile.
fn families_kept(local: &mut Table, learned: &mut Table) -> anyhow::Result<FamilySet> {
    let mut families = FamilySet::EMPTY;
    for table in [local, learned] {
        let found = table.dump().map_err(|failure| anyhow::anyhow!(failure.reason))?;
        for (key, _) in found {
            families.insert(key.prefix.family());
        }
    }
    Ok(families)
}

/// Keeps the node-wide switches as they must be; what cannot be mended shows in the status.
async fn keep_switches(
    switches: Switches,
    bell: Bell,
    mut uplinks: watch::Receiver<Option<Uplinks>>,
    problems: watch::Sender<Vec<String>>,
    cancel: CancellationToken,
) {
    loop {
        let names: Vec<String> = uplinks
            .borrow_and_update()
            .iter()
            .flat_map(|uplinks| &uplinks.interfaces)
            .map(|uplink| uplink.name.clone())
            .collect();
        let report = switches.ensure(&names);
        for change in &report.changed {
            tracing::info!(
                path = %change.path.display(), from = change.from, to = change.to, "switch set"
            );
        }
        let now: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
        problems.send_if_modified(|told| {
            let is_new = *told != now;
            for problem in now.iter().filter(|_| is_new) {
                tracing::warn!(problem, "a switch is not as it must be");
            }
            *told = now;
            is_new
        });
        tokio::select! {
            () = cancel.cancelled() => return,
            () = bell.rung() => {}
            changed = uplinks.changed() => if changed.is_err() { return },
        }
    }
}

/// Passes hints on to the table they are about.
async fn split_hints(hints: Hints<RouteKey>, fabric: &Fabric, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = hints.changed() => {}
        }
        for drift in hints.take() {
            match drift {
                Drift::All => {
                    fabric.local.hints.hint(Drift::All);
                    fabric.learned.hints.hint(Drift::All);
                }
                Drift::Key(key) if key.metric == METRIC_LEARNED => {
                    fabric.learned.hints.hint(Drift::Key(key));
                }
                Drift::Key(key) => fabric.local.hints.hint(Drift::Key(key)),
            }
        }
    }
}

/// Turns best paths into routes, as long as uplinks and addresses allow.
///
/// After a cold start there is no route of an earlier run to keep: what is withdrawn goes at once,
/// also while some peer has not been heard yet.
async fn follow_feed(
    feed: Mailbox<Prefix, Arc<PathSet>>,
    mut sources: watch::Receiver<Sources>,
    cold: bool,
    fabric: &Fabric,
    cancel: CancellationToken,
) {
    let wishes = &fabric.learned.wishes;
    let mut uplinks = fabric.uplinks.clone();
    let mut fib = Fib::default();
    let mut revision = Revision::default();
    while !cancel.is_cancelled() {
        revision = revision.next();
        let seen = uplinks.borrow_and_update().clone();
        let preferred = *sources.borrow_and_update();
        if let Some(seen) = seen
            && fib.on_node(&seen, preferred)
        {
            for (key, spec) in fib.all() {
                wishes.publish(key, spec, revision);
            }
        }
        let changes = feed.take();
        for (prefix, change) in changes.entries {
            let (key, spec) = fib.on_paths(prefix, change.value);
            wishes.publish(key, spec, revision);
        }
        let complete = if cold { Completeness::Complete } else { changes.completeness };
        wishes.set_completeness(complete);
        // Every arm only waits.
        tokio::select! {
            () = cancel.cancelled() => return,
            () = feed.changed() => {}
            changed = uplinks.changed() => if changed.is_err() { return },
            changed = sources.changed() => if changed.is_err() { return },
        }
    }
}

/// Compares with what the kernel and the container hold.
async fn make_checks(mut checks: mpsc::Receiver<CheckCall>, cancel: CancellationToken) {
    loop {
        let call = tokio::select! {
            () = cancel.cancelled() => return,
            call = checks.recv() => match call { Some(call) => call, None => return },
        };
        let found = match call.mend {
            true => kernel::mend(call.handles, &call.spec),
            false => kernel::check(call.handles, &call.spec),
        };
        let told = found
            .map(|differences| differences.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string());
        // The plugin may have gone.
        let _gone = call.reply.send(told);
    }
}

/// A node without workloads has nothing to check.
async fn refuse(mut checks: mpsc::Receiver<CheckCall>, cancel: CancellationToken) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            call = checks.recv() => if call.is_none() { return },
        }
    }
}
