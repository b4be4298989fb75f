// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who is selected by what, kept up to date change by change.
//!
//! Two questions are asked all the time: which policies apply to an endpoint, and which addresses
//! belong to a selector. Both are answered from [`LabelIndex`], which looks only at selectors that
//! could possibly match: every selector is filed under one demand it makes of a single label
//! ([`crate::model::Restriction`]), or with the few that make none.

mod label;
mod member;

pub(crate) use label::LabelIndex;
pub(crate) use member::{Holder, MemberChange, Members};
