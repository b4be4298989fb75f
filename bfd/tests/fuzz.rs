// SPDX-License-Identifier: MIT OR Apache-2.0
//! A million mutated packets against a second reading of RFC 5880 §6.8.6.

use bfd::{Discard, Packet};

const PACKETS: u64 = 1_000_000;

/// The checks in their order, on bare octets; shares nothing with the decoder.
fn judge(octets: &[u8]) -> Option<Discard> {
    if octets.len() < 4 {
        return Some(Discard::TooShort);
    }
    let has_authentication = (octets[1] >> 2) % 2 == 1;
    let claimed = octets[3] as usize;
    let zero = |at: usize| octets[at] == 0 && octets[at + 1..at + 4] == [0, 0, 0];
    if octets[0] / 32 != 1 {
        Some(Discard::Version)
    } else if claimed < 24 || (has_authentication && claimed < 26) {
        Some(Discard::TooShort)
    } else if claimed > octets.len() {
        Some(Discard::Truncated)
    } else if octets[2] == 0 {
        Some(Discard::ZeroMultiplier)
    } else if octets[1] % 2 == 1 {
        Some(Discard::Multipoint)
    } else if zero(4) {
        Some(Discard::ZeroDiscriminator)
    } else if zero(8) && octets[1] >= 0x80 {
        Some(Discard::NoDiscriminator)
    } else if has_authentication {
        Some(Discard::Authenticated)
    } else {
        None
    }
}

#[test]
fn a_million_mutated_packets_are_judged_as_the_rfc_does() {
    let seeds: [&[u8]; 4] = [
        &[0x20, 0xc8, 3, 24, 0, 0, 0, 5, 0, 0, 0, 9, 0, 4, 147, 224, 0, 4, 147, 224, 0, 0, 0, 0],
        &[0x20, 0x40, 3, 24, 0, 0, 0, 5, 0, 0, 0, 0, 0, 15, 66, 64, 0, 4, 147, 224, 0, 0, 0, 0],
        &[0x23, 0x70, 255, 24, 255, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 50],
        &[
            0x20, 0xcc, 3, 28, 0, 0, 0, 5, 0, 0, 0, 9, 0, 4, 147, 224, 0, 4, 147, 224, 0, 0, 0, 0,
            1, 4, 1, 65,
        ],
    ];
    let mut random = fastrand::Rng::with_seed(5880);
    let mut accepted = 0;
    let mut refused = [0u64; Discard::ALL.len()];
    for _ in 0..PACKETS {
        let mut octets = random.choice(seeds).map(|seed| seed.to_vec()).unwrap_or_default();
        for _ in 0..random.usize(0..3) {
            let at = random.usize(0..octets.len().clamp(1, 12));
            match random.u8(0..6) {
                0 => octets.truncate(at),
                1 => octets.extend(std::iter::repeat_n(random.u8(..), random.usize(..9))),
                2 if at + 4 < octets.len() => octets[at & !3..][..4].fill(0),
                3 if octets.len() > 3 => octets[3] = random.u8(20..32),
                4 if at < octets.len() => octets[at] = 0,
                _ if at < octets.len() => octets[at] ^= 1 << random.u8(..8),
                _ => {}
            }
        }
        match (Packet::decode(&octets), judge(&octets)) {
            (Ok(packet), None) => {
                accepted += 1;
                let mut plain = octets[..24].to_vec();
                // The one field that says nothing beyond 24.
                plain[3] = 24;
                assert_eq!(packet.encode()[..], plain, "{octets:?}");
            }
            (Err(reason), Some(expected)) => {
                assert_eq!(reason, expected, "{octets:?}");
                refused[reason as usize] += 1;
            }
            (decoded, expected) => panic!("{octets:?}: {decoded:?}, expected {expected:?}"),
        }
    }
    assert!(accepted > PACKETS / 4, "{accepted} accepted");
    for reason in Discard::ALL {
        let hits = refused[reason as usize];
        let by_decoder = !matches!(reason, Discard::Ttl | Discard::UnknownSession);
        assert_eq!(hits > 100, by_decoder, "{reason:?}: {hits}");
    }
}
