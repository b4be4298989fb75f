// SPDX-License-Identifier: MIT OR Apache-2.0
//! The core's state, and what the owner tells it beside requests and reports.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::SpeakerConfig;
use bgp::types::{Family, Prefix};
use reconcile::Revision;

use super::request::{Event, Waiter};
use super::work::{Dirty, RecordWork, Table};
use crate::config::Config;
use crate::derive::{self, Desired, Inputs, Live, Next, Phase, Status};
use crate::ipam::{COOL_DOWN, Ipam};
use crate::model::{
    BfdSpec, GATEWAY_V4, GATEWAY_V6, LinkKey, Stage, Uplinks, Workload, WorkloadId,
};
use crate::store::{Loaded, Quarantined};

/// Times by which the core decides.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a request may wait for the kernel.
    pub deadline: Duration,
    /// How long the addresses of a workload are held whose link vanished.
    pub hold_down: Duration,
    /// The same, for a workload of which the runtime was never told.
    pub pending_grace: Duration,
    /// Pause before a record that could not be written or removed is tried again.
    pub record_retry: Duration,
    /// How long the first set of adverts may wait for its gates.
    pub advert_patience: Duration,
    /// How long a returned address rests.
    pub cool_down: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            hold_down: Duration::from_secs(15 * 60),
            pending_grace: Duration::from_secs(5 * 60),
            record_retry: Duration::from_secs(1),
            advert_patience: Duration::from_secs(10),
            cool_down: COOL_DOWN,
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Core {
    pub(super) settings: Settings,
    pub(super) revision: Revision,
    pub(super) inputs: Inputs,
    pub(super) status: Status,
    pub(super) ipam: Ipam,
    pub(super) published: Desired,
    pub(super) dirty: Dirty,
    pub(super) completed: BTreeSet<Table>,
    /// The revision at which each link was last reported to be there.
    pub(super) linked: BTreeMap<LinkKey, Revision>,
    /// Until when the first set of adverts may be incomplete.
    pub(super) advert_deadline: Option<Instant>,
    pub(super) records: BTreeMap<WorkloadId, RecordWork>,
    /// Records whose writing or removal failed, and when to try again.
    pub(super) retries: BTreeMap<WorkloadId, RecordWork>,
    pub(super) record_retry: Option<Instant>,
    /// Workloads whose record was never written.
    pub(super) fresh: BTreeSet<WorkloadId>,
    pub(super) waiters: BTreeMap<WorkloadId, Vec<Waiter>>,
    /// Until when the addresses of vanished workloads are held.
    pub(super) held: BTreeMap<WorkloadId, Instant>,
    pub(super) events: VecDeque<Event>,
    pub(super) quarantined: Vec<Quarantined>,
    pub(super) audit_mismatches: u64,
}

impl Core {
    /// A core that takes over the records found on disk.
    pub fn new(settings: Settings, loaded: Loaded) -> Self {
        let mut core = Self {
            settings,
            revision: Revision::default().next(),
            inputs: Inputs::default(),
            status: Status::default(),
            ipam: Ipam::new(settings.cool_down),
            published: Desired::default(),
            dirty: Dirty::default(),
            completed: BTreeSet::new(),
            linked: BTreeMap::new(),
            advert_deadline: None,
            records: BTreeMap::new(),
            retries: BTreeMap::new(),
            record_retry: None,
            fresh: BTreeSet::new(),
            waiters: BTreeMap::new(),
            held: BTreeMap::new(),
            events: VecDeque::new(),
            quarantined: loaded.quarantined,
            audit_mismatches: 0,
        };
        for record in loaded.workloads {
            core.take_over(record);
        }
        core
    }

    /// Replaces the configuration by another good one.
    pub fn on_config(&mut self, config: Arc<Config>, now: Instant) {
        self.bump();
        if self.advert_deadline.is_none() {
            self.advert_deadline = Some(now + self.settings.advert_patience);
        }
        self.mark_everything();
        self.inputs.set_config(config, self.revision);
        self.refresh_ipam();
        self.mark_everything();
        // The gate of a new block waits for a report of this revision.
        let revision = self.revision;
        let is_new = |prefix: &Prefix| self.inputs.block_since(*prefix) == Some(revision);
        let blocks = self.inputs.blocks().iter().map(|block| block.prefix);
        for prefix in blocks.filter(|prefix| !prefix.is_host() && is_new(prefix)) {
            self.dirty.routes.insert(derive::route::key(prefix), true);
        }
    }

    /// Replaces the observation of the node's own interfaces.
    pub fn on_uplinks(&mut self, uplinks: Uplinks) {
        if self.inputs.uplinks() == Some(&uplinks) {
            return;
        }
        self.bump();
        self.inputs.set_uplinks(uplinks);
        self.refresh_ipam();
        for key in derive::route::keys(&self.inputs) {
            self.dirty.routes.entry(key).or_default();
        }
    }

