// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which of two connections to the same peer survives (RFC 4271 §6.8, RFC 6286 §2.3).
//!
//! Both sides must come to the same answer although they see the events in a different order,
//! so the answer depends only on the two identities and never on timing. What timing could still
//! spoil is a side that is already Established on the loser while the other closes it. Three
//! rules prevent that:
//!
//! 1. An OPEN on the connection that should survive closes all others.
//! 2. An OPEN on another one is held: our KEEPALIVE, without which the peer cannot become
//!    Established there, is withheld until the rival is gone, or has said nothing for two seconds.
//! 3. Once our KEEPALIVE is out on a connection, newcomers are closed without an OPEN, and
//!    without an OPEN of ours the peer cannot choose them.

use super::state::Direction;
use crate::types::{Asn, BgpId};

/// Identity of one end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: BgpId,
    pub(crate) asn: Asn,
}

/// The direction, seen from `local`, whose connection is kept.
///
/// The connection dialled by the side with the higher identifier survives; with equal
/// identifiers the one dialled by the higher AS (RFC 6286 §2.3).
pub(crate) fn survivor(local: Identity, remote: Identity) -> Direction {
    let key = |identity: Identity| (identity.id.to_bits(), identity.asn.0);
    if key(local) > key(remote) { Direction::Outgoing } else { Direction::Incoming }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(id: u32, asn: u32) -> Identity {
        Identity { id: BgpId::try_new(id.into()).unwrap(), asn: Asn(asn) }
    }

    #[test]
    fn both_sides_keep_the_same_connection() {
        for (a, b) in [((1, 1), (2, 1)), ((2, 1), (1, 9)), ((5, 1), (5, 2)), ((5, 2), (5, 1))] {
            let (a, b) = (identity(a.0, a.1), identity(b.0, b.1));
            assert_ne!(survivor(a, b), survivor(b, a));
        }
    }

    #[test]
    fn the_higher_identifier_keeps_its_own_dial() {
        assert_eq!(survivor(identity(9, 1), identity(3, 7)), Direction::Outgoing);
        assert_eq!(survivor(identity(3, 7), identity(9, 1)), Direction::Incoming);
    }

    #[test]
    fn equal_identifiers_fall_back_to_the_as_number() {
        assert_eq!(survivor(identity(3, 8), identity(3, 7)), Direction::Outgoing);
    }
}
