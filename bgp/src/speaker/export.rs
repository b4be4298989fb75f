// SPDX-License-Identifier: MIT OR Apache-2.0
//! From the best paths to the peers.
//!
//! A plain node advertises only its own prefixes. Learned paths go on only where a peer is
//! configured for it: reflected inside the AS (RFC 4456), or passed on as transit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::core::Speaker;
use super::group::{ExportKey, Exporter, Group};
use super::originate::Originate;
use super::peer::{Peer, local_source};
use crate::rib::{AttrSet, DestId, News, Outbox, Path, SourceId};
use crate::types::{BgpId, Family, Prefix};
use crate::wire::{self, Nlri};

/// Destinations per bucket and turn.
const PER_NEWS: usize = 4096;
/// A chunk of messages is handed out when it has this size.
const CHUNK: usize = 64 * 1024;
/// More pieces of a chunk than this are put together for a member: a writer's queue is short.
const PIECES: usize = 4;
/// While decisions are being made, their results are gathered so long, so that prefixes with
/// equal attributes share messages.
const GATHER: Duration = Duration::from_millis(100);

/// Messages for the members of a group: shared octets, of which a member is left out where its own
/// paths are.
#[derive(Default)]
struct Chunk {
    octets: Vec<u8>,
    parts: Vec<Part>,
    /// What only one member is told: that it holds nothing of us any more where its own path is
    /// the best now. Its destinations are in no other message of the chunk.
    own: FxHashMap<usize, (Vec<u8>, usize)>,
}

