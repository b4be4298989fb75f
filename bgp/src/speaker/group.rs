// SPDX-License-Identifier: MIT OR Apache-2.0
//! Update groups: peers that are told the same.
//!
//! What a peer is told depends on its configuration and its session; peers for which all of that
//! is equal share one outbox, and every message is encoded once for all of them. A peer that takes
//! nothing for a while leaves with a copy of the outbox and goes at its own pace, so it never
//! delays the others; once both have said everything they are equal again, and it comes back. A
//! peer that has just come up is alone as well until it was told everything.

use smallvec::SmallVec;

use super::peer::Peer;
use crate::family::PerFamily;
use crate::reason::RejectReason;
use crate::rib::{AttrSet, DestId, Extra, Outbox, Path, Rib, SourceInfo, SourceKind};
use crate::types::{Asn, BgpId, Community, Family};
use crate::wire::{AsPath, CodecCtx, NextHop, Origin};

/// All on which it depends what a peer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExportKey {
    kind: SourceKind,
    client: bool,
    transit: bool,
    pub(super) codec: CodecCtx,
    next_hop: PerFamily<Result<NextHop, RejectReason>>,
}

/// What the speaker itself brings to an export.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exporter {
    pub(super) asn: Asn,
    pub(super) cluster_id: BgpId,
}

/// Peers that are told the same.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: ExportKey,
    /// Slots of its peers.
    pub(super) members: SmallVec<[usize; 4]>,
    pub(super) out: PerFamily<Outbox>,
}

impl Group {
    pub(super) fn new(key: ExportKey, member: usize) -> Self {
        Self { key, members: SmallVec::from_slice(&[member]), out: PerFamily::default() }
    }

    /// True when nothing was said and nothing is to be said: whoever joins has missed nothing.
    pub(super) fn is_fresh(&self) -> bool {
        Family::ALL.iter().all(|family| self.out.get(*family).sent() == 0)
    }

    /// True when everything was said.
    pub(super) fn is_idle(&self) -> bool {
        self.pending() == 0
    }

    /// Destinations about which there is something to say.
    pub(super) fn pending(&self) -> usize {
        Family::ALL.iter().map(|family| self.out.get(*family).pending()).sum()
    }

    /// A group of one member with the same past.
    pub(super) fn split(&self, member: usize, rib: &mut Rib) -> Self {
        for family in Family::ALL {
            self.out.get(family).iter_held().for_each(|id| rib.hold(family, id));
        }
        let members = SmallVec::from_slice(&[member]);
        Self { key: self.key.clone(), members, out: self.out.clone() }
    }

    /// Lets go of everything.
    pub(super) fn dissolve(self, rib: &mut Rib) {
        for family in Family::ALL {
            self.out.get(family).iter_held().for_each(|id| rib.release(family, id));
        }
    }
}

impl ExportKey {
    /// What counts for a peer now; none while there is no session.
    pub(super) fn of(peer: &Peer) -> Option<Self> {
        let codec = peer.session.agreed()?.codec;
        // How we read says nothing about how we write.
        let codec =
            CodecCtx { addpath_rx: crate::types::FamilySet::EMPTY, keep_unknown: true, ..codec };
        let config = peer.session.config();
        Some(Self {
            kind: peer.source.kind,
            client: peer.source.client,
            transit: config.transit,
            codec,
            next_hop: PerFamily::from_fn(|family| peer.next_hop(family)),
        })
    }

