// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a path is refused or a family is not advertised: one enum for log, metric and CLI.

use std::fmt;

/// Why a path is not used or not sent, whatever its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RejectReason {
    /// Our own AS is in AS_PATH (RFC 4271 §9.1.2).
    AsLoop,
    /// We are the originator of a reflected path (RFC 4456 §8).
    OriginatorLoop,
    /// The gateway is no unicast address, is ours, or is on no connected subnet.
    BadNextHop,
    /// There is no address of the family that could be the next hop of what we advertise.
    NoNextHop,
    /// The prefix is one of this node's blocks or inside one.
    OwnBlock,
    /// The prefix is the subnet of an uplink or inside one.
    UplinkSubnet,
    /// The prefix is the address of a peer: a peer is never reached over learned routes.
    PeerAddress,
    /// The prefix is an address of this node.
    OwnAddress,
    /// The path was reflected by this cluster before (RFC 4456 §8).
    ClusterLoop,
    /// A community forbids to advertise the path to this peer (RFC 1997).
    NoExport,
    /// Learned paths are not passed on to this peer.
    NotPassedOn,
    /// The session does not carry the family.
    FamilyNotNegotiated,
    /// The prefix is loopback, link-local, multicast or otherwise never routed.
    Martian,
}

impl RejectReason {
    /// Name as it appears in JSON, logs and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsLoop => "asLoop",
            Self::OriginatorLoop => "originatorLoop",
            Self::BadNextHop => "badNextHop",
            Self::NoNextHop => "noNextHop",
            Self::OwnBlock => "ownBlock",
            Self::UplinkSubnet => "uplinkSubnet",
            Self::PeerAddress => "peerAddress",
            Self::OwnAddress => "ownAddress",
            Self::ClusterLoop => "clusterLoop",
            Self::NoExport => "noExport",
            Self::NotPassedOn => "notPassedOn",
            Self::FamilyNotNegotiated => "familyNotNegotiated",
            Self::Martian => "martian",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
