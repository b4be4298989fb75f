// SPDX-License-Identifier: MIT OR Apache-2.0
//! Answers to operators: collects what the lanes know and puts it into the JSON contract.

use std::time::{Duration, Instant};

use bgp::types::Prefix;
use bgp::{Handle, RibQuery, RibRoute, RibView, RouteReason, State};
use tokio::sync::{mpsc, oneshot, watch};

use super::{bgp as speaker, policy as policies};
use crate::core::WorkloadState;
use crate::lane::bfd::Seen;
use crate::lane::core::View;
use crate::lane::policy::Answers as PolicyAnswers;
use crate::lane::reconciler::{Entry, Handle as TableHandle};
use crate::model::{LinkKey, LinkSpec, RouteKey, RouteKind, RouteSpec, count};
use crate::server::api;
use crate::server::{AdminApi, ApiError, RouteQuery, RouteTarget};

/// Everybody who knows something.
#[derive(Clone)]
pub(super) struct Answers {
    pub(super) started: Instant,
    pub(super) views: mpsc::Sender<oneshot::Sender<View>>,
    pub(super) bgp: Handle,
    pub(super) links: TableHandle<LinkKey, LinkSpec>,
    pub(super) local_routes: TableHandle<RouteKey, RouteSpec>,
    pub(super) learned_routes: TableHandle<RouteKey, RouteSpec>,
    pub(super) policy: PolicyAnswers,
    /// What the fabric lane found wrong with the node.
    pub(super) problems: watch::Receiver<Vec<String>>,
    /// What is known about BFD sessions.
    pub(super) bfd: watch::Receiver<Seen>,
}

fn gone<E>(_: E) -> ApiError {
    ApiError::Unavailable("the daemon is starting or shutting down".to_owned())
}

impl Answers {
    async fn view(&self) -> Result<View, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.views.send(reply).await.map_err(gone)?;
        answer.await.map_err(gone)
    }

    fn clock() -> speaker::Clock {
        speaker::Clock::new(jiff::Timestamp::now(), Instant::now())
    }

    /// Peers; none while the speaker waits for its configuration.
    async fn peers(&self, view: &View) -> Vec<bgp::PeerStatus> {
        if view.speaker.is_err() {
            return Vec::new();
        }
        let asked = tokio::time::timeout(Duration::from_secs(2), self.bgp.peers());
        asked.await.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn rib(&self, query: RibQuery) -> Result<Vec<RibRoute>, ApiError> {
        self.bgp.rib(query).await.map_err(gone)
    }

    /// The paths of the longest prefix around an address.
    async fn longest(
        &self,
        base: RibQuery,
        address: std::net::IpAddr,
    ) -> Result<Vec<RibRoute>, ApiError> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        for len in (0..=most).rev() {
            let Ok(prefix) = Prefix::new_masked(address, len) else { continue };
            let found =
                self.rib(RibQuery { prefix: Some(prefix), longer: false, ..base.clone() }).await?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(Vec::new())
    }

    /// The peer's name where its address was given.
    async fn peer_name(&self, wanted: String) -> Result<String, ApiError> {
        let peers = self.bgp.peers().await.map_err(gone)?;
        let found = peers.iter().find(|p| p.name == wanted || p.address.to_string() == wanted);
        found
            .map(|peer| peer.name.clone())
            .ok_or_else(|| ApiError::NotFound(format!("no peer {wanted}")))
    }
}