    /// Decides whether a path is for these peers.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn admits(
        &self,
        family: Family,
        path: &Path,
        source: SourceInfo,
    ) -> Result<(), RejectReason> {
        if !self.codec.families.contains(family) {
            return Err(RejectReason::FamilyNotNegotiated);
        }
        let passes = match (source.kind, self.kind) {
            (SourceKind::Local, _) => true,
            // RFC 4456 §6: from a client to everybody, from anybody to clients.
            (SourceKind::Internal, SourceKind::Internal) => source.client || self.client,
            _ => self.transit,
        };
        if !passes {
            return Err(RejectReason::NotPassedOn);
        }
        let has = |community| path.attrs.communities.contains(community);
        let external = self.kind == SourceKind::External;
        // RFC 1997: a receiver obeys these; what we attach ourselves is for the receivers.
        let learned = source.kind != SourceKind::Local;
        if learned && has(Community::NO_ADVERTISE)
            || (learned
                && external
                && (has(Community::NO_EXPORT) || has(Community::NO_EXPORT_SUBCONFED)))
        {
            return Err(RejectReason::NoExport);
        }
        if self.keeps_next_hop(source) {
            return Ok(());
        }
        self.next_hop.get(family).map(|_| ())
    }

    /// RFC 4271 §5.1.3: inside the AS the next hop of a learned path stays.
    fn keeps_next_hop(&self, source: SourceInfo) -> bool {
        self.kind == SourceKind::Internal && source.kind != SourceKind::Local
    }

    /// The attributes as these peers are told.
    pub(super) fn attrs(
        &self,
        exporter: Exporter,
        family: Family,
        attrs: &AttrSet,
        source: SourceInfo,
    ) -> AttrSet {
        let mut out = attrs.clone();
        if !self.keeps_next_hop(source) {
            out.next_hop = self.next_hop.get(family).ok().map(NextHop::address);
            set_link_local(&mut out, self.next_hop.get(family).ok().and_then(NextHop::link_local));
        }
        let is_reflected = source.kind == SourceKind::Internal && self.kind == SourceKind::Internal;
        if self.kind == SourceKind::External {
            // RFC 4271 §5.1.2, §5.1.5, §5.1.4: our AS in front, no LOCAL_PREF, only our own MED.
            out.as_path = out.as_path.prepend(exporter.asn, 1);
            out.local_pref = None;
            if source.kind != SourceKind::Local {
                out.med = None;
            }
            out.originator_id = None;
            clear_cluster_list(&mut out);
        } else {
            out.local_pref = Some(out.effective_local_pref());
        }
        if is_reflected {
            // RFC 4456 §8.
            out.originator_id.get_or_insert(source.id);
            prepend_cluster(&mut out, exporter.cluster_id);
        }
        if source.kind == SourceKind::Local {
            out.origin = Origin::Igp;
            if self.kind == SourceKind::Internal {
                out.as_path = AsPath::default();
            }
        }
        out
    }

    /// Pending news of `id`, for [`Outbox::mark`] and [`Outbox::next`].
    pub(super) fn wanted<'a>(
        &self,
        family: Family,
        id: DestId,
        rib: &'a Rib,
        source: impl Fn(crate::rib::SourceId) -> SourceInfo,
    ) -> Option<(&'a std::sync::Arc<AttrSet>, crate::rib::SourceId)> {
        let best = rib.best(family, id)?;
        self.admits(family, best, source(best.source)).ok()?;
        Some((&best.attrs, best.source))
    }
}

fn set_link_local(attrs: &mut AttrSet, link_local: Option<std::net::Ipv6Addr>) {
    if link_local.is_some() || attrs.extra.is_some() {
        attrs.extra.get_or_insert_default().link_local = link_local;
        tidy(attrs);
    }
}

fn clear_cluster_list(attrs: &mut AttrSet) {
    attrs.cluster_list_len = 0;
    if let Some(extra) = &mut attrs.extra {
        extra.cluster_list = Box::default();
        tidy(attrs);
    }
}

fn prepend_cluster(attrs: &mut AttrSet, cluster_id: BgpId) {
    let extra = attrs.extra.get_or_insert_default();
    let list = std::iter::once(cluster_id.address()).chain(extra.cluster_list.iter().copied());
    extra.cluster_list = list.collect();
    attrs.cluster_list_len = attrs.cluster_list_len.saturating_add(1);
}

fn tidy(attrs: &mut AttrSet) {
    if attrs.extra.as_deref() == Some(&Extra::default()) {
        attrs.extra = None;
    }
}