/// Messages that follow each other and go to the same members.
struct Part {
    /// All members but this one.
    except: Option<usize>,
    /// Where they end in the octets.
    end: usize,
    messages: usize,
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.octets.len() >= CHUNK || self.own.values().any(|(octets, _)| octets.len() >= CHUNK)
    }

    /// So many messages were appended for all members but one.
    fn note(&mut self, except: Option<usize>, messages: usize) {
        let end = self.octets.len();
        match self.parts.last_mut() {
            Some(part) if part.except == except => {
                part.end = end;
                part.messages += messages;
            }
            _ if messages == 0 => {}
            _ => self.parts.push(Part { except, end, messages }),
        }
    }

    /// What a member is told, as few pieces of `octets` as possible, each with its messages.
    fn pieces(
        parts: &[Part],
        octets: &Bytes,
        member: usize,
    ) -> impl Iterator<Item = (Bytes, usize)> {
        let (mut at, mut rest) = (0, parts.iter().peekable());
        std::iter::from_fn(move || {
            while let Some(part) = rest.next_if(|part| part.except == Some(member)) {
                at = part.end;
            }
            let (start, mut messages) = (at, 0);
            while let Some(part) = rest.next_if(|part| part.except != Some(member)) {
                (at, messages) = (part.end, messages + part.messages);
            }
            (at > start).then(|| (octets.slice(start..at), messages))
        })
    }
}

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
                self.rib.remove(prefix, SourceId::LOCAL, 0);
                self.originated.remove(&prefix);
            }
        }
        // What is ours waits for nobody's End-of-RIB.
        let Self { rib, peers, config, .. } = self;
        let local = local_source(config.router_id);
        let source = |id| Self::source(peers, local, id);
        if let Some(decided) = rib.decide(prefix, config.max_paths, source) {
            self.on_decided(decided);
        }
    }

    /// The initial set of originated prefixes is there: End-of-RIB may be sent (RFC 4724 §4.1).
    pub fn originate_complete(&mut self) {
        self.originate_complete = true;
    }

    /// Notes for every group what may have to be said about a destination.
    pub(super) fn mark_export(&mut self, family: Family, id: DestId) {
        let Self { groups, rib, peers, config, .. } = self;
        let local = local_source(config.router_id);
        let source = |id| Self::source(peers, local, id);
        for group in groups.iter_mut().flatten() {
            let wanted = group.key.wanted(family, id, rib, source);
            if group.out.get_mut(family).mark(id, wanted) {
                rib.hold(family, id);
            }
        }
    }

    /// Advertises up to `limit` destinations, group by group in turn.
    pub(super) fn export(&mut self, limit: usize) {
        if self.gathers() {
            return;
        }
        self.split_slow();
        let count = self.groups.len();
        let mut left = limit;
        for step in 0..count {
            let index = (self.next_group + step) % count;
            if left == 0 {
                self.next_group = index;
                break;
            }
            left = left.saturating_sub(self.export_group(index, left));
        }
        self.send_end_of_ribs();
        self.merge_groups();
    }

    /// True while results of decisions are gathered.
    fn gathers(&mut self) -> bool {
        if self.rib.pending() == 0 || self.sync.defers() {
            self.gather_until = None;
            return false;
        }
        let now = self.now;
        *self.gather_until.get_or_insert(now + GATHER) > now
    }

    /// True when an export turn would do something.
    pub(super) fn has_exports(&self) -> bool {
        let has_window = |slot: &usize| self.peers[*slot].as_ref().is_some_and(Peer::has_window);
        let groups = self.groups.iter().flatten();
        let mut ready = groups.filter(|group| group.members.iter().any(has_window));
        ready.any(|group| {
            !group.is_idle() || group.members.iter().any(|slot| self.owes_end_of_rib(*slot))
        })
    }

    fn owes_end_of_rib(&self, slot: usize) -> bool {
        let owes = |peer: &Peer| {
            peer.has_window()
                && peer.families().iter().any(|family| !peer.eor_sent.contains(family))
        };
        self.originate_complete && self.peers[slot].as_ref().is_some_and(owes)
    }

    /// Advertises up to `limit` destinations to one group; how many were looked at.
    fn export_group(&mut self, index: usize, limit: usize) -> usize {
        let Some(mut group) = self.groups[index].take() else { return 0 };
        self.lost.clear();
        let mut left = limit;
        for family in Family::ALL {
            while left > 0 && group.out.get(family).pending() > 0 && self.have_window(&group) {
                let used = self.export_family(&mut group, family, left);
                left = left.saturating_sub(used.max(1));
            }
        }
        for slot in group.members.clone() {
            self.settle(slot);
        }
        // A member may have been lost with the last messages.
        group.members.retain(|member| !self.lost.contains(member));
        self.keep_group(index, group);
        limit - left
    }

    fn have_window(&self, group: &Group) -> bool {
        group.members.iter().all(|slot| self.peers[*slot].as_ref().is_some_and(Peer::has_window))
    }

    fn export_family(&mut self, group: &mut Group, family: Family, limit: usize) -> usize {
        let (mut chunk, mut left) = (Chunk::default(), limit);
        while left > 0 && !chunk.is_full() {
            let news = {
                let Self { rib, peers, config, .. } = &*self;
                let local = local_source(config.router_id);
                let source = |id| Self::source(peers, local, id);
                let Group { key, out, .. } = &mut *group;
                let wanted = |id| key.wanted(family, id, rib, source);
                out.get_mut(family).next(left.min(PER_NEWS), wanted)
            };
            let Some(news) = news else { break };
            left = left.saturating_sub(self.tell(group, family, news, &mut chunk).max(1));
        }
        self.hand_out(group, chunk);
        limit - left
    }

    /// Encodes a piece of news; how many destinations it was about.
    fn tell(&mut self, group: &mut Group, family: Family, news: News, chunk: &mut Chunk) -> usize {
        match news {
            News::Nothing(ids) => {
                ids.iter().for_each(|id| self.rib.release(family, *id));
                ids.len()
            }
            News::Withdraw(ids) => {
                let messages = self.withdraw(group, family, &ids, &mut chunk.octets);
                chunk.note(None, messages);
                ids.iter().for_each(|id| self.rib.release(family, *id));
                ids.len()
            }
            News::Reach { attrs, source, ids, again } => {
                let member = source.slot().filter(|slot| group.members.contains(slot));
                if let Some(slot) = member.filter(|_| !again.is_empty()) {
                    // The peer whose path is now the best holds another one from us.
                    let (octets, messages) = chunk.own.entry(slot).or_default();
                    *messages += self.withdraw(group, family, &again, octets);
                }
                let info = Self::source(&self.peers, local_source(self.config.router_id), source);
                let told = group.key.attrs(self.exporter(), family, &attrs, info).to_wire();
                let prefixes =
                    ids.iter().filter_map(|id| self.rib.prefix(family, *id)).map(Nlri::from);
                let codec = &group.key.codec;
                match wire::encode_reach(codec, family, &told, prefixes, &mut chunk.octets) {
                    Ok(messages) => chunk.note(member, messages),
                    Err(error) => {
                        tracing::error!(%error, "cannot advertise");
                        let messages = self.withdraw(group, family, &again, &mut chunk.octets);
                        chunk.note(None, messages);
                        group.out.get_mut(family).forget(&ids);
                        ids.iter().for_each(|id| self.rib.release(family, *id));
                    }
                }
                ids.len()
            }
        }
    }

    /// Appends withdrawals; how many messages.
    fn withdraw(&self, group: &Group, family: Family, ids: &[DestId], out: &mut Vec<u8>) -> usize {
        let prefixes = ids.iter().filter_map(|id| self.rib.prefix(family, *id)).map(Nlri::from);
        wire::encode_unreach(&group.key.codec, family, prefixes, out).unwrap_or_else(|error| {
            tracing::error!(%error, "cannot withdraw");
            0
        })
    }

    fn hand_out(&mut self, group: &Group, chunk: Chunk) {
        let Chunk { octets, parts, own } = chunk;
        let octets = Bytes::from(octets);
        for slot in &group.members {
            let Some(peer) = self.peers[*slot].as_mut() else { continue };
            let pieces: SmallVec<[(Bytes, usize); PIECES]> =
                Chunk::pieces(&parts, &octets, *slot).collect();
            if pieces.len() <= PIECES {
                for (piece, messages) in pieces {
                    peer.session.send_updates(piece, messages, self.now);
                }
            } else {
                let messages = pieces.iter().map(|(_, messages)| messages).sum();
                let whole = pieces.iter().flat_map(|(piece, _)| piece.iter().copied());
                peer.session.send_updates(whole.collect(), messages, self.now);
            }
        }
        for (slot, (octets, messages)) in own {
            if let Some(peer) = self.peers[slot].as_mut().filter(|_| messages > 0) {
                peer.session.send_updates(octets.into(), messages, self.now);
            }
        }
    }

    /// Says to every peer that has been told everything that this was all (RFC 4724 §2).
    fn send_end_of_ribs(&mut self) {
        if !self.originate_complete {
            return;
        }
        for index in 0..self.groups.len() {
            let Some(group) = self.groups[index].as_ref() else { continue };
            let idle: Vec<Family> = Family::ALL
                .into_iter()
                .filter(|family| group.out.get(*family).pending() == 0)
                .collect();
            for slot in group.members.clone() {
                let Some(peer) = self.peers[slot].as_mut() else { continue };
                let mut any = false;
                for family in peer.families().iter().filter(|family| idle.contains(family)) {
                    if peer.eor_sent.contains(family) || !peer.has_window() {
                        continue;
                    }
                    peer.eor_sent.insert(family);
                    let mut chunk = Vec::new();
                    wire::encode_end_of_rib(family, &mut chunk);
                    peer.session.send_updates(chunk.into(), 1, self.now);
                    any = true;
                }
                if any {
                    self.settle(slot);
                }
            }
        }
    }
}

