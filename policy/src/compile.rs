// SPDX-License-Identifier: MIT OR Apache-2.0
//! Policies and endpoints to the backend-neutral ruleset.
//!
//! ```text
//!  prerouting/raw ─ from a workload ▶ antispoof         source belongs to the interface, or drop
//!  forward/-1     ─ from a workload ▶ egress  ─ map from_workload ▶ from-… ▶ egress/… policies
//!  forward/0      ─ to a workload   ▶ ingress ─ map to_workload   ▶ to-…   ▶ ingress/… policies
//!  input/-1       ─ from a workload ▶ input_egress ─ as egress above
//!  input/0        ─ from a workload ▶ to_node          what a workload may do with the node
//!  output/0       ─ to a workload   ▶ accept           the node always reaches its workloads
//! ```
//!
//! - The two directions are judged in two base chains of one hook: `accept` ends only its own.
//! - The base ruleset ([`fixed`]) is closed: an interface with the workload prefix that has no
//!   entry in the maps can neither send nor receive. An endpoint is opened by its map elements.
//! - Endpoints with the same ordered list of policies share one *signature chain*, policies share
//!   their chains, equal selectors, net lists and port lists share their sets. What scales with
//!   endpoints is elements only.
//!
//! Everything here is a pure function of its arguments; when it has to be called again is the
//! business of the engine.

mod chain;
mod dispatch;
mod fixed;
mod names;
mod options;
mod sets;

pub(crate) use chain::{CompiledPolicy, compile_policy, compile_signature};
pub(crate) use dispatch::{dispatch_key, dispatch_map, endpoint_sources};
pub(crate) use fixed::fixed_objects;
pub(crate) use names::{policy_chain, selector_set, signature_chain};
pub(crate) use sets::SetContent;

pub use options::CompileOptions;
