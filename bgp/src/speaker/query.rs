// SPDX-License-Identifier: MIT OR Apache-2.0
//! Questions about peers and routes. Nothing here changes anything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::Speaker;
use super::peer::{Peer, local_source};
use super::status::{PeerStatus, RibQuery, RibRoute, RibView, RouteReason, Stats, WhyStep};
use crate::reason::RejectReason;
use crate::rib::{Outbox, Path, PathState, SourceId, Verdict};
use crate::types::{Family, Prefix};

impl Speaker {
    /// Every configured peer, sorted by address.
    pub fn peers(&self, now: Instant) -> Vec<PeerStatus> {
        let waiting = self.waiting(now);
        let status = |peer: &Peer| self.peer_status(peer, waiting, now);
        let mut list: Vec<_> = self.peers.iter().flatten().map(status).collect();
        list.sort_by_key(|peer| peer.address);
        list
    }

    /// The paths that answer the query, sorted by prefix, winners first. O(table) unless the
    /// query names one prefix.
    pub fn rib(&self, query: &RibQuery) -> Vec<RibRoute> {
        if let RibView::Advertised { peer } = &query.view {
            return self.advertised(query, peer);
        }
        let mut routes = Vec::new();
        match query.prefix {
            Some(prefix) if !query.longer => {
                self.answer(query, prefix, self.rib.paths(prefix), &mut routes);
            }
            _ => {
                for (prefix, paths) in self.rib.iter().filter(|(prefix, _)| covers(query, prefix)) {
                    self.answer(query, prefix, paths, &mut routes);
                }
                routes.sort_by_key(|route| route.prefix);
            }
        }
        routes
    }

    /// Why the prefix is used, refused and advertised as it is.
    pub fn why(&self, prefix: Prefix) -> Vec<WhyStep> {
        let mut steps = Vec::new();
        let paths = self.rib.paths(prefix);
        if paths.is_empty() {
            steps.push(step("path", "", "none", "no peer sent it and it is not originated here"));
        }
        for path in paths {
            let subject = self.path_name(path);
            let (result, reason) = match path.state {
                PathState::Rejected(reason) => ("rejected", reason.as_str()),
                PathState::Undecided | PathState::Decided(_) if path.source == SourceId::LOCAL => {
                    ("accepted", "originated here")
                }
                PathState::Undecided | PathState::Decided(_) => ("accepted", ""),
            };
            steps.push(step("import", &subject, result, reason));
        }
        for path in paths.iter().filter(|path| path.is_accepted()) {
            let (result, reason) = match path.verdict() {
                Some(Verdict::Best(by)) => ("best", by.describe()),
                Some(Verdict::Multipath) => ("multipath", "as good as the best"),
                Some(Verdict::Lost(by)) => ("lost", by.describe()),
                None if self.sync.defers() => ("pending", "waiting for the peers' End-of-RIB"),
                None => ("pending", "waiting for its decision"),
            };
            steps.push(step("decision", &self.path_name(path), result, reason));
        }
        steps.extend(self.peers.iter().flatten().map(|peer| self.why_export(peer, prefix)));
        steps
    }

    /// Counters of the whole speaker.
    pub fn stats(&self) -> Stats {
        Stats {
            prefixes: self.rib.len(),
            attribute_sets: self.interner.len(),
            pending: self.rib.pending(),
            ..self.stats
        }
    }

    fn answer(&self, query: &RibQuery, prefix: Prefix, paths: &[Path], routes: &mut Vec<RibRoute>) {
        for path in paths {
            let rejected = !path.is_accepted();
            let wanted = match &query.view {
                RibView::Loc => !rejected,
                RibView::Rejected => rejected,
                RibView::Received { peer, rejected: too } => {
                    let name = self.peer(path).map(|peer| peer.session.name());
                    name.is_some_and(|name| **name == **peer) && (*too || !rejected)
                }
                RibView::Advertised { .. } => false,
            };
            if wanted {
                routes.push(RibRoute {
                    prefix,
                    peer: self.peer(path).map(|peer| Arc::clone(peer.session.name())),
                    attrs: Arc::clone(&path.attrs),
                    reason: reason(path.state),
                });
            }
        }
    }

    fn advertised(&self, query: &RibQuery, name: &str) -> Vec<RibRoute> {
        let slot = self.slot_by_name(name);
        let Some(peer) = slot.and_then(|slot| self.peers[slot].as_ref()) else {
            return Vec::new();
        };
        let mut routes = Vec::new();
        for family in peer.families().iter() {
            let said = self
                .told(peer.index(), family)
                .into_iter()
                .filter(|(prefix, _)| covers(query, prefix));
            routes.extend(said.map(|(prefix, attrs)| RibRoute {
                prefix,
                peer: Some(Arc::clone(peer.session.name())),
                attrs,
                reason: RouteReason::Advertised,
            }));
        }
        routes.sort_by_key(|route| route.prefix);
        routes
    }