    /// When [`Core::on_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiters = self.waiters.values().flatten().map(|waiter| waiter.deadline);
        let adverts = self.advert_deadline.filter(|_| {
            self.inputs.uplinks().is_some() && !self.completed.contains(&Table::Adverts)
        });
        waiters.chain(self.held.values().copied()).chain(self.record_retry).chain(adverts).min()
    }

    /// Does what is due: refuses requests that waited too long, lets go of held addresses.
    pub fn on_timeout(&mut self, now: Instant) {
        self.bump();
        self.expire_waiters(now);
        let expired: Vec<_> = self
            .held
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            self.held.remove(&id);
            tracing::warn!(workload = %id, "no one claims a vanished workload, its addresses are let go");
            self.leave(&id);
            self.settle(&id);
        }
    }

    /// The next answer. To be drained after each flush.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Derives everything from scratch and compares it with what is published.
    ///
    /// Returns the number of keys that differ; they are published anew at the next flush. Anything
    /// but 0 is a bug of the bookkeeping.
    pub fn audit(&mut self) -> usize {
        if self.inputs.config().is_none() {
            return 0;
        }
        let rebuilt = derive::all(&self.inputs, &self.status);
        self.bump();
        let found = self.dirty.mark_differences(&rebuilt, &self.published);
        if found > 0 {
            tracing::error!(keys = found, "what is published is not what the inputs say");
        }
        self.audit_mismatches += u64::try_from(found).unwrap_or(u64::MAX);
        found
    }

    /// The configuration in force.
    pub fn config(&self) -> Option<&Config> {
        self.inputs.config()
    }

    /// The speaker's configuration as of now.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn speaker_config(&self) -> Result<SpeakerConfig, derive::speaker::NotReady> {
        derive::speaker::derive(&self.inputs)
    }

    /// The wanted BFD sessions as of now.
    pub fn bfd_sessions(&self) -> Vec<BfdSpec> {
        derive::bfd::derive(&self.inputs)
    }

    /// The preferred source of the node's routes of a family.
    pub fn own_address(&self, family: Family) -> Option<IpAddr> {
        derive::address::own(self.inputs.config()?, self.inputs.uplinks()?, family)
    }

    pub(super) fn bump(&mut self) {
        self.revision = self.revision.next();
    }

    pub(super) fn take_over(&mut self, record: Workload) {
        let id = record.id.clone();
        let phase = match record.stage {
            Stage::Pending | Stage::Attached => Phase::Wanted,
            Stage::Leaving => Phase::Clearing(Next::Leave),
        };
        for address in record.addresses() {
            if let Err(error) = self.ipam.adopt(&id, address) {
                tracing::error!(workload = %id, %error, "two records hold one address");
            }
        }
        self.inputs.put_workload(Live { record, phase, since: self.revision, former: None });
        self.mark_workload(&id);
    }

    /// Changes the phase of a workload; only later reports count from here on.
    pub(super) fn enter(&mut self, id: &WorkloadId, phase: Phase) {
        self.bump();
        let Some(live) = self.inputs.workload(id) else { return };
        if phase != Phase::Clearing(Next::Hold) {
            self.held.remove(id);
        }
        self.inputs.put_workload(Live { phase, since: self.revision, ..live.clone() });
        self.mark_workload(id);
    }

    /// Changes a workload's record and has it written.
    pub(super) fn edit(&mut self, id: &WorkloadId, edit: impl FnOnce(&mut Workload)) {
        if let Some(live) = self.inputs.workload(id) {
            let mut live = live.clone();
            edit(&mut live.record);
            self.inputs.put_workload(live);
            self.retries.remove(id);
            self.records.insert(id.clone(), RecordWork::Write);
        }
    }

    /// Has all keys of a workload published anew, whether or not their values change: only so are
    /// they reported as of the new revision.
    pub(super) fn mark_workload(&mut self, id: &WorkloadId) {
        let Some(live) = self.inputs.workload(id) else { return };
        let record = &live.record;
        self.dirty.links.insert(record.link_key(), true);
        self.dirty.endpoints.insert(record.host_interface.as_str().into(), true);
        for address in record.addresses() {
            self.dirty.routes.insert(derive::route::host_key(address), true);
            self.dirty.adverts.insert(Prefix::host(address));
        }
        let record = record.clone();
        self.mark_remotes(&record);
    }

    /// Has the endpoint that a file describes looked at again: it may be this workload.
    pub(super) fn mark_remotes(&mut self, record: &Workload) {
        let described = record.addresses().filter_map(|address| self.inputs.static_of(address));
        self.dirty.remotes.extend(described.cloned());
    }

    pub(super) fn mark_everything(&mut self) {
        self.dirty.mark_all(&self.inputs);
    }

    pub(super) fn refresh_ipam(&mut self) {
        let own = self.inputs.uplinks().map(|uplinks| uplinks.local.clone()).unwrap_or_default();
        let configured = self.inputs.config().map(|config| &config.node);
        let configured = configured.into_iter().flat_map(|node| {
            let v4 = node.address_v4.map(IpAddr::V4);
            [v4, node.address_v6.map(IpAddr::V6)].into_iter().flatten()
        });
        let reserved: BTreeSet<IpAddr> = own
            .into_iter()
            .chain(configured)
            .chain(self.quarantined.iter().flat_map(|q| q.addresses.iter().copied()))
            .chain([IpAddr::V4(GATEWAY_V4), IpAddr::V6(GATEWAY_V6)])
            .collect();
        self.ipam.set_blocks(self.inputs.blocks(), &reserved);
    }
}