impl AdminApi for Answers {
    async fn status(&self) -> Result<api::Status, ApiError> {
        let view = self.view().await?;
        let peers = self.peers(&view).await;
        let tables = [*self.local_routes.stats.borrow(), *self.learned_routes.stats.borrow()];
        let nft = self.policy.stats();
        let established = peers.iter().filter(|p| p.state == State::Established).count();
        let mut status = api::Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            bgp: api::BgpCounts { established, configured: peers.len() },
            routes: api::RouteCounts {
                programmed: tables.iter().map(|t| t.desired.saturating_sub(t.pending)).sum(),
                pending: tables.iter().map(|t| t.pending.saturating_sub(t.failed)).sum(),
                failed: tables.iter().map(|t| t.failed).sum(),
            },
            workloads: api::WorkloadCounts {
                ready: view.counts.ready,
                pending: view.counts.pending,
                failed: view.counts.failed,
            },
            policy: api::PolicyCounts {
                revision: nft.revision,
                policies: nft.policies,
                pending: nft.pending,
            },
            ..api::Status::default()
        };
        status.ipam = view.ipam.iter().map(block_use).collect();
        let lag = self.lag(&view);
        status.kernel.in_sync = view.config.is_some() && lag.reasons().is_empty();
        status.kernel.drift_repaired = nft.drifted + self.drift_repaired();
        if let Some(config) = &view.config {
            status.node.clone_from(&config.node.name);
            status.as_number = config.node.asn.0;
        }
        if let Ok(speaker) = &view.speaker {
            status.router_id = speaker.router_id.to_string();
        }
        judge(&mut status, &view, &peers, &lag);
        status.reasons.extend(bfd_problems(&peers, &self.bfd.borrow()));
        status.reasons.extend(self.problems.borrow().iter().cloned());
        status.degraded = !status.reasons.is_empty();
        Ok(status)
    }

    async fn bgp_peers(&self) -> Result<Vec<api::BgpPeer>, ApiError> {
        let view = self.view().await?;
        let clock = Self::clock();
        let peers = self.peers(&view).await;
        let bfd = self.bfd.borrow();
        Ok(peers.iter().map(|peer| speaker::peer(peer, &bfd, clock)).collect())
    }

    async fn bgp_routes(&self, query: RouteQuery) -> Result<Vec<api::BgpRoute>, ApiError> {
        let view = match (query.from, query.rejected) {
            (Some(peer), rejected) => {
                RibView::Received { peer: self.peer_name(peer).await?, rejected }
            }
            (None, true) => RibView::Rejected,
            (None, false) => RibView::Loc,
        };
        let base = RibQuery { family: query.family, prefix: None, longer: query.longer, view };
        let (mut found, wanted) = match query.target {
            Some(RouteTarget::Address(address)) => {
                (self.longest(base, address).await?, address.to_string())
            }
            Some(RouteTarget::Prefix(prefix)) => {
                let query = RibQuery { prefix: Some(prefix), ..base };
                (self.rib(query).await?, prefix.to_string())
            }
            None => (self.rib(base).await?, String::new()),
        };
        // The speaker looks an exact prefix up whatever its family, and shows what it accepted beside what it refused.
        let is_refused = |route: &RibRoute| matches!(route.reason, RouteReason::Rejected(_));
        found.retain(|route| {
            query.family.is_none_or(|family| family == route.prefix.family())
                && (!query.rejected || is_refused(route))
        });
        if query.target.is_some() && found.is_empty() {
            return Err(ApiError::NotFound(format!("no such path to {wanted}")));
        }
        Ok(found.iter().map(speaker::route).collect())
    }

    async fn bgp_why(&self, prefix: Prefix) -> Result<api::BgpWhy, ApiError> {
        let steps = self.bgp.why(prefix).await.map_err(gone)?;
        let steps = steps.iter().map(speaker::why_step).collect();
        Ok(api::BgpWhy { prefix: prefix.to_string(), steps })
    }

    async fn routes(&self) -> Result<Vec<api::Route>, ApiError> {
        let mut entries = self.local_routes.table().await;
        entries.extend(self.learned_routes.table().await);
        entries.sort_by_key(|entry| entry.key);
        Ok(entries.iter().map(route).collect())
    }

    async fn workloads(&self) -> Result<Vec<api::Workload>, ApiError> {
        Ok(self.view().await?.workloads.iter().map(workload).collect())
    }

    async fn ipam(&self) -> Result<Vec<api::IpamBlock>, ApiError> {
        let blocks = self.view().await?.ipam;
        Ok(blocks
            .iter()
            .map(|b| api::IpamBlock {
                pool: b.pool.clone(),
                cidr: b.prefix.to_string(),
                total: b.total.into(),
                in_use: b.in_use.into(),
                reserved: b.reserved.into(),
                cooling: b.cooling.into(),
                free: b.free.into(),
            })
            .collect())
    }

    async fn policies(&self) -> Result<Vec<api::Policy>, ApiError> {
        let list = self.policy.list().await.ok_or(()).map_err(gone)?;
        Ok(list.iter().map(|(summary, _)| policies::summary(summary)).collect())
    }

    async fn policy(&self, name: String) -> Result<api::PolicyDetail, ApiError> {
        let list = self.policy.list().await.ok_or(()).map_err(gone)?;
        let found = list.iter().find(|(_, policy)| policy.id.to_string() == name);
        found
            .map(|(summary, policy)| policies::detail(summary, policy))
            .ok_or_else(|| ApiError::NotFound(format!("no policy {name}")))
    }
}

