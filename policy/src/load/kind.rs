// SPDX-License-Identifier: MIT OR Apache-2.0
//! Documents: which kind they are, and who reads them.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    LoadError, Value,
    decode::{Cursor, Fields, Problems},
    error::{did_you_mean, suggest},
    policy::decode_policy,
    yaml::{Node, nodes},
};
use crate::model::{Policy, PolicyId, Position};

/// The kinds that [`parse`] turns into policies.
pub const KINDS: [&str; 2] = ["NetworkPolicy", "GlobalNetworkPolicy"];

/// Kinds of the policy language that are refused by name.
const REFUSED_KINDS: [&str; 9] = [
    "Tier",
    "NetworkSet",
    "GlobalNetworkSet",
    "HostEndpoint",
    "Profile",
    "StagedNetworkPolicy",
    "StagedGlobalNetworkPolicy",
    "StagedKubernetesNetworkPolicy",
    "ClusterNetworkPolicy",
];

/// The API versions under which Calico's kinds are written and dumped.
const API_VERSIONS: [&str; 2] = ["projectcalico.org/v3", "crd.projectcalico.org/v1"];

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// A policy.
    Policy(Arc<Policy>),
    /// A kind that this crate does not know: the caller's, or nobody's.
    Other {
        /// `apiVersion` as written.
        api_version: String,
        /// `kind` as written; `…List` for a typed list.
        kind: String,
        /// Where the document begins.
        position: Position,
        /// The document, for a caller that reads it.
        node: Node,
    },
}

/// Reads all documents of a file named `path_name` in messages.
///
/// # Errors
///
/// Every problem of the file, by ascending place. Then nothing of the file may be used.
pub fn parse(path_name: &str, text: &str) -> Result<Vec<Document>, Vec<LoadError>> {
    let roots = nodes(path_name, text).map_err(|error| vec![error])?;
    let mut problems = Problems::new(path_name);
    let mut documents = Vec::new();
    for root in &roots {
        let inherited = Header { api_version: None, kind: None };
        decode_document(&Cursor::root(root), inherited, &mut problems, &mut documents);
    }
    let documents = problems.finish(documents)?;
    let duplicates = find_duplicates(&documents);
    if duplicates.is_empty() { Ok(documents) } else { Err(duplicates) }
}

/// Policies that are defined more than once, in one file or across files.
pub fn find_duplicates<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Vec<LoadError> {
    let mut first = BTreeMap::<&PolicyId, &Position>::new();
    let mut errors = Vec::new();
    for document in documents {
        let Document::Policy(policy) = document else { continue };
        let position = &policy.position;
        match first.get(&policy.id) {
            None => drop(first.insert(&policy.id, position)),
            Some(earlier) => errors.push(LoadError {
                file: Arc::clone(&position.file),
                line: position.line,
                column: 1,
                field: "metadata.name".to_owned(),
                value: Some(format!("{:?}", policy.id.to_string())),
                problem: format!("this {} is already defined at {earlier}", policy.id.kind()),
                hint: None,
            }),
        }
    }
    errors
}

/// What an item of a typed list need not repeat.
#[derive(Clone, Copy)]
struct Header<'a> {
    api_version: Option<&'a str>,
    kind: Option<&'a str>,
}

const LIST: Fields =
    Fields { known: &["apiVersion", "kind", "items"], refused: &[], ignored: &["metadata"] };

fn decode_document(
    at: &Cursor<'_>,
    inherited: Header<'_>,
    problems: &mut Problems,
    documents: &mut Vec<Document>,
) {
    let Some((api_version, kind)) = header(at, inherited, problems) else { return };
    let item_kind =
        kind.strip_suffix("List").filter(|item| item.is_empty() || KINDS.contains(item));
    if let Some(item_kind) = item_kind {
        let typed = !item_kind.is_empty();
        let inherited =
            Header { api_version: typed.then_some(api_version), kind: typed.then_some(item_kind) };
        let items = at
            .mapping(&LIST, problems)
            .and_then(|list| list.require("items", problems))
            .and_then(|items| items.list(problems));
        for item in items.into_iter().flatten() {
            decode_document(&item, inherited, problems, documents);
        }
    } else if KINDS.contains(&kind) && API_VERSIONS.contains(&api_version) {
        let policy = decode_policy(at, kind == "NetworkPolicy", problems);
        documents.extend(policy.map(|policy| Document::Policy(Arc::new(policy))));
    } else if KINDS.contains(&kind) {
        refuse_version(at, api_version, problems);
    } else if REFUSED_KINDS.contains(&kind) {
        report_field(at, "kind", "this kind is not supported yet", None, problems);
    } else {
        documents.push(Document::Other {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            position: problems.position(at.node),
            node: at.node.clone(),
        });
    }
}

fn header<'n>(
    at: &Cursor<'n>,
    inherited: Header<'n>,
    problems: &mut Problems,
) -> Option<(&'n str, &'n str)> {
    let Value::Map(entries) = &at.node.value else {
        at.expected("a mapping", problems);
        return None;
    };
    let mut field = |name: &str, inherited: Option<&'n str>| {
        if let Some(node) = at.node.get(name) {
            return Cursor { node, path: name.to_owned() }.text(problems);
        }
        if inherited.is_some() {
            return inherited;
        }
        let misspelt = entries.iter().find(|(key, _)| suggest(&key.text, [name]).is_some());
        if let Some((key, _)) = misspelt {
            let hint = did_you_mean(&key.text, [name]);
            problems.report_key(key, key.text.clone(), "unknown field", hint);
        } else {
            let hint = Some("every document has apiVersion, kind, metadata and spec".to_owned());
            problems.report(at, &format!("the document has no {name}"), hint);
        }
        None
    };
    let api_version = field("apiVersion", inherited.api_version);
    let kind = field("kind", inherited.kind);
    api_version.zip(kind)
}

fn refuse_version(at: &Cursor<'_>, api_version: &str, problems: &mut Problems) {
    if api_version == "networking.k8s.io/v1" {
        let problem = "Kubernetes' NetworkPolicy is not supported yet";
        let hint = Some(format!("Calico's has apiVersion {:?}", API_VERSIONS[0]));
        report_field(at, "apiVersion", problem, hint, problems);
    } else {
        let hint = did_you_mean(api_version, API_VERSIONS)
            .or_else(|| Some(format!("known: {}", API_VERSIONS.join(", "))));
        report_field(at, "apiVersion", "unknown apiVersion of this kind", hint, problems);
    }
}

fn report_field(
    at: &Cursor<'_>,
    name: &str,
    problem: &str,
    hint: Option<String>,
    problems: &mut Problems,
) {
    let node = at.node.get(name).unwrap_or(at.node);
    problems.report(&Cursor { node, path: name.to_owned() }, problem, hint);
}
