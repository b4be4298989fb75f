// SPDX-License-Identifier: MIT OR Apache-2.0
//! A seeded mutation loop over the wire codec: 1,000,000 messages on every test run.
//!
//! Each message is decoded, shown by `Display` and `Debug`, and, if it is an accepted UPDATE,
//! encoded and decoded again with the same result. Nothing may panic, hang, or allocate more than
//! four times the message and a constant. Counters prove that the loop gets somewhere: most
//! messages pass the header, many decode, and every attribute and every error is reached.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use bgp::wire::{
    self, AttrErrorKind, CodecCtx, DecodedUpdate, EncodeError, Error, HeaderError, Message, Nlri,
    OpenError, Outcome, RefreshError, UpdateError, code,
};
use fastrand::Rng;

mod alloc;
mod seeds;

use seeds::Seed;

/// Messages per run; `ROUTED_FUZZ_MESSAGES` asks for another number.
const MESSAGES: u64 = 1_000_000;
/// Octets that decoding may allocate besides four times the message.
const ALLOWANCE: usize = 64;
/// No batch of [`BATCH`] messages may take longer.
const BATCH_TIME: Duration = Duration::from_secs(20);
const BATCH: u64 = 1000;

/// What happened to the messages.
#[derive(Default)]
struct Tally {
    messages: u64,
    framed: u64,
    accepted: u64,
    again: u64,
    /// By the name of the error.
    errors: BTreeMap<&'static str, u64>,
    /// By type code: in UPDATEs that were accepted.
    attributes: BTreeMap<u8, u64>,
    kinds: BTreeMap<&'static str, u64>,
    most_allocated: usize,
}

impl Tally {
    fn merge(&mut self, other: Self) {
        self.messages += other.messages;
        self.framed += other.framed;
        self.accepted += other.accepted;
        self.again += other.again;
        other.errors.into_iter().for_each(|(k, n)| *self.errors.entry(k).or_default() += n);
        other.attributes.into_iter().for_each(|(k, n)| *self.attributes.entry(k).or_default() += n);
        other.kinds.into_iter().for_each(|(k, n)| *self.kinds.entry(k).or_default() += n);
        self.most_allocated = self.most_allocated.max(other.most_allocated);
    }

    fn error(&mut self, name: &'static str) {
        *self.errors.entry(name).or_default() += 1;
    }
}

/// Takes text and forgets it.
struct Sink(usize);

impl Write for Sink {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

fn show(value: &(impl fmt::Display + fmt::Debug)) {
    let mut sink = Sink(0);
    write!(sink, "{value}{value:?}").unwrap();
    assert!(sink.0 > 0);
}

#[test]
fn every_seed_is_sound() {
    for seed in seeds::all() {
        let frame = wire::frame(seed.octets(), seed.ctx.max_message_len()).unwrap().unwrap();
        if let Message::Update(view) = Message::decode(&frame).unwrap() {
            let update = view.decode(&seed.ctx).unwrap();
            let reset = matches!(update.outcome, Outcome::TreatAsWithdraw(_));
            assert!(!reset || frame.message.len() > 2000, "{update}");
        }
    }
}

#[test]
fn a_million_mutated_messages_do_no_harm() {
    let asked = std::env::var("ROUTED_FUZZ_MESSAGES").ok().and_then(|text| text.parse().ok());
    let total: u64 = asked.unwrap_or(MESSAGES);
    let threads = 2;
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..threads).map(|seed| scope.spawn(move || run(seed, total / threads))).collect();
        workers.into_iter().for_each(|worker| tally.merge(worker.join().unwrap()));
    });
    report(&tally);
    assert!(tally.messages >= total / threads * threads);
    assert!(tally.framed * 100 >= tally.messages * 60, "too few pass the header");
    assert!(tally.accepted * 100 >= tally.messages * 15, "too few decode");
    assert!(tally.again * 100 >= tally.messages * 5, "too few are encoded again");
    for name in all_errors() {
        assert!(tally.errors.contains_key(name), "{name} was never reached");
    }
    for code in all_attributes() {
        assert!(tally.attributes.contains_key(&code), "attribute {code} was never accepted");
    }
    assert_eq!(tally.kinds.len(), 5, "{:?}", tally.kinds);
}

/// Messages that are made to be expensive, up to 4096 octets.
#[test]
fn the_worst_messages_stay_within_the_bound() {
    let mut tally = Tally::default();
    let mut again = Vec::new();
    for (ctx, message) in seeds::worst() {
        one(&message, &ctx, &mut again, &mut tally);
    }
    report(&tally);
    assert_eq!(tally.framed, tally.messages);
    assert!(tally.messages >= 9);
}

