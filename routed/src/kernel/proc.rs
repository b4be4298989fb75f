// SPDX-License-Identifier: MIT OR Apache-2.0
//! Numbers under /proc/sys/net. The tree shows the namespace of the calling thread.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use super::error::Error;

/// A switch: its path below /proc/sys/net, such as `ipv4/ip_forward`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Switch(String);

impl Switch {
    pub(crate) fn new(path: impl Into<String>) -> Self {
        Self(path.into())
    }

    /// A per-interface IPv6 switch.
    pub(crate) fn ipv6(interface: &str, name: &str) -> Self {
        Self(format!("ipv6/conf/{interface}/{name}"))
    }

    /// A per-interface IPv4 switch.
    pub(crate) fn ipv4(interface: &str, name: &str) -> Self {
        Self(format!("ipv4/conf/{interface}/{name}"))
    }

    /// The path below /proc/sys/net.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// The whole path.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from("/proc/sys/net").join(&self.0)
    }

    pub(crate) fn exists(&self) -> bool {
        self.path().exists()
    }

    /// Whether this process could write it; nothing is written.
    pub(crate) fn is_writable(&self) -> bool {
        fs::OpenOptions::new().write(true).open(self.path()).is_ok()
    }

    /// # Errors
    /// If the file cannot be read or holds no number.
    pub(crate) fn read(&self) -> Result<i64, Error> {
        let text = fs::read_to_string(self.path()).map_err(|source| self.error(source))?;
        let number = text.trim().parse();
        number.map_err(|e| self.error(std::io::Error::new(std::io::ErrorKind::InvalidData, e)))
    }

    /// # Errors
    /// If the file cannot be written or the kernel refuses the value.
    pub(crate) fn write(&self, value: i64) -> Result<(), Error> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .open(self.path())
            .map_err(|source| self.error(source))?;
        file.write_all(value.to_string().as_bytes()).map_err(|source| self.error(source))
    }

    fn error(&self, source: std::io::Error) -> Error {
        Error::File { path: self.path().display().to_string(), source }
    }
}
