// SPDX-License-Identifier: MIT OR Apache-2.0
//! One path as a peer sent it, and what the import filter said about it.

use std::sync::Arc;

use super::attrs::AttrSet;
use super::decision::Verdict;
use crate::reason::RejectReason;

/// Where a path comes from: a peer's slot in the speaker, or this node itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SourceId(pub(crate) u16);

impl SourceId {
    /// This node.
    pub(crate) const LOCAL: Self = Self(u16::MAX);

    /// Index into arrays with one element per peer slot; none for this node.
    pub(crate) fn slot(self) -> Option<usize> {
        (self != Self::LOCAL).then_some(usize::from(self.0))
    }
}

/// What is known about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathState {
    /// Accepted, the next decision will judge it.
    Undecided,
    /// Accepted and judged.
    Decided(Verdict),
    /// Refused on import; no candidate.
    Rejected(RejectReason),
}

/// A path: prefix (the key of the table) + attributes + source.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) attrs: Arc<AttrSet>,
    /// The peer's identifier of the path (RFC 7911 §3); 0 when it uses none.
    pub(crate) path_id: u32,
    pub(crate) source: SourceId,
    pub(crate) state: PathState,
}

impl Path {
    /// A path just received or originated.
    pub(crate) fn new(
        source: SourceId,
        attrs: Arc<AttrSet>,
        import: Result<(), RejectReason>,
    ) -> Self {
        let state = match import {
            Ok(()) => PathState::Undecided,
            Err(reason) => PathState::Rejected(reason),
        };
        Self { attrs, path_id: 0, source, state }
    }

    /// The same path with the peer's identifier of it.
    pub(crate) fn with_id(self, path_id: u32) -> Self {
        Self { path_id, ..self }
    }

    /// True when `other` takes the place of this path.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.source == other.source && self.path_id == other.path_id
    }

    /// True when the import filter let the path in.
    pub(crate) fn is_accepted(&self) -> bool {
        !matches!(self.state, PathState::Rejected(_))
    }

    /// The verdict of the last decision.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        match self.state {
            PathState::Decided(verdict) => Some(verdict),
            PathState::Undecided | PathState::Rejected(_) => None,
        }
    }
}
