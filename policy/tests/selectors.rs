// SPDX-License-Identifier: MIT OR Apache-2.0
//! The selector cases that nobody here wrote, from the folder that `ROUTED_CONFORMANCE_DIR` names
//! (default `../shared/conformance`, seen from the workspace), and the round trip of random
//! selectors.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use policy::{Labels, Selector};
use proptest::prelude::*;
use serde_json::Value;

/// The cases, or `None` with a printed reason.
fn conformance() -> Option<Value> {
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = env::var_os("ROUTED_CONFORMANCE_DIR")
        .map_or_else(|| workspace.join("../shared/conformance"), PathBuf::from);
    let file = folder.join("selectors.json");
    match fs::read_to_string(&file) {
        Ok(text) => Some(serde_json::from_str(&text).unwrap()),
        Err(error) => {
            println!("skip: {}: {error}", file.display());
            None
        }
    }
}

fn cases<'a>(data: &'a Value, section: &str) -> &'a [Value] {
    let cases = data[section].as_array().unwrap();
    assert!(!cases.is_empty(), "{section}");
    cases
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field].as_str().unwrap()
}

#[test]
fn selectors_evaluate_as_elsewhere() {
    let Some(data) = conformance() else { return };
    let mut wrong = Vec::new();
    for case in cases(&data, "evaluate") {
        let selector = text(case, "selector");
        let labels = case["labels"].as_object().unwrap();
        let labels: Labels = labels.iter().map(|(k, v)| (k, v.as_str().unwrap())).collect();
        let actual = selector.parse::<Selector>().map(|parsed| parsed.matches(&labels));
        if actual.as_ref().ok() != case["expected"].as_bool().as_ref() {
            wrong.push(format!("{selector} with {labels:?}: {actual:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn selectors_are_valid_and_invalid_as_elsewhere() {
    let Some(data) = conformance() else { return };
    let verdict = |section: &str, valid: bool| {
        let texts = cases(&data, section).iter().map(|case| text(case, "selector"));
        texts.filter(|t| t.parse::<Selector>().is_ok() != valid).collect::<Vec<_>>()
    };
    assert_eq!(verdict("valid", true), [""; 0]);
    assert_eq!(verdict("invalid", false), [""; 0]);
}

#[test]
fn selectors_have_the_same_canonical_text_as_elsewhere() {
    let Some(data) = conformance() else { return };
    for case in cases(&data, "canonical") {
        let selector: Selector = text(case, "input").parse().unwrap();
        assert_eq!(selector.as_str(), text(case, "canonical"), "{}", case["input"]);
    }
}

#[test]
fn selectors_restrict_labels_as_elsewhere() {
    let Some(data) = conformance() else { return };
    for case in cases(&data, "restrictions") {
        let selector: Selector = text(case, "selector").parse().unwrap();
        let mut actual = serde_json::Map::new();
        for (key, restriction) in selector.restrictions() {
            let mut entry = serde_json::Map::new();
            if restriction.present {
                entry.insert("present".to_owned(), true.into());
            }
            if restriction.absent {
                entry.insert("absent".to_owned(), true.into());
            }
            if let Some(values) = restriction.one_of {
                let values: Vec<&str> = values.iter().map(|value| &**value).collect();
                entry.insert("one_of".to_owned(), values.into());
            }
            actual.insert(key.to_string(), entry.into());
        }
        let actual = if actual.is_empty() { Value::Null } else { actual.into() };
        assert_eq!(actual, case["restrictions"], "{selector}");
    }
}

/// A random selector as text, with whatever blanks, quotes and parentheses.
fn selector_text() -> impl Strategy<Value = String> {
    let label = "[a-c]|k8s\\.io/x-y_z|in|not|has";
    let literal = prop_oneof!["'[a-c]{0,2}'", "\"[a-c]{0,2}\"", "'\"a\"'", "\"it's\""];
    let blank = "[ \t]{0,2}";
    let compare = (label, "==|!=|contains |startswith |ends  with ", blank, literal.clone())
        .prop_map(|(label, operator, blank, literal)| {
            format!("{label} {operator}{blank}{literal}")
        });
    let member = (label, "in|not in|notin", prop::collection::vec(literal, 0..3), blank).prop_map(
        |(label, operator, literals, blank)| {
            format!("{label} {operator} {{{}{blank}}}", literals.join(","))
        },
    );
    let has = label.prop_map(|label| format!("has({label} )"));
    let leaf = prop_oneof![compare, member, has, Just("all()".into()), Just("global( )".into())];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let join =
            |operator: &'static str| move |parts: Vec<String>| parts.join(&format!(" {operator} "));
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(join("&&")),
            prop::collection::vec(inner.clone(), 1..4).prop_map(join("||")),
            inner.clone().prop_map(|inner| format!("!({inner})")),
            inner.clone().prop_map(|inner| format!("!!{inner}")),
            inner.prop_map(|inner| format!("( {inner})")),
        ]
    })
}

proptest! {
    #[test]
    fn printing_and_parsing_keeps_the_meaning(
        text in selector_text(),
        labels in prop::collection::vec(("[a-c]|k8s\\.io/x-y_z|in|not|has", "[a-c]{0,2}|\"a\"|it's"), 0..5),
    ) {
        let labels: Labels = labels.into_iter().collect();
        let selector: Selector = text.parse().unwrap();
        let again: Selector = selector.as_str().parse().unwrap();
        prop_assert_eq!(again.as_str(), selector.as_str());
        prop_assert_eq!(again.matches(&labels), selector.matches(&labels), "{} -> {}", text, selector);
        prop_assert_eq!(again.matches_namespace("a"), selector.matches_namespace("a"));
        // Hints never exclude labels that satisfy the selector.
        if selector.matches(&labels) {
            for (key, hint) in selector.restrictions() {
                let value = labels.get(&key);
                prop_assert!(!hint.present || value.is_some(), "{}: {:?}", selector, hint);
                prop_assert!(!hint.absent || value.is_none(), "{}: {:?}", selector, hint);
                let listed = hint.one_of.is_none_or(|values| value.is_some_and(|v| values.contains(v)));
                prop_assert!(listed, "{}", selector);
            }
        }
    }

    #[test]
    fn any_text_is_answered(text in "[ab !&|(){}=,'\"a-z]{0,40}|\\PC{0,20}") {
        match text.parse::<Selector>() {
            Ok(selector) => {
                let again = selector.as_str().parse::<Selector>();
                prop_assert_eq!(again.as_ref(), Ok(&selector));
            }
            Err(error) => prop_assert!(error.offset <= text.chars().count()),
        }
    }
}

#[test]
fn keys_of_hints_are_keys_of_the_selector() {
    let selector: Selector = "a == 'x' && !(has(b)) || a in {'y'} && c != 'z'".parse().unwrap();
    let hints: BTreeMap<_, _> = selector.restrictions();
    assert!(hints.keys().all(|key| selector.keys().contains(key)));
}
