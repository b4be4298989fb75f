// SPDX-License-Identifier: MIT OR Apache-2.0
//! Well-formed messages and what is done to them.

use bgp::types::FamilySet;
use bgp::wire::{CodecCtx, UpdateView};
use fastrand::Rng;

const HEADER: usize = 19;

/// A well-formed message and the session it belongs to.
pub(crate) struct Seed {
    pub(crate) ctx: CodecCtx,
    octets: Vec<u8>,
    /// Where the path attributes are, if this is an UPDATE.
    attrs: Vec<std::ops::Range<usize>>,
    /// How often it is taken, relative to the others.
    weight: u32,
}

/// Takes one by weight.
pub(crate) fn choose<'s>(seeds: &'s [Seed], rng: &mut Rng) -> &'s Seed {
    let mut at = rng.u32(0..seeds.iter().map(|seed| seed.weight).sum());
    for seed in seeds {
        match at.checked_sub(seed.weight) {
            Some(rest) => at = rest,
            None => return seed,
        }
    }
    unreachable!("the weights add up")
}

impl Seed {
    fn new(ctx: CodecCtx, kind: u8, body: &[u8], weight: u32) -> Self {
        let mut octets = vec![0xff; 16];
        octets.extend_from_slice(&u16::try_from(HEADER + body.len()).unwrap().to_be_bytes());
        octets.push(kind);
        octets.extend_from_slice(body);
        let view = (kind == 2).then(|| UpdateView::parse(body).unwrap());
        let attrs = view.iter().flat_map(|view| view.attributes()).map(|attr| {
            let attr = attr.unwrap();
            attr.offset..attr.offset + attr.octets.len()
        });
        Self { ctx, attrs: attrs.collect(), octets, weight }
    }

    /// The message as it was before any change.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Writes the message with one to three changes into `out`.
    pub(crate) fn mutate(&self, rng: &mut Rng, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.octets);
        if self.attrs.is_empty() || rng.u8(0..4) == 0 {
            resize(rng, out);
        } else {
            self.change_attribute(rng, out);
        }
        for _ in 0..rng.u8(0..3) {
            flip(rng, out);
        }
        if rng.u8(0..8) == 0 {
            let at = rng.usize(0..HEADER);
            out[at] = interesting(rng);
        }
    }

    /// One change to one attribute, with all lengths right again, mostly.
    fn change_attribute(&self, rng: &mut Rng, out: &mut Vec<u8>) {
        let range = self.attrs[rng.usize(0..self.attrs.len())].clone();
        let extended = out[range.start] & 0x10 != 0;
        let value = range.start + if extended { 4 } else { 3 };
        match rng.u8(0..12) {
            0 => out[range.start] ^= 0x10 << rng.u8(0..4),
            1 => out[range.start + 1] = rng.u8(..),
            2 => out[range.start + 2] = rng.u8(..),
            3 => {
                let copy = out[range.clone()].to_vec();
                out.splice(range.end..range.end, copy);
                fix_lengths(out, &self.octets);
            }
            4 => {
                out.drain(range);
                fix_lengths(out, &self.octets);
            }
            5 => {
                let first = self.attrs[0].start;
                out[first..range.end].rotate_left(range.start - first);
            }
            6 | 7 if !extended => {
                let len = rng.usize(0..16).min(range.len() + 8);
                let fill = std::iter::repeat_with(|| rng.u8(..)).take(len).collect::<Vec<_>>();
                out.splice(value..range.end, fill);
                out[value - 1] = u8::try_from(len).unwrap();
                fix_lengths(out, &self.octets);
            }
            _ if value < range.end => {
                let at = rng.usize(value..range.end);
                out[at] = interesting(rng);
            }
            _ => {}
        }
    }
}

/// Sets the attribute length and the message length after a change of the attributes.
fn fix_lengths(out: &mut [u8], before: &[u8]) {
    let withdrawn = usize::from(u16::from_be_bytes([out[HEADER], out[HEADER + 1]]));
    let at = HEADER + 2 + withdrawn;
    let old = usize::from(u16::from_be_bytes([out[at], out[at + 1]]));
    let new = (old + out.len()).saturating_sub(before.len());
    out[at..at + 2].copy_from_slice(&u16::try_from(new).unwrap().to_be_bytes());
    set_length(out);
}

fn set_length(out: &mut [u8]) {
    let len = u16::try_from(out.len()).unwrap_or(u16::MAX);
    out[16..18].copy_from_slice(&len.to_be_bytes());
}

