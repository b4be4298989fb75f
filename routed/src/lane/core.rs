// SPDX-License-Identifier: MIT OR Apache-2.0
//! The main lane: the one owner of [`Core`]. Requests, observations and reports come in, values go to the other lanes.
//!
//! Each turn takes what is there, lets the core decide, flushes, and answers. Nothing here waits for the kernel or a peer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bgp::types::Prefix;
use bgp::{Originate, SpeakerConfig};
use policy::model::{EndpointKey, LocalEndpoint, Policy, PolicyId, RemoteEndpoint};
use reconcile::{Completeness, Mailbox, Report, Revision};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::call::{CniAnswer, CniCall, CniRequest};
use super::check::{Check, CheckCall, Checks, Look};
use super::fib::Sources;
use crate::config::Config;
use crate::core::{
    Core, Counts, Event, Handover as Wanted, Publish, Reply, StatusReport, Table, Ticket,
    WorkloadView,
};
use crate::derive::speaker::NotReady;
use crate::ipam::BlockUsage;
use crate::kernel::{ContainerHandles, Handover};
use crate::model::{
    BfdSpec, LinkKey, LinkSpec, RouteKey, RouteSpec, Uplinks, Workload, WorkloadId,
};
use crate::source::State;
use crate::store::{Store, StoreError};

/// How often everything is derived anew and compared with what is published.
const AUDIT: Duration = Duration::from_secs(600);

/// What the status asks of the core.
pub(crate) struct View {
    /// The configuration in force.
    pub(crate) config: Option<Config>,
    /// Why the configuration read last was refused.
    pub(crate) config_errors: Vec<String>,
    /// Workloads.
    pub(crate) workloads: Vec<WorkloadView>,
    /// Their numbers.
    pub(crate) counts: Counts,
    /// Blocks.
    pub(crate) ipam: Vec<BlockUsage>,
    /// The blocks' own routes are in force.
    pub(crate) blocks_open: bool,
    /// What the speaker was told, or why it does not run.
    pub(crate) speaker: Result<SpeakerConfig, NotReady>,
    /// Record files set aside at the start.
    pub(crate) quarantined: usize,
    /// Keys that an audit found published wrongly.
    pub(crate) audit_mismatches: u64,
}

/// Mailboxes towards the other lanes.
pub(crate) struct Outlets {
    pub(crate) store: Store,
    pub(crate) links: Mailbox<LinkKey, LinkSpec>,
    pub(crate) routes: Mailbox<RouteKey, RouteSpec>,
    pub(crate) adverts: Mailbox<Prefix, Originate>,
    pub(crate) withdrawals: Mailbox<Prefix, ()>,
    pub(crate) endpoints: Mailbox<EndpointKey, LocalEndpoint>,
    pub(crate) remotes: Mailbox<EndpointKey, RemoteEndpoint>,
    pub(crate) policies: Mailbox<PolicyId, Arc<Policy>>,
    pub(crate) offers: Offers,
    pub(crate) bfd: watch::Sender<Vec<BfdSpec>>,
}

/// Handles of containers whose link was not published yet: the lane of the links would take them for those of the link
/// that is still to be removed.
pub(crate) struct Offers {
    handover: Handover,
    /// With whether the workload was known before.
    held: BTreeMap<LinkKey, (ContainerHandles, bool)>,
}

impl Offers {
    /// Nothing is held.
    pub(crate) const fn new(handover: Handover) -> Self {
        Self { handover, held: BTreeMap::new() }
    }

    fn hold(&mut self, key: LinkKey, handles: ContainerHandles, known: bool) {
        self.held.insert(key, (handles, known));
    }

    /// The link is about to be published: from now on its lane has the handles.
    fn hand_over(&mut self, key: &LinkKey, spec: &LinkSpec) {
        if self.held.get(key).is_none_or(|(handles, _)| handles.id() != spec.netns) {
            return;
        }
        match self.held.remove(key) {
            Some((handles, true)) => self.handover.offer_again(key, handles),
            Some((handles, false)) => self.handover.offer(key, handles),
            None => {}
        }
    }

    fn revoke(&mut self, key: &LinkKey) {
        self.held.remove(key);
        self.handover.revoke(key);
    }
}

/// Mailboxes from the other lanes.
#[derive(Clone, Default)]
pub(crate) struct Reports {
    pub(crate) links: Mailbox<LinkKey, Report<LinkKey>>,
    pub(crate) routes: Mailbox<RouteKey, Report<RouteKey>>,
    pub(crate) endpoints: Mailbox<EndpointKey, Report<EndpointKey>>,
    pub(crate) adverts: Mailbox<Prefix, Report<Prefix>>,
}

/// Everything that reaches the main lane.
pub(crate) struct Inlets {
    /// From the CNI server.
    pub(crate) calls: mpsc::Receiver<CniCall>,
    /// From the admin server.
    pub(crate) views: mpsc::Receiver<oneshot::Sender<View>>,
    /// From the configuration source.
    pub(crate) config: watch::Receiver<State>,
    /// From the fabric lane.
    pub(crate) uplinks: watch::Receiver<Option<Uplinks>>,
    /// From all lanes.
    pub(crate) reports: Reports,
}