    fn peer_status(&self, peer: &Peer, waiting: Option<Duration>, now: Instant) -> PeerStatus {
        let (mut pending, mut families) = (0, Vec::new());
        for family in peer.families().iter() {
            let outbox = self.outbox(peer.index(), family).map(|(_, outbox)| outbox);
            pending += outbox.map_or(0, Outbox::pending);
            let advertised = outbox.map_or(0, |outbox| self.advertised_to(peer, family, outbox));
            families.push(peer.family_status(family, &self.rib, advertised));
        }
        let mut status = peer.status(self.config.asn, families, waiting, now);
        status.queued += pending;
        status
    }

    /// What the group was told without what the peer itself has brought.
    fn advertised_to(&self, peer: &Peer, family: Family, outbox: &Outbox) -> usize {
        if self.rib.counts(family, peer.slot).accepted == 0 {
            return outbox.sent();
        }
        let is_own = |id| self.rib.best(family, id).is_some_and(|best| best.source == peer.slot);
        outbox.iter_sent().filter(|id| !is_own(*id)).count()
    }

    fn why_export(&self, peer: &Peer, prefix: Prefix) -> WhyStep {
        let family = prefix.family();
        let (result, reason) = if peer.is_established() {
            self.export_of(peer, prefix)
        } else {
            ("notAdvertised", format!("session is {}", peer.session.state()))
        };
        let reason = match reason.as_str() {
            "familyNotNegotiated" => format!("family {family} is not negotiated"),
            _ => reason,
        };
        WhyStep { name: "export", subject: peer.session.name().to_string(), result, reason }
    }

    fn export_of(&self, peer: &Peer, prefix: Prefix) -> (&'static str, String) {
        let family = prefix.family();
        let best = self.rib.find(prefix).and_then(|id| Some((id, self.rib.best(family, id)?)));
        let Some((id, best)) = best else {
            return ("notAdvertised", "no path is in use".to_owned());
        };
        if best.source == peer.slot {
            return ("notAdvertised", "the best path is the peer's own".to_owned());
        }
        let Some((key, outbox)) = self.outbox(peer.index(), family) else {
            return ("notAdvertised", RejectReason::FamilyNotNegotiated.as_str().to_owned());
        };
        let source = Self::source(&self.peers, local_source(self.config.router_id), best.source);
        match key.admits(family, best, source) {
            Err(RejectReason::NotPassedOn) => ("notAdvertised", "not originated here".to_owned()),
            Err(reason) => ("notAdvertised", reason.as_str().to_owned()),
            Ok(()) if outbox.is_pending(id) || !outbox.contains(id) => {
                ("pending", "waiting to be sent".to_owned())
            }
            Ok(()) => {
                let attrs = key.attrs(self.exporter(), family, &best.attrs, source);
                let hop = attrs.next_hop.map(|hop| format!("next hop {hop}"));
                ("advertised", hop.unwrap_or_default())
            }
        }
    }

    fn peer(&self, path: &Path) -> Option<&Peer> {
        self.peers.get(path.source.slot()?)?.as_ref()
    }

    fn path_name(&self, path: &Path) -> String {
        self.peer(path).map(|peer| peer.session.name().to_string()).unwrap_or_default()
    }
}

fn step(name: &'static str, subject: &str, result: &'static str, reason: &str) -> WhyStep {
    WhyStep { name, subject: subject.to_owned(), result, reason: reason.to_owned() }
}

fn covers(query: &RibQuery, prefix: &Prefix) -> bool {
    let in_family = query.family.is_none_or(|family| family == prefix.family());
    let in_prefix = query.prefix.is_none_or(|outer| match query.longer {
        true => outer.contains(prefix),
        false => outer == *prefix,
    });
    in_family && in_prefix
}

fn reason(state: PathState) -> RouteReason {
    match state {
        PathState::Undecided => RouteReason::Pending,
        PathState::Rejected(reason) => RouteReason::Rejected(reason),
        PathState::Decided(Verdict::Best(step)) => RouteReason::Best(step),
        PathState::Decided(Verdict::Multipath) => RouteReason::Multipath,
        PathState::Decided(Verdict::Lost(step)) => RouteReason::Lost(step),
    }
}
