// SPDX-License-Identifier: MIT OR Apache-2.0
//! The file descriptors of a container, checked before anybody uses them.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use cni_plugin::rpc;

use crate::kernel::{self, ContainerHandles};
use crate::model::NetnsId;

/// Why descriptors are refused; all are closed then.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandleError {
    /// Not as many as the verb needs.
    #[error("{found} file descriptors instead of {}", rpc::FDS)]
    Count {
        /// How many came.
        found: usize,
    },
    /// One of them is something else, or they do not belong together.
    #[error("not the descriptors of a container: {0}")]
    Kind(#[from] kernel::Error),
    /// Another namespace than the request says.
    #[error("the descriptors belong to another network namespace than the request names")]
    OtherNetns,
    /// The daemon lives there itself.
    #[error("the network namespace is the daemon's own, not a container's")]
    OwnNetns,
}

/// Checks what came with a request that names the namespace `expected`.
///
/// # Errors
/// Says what is wrong.
pub(super) fn check(
    fds: Vec<OwnedFd>,
    expected: NetnsId,
    own: NetnsId,
) -> Result<ContainerHandles, HandleError> {
    let found = fds.len();
    let Ok([netns, netlink]) = <[OwnedFd; rpc::FDS]>::try_from(fds) else {
        return Err(HandleError::Count { found });
    };
    let handles = ContainerHandles::try_new(netns, netlink)?;
    if handles.id() == own {
        return Err(HandleError::OwnNetns);
    }
    if handles.id() != expected {
        return Err(HandleError::OtherNetns);
    }
    Ok(handles)
}

/// The namespace this process lives in.
///
/// # Errors
/// `/proc` is not there.
pub(super) fn own_netns() -> io::Result<NetnsId> {
    let own = fs::metadata("/proc/self/ns/net")?;
    Ok(NetnsId { dev: own.dev(), ino: own.ino() })
}
