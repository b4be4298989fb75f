// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reads the policy cases of `policy/tests/cases/*.yaml`. The format is described in the README
//! beside them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path};

use policy::load::{Node, Value, nodes};

/// One file of cases.
#[derive(Debug)]
pub(crate) struct CaseFile {
    /// Its name without the directory.
    pub(crate) name: String,
    /// The endpoints by name, in the order of the file.
    pub(crate) endpoints: Vec<CaseEndpoint>,
    /// The cases.
    pub(crate) cases: Vec<Case>,
}

/// An endpoint of a file's cases.
#[derive(Clone, Debug)]
pub(crate) struct CaseEndpoint {
    /// How policies' placeholders and probes call it.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: CasePlace,
    /// Its namespace; empty for `outside`.
    pub(crate) namespace: String,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Where an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CasePlace {
    /// A workload of the node under test.
    Local,
    /// A workload of another node, known from a static file.
    Remote,
    /// A host beyond the node that no file knows.
    Outside,
}

/// Policies and what they do to packets.
#[derive(Debug)]
pub(crate) struct Case {
    /// What it shows.
    pub(crate) name: String,
    /// YAML documents with placeholders `<NAME.v4>` and `<NAME.v6>` for addresses.
    pub(crate) policies: String,
    /// The probes.
    pub(crate) probes: Vec<Probe>,
}

/// One packet, the first of its connection, in each of some families.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    /// The sender: an endpoint, or `node`.
    pub(crate) from: String,
    /// The receiver: an endpoint, or `node` for the sender's gateway address.
    pub(crate) to: String,
    /// What is sent.
    pub(crate) send: Send,
    /// Source port, where it matters.
    pub(crate) source_port: Option<u16>,
    /// 4, 6 or both.
    pub(crate) families: Vec<u8>,
    /// Whether it must arrive.
    pub(crate) allow: bool,
    /// Line in the file.
    pub(crate) line: u32,
}

/// What a probe sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Send {
    Tcp(u16),
    Udp(u16),
    Sctp(u16),
    /// An echo request of the family.
    Icmp,
}

/// Reads all case files of a directory, by name.
pub(crate) fn read_cases(directory: &Path) -> Vec<CaseFile> {
    let mut paths: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> CaseFile {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let text = fs::read_to_string(path).unwrap();
    let [root] = &nodes(&name, &text).unwrap()[..] else { panic!("{name}: one document") };
    let Value::Map(endpoints) = &field(root, "endpoints").value else { panic!("{name}") };
    CaseFile {
        endpoints: endpoints.iter().map(|(key, node)| endpoint(&key.text, node)).collect(),
        cases: field(root, "cases").items().iter().map(case).collect(),
        name,
    }
}

fn endpoint(name: &str, node: &Node) -> CaseEndpoint {
    let place = match node.get("place").map_or("local", text) {
        "local" => CasePlace::Local,
        "remote" => CasePlace::Remote,
        "outside" => CasePlace::Outside,
        other => panic!("line {}: place {other}", node.line),
    };
    let labels = match node.get("labels").map(|labels| &labels.value) {
        Some(Value::Map(labels)) => {
            labels.iter().map(|(key, value)| (key.text.clone(), text(value).to_owned())).collect()
        }
        _ => BTreeMap::new(),
    };
    let namespace = node.get("namespace").map_or("", text).to_owned();
    assert_eq!(namespace.is_empty(), place == CasePlace::Outside, "line {}", node.line);
    CaseEndpoint { name: name.to_owned(), place, namespace, labels }
}

fn case(node: &Node) -> Case {
    Case {
        name: text(field(node, "name")).to_owned(),
        policies: text(field(node, "policies")).to_owned(),
        probes: field(node, "probes").items().iter().map(probe).collect(),
    }
}

fn probe(node: &Node) -> Probe {
    let Value::Map(entries) = &node.value else { panic!("line {}: no mapping", node.line) };
    for (key, _) in entries {
        let known = ["from", "to", "send", "source_port", "family", "expect"];
        assert!(known.contains(&key.text.as_str()), "line {}: {}", key.line, key.text);
    }
    let number = |name: &str| match node.get(name).map(|node| &node.value) {
        None => None,
        Some(Value::Int(number)) => Some(u16::try_from(*number).unwrap()),
        Some(other) => panic!("line {}: {other} is no number", node.line),
    };
    let families = match number("family") {
        None => vec![4, 6],
        Some(4) => vec![4],
        Some(6) => vec![6],
        Some(_) => panic!("line {}: family is 4 or 6", node.line),
    };
    let send = text(field(node, "send"));
    let (protocol, port) = send.split_once('/').map_or((send, None), |(protocol, port)| {
        (protocol, Some(port.parse().unwrap_or_else(|_| panic!("line {}: {send}", node.line))))
    });
    Probe {
        from: text(field(node, "from")).to_owned(),
        to: text(field(node, "to")).to_owned(),
        send: match (protocol, port) {
            ("tcp", Some(port)) => Send::Tcp(port),
            ("udp", Some(port)) => Send::Udp(port),
            ("sctp", Some(port)) => Send::Sctp(port),
            ("icmp", None) => Send::Icmp,
            _ => panic!("line {}: send {send}", node.line),
        },
        source_port: number("source_port"),
        families,
        allow: match text(field(node, "expect")) {
            "allow" => true,
            "deny" => false,
            other => panic!("line {}: expect {other}", node.line),
        },
        line: node.line,
    }
}

fn field<'a>(node: &'a Node, name: &str) -> &'a Node {
    node.get(name).unwrap_or_else(|| panic!("line {}: no {name}", node.line))
}

fn text(node: &Node) -> &str {
    node.as_str().unwrap_or_else(|| panic!("line {}: no text", node.line))
}

impl Case {
    /// The policies' text with the addresses of this run.
    pub(crate) fn policies(&self, address: impl Fn(&str, u8) -> Option<IpAddr>) -> String {
        let mut out = String::new();
        let mut rest = self.policies.as_str();
        while let Some((before, placeholder)) = rest.split_once('<') {
            let (placeholder, behind) = placeholder.split_once('>').expect("a closed placeholder");
            let (name, family) = placeholder.split_once(".v").expect("<NAME.v4> or <NAME.v6>");
            let family = family.parse().expect("<NAME.v4> or <NAME.v6>");
            let address = address(name, family);
            let address = address.unwrap_or_else(|| panic!("{}: no <{placeholder}>", self.name));
            out.push_str(before);
            out.push_str(&address.to_string());
            rest = behind;
        }
        out + rest
    }
}