fn report(tally: &Tally) {
    let percent = |n: u64| n * 100 / tally.messages.max(1);
    let attributes: Vec<_> =
        all_attributes().map(|code| (code, tally.attributes.get(&code).unwrap_or(&0))).collect();
    println!(
        "{} messages: {} % pass the header, {} % decode, {} % encoded again; at most {} octets \
         allocated beyond four times the message\n{:?}\n{:?}\n{:?}",
        tally.messages,
        percent(tally.framed),
        percent(tally.accepted),
        percent(tally.again),
        tally.most_allocated,
        tally.kinds,
        tally.errors,
        attributes,
    );
}

fn run(seed: u64, count: u64) -> Tally {
    let seeds = seeds::all();
    let mut rng = Rng::with_seed(0x0102_0304_0506_0708 ^ seed);
    let mut tally = Tally::default();
    let mut message = Vec::with_capacity(8192);
    let mut again = Vec::with_capacity(8192);
    let mut started = Instant::now();
    for at in 0..count {
        if at % BATCH == 0 {
            assert!(started.elapsed() < BATCH_TIME, "batch before message {at} is too slow");
            started = Instant::now();
        }
        let seed: &Seed = seeds::choose(&seeds, &mut rng);
        seed.mutate(&mut rng, &mut message);
        one(&message, &seed.ctx, &mut again, &mut tally);
    }
    tally
}

/// Everything that is done with one message.
fn one(octets: &[u8], ctx: &CodecCtx, again: &mut Vec<u8>, tally: &mut Tally) {
    tally.messages += 1;
    let before = alloc::allocated();
    let frame = match wire::frame(octets, ctx.max_message_len()) {
        Ok(Some(frame)) => frame,
        Ok(None) => return,
        Err(error) => return refused(&error.into(), tally),
    };
    tally.framed += 1;
    assert!(frame.message.len() <= octets.len());
    let message = Message::decode(&frame);
    let view = match &message {
        Ok(Message::Update(view)) => view,
        other => {
            check_allocation(before, frame.message.len(), tally);
            return match other {
                Ok(message) => {
                    tally.accepted += 1;
                    *tally.kinds.entry(message.kind().name()).or_default() += 1;
                    show(message);
                }
                Err(error) => refused(error, tally),
            };
        }
    };
    let update = view.decode(ctx);
    check_allocation(before, frame.message.len(), tally);
    match update {
        Err(error) => refused(&error.into(), tally),
        Ok(update) => {
            *tally.kinds.entry("update").or_default() += 1;
            show(&update);
            outcome(&update, tally);
            if !matches!(update.outcome, Outcome::TreatAsWithdraw(_)) {
                view.attributes()
                    .filter_map(Result::ok)
                    .for_each(|attr| *tally.attributes.entry(attr.code).or_default() += 1);
                encode_again(&update, ctx, frame.message.len(), again, tally);
            }
        }
    }
}

fn check_allocation(before: usize, len: usize, tally: &mut Tally) {
    let used = alloc::allocated() - before;
    let beyond = used.saturating_sub(4 * len);
    assert!(beyond <= ALLOWANCE, "{used} octets allocated for a message of {len}");
    tally.most_allocated = tally.most_allocated.max(beyond);
}

fn refused(error: &Error, tally: &mut Tally) {
    show(error);
    show(&error.notification());
    assert!(error.offset() <= 65535);
    tally.error(name(error));
}

fn outcome(update: &DecodedUpdate<'_>, tally: &mut Tally) {
    match &update.outcome {
        Outcome::Ok => tally.accepted += 1,
        Outcome::AttributeDiscard(list) => {
            list.iter().for_each(|error| {
                assert!(error.is_discard());
                show(error);
                tally.error(kind_name(error.kind));
            });
        }
        Outcome::TreatAsWithdraw(error) => {
            assert!(!error.is_discard() && update.reach().next().is_none());
            tally.error(kind_name(error.kind));
        }
    }
}

