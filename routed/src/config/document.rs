// SPDX-License-Identifier: MIT OR Apache-2.0
//! Documents: which kind they are, what they are called, and who reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use policy::load::{self, KINDS, Node, Value};
use policy::model::{Labels, Policy, PolicyId};

use super::endpoint::{self, RawEndpoint};
use super::error::{ConfigError, Place};
use super::node::{self, RawNode};
use super::peer::{self, RawBgp, RawPeer, RawProfile};
use super::pool::{self, RawPool};
use super::read::{Field, Fields, Object, Problems, did_you_mean};

/// A document with its name.
#[derive(Clone, Debug)]
pub(super) struct Document<T> {
    pub(super) name: Option<String>,
    pub(super) namespace: String,
    pub(super) labels: Labels,
    pub(super) place: Place,
    pub(super) spec: T,
}

/// All documents of a configuration, by kind.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) nodes: Vec<Document<RawNode>>,
    pub(super) pools: Vec<Document<RawPool>>,
    pub(super) bgp: Vec<Document<RawBgp>>,
    pub(super) peers: Vec<Document<RawPeer>>,
    pub(super) profiles: Vec<Document<RawProfile>>,
    pub(super) endpoints: Vec<Document<RawEndpoint>>,
    pub(super) policies: BTreeMap<PolicyId, Arc<Policy>>,
    /// Kinds of which a document has a problem: what others miss may be there.
    broken: BTreeSet<&'static str>,
    /// A document has a problem, and its kind is not known.
    lost: bool,
    /// Where each identity was seen first.
    seen: BTreeMap<(&'static str, String, String), Place>,
}

