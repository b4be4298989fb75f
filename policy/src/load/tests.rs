// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;
use crate::model::{Action, Direction, Policy, Protocol, Scope};

/// The problems of a text, one per line.
fn problems(text: &str) -> String {
    let errors = parse("policies/x.yaml", text).expect_err("a problem");
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A namespaced policy with this spec.
fn policy(spec: &str) -> String {
    format!(
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {{ name: p, namespace: shop }}\nspec: {spec}\n"
    )
}

/// A namespaced policy with one ingress rule, in one line each.
fn rule(rule: &str) -> String {
    policy(&format!("\n  ingress:\n  - {rule}"))
}

/// A global policy with this spec.
fn global(spec: &str) -> String {
    policy(spec).replace("NetworkPolicy", "GlobalNetworkPolicy").replace(", namespace: shop", "")
}

fn load(text: &str) -> Policy {
    let documents = parse("x.yaml", text).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let [Document::Policy(policy)] = &documents[..] else { panic!("{documents:?}") };
    Policy::clone(policy)
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let text = r#"
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: Web_In, namespcae: shop }
spec:
  order: high
  sellector: app == "web"
  types: [Ingres, egress]
  ingress:
  - action: Alow
    protocol: tpc
    source: { nets: [], selector: app = "web", namespaceSelector: team == "x" }
    destination: { ports: [http, 70000, "90:80"], notPorts: [-1] }
  - protocol: TCP
    icmp: { type: 8 }
    source: { nets: [10.0.0.0/33, 10.0.0.300, fd00::/64], serviceAccounts: { names: [a] } }
---
kind: NetworkPolicy
metadata: { name: x }
spec: {}
---
- a list
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: { name: t }
"#;
    insta::assert_snapshot!(problems(text));
}