/// What was accepted must survive being sent on.
fn encode_again(
    update: &DecodedUpdate<'_>,
    ctx: &CodecCtx,
    len: usize,
    out: &mut Vec<u8>,
    tally: &mut Tally,
) {
    for reach in update.reach() {
        out.clear();
        let attrs = update.attrs_with(reach.next_hop);
        let family = reach.nlri.family();
        let count = match wire::encode_reach(ctx, family, &attrs, reach.nlri.iter(), out) {
            Ok(count) => count,
            Err(EncodeError::MessageTooLong { .. }) if len > 2000 => continue,
            Err(error) => panic!("cannot be sent on: {error}\n{update}"),
        };
        let mut wanted = reach.nlri.iter();
        let mut rest: &[u8] = out;
        for _ in 0..count {
            let frame = wire::frame(rest, ctx.max_message_len()).unwrap().unwrap();
            rest = &rest[frame.message.len()..];
            let Ok(Message::Update(view)) = Message::decode(&frame) else { panic!("{out:?}") };
            let second = view.decode(ctx).unwrap();
            assert_eq!(second.outcome, Outcome::Ok, "{update}");
            assert_eq!(second.attrs, attrs);
            let got = second.reach().flat_map(|reach| reach.nlri.iter());
            got.for_each(|nlri: Nlri| assert_eq!(Some(nlri), wanted.next()));
        }
        assert!(rest.is_empty() && wanted.next().is_none());
        tally.again += 1;
    }
    for view in update.unreach() {
        out.clear();
        wire::encode_unreach(ctx, view.family(), view.iter(), out).unwrap();
    }
    if update.end_of_rib.is_some() {
        assert_eq!((update.reach().count(), update.unreach().count()), (0, 0));
    }
}

/// The name of an error; exhaustive, so that a new variant must be listed.
fn name(error: &Error) -> &'static str {
    match error {
        Error::Header(HeaderError::Marker { .. }) => "marker",
        Error::Header(HeaderError::Length { .. }) => "header length",
        Error::Header(HeaderError::Type { .. }) => "type",
        Error::Open(OpenError::Version { .. }) => "version",
        Error::Open(OpenError::PeerAs { .. }) => "peer AS",
        Error::Open(OpenError::Identifier) => "identifier",
        Error::Open(OpenError::HoldTime { .. }) => "hold time",
        Error::Open(OpenError::Parameter { .. }) => "parameter",
        Error::Open(OpenError::Malformed { .. }) => "malformed OPEN",
        Error::Open(OpenError::Capability { .. }) => "capability",
        Error::Update(UpdateError::Lengths { .. }) => "lengths",
        Error::Update(UpdateError::Network { .. }) => "network",
        Error::Update(UpdateError::Unrecognized { .. }) => "unrecognized",
        Error::Update(UpdateError::RepeatedMultiprotocol { .. }) => "repeated multiprotocol",
        Error::Update(UpdateError::Multiprotocol { .. }) => "multiprotocol",
        Error::Update(UpdateError::NothingToWithdraw(_)) => "nothing to withdraw",
        Error::Refresh(RefreshError::Length { .. }) => "refresh length",
    }
}

/// The name of an error of an attribute; exhaustive, too.
fn kind_name(kind: AttrErrorKind) -> &'static str {
    match kind {
        AttrErrorKind::Flags(_) => "attribute flags",
        AttrErrorKind::Length(_) => "attribute length",
        AttrErrorKind::Value => "attribute value",
        AttrErrorKind::Segment => "attribute segment",
        AttrErrorKind::TooManyHops(_) => "attribute hops",
        AttrErrorKind::Missing => "attribute missing",
        AttrErrorKind::Repeated => "attribute repeated",
        AttrErrorKind::Unexpected => "attribute unexpected",
        AttrErrorKind::Overrun => "attribute overrun",
    }
}

fn all_errors() -> [&'static str; 26] {
    [
        "marker",
        "header length",
        "type",
        "version",
        "peer AS",
        "identifier",
        "hold time",
        "parameter",
        "malformed OPEN",
        "capability",
        "lengths",
        "network",
        "unrecognized",
        "repeated multiprotocol",
        "multiprotocol",
        "nothing to withdraw",
        "refresh length",
        "attribute flags",
        "attribute length",
        "attribute value",
        "attribute segment",
        "attribute hops",
        "attribute missing",
        "attribute repeated",
        "attribute unexpected",
        "attribute overrun",
    ]
}

fn all_attributes() -> impl Iterator<Item = u8> {
    let unknown = [35, 40, 99, 255];
    [
        code::ORIGIN,
        code::AS_PATH,
        code::NEXT_HOP,
        code::MULTI_EXIT_DISC,
        code::LOCAL_PREF,
        code::ATOMIC_AGGREGATE,
        code::AGGREGATOR,
        code::COMMUNITIES,
        code::ORIGINATOR_ID,
        code::CLUSTER_LIST,
        code::MP_REACH_NLRI,
        code::MP_UNREACH_NLRI,
        code::EXT_COMMUNITIES,
        code::AS4_PATH,
        code::AS4_AGGREGATOR,
        code::LARGE_COMMUNITIES,
    ]
    .into_iter()
    .chain(unknown)
}
