// SPDX-License-Identifier: MIT OR Apache-2.0
//! What this node originates.

use crate::types::{Community, LargeCommunity};

/// Attributes of a prefix we originate; equal values are equal adverts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Originate {
    /// Communities attached.
    pub communities: Vec<Community>,
    /// Large communities attached.
    pub large_communities: Vec<LargeCommunity>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF towards internal peers; 100 when absent.
    pub local_pref: Option<u32>,
}
