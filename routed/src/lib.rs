// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node daemon: containers get routed addresses, BGP tells the fabric where they are.
//!
//! Everything that decides is a pure state machine (configuration, allocator, derivation, core);
//! everything that acts is a reconciler target or a driver on its own lane. Layers, an edge only
//! downwards: `model → {config, ipam, store} → derive → core → {bfd, kernel, source} → lane → server →
//! node → cli → main`.
#![deny(unsafe_code)]

pub mod bfd;
pub mod cli;
pub mod config;
pub mod core;
pub mod demo;
pub mod derive;
pub mod ipam;
pub mod kernel;
pub mod lane;
pub mod model;
pub mod node;
pub mod server;
pub mod source;
pub mod store;
