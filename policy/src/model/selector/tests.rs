// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

const WEB: LabelList =
    &[("app", "web"), ("env", "prod"), ("tier", "front-end"), ("empty", ""), ("quote", "it's")];

type LabelList = &'static [(&'static str, &'static str)];

/// Selector, labels, whether it matches.
const CASES: &[(&str, LabelList, bool)] = &[
    // Equality: an absent label is unequal to everything.
    (r#"app == "web""#, WEB, true),
    (r#"app == "we""#, WEB, false),
    (r#"app=='web'"#, WEB, true),
    (r#"App == "web""#, WEB, false),
    (r#"app == "Web""#, WEB, false),
    (r#"app != "web""#, WEB, false),
    (r#"app != "db""#, WEB, true),
    (r#"missing == "web""#, WEB, false),
    (r#"missing != "web""#, WEB, true),
    (r#"empty == """#, WEB, true),
    (r#"missing == """#, WEB, false),
    (r#"empty != """#, WEB, false),
    (r#"quote == "it's""#, WEB, true),
    (r#"app == " web""#, WEB, false),
    // Membership.
    (r#"app in {"db", "web"}"#, WEB, true),
    (r#"app in {"web","web"}"#, WEB, true),
    (r#"app in {"db"}"#, WEB, false),
    (r#"app in {}"#, WEB, false),
    (r#"missing in {""}"#, WEB, false),
    (r#"app not in {"db"}"#, WEB, true),
    (r#"app not in {"db", "web"}"#, WEB, false),
    (r#"app not in {}"#, WEB, true),
    (r#"missing not in {"web"}"#, WEB, true),
    (r#"empty in {"", "x"}"#, WEB, true),
    (r#"app notin {"web"}"#, WEB, false),
    // Presence.
    ("has(app)", WEB, true),
    ("has( app )", WEB, true),
    ("has(empty)", WEB, true),
    ("has(missing)", WEB, false),
    ("!has(missing)", WEB, true),
    ("!has(app)", WEB, false),
    ("! ! has(app)", WEB, true),
    // Parts of values.
    (r#"tier contains "ont-e""#, WEB, true),
    (r#"tier contains "back""#, WEB, false),
    (r#"tier contains """#, WEB, true),
    (r#"missing contains """#, WEB, false),
    (r#"tier starts with "front""#, WEB, true),
    (r#"tier starts with "end""#, WEB, false),
    (r#"tier startswith "front""#, WEB, true),
    (r#"tier ends with "end""#, WEB, true),
    (r#"tier ends with "front""#, WEB, false),
    (r#"missing ends with """#, WEB, false),
    (r#"!tier starts with "back""#, WEB, true),
    (r#"!missing contains "x""#, WEB, true),
    // Everything.
    ("", WEB, true),
    ("\t ", WEB, true),
    ("all()", &[], true),
    ("global()", &[], true),
    ("!all()", WEB, false),
    // Precedence and grouping.
    (r#"app == "web" && env == "prod""#, WEB, true),
    (r#"app == "web" && env == "dev""#, WEB, false),
    (r#"app == "db" || env == "prod""#, WEB, true),
    (r#"app == "db" || env == "dev""#, WEB, false),
    (r#"app == "web" || has(missing) && env == "dev""#, WEB, true),
    (r#"(app == "web" || has(missing)) && env == "dev""#, WEB, false),
    (r#"!app == "db" && env == "prod""#, WEB, true),
    (r#"!(app == "web" && env == "dev")"#, WEB, true),
    (r#"!(app == "web" || env == "dev")"#, WEB, false),
    (r#"!(!(app == "web"))"#, WEB, true),
    (r#"has(app)&&has(env)||has(missing)"#, WEB, true),
    ("((((has(app)))))", WEB, true),
    // Words that look like operators are labels where a label stands.
    (r#"in in {"in"}"#, &[("in", "in")], true),
    (r#"not not in {"x"}"#, &[("not", "x")], false),
    (r#"contains contains "n""#, &[("contains", "in")], true),
    (r#"starts starts with "s""#, &[("starts", "sx")], true),
    (r#"has == "x""#, &[("has", "x")], true),
    (r#"all == "x" && global == "y""#, &[("all", "x"), ("global", "y")], true),
    (r#"kubernetes.io/a-b_c == "x""#, &[("kubernetes.io/a-b_c", "x")], true),
    (r#"-._/ == "x""#, &[("-._/", "x")], true),
];

#[test]
fn selectors_match_labels() {
    assert!(CASES.len() >= 60);
    for (text, labels, expected) in CASES {
        let selector: Selector = text.parse().unwrap();
        let labels: Labels = labels.iter().copied().collect();
        assert_eq!(selector.matches(&labels), *expected, "{text}");
        let again: Selector = selector.as_str().parse().unwrap();
        assert_eq!(again.expr, selector.expr, "{text} -> {selector}");
        assert_eq!(again, selector);
    }
}

#[test]
fn errors_point_at_the_place() {
    for (text, message) in [
        (
            "app = \"x\"",
            "expected `==`, `!=`, `in`, `not in`, `contains`, `starts with` or `ends with` at character 5",
        ),
        ("app == x", "expected a quoted string at character 8"),
        ("app == \"x", "the string is not closed at character 8"),
        ("has(app", "expected `)` at character 8"),
        ("has()", "expected a label name at character 5"),
        ("has(a) has(b)", "expected `&&`, `||` or the end at character 8"),
        ("a in {\"x\" \"y\"}", "expected `}` at character 11"),
        ("a == \"ü\" ü", "expected `&&`, `||` or the end at character 10"),
        ("has(a) &&", "expected a label name at character 10"),
        (
            "has (a)",
            "expected `==`, `!=`, `in`, `not in`, `contains`, `starts with` or `ends with` at character 5",
        ),
    ] {
        assert_eq!(text.parse::<Selector>().unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth| format!("{}all(){}", "(".repeat(depth), ")".repeat(depth));
    assert!(nested(64).parse::<Selector>().is_ok());
    assert!(nested(65).parse::<Selector>().is_err());
    assert!(nested(100_000).parse::<Selector>().is_err());
    assert!(vec!["(all())"; 1000].join("&&").parse::<Selector>().is_ok(), "depth, not number");
}

#[test]
fn canonical_text_needs_no_needless_parentheses() {
    for (text, canonical) in [
        ("(has(a)&&has(b))&&has(c)", "has(a) && has(b) && has(c)"),
        ("has(a)&&(has(b)||has(c))", "has(a) && (has(b) || has(c))"),
        ("(has(a)&&has(b))||has(c)", "has(a) && has(b) || has(c)"),
        ("!(has(a))", "!has(a)"),
        ("!(!has(a)&&has(b))", "!(!has(a) && has(b))"),
        ("!!!(has(a))", "!has(a)"),
    ] {
        assert_eq!(text.parse::<Selector>().unwrap().as_str(), canonical);
    }
}

#[test]
fn namespaces_are_selected_by_name() {
    for (text, expected) in [
        ("all()", true),
        ("global()", false),
        ("!global()", true),
        ("projectcalico.org/name == \"shop\"", true),
        ("kubernetes.io/metadata.name in {\"shop\", \"bank\"}", true),
        ("projectcalico.org/name != \"shop\"", false),
        ("global() || projectcalico.org/name starts with \"sh\"", true),
        ("has(team)", false),
    ] {
        assert_eq!(text.parse::<Selector>().unwrap().matches_namespace("shop"), expected, "{text}");
    }
}

#[test]
fn keys_are_listed_once() {
    let selector: Selector = "b == 'x' && !(has(a) || b in {'y'})".parse().unwrap();
    assert_eq!(selector.keys().iter().map(|k| k.to_string()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn hints_of_alternatives_hold_for_each_of_them() {
    let hint = |text: &str| {
        let selector: Selector = text.parse().unwrap();
        let restrictions = selector.restrictions();
        restrictions.get("a").map(|r| (r.present, r.absent, r.one_of.as_ref().map(|v| v.len())))
    };
    for (text, expected) in [
        ("has(a) || !has(a)", None),
        ("a == '1' || !has(a)", None),
        ("a == '1' || a in {'2', '3'}", Some((true, false, Some(3)))),
        ("a == '1' || a contains '2'", Some((true, false, None))),
        ("!has(a) || !has(a) && has(b)", Some((false, true, None))),
        ("a in {'1', '2'} && a in {'2', '3'} && has(a)", Some((true, false, Some(1)))),
        ("a in {}", Some((true, false, Some(0)))),
    ] {
        assert_eq!(hint(text), expected, "{text}");
    }
}
