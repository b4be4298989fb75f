// SPDX-License-Identifier: MIT OR Apache-2.0
//! nf_tables over nfnetlink, without libraries or processes.
//!
//! A change is a [`Batch`](batch::Batch): messages between a begin and an end marker that the kernel applies as
//! one transaction or not at all. It parses every message even after a refusal, so one answer
//! names every refused message. [`NfSocket`](socket::NfSocket) sends a batch with one system call and reads the
//! answers, which are all queued by the time the call returns; the last message asks for an
//! acknowledgement (kernels before 6.10 ignore the flag on the end marker), so an answer that is
//! missing shows that answers were lost.
//!
//! ```text
//!   attr ◀── message ◀── batch ◀── socket
//!    ▲
//!   expr, object (tables, chains, rules, sets, elements as attributes)
//! ```
//!
//! Deliberately absent: `NFTA_BATCH_GENID` (any foreign change would abort our transaction) and
//! asynchronous sending (the kernel answers within the call).

pub(crate) mod attr;
pub(crate) mod batch;
pub(crate) mod error;
pub(crate) mod expr;
pub(crate) mod message;
pub(crate) mod object;
pub(crate) mod socket;
