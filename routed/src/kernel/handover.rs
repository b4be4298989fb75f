// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a container's descriptors reach the one who programs its link.
//!
//! The CNI plugin opens them inside the namespace and passes them to the server; the server offers
//! them here; [`LinkTarget`](super::LinkTarget) takes them when it writes that link and closes them
//! right after, since a held descriptor pins the namespace and the link would never vanish with it.

use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use reconcile::{Drift, Hints, Mailbox, Revision};
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode};

use super::error::Error;
use super::socket::Socket;
use crate::model::{LinkKey, NetnsId};

/// A container's namespace, and a NETLINK_ROUTE socket that was opened inside it.
#[derive(Debug)]
pub struct ContainerHandles {
    netns: OwnedFd,
    id: NetnsId,
    socket: Socket,
}

impl ContainerHandles {
    /// Takes both over, checking that they are what they are said to be and belong together.
    ///
    /// # Errors
    /// If the socket is no NETLINK_ROUTE socket, or lives in another namespace than the descriptor
    /// names (which thereby is a network namespace).
    pub fn try_new(netns: OwnedFd, netlink: OwnedFd) -> Result<Self, Error> {
        let socket = Socket::from_fd(netlink)?;
        let id = identify(&netns)?;
        let home = namespace_of(&socket)?;
        if identify(&home)? != id {
            return Err(Error::BadHandle("the passed socket belongs to another namespace"));
        }
        Ok(Self { netns, id, socket })
    }

    /// Which namespace it is.
    pub fn id(&self) -> NetnsId {
        self.id
    }

    pub(crate) fn netns(&self) -> BorrowedFd<'_> {
        self.netns.as_fd()
    }

    pub(crate) fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

/// Device and inode of a namespace's file.
pub(crate) fn identify(netns: impl AsFd) -> Result<NetnsId, Error> {
    let stat = rustix::fs::fstat(netns).map_err(|e| Error::socket("fstat", e))?;
    Ok(NetnsId { dev: stat.st_dev, ino: stat.st_ino })
}

/// The namespace a socket belongs to.
pub(crate) fn namespace_of(socket: &Socket) -> Result<OwnedFd, Error> {
    #[expect(unsafe_code, reason = "the ioctl that tells a socket's namespace has no wrapper")]
    // SAFETY: SIOCGSKNS takes no argument, touches no memory of ours, and returns a new
    // descriptor, which `SocketNamespace` turns into an owner exactly once.
    let result = unsafe { ioctl::ioctl(socket, SocketNamespace) };
    result.map_err(|e| Error::socket("SIOCGSKNS", e))
}

/// `SIOCGSKNS`: a descriptor of a socket's network namespace.
struct SocketNamespace;

#[expect(unsafe_code, reason = "the ioctl that tells a socket's namespace has no wrapper")]
// SAFETY: the opcode is that of SIOCGSKNS, which ignores its argument and writes nothing, so a null
// pointer is right and nothing is mutated; on success the kernel returns a new descriptor.
unsafe impl Ioctl for SocketNamespace {
    type Output = OwnedFd;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        0x894c
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(
        out: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<Self::Output> {
        // SAFETY: the ioctl succeeded, so `out` is a new descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(out) })
    }
}

/// Shared handle of the place where handles wait for their link; clones refer to the same place.
///
/// Order of calls for an attachment, all from the one who decides: [`offer`](Self::offer) (or
/// [`offer_again`](Self::offer_again) if the link has been published before), then publish the
/// link's value; [`revoke`](Self::revoke) once the request is answered with an error.
#[derive(Clone, Debug)]
pub struct Handover {
    waiting: Mailbox<LinkKey, ContainerHandles>,
    hints: Hints<LinkKey>,
}

impl Handover {
    /// An empty place; `hints` are those of the links' reconciler.
    pub fn new(hints: Hints<LinkKey>) -> Self {
        Self { waiting: Mailbox::new(), hints }
    }

    /// Offers handles for a link that is published next. Earlier ones of that link are closed.
    pub fn offer(&self, key: &LinkKey, handles: ContainerHandles) {
        self.waiting.publish(key.clone(), Some(handles), Revision::default());
    }

    /// Offers handles for a link that is published already, such as by a repeated ADD: the link is
    /// looked at again even if its value does not change.
    pub fn offer_again(&self, key: &LinkKey, handles: ContainerHandles) {
        self.offer(key, handles);
        self.hints.hint(Drift::Key(key.clone()));
    }

    /// Takes an offer back; the handles are closed at the latest with the next write of any link.
    pub fn revoke(&self, key: &LinkKey) {
        self.waiting.publish(key.clone(), None, Revision::default());
    }

    /// What was offered (`Some`) or revoked since.
    pub(crate) fn take(&self) -> impl Iterator<Item = (LinkKey, Option<ContainerHandles>)> {
        self.waiting.take().entries.into_iter().map(|(key, change)| (key, change.value))
    }
}