/// The main lane.
pub(crate) struct MainLane {
    core: Core,
    out: Outlets,
    checks: Checks,
    speaker: watch::Sender<Option<SpeakerConfig>>,
    sources: watch::Sender<Sources>,
    waiting: BTreeMap<Ticket, Waiting>,
    next_ticket: Ticket,
}

/// A request that the core has not answered yet.
struct Waiting {
    reply: oneshot::Sender<CniAnswer>,
    /// The link whose descriptors were offered for this request.
    offered: Option<LinkKey>,
    /// The link that is there already, and a way to look at the container's end.
    again: Option<Look>,
}

impl MainLane {
    /// The lane before it runs.
    pub(crate) fn new(
        core: Core,
        out: Outlets,
        checks: mpsc::Sender<CheckCall>,
        speaker: watch::Sender<Option<SpeakerConfig>>,
        sources: watch::Sender<Sources>,
    ) -> Self {
        Self {
            core,
            out,
            checks: Checks::new(checks),
            speaker,
            sources,
            waiting: BTreeMap::new(),
            next_ticket: 0,
        }
    }

    /// Runs until cancelled.
    pub(crate) async fn run(mut self, mut inlets: Inlets, cancel: CancellationToken) {
        let mut audit = Instant::now() + AUDIT;
        inlets.config.mark_changed();
        inlets.uplinks.mark_changed();
        // Before the first call is answered: plugins wait already.
        self.take_config(&mut inlets.config, Instant::now());
        while !cancel.is_cancelled() {
            let reports = inlets.reports.clone();
            let timeouts = [self.core.poll_timeout(), self.checks.poll_timeout()];
            let due = timeouts.into_iter().flatten().fold(audit, Instant::min);
            // Every arm but the two queues only waits; a queue's item is handled at once.
            tokio::select! {
                () = cancel.cancelled() => return,
                () = reports.links.changed() => {}
                () = reports.routes.changed() => {}
                () = reports.endpoints.changed() => {}
                () = reports.adverts.changed() => {}
                // Waiting marks it as seen, but it is taken below.
                Ok(()) = inlets.config.changed() => inlets.config.mark_changed(),
                Ok(()) = inlets.uplinks.changed() => {}
                Some(call) = inlets.calls.recv(), if self.core.is_informed() => self.on_call(call),
                Some(reply) = inlets.views.recv() => {
                    let errors =
                        inlets.config.borrow().errors.iter().map(ToString::to_string).collect();
                    // The one who asked may have gone.
                    let _gone = reply.send(self.view(errors));
                }
                Some(looked) = self.checks.ended() => Checks::answer(&self.core, looked),
                () = tokio::time::sleep_until(due.into()) => {}
            }
            let now = Instant::now();
            self.take_config(&mut inlets.config, now);
            if let Some(uplinks) = inlets.uplinks.borrow_and_update().clone() {
                self.core.on_uplinks(uplinks);
            }
            self.take_reports(&reports, now);
            if self.core.poll_timeout().is_some_and(|due| due <= now) {
                self.core.on_timeout(now);
            }
            if audit <= now {
                self.core.audit();
                audit = now + AUDIT;
            }
            self.settle(now);
            self.checks.check_again(&self.core, now);
        }
    }

    fn take_config(&mut self, config: &mut watch::Receiver<State>, now: Instant) {
        if !config.has_changed().unwrap_or(false) && self.core.config().is_some() {
            return;
        }
        let loaded = config.borrow_and_update().loaded.clone();
        if let Some(loaded) = loaded
            && self.core.config() != Some(&loaded.config)
        {
            tracing::info!("configuration in force");
            self.core.on_config(loaded.config, now);
        }
    }

    fn take_reports(&mut self, reports: &Reports, now: Instant) {
        fn taken<K: std::hash::Hash + Eq + Clone>(
            mailbox: &Mailbox<K, Report<K>>,
        ) -> impl Iterator<Item = Report<K>> {
            mailbox.take().entries.into_iter().filter_map(|(_, change)| change.value)
        }
        for report in taken(&reports.links) {
            self.core.on_report(StatusReport::Link(report), now);
        }
        for report in taken(&reports.routes) {
            self.core.on_report(StatusReport::Route(report), now);
        }
        for report in taken(&reports.endpoints) {
            self.core.on_report(StatusReport::Endpoint(report), now);
        }
        for report in taken(&reports.adverts) {
            self.core.on_report(StatusReport::Advert(report), now);
        }
    }

    /// Publishes until there is nothing more to publish, then answers.
    fn settle(&mut self, now: Instant) {
        self.core.flush(&mut self.out, now);
        while let Some(event) = self.core.poll_event() {
            self.answer(event);
            self.core.flush(&mut self.out, now);
        }
        let speaker = self.core.speaker_config().ok();
        self.speaker.send_if_modified(|told| replace_if_new(told, speaker));
        let bfd = self.core.bfd_sessions();
        self.out.bfd.send_if_modified(|told| {
            let is_new = *told != bfd;
            *told = bfd;
            is_new
        });
        let sources = Sources {
            v4: self.core.own_address(bgp::types::Family::Ipv4Unicast),
            v6: self.core.own_address(bgp::types::Family::Ipv6Unicast),
        };
        self.sources.send_if_modified(|told| {
            let is_new = *told != sources;
            *told = sources;
            is_new
        });
    }