/// Cuts or extends the message, or changes octets of the body.
fn resize(rng: &mut Rng, out: &mut Vec<u8>) {
    match rng.u8(0..6) {
        0 => out.truncate(rng.usize(HEADER..=out.len())),
        1 => {
            let at = rng.usize(HEADER..=out.len());
            let count = rng.usize(1..6);
            out.splice(at..at, std::iter::repeat_with(|| rng.u8(..)).take(count));
        }
        2 if out.len() > HEADER => {
            out.remove(rng.usize(HEADER..out.len()));
        }
        _ => {}
    }
    if rng.u8(0..16) != 0 {
        set_length(out);
    }
}

fn flip(rng: &mut Rng, out: &mut [u8]) {
    if out.len() > HEADER {
        let at = rng.usize(HEADER..out.len());
        out[at] = if rng.bool() { interesting(rng) } else { out[at] ^ (1 << rng.u8(0..8)) };
    }
}

fn interesting(rng: &mut Rng) -> u8 {
    const VALUES: [u8; 12] = [0, 1, 2, 3, 4, 16, 32, 33, 127, 128, 254, 255];
    if rng.bool() { VALUES[rng.usize(0..VALUES.len())] } else { rng.u8(..) }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|digit| !digit.is_ascii_whitespace()).collect();
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(octet).collect()
}

