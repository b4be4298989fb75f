// SPDX-License-Identifier: MIT OR Apache-2.0
//! The outbox against a peer that takes what it is told at its word.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::rib::Interner;

const SOURCE: SourceId = SourceId(3);

/// The best paths by destination, as a table would have them.
type Best = BTreeMap<DestId, (Arc<AttrSet>, SourceId)>;

fn set(interner: &mut Interner, med: u32) -> Arc<AttrSet> {
    interner.intern(AttrSet { med: Some(med), ..AttrSet::default() })
}

fn wanted<'a>(best: &'a Best) -> impl Fn(DestId) -> Wanted<'a> {
    |id| best.get(&id).map(|(attrs, source)| (attrs, *source))
}

/// What somebody holds who heard all news, and which destinations the outbox holds.
#[derive(Default)]
struct Peer {
    holds: Best,
    held: BTreeSet<DestId>,
}

impl Peer {
    fn mark(&mut self, outbox: &mut Outbox, best: &Best, id: DestId) {
        if outbox.mark(id, wanted(best)(id)) {
            assert!(self.held.insert(id), "held twice");
        }
    }

    fn hear(&mut self, outbox: &mut Outbox, best: &Best, limit: usize) -> bool {
        let Some(news) = outbox.next(limit, wanted(best)) else { return false };
        match news {
            News::Withdraw(ids) => {
                assert!(ids.len() <= limit);
                for id in ids {
                    assert!(self.holds.remove(&id).is_some(), "only what is held is withdrawn");
                    assert!(self.held.remove(&id));
                }
            }
            News::Reach { attrs, source, ids, again } => {
                assert!(ids.len() <= limit);
                for id in ids {
                    let before = self.holds.insert(id, (Arc::clone(&attrs), source));
                    assert_eq!(before.is_some(), again.contains(&id));
                }
            }
            News::Nothing(ids) => {
                for id in ids {
                    assert!(self.held.remove(&id) && !self.holds.contains_key(&id));
                }
            }
        }
        true
    }

    fn hear_all(&mut self, outbox: &mut Outbox, best: &Best) {
        while self.hear(outbox, best, 100) {}
    }
}

#[derive(Clone, Debug)]
enum Op {
    Best { id: DestId, med: u32, source: u16 },
    Gone { id: DestId },
    Hear { limit: usize },
    Refresh,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..12_u32, 0..3_u32, 0..2_u16)
            .prop_map(|(id, med, source)| Op::Best { id, med, source }),
        3 => (0..12_u32).prop_map(|id| Op::Gone { id }),
        4 => (1..5_usize).prop_map(|limit| Op::Hear { limit }),
        1 => Just(Op::Refresh),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn who_hears_everything_holds_the_best_paths(ops in prop::collection::vec(op(), 0..60)) {
        let (mut outbox, mut interner) = (Outbox::default(), Interner::default());
        let (mut best, mut peer) = (Best::new(), Peer::default());
        for op in ops {
            match op {
                Op::Best { id, med, source } => {
                    best.insert(id, (set(&mut interner, med), SourceId(source)));
                    peer.mark(&mut outbox, &best, id);
                }
                Op::Gone { id } => {
                    best.remove(&id);
                    peer.mark(&mut outbox, &best, id);
                }
                Op::Hear { limit } => drop(peer.hear(&mut outbox, &best, limit)),
                Op::Refresh => outbox.refresh(wanted(&best)),
            }
            prop_assert!(outbox.iter_held().collect::<BTreeSet<_>>() == peer.held);
            let waiting: usize = outbox.buckets.values().map(|bucket| bucket.ids.len()).sum();
            prop_assert_eq!(waiting + outbox.gone.len(), outbox.pending(), "each waits once");
        }
        peer.hear_all(&mut outbox, &best);
        prop_assert_eq!(outbox.pending(), 0);
        prop_assert_eq!(&peer.holds, &best);
        prop_assert!(outbox.iter_sent().eq(best.keys().copied()));
        prop_assert!(outbox.buckets.is_empty() && outbox.order.is_empty());
    }
}

#[test]
fn prefixes_share_a_piece_of_news_however_they_came() {
    let (mut outbox, mut interner) = (Outbox::default(), Interner::default());
    let sets = [set(&mut interner, 0), set(&mut interner, 1)];
    let best: Best = (0..20).map(|id| (id, (Arc::clone(&sets[id as usize % 2]), SOURCE))).collect();
    let mut peer = Peer::default();
    (0..20).for_each(|id| peer.mark(&mut outbox, &best, id));
    let mut pieces = 0;
    while peer.hear(&mut outbox, &best, 100) {
        pieces += 1;
    }
    assert_eq!(pieces, 2);
}

#[test]
fn a_refresh_repeats_what_stands() {
    let (mut outbox, mut interner) = (Outbox::default(), Interner::default());
    let mut best = Best::from([(1, (set(&mut interner, 0), SOURCE))]);
    best.insert(2, (set(&mut interner, 0), SOURCE));
    let mut peer = Peer::default();
    (1..3).for_each(|id| peer.mark(&mut outbox, &best, id));
    peer.hear_all(&mut outbox, &best);
    outbox.refresh(wanted(&best));
    let news = outbox.next(100, wanted(&best));
    assert!(matches!(news, Some(News::Reach { ids, again, .. }) if ids.len() == 2 && again == ids));
}

#[test]
fn what_could_not_be_said_is_forgotten() {
    let (mut outbox, mut interner) = (Outbox::default(), Interner::default());
    let best = Best::from([(1, (set(&mut interner, 0), SOURCE))]);
    outbox.mark(1, wanted(&best)(1));
    outbox.next(100, wanted(&best));
    assert!(outbox.contains(1));
    outbox.forget(&[1]);
    assert!(!outbox.contains(1) && outbox.sent() == 0);
}
