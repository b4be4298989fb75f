// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to the core, and what becomes of them.

use std::time::Instant;

use crate::ipam::IpamError;
use crate::model::{AttachAnswer, WorkloadId};

/// Chosen by the owner to recognise the answer to a request.
pub type Ticket = u64;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The ticket given with the request.
    pub ticket: Ticket,
    /// What became of it.
    pub reply: Result<Reply, Refusal>,
}

/// A request that was fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Attached: link, routes and policy are in force.
    Attached(AttachAnswer),
    /// Detached: nothing of it is in force any more.
    Detached,
}

/// A request that was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The same request may succeed later.
    #[error("{0}")]
    TryAgain(String),
    /// No address can be given.
    #[error(transparent)]
    Address(#[from] IpamError),
    /// The kernel refused for good.
    #[error("the kernel refused: {0}")]
    Kernel(String),
    /// This node attaches no workloads.
    #[error("this node attaches no workloads: spec.kernel.routes is false")]
    NoWorkloads,
    /// No such workload.
    #[error("{0} is not attached")]
    Unknown(WorkloadId),
    /// The workload is not as it was promised.
    #[error("{0}")]
    Differs(String),
}

/// Whether the descriptors that came with a request are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// Hand them to the link lane before the next flush.
    Needed,
    /// Close them: there is nothing to make in the container.
    NotNeeded,
}

/// Somebody who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) ticket: Ticket,
    pub(super) deadline: Instant,
    pub(super) verb: Verb,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Attach,
    Detach,
}
