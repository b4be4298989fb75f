// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's kernel: links, routes, neighbours, switches, and what happens to them.

mod address;
mod container;
mod error;
mod fact;
mod handover;
mod link;
pub mod marks;
mod message;
mod neigh;
mod proc;
mod reaper;
mod route;
mod socket;
mod state;
mod sysctl;
mod wire;

pub use error::{Error, Refusal};
pub use handover::{ContainerHandles, Handover};
pub use link::LinkTarget;
pub use reaper::{Bell, Reaper};
pub use route::RouteTarget;
pub use socket::{Socket, SocketStats};
pub use sysctl::{SwitchChange, SwitchError, SwitchMode, SwitchReport, Switches};
