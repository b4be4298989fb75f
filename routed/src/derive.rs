// SPDX-License-Identifier: MIT OR Apache-2.0
//! From inputs to wishes: what each lane shall hold, as pure functions of what is known.
//!
//! `X::derive(inputs, status, key)` gives the value of one key, or says that the key is not wanted.
//! There is no history in it: the same inputs and the same status give the same value, whatever
//! came before. So one function serves the update of one key and the rebuild of all ([`all`]), and
//! that both agree is a property that tests and the running daemon check.
//!
//! [`Inputs`] is what was told (configuration, records, observations); [`Status`] is what the
//! lanes reported back. Only [`gate`] looks at the status: the order between subsystems is there
//! and nowhere else.

pub mod address;
pub mod advert;
pub mod endpoint;
pub mod gate;
mod inputs;
pub mod link;
pub mod route;
pub mod speaker;
mod status;

use std::collections::BTreeMap;
use std::sync::Arc;

use bgp::Originate;
use bgp::types::Prefix;
use policy::model::{EndpointKey, LocalEndpoint, Policy, PolicyId, RemoteEndpoint};

use crate::model::{LinkKey, LinkSpec, RouteKey, RouteSpec};

pub use inputs::{Inputs, Live, Next, Phase};
pub use status::{Held, KeyState, Status};

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

#[cfg(test)]
mod tests;