/// The kinds read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    NodeConfig,
    BgpPeerProfile,
    WorkloadEndpoint,
    IpPool,
    BgpConfiguration,
    BgpPeer,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::NodeConfig,
        Self::BgpPeerProfile,
        Self::WorkloadEndpoint,
        Self::IpPool,
        Self::BgpConfiguration,
        Self::BgpPeer,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NodeConfig => "NodeConfig",
            Self::BgpPeerProfile => "BGPPeerProfile",
            Self::WorkloadEndpoint => "WorkloadEndpoint",
            Self::IpPool => "IPPool",
            Self::BgpConfiguration => "BGPConfiguration",
            Self::BgpPeer => "BGPPeer",
        }
    }

    fn api_versions(self) -> &'static [&'static str] {
        match self {
            Self::NodeConfig | Self::BgpPeerProfile | Self::WorkloadEndpoint => OURS,
            Self::IpPool | Self::BgpConfiguration | Self::BgpPeer => CALICO,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

const OURS: &[&str] = &["routed.dev/v1"];
const CALICO: &[&str] = &["projectcalico.org/v3", "crd.projectcalico.org/v1"];

/// Kinds of the format whose feature is not built.
const LATER: [&str; 5] =
    ["BGPFilter", "IPReservation", "IPAMConfiguration", "Node", "FelixConfiguration"];

const DOCUMENT: Fields = Fields {
    known: &["apiVersion", "kind", "metadata", "spec"],
    refused: &[],
    ignored: &["status"],
};
const METADATA: Fields = Fields { known: &["name", "labels"], refused: &[], ignored: SERVER_SIDE };
const NAMESPACED: Fields =
    Fields { known: &["name", "namespace", "labels"], refused: &[], ignored: SERVER_SIDE };
const LIST: Fields =
    Fields { known: &["apiVersion", "kind", "items"], refused: &[], ignored: &["metadata"] };

/// What an API server adds to a document.
const SERVER_SIDE: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

impl Documents {
    /// Reads all documents of a file.
    pub(super) fn read_file(&mut self, name: &str, text: &str, problems: &Problems) {
        let file = Arc::from(name);
        match load::parse(name, text) {
            Ok(documents) => {
                for document in documents {
                    match document {
                        load::Document::Policy(policy) => self.add_policy(policy, problems),
                        load::Document::Other { api_version, kind, node, .. } => {
                            let at = Field::root(&node, &file, problems);
                            self.read_document(&at, &api_version, &kind);
                        }
                    }
                }
            }
            Err(errors) => {
                problems.extend(errors);
                // The other documents are looked at too, for their problems.
                match load::nodes(name, text) {
                    Ok(nodes) => {
                        for node in nodes {
                            self.read_beside_policies(&Field::root(&node, &file, problems));
                        }
                    }
                    Err(_) => self.lost = true,
                }
            }
        }
    }

    /// Whether a document of a kind has a problem, so that what it says is not to be relied on.
    pub(super) fn is_broken(&self, kind: &str) -> bool {
        self.lost || self.broken.contains(kind)
    }

    fn add_policy(&mut self, policy: Arc<Policy>, problems: &Problems) {
        let id = policy.id.clone();
        let position = policy.position.clone();
        if let Some(first) = self.policies.get(&id) {
            let place = Place {
                file: position.file,
                line: position.line,
                column: 1,
                field: "metadata.name".to_owned(),
            };
            let problem = format!("{} {id} is already defined at {}", id.kind(), first.position);
            problems.push(ConfigError::new(place, problem));
        } else {
            self.policies.insert(id, policy);
        }
    }

    /// Reads what is no policy out of a file whose policies are wrong.
    fn read_beside_policies(&mut self, at: &Field<'_>) {
        let text = |name| at.node.get(name).and_then(Node::as_str);
        let (Some(api_version), Some(kind)) = (text("apiVersion"), text("kind")) else { return };
        if kind == "List" {
            let items = at.any_object().and_then(|list| list.get("items")?.list());
            for item in items.unwrap_or_default() {
                self.read_beside_policies(&item);
            }
        } else if Kind::from_name(kind.strip_suffix("List").unwrap_or(kind)).is_some() {
            self.read_document(at, api_version, kind);
        }
    }

    fn read_document(&mut self, at: &Field<'_>, api_version: &str, kind: &str) {
        if let Some(kind) = Kind::from_name(kind) {
            self.read_kind(at, api_version, kind);
        } else if let Some(item) = kind.strip_suffix("List").and_then(Kind::from_name) {
            let items = at.object(LIST).and_then(|list| list.require("items")?.list());
            for at in items.unwrap_or_default() {
                self.read_kind(&at, api_version, item);
            }
        } else {
            self.lost = true;
            refuse_kind(at, kind);
        }
    }

    fn read_kind(&mut self, at: &Field<'_>, api_version: &str, kind: Kind) {
        let before = at.problems();
        if !kind.api_versions().contains(&api_version) {
            let known = kind.api_versions();
            let field = at.any_object().and_then(|object| object.get("apiVersion"));
            let hint = did_you_mean(api_version, known.iter().copied())
                .unwrap_or_else(|| format!("known: {}", known.join(", ")));
            field.as_ref().unwrap_or(at).report("unknown apiVersion of this kind", Some(hint));
        } else {
            self.read_parts(at, kind);
        }
        if at.problems() > before {
            self.broken.insert(kind.name());
        }
    }

    fn read_parts(&mut self, at: &Field<'_>, kind: Kind) -> Option<()> {
        let object = at.object(DOCUMENT)?;
        let head = self.read_metadata(&object, at, kind);
        let spec = object.require("spec")?;
        let head = head?;
        match kind {
            Kind::NodeConfig => {
                let labels = head.labels.clone();
                self.nodes.push(head.with(node::read(&spec, labels)?));
            }
            Kind::BgpPeerProfile => self.profiles.push(head.with(peer::read_profile(&spec)?)),
            Kind::WorkloadEndpoint => self.endpoints.push(head.with(endpoint::read(&spec)?)),
            Kind::IpPool => self.pools.push(head.with(pool::read(&spec)?)),
            Kind::BgpConfiguration => self.bgp.push(head.with(peer::read_bgp(&spec)?)),
            Kind::BgpPeer => self.peers.push(head.with(peer::read_peer(&spec)?)),
        }
        Some(())
    }

    fn read_metadata(
        &mut self,
        object: &Object<'_>,
        at: &Field<'_>,
        kind: Kind,
    ) -> Option<Document<()>> {
        let namespaced = kind == Kind::WorkloadEndpoint;
        let fields = if namespaced { NAMESPACED } else { METADATA };
        let metadata = match (object.get("metadata"), kind) {
            (Some(field), _) => Some(field.object(fields)?),
            // The node is called what its host is called.
            (None, Kind::NodeConfig) => None,
            (None, _) => {
                object.require("metadata");
                return None;
            }
        };
        let metadata = metadata.as_ref();
        let name = match kind {
            Kind::NodeConfig => metadata.and_then(|metadata| metadata.get("name")),
            _ => metadata.and_then(|metadata| metadata.require("name")),
        };
        if name.is_none() && kind != Kind::NodeConfig {
            return None;
        }
        let text = match &name {
            Some(field) => Some(read_name(field)?),
            None => None,
        };
        let namespace = metadata.and_then(|metadata| metadata.get("namespace"));
        let namespace = namespace.and_then(|field| read_name(&field));
        let labels = metadata.and_then(|metadata| metadata.get("labels"));
        let labels = labels.map(|field| read_labels(&field)).unwrap_or_default();
        let namespace = namespace.unwrap_or_else(|| "default".to_owned());
        let place = name.map_or_else(|| at.place(), |name| name.place());
        let key = (kind.name(), namespace.clone(), text.clone().unwrap_or_default());
        if let Some(first) = self.seen.get(&key) {
            let shown = if namespaced { format!("{}/{}", key.1, key.2) } else { key.2 };
            let problem = format!("{} {shown} is already defined at {first}", kind.name());
            object.problem(ConfigError::new(place, problem));
            return None;
        }
        self.seen.insert(key, place.clone());
        Some(Document { name: text, namespace, labels, place, spec: () })
    }
}

impl Document<()> {
    fn with<T>(self, spec: T) -> Document<T> {
        let Self { name, namespace, labels, place, spec: () } = self;
        Document { name, namespace, labels, place, spec }
    }
}

fn refuse_kind(at: &Field<'_>, kind: &str) {
    let field = at.any_object().and_then(|object| object.get("kind"));
    let field = field.as_ref().unwrap_or(at);
    if LATER.contains(&kind.strip_suffix("List").unwrap_or(kind)) {
        field.report("this kind is not supported yet", None);
        return;
    }
    let ours = Kind::ALL.iter().map(|kind| kind.name());
    let all: Vec<_> = ours.chain(KINDS).collect();
    let hint = did_you_mean(kind, all.iter().copied())
        .unwrap_or_else(|| format!("known: {}", all.join(", ")));
    field.report("unknown kind", Some(hint));
}

fn read_name(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    let good = (1..=253).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if good { Some(name.to_owned()) } else { field.expected("a name of A-Z, a-z, 0-9, -, _ and .") }
}

fn read_labels(field: &Field<'_>) -> Labels {
    let object = field.any_object();
    let mut labels = Vec::new();
    for (key, value) in object.iter().flat_map(Object::iter) {
        let good = !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
        if !good {
            value.report("a label's name is made of A-Z, a-z, 0-9, -, _, . and /", None);
        }
        match &value.node.value {
            Value::Text(text) => labels.push((key, text.as_str())),
            _ => {
                value.text();
            }
        }
    }
    labels.into_iter().collect()
}
