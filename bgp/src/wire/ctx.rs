// SPDX-License-Identifier: MIT OR Apache-2.0
//! What two speakers agreed on, as far as the codec needs to know it.

use crate::types::{Family, FamilySet};

/// The largest message before RFC 8654, and the largest OPEN and KEEPALIVE ever.
pub const MAX_MESSAGE_LEN: usize = 4096;
/// The largest message of a session with the extended message capability (RFC 8654).
pub const MAX_EXTENDED_MESSAGE_LEN: usize = 65535;

/// How the messages of one session are read and written.
///
/// The default is what two speakers share that announced no capability at all over an external
/// session: IPv4 unicast only, two-octet AS numbers, 4096 octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CodecCtx {
    /// AS numbers in AS_PATH and AGGREGATOR have four octets (RFC 6793).
    pub as4: bool,
    /// Messages may have 65,535 octets (RFC 8654).
    pub ext_msg: bool,
    /// The peer is external: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST are neither accepted nor
    /// sent.
    pub ebgp: bool,
    /// Families in use; routes of others are skipped.
    pub families: FamilySet,
    /// Families in which received prefixes carry a path identifier (RFC 7911).
    pub addpath_rx: FamilySet,
    /// Families in which sent prefixes carry a path identifier (RFC 7911).
    pub addpath_tx: FamilySet,
    /// IPv4 prefixes may have an IPv6 next hop (RFC 8950).
    pub ext_next_hop: bool,
    /// Keep transitive attributes that we do not know, to pass them on. A speaker that never
    /// passes paths on drops them here, before they cost anything.
    pub keep_unknown: bool,
}

impl Default for CodecCtx {
    fn default() -> Self {
        Self {
            as4: false,
            ext_msg: false,
            ebgp: true,
            families: FamilySet::only(Family::Ipv4Unicast),
            addpath_rx: FamilySet::EMPTY,
            addpath_tx: FamilySet::EMPTY,
            ext_next_hop: false,
            keep_unknown: true,
        }
    }
}

impl CodecCtx {
    /// The largest UPDATE, NOTIFICATION or ROUTE-REFRESH of the session.
    #[must_use]
    pub const fn max_message_len(&self) -> usize {
        if self.ext_msg { MAX_EXTENDED_MESSAGE_LEN } else { MAX_MESSAGE_LEN }
    }
}
