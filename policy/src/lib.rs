// SPDX-License-Identifier: MIT OR Apache-2.0
//! Network policy: Calico's language, selector indices, a compiler to nftables and its writer.
//!
//! For a daemon that enforces `NetworkPolicy` and `GlobalNetworkPolicy` on the workloads of one
//! node. Files become policies ([`load`]), the [`Engine`] takes policies and endpoints and says
//! which objects of the ruleset change ([`ir`]), a writer puts them into the kernel.
//!
//! ```
//! use policy::{Change, CompileOptions, Endpoint, Engine, Labels, LocalEndpoint};
//! use policy::load::{Document, parse};
//!
//! let text = "
//! apiVersion: projectcalico.org/v3
//! kind: NetworkPolicy
//! metadata: { name: web-in, namespace: shop }
//! spec:
//!   selector: app == 'web'
//!   ingress: [{ action: Allow, protocol: TCP, destination: { ports: [80, 443] } }]
//! ";
//! let mut engine = Engine::new(&CompileOptions::default());
//! for document in parse("shop.yaml", text).expect("a policy") {
//!     let Document::Policy(policy) = document else { continue };
//!     engine.apply(Change::Policy(policy.id.clone(), Some(policy)));
//! }
//! let labels: Labels = [("app", "web")].into_iter().collect();
//! let web = LocalEndpoint(Endpoint::new("shop", &labels, vec!["10.64.1.2".parse()?]));
//! engine.apply(Change::Local("rtd0123456789a".into(), Some(web)));
//! for (id, object) in engine.take_changes() {
//!     println!("{id}: {object:?}");
//! }
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! Layers, each knowing only those to its left:
//! `model` → {`load`, `index`, `eval`} → `ir` → `compile` → `engine` → `nft`. All but `nft` are
//! pure: no socket, no clock, no file. [`eval`] is the definition of what a packet's fate should
//! be; it shares nothing with index and compiler, and tests hold both against it.
//!
//! Deliberately absent: tiers, staged policies, `Log` and `Pass`, ICMP types, named ports, service
//! accounts, network sets, host endpoints, Kubernetes' own policy kinds. What a file says and this
//! crate cannot honour is refused by name, never ignored.
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
