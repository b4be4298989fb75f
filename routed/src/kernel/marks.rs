// SPDX-License-Identifier: MIT OR Apache-2.0
//! The marks by which a process without memory recognises our kernel objects.
//!
//! A mark once shipped is never given another meaning. `docs/ownership.md` lists them:
//! routes carry [`PROTOCOL_LOCAL`] or [`PROTOCOL_LEARNED`]; links carry an alias ([`Alias`]) with
//! the full identity of their workload; addresses, neighbours and interface knobs are ours when
//! they are on such a link.

use std::fmt;
use std::str::FromStr;

use crate::model::{NetnsId, WorkloadId};
pub use crate::model::{PROTOCOL_LEARNED, PROTOCOL_LOCAL};

/// Interface group of links that serve a workload. A link with this group and no alias was left by
/// a process that was killed while it made it.
pub const LIVE_GROUP: u32 = 0x7274_6401;

/// Interface group of links that are to be deleted: the reaper's work list.
pub const DEAD_GROUP: u32 = 0x7274_64ff;

/// Longest interface alias the kernel takes, in bytes.
const MAX_ALIAS: usize = 254;

/// The interface alias of a link: whose it is, and where its other end lives.
///
/// Written as `routed CONTAINER/IFNAME netns DEV:INO`. The namespace belongs to it, because a link
/// that outlived its container must not be taken for the link of a new container with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The workload.
    pub id: WorkloadId,
    /// The namespace its container end was born in.
    pub netns: NetnsId,
}

/// A text that is not an alias of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an alias of ours")]
pub struct ForeignAlias;

impl Alias {
    /// Whether the kernel takes it; only an absurd device number makes it too long.
    pub(crate) fn fits(&self) -> bool {
        self.to_string().len() <= MAX_ALIAS
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "routed {} netns {}", self.id, self.netns)
    }
}

impl FromStr for Alias {
    type Err = ForeignAlias;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let rest = s.strip_prefix("routed ").ok_or(ForeignAlias)?;
        let (id, netns) = rest.split_once(" netns ").ok_or(ForeignAlias)?;
        let (dev, ino) = netns.split_once(':').ok_or(ForeignAlias)?;
        Ok(Self {
            id: id.parse().map_err(|_| ForeignAlias)?,
            netns: NetnsId {
                dev: dev.parse().map_err(|_| ForeignAlias)?,
                ino: ino.parse().map_err(|_| ForeignAlias)?,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(container: &str) -> Alias {
        let id = WorkloadId::try_new(container, "eth0").unwrap();
        Alias { id, netns: NetnsId { dev: 4, ino: 4_026_532_567 } }
    }

    #[test]
    fn an_alias_reads_back() {
        let alias = alias("4f3c-a.b_C");
        assert_eq!(alias.to_string(), "routed 4f3c-a.b_C/eth0 netns 4:4026532567");
        assert_eq!(alias.to_string().parse(), Ok(alias));
    }

    #[test]
    fn the_longest_workload_id_fits() {
        let longest = "a".repeat(WorkloadId::MAX_CONTAINER_ID);
        let id = WorkloadId::try_new(&longest, "fifteen-letters").unwrap();
        let netns = NetnsId { dev: u64::from(u16::MAX), ino: u64::from(u32::MAX) };
        assert!(Alias { id, netns }.fits());
    }

    #[test]
    fn foreign_texts_are_no_alias() {
        for text in [
            "",
            "eth0 of web",
            "routed",
            "routed x/eth0",
            "routed x netns 4:5",
            "routed x/eth0 netns 4",
            "routed x/eth0 netns 4:5 ",
            "routed -x/eth0 netns 4:5",
            "Routed x/eth0 netns 4:5",
        ] {
            assert_eq!(text.parse::<Alias>(), Err(ForeignAlias), "{text:?}");
        }
    }
}
