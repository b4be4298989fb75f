// SPDX-License-Identifier: MIT OR Apache-2.0
//! The whole ruleset from the inputs alone, by trying every pair: the oracle of the increments.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{DIRECTIONS, Engine, dispatch_target};
use crate::{
    compile::{
        SetContent, compile_policy, compile_signature, dispatch_key, dispatch_map,
        endpoint_sources, policy_chain, signature_chain,
    },
    ir::{Key, Name, Object, ObjectId, Part},
    model::{Direction, Endpoint, Family, Policy},
};

impl Engine {
    /// Computes all objects without looking at anything that is kept between changes.
    ///
    /// The cost is the number of policies times local endpoints plus the number of sets times all
    /// endpoints.
    pub fn rebuild(&self) -> BTreeMap<ObjectId, Object> {
        let mut objects = self.fixed.clone();
        let mut sets = BTreeMap::new();
        for (key, endpoint) in &self.locals {
            objects.extend(endpoint_sources(key, endpoint).map(|id| (id, Object::Element)));
            for direction in DIRECTIONS {
                let policies = self.selecting(endpoint, direction);
                for policy in &policies {
                    let Some(chain) = compile_policy(policy, direction) else { continue };
                    let id = ObjectId::Chain(policy_chain(&policy.id, direction));
                    objects.insert(id, Object::Chain(chain.rules));
                    sets.extend(chain.sets);
                }
                let ids: Vec<_> = policies.iter().map(|policy| policy.id.clone()).collect();
                let signature = (!ids.is_empty()).then(|| signature_chain(&ids, direction));
                if let Some(name) = &signature {
                    let chain = Object::Chain(compile_signature(&ids, direction));
                    objects.insert(ObjectId::Chain(name.clone()), chain);
                }
                let id = ObjectId::Dispatch(dispatch_map(direction), dispatch_key(key));
                objects.insert(id, Object::Dispatch(dispatch_target(signature.as_ref())));
            }
        }
        for (name, content) in sets {
            objects.insert(ObjectId::Set(name.clone()), Object::Set(content.spec()));
            let keys = self.keys(&content);
            objects.extend(keys.into_iter().map(|key| element(&name, key)));
        }
        objects
    }

    fn selecting(&self, endpoint: &Endpoint, direction: Direction) -> Vec<&Arc<Policy>> {
        let mut policies: Vec<_> = self
            .policies
            .values()
            .map(|entry| &entry.policy)
            .filter(|policy| policy.rules(direction).is_some() && policy.subject.matches(endpoint))
            .collect();
        policies.sort_by(|a, b| a.cmp_precedence(b));
        policies
    }

    fn keys(&self, content: &SetContent) -> BTreeSet<Key> {
        match content {
            SetContent::Listed(_, keys) => keys.iter().cloned().collect(),
            SetContent::Members(selector, family) => self
                .locals
                .values()
                .chain(self.remotes.values())
                .filter(|endpoint| selector.matches(endpoint))
                .flat_map(|endpoint| endpoint.addresses())
                .filter(|address| Family::of(**address) == *family)
                .map(|address| Key::Single(Part::from(*address)))
                .collect(),
        }
    }
}

fn element(set: &Name, key: Key) -> (ObjectId, Object) {
    (ObjectId::Element(set.clone(), key), Object::Element)
}
