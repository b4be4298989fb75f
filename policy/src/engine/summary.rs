// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people are told about policies.

use std::sync::Arc;

use reconcile::Revision;

use super::Engine;
use crate::model::{Direction, Policy, PolicyId};

/// One line of a list of policies.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySummary {
    /// `NetworkPolicy` or `GlobalNetworkPolicy`.
    pub kind: &'static str,
    /// The namespace of a `NetworkPolicy`.
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
    /// The order, `None` if unset.
    pub order: Option<f64>,
    /// The directions it covers.
    pub types: Vec<Direction>,
    /// How many local endpoints it selects.
    pub endpoints: usize,
    /// The revision that brought its present content.
    pub revision: Revision,
}

impl Engine {
    /// All policies in the order of evaluation.
    pub fn summaries(&self) -> Vec<PolicySummary> {
        let mut entries: Vec<_> = self.policies.values().collect();
        entries.sort_by(|a, b| a.policy.cmp_precedence(&b.policy));
        let summary = |entry: &super::PolicyEntry| {
            let policy = &entry.policy;
            PolicySummary {
                kind: policy.id.kind(),
                namespace: policy.id.namespace().map(str::to_owned),
                name: policy.id.name().to_owned(),
                order: policy.order.value(),
                types: policy.types().collect(),
                endpoints: self.active.matched(&policy.id).count(),
                revision: entry.revision,
            }
        };
        entries.into_iter().map(summary).collect()
    }

    /// How many policies there are.
    pub fn policy_count(&self) -> usize {
        self.policies.len()
    }

    /// The present content of a policy.
    pub fn policy(&self, id: &PolicyId) -> Option<&Arc<Policy>> {
        self.policies.get(id).map(|entry| &entry.policy)
    }
}
