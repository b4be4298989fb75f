// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the compiler leaves to the configuration.

use crate::model::HostAction;

/// What the compiler leaves to the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// Every host interface whose name begins with this belongs to a workload.
    pub interface_prefix: String,
    /// What happens to traffic from a workload to its own node that the workload's egress policy
    /// lets pass, besides ICMP echo and neighbour discovery, which always work.
    pub endpoint_to_host: HostAction,
    /// Whether a workload may send from its own addresses only.
    pub anti_spoofing: bool,
}

impl Default for CompileOptions {
    fn default() -> Self {
        Self {
            interface_prefix: "rtd".to_owned(),
            endpoint_to_host: HostAction::Drop,
            anti_spoofing: true,
        }
    }
}