/// Coming and going of members.
impl Speaker {
    pub(super) fn exporter(&self) -> Exporter {
        let cluster_id: BgpId = self.config.cluster_id.unwrap_or(self.config.router_id);
        Exporter { asn: self.config.asn, cluster_id }
    }

    /// The peer came up: it is told everything.
    pub(super) fn join_group(&mut self, slot: usize) {
        self.leave_group(slot);
        let Some(key) = self.peers[slot].as_ref().and_then(ExportKey::of) else { return };
        let fits = |group: &Group| group.key == key && group.is_fresh();
        let fresh = self.groups.iter_mut().flatten().find(|group| fits(group));
        if let Some(group) = fresh {
            group.members.push(slot);
            return;
        }
        let mut group = Group::new(key, slot);
        self.mark_everything(&mut group);
        self.add_group(group);
    }

    /// Every destination with a best path is something to say.
    fn mark_everything(&mut self, group: &mut Group) {
        let Self { rib, peers, config, .. } = self;
        let local = local_source(config.router_id);
        let source = |id| Self::source(peers, local, id);
        for family in group.key.codec.families.iter() {
            let ids: Vec<DestId> = rib.bests(family).map(|(id, _)| id).collect();
            for id in ids {
                let wanted = group.key.wanted(family, id, rib, source);
                if group.out.get_mut(family).mark(id, wanted) {
                    rib.hold(family, id);
                }
            }
        }
    }

