// SPDX-License-Identifier: MIT OR Apache-2.0
//! Made-up trees: each rule fails on what it is there for, and on nothing else.

use super::graph::{Crate, Module, Place};
use super::lex::{Kind, tokens};
use super::project::{Project, Tree};
use super::source::Source;
use super::{RULES, rules};

const SPDX: &str = super::tables::SPDX;

/// A tree of these files, each with its licence line.
fn project(files: &[(&str, &str)]) -> Project {
    let mut tree = Tree::of(files);
    for (path, text) in &mut tree.files {
        if path.ends_with(".rs") {
            *text = format!("{SPDX}\n{text}");
        }
    }
    Project::new(tree)
}

/// Which rules a tree breaks, and what they say, without their text after the line number.
fn broken(files: &[(&str, &str)]) -> Vec<String> {
    let project = project(files);
    let found = RULES.iter().flat_map(|(demand, rule)| {
        rule(&project).into_iter().map(move |broken| format!("{demand}: {broken}"))
    });
    // These crate roots are made up without their attribute.
    found
        .filter(|text| !text.contains("lacks #!"))
        .filter(|text| !text.contains("no module cli"))
        .collect()
}

fn assert_breaks(files: &[(&str, &str)], expected: &[&str]) {
    let found = broken(files);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.contains(expected), "{found}\ndoes not contain {expected}");
    }
}

#[test]
fn a_clean_tree_breaks_nothing() {
    assert_breaks(
        &[
            ("bgp/Cargo.toml", "[dependencies]\nreconcile.workspace = true\n"),
            ("bgp/src/lib.rs", "mod types;\nmod wire;\npub use wire::Message;"),
            ("bgp/src/types.rs", "pub struct Asn(pub u32);"),
            ("bgp/src/wire.rs", "use crate::types::Asn;\npub struct Message(Asn);"),
        ],
        &[],
    );
}

#[test]
fn length_and_licence_are_seen() {
    let long = "\n".repeat(900);
    let tree = Tree::of(&[("bgp/src/lib.rs", &long), ("bgp/tests/x.rs", "// MIT\n")]);
    let found = rules::files(&Project::new(tree));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("more than 800"), "{found:?}");
}

#[test]
fn a_file_without_a_mod_line_is_seen() {
    assert_breaks(
        &[("bgp/src/lib.rs", "mod types;"), ("bgp/src/types.rs", ""), ("bgp/src/old.rs", "")],
        &["bgp/src/old.rs:1: no `mod` line"],
    );
}

#[test]
fn crates_in_the_wrong_direction_are_seen() {
    assert_breaks(
        &[
            ("bgp/Cargo.toml", "[dependencies]\nrouted = { path = \"../routed\" }\n"),
            ("policy/Cargo.toml", "[dev-dependencies]\nbgp.workspace = true\n"),
            (
                "routed/Cargo.toml",
                "[dependencies]\nzettabgp = \"0.6\"\n[dev-dependencies]\nrtnetlink = \"1\"\n",
            ),
            ("common/Cargo.toml", "[dependencies]\n"),
        ],
        &[
            "bgp/Cargo.toml:2: bgp must not depend on routed",
            "common/Cargo.toml:1: a crate that the table does not know",
            "policy/Cargo.toml:2: policy must not depend on bgp",
            "routed/Cargo.toml:2: zettabgp is for tests only",
        ],
    );
}

#[test]
fn upward_and_forbidden_edges_are_seen() {
    let lib = "mod types;\nmod wire;\nmod session;\nmod rib;\nmod extra;";
    assert_breaks(
        &[
            ("bgp/src/lib.rs", lib),
            ("bgp/src/extra.rs", ""),
            ("bgp/src/types.rs", "pub fn f() { crate::wire::decode() }"),
            ("bgp/src/wire.rs", "pub fn decode() {}"),
            ("bgp/src/session/mod.rs", "mod state;"),
            ("bgp/src/session/state.rs", "use crate::{rib::Rib, wire::decode};"),
            ("bgp/src/rib.rs", "pub struct Rib;"),
        ],
        &[
            "bgp/src/extra.rs:1: extra has no layer",
            "bgp/src/session/state.rs:2: session must not name rib",
            "bgp/src/types.rs:2: types must not name wire",
        ],
    );
}