    fn on_call(&mut self, call: CniCall) {
        let now = Instant::now();
        match call.request {
            CniRequest::Attach { request, handles } => {
                let known = self.core.workload(&request.id).is_some();
                let ticket = self.take_ticket(call.reply);
                let wanted = self.core.attach(ticket, &request, now);
                let key = self.core.workload(&request.id).map(|view| view.record.link_key());
                let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
                if let (Wanted::Needed, Some(key)) = (wanted, key) {
                    self.out.offers.hold(key.clone(), handles, known);
                    waiting.offered = Some(key);
                } else if let Ok((spec, _)) = self.core.check(&request.id, request.netns) {
                    waiting.again = Some(Look { spec, handles, mend: true });
                }
            }
            CniRequest::Detach(request) => {
                let ticket = self.take_ticket(call.reply);
                self.core.detach(ticket, &request, now);
            }
            CniRequest::Check { id, netns, handles } => {
                let check = Check::new((id, netns), handles, call.reply, now);
                self.checks.check(&self.core, check, now);
            }
        }
    }

    fn take_ticket(&mut self, reply: oneshot::Sender<CniAnswer>) -> Ticket {
        self.next_ticket += 1;
        self.waiting.insert(self.next_ticket, Waiting { reply, offered: None, again: None });
        self.next_ticket
    }

    fn answer(&mut self, event: Event) {
        let Some(waiting) = self.waiting.remove(&event.ticket) else { return };
        if let Err(refusal) = &event.reply {
            let mut others = self.waiting.values().filter_map(|other| other.offered.as_ref());
            if let Some(key) = &waiting.offered
                && others.all(|other| other != key)
            {
                self.out.offers.revoke(key);
            }
            tracing::warn!(%refusal, "request refused");
        }
        if let (Ok(Reply::Attached(answer)), Some(look)) = (&event.reply, waiting.again) {
            self.checks.look(look, answer.clone(), waiting.reply);
            return;
        }
        // The plugin may have gone; its retry gets the same answer.
        let _gone = waiting.reply.send(event.reply.into());
    }

    fn view(&self, config_errors: Vec<String>) -> View {
        View {
            config: self.core.config().cloned(),
            config_errors,
            workloads: self.core.workloads().collect(),
            counts: self.core.counts(),
            ipam: self.core.ipam(Instant::now()),
            blocks_open: self.core.are_blocks_open(),
            speaker: self.core.speaker_config(),
            quarantined: self.core.quarantined().len(),
            audit_mismatches: self.core.audit_mismatches(),
        }
    }
}

fn replace_if_new<T: PartialEq>(told: &mut T, new: T) -> bool {
    let is_new = *told != new;
    if is_new {
        *told = new;
    }
    is_new
}

impl Publish for Outlets {
    fn put_record(&mut self, record: &Workload) -> Result<(), StoreError> {
        self.store.put(record)
    }

    fn remove_record(&mut self, id: &WorkloadId) -> Result<(), StoreError> {
        self.store.remove(id)
    }

    fn link(&mut self, key: LinkKey, value: Option<LinkSpec>, revision: Revision) {
        if let Some(spec) = &value {
            self.offers.hand_over(&key, spec);
        }
        self.links.publish(key, value, revision);
    }

    fn route(&mut self, key: RouteKey, value: Option<RouteSpec>, revision: Revision) {
        self.routes.publish(key, value, revision);
    }

    fn advert(&mut self, key: Prefix, value: Option<Originate>, revision: Revision) {
        let withdrawn = value.is_none();
        self.adverts.publish(key, value, revision);
        if withdrawn {
            self.withdrawals.publish(key, Some(()), revision);
        }
    }

    fn endpoint(&mut self, key: EndpointKey, value: Option<LocalEndpoint>, revision: Revision) {
        self.endpoints.publish(key, value, revision);
    }

    fn remote(&mut self, key: EndpointKey, value: Option<RemoteEndpoint>, revision: Revision) {
        self.remotes.publish(key, value, revision);
    }

    fn policy(&mut self, key: PolicyId, value: Option<Arc<Policy>>, revision: Revision) {
        self.policies.publish(key, value, revision);
    }

    fn complete(&mut self, table: Table) {
        match table {
            Table::Links => self.links.set_completeness(Completeness::Complete),
            Table::Routes => self.routes.set_completeness(Completeness::Complete),
            Table::Adverts => self.adverts.set_completeness(Completeness::Complete),
            Table::Endpoints => self.endpoints.set_completeness(Completeness::Complete),
            Table::Remotes => self.remotes.set_completeness(Completeness::Complete),
            Table::Policies => self.policies.set_completeness(Completeness::Complete),
        }
    }
}
