// SPDX-License-Identifier: MIT OR Apache-2.0
//! The codec of the crate in this process: nanoseconds and allocated octets for each prefix.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bgp::types::{Asn, Community, Family, Prefix};
use bgp::wire::{self, AsPath, Attributes, CodecCtx, Message, NextHop, Nlri};

use crate::bench::{Bench, Values};
use crate::device::Kind;
use crate::load::{BASE, Universe};

#[path = "../../../bgp/tests/fuzz_wire/alloc.rs"]
mod alloc;

use alloc::allocated;

const PREFIXES: u32 = 100_000;
const ROUNDS: u32 = 20;

/// Messages as full as they get, and messages with ten prefixes.
pub(crate) fn codec(_bench: &Bench, _kind: Kind) -> Result<Values> {
    let mut values = full()?;
    values.extend(small()?);
    Ok(values)
}

fn context() -> CodecCtx {
    CodecCtx { as4: true, ..CodecCtx::default() }
}

fn attributes() -> Attributes {
    let mut attrs = Attributes {
        as_path: AsPath::sequence([Asn(65_101), Asn(64_900), Asn(100_000)]),
        next_hop: Some(NextHop::V4([10, 99, 1, 1].into())),
        ..Attributes::default()
    };
    attrs.communities.standard = [Community(0x4000_0000)].into_iter().collect();
    attrs
}

fn prefixes() -> Result<Vec<Nlri>> {
    let universe = Universe::interleaved(PREFIXES, 1);
    let prefix = |number| format!("{}/24", universe.address(number)).parse::<Prefix>();
    (0..universe.len()).map(|number| Ok(prefix(number)?.into())).collect()
}

fn full() -> Result<Values> {
    let (prefixes, attrs, ctx) = (prefixes()?, attributes(), context());
    let mut out = Vec::with_capacity(8 << 20);
    let (mut encode, mut decode, mut octets) = (f64::MAX, f64::MAX, 0);
    for _ in 0..ROUNDS {
        out.clear();
        let (start, before) = (Instant::now(), allocated());
        let all = black_box(&prefixes).iter().copied();
        wire::encode_reach(&ctx, Family::Ipv4Unicast, &attrs, all, &mut out)?;
        encode = encode.min(nanoseconds(start));
        let (start, encoded) = (Instant::now(), allocated());
        let sum = decode_all(black_box(&out), &ctx)?;
        decode = decode.min(nanoseconds(start));
        octets = (encoded - before).max(allocated() - encoded);
        check(sum)?;
    }
    Ok(vec![("encode", encode), ("decode", decode), ("octets", share(octets))])
}

fn small() -> Result<Values> {
    let (prefixes, attrs, ctx) = (prefixes()?, attributes(), context());
    let mut out = Vec::with_capacity(16 << 20);
    let (mut encode, mut decode) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        out.clear();
        let start = Instant::now();
        for ten in black_box(&prefixes).chunks(10) {
            wire::encode_reach(&ctx, Family::Ipv4Unicast, &attrs, ten.iter().copied(), &mut out)?;
        }
        encode = encode.min(nanoseconds(start));
        let start = Instant::now();
        let sum = decode_all(black_box(&out), &ctx)?;
        decode = decode.min(nanoseconds(start));
        check(sum)?;
    }
    Ok(vec![("encode ten", encode), ("decode ten", decode)])
}

/// Reads every message to its last prefix; returns the sum of the addresses.
fn decode_all(mut octets: &[u8], ctx: &CodecCtx) -> Result<u64> {
    let mut sum = 0;
    while let Some(frame) = wire::frame(octets, ctx.max_message_len())? {
        let Message::Update(view) = Message::decode(&frame)? else { continue };
        let update = view.decode(ctx)?;
        for reach in update.reach() {
            for (_, prefix) in reach.nlri.iter_v4() {
                sum += u64::from(prefix.bits());
            }
        }
        octets = octets.get(frame.message.len()..).context("behind the message")?;
    }
    Ok(sum)
}

fn check(sum: u64) -> Result<()> {
    let wanted: u64 = (0..u64::from(PREFIXES)).map(|number| u64::from(BASE) + (number << 8)).sum();
    ensure!(sum == wanted, "the prefixes are not those that were encoded");
    Ok(())
}

fn nanoseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / f64::from(PREFIXES)
}

fn share(octets: usize) -> f64 {
    octets as f64 / f64::from(PREFIXES)
}
