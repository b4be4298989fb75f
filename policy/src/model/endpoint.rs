// SPDX-License-Identifier: MIT OR Apache-2.0
//! Endpoints: workloads of this node, and workloads elsewhere that policies may name.

use std::{fmt, net::IpAddr, sync::Arc};

use super::Labels;

/// Identity of an endpoint.
///
/// For a local endpoint it is the name of its host interface, which is also the kernel's key in
/// the dispatch maps, so two local endpoints can never claim one interface. For a remote endpoint
/// it is any stable text of the source that knows it (`namespace/name`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey(Arc<str>);

impl EndpointKey {
    /// Takes a text as the key.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EndpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for EndpointKey {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// What selectors and address sets need to know of a workload, wherever it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    namespace: Arc<str>,
    labels: Labels,
    addresses: Vec<IpAddr>,
}

impl Endpoint {
    /// The label that every workload has by virtue of its namespace.
    pub const NAMESPACE_LABEL: &'static str = "projectcalico.org/namespace";

    /// A workload in `namespace` with its own `labels` and `addresses`.
    ///
    /// The namespace label always states the namespace, whatever the workload's labels claim.
    /// The order and repetition of addresses do not matter.
    pub fn new(namespace: &str, labels: &Labels, mut addresses: Vec<IpAddr>) -> Self {
        addresses.sort_unstable();
        addresses.dedup();
        let labels = labels.with(Self::NAMESPACE_LABEL, namespace);
        Self { namespace: Arc::from(namespace), labels, addresses }
    }

    /// The namespace it lives in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its labels, with the one that states its namespace.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Its addresses, ascending.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}

/// A workload of this node; its [`EndpointKey`] is the name of its host interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalEndpoint(pub Endpoint);

/// A workload elsewhere: policies may name it, nothing is enforced for it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEndpoint(pub Endpoint);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_claim_another_namespace() {
        let labels: Labels =
            [(Endpoint::NAMESPACE_LABEL, "bank"), ("a", "b")].into_iter().collect();
        let endpoint = Endpoint::new("shop", &labels, Vec::new());
        assert_eq!(endpoint.labels().get(Endpoint::NAMESPACE_LABEL), Some("shop"));
        assert_eq!(endpoint.labels().get("a"), Some("b"));
    }

    #[test]
    fn order_and_repetition_of_addresses_do_not_matter() {
        let addresses = |list: &[&str]| list.iter().map(|a| a.parse().unwrap()).collect();
        let labels = Labels::default();
        let one = Endpoint::new("shop", &labels, addresses(&["10.0.0.2", "fd00::1", "10.0.0.1"]));
        let two = Endpoint::new(
            "shop",
            &labels,
            addresses(&["fd00::1", "10.0.0.1", "10.0.0.2", "fd00::1"]),
        );
        assert_eq!(one, two);
    }
}
