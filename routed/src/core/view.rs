// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people are shown of the core.

use std::time::Instant;

use reconcile::{Failure, FailureKind, Revision};

use super::state::Core;
use crate::derive::{Live, Next, Phase, gate};
use crate::ipam::BlockUsage;
use crate::model::{Workload, WorkloadId};
use crate::store::Quarantined;

/// A workload as people are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadView {
    /// Its record.
    pub record: Workload,
    /// Where it stands.
    pub state: WorkloadState,
}

/// Where a workload stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadState {
    /// Link, routes and policy are in force.
    Ready,
    /// On the way.
    Pending,
    /// Something of it cannot be made, or its link vanished; the reason.
    Failed(String),
    /// On the way out.
    Leaving,
}

impl WorkloadState {
    /// The word in tables, JSON and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Pending => "pending",
            Self::Failed(_) => "failed",
            Self::Leaving => "leaving",
        }
    }
}

/// Numbers of workloads by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Link, routes and policy are in force.
    pub ready: usize,
    /// On the way.
    pub pending: usize,
    /// Something of it cannot be made, or its link vanished.
    pub failed: usize,
    /// On the way out.
    pub leaving: usize,
}

impl Core {
    /// All workloads, by id.
    pub fn workloads(&self) -> impl Iterator<Item = WorkloadView> {
        self.inputs.workloads().map(|live| self.view(live))
    }

    /// One workload.
    pub fn workload(&self, id: &WorkloadId) -> Option<WorkloadView> {
        self.inputs.workload(id).map(|live| self.view(live))
    }

    /// Numbers of workloads by state.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for live in self.inputs.workloads() {
            match self.state(live) {
                WorkloadState::Ready => counts.ready += 1,
                WorkloadState::Pending => counts.pending += 1,
                WorkloadState::Failed(_) => counts.failed += 1,
                WorkloadState::Leaving => counts.leaving += 1,
            }
        }
        counts
    }

    /// How full each block is, in configured order.
    pub fn ipam(&self, now: Instant) -> Vec<BlockUsage> {
        self.ipam.usage(now)
    }

    /// Whether the routes of all blocks are in force: without them nothing can be given away.
    pub fn are_blocks_open(&self) -> bool {
        let mut blocks = self.inputs.config().into_iter().flat_map(|config| &config.blocks);
        blocks.all(|block| gate::block_is_open(&self.inputs, &self.status, block.prefix))
    }

    /// Whether requests can be decided upon: without a configuration they are refused, with one that attaches
    /// workloads the uplinks must have been seen.
    pub fn is_informed(&self) -> bool {
        let attaches = self.inputs.config().is_some_and(|config| config.node.kernel.routes);
        !attaches || self.inputs.uplinks().is_some()
    }

    /// Record files that were set aside at start-up.
    pub fn quarantined(&self) -> &[Quarantined] {
        &self.quarantined
    }

    /// Keys that an audit found published wrongly, since the start.
    pub fn audit_mismatches(&self) -> u64 {
        self.audit_mismatches
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    fn view(&self, live: &Live) -> WorkloadView {
        WorkloadView { record: live.record.clone(), state: self.state(live) }
    }

    pub(super) fn state(&self, live: &Live) -> WorkloadState {
        match live.phase {
            Phase::Clearing(Next::Leave) => WorkloadState::Leaving,
            Phase::Clearing(Next::Attach) => WorkloadState::Pending,
            Phase::Clearing(Next::Hold) => WorkloadState::Failed("its link vanished".to_owned()),
            Phase::Wanted if gate::is_ready(&self.inputs, &self.status, live) => {
                WorkloadState::Ready
            }
            Phase::Wanted => {
                let missing = self.what_is_missing(live);
                if self.has_failed(live) {
                    WorkloadState::Failed(missing)
                } else {
                    WorkloadState::Pending
                }
            }
        }
    }

    fn has_failed(&self, live: &Live) -> bool {
        let record = &live.record;
        let link = self.status.links.get(&record.link_key());
        let endpoint = self.status.endpoints.get(&record.host_interface.as_str().into());
        let routes = record.addresses().map(crate::derive::route::host_key);
        let routes = routes.map(|key| self.status.routes.get(&key));
        // A route whose interface is missing only waits for the link.
        let failed = |failure: &Failure| failure.kind != FailureKind::Gone;
        let mut states = routes.chain([link, endpoint]).flatten();
        states.any(|state| state.failure.as_ref().is_some_and(failed))
    }
}
