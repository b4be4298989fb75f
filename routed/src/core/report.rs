// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the lanes report, and what follows from it.

use std::net::IpAddr;
use std::time::Instant;

use bgp::types::Prefix;
use policy::model::EndpointKey;
use reconcile::{Failure, FailureKind, Outcome, Report};

use super::attach;
use super::request::{Refusal, Reply, Verb};
use super::state::Core;
use super::work::RecordWork;
use crate::derive::{Live, Next, Phase, gate, route};
use crate::model::{LinkKey, NetnsId, RouteKey, Stage, WorkloadId};

/// A report of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusReport {
    /// A link.
    Link(Report<LinkKey>),
    /// A local route.
    Route(Report<RouteKey>),
    /// The policy of a workload.
    Endpoint(Report<EndpointKey>),
    /// A prefix given to BGP: present means originated, absent means withdrawn.
    Advert(Report<Prefix>),
}

impl Core {
    /// Takes in a report. Reports of keys that nobody knows any more are ignored.
    pub fn on_report(&mut self, report: StatusReport, now: Instant) {
        self.bump();
        match report {
            StatusReport::Link(report) => self.on_link(&report, now),
            StatusReport::Route(report) => self.on_route(&report, now),
            StatusReport::Endpoint(report) => self.on_endpoint(&report, now),
            StatusReport::Advert(report) => self.on_advert(&report),
        }
    }

    fn on_link(&mut self, report: &Report<LinkKey>, now: Instant) {
        let Some(live) = self.inputs.by_interface(report.key.as_str()) else { return };
        let id = live.record.id.clone();
        self.status.links.entry(report.key.clone()).or_default().record(report);
        match &report.outcome {
            Outcome::Failed(failure) => self.on_failure(&id, failure, now),
            Outcome::Applied if report.present => {
                self.linked.insert(report.key.clone(), self.revision);
                self.wake_routes(&id);
            }
            Outcome::Applied => {
                self.linked.remove(&report.key);
            }
        }
        self.settle(&id);
    }

    fn on_route(&mut self, report: &Report<RouteKey>, now: Instant) {
        let prefix = report.key.prefix;
        let live = self.inputs.by_address(prefix.addr()).filter(|_| prefix.is_host());
        let id = live.map(|live| live.record.id.clone());
        let state = self.status.routes.entry(report.key).or_default();
        state.record(report);
        match id {
            Some(id) => {
                match &report.outcome {
                    Outcome::Failed(failure) if failure.kind == FailureKind::Fatal => {
                        self.on_failure(&id, failure, now);
                    }
                    Outcome::Failed(failure) if failure.kind == FailureKind::Gone => {
                        self.wake_route(&id, report);
                    }
                    Outcome::Failed(_) | Outcome::Applied => {}
                }
                self.settle(&id);
            }
            None if self.inputs.block(prefix).is_some() => {
                self.dirty.adverts.insert(prefix);
            }
            None => {
                self.status.routes.remove(&report.key);
            }
        }
    }

    fn on_endpoint(&mut self, report: &Report<EndpointKey>, now: Instant) {
        let Some(live) = self.inputs.by_interface(report.key.as_str()) else { return };
        let id = live.record.id.clone();
        self.status.endpoints.entry(report.key.clone()).or_default().record(report);
        if let Outcome::Failed(failure) = &report.outcome
            && failure.kind == FailureKind::Fatal
        {
            self.on_failure(&id, failure, now);
        }
        self.settle(&id);
    }

    fn on_advert(&mut self, report: &Report<Prefix>) {
        let withdrawn = report.outcome == Outcome::Applied && !report.present;
        let prefix = report.key;
        let since = self.status.adverts.get(&prefix);
        if withdrawn && since.is_some_and(|since| report.revision >= *since) {
            self.status.adverts.remove(&prefix);
            if let Some(id) = self.owner(prefix.addr()).filter(|_| prefix.is_host()) {
                self.settle(&id);
            }
        }
    }

    fn owner(&self, address: IpAddr) -> Option<WorkloadId> {
        self.inputs.by_address(address).map(|live| live.record.id.clone())
    }

    /// A part of a workload cannot be made.
    fn on_failure(&mut self, id: &WorkloadId, failure: &Failure, now: Instant) {
        let Some(live) = self.inputs.workload(id).filter(|live| live.is_wanted()) else { return };
        match failure.kind {
            FailureKind::Gone => {
                tracing::warn!(workload = %id, reason = %failure, "its link vanished");
                let pending = live.record.stage == Stage::Pending;
                self.hold(id, pending, &failure.reason, now);
            }
            // Nobody is told of a workload that cannot be: nothing of it stays.
            FailureKind::Fatal if self.is_awaited(id, Verb::Attach) => {
                let refusal = Refusal::Kernel(failure.reason.clone());
                self.refuse(id, Verb::Attach, &refusal);
                self.leave(id);
            }
            FailureKind::Fatal | FailureKind::Retry | FailureKind::Resync => {}
        }
    }

