// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the core has still to do: records to write, keys to derive anew.

use std::collections::{BTreeMap, BTreeSet};

use bgp::types::Prefix;
use policy::model::{EndpointKey, PolicyId};

use crate::derive::{Desired, Inputs, advert, endpoint, route};
use crate::model::{LinkKey, RouteKey};

/// What is published to a lane of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Links of workloads.
    Links,
    /// Local routes.
    Routes,
    /// Prefixes to originate.
    Adverts,
    /// Workloads whose policy is to be enforced.
    Endpoints,
    /// Workloads elsewhere.
    Remotes,
    /// Network policies.
    Policies,
}

/// What is to be done with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordWork {
    Write,
    Remove,
}

/// Keys to derive anew. `true` publishes the value even if it is the one published last.
#[derive(Clone, Debug, Default)]
pub(super) struct Dirty {
    pub(super) links: BTreeMap<LinkKey, bool>,
    pub(super) routes: BTreeMap<RouteKey, bool>,
    pub(super) adverts: BTreeSet<Prefix>,
    pub(super) endpoints: BTreeMap<EndpointKey, bool>,
    pub(super) remotes: BTreeSet<EndpointKey>,
    pub(super) policies: BTreeSet<PolicyId>,
}

impl Dirty {
    /// Marks every key that the inputs know.
    pub(super) fn mark_all(&mut self, inputs: &Inputs) {
        for key in inputs.link_keys() {
            self.links.entry(key).or_default();
        }
        for key in route::keys(inputs) {
            self.routes.entry(key).or_default();
        }
        for key in endpoint::keys(inputs) {
            self.endpoints.entry(key).or_default();
        }
        self.adverts.extend(advert::keys(inputs));
        self.adverts.extend(inputs.addresses().map(Prefix::host));
        self.remotes.extend(endpoint::remote_keys(inputs));
        self.policies.extend(inputs.config().iter().flat_map(|c| c.policies.keys().cloned()));
    }

    /// Marks the keys whose value differs between two sets, and counts them. Keys that are marked
    /// already are no surprise.
    pub(super) fn mark_differences(&mut self, a: &Desired, b: &Desired) -> usize {
        let mut found = 0;
        for key in differences(&a.links, &b.links) {
            found += usize::from(self.links.insert(key, true).is_none());
        }
        for key in differences(&a.routes, &b.routes) {
            found += usize::from(self.routes.insert(key, true).is_none());
        }
        for key in differences(&a.adverts, &b.adverts) {
            found += usize::from(self.adverts.insert(key));
        }
        for key in differences(&a.endpoints, &b.endpoints) {
            found += usize::from(self.endpoints.insert(key, true).is_none());
        }
        for key in differences(&a.remotes, &b.remotes) {
            found += usize::from(self.remotes.insert(key));
        }
        for key in differences(&a.policies, &b.policies) {
            found += usize::from(self.policies.insert(key));
        }
        found
    }
}

fn differences<K: Ord + Clone, V: PartialEq>(a: &BTreeMap<K, V>, b: &BTreeMap<K, V>) -> Vec<K> {
    let keys: BTreeSet<&K> = a.keys().chain(b.keys()).collect();
    keys.into_iter().filter(|key| a.get(*key) != b.get(*key)).cloned().collect()
}
