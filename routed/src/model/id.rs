// SPDX-License-Identifier: MIT OR Apache-2.0
//! Identities: workload, network namespace, hardware address, link.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One container attachment: the runtime's container id and the interface name inside it.
///
/// Built with [`WorkloadId::try_new`], so every value fits an interface alias and can be printed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadId {
    container_id: String,
    ifname: String,
}

/// Why a container id or interface name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWorkloadId {
    /// The container id is empty, too long, or holds a character the CNI specification forbids.
    #[error("container id {0:?} is not 1 to {max} of [A-Za-z0-9_.-] starting with a letter or digit", max = WorkloadId::MAX_CONTAINER_ID)]
    ContainerId(String),
    /// The interface name is not one the kernel would take.
    #[error("interface name {0:?} is not 1 to 15 printable characters without '/' and ':'")]
    Ifname(String),
}

impl WorkloadId {
    /// Longest container id: id and interface name together fit the kernel's interface alias.
    pub const MAX_CONTAINER_ID: usize = 200;

    /// Checks both parts against the CNI specification and the kernel's limits.
    ///
    /// # Errors
    /// Names the part that is refused.
    pub fn try_new(container_id: &str, ifname: &str) -> Result<Self, InvalidWorkloadId> {
        let mut chars = container_id.chars();
        let good = container_id.len() <= Self::MAX_CONTAINER_ID
            && chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
            && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        if !good {
            let shown = container_id.chars().take(64).collect();
            return Err(InvalidWorkloadId::ContainerId(shown));
        }
        if !is_interface_name(ifname) {
            return Err(InvalidWorkloadId::Ifname(ifname.chars().take(64).collect()));
        }
        Ok(Self { container_id: container_id.to_owned(), ifname: ifname.to_owned() })
    }

    /// The runtime's container id.
    pub fn container_id(&self) -> &str {
        &self.container_id
    }

    /// The interface name inside the container.
    pub fn ifname(&self) -> &str {
        &self.ifname
    }
}

impl fmt::Display for WorkloadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container_id, self.ifname)
    }
}

impl FromStr for WorkloadId {
    type Err = InvalidWorkloadId;

    /// Reads what `Display` writes: `containerId/ifname`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let (container_id, ifname) = s.split_once('/').unwrap_or((s, ""));
        Self::try_new(container_id, ifname)
    }
}

impl<'de> Deserialize<'de> for WorkloadId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct Raw {
            container_id: String,
            ifname: String,
        }
        let raw = Raw::deserialize(deserializer)?;
        Self::try_new(&raw.container_id, &raw.ifname).map_err(serde::de::Error::custom)
    }
}

/// A network namespace as the kernel knows it: device and inode of its file, never a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetnsId {
    /// Device number of the namespace file system.
    pub dev: u64,
    /// Inode number of the namespace.
    pub ino: u64,
}

impl fmt::Display for NetnsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.dev, self.ino)
    }
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

/// A text that is not six hexadecimal bytes separated by colons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a hardware address like 02:00:5e:10:00:01")]
pub struct ParseMacError(String);

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let error = || ParseMacError(s.chars().take(64).collect());
        let mut bytes = [0u8; 6];
        let mut parts = s.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|p| p.len() == 2).ok_or_else(error)?;
            if !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(error());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self(bytes))
    }
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Name of a host interface of ours; the kernel's key of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkKey(pub String);

impl LinkKey {
    /// The interface name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether the kernel would take the text as an interface name (and it is safe to print).
pub(crate) fn is_interface_name(name: &str) -> bool {
    (1..=15).contains(&name.len())
        && name != "."
        && name != ".."
        && name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '/' | ':'))
}

#[cfg(test)]
mod tests;
