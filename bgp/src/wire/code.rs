// SPDX-License-Identifier: MIT OR Apache-2.0
//! Type codes and flags of path attributes.

/// ORIGIN (RFC 4271 §5.1.1).
pub const ORIGIN: u8 = 1;
/// AS_PATH (RFC 4271 §5.1.2).
pub const AS_PATH: u8 = 2;
/// NEXT_HOP (RFC 4271 §5.1.3).
pub const NEXT_HOP: u8 = 3;
/// MULTI_EXIT_DISC (RFC 4271 §5.1.4).
pub const MULTI_EXIT_DISC: u8 = 4;
/// LOCAL_PREF (RFC 4271 §5.1.5).
pub const LOCAL_PREF: u8 = 5;
/// ATOMIC_AGGREGATE (RFC 4271 §5.1.6).
pub const ATOMIC_AGGREGATE: u8 = 6;
/// AGGREGATOR (RFC 4271 §5.1.7).
pub const AGGREGATOR: u8 = 7;
/// COMMUNITIES (RFC 1997).
pub const COMMUNITIES: u8 = 8;
/// ORIGINATOR_ID (RFC 4456).
pub const ORIGINATOR_ID: u8 = 9;
/// CLUSTER_LIST (RFC 4456).
pub const CLUSTER_LIST: u8 = 10;
/// MP_REACH_NLRI (RFC 4760).
pub const MP_REACH_NLRI: u8 = 14;
/// MP_UNREACH_NLRI (RFC 4760).
pub const MP_UNREACH_NLRI: u8 = 15;
/// EXTENDED COMMUNITIES (RFC 4360).
pub const EXT_COMMUNITIES: u8 = 16;
/// AS4_PATH (RFC 6793).
pub const AS4_PATH: u8 = 17;
/// AS4_AGGREGATOR (RFC 6793).
pub const AS4_AGGREGATOR: u8 = 18;
/// LARGE_COMMUNITY (RFC 8092).
pub const LARGE_COMMUNITIES: u8 = 32;

/// The attribute is not well-known.
pub const FLAG_OPTIONAL: u8 = 0x80;
/// The attribute is passed on.
pub const FLAG_TRANSITIVE: u8 = 0x40;
/// Somebody passed the attribute on without knowing it.
pub const FLAG_PARTIAL: u8 = 0x20;
/// The length has two octets.
pub const FLAG_EXTENDED: u8 = 0x10;

/// The optional and transitive flags that a known attribute must have.
pub(crate) const fn required_flags(code: u8) -> Option<u8> {
    match code {
        ORIGIN | AS_PATH | NEXT_HOP | LOCAL_PREF | ATOMIC_AGGREGATE => Some(FLAG_TRANSITIVE),
        MULTI_EXIT_DISC | ORIGINATOR_ID | CLUSTER_LIST | MP_REACH_NLRI | MP_UNREACH_NLRI => {
            Some(FLAG_OPTIONAL)
        }
        AGGREGATOR | COMMUNITIES | EXT_COMMUNITIES | AS4_PATH | AS4_AGGREGATOR
        | LARGE_COMMUNITIES => Some(FLAG_OPTIONAL | FLAG_TRANSITIVE),
        _ => None,
    }
}
