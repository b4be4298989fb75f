// SPDX-License-Identifier: MIT OR Apache-2.0
//! Network policy: Calico's language, selector indices and a compiler to nftables.
#![forbid(unsafe_code)]

mod compile;
mod engine;
pub mod eval;
mod index;
pub mod ir;
pub mod load;
pub mod model;
#[cfg(feature = "nft")]
pub mod nft;

pub use compile::CompileOptions;
pub use engine::{Change, Engine, PolicySummary};
pub use model::{
    Direction, Endpoint, EndpointKey, HostAction, Labels, LocalEndpoint, Policy, PolicyId,
    RemoteEndpoint, Selector,
};