impl Answers {
    /// What the kernel does not hold as wished, or is not known to hold.
    fn lag(&self, view: &View) -> Lag {
        let Some(kernel) = view.config.as_ref().map(|config| config.node.kernel) else {
            return Lag::default();
        };
        let nft = self.policy.stats();
        // A lane that has not begun has nothing pending either.
        let mut lag =
            Lag { is_unshut: kernel.policy && !nft.closed, policy: nft.pending, ..Lag::default() };
        if kernel.routes {
            lag.links = *self.links.stats.borrow();
            lag.local = *self.local_routes.stats.borrow();
            lag.learned = *self.learned_routes.stats.borrow();
            lag.is_unread =
                [lag.links, lag.local, lag.learned].iter().any(|table| table.dumps == 0);
            lag.is_without_blocks = !view.blocks_open;
        }
        lag
    }

    /// Dumps and hints that led to a write of something that was there before.
    fn drift_repaired(&self) -> u64 {
        let repaired = |stats: reconcile::Stats| stats.drifted;
        repaired(*self.links.stats.borrow())
            + repaired(*self.local_routes.stats.borrow())
            + repaired(*self.learned_routes.stats.borrow())
    }
}

/// Ready or not, and why not or degraded.
fn judge(status: &mut api::Status, view: &View, peers: &[bgp::PeerStatus], lag: &Lag) {
    let mut reasons = Vec::new();
    let has_config = view.config.is_some();
    reasons.extend(view.config_errors.iter().map(|e| format!("configuration refused: {e}")));
    if !has_config {
        reasons.push("no good configuration was loaded yet".to_owned());
    }
    if let (true, Err(missing)) = (has_config, &view.speaker) {
        reasons.push(format!("the speaker does not run: {missing}"));
    }
    for peer in peers.iter().filter(|p| p.state != State::Established) {
        let why = peer.last_down.as_ref().map(|down| format!(": {}", down.reason.as_str()));
        reasons.push(format!("peer {} {}{}", peer.name, peer.state, why.unwrap_or_default()));
    }
    if status.workloads.failed > 0 {
        let failed = count(status.workloads.failed, "workload", "workloads");
        reasons.push(format!("{failed} failed"));
    }
    if view.quarantined > 0 {
        let aside = count(view.quarantined, "workload record", "workload records");
        reasons.push(format!("{aside} set aside"));
    }
    if view.audit_mismatches > 0 {
        let corrected = count(view.audit_mismatches, "key", "keys");
        reasons.push(format!("{corrected} corrected by the audit"));
    }
    reasons.extend(lag.reasons());
    let gates = !lag.is_unshut && !lag.is_without_blocks;
    status.ready = has_config && gates && status.policy.pending == 0 && view.speaker.is_ok();
    status.reasons = reasons;
}

