// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests: attach, detach, check.

use std::time::Instant;

use super::name;
use super::request::{Event, Handover, Refusal, Reply, Ticket, Verb, Waiter};
use super::state::Core;
use super::view::WorkloadState;
use super::work::RecordWork;
use crate::config::Mtu;
use crate::derive::{Live, Next, Phase, gate, link};
use crate::ipam::Allocation;
use crate::model::{
    AttachAnswer, AttachRequest, DetachRequest, LinkSpec, NetnsId, Stage, Workload, WorkloadId,
};

/// Smallest MTU that carries IPv6 (RFC 8200 §5).
const MIN_MTU: u32 = 1280;

impl Core {
    /// Attaches a container (CNI ADD). The answer comes as an [`Event`].
    ///
    /// An id that is attached to the same namespace already gets the same answer. With another
    /// namespace it is attached anew and keeps its addresses.
    pub fn attach(&mut self, ticket: Ticket, request: &AttachRequest, now: Instant) -> Handover {
        self.bump();
        match self.try_attach(request, now) {
            Ok(handover) => {
                let deadline = now + self.settings.deadline;
                let waiter = Waiter { ticket, deadline, verb: Verb::Attach };
                self.waiters.entry(request.id.clone()).or_default().push(waiter);
                self.settle(&request.id);
                handover
            }
            Err(refusal) => {
                self.events.push_back(Event { ticket, reply: Err(refusal) });
                Handover::NotNeeded
            }
        }
    }

    /// Ends an attachment (CNI DEL). The answer comes as an [`Event`].
    ///
    /// Nothing to do is success: an id that is not attached, or one that lives in another
    /// namespace than the one named by now.
    pub fn detach(&mut self, ticket: Ticket, request: &DetachRequest, now: Instant) {
        self.bump();
        let other = |live: &Live| request.netns.is_some_and(|netns| netns != live.record.netns);
        if self.inputs.workload(&request.id).is_none_or(other) {
            self.events.push_back(Event { ticket, reply: Ok(Reply::Detached) });
            return;
        }
        let deadline = now + self.settings.deadline;
        let waiter = Waiter { ticket, deadline, verb: Verb::Detach };
        self.waiters.entry(request.id.clone()).or_default().push(waiter);
        self.leave(&request.id);
        self.settle(&request.id);
    }

    /// What a container's link must look like (CNI CHECK), if everything else of it is in force, and its record.
    ///
    /// # Errors
    /// Names the first difference. What is on its way, as after a start, is worth another try.
    pub fn check(&self, id: &WorkloadId, netns: NetnsId) -> Result<(LinkSpec, Workload), Refusal> {
        let unknown = || Refusal::Unknown(id.clone());
        let live = self.inputs.workload(id).ok_or_else(unknown)?;
        if live.phase == Phase::Clearing(Next::Leave) {
            return Err(unknown());
        }
        if live.record.netns != netns {
            let text = format!("{id} is attached to namespace {}, not {netns}", live.record.netns);
            return Err(Refusal::Differs(text));
        }
        if !gate::is_ready(&self.inputs, &self.status, live) {
            let text = self.what_is_missing(live);
            let comes = self.state(live) == WorkloadState::Pending;
            return Err(if comes { Refusal::TryAgain(text) } else { Refusal::Differs(text) });
        }
        let spec = link::derive(&self.inputs, &live.record.link_key()).ok_or_else(unknown)?;
        Ok((spec, live.record.clone()))
    }

    /// Starts the end of a workload, whatever it was doing.
    pub(super) fn leave(&mut self, id: &WorkloadId) {
        self.refuse(id, Verb::Attach, &Refusal::TryAgain(format!("{id} was detached meanwhile")));
        let Some(live) = self.inputs.workload(id) else { return };
        let phase = live.phase;
        if live.record.stage != Stage::Leaving {
            self.edit(id, |record| record.stage = Stage::Leaving);
        }
        match phase {
            Phase::Clearing(Next::Leave) => {}
            // It is being cleared already: what was reported gone stays gone.
            Phase::Clearing(_) => self.redirect(id, Next::Leave),
            Phase::Wanted => self.enter(id, Phase::Clearing(Next::Leave)),
        }
    }

    /// Changes what follows the clearing of a workload.
    fn redirect(&mut self, id: &WorkloadId, next: Next) {
        self.held.remove(id);
        if let Some(live) = self.inputs.workload(id) {
            self.inputs.put_workload(Live { phase: Phase::Clearing(next), ..live.clone() });
        }
    }