#[test]
fn re_exports_are_looked_through() {
    // Names the root, means a higher layer.
    assert_breaks(
        &[
            ("bgp/src/lib.rs", "mod types;\nmod wire;\npub use wire::*;"),
            ("bgp/src/types.rs", "use crate::Message as M;"),
            ("bgp/src/wire.rs", "mod body;\npub use body::Message;"),
            ("bgp/src/wire/body.rs", "pub struct Message;"),
        ],
        &["bgp/src/types.rs:2: types must not name wire"],
    );
}

#[test]
fn circles_are_seen_at_every_level() {
    assert_breaks(
        &[
            ("bgp/src/lib.rs", "mod wire;"),
            ("bgp/src/wire/mod.rs", "mod a;\nmod b;\nmod c;"),
            ("bgp/src/wire/a.rs", "use super::b::B;"),
            ("bgp/src/wire/b.rs", "pub struct B;\nfn f() { super::c::g() }"),
            ("bgp/src/wire/c.rs", "pub fn g() { let _ = super::super::wire::a::A; }"),
        ],
        &["circle in wire: a (bgp/src/wire/a.rs:2) → b (bgp/src/wire/b.rs:3) → c"],
    );
    // A parent that uses its child and is used by it.
    assert_breaks(
        &[
            ("bgp/src/lib.rs", "mod wire;"),
            ("bgp/src/wire.rs", "mod a;\npub struct W(a::A);"),
            ("bgp/src/wire/a.rs", "pub struct A;\nimpl super::W {}"),
        ],
        &["circle in wire: a (bgp/src/wire/a.rs:3) → self (bgp/src/wire.rs:3)"],
    );
}

#[test]
fn tests_may_name_anything() {
    let tested = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse crate::wire;\n\
        #[test]\nfn t() { crate::wire::f(); std::time::Instant::now(); }";
    assert_breaks(
        &[
            ("bgp/src/lib.rs", "mod types;\nmod wire;"),
            ("bgp/src/types.rs", tested),
            ("bgp/src/types/tests.rs", "use crate::wire::f;\nuse std::process::Command;"),
            ("bgp/src/wire.rs", "pub fn f() {}"),
            ("bgp/tests/x.rs", "fn f() { std::thread::spawn(g); }"),
        ],
        &[],
    );
}

#[test]
fn crates_of_others_outside_their_folders_are_seen() {
    assert_breaks(
        &[
            ("routed/src/lib.rs", "mod core;\nmod config;"),
            ("routed/src/core.rs", "fn f() { ::netlink_sys::Socket::new(7); }"),
            ("routed/src/config.rs", "use serde_saphyr::from_str;\nuse nftables as n;\nn::f!();"),
            ("policy/tests/x.rs", "use nftables::batch;"),
            ("routed/tests/x.rs", "use zettabgp::prelude::*;"),
        ],
        &[
            "routed/src/config.rs:3: nftables stays out",
            "routed/src/config.rs:4: nftables stays out",
            "routed/src/core.rs:2: netlink_sys stays out",
            "routed/tests/x.rs:2: zettabgp stays out",
        ],
    );
}

#[test]
fn effects_in_pure_code_are_seen() {
    assert_breaks(
        &[
            ("policy/src/lib.rs", "mod engine;\nmod nft;"),
            ("policy/src/engine.rs", "use std::{fmt, fs};\nuse std::net::{IpAddr, UdpSocket};"),
            ("policy/src/nft/mod.rs", "use tokio::select;"),
        ],
        &["names std::fs", "names std::net::UdpSocket"],
    );
}

#[test]
fn channels_without_bound_are_seen_in_tests_too() {
    assert_breaks(
        &[
            ("bgp/src/lib.rs", "mod net;"),
            ("bgp/src/net.rs", "use tokio::sync::mpsc;\nfn f() { mpsc::channel(4); }"),
            (
                "bgp/tests/a.rs",
                "use std::sync::mpsc;\nfn f() { mpsc::channel(); mpsc::sync_channel(1); }",
            ),
            ("bgp/tests/b.rs", "fn f() { tokio::sync::mpsc::unbounded_channel(); }"),
        ],
        // bgp/src/net.rs is not the folder bgp/src/net/.
        &[
            "does not act: bgp/src/net.rs:2",
            "does not act: bgp/src/net.rs:3",
            "without a bound: bgp/tests/b.rs:2: unbounded_channel",
            "without a bound: bgp/tests/a.rs:3: std::sync::mpsc::channel",
        ],
    );
}