/// Where the kernel is behind the wishes.
#[derive(Clone, Copy, Debug, Default)]
struct Lag {
    /// Workload interfaces without a policy are not shut.
    is_unshut: bool,
    /// A table of the kernel was not read since the start.
    is_unread: bool,
    /// The blocks' own routes are not in force.
    is_without_blocks: bool,
    links: reconcile::Stats,
    local: reconcile::Stats,
    learned: reconcile::Stats,
    /// Objects of nftables.
    policy: usize,
}

impl Lag {
    /// Every difference by name: there is none if and only if the kernel is in sync.
    fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        for (is_so, reason) in [
            (self.is_unshut, "workload interfaces are not shut yet"),
            (self.is_unread, "the kernel's links and routes were not read yet"),
            (self.is_without_blocks, "the routes of the blocks are not in force"),
        ] {
            reasons.extend(is_so.then(|| reason.to_owned()));
        }
        let refused = self.links.failed;
        if refused > 0 {
            reasons.push(format!("{} refused by the kernel", count(refused, "link", "links")));
        }
        let refused = self.local.failed + self.learned.failed;
        if refused > 0 {
            reasons.push(format!("{} refused by the kernel", count(refused, "route", "routes")));
        }
        let waits = |t: reconcile::Stats| t.pending.saturating_sub(t.failed);
        for (waiting, one, many) in [
            (waits(self.links), "link", "links"),
            (waits(self.local), "local route", "local routes"),
            (waits(self.learned), "learned route", "learned routes"),
            (self.policy, "policy object", "policy objects"),
        ] {
            if waiting > 0 {
                reasons.push(format!("{} pending", count(waiting, one, many)));
            }
        }
        reasons
    }
}

/// Peers whose path nobody watches although somebody should.
fn bfd_problems(peers: &[bgp::PeerStatus], seen: &Seen) -> Vec<String> {
    let state = |peer: &bgp::PeerStatus| {
        let state = seen.get(&peer.address)?.as_ref();
        Some(state.map_or_else(|| "noProcess".to_owned(), |state| state.state.clone()))
    };
    let watched = peers.iter().filter_map(|peer| Some((peer, state(peer)?)));
    let bad = watched.filter(|(_, state)| state != "up");
    bad.map(|(peer, state)| format!("peer {}: bfd {state}", peer.name)).collect()
}

fn block_use(b: &crate::ipam::BlockUsage) -> api::BlockUse {
    api::BlockUse { block: b.prefix.to_string(), used: b.in_use.into(), total: b.total.into() }
}

fn route(entry: &Entry<RouteKey, RouteSpec>) -> api::Route {
    let next_hops = match &entry.value.kind {
        RouteKind::Device { dev } => {
            vec![api::RouteNextHop { via: None, dev: dev.clone(), weight: 1 }]
        }
        RouteKind::Gateways(hops) => hops
            .iter()
            .map(|hop| api::RouteNextHop {
                via: Some(hop.via),
                dev: hop.dev.clone(),
                weight: hop.weight,
            })
            .collect(),
        RouteKind::Blackhole => Vec::new(),
    };
    api::Route {
        prefix: entry.key.prefix.to_string(),
        family: speaker::family_name(entry.key.prefix.family()).to_owned(),
        protocol: entry.value.protocol,
        table: entry.key.table,
        metric: entry.key.metric,
        next_hops,
        state: entry.state.as_str().to_owned(),
    }
}

fn workload(view: &crate::core::WorkloadView) -> api::Workload {
    let record = &view.record;
    let reason = match &view.state {
        WorkloadState::Failed(reason) => Some(reason.clone()),
        WorkloadState::Ready | WorkloadState::Pending | WorkloadState::Leaving => None,
    };
    api::Workload {
        id: record.id.to_string(),
        container_id: record.id.container_id().to_owned(),
        if_name: record.id.ifname().to_owned(),
        namespace: record.namespace.clone(),
        pod: record.name.clone(),
        addresses: record.addresses().collect(),
        mac: record.mac.to_string(),
        mtu: record.mtu,
        host_interface: record.host_interface.clone(),
        labels: record.labels.clone(),
        state: view.state.as_str().to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests;