    fn try_attach(&mut self, request: &AttachRequest, now: Instant) -> Result<Handover, Refusal> {
        let wait = |what: &str| Refusal::TryAgain(what.to_owned());
        let config = self.inputs.config();
        let config = config.ok_or_else(|| wait("no good configuration was loaded yet"))?;
        if !config.node.kernel.routes {
            return Err(Refusal::NoWorkloads);
        }
        let Some(live) = self.inputs.workload(&request.id) else {
            return self.attach_new(request, now);
        };
        let holds = |address| live.record.addresses().any(|held| held == address);
        if !request.addresses.iter().copied().all(holds) {
            let text = format!("{} is still attached with another address", request.id);
            self.leave(&request.id);
            self.settle(&request.id);
            return Err(Refusal::TryAgain(text));
        }
        let same = live.record.netns == request.netns;
        match live.phase {
            Phase::Wanted if same => Ok(self.join(&request.id)),
            Phase::Clearing(Next::Attach) if same => Ok(Handover::Needed),
            phase => self.attach_again(request, phase),
        }
    }

    /// A repeated request while the first one is served, or after it was.
    fn join(&mut self, id: &WorkloadId) -> Handover {
        let Some(live) = self.inputs.workload(id) else { return Handover::NotNeeded };
        let key = live.record.link_key();
        if self.status.links.get(&key).is_some_and(|state| state.is_present(live.since)) {
            return Handover::NotNeeded;
        }
        self.dirty.links.insert(key, true);
        Handover::Needed
    }

    fn attach_again(&mut self, request: &AttachRequest, phase: Phase) -> Result<Handover, Refusal> {
        let id = &request.id;
        let mtu = self.mtu(request)?;
        let refusal =
            Refusal::TryAgain(format!("{id} was attached to another namespace meanwhile"));
        self.refuse(id, Verb::Attach, &refusal);
        self.clear_slot(request);
        let before = self.remember_namespace(id);
        self.edit(id, |record| {
            *record = Workload {
                netns: request.netns,
                mac: request.mac.unwrap_or(record.mac),
                mtu,
                stage: Stage::Pending,
                ..describe(request, record.clone())
            };
        });
        match phase {
            Phase::Wanted => self.enter(id, Phase::Clearing(Next::Attach)),
            Phase::Clearing(_) => self.redirect(id, Next::Attach),
        }
        if let Some(before) = before {
            self.settle_others(id, before);
        }
        Ok(Handover::Needed)
    }

    /// Notes where the link of a workload that moves may still be. Gives where it was to be.
    fn remember_namespace(&mut self, id: &WorkloadId) -> Option<NetnsId> {
        let live = self.inputs.workload(id)?;
        let before = live.record.netns;
        let former = live.former.or(Some(before));
        self.inputs.put_workload(Live { former, ..live.clone() });
        Some(before)
    }

    fn attach_new(&mut self, request: &AttachRequest, now: Instant) -> Result<Handover, Refusal> {
        let id = &request.id;
        let mtu = self.mtu(request)?;
        let Allocation { v4, v6 } =
            self.ipam.allocate(id, request.families, &request.addresses, now)?;
        let prefix = self.inputs.config().map(|c| c.node.workloads.interface_prefix.as_str());
        let host_interface = name::host_interface(&self.inputs, prefix.unwrap_or_default(), id);
        let record = Workload {
            id: id.clone(),
            netns: request.netns,
            namespace: String::new(),
            name: String::new(),
            labels: request.labels.clone(),
            v4,
            v6,
            mac: request.mac.unwrap_or_else(|| name::mac(id)),
            mtu,
            host_interface,
            created: request.received,
            stage: Stage::Pending,
        };
        let record = describe(request, record);
        let taken = self.clear_slot(request);
        let phase = if taken { Phase::Clearing(Next::Attach) } else { Phase::Wanted };
        self.inputs.put_workload(Live { record, phase, since: self.revision, former: None });
        self.mark_workload(id);
        self.fresh.insert(id.clone());
        self.records.insert(id.clone(), RecordWork::Write);
        Ok(Handover::Needed)
    }

    /// Detaches whoever else claims the interface asked for: its container is gone, only nobody
    /// said so. True if there is somebody.
    fn clear_slot(&mut self, request: &AttachRequest) -> bool {
        let claims = self.inputs.by_slot(request.netns, request.id.ifname());
        let others: Vec<_> = claims.filter(|id| **id != request.id).cloned().collect();
        for other in &others {
            tracing::warn!(workload = %other, by = %request.id, "replaced in its namespace");
            self.leave(other);
            self.settle(other);
        }
        !others.is_empty()
    }