#[test]
fn clocks_and_spawns_are_seen() {
    assert_breaks(
        &[
            ("reconcile/src/lib.rs", "mod driver;\nmod run;\n//! Instant::now() in a text"),
            (
                "reconcile/src/driver.rs",
                "fn f() { g(\"Instant::now()\"); Instant::now().elapsed(); }",
            ),
            ("reconcile/src/run.rs", "fn f() { Instant::now(); tasks.spawn(g); }"),
            ("policy/src/lib.rs", "mod model;"),
            (
                "policy/src/model.rs",
                "fn spawn() {}\nfn f() { SystemTime::now(); set.spawn_local(g) }",
            ),
        ],
        &[
            "time enters: policy/src/model.rs:3",
            "time enters: reconcile/src/driver.rs:2",
            "time enters: reconcile/src/driver.rs:2",
            "an owner: policy/src/model.rs:3",
        ],
    );
}

#[test]
fn locks_and_unsafe_code_are_seen() {
    let lock = "use std::sync::{Mutex as M, PoisonError};";
    assert_breaks(
        &[
            ("reconcile/src/lib.rs", "mod mailbox;\nmod hints;"),
            ("reconcile/src/mailbox.rs", lock),
            ("reconcile/src/hints.rs", lock),
            ("routed/src/lib.rs", "mod kernel;\nmod ipam;"),
            ("routed/src/kernel/mod.rs", "fn f() { unsafe { libc::close(1) } }"),
            ("routed/src/ipam.rs", "fn f() { unsafe { libc::close(1) } }"),
        ],
        &[
            "two files: reconcile/src/hints.rs:2",
            "unsafe code stays in its folders: routed/src/ipam.rs:2: unsafe",
            "unsafe code stays in its folders: routed/src/ipam.rs:2: libc",
        ],
    );
    let found = rules::unsafe_code(&project(&[("policy/src/lib.rs", "")]));
    assert_eq!(found, ["policy/src/lib.rs:1: lacks #![forbid(unsafe_code)]"]);
}

#[test]
fn processes_are_seen_and_the_way_to_them() {
    let files = |run: &'static str, status: &'static str| {
        let project = project(&[
            ("routed/src/lib.rs", "mod cli;\nmod demo;\nmod node;\nmod lane;"),
            (
                "routed/src/cli/mod.rs",
                "mod run;\nmod status;\npub struct Globals(demo::D);\nuse crate::demo;",
            ),
            ("routed/src/cli/run.rs", run),
            ("routed/src/cli/status.rs", status),
            ("routed/src/node.rs", "mod deep;\npub fn start() {}"),
            ("routed/src/node/deep.rs", "use crate::lane;"),
            ("routed/src/lane.rs", "pub fn f() {}"),
            ("routed/src/demo/mod.rs", "use std::process;\npub struct D(process::Command);"),
        ]);
        (rules::processes(&project), rules::daemon_starts_no_process(&project))
    };
    let clean = "use crate::node::start;";
    assert_eq!(files(clean, ""), (vec![], vec![]));
    assert_eq!(files(clean, "use std::process::*;").1, [""; 0], "not on the way");

    let (_, reached) = files("use super::Globals;", "");
    assert_eq!(reached, ["cli::run reaches demo, which starts processes"]);
    let project = project(&[
        ("routed/src/lib.rs", "mod cli;\nmod node;\nmod lane;"),
        ("routed/src/cli/mod.rs", "mod run;"),
        ("routed/src/cli/run.rs", clean),
        ("routed/src/node.rs", "mod deep;\npub fn start() {}"),
        ("routed/src/node/deep.rs", "use crate::lane::f;"),
        ("routed/src/lane.rs", "pub fn f() { tokio::process::Command::new(\"x\"); }"),
    ]);
    assert_eq!(rules::processes(&project), ["routed/src/lane.rs:2: starts processes"]);
    let reached = rules::daemon_starts_no_process(&project);
    assert_eq!(reached, ["cli::run reaches lane, which starts processes"]);
}

