// SPDX-License-Identifier: MIT OR Apache-2.0
//! The node's kernel: links, routes, neighbours, switches, and what happens to them.
//!
//! Everything that writes is a reconciler's target ([`LinkTarget`], [`RouteTarget`]) or a function
//! that writes only what differs ([`Switches`]); [`Monitor`] tells where to look again; [`Reaper`]
//! deletes what was given up; [`check()`] compares. All of them belong to the namespace of the
//! thread that made them and need no capability but CAP_NET_ADMIN: the inside of a container is
//! reached through descriptors that somebody opened there ([`ContainerHandles`]).
//!
//! Layers: `error` → {`marks`, `wire`, `proc`} → `socket` → {`message`, `neigh`} → `address` →
//! `state` → {`container`, `host`, `handover`, `reaper`} → {`link`, `route`, `sysctl`, `check`} →
//! `monitor`.

mod address;
mod check;
mod container;
mod effect;
mod error;
mod handover;
mod host;
mod link;
pub mod marks;
mod message;
mod monitor;
mod neigh;
mod proc;
mod reaper;
mod route;
mod socket;
mod state;
mod sysctl;
mod wire;

pub use check::{Difference, Side, check, mend};
pub use error::{Error, Refusal};
pub use handover::{ContainerHandles, Handover};
pub use link::LinkTarget;
pub use monitor::{Monitor, MonitorOutputs};
pub use reaper::{Bell, Reaper};
pub use route::RouteTarget;
pub use socket::{Socket, SocketStats};
pub use sysctl::{SwitchChange, SwitchError, SwitchMode, SwitchReport, Switches};
