// SPDX-License-Identifier: MIT OR Apache-2.0
//! From what we originate to the peers.
//!
//! A plain node advertises only its own prefixes: nothing learned is ever passed on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::core::Speaker;
use super::originate::Originate;
use super::peer::Peer;
use crate::reason::RejectReason;
use crate::rib::{Advert, AttrSet, Interner, Path, SourceId, SourceKind};
use crate::types::{Asn, Family, Prefix};
use crate::wire::{
    self, AsPath, Attributes, CodecCtx, Communities, EncodeError, NextHop, Nlri, Origin,
};

impl Speaker {
    /// Originates a prefix, changes its attributes, or withdraws it.
    pub fn originate(&mut self, prefix: Prefix, attrs: Option<Originate>) {
        match attrs {
            Some(attrs) if self.originated.get(&prefix) == Some(&attrs) => return,
            Some(attrs) => {
                let set = self.interner.intern(AttrSet {
                    med: attrs.med,
                    local_pref: attrs.local_pref,
                    communities: attrs.communities.iter().copied().collect(),
                    large_communities: attrs.large_communities.iter().copied().collect(),
                    ..AttrSet::default()
                });
                self.rib.insert(prefix, Path::new(SourceId::LOCAL, set, Ok(())));
                self.originated.insert(prefix, attrs);
            }
            None => {
                self.rib.remove(prefix, SourceId::LOCAL);
                self.originated.remove(&prefix);
            }
        }
        self.mark_export(prefix);
    }

    /// The initial set of originated prefixes is there: End-of-RIB may be sent (RFC 4724 §4.1).
    pub fn originate_complete(&mut self) {
        self.originate_complete = true;
    }

    /// Advertises up to `limit` prefixes, one batch per peer in turn.
    pub(super) fn export(&mut self, limit: usize, now: Instant) {
        let slots = self.peers.len();
        let mut left = limit;
        for step in 0..slots {
            if left == 0 {
                self.next_peer = (self.next_peer + step) % slots;
                return;
            }
            let slot = (self.next_peer + step) % slots;
            for family in Family::ALL {
                left = left.saturating_sub(self.export_family(slot, family, left, now));
            }
            self.settle(slot, now);
        }
    }

    /// Advertises up to `limit` prefixes to one peer; how many were looked at.
    fn export_family(&mut self, slot: usize, family: Family, limit: usize, now: Instant) -> usize {
        let Self { peers, originated, interner, config, originate_complete, .. } = self;
        let Some(peer) = peers[slot].as_mut() else { return 0 };
        if !peer.families().contains(family) || !peer.has_window() {
            return 0;
        }
        let next_hop = peer.next_hop(family);
        let kind = peer.source.kind;
        let out = peer.adj_out.get_mut(family);
        let before = out.pending();
        let advert = out.take(limit, |prefix| {
            let wanted = Wanted { originated, asn: config.asn, kind, next_hop };
            wanted.attrs(prefix, interner)
        });
        let looked_at = before - out.pending();
        if !advert.is_empty() {
            send(peer, family, &advert, now);
        }
        let is_last = peer.adj_out.get(family).pending() == 0;
        if is_last && *originate_complete && !peer.eor_sent.contains(family) {
            peer.eor_sent.insert(family);
            let mut chunk = Vec::new();
            wire::encode_end_of_rib(family, &mut chunk);
            peer.session.send_updates(chunk.into(), 1, now);
        }
        looked_at
    }

    /// True when an export turn would do something.
    pub(super) fn has_exports(&self) -> bool {
        self.peers.iter().flatten().filter(|peer| peer.has_window()).any(|peer| {
            peer.families().iter().any(|family| {
                let eor_due = self.originate_complete && !peer.eor_sent.contains(family);
                eor_due || peer.adj_out.get(family).pending() > 0
            })
        })
    }
}

/// What a peer should be told about a prefix.
struct Wanted<'a> {
    originated: &'a BTreeMap<Prefix, Originate>,
    asn: Asn,
    kind: SourceKind,
    next_hop: Result<NextHop, RejectReason>,
}

impl Wanted<'_> {
    fn attrs(&self, prefix: Prefix, interner: &mut Interner) -> Option<Arc<AttrSet>> {
        let originate = self.originated.get(&prefix)?;
        let next_hop = self.next_hop.ok()?;
        let external = self.kind == SourceKind::External;
        Some(interner.intern(AttrSet {
            origin: Origin::Igp,
            // RFC 4271 §5.1.2: our AS towards other ASs, nothing inside ours.
            as_path: if external { AsPath::sequence([self.asn]) } else { AsPath::default() },
            next_hop: Some(next_hop.address()),
            med: originate.med,
            local_pref:
                (!external).then(|| originate.local_pref.unwrap_or(crate::rib::DEFAULT_LOCAL_PREF)),
            communities: originate.communities.iter().copied().collect(),
            large_communities: originate.large_communities.iter().copied().collect(),
            originator_id: None,
            cluster_list_len: 0,
        }))
    }
}

/// Encodes a batch and hands it to the session: withdrawals, then one run per attribute set.
fn send(peer: &mut Peer, family: Family, advert: &Advert, now: Instant) {
    let Some(codec) = peer.session.agreed().map(|agreed| agreed.codec) else { return };
    let mut chunk = Vec::new();
    let mut count = 0;
    let withdrawn = advert.withdrawn.iter().map(|prefix| Nlri::from(*prefix));
    match wire::encode_unreach(&codec, family, withdrawn, &mut chunk) {
        Ok(messages) => count += messages,
        Err(error) => tracing::error!(peer = %peer.session.name(), %error, "cannot withdraw"),
    }
    for (attrs, prefixes) in &advert.reached {
        match encode(&codec, family, attrs, prefixes, &mut chunk) {
            Ok(messages) => count += messages,
            Err(error) => {
                tracing::error!(peer = %peer.session.name(), %error, "cannot advertise");
                peer.adj_out.get_mut(family).forget(prefixes);
            }
        }
    }
    if count > 0 {
        peer.session.send_updates(chunk.into(), count, now);
    }
}

fn encode(
    codec: &CodecCtx,
    family: Family,
    attrs: &AttrSet,
    prefixes: &[Prefix],
    chunk: &mut Vec<u8>,
) -> Result<usize, EncodeError> {
    let attributes = Attributes {
        origin: attrs.origin,
        as_path: attrs.as_path.clone(),
        next_hop: attrs.next_hop.map(|hop| match hop {
            std::net::IpAddr::V4(v4) => NextHop::V4(v4),
            std::net::IpAddr::V6(v6) => NextHop::V6(v6),
        }),
        med: attrs.med,
        local_pref: attrs.local_pref,
        communities: Communities {
            standard: attrs.communities.clone(),
            large: attrs.large_communities.clone(),
            ..Communities::default()
        },
        ..Attributes::default()
    };
    let prefixes = prefixes.iter().map(|prefix| Nlri::from(*prefix));
    wire::encode_reach(codec, family, &attributes, prefixes, chunk)
}