#[test]
fn paths_resolve_as_the_compiler_does() {
    let project = project(&[
        ("bgp/src/lib.rs", "mod types;\nmod wire;\npub use types::{Prefix, number as n};"),
        ("bgp/src/types/mod.rs", "pub mod number;\npub use self::number::*;\npub struct Prefix;"),
        ("bgp/src/types/number.rs", "pub struct Asn;"),
        ("bgp/src/wire.rs", "use crate::n;\nuse std::process as p;\nmod inner { pub fn f() {} }"),
    ]);
    let found = project.library("bgp").expect("a library");
    let module =
        |text: &str| text.split("::").filter(|s| !s.is_empty()).map(str::to_owned).collect();
    let resolve = |from: &str, path: &str| {
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        found.resolve(&module(from), &path)
    };
    let here = |text: &str| -> Place { Place::Here(module(text)) };
    assert_eq!(resolve("wire", "crate::Prefix"), here("types"));
    assert_eq!(resolve("wire", "n::Asn"), here("types::number"));
    assert_eq!(resolve("wire", "super::types::Asn"), here("types::number"));
    assert_eq!(resolve("wire", "inner::f"), here("wire::inner"));
    assert_eq!(resolve("wire::inner", "super::super::Prefix"), here("types"));
    assert_eq!(resolve("types::number", "self::Asn"), here("types::number"));
    let elsewhere = ["std", "process", "Command"].map(str::to_owned).to_vec();
    assert_eq!(resolve("wire", "p::Command"), Place::Elsewhere(elsewhere));
    assert_eq!(
        resolve("wire", "serde::Serialize"),
        Place::Elsewhere(vec!["serde".into(), "Serialize".into()])
    );
}

#[test]
fn modules_are_found_in_files_folders_and_by_attribute() {
    let project = project(&[
        ("bgp/src/lib.rs", "mod a;\nmod b;\nmod c { mod d; }"),
        ("bgp/src/a.rs", "mod x;"),
        ("bgp/src/a/x.rs", ""),
        ("bgp/src/b/mod.rs", "mod y;"),
        ("bgp/src/b/y.rs", ""),
        ("bgp/src/c/d.rs", ""),
        ("bgp/tests/t.rs", "#[path = \"other/z.rs\"]\nmod z;"),
        ("bgp/tests/other/z.rs", ""),
    ]);
    let names = |found: &Crate| -> Vec<String> {
        found.modules.keys().map(|module: &Module| module.join("::")).collect()
    };
    let library = names(project.library("bgp").expect("a library"));
    assert_eq!(library, ["", "a", "a::x", "b", "b::y", "c", "c::d"]);
    assert_eq!(names(&project.crates["bgp/tests/t.rs"]), ["", "z"]);
}

#[test]
fn text_and_comments_are_no_code() {
    let source = "// unsafe\n/* unsafe /* nested */ unsafe */ let a = \"unsafe \\\" unsafe\";\n\
        let b = r#\"unsafe \" unsafe\"#; let c = b\"unsafe\"; let d = 'u'; let e: &'unsafe_ str = '\\'';";
    let found = tokens(source);
    assert!(found.iter().all(|token| !token.is("unsafe")), "{found:?}");
    assert_eq!(found.iter().filter(|token| token.kind == Kind::Text).count(), 3);
    assert_eq!(found.last().map(|token| (token.text.as_str(), token.line)), Some((";", 3)));
}

#[test]
fn test_items_end_where_they_end() {
    let source = "#[cfg(test)]\nuse a::{b, c};\nfn live1() {}\n#[cfg(all(test, unix))]\nimpl X { fn t() {} }\n\
        fn live2() {}\n#[tokio::test]\nasync fn t() -> [u8; 2] { [1; 2] }\nfn live3() {}\n\
        #[cfg(not(test))]\nfn live4() {}\nstruct S { #[cfg(test)] t: u8, live5: u8 }";
    let found = tokens(source);
    let live: Vec<&str> = found
        .iter()
        .filter(|token| !token.test && (token.text.starts_with("live") || token.is("t")))
        .map(|token| token.text.as_str())
        .collect();
    assert_eq!(live, ["live1", "live2", "live3", "live4", "live5"]);
}

#[test]
fn use_declarations_are_taken_apart() {
    let text = "pub(crate) use a::{self, b::{c as d, *}, e as _};\nuse f;";
    let uses = Source::parse(text).scope.uses;
    let shown: Vec<String> = uses
        .iter()
        .map(|leaf| {
            format!(
                "{}={}{}",
                leaf.name.as_deref().unwrap_or("-"),
                leaf.path.join("::"),
                if leaf.public { "!" } else { "" }
            )
        })
        .collect();
    assert_eq!(shown, ["a=a!", "d=a::b::c!", "-=a::b::*!", "-=a::e!", "f=f"]);
}