    fn mtu(&self, request: &AttachRequest) -> Result<u32, Refusal> {
        let mtu = match (request.mtu, self.inputs.config().map(|c| c.node.workloads.mtu)) {
            (Some(mtu), _) | (None, Some(Mtu::Fixed(mtu))) => mtu,
            (None, Some(Mtu::Auto) | None) => self.uplink_mtu()?,
        };
        if mtu < MIN_MTU {
            let text = format!("an MTU of {mtu} is less than {MIN_MTU}");
            return Err(Refusal::Kernel(text));
        }
        Ok(mtu)
    }

    /// What is not in force, for people.
    pub(super) fn what_is_missing(&self, live: &Live) -> String {
        let record = &live.record;
        if !live.is_wanted() {
            return format!("{} is being cleared away", record.id);
        }
        let waiting = |what: &str, state: Option<&crate::derive::KeyState>| {
            let state = state.filter(|state| !state.is_present(live.since));
            let reason = state.and_then(|state| state.failure.as_ref());
            let reason = reason.map(|failure| format!(": {failure}")).unwrap_or_default();
            format!("{what} is not in force{reason}")
        };
        let link = self.status.links.get(&record.link_key());
        if !link.is_some_and(|state| state.is_present(live.since)) {
            return waiting(&format!("link {}", record.host_interface), link);
        }
        for address in record.addresses() {
            let route = self.status.routes.get(&crate::derive::route::host_key(address));
            if !route.is_some_and(|state| state.is_present(live.since)) {
                return waiting(&format!("route to {address}"), route);
            }
        }
        let key = record.host_interface.as_str().into();
        waiting(&format!("policy of {}", record.host_interface), self.status.endpoints.get(&key))
    }

    fn uplink_mtu(&self) -> Result<u32, Refusal> {
        let wait = || Refusal::TryAgain("the uplinks were not observed yet".to_owned());
        let uplinks = self.inputs.uplinks().ok_or_else(wait)?;
        let config = self.inputs.config().ok_or_else(wait)?;
        let selected = crate::derive::address::selected(config, uplinks);
        Ok(selected.map(|uplink| uplink.mtu).min().unwrap_or(1500))
    }

    /// Answers everybody who waits for a verb with a refusal.
    pub(super) fn refuse(&mut self, id: &WorkloadId, verb: Verb, refusal: &Refusal) {
        self.answer(id, verb, &Err(refusal.clone()));
    }

    /// Answers everybody who waits for a verb.
    pub(super) fn answer(&mut self, id: &WorkloadId, verb: Verb, reply: &Result<Reply, Refusal>) {
        let Some(waiters) = self.waiters.get_mut(id) else { return };
        for waiter in waiters.extract_if(.., |waiter| waiter.verb == verb) {
            self.events.push_back(Event { ticket: waiter.ticket, reply: reply.clone() });
        }
        if waiters.is_empty() {
            self.waiters.remove(id);
        }
    }

    pub(super) fn is_awaited(&self, id: &WorkloadId, verb: Verb) -> bool {
        self.waiters.get(id).is_some_and(|waiters| waiters.iter().any(|w| w.verb == verb))
    }

    pub(super) fn expire_waiters(&mut self, now: Instant) {
        let mut late = Vec::new();
        for (id, waiters) in &mut self.waiters {
            let expired = waiters.extract_if(.., |waiter| waiter.deadline <= now);
            late.extend(expired.map(|waiter| (id.clone(), waiter)));
        }
        self.waiters.retain(|_, waiters| !waiters.is_empty());
        for (id, waiter) in late {
            let text = match (self.inputs.workload(&id), waiter.verb) {
                (Some(live), Verb::Attach) => self.what_is_missing(live),
                (_, Verb::Detach) => format!("{id} is still being cleared away"),
                (None, Verb::Attach) => format!("{id} is not attached"),
            };
            let reply = Err(Refusal::TryAgain(text));
            self.events.push_back(Event { ticket: waiter.ticket, reply });
        }
    }
}

/// The answer that a record stands for.
pub fn answer_of(record: &Workload) -> AttachAnswer {
    AttachAnswer {
        id: record.id.clone(),
        host_interface: record.host_interface.clone(),
        mac: record.mac,
        mtu: record.mtu,
        v4: record.v4,
        v6: record.v6,
    }
}

/// The record with what the request says for people and selectors.
fn describe(request: &AttachRequest, record: Workload) -> Workload {
    Workload {
        namespace: request.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        name: request.name.clone().unwrap_or_else(|| request.id.container_id().to_owned()),
        labels: request.labels.clone(),
        ..record
    }
}
