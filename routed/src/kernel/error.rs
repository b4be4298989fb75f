// SPDX-License-Identifier: MIT OR Apache-2.0
//! What goes wrong between us and the kernel, and what to do about it.

use std::fmt;

use reconcile::{Failure, FailureKind, Outcome};
use rustix::io::Errno;

/// A request the kernel refused: its error number and, where it gives one, its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's extended acknowledgement text.
    pub text: Option<String>,
}

impl Refusal {
    /// The decision that follows for an object of ours.
    ///
    /// The split follows what can change by itself: memory and locks come back (`Retry`), a parent
    /// that is gone or down comes back with an event (`Gone`), everything else stays wrong until
    /// the value changes (`Fatal`).
    pub fn kind(&self) -> FailureKind {
        match self.errno {
            Errno::NOMEM | Errno::NOBUFS | Errno::BUSY | Errno::INTR | Errno::AGAIN => {
                FailureKind::Retry
            }
            // A gateway becomes reachable with an address or a link.
            Errno::HOSTUNREACH | Errno::NETUNREACH => FailureKind::Retry,
            Errno::NODEV | Errno::NXIO | Errno::NETDOWN => FailureKind::Gone,
            _ => FailureKind::Fatal,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{text} ({})", self.errno),
            None => self.errno.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

/// Why a kernel operation as a whole failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call on the netlink socket failed.
    #[error("netlink {call}")]
    Socket {
        /// Which call.
        call: &'static str,
        /// Its error.
        #[source]
        source: std::io::Error,
    },
    /// The receive buffer overran: answers are lost, what is known is not reliable any more.
    #[error("netlink receive buffer overran")]
    Overrun,
    /// A dump was interrupted by changes too often.
    #[error("netlink dump of {0} changed while it was read, several times")]
    Interrupted(&'static str),
    /// The kernel sent something that is no netlink answer.
    #[error("malformed netlink answer: {0}")]
    Malformed(&'static str),
    /// The kernel refused a request.
    #[error("{what}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Its answer.
        #[source]
        refusal: Refusal,
    },
    /// What was passed in is not what it is said to be.
    #[error("{0}")]
    BadHandle(&'static str),
    /// A file under /proc/sys could not be read or written, or the state that must be saved first.
    #[error("{path}")]
    File {
        /// Which file.
        path: String,
        /// Its error.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The decision that follows.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Socket { .. } | Self::Overrun | Self::Interrupted(_) | Self::Malformed(_) => {
                FailureKind::Resync
            }
            Self::Refused { refusal, .. } => refusal.kind(),
            Self::BadHandle(_) => FailureKind::Gone,
            Self::File { source, .. } => match source.kind() {
                // The interface vanished together with its directory.
                std::io::ErrorKind::NotFound => FailureKind::Gone,
                std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                    FailureKind::Fatal
                }
                _ => FailureKind::Retry,
            },
        }
    }

    /// The failure a reconciler is told.
    pub(crate) fn failure(&self) -> Failure {
        Failure::new(self.kind(), chain(self))
    }

    /// The outcome a reconciler is told.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::Failed(self.failure())
    }

    pub(crate) fn socket(call: &'static str, errno: Errno) -> Self {
        Self::Socket { call, source: errno.into() }
    }

    pub(crate) fn refused(what: impl Into<String>, refusal: Refusal) -> Self {
        Self::Refused { what: what.into(), refusal }
    }
}

/// An error with its causes, for people.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let kind = |errno| Refusal { errno, text: None }.kind();
        assert_eq!(kind(Errno::NOMEM), FailureKind::Retry);
        assert_eq!(kind(Errno::BUSY), FailureKind::Retry);
        assert_eq!(kind(Errno::INTR), FailureKind::Retry);
        assert_eq!(kind(Errno::NETUNREACH), FailureKind::Retry);
        assert_eq!(kind(Errno::NODEV), FailureKind::Gone);
        assert_eq!(kind(Errno::NETDOWN), FailureKind::Gone);
        assert_eq!(kind(Errno::EXIST), FailureKind::Fatal);
        assert_eq!(kind(Errno::PERM), FailureKind::Fatal);
        assert_eq!(kind(Errno::INVAL), FailureKind::Fatal);
    }

    #[test]
    fn a_failure_carries_the_kernels_words() {
        let refusal = Refusal { errno: Errno::INVAL, text: Some("Invalid prefsrc address".into()) };
        let failure = Error::refused("route 10.0.0.0/26", refusal).failure();
        assert!(failure.reason.starts_with("route 10.0.0.0/26: Invalid prefsrc address ("));
        assert_eq!(Error::Overrun.kind(), FailureKind::Resync);
    }
}
