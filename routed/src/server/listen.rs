// SPDX-License-Identifier: MIT OR Apache-2.0
//! A listening unix socket that appears at its path at once, complete and with its final mode.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, chmod, rename, unlink};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use tokio::net::UnixListener;

/// Connections that may wait to be accepted; the kernel lowers it to its own limit.
const BACKLOG: i32 = 4096;

/// Why a socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody answers there already.
    #[error("{} is in use by another daemon", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refuses.
    #[error("cannot open socket {}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Listens at `path`. What a dead daemon left there is replaced in one step, so a client finds the old socket, which
/// refuses, or the new one, and never none.
///
/// # Errors
/// A living daemon listens there, or the kernel refuses.
pub(super) fn bind(path: &Path, mode: Mode) -> Result<UnixListener, BindError> {
    if UnixStream::connect(path).is_ok() {
        return Err(BindError::InUse { path: path.to_owned() });
    }
    try_bind(path, mode).map_err(|source| BindError::Io { path: path.to_owned(), source })
}

fn try_bind(path: &Path, mode: Mode) -> io::Result<UnixListener> {
    // As short as can be: the length of a socket's path is limited.
    let temporary = path.with_file_name(format!(".{}", std::process::id()));
    match unlink(&temporary) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(&temporary)?)?;
    // Nobody can connect before `listen`, so the mode is never wrong for anybody.
    chmod(&temporary, mode)?;
    rustix::net::listen(&socket, BACKLOG)?;
    rename(&temporary, path)?;
    UnixListener::from_std(socket.into())
}
