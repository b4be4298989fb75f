// SPDX-License-Identifier: MIT OR Apache-2.0
//! What can go wrong between us and nf_tables, and what to do about it.

use std::io;

use reconcile::FailureKind;
use rustix::io::Errno;

/// A failed exchange with the kernel; a refused transaction is not one, it is an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The socket itself failed.
    #[error("cannot {action} nfnetlink socket")]
    Socket {
        /// What we were doing.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The kernel refused to list something.
    #[error("kernel refused to list nf_tables objects: {errno}")]
    Refused {
        /// The kernel's answer.
        errno: Errno,
    },
    /// The receive buffer overran or an answer is missing: the outcome is unknown.
    #[error("answers of nf_tables were lost")]
    Lost,
    /// The objects changed while they were listed.
    #[error("nf_tables objects changed while they were listed")]
    Interrupted,
    /// A value does not fit into the message format.
    #[error("message {message} of the batch is too long for its format")]
    TooLong {
        /// Index of the message in the batch.
        message: usize,
    },
}

impl Error {
    /// What the caller should do next.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Socket { source, .. } => {
                Errno::from_io_error(source).map_or(FailureKind::Resync, errno_kind)
            }
            Self::Refused { errno } => errno_kind(*errno),
            Self::Lost | Self::Interrupted => FailureKind::Resync,
            Self::TooLong { .. } => FailureKind::Fatal,
        }
    }
}

/// What an error number of nf_tables asks for.
pub(crate) fn errno_kind(errno: Errno) -> FailureKind {
    match errno {
        Errno::INTR | Errno::AGAIN | Errno::BUSY | Errno::NOMEM | Errno::NOBUFS => {
            FailureKind::Retry
        }
        Errno::NOENT | Errno::EXIST => FailureKind::Resync,
        _ => FailureKind::Fatal,
    }
}