    /// Nothing of the workload is wanted any more, but its addresses stay its own for a while.
    pub(super) fn hold(&mut self, id: &WorkloadId, pending: bool, reason: &str, now: Instant) {
        self.refuse(id, Verb::Attach, &Refusal::TryAgain(reason.to_owned()));
        let grace = if pending { self.settings.pending_grace } else { self.settings.hold_down };
        self.enter(id, Phase::Clearing(Next::Hold));
        self.held.insert(id.clone(), now + grace);
    }

    /// A route whose interface was missing waits for a new publication: now the link is there.
    fn wake_routes(&mut self, id: &WorkloadId) {
        let Some(live) = self.inputs.workload(id).filter(|live| live.is_wanted()) else { return };
        for address in live.record.addresses() {
            let key = route::host_key(address);
            let failure = self.status.routes.get(&key).and_then(|state| state.failure.as_ref());
            if failure.is_some_and(|failure| failure.kind == FailureKind::Gone) {
                self.dirty.routes.insert(key, true);
            }
        }
    }

    /// The same for a route that failed before the link was known to be there. One that was tried
    /// later waits for what becomes of the link.
    fn wake_route(&mut self, id: &WorkloadId, report: &Report<RouteKey>) {
        let Some(live) = self.inputs.workload(id).filter(|live| live.is_wanted()) else { return };
        let linked = self.linked.get(&live.record.link_key());
        if linked.is_some_and(|linked| report.revision < *linked) {
            self.dirty.routes.insert(report.key, true);
        }
    }

    /// Takes the next step of a workload, if what it waits for has come.
    pub(super) fn settle(&mut self, id: &WorkloadId) {
        let Some(live) = self.inputs.workload(id) else { return };
        self.dirty.adverts.extend(live.record.addresses().map(Prefix::host));
        match live.phase {
            Phase::Wanted => self.settle_wanted(id),
            Phase::Clearing(next) => self.settle_clearing(id, next),
        }
    }

    fn settle_clearing(&mut self, id: &WorkloadId, next: Next) {
        let Some(live) = self.inputs.workload(id) else { return };
        if !gate::is_cleared(&self.inputs, &self.status, live) {
            return;
        }
        self.answer(id, Verb::Detach, &Ok(Reply::Detached));
        self.leave_namespace(id);
        let Some(live) = self.inputs.workload(id) else { return };
        match next {
            Next::Attach if gate::has_slot(&self.inputs, live) => self.enter(id, Phase::Wanted),
            Next::Leave if gate::is_free(&self.status, live) => {
                self.remove_record(id);
            }
            Next::Attach | Next::Leave | Next::Hold => {}
        }
    }

    /// The former link is gone: whoever waits for its place may go on.
    fn leave_namespace(&mut self, id: &WorkloadId) {
        let Some(live) = self.inputs.workload(id) else { return };
        let Some(former) = live.former else { return };
        self.inputs.put_workload(Live { former: None, ..live.clone() });
        self.settle_others(id, former);
    }

    /// Settles those who claim the same interface of a namespace.
    pub(super) fn settle_others(&mut self, id: &WorkloadId, netns: NetnsId) {
        let claims = self.inputs.by_slot(netns, id.ifname());
        let others: Vec<_> = claims.filter(|other| *other != id).cloned().collect();
        for other in others {
            self.settle(&other);
        }
    }

    /// Has a record removed, unless its removal failed a moment ago.
    fn remove_record(&mut self, id: &WorkloadId) {
        let remove = RecordWork::Remove;
        if self.retries.get(id) != Some(&remove) {
            self.retries.remove(id);
            self.records.insert(id.clone(), remove);
        }
    }

    fn settle_wanted(&mut self, id: &WorkloadId) {
        let Some(live) = self.inputs.workload(id) else { return };
        if !self.is_awaited(id, Verb::Attach) || !gate::is_ready(&self.inputs, &self.status, live) {
            return;
        }
        let answer = attach::answer_of(&live.record);
        if live.record.stage == Stage::Pending {
            self.edit(id, |record| record.stage = Stage::Attached);
        }
        self.answer(id, Verb::Attach, &Ok(Reply::Attached(answer)));
    }
}
