// SPDX-License-Identifier: MIT OR Apache-2.0
//! Looks at what is attached: CNI CHECK, and an ADD that is repeated.
//!
//! The core knows what was promised; the fabric lane compares both ends of the link with it. CHECK reads only. A repeated
//! ADD also writes what the container's end lacks: the daemon has no way in but the descriptors that come with it.
//! A workload whose parts are on their way, as after a restart of the daemon, is waited for.

use std::time::{Duration, Instant};

use cni_plugin::spec::{Error as CniError, ErrorCode};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::call::CniAnswer;
use crate::core::{Core, Refusal, answer_of};
use crate::kernel::ContainerHandles;
use crate::model::{AttachAnswer, LinkSpec, NetnsId, WorkloadId};

/// How long a check waits for what is on its way.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many checks may wait; more are told to come again.
const WAITING: usize = 64;

/// A link to compare with what the kernel and the container hold.
pub(crate) struct CheckCall {
    /// What was promised.
    pub(crate) spec: LinkSpec,
    /// The container.
    pub(crate) handles: ContainerHandles,
    /// Whether to write what the container's end lacks, first.
    pub(crate) mend: bool,
    /// Every difference, or why there is no telling.
    pub(crate) reply: oneshot::Sender<Result<Vec<String>, String>>,
}

/// What to look at, and how: see [`CheckCall`].
pub(super) struct Look {
    pub(super) spec: LinkSpec,
    pub(super) handles: ContainerHandles,
    pub(super) mend: bool,
}

/// A CHECK that is not answered yet.
pub(super) struct Check {
    id: WorkloadId,
    netns: NetnsId,
    handles: ContainerHandles,
    reply: oneshot::Sender<CniAnswer>,
    deadline: Instant,
}

impl Check {
    pub(super) fn new(
        (id, netns): (WorkloadId, NetnsId),
        handles: ContainerHandles,
        reply: oneshot::Sender<CniAnswer>,
        now: Instant,
    ) -> Self {
        Self { id, netns, handles, reply, deadline: now + PATIENCE }
    }
}

/// A look that ended.
pub(super) struct Looked {
    spec: LinkSpec,
    mend: bool,
    found: CniAnswer,
    reply: oneshot::Sender<CniAnswer>,
}

/// All checks of the main lane.
pub(super) struct Checks {
    calls: mpsc::Sender<CheckCall>,
    /// Those that wait for something to come into force.
    waiting: Vec<Check>,
    /// Those that wait for the fabric lane.
    running: JoinSet<Option<Looked>>,
}

impl Checks {
    pub(super) fn new(calls: mpsc::Sender<CheckCall>) -> Self {
        Self { calls, waiting: Vec::new(), running: JoinSet::new() }
    }

    /// Answers a CHECK, now or later.
    pub(super) fn check(&mut self, core: &Core, check: Check, now: Instant) {
        match core.check(&check.id, check.netns) {
            Err(Refusal::TryAgain(_)) if now < check.deadline && self.waiting.len() < WAITING => {
                self.waiting.push(check);
            }
            Err(refusal) => {
                // The plugin may have gone.
                let _gone = check.reply.send(Err(refusal).into());
            }
            Ok((spec, record)) => {
                let look = Look { spec, handles: check.handles, mend: false };
                self.look(look, answer_of(&record), check.reply);
            }
        }
    }

    /// Looks again at those that wait.
    pub(super) fn check_again(&mut self, core: &Core, now: Instant) {
        for check in std::mem::take(&mut self.waiting) {
            self.check(core, check, now);
        }
    }

    /// When the next one has waited enough.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.iter().map(|check| check.deadline).min()
    }

    /// Takes one that ended; never if there is none.
    pub(super) async fn ended(&mut self) -> Option<Looked> {
        match self.running.join_next().await {
            Some(ended) => ended.ok().flatten(),
            None => std::future::pending().await,
        }
    }

    /// Answers with what was found, unless the workload changed under the eyes of the one who looked: then it says
    /// nothing about what was promised.
    pub(super) fn answer(core: &Core, looked: Looked) {
        let Looked { spec, mend, found, reply } = looked;
        let changed = match core.check(&spec.id, spec.netns) {
            Ok((now, _)) if now == spec => None,
            Err(Refusal::Differs(_)) => None,
            Err(refusal) if !mend => Some(refusal),
            Ok(_) | Err(_) => Some(Refusal::TryAgain(format!("{} changed meanwhile", spec.id))),
        };
        // The plugin may have gone.
        let _gone = reply.send(changed.map_or(found, |refusal| Err(refusal).into()));
    }

    /// Has the fabric lane look, and answers with what it finds.
    pub(super) fn look(
        &mut self,
        Look { spec, handles, mend }: Look,
        promised: AttachAnswer,
        reply: oneshot::Sender<CniAnswer>,
    ) {
        let (answer, answered) = oneshot::channel();
        let call = CheckCall { spec: spec.clone(), handles, mend, reply: answer };
        if self.calls.try_send(call).is_err() {
            let busy = Refusal::TryAgain("too many checks at once".to_owned());
            // The plugin may have gone.
            let _gone = reply.send(Err(busy).into());
            return;
        }
        self.running.spawn(async move {
            let failed = |code, msg| CniAnswer::Failed(CniError::new(code, msg));
            let found = match answered.await {
                Ok(Ok(differences)) if differences.is_empty() => CniAnswer::Attached(promised),
                Ok(Ok(differences)) => failed(ErrorCode::CHECK_FAILED, differences.join("; ")),
                Ok(Err(error)) => failed(ErrorCode::KERNEL, error),
                // Dropping the reply answers "try again later".
                Err(_) => return None,
            };
            Some(Looked { spec, mend, found, reply })
        });
    }
}
