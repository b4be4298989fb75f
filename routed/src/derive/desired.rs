// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything at once: the definition of what is wanted.

use std::collections::BTreeMap;
use std::sync::Arc;

use bgp::Originate;
use bgp::types::Prefix;
use policy::model::{EndpointKey, LocalEndpoint, Policy, PolicyId, RemoteEndpoint};

use super::{Inputs, Status, advert, endpoint, link, route};
use crate::model::{LinkKey, LinkSpec, RouteKey, RouteSpec};

/// Everything that is wanted, table by table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Links of workloads.
    pub links: BTreeMap<LinkKey, LinkSpec>,
    /// Routes to workloads, and blackholes of own blocks.
    pub routes: BTreeMap<RouteKey, RouteSpec>,
    /// Prefixes to originate.
    pub adverts: BTreeMap<Prefix, Originate>,
    /// Workloads whose policy is to be enforced.
    pub endpoints: BTreeMap<EndpointKey, LocalEndpoint>,
    /// Workloads elsewhere that policies may name.
    pub remotes: BTreeMap<EndpointKey, RemoteEndpoint>,
    /// Network policies.
    pub policies: BTreeMap<PolicyId, Arc<Policy>>,
}

/// Derives everything from scratch.
///
/// This is the definition of what is wanted; deriving key by key is an optimisation of it.
pub fn all(inputs: &Inputs, status: &Status) -> Desired {
    let routes = route::keys(inputs).into_iter();
    let adverts = advert::keys(inputs).into_iter();
    let remotes = endpoint::remote_keys(inputs).into_iter();
    Desired {
        links: inputs
            .link_keys()
            .filter_map(|key| Some((key.clone(), link::derive(inputs, &key)?)))
            .collect(),
        routes: routes.filter_map(|key| Some((key, route::derive(inputs, &key)?))).collect(),
        adverts: adverts
            .filter_map(|key| Some((key, advert::derive(inputs, status, key)?)))
            .collect(),
        endpoints: endpoint::keys(inputs)
            .filter_map(|key| Some((key.clone(), endpoint::derive(inputs, &key)?)))
            .collect(),
        remotes: remotes
            .filter_map(|key| Some((key.clone(), endpoint::derive_remote(inputs, &key)?)))
            .collect(),
        policies: inputs.config().map(|config| config.policies.clone()).unwrap_or_default(),
    }
}