/// The body of an UPDATE.
fn update(withdrawn: &str, attrs: &str, nlri: &str) -> Vec<u8> {
    let (withdrawn, attrs) = (hex(withdrawn), hex(attrs));
    let mut body = u16::try_from(withdrawn.len()).unwrap().to_be_bytes().to_vec();
    body.extend_from_slice(&withdrawn);
    body.extend_from_slice(&u16::try_from(attrs.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&attrs);
    body.extend_from_slice(&hex(nlri));
    body
}

/// A path of almost the longest length that is accepted.
fn long_path() -> Vec<u8> {
    let mut value = Vec::new();
    for _ in 0..4 {
        value.extend_from_slice(&[2, 250]);
        value.extend_from_slice(&[0xfd, 0xe8].repeat(250));
    }
    value.extend_from_slice(&[2, 1, 0xfd, 0xe8]);
    let mut attrs = hex("40010100 400304c0000201 5002");
    attrs.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    attrs.extend_from_slice(&value);
    let mut body = vec![0, 0];
    body.extend_from_slice(&u16::try_from(attrs.len()).unwrap().to_be_bytes());
    body.extend_from_slice(&attrs);
    body.extend_from_slice(&hex("18cb0071"));
    body
}

/// Messages of almost 4096 octets of which each part is as small as it can be.
pub(crate) fn worst() -> Vec<(CodecCtx, Vec<u8>)> {
    let as4 = CodecCtx { as4: true, ebgp: false, families: FamilySet::ALL, ..CodecCtx::default() };
    let two_octet = CodecCtx { as4: false, ..as4 };
    let long = |flags: &str, code: u8, value: Vec<u8>| {
        let mut attr = hex(flags);
        attr.push(code);
        attr.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        attr.extend(value);
        attr
    };
    let base = hex("40010100 40020602010000fe4d 400304c0000201");
    let base2 = hex("40010100 400304c0000201");
    let update = |ctx, attrs: &[&[u8]], nlri: &[u8]| {
        let attrs = attrs.concat();
        let mut body = vec![0, 0];
        body.extend_from_slice(&u16::try_from(attrs.len()).unwrap().to_be_bytes());
        body.extend(attrs);
        body.extend_from_slice(nlri);
        (ctx, Seed::new(ctx, 2, &body, 1).octets)
    };
    let some = hex("18cb0071");
    let each_unknown: Vec<u8> =
        (33..=255).chain(19..=31).flat_map(|code: u8| [0xc0, code, 0]).collect();
    let single2: Vec<u8> = [2, 1, 0, 7].repeat(500);
    let single4: Vec<u8> = [2, 1, 0, 1, 0, 7].repeat(320);
    let sets4: Vec<u8> = [1, 1, 0, 1, 0, 7].repeat(320);
    let mut open = hex("04 fde8 00b4 0a000001 ffff");
    let capabilities: Vec<u8> = [99, 0].repeat(2000);
    open.extend_from_slice(&u16::try_from(capabilities.len() + 3).unwrap().to_be_bytes());
    open.push(2);
    open.extend_from_slice(&u16::try_from(capabilities.len()).unwrap().to_be_bytes());
    open.extend(capabilities);
    let wide: Vec<u8> = (0..1000_u32).rev().flat_map(|id| (id | 1 << 31).to_be_bytes()).collect();
    vec![
        (as4, Seed::new(as4, 1, &open, 1).octets),
        update(as4, &[&base, &each_unknown, &each_unknown, &each_unknown], &some),
        update(as4, &[&base, &[0xc0, 99, 0].repeat(1300)], &some),
        update(as4, &[&base, &long("d0", 8, wide[..3996].to_vec())], &some),
        update(as4, &[&base, &long("d0", 16, wide[..3992].to_vec())], &some),
        update(as4, &[&base, &long("d0", 32, wide[..3996].to_vec())], &some),
        update(as4, &[&base, &long("90", 10, wide[..3996].to_vec())], &some),
        update(
            two_octet,
            &[&base2, &long("50", 2, single2.clone()), &long("d0", 17, single4)],
            &some,
        ),
        update(two_octet, &[&base2, &long("50", 2, single2), &long("d0", 17, sets4)], &some),
        update(as4, &[&base2, &long("50", 2, [1, 1, 0, 0, 0, 7].repeat(600))], &some),
        update(as4, &[&base], &[0; 4000]),
        update(as4, &[&hex("80040100")], &[8, 10].repeat(2000)),
    ]
}

/// One of each kind, for all sessions.
pub(crate) fn all() -> Vec<Seed> {
    let as4 = CodecCtx { as4: true, families: FamilySet::ALL, ..CodecCtx::default() };
    let internal = CodecCtx { ebgp: false, ..as4 };
    let two_octet = CodecCtx { as4: false, ..as4 };
    let add_path = CodecCtx { addpath_rx: FamilySet::ALL, addpath_tx: FamilySet::ALL, ..internal };
    let next_hops = CodecCtx { ext_next_hop: true, ext_msg: true, ..as4 };
    let plain = CodecCtx { keep_unknown: false, ..two_octet };
    let hop = "20010db8000000000000000000000001";
    let base = "40010100 40020602010000fe4d 400304c0000201";
    let everything = "40010102 40020c 0101 0000fde9 0201 0000fdea 400304c0000201 80040400000032
        40050400000064 400600 c007080000fdeb0a000005 c00808fde80064ffffff01 8009040a000009
        800a080a0000070a000008 c010080002fde800000064 c0200cfa56ea710000000100000002";
    let unknown = format!("{base} c0630301 0203 e02800 c0ff0107 c0230400000001");
    let twins = "40010100 40020602025ba0fde9 400304c0000201 c007065ba00a000005
        c0110a0202fa56ea710000fde9 c01208fa56ea710a000006";
    let reach = format!("800e1c 000201 10{hop}00 3020010db80001 40010100 40020602010000fe4d");
    let pair = format!(
        "800e2c 000201 20{hop}fe80000000000000000000000000000100 3020010db80002
        40010100 400200"
    );
    let via6 = format!("800e19 000101 10{hop}00 18cb0071 40010100 40020602010000fe4d");
    let mixed = format!("{base} 800f0a 000201 3020010db80003 800e16 000201 10{hop}00 00");
    let open_small = hex("04 fde8 00b4 00000001 00");
    let open_big = hex("04 5ba0 0009 0a630101 3e 023c 010400010001 010400020001 0200
        4006801e00010180 4104fa56ea71 4600 0600 45040001 0103 0506000100010002 090103 4700 8000
        4905 026e31 0178");
    let extended = hex("04 fde8 00b4 0a000001 ffff0009 020006 010400020001");
    let seeds = [
        (as4, 1, open_small, 4),
        (as4, 1, open_big, 10),
        (as4, 1, extended, 3),
        (as4, 2, update("", base, "18cb0071 080a"), 12),
        (internal, 2, update("", everything, "18cb0071"), 16),
        (as4, 2, update("", everything, "20cb007101"), 4),
        (as4, 2, update("", &unknown, "18cb0071"), 8),
        (plain, 2, update("", "40010100 4002040201fde8 400304c0000201 c0630101", "080a"), 4),
        (two_octet, 2, update("", twins, "18cb0071"), 8),
        (two_octet, 2, long_path(), 0),
        (as4, 2, update("", &reach, ""), 8),
        (as4, 2, update("", &pair, ""), 5),
        (next_hops, 2, update("", &via6, ""), 6),
        (as4, 2, update("080a", &mixed, "18cb0071"), 8),
        (add_path, 2, update("", base, "00000001 18cb0071 00000002 00"), 5),
        (as4, 2, update("18cb0071 080a 00", "", ""), 5),
        (as4, 2, update("", "800f0a 000201 3020010db80001", ""), 5),
        (as4, 2, update("", "", ""), 2),
        (as4, 2, update("", "800f03 000201", ""), 3),
        (as4, 3, hex("0602 0b 6d61696e74656e616e6365"), 4),
        (as4, 3, hex("0207 010400020001"), 3),
        (as4, 4, Vec::new(), 3),
        (as4, 5, hex("00010001"), 3),
        (as4, 5, hex("00020101"), 3),
    ];
    // The long path is two hundred times as long as the others: it comes once in 2,000.
    let weigh = |weight: u32| if weight == 0 { 8 } else { weight * 100 };
    seeds
        .iter()
        .map(|(ctx, kind, body, weight)| Seed::new(*ctx, *kind, body, weigh(*weight)))
        .collect()
}
