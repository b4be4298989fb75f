// SPDX-License-Identifier: MIT OR Apache-2.0
//! The BGP lane: one thread for the speaker.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use bgp::types::Prefix;
use bgp::{FamilySet, Handle, Requests, Shutdown, SpeakerConfig, Start};
use reconcile::{Mailbox, Outcome, Report};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::bfd;

/// Pause before a speaker that could not listen is started again.
const RETRY: Duration = Duration::from_secs(2);

/// What the lane needs of the others.
pub(crate) struct Inlets {
    /// The speaker's end of its handle.
    pub(crate) requests: Requests,
    /// The latest configuration; absent until node and files are known.
    pub(crate) config: watch::Receiver<Option<SpeakerConfig>>,
    /// Families whose routes an earlier run left in the kernel.
    pub(crate) kept: oneshot::Receiver<FamilySet>,
    /// Prefixes that were withdrawn, to be reported once the speaker knows.
    pub(crate) withdrawals: Mailbox<Prefix, ()>,
    /// Where that is reported.
    pub(crate) adverts: Mailbox<Prefix, Report<Prefix>>,
    /// The daemon's side of BFD.
    pub(crate) bfd: bfd::Parts,
}

/// Starts the lane.
///
/// # Errors
/// The system gives no thread or runtime.
pub(crate) fn start(
    handle: Handle,
    inlets: Inlets,
    cancel: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    super::start("bgp", cancel.clone(), move || run(handle, inlets, cancel))
}

async fn run(handle: Handle, inlets: Inlets, cancel: CancellationToken) {
    let Inlets { requests, mut config, kept, withdrawals, adverts, bfd } = inlets;
    let Some(first) = first_config(&mut config, &cancel).await else { return };
    let kept = tokio::select! {
        () = cancel.cancelled() => return,
        kept = kept => kept.unwrap_or(FamilySet::EMPTY),
    };
    let start =
        if kept.is_empty() { Start::Cold } else { Start::Restarted { forwarding_kept: kept } };
    tracing::info!(asn = %first.asn, router_id = %first.router_id, ?start, "speaker starts");
    // The speaker ends on request, after it has closed its sessions; the token is for the rest.
    let stop = CancellationToken::new();
    let speaker = bgp::net::run(first.clone(), start, requests, stop.clone());
    let follow = follow(handle.clone(), first, config, cancel.clone());
    let withdrawn = report_withdrawals(handle.clone(), withdrawals, adverts, cancel.clone());
    let watch_paths = bfd::run(handle.clone(), bfd, cancel.clone());
    let shutdown = async {
        cancel.cancelled().await;
        // A speaker that has ended already needs no telling.
        let _ended = handle.shutdown(Shutdown::GracefulRestart).await;
        stop.cancel();
    };
    let (ended, (), (), (), ()) = tokio::join!(speaker, follow, withdrawn, watch_paths, shutdown);
    if let Err(error) = ended {
        tracing::error!(error = &error as &dyn std::error::Error, "the speaker ended");
    }
}

async fn first_config(
    config: &mut watch::Receiver<Option<SpeakerConfig>>,
    cancel: &CancellationToken,
) -> Option<SpeakerConfig> {
    loop {
        if let Some(config) = config.borrow_and_update().clone() {
            return Some(config);
        }
        tokio::select! {
            () = cancel.cancelled() => return None,
            changed = config.changed() => changed.ok()?,
        }
    }
}

/// Puts every later configuration in force.
async fn follow(
    handle: Handle,
    mut in_force: SpeakerConfig,
    mut config: watch::Receiver<Option<SpeakerConfig>>,
    cancel: CancellationToken,
) {
    loop {
        let latest = config.borrow_and_update().clone();
        if let Some(latest) = latest.filter(|latest| *latest != in_force) {
            match handle.apply_config(latest.clone()).await {
                Ok(diff) => {
                    tracing::info!(
                        added = ?diff.added, removed = ?diff.removed, reset = ?diff.reset,
                        changed = ?diff.changed, "speaker configuration in force"
                    );
                    in_force = latest;
                }
                Err(error) => {
                    tracing::error!(%error, "speaker configuration refused, the last one stays");
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        () = tokio::time::sleep(RETRY) => continue,
                    }
                }
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = config.changed() => if changed.is_err() { return },
        }
    }
}

/// Reports a withdrawal once the speaker has taken it in: from then on it is on its way to every peer.
async fn report_withdrawals(
    handle: Handle,
    withdrawals: Mailbox<Prefix, ()>,
    adverts: Mailbox<Prefix, Report<Prefix>>,
    cancel: CancellationToken,
) {
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = withdrawals.changed() => {}
        }
        let taken = withdrawals.take();
        let originations = handle.originations();
        // The speaker empties its mailbox before it answers the next request.
        while !originations.is_empty() && handle.stats().await.is_ok() {}
        for (key, change) in taken.entries {
            let report = Report {
                key,
                revision: change.revision,
                outcome: Outcome::Applied,
                present: false,
            };
            adverts.publish(key, Some(report), change.revision);
        }
    }
}