#[test]
fn what_is_not_built_is_refused_by_name() {
    let mut told = String::new();
    for (what, text) in [
        ("action Log", rule("{ action: Log }")),
        ("action Pass", rule("{ action: Pass }")),
        ("tier", policy("{ tier: security }")),
        ("serviceAccountSelector", policy("{ serviceAccountSelector: all() }")),
        ("doNotTrack", global("{ doNotTrack: true }")),
        ("preDNAT", global("{ preDNAT: true }")),
        ("applyOnForward", global("{ applyOnForward: true }")),
        ("http", rule("{ action: Allow, http: { methods: [GET] } }")),
        ("icmp", rule("{ action: Allow, icmp: { type: 8 } }")),
        ("notICMP", rule("{ action: Allow, notICMP: { type: 8 } }")),
        ("services", rule("{ action: Allow, source: { services: { name: x } } }")),
        ("serviceAccounts", rule("{ action: Allow, source: { serviceAccounts: { names: [x] } } }")),
        ("named port", rule("{ action: Allow, protocol: TCP, destination: { ports: [http] } }")),
        ("labels of namespaces", rule("{ action: Allow, source: { namespaceSelector: has(x) } }")),
        ("kind", policy("{}").replace("NetworkPolicy", "GlobalNetworkSet")),
        ("kind", policy("{}").replace("NetworkPolicy", "StagedNetworkPolicy")),
        ("Kubernetes", policy("{}").replace("projectcalico.org/v3", "networking.k8s.io/v1")),
    ] {
        let problems = problems(&text);
        assert!(problems.contains("not supported yet"), "{what}: {problems}");
        told.push_str(&problems);
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}

#[test]
fn contradictions_are_told() {
    let mut told = String::new();
    for text in [
        rule("{ action: Allow, destination: { ports: [80] } }"),
        rule("{ action: Allow, protocol: ICMP, source: { notPorts: [80] } }"),
        rule("{ action: Allow, notProtocol: TCP, destination: { ports: [80] } }"),
        rule("{ action: Allow, protocol: UDPLite, destination: { ports: [80] } }"),
        rule("{ action: Allow, ipVersion: 6, source: { nets: [10.0.0.0/8] } }"),
        rule("{ action: Allow, ipVersion: 4, protocol: ICMPv6 }"),
        rule("{ action: Allow, ipVersion: 5 }"),
        rule("{ action: Allow, protocol: 0 }"),
        rule("{ action: Allow, protocol: 256 }"),
        rule("{ action: Allow, source: { selector: '' } }"),
        rule("{ action: Allow, source: { selector: } }"),
        rule("{ action: Allow, source: }"),
        rule("{ action: Allow, source: [a] }"),
        rule("deny"),
        policy("{ types: [] }"),
        policy("{ types: [Ingress], egress: [{ action: Allow }] }"),
        policy("{ order: .inf }"),
        policy("{ order: .nan }"),
        policy("{ order: '5' }"),
        policy("{ namespaceSelector: all() }"),
        policy("{ ingress: { action: Allow } }"),
        policy("{ ingress: }"),
        policy("{}").replace("name: p,", ""),
        policy("{}").replace("spec: {}", ""),
        policy("{}").replace("v3", "v33"),
        policy("{}").replace("kind: NetworkPolicy", ""),
        global("{}").replace("name: p", "name: p, namespace: x"),
        policy("{}").replace("name: p", "name: -p"),
        policy("{}").replace("shop", &"s".repeat(64)),
        policy("{ order: 1, order: 2 }"),
        "apiVersion: v1\nkind: List\nitems: {}\n".to_owned(),
        "apiVersion: v1\nkind: List\n".to_owned(),
        "a: [".to_owned(),
        "just text".to_owned(),
    ] {
        told.push_str(&problems(&text));
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}

#[test]
fn a_typo_in_any_field_is_found() {
    let full = r#"apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata:
  name: p
  labels: { a: b }
spec:
  order: 1
  selector: all()
  namespaceSelector: all()
  types: [Ingress]
  tier: default
  doNotTrack: false
  preDNAT: false
  applyOnForward: false
  performanceHints: [AssumeNeededOnEveryNode]
  ingress:
  - action: Allow
    ipVersion: 4
    protocol: TCP
    notProtocol: UDP
    metadata: { annotations: { a: b } }
    source:
      nets: [10.0.0.0/8]
      notNets: [10.0.0.0/8]
      selector: all()
      notSelector: all()
      namespaceSelector: all()
      ports: [1]
      notPorts: [2]
    destination: { nets: [10.0.0.0/8] }
"#;
    load(full);
    let fields = full.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| {
        let known = full.contains(&format!("{word}:")) && word.len() > 3;
        known && *word != "labels" && *word != "annotations"
    });
    let mut tried = 0;
    for field in fields.collect::<std::collections::BTreeSet<_>>() {
        let typo = format!("{}x{}:", &field[..2], &field[2..]);
        let told = problems(&full.replacen(&format!("{field}:"), &typo, 1));
        let hint = format!("did you mean {field:?}?");
        assert!(told.contains(&hint), "{typo} {told}");
        tried += 1;
    }
    assert!(tried >= 20, "only {tried} fields");
}

#[test]
fn types_default_as_in_calico() {
    use Direction::{Egress, Ingress};
    for (spec, expected) in [
        ("{}", &[Ingress][..]),
        ("{ ingress: [] }", &[Ingress]),
        ("{ egress: [] }", &[Ingress]),
        ("{ ingress: [{ action: Allow }] }", &[Ingress]),
        ("{ egress: [{ action: Allow }] }", &[Egress]),
        ("{ ingress: [], egress: [{ action: Allow }] }", &[Egress]),
        ("{ ingress: [{ action: Deny }], egress: [{ action: Allow }] }", &[Ingress, Egress]),
        ("{ types: [Egress] }", &[Egress]),
        ("{ types: [Egress, Ingress] }", &[Ingress, Egress]),
        ("{ types: [Egress], ingress: [] }", &[Egress]),
    ] {
        let policy = load(&policy(spec));
        assert_eq!(policy.types().collect::<Vec<_>>(), expected, "{spec}");
    }
    let closed = load(&policy("{ types: [Ingress] }"));
    assert_eq!(closed.ingress, Some(Vec::new()), "covered, and nothing allowed");
    assert_eq!(closed.egress, None, "not covered");
}

#[test]
fn selectors_are_confined_by_type() {
    let scope = |text: &str| {
        let ingress = load(text).ingress.unwrap();
        ingress[0].source.selector.clone().map(|selector| selector.to_string())
    };
    let of = |source: &str| rule(&format!("{{ action: Allow, source: {{ {source} }} }}"));
    let wide = |source: &str| {
        global(&format!("{{ ingress: [{{ action: Allow, source: {{ {source} }} }}] }}"))
    };
    for (text, expected) in [
        (of("nets: [10.0.0.0/8]"), None),
        (of("selector: has(a)"), Some("ns shop: has(a)")),
        (of("notSelector: has(a)"), Some("ns shop: all()")),
        (of("namespaceSelector: all()"), Some("ns [all()]: all()")),
        (of("namespaceSelector: global(), selector: has(a)"), Some("ns [global()]: has(a)")),
        (wide("nets: [10.0.0.0/8]"), None),
        (wide("selector: has(a)"), Some("has(a)")),
        (wide("notSelector: has(a)"), None),
        (wide("namespaceSelector: all(), notSelector: has(a)"), Some("ns [all()]: all()")),
    ] {
        assert_eq!(scope(&text).as_deref(), expected, "{text}");
    }
    // A namespace cannot be escaped by what a selector says.
    let escape = load(&rule(
        "{ action: Allow, source: { selector: \"all() || projectcalico.org/namespace == 'bank'\" } }",
    ));
    let selector = escape.ingress.unwrap()[0].source.selector.clone().unwrap();
    assert_eq!(selector.scope, Scope::Namespace("shop".into()));
    let outsider = crate::model::Endpoint::new("bank", &crate::model::Labels::default(), vec![]);
    assert!(!selector.matches(&outsider));
}

#[test]
fn names_and_places_are_kept() {
    let text = format!("# a comment\n---\n{}---\n{}", policy("{}"), rule("{ action: Deny }"))
        .replacen("name: p, namespace: shop", "name: default.first", 1);
    let documents = parse("a/b.yaml", &text).unwrap();
    let [Document::Policy(first), Document::Policy(second)] = &documents[..] else { panic!() };
    assert_eq!(first.id.to_string(), "default/first", "the prefix is not part of the name");
    assert_eq!(first.position.to_string(), "a/b.yaml:3");
    assert_eq!(second.position.line, 8);
    let rule = &second.ingress.as_ref().unwrap()[0];
    assert_eq!(rule.position.to_string(), "a/b.yaml:13");
    assert_eq!(rule.action, Action::Deny);
}

#[test]
fn protocols_go_by_name_and_number() {
    for (text, number) in [
        ("TCP", 6),
        ("udp", 17),
        ("ICMP", 1),
        ("icmpv6", 58),
        ("SCTP", 132),
        ("UDPLite", 136),
        ("255", 255),
        ("'47'", 47),
    ] {
        let policy = load(&rule(&format!("{{ action: Allow, protocol: {text} }}")));
        assert_eq!(policy.ingress.unwrap()[0].protocol, Some(Protocol(number)), "{text}");
    }
}

#[test]
fn other_kinds_are_handed_back() {
    let text = format!(
        "{}---\napiVersion: routed.dev/v1\nkind: NodeConfig\nspec: {{}}\n---\napiVersion: v1\nkind: List\nitems:\n- {{ apiVersion: x/v1, kind: BGPPeer }}\n",
        policy("{}")
    );
    let documents = parse("x.yaml", &text).unwrap();
    let others: Vec<_> = documents
        .iter()
        .filter_map(|document| match document {
            Document::Other { api_version, kind, position, node } => Some(format!(
                "{api_version} {kind} {} {}",
                position.line,
                node.get("spec").is_some()
            )),
            Document::Policy(_) => None,
        })
        .collect();
    assert_eq!(others, ["routed.dev/v1 NodeConfig 6 true", "x/v1 BGPPeer 13 false"]);
}

#[test]
fn a_policy_is_defined_once() {
    let text = format!("{}---\n{}", policy("{}"), policy("{}"));
    insta::assert_snapshot!(problems(&text), @r#"policies/x.yaml:6:1: metadata.name: this NetworkPolicy is already defined at policies/x.yaml:1, found "shop/p""#);
    let one = parse("a.yaml", &policy("{}")).unwrap();
    let two = parse("b.yaml", &policy("{}")).unwrap();
    let found = find_duplicates(one.iter().chain(&two));
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().starts_with("b.yaml:1:1: "), "{}", found[0]);
    assert!(found[0].to_string().contains("already defined at a.yaml:1"), "{}", found[0]);
    let other = parse("c.yaml", &global("{}")).unwrap();
    assert!(find_duplicates(one.iter().chain(&other)).is_empty(), "another kind");
}

#[test]
fn nothing_is_no_document() {
    for text in ["", "---\n", "# only a comment\n", "---\n---\n~\n"] {
        assert_eq!(parse("x.yaml", text), Ok(Vec::new()), "{text:?}");
    }
}

#[test]
fn large_files_are_no_problem_and_bombs_are_refused() {
    let documents: Vec<_> =
        (0..1100).map(|n| policy("{}").replace("name: p", &format!("name: p{n}"))).collect();
    assert_eq!(parse("x.yaml", &documents.join("---\n")).unwrap().len(), 1100);
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![alias; 10].join(", ")));
    }
    assert!(problems(&bomb).contains("not valid YAML"), "refused, not expanded");
}

#[test]
fn deep_nesting_is_refused_with_stack_to_spare() {
    let maps = |depth: usize| (0..depth).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    // Three quarters of what the thread that reads the files has.
    let reader = std::thread::Builder::new().stack_size(3 << 19);
    let read = move || {
        let all: [String; 4] = [maps(23), maps(63), maps(3000), "[".repeat(200_000)];
        all.map(|text| super::yaml::nodes("x.yaml", &text).is_ok())
    };
    let read = reader.spawn(read).unwrap().join().unwrap();
    assert_eq!(read, [true, false, false, false]);
}

#[test]
fn suggestions_are_near() {
    assert_eq!(suggest("alow", ["Allow", "Deny"]), Some("Allow"));
    assert_eq!(suggest("NAMESPACE", ["name", "namespace"]), Some("namespace"));
    assert_eq!(
        suggest("NetworkPolcy", ["NetworkPolicy", "GlobalNetworkPolicy"]),
        Some("NetworkPolicy")
    );
    assert_eq!(suggest("banana", ["Allow", "Deny"]), None);
}
