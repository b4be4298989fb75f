// SPDX-License-Identifier: MIT OR Apache-2.0
//! The language of policy as types that cannot be wrong: labels, selectors, rules, policies and
//! the endpoints they speak about.
//!
//! Whatever a file may leave open is settled here: directions a policy does not cover are `None`
//! and not an empty list, a selector carries the namespaces it is confined to, a match that is
//! absent differs from one that is empty. The compiler and the reference evaluator read nothing
//! but these types.

mod endpoint;
mod labels;
mod policy;
mod position;
mod rule;
mod selector;

pub use endpoint::{Endpoint, EndpointKey, LocalEndpoint, RemoteEndpoint};
pub use labels::Labels;
pub use policy::{Direction, HostAction, Order, Policy, PolicyId};
pub use position::Position;
pub use rule::{
    Action, EndpointSelector, Family, Net, NetError, Peer, PortRange, Protocol, Rule, Scope,
};
pub use selector::{Restriction, Selector, SelectorError};
