// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plain data shared by every layer above: identities, records, and the values that travel to the
//! kernel lanes. The lowest layer; nothing here reads a clock, a file or a socket.

mod bfd;
mod block;
mod count;
mod id;
mod link;
mod route;
mod uplink;
mod workload;

pub use bfd::{BfdSpec, BfdState, BfdTimers};
pub use block::Block;
pub(crate) use count::count;
pub(crate) use id::is_interface_name;
pub use id::{InvalidWorkloadId, LinkKey, MacAddr, NetnsId, ParseMacError, WorkloadId};
pub use link::{GATEWAY_V4, GATEWAY_V6, HOST_MAC, LinkSpec};
pub use route::{
    NextHop, PROTOCOL_LEARNED, PROTOCOL_LOCAL, RouteClass, RouteKey, RouteKind, RouteScope,
    RouteSpec, TABLE_MAIN,
};
pub use uplink::{InterfaceAddress, Uplink, Uplinks};
pub use workload::{AttachAnswer, AttachRequest, DetachRequest, Families, Stage, Workload};
