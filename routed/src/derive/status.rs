// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the lanes reported back.

use std::collections::BTreeMap;

use bgp::types::Prefix;
use policy::model::EndpointKey;
use reconcile::{Failure, FailureKind, Outcome, Report, Revision};

use crate::model::{LinkKey, RouteKey};

/// The last report of every key that matters to a gate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Links of workloads.
    pub links: BTreeMap<LinkKey, KeyState>,
    /// Local routes.
    pub routes: BTreeMap<RouteKey, KeyState>,
    /// Local endpoints.
    pub endpoints: BTreeMap<EndpointKey, KeyState>,
    /// Prefixes that were given to BGP and are not reported withdrawn.
    pub adverts: BTreeMap<Prefix, Revision>,
}

/// What is known of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyState {
    /// Whether it is in force.
    pub held: Held,
    /// The last failure, until something succeeds.
    pub failure: Option<Failure>,
}

/// Whether a key is in force. A failed attempt to change it leaves what was there before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// Nothing was reported.
    #[default]
    Unknown,
    /// A value is in force: the one of this revision, or an equal one.
    Present(Revision),
    /// Nothing is there as of this revision.
    Absent(Revision),
}

impl KeyState {
    /// Takes in a report.
    pub fn record<K>(&mut self, report: &Report<K>) {
        match &report.outcome {
            Outcome::Applied if report.present => {
                *self = Self { held: Held::Present(report.revision), failure: None };
            }
            Outcome::Applied => {
                *self = Self { held: Held::Absent(report.revision), failure: None };
            }
            Outcome::Failed(failure) => {
                if failure.kind == FailureKind::Gone {
                    self.held = Held::Absent(report.revision);
                }
                self.failure = Some(failure.clone());
            }
        }
    }

    /// A value of this revision or later is in force.
    pub fn is_present(&self, since: Revision) -> bool {
        matches!(self.held, Held::Present(revision) if revision >= since)
    }

    /// Nothing is there, as of this revision or later.
    pub fn is_absent(&self, since: Revision) -> bool {
        matches!(self.held, Held::Absent(revision) if revision >= since)
    }
}