    /// The peer is told nothing any more.
    pub(super) fn leave_group(&mut self, slot: usize) {
        // Its group may just be being served.
        self.lost.push(slot);
        let holds = |group: &Option<Group>| {
            group.as_ref().is_some_and(|group| group.members.contains(&slot))
        };
        let Some(index) = self.groups.iter().position(holds) else { return };
        if let Some(mut group) = self.groups[index].take() {
            group.members.retain(|member| *member != slot);
            self.keep_group(index, group);
        }
    }

    /// What the peer was told is said again, by new rules if they changed.
    pub(super) fn tell_again(&mut self, slot: usize, family: Option<Family>) {
        let Some(index) = self.detach(slot) else { return };
        let Some(mut group) = self.groups[index].take() else { return };
        if let Some(key) = self.peers[slot].as_ref().and_then(ExportKey::of) {
            group.key = key;
        }
        {
            let Self { rib, peers, config, .. } = &*self;
            let local = local_source(config.router_id);
            let source = |id| Self::source(peers, local, id);
            for family in
                Family::ALL.into_iter().filter(|one| family.is_none_or(|family| family == *one))
            {
                let Group { key, out, .. } = &mut group;
                let wanted = |id| key.wanted(family, id, rib, source);
                out.get_mut(family).refresh(wanted);
            }
        }
        if family.is_none() {
            self.mark_everything(&mut group);
        }
        self.groups[index] = Some(group);
    }

    /// The outbox of a peer.
    pub(super) fn outbox(&self, slot: usize, family: Family) -> Option<(&ExportKey, &Outbox)> {
        let mut groups = self.groups.iter().flatten();
        let group = groups.find(|group| group.members.contains(&slot))?;
        Some((&group.key, group.out.get(family)))
    }

    /// What a peer holds of a family.
    pub(super) fn told(&self, slot: usize, family: Family) -> Vec<(Prefix, Arc<AttrSet>)> {
        let Some((key, outbox)) = self.outbox(slot, family) else { return Vec::new() };
        let route = |id: DestId| {
            let best = self.rib.best(family, id).filter(|best| best.source.slot() != Some(slot))?;
            let source =
                Self::source(&self.peers, local_source(self.config.router_id), best.source);
            key.admits(family, best, source).ok()?;
            let attrs = key.attrs(self.exporter(), family, &best.attrs, source);
            Some((self.rib.prefix(family, id)?, Arc::new(attrs)))
        };
        outbox.iter_sent().filter(|id| !outbox.is_pending(*id)).filter_map(route).collect()
    }

    /// Gives the peer a group of its own with the same past; the group's index.
    fn detach(&mut self, slot: usize) -> Option<usize> {
        let holds = |group: &Option<Group>| {
            group.as_ref().is_some_and(|group| group.members.contains(&slot))
        };
        let index = self.groups.iter().position(holds)?;
        let group = self.groups[index].as_mut()?;
        if group.members.len() == 1 {
            return Some(index);
        }
        group.members.retain(|member| *member != slot);
        let own = group.split(slot, &mut self.rib);
        Some(self.add_group(own))
    }

