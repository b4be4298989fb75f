// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a runtime asks of the main lane, and what it is told.

use cni_plugin::spec::Error;
use tokio::sync::oneshot;

use crate::kernel::ContainerHandles;
use crate::model::{AttachAnswer, AttachRequest, DetachRequest, NetnsId, WorkloadId};

/// A request of the plugin, waiting for its answer.
#[derive(Debug)]
pub struct CniCall {
    /// What is asked.
    pub request: CniRequest,
    /// Where the answer goes. Dropping it answers "try again later".
    pub reply: oneshot::Sender<CniAnswer>,
}

/// What the plugin asks.
#[derive(Debug)]
pub enum CniRequest {
    /// ADD
    Attach {
        /// Who and how.
        request: AttachRequest,
        /// The container.
        handles: ContainerHandles,
    },
    /// DEL
    Detach(DetachRequest),
    /// CHECK
    Check {
        /// Who.
        id: WorkloadId,
        /// The namespace the runtime believes it to be in; the same as in `handles`.
        netns: NetnsId,
        /// The container.
        handles: ContainerHandles,
    },
}

/// What the plugin is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CniAnswer {
    /// Attached (ADD) or as promised (CHECK).
    Attached(AttachAnswer),
    /// Gone, or never known (DEL).
    Detached,
    /// Failed, in the terms of the CNI specification.
    Failed(Error),
}
