// SPDX-License-Identifier: MIT OR Apache-2.0
//! From a peer's UPDATE into the tables, and out of them as best paths.

use std::sync::Arc;
use std::time::Instant;

use super::core::Speaker;
use super::feed::{LearnedPath, PathSet};
use super::io::Event;
use crate::config::SpeakerConfig;
use crate::filter::Facts;
use crate::rib::{AttrSet, Decided, Path, SourceId, Verdict};
use crate::types::{Family, FamilySet, Prefix};
use crate::wire::{DecodedUpdate, Outcome, RefreshKind, RouteRefresh};

impl Speaker {
    /// Withdrawn prefixes first: a prefix in both lists is reachable (RFC 4271 §4.3).
    pub(super) fn on_update(&mut self, slot: usize, mut update: DecodedUpdate<'_>, now: Instant) {
        let Some(peer) = self.peers[slot].as_mut() else { return };
        let source = peer.slot;
        let allowed = peer.session.config().allow_own_as;
        match &update.outcome {
            Outcome::Ok => {}
            Outcome::AttributeDiscard(errors) => {
                self.stats.attributes_discarded += errors.len() as u64;
                tracing::debug!(peer = %peer.session.name(), count = errors.len(), "attributes discarded");
            }
            Outcome::TreatAsWithdraw(error) => {
                self.stats.treated_as_withdraw += 1;
                tracing::warn!(peer = %peer.session.name(), %error, "update treated as withdraw");
            }
        }
        if let Some(family) = update.end_of_rib {
            peer.eor_received.insert(family);
            self.update_sync(now);
        }
        for nlri in update.withdrawn() {
            self.rib.remove(nlri.prefix, source, nlri.path_id.unwrap_or(0));
        }
        let attrs = std::mem::take(&mut update.attrs);
        for reach in update.reach() {
            let attrs = AttrSet::learned(attrs.clone(), reach.next_hop, self.passes_on);
            let verdict = self.import.check_attrs(facts(&attrs, &self.config, allowed));
            let attrs = self.interner.intern(attrs);
            for nlri in reach.nlri.iter() {
                let import = verdict.and_then(|()| self.import.check_prefix(nlri.prefix));
                let path = Path::new(source, Arc::clone(&attrs), import);
                self.rib.insert(nlri.prefix, path.with_id(nlri.path_id.unwrap_or(0)));
            }
        }
        self.check_limit(slot, now);
    }

    /// Warns of a peer that sends many prefixes, and ends the session of one that sends too many.
    pub(super) fn check_limit(&mut self, slot: usize, now: Instant) {
        let Some(peer) = self.peers[slot].as_mut() else { return };
        let Some(limit) = peer.session.config().prefix_limit else { return };
        for family in peer.families().iter() {
            let received = self.rib.counts(family, peer.slot).received;
            if received > limit.max as usize && limit.teardown {
                tracing::warn!(peer = %peer.session.name(), %family, received, limit = limit.max, "prefix limit exceeded");
                peer.session.over_limit(limit.restart, now);
                return self.settle(slot);
            }
            if received >= limit.warns_at() && !peer.warned.contains(family) {
                peer.warned.insert(family);
                tracing::warn!(peer = %peer.session.name(), %family, received, limit = limit.max, "prefix limit is near");
            }
        }
    }

    /// The peer has nothing left to say: for one without graceful restart, which need not send
    /// End-of-RIB, its first KEEPALIVE after the routes says the same.
    pub(super) fn on_keepalive(&mut self, slot: usize, now: Instant) {
        let Some(peer) = self.peers[slot].as_mut() else { return };
        let restarts = peer.session.agreed().is_none_or(|agreed| agreed.restart.is_some());
        if !restarts && peer.eor_received != FamilySet::ALL {
            peer.eor_received = FamilySet::ALL;
            self.update_sync(now);
        }
    }

    /// RFC 2918 §4: the family is said again; requests that come faster are answered together.
    pub(super) fn on_refresh(&mut self, slot: usize, refresh: RouteRefresh, now: Instant) {
        let Some(peer) = self.peers[slot].as_mut() else { return };
        let family = Family::from_afi_safi(refresh.family);
        let family = family.filter(|family| peer.families().contains(*family));
        let (Some(family), RefreshKind::Request) = (family, refresh.kind) else { return };
        if peer.refresh.get_mut(family).request(now) {
            self.tell_again(slot, Some(family));
        }
    }

    /// Decides up to `limit` prefixes.
    pub(super) fn decide(&mut self, limit: usize) {
        if self.sync.defers() {
            return;
        }
        let mut left = limit;
        while left > 0 {
            let Self { rib, peers, config, .. } = self;
            let local = super::peer::local_source(config.router_id);
            let source = |id: SourceId| Self::source(peers, local, id);
            let Some(decided) = rib.decide_next(config.max_paths, source) else { break };
            self.on_decided(decided);
            left -= 1;
        }
        if self.sync.settle(limit - left, self.rib.pending()) {
            self.stats.synced = true;
            self.events.push_back(Event::Synced);
        }
    }

    /// Passes the result of a decision on: to the peers, and to the rest of the node.
    pub(super) fn on_decided(&mut self, decided: Decided<Prefix>) {
        let prefix = decided.key;
        if decided.best_changed {
            self.mark_export(prefix.family(), decided.id);
        }
        if self.config.publish {
            let paths = self.path_set(prefix);
            self.events.push_back(Event::BestPaths { prefix, paths });
        }
    }

    /// The learned paths of a prefix; none when it is not reached over a peer.
    fn path_set(&mut self, prefix: Prefix) -> Option<Arc<PathSet>> {
        let paths = self.rib.paths(prefix);
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        for path in paths {
            let Some(verdict) = path.verdict() else { continue };
            let Some(learned) = self.learned(path) else {
                // A prefix of our own is not reached over anybody.
                if verdict.is_winner() {
                    return None;
                }
                continue;
            };
            match verdict {
                Verdict::Best(_) | Verdict::Multipath => winners.push(learned),
                Verdict::Lost(step) => losers.push((learned, step)),
            }
        }
        if winners.is_empty() {
            return None;
        }
        // Prefixes come in runs with the same paths: one allocation serves a run.
        let set = PathSet { winners, losers };
        match &self.last_set {
            Some(last) if **last == set => Some(Arc::clone(last)),
            _ => {
                let set = Arc::new(set);
                self.last_set = Some(Arc::clone(&set));
                Some(set)
            }
        }
    }

    fn learned(&self, path: &Path) -> Option<LearnedPath> {
        let peer = self.peers.get(path.source.slot()?)?.as_ref()?;
        Some(LearnedPath {
            peer: Arc::clone(peer.session.name()),
            next_hop: path.attrs.next_hop?,
            attrs: Arc::clone(&path.attrs),
        })
    }
}

/// What the import rules look at.
pub(super) fn facts(attrs: &AttrSet, config: &SpeakerConfig, allow_own_as: u8) -> Facts {
    let clusters = attrs.extra.as_deref().map(|extra| &*extra.cluster_list).unwrap_or_default();
    let own = attrs.as_path.asns().filter(|asn| *asn == config.asn).count();
    Facts {
        own_as: own > usize::from(allow_own_as),
        next_hop: attrs.next_hop,
        originator_id: attrs.originator_id,
        own_cluster: clusters.contains(&config.cluster_id().address()),
    }
}