    /// Peers that take nothing while there is something to say go at their own pace.
    fn split_slow(&mut self) {
        let mut slow = Vec::new();
        for group in self.groups.iter().flatten() {
            if group.members.len() < 2 || group.is_idle() {
                continue;
            }
            let has_window = |slot: usize| self.peers[slot].as_ref().is_some_and(Peer::has_window);
            slow.extend(group.members.iter().copied().filter(|slot| !has_window(*slot)));
        }
        for slot in slow {
            self.detach(slot);
        }
    }

    /// Groups that are equal and have said everything become one.
    fn merge_groups(&mut self) {
        if self.groups.iter().flatten().count() < 2 {
            return;
        }
        for index in 0..self.groups.len() {
            let Some(group) = self.groups[index].as_ref() else { continue };
            if !group.is_idle() || group.is_fresh() && group.members.is_empty() {
                continue;
            }
            let other = self.groups[..index].iter().position(|other| {
                other.as_ref().is_some_and(|other| other.is_idle() && other.key == group.key)
            });
            let Some(other) = other else { continue };
            if let Some(group) = self.groups[index].take() {
                if let Some(other) = self.groups[other].as_mut() {
                    other.members.extend_from_slice(&group.members);
                }
                group.dissolve(&mut self.rib);
            }
        }
    }

    fn add_group(&mut self, group: Group) -> usize {
        let index = self.groups.iter().position(Option::is_none).unwrap_or(self.groups.len());
        if index == self.groups.len() {
            self.groups.push(Some(group));
        } else {
            self.groups[index] = Some(group);
        }
        index
    }

    /// Puts a group back, unless nobody is left in it.
    fn keep_group(&mut self, index: usize, group: Group) {
        if group.members.is_empty() {
            group.dissolve(&mut self.rib);
        } else {
            self.groups[index] = Some(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(parts: &[(Option<usize>, usize, usize)], member: usize) -> Vec<(String, usize)> {
        let parts: Vec<Part> =
            parts.iter().map(|&(except, end, messages)| Part { except, end, messages }).collect();
        let octets = Bytes::from_static(b"abcdefghij");
        let text = |piece: Bytes| String::from_utf8(piece.to_vec()).unwrap();
        Chunk::pieces(&parts, &octets, member).map(|(piece, n)| (text(piece), n)).collect()
    }

    #[test]
    fn a_member_gets_everything_but_its_own() {
        let parts =
            [(None, 2, 1), (Some(7), 4, 2), (Some(8), 6, 4), (Some(7), 8, 8), (None, 10, 16)];
        assert_eq!(pieces(&parts, 1), [("abcdefghij".to_owned(), 31)]);
        assert_eq!(
            pieces(&parts, 7),
            [("ab".to_owned(), 1), ("ef".to_owned(), 4), ("ij".to_owned(), 16)]
        );
        assert_eq!(pieces(&parts, 8), [("abcd".to_owned(), 3), ("ghij".to_owned(), 24)]);
        assert_eq!(pieces(&[(Some(7), 10, 3)], 7), []);
        assert_eq!(pieces(&[], 7), []);
    }

    #[test]
    fn neighbouring_messages_for_the_same_members_are_one_part() {
        let mut chunk = Chunk::default();
        for (except, octets) in
            [(None, "ab"), (None, "c"), (Some(1), "d"), (Some(1), "e"), (None, "f")]
        {
            chunk.octets.extend_from_slice(octets.as_bytes());
            chunk.note(except, 1);
        }
        let parts: Vec<_> = chunk.parts.iter().map(|p| (p.except, p.end, p.messages)).collect();
        assert_eq!(parts, [(None, 3, 2), (Some(1), 5, 2), (None, 6, 1)]);
    }
}
