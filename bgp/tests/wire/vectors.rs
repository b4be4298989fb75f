// SPDX-License-Identifier: MIT OR Apache-2.0
//! Messages written by hand after the RFCs, in `tests/vectors/*.hex`, with the exact result.
//!
//! A vector is a `[name]` and lines `key: value`. `hex` goes on in indented lines; what follows a
//! `;` is a comment. With `type`, the octets are a body and get a header; without, they are a whole
//! message. `expect` is the text of the message or of the error. `canonical: yes` says that
//! encoding what was decoded gives the same octets again.

use std::collections::BTreeMap;
use std::path::Path;

use bgp::types::{Family, FamilySet};
use bgp::wire::{self, CodecCtx, DecodedUpdate, Error, Message, Outcome};

use crate::craft::{self, ebgp};

struct Vector {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Vector {
    fn field(&self, key: &str) -> &str {
        self.fields.get(key).map_or("", String::as_str)
    }

    fn ctx(&self) -> CodecCtx {
        let mut ctx = ebgp();
        for word in self.field("ctx").split_whitespace() {
            match word {
                "ibgp" => ctx.ebgp = false,
                "two-octet" => ctx.as4 = false,
                "extended-next-hop" => ctx.ext_next_hop = true,
                "extended-message" => ctx.ext_msg = true,
                "add-path" => (ctx.addpath_rx, ctx.addpath_tx) = (FamilySet::ALL, FamilySet::ALL),
                "v4-only" => ctx.families = FamilySet::only(Family::Ipv4Unicast),
                other => panic!("{}: unknown word `{other}`", self.name),
            }
        }
        ctx
    }

    fn octets(&self) -> Vec<u8> {
        let octets: Vec<u8> = self
            .field("hex")
            .split_whitespace()
            .map(|octet| u8::from_str_radix(octet, 16).expect(&self.name))
            .collect();
        match self.field("type") {
            "" => octets,
            kind => craft::message(kind.parse().unwrap(), &octets),
        }
    }
}

fn load() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "hex"));
    paths.sort();
    paths.iter().flat_map(|path| parse(&std::fs::read_to_string(path).unwrap())).collect()
}

fn parse(text: &str) -> Vec<Vector> {
    let mut vectors: Vec<Vector> = Vec::new();
    let mut key = String::new();
    for line in text.lines().map(|line| line.split(';').next().unwrap().trim_end()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.trim_end_matches(']').to_owned();
            vectors.push(Vector { name, fields: BTreeMap::new() });
            continue;
        }
        let fields = &mut vectors.last_mut().expect("a name comes first").fields;
        let value = if line.starts_with(' ') {
            line
        } else {
            let (name, value) = line.split_once(':').expect("key: value");
            key = name.to_owned();
            value
        };
        let field: &mut String = fields.entry(key.clone()).or_default();
        field.push(' ');
        field.push_str(value.trim());
        *field = field.trim().to_owned();
    }
    vectors
}

fn describe(octets: &[u8], ctx: &CodecCtx) -> String {
    match wire::frame(octets, ctx.max_message_len()) {
        Err(error) => reset(&error.into()),
        Ok(None) => "incomplete".to_owned(),
        Ok(Some(frame)) => match Message::decode(&frame) {
            Err(error) => reset(&error),
            Ok(Message::Update(view)) => match view.decode(ctx) {
                Err(error) => reset(&error.into()),
                Ok(update) => with_discards(&update),
            },
            Ok(message) => message.to_string(),
        },
    }
}

fn with_discards(update: &DecodedUpdate<'_>) -> String {
    let mut text = update.to_string();
    if let Outcome::AttributeDiscard(list) = &update.outcome {
        list.iter().for_each(|error| text.push_str(&format!(" ({error})")));
    }
    text
}

fn reset(error: &Error) -> String {
    let (notification, offset) = (error.notification(), error.offset());
    format!("reset at {offset}: {}: {notification}", error.reason())
}

/// Encodes what was decoded.
fn again(octets: &[u8], ctx: &CodecCtx) -> Vec<u8> {
    let frame = wire::frame(octets, ctx.max_message_len()).unwrap().unwrap();
    let mut out = Vec::new();
    match Message::decode(&frame).unwrap() {
        Message::Open(open) => open.encode(&mut out).unwrap(),
        Message::Keepalive => wire::encode_keepalive(&mut out),
        Message::RouteRefresh(refresh) => refresh.encode(&mut out),
        Message::Notification(notification) => {
            wire::encode_notification(ctx, &notification, &mut out).unwrap();
        }
        Message::Update(view) => {
            let update = view.decode(ctx).unwrap();
            if let Some(family) = update.end_of_rib {
                wire::encode_end_of_rib(family, &mut out);
            }
            for view in update.unreach() {
                wire::encode_unreach(ctx, view.family(), view.iter(), &mut out).unwrap();
            }
            for reach in update.reach() {
                let attrs = update.attrs_with(reach.next_hop);
                let nlri = reach.nlri.iter();
                wire::encode_reach(ctx, reach.nlri.family(), &attrs, nlri, &mut out).unwrap();
            }
        }
    }
    out
}

#[test]
fn every_vector_gives_exactly_what_it_says() {
    let vectors = load();
    assert!(vectors.len() >= 40, "only {} vectors found", vectors.len());
    let mut wrong = Vec::new();
    for vector in &vectors {
        let got = describe(&vector.octets(), &vector.ctx());
        if got != vector.field("expect") {
            wrong.push(format!("[{}]\n{got}\nexpected\n{}", vector.name, vector.field("expect")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn canonical_vectors_encode_to_the_same_octets() {
    let vectors: Vec<_> = load().into_iter().filter(|v| v.field("canonical") == "yes").collect();
    assert!(vectors.len() >= 15, "only {} canonical vectors", vectors.len());
    for vector in vectors {
        let octets = vector.octets();
        assert_eq!(again(&octets, &vector.ctx()), octets, "{}", vector.name);
    }
}

#[test]
fn a_vector_cut_at_any_octet_waits_or_is_refused_or_says_less() {
    for vector in load() {
        let (octets, ctx) = (vector.octets(), vector.ctx());
        let whole = describe(&octets, &ctx);
        if octets.len() < 19 || whole.starts_with("reset") && whole.contains("header") {
            continue;
        }
        for len in 0..octets.len() {
            assert_eq!(describe(&octets[..len], &ctx), "incomplete", "{} {len}", vector.name);
        }
        // The same with a header that agrees: never the whole meaning, and never a panic.
        for len in 19..octets.len() {
            let mut cut = octets[..len].to_vec();
            cut[16..18].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            let got = describe(&cut, &ctx);
            assert_ne!(got, "incomplete", "{} {len}", vector.name);
            let filters = got.starts_with("ROUTE-REFRESH");
            assert!(got != whole || filters || whole.starts_with("reset"), "{}", vector.name);
        }
    }
}
