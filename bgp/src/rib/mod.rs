// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the peers said, what we make of it, and what we say ourselves.
//!
//! One table per family maps a prefix to all its paths, accepted and rejected, of all peers
//! (RFC 4271 §3.2 keeps one Adj-RIB-In per peer; here it is the column of that peer in the one
//! table). A decision needs exactly the paths of one prefix, so they lie side by side. The
//! decision writes its verdict onto each path; that is the Loc-RIB, and every question of the
//! kind "why is this path not used" is a look-up, not a computation.
//!
//! Attribute sets are interned: a path is a pointer, a source and a verdict. What the peers were
//! told is a set of bits per update group ([`Outbox`]), since it follows from the best paths.
//!
//! **Invariant:** a prefix whose paths changed since its last decision is in the table's dirty
//! queue, exactly once.

mod adj_in;
mod attrs;
mod bits;
mod decision;
mod loc;
mod outbox;
mod paths;
mod slab;
mod table;

pub(crate) use adj_in::{Path, PathState, SourceId};
pub(crate) use attrs::Interner;
pub use attrs::{AttrSet, Extra};
pub use decision::Step;
pub(crate) use decision::{SourceInfo, SourceKind, Verdict};
pub(crate) use loc::Rib;
pub(crate) use outbox::{News, Outbox};
pub(crate) use table::{Decided, DestId};
