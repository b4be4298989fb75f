// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policy endpoints: workloads of this node, and those elsewhere that files describe.

use policy::model::{Endpoint, EndpointKey, Labels, LocalEndpoint, RemoteEndpoint};

use super::Inputs;
use crate::config::StaticEndpoint;

/// The key of every workload of this node: its host interface.
pub fn keys(inputs: &Inputs) -> impl Iterator<Item = EndpointKey> {
    inputs.link_keys().map(|key| EndpointKey::new(key.as_str()))
}

/// The endpoint behind a host interface.
///
/// A file that names one of its addresses settles the namespace, and its labels win over those
/// the runtime gave: other nodes know the workload only by that file.
pub fn derive(inputs: &Inputs, key: &EndpointKey) -> Option<LocalEndpoint> {
    let config = inputs.config()?;
    if !config.node.kernel.policy {
        return None;
    }
    let live = inputs.by_interface(key.as_str()).filter(|live| live.is_wanted())?;
    let record = &live.record;
    let told = record.addresses().find_map(|address| inputs.static_of(address));
    let told = told.and_then(|key| config.endpoints.get(key));
    let labels: Labels = record
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .chain(told.iter().flat_map(|told| told.labels.iter()))
        .collect();
    let namespace = told.map_or(record.namespace.as_str(), |told| &told.namespace);
    Some(LocalEndpoint(Endpoint::new(namespace, &labels, record.addresses().collect())))
}

/// The keys of all endpoints that files describe.
pub fn remote_keys(inputs: &Inputs) -> Vec<EndpointKey> {
    inputs.config().map(|c| c.endpoints.keys().cloned().collect()).unwrap_or_default()
}

/// The endpoint that a file describes, unless it is one of this node.
pub fn derive_remote(inputs: &Inputs, key: &EndpointKey) -> Option<RemoteEndpoint> {
    let config = inputs.config()?;
    let told = config.endpoints.get(key).filter(|_| config.node.kernel.policy)?;
    if is_local(inputs, told, &config.node.name) {
        return None;
    }
    Some(RemoteEndpoint(Endpoint::new(&told.namespace, &told.labels, told.addresses.clone())))
}

/// Whether a described endpoint is a workload of this node: it says so, or its address is ours.
fn is_local(inputs: &Inputs, told: &StaticEndpoint, node: &str) -> bool {
    told.node.as_deref() == Some(node)
        || told.addresses.iter().any(|address| {
            inputs.block_of(*address).is_some() || inputs.by_address(*address).is_some()
        })
}
