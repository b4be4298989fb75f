// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 4271 §6.2, RFC 5492, RFC 6793, RFC 7607, RFC 9072.

use bgp::types::Asn;
use bgp::wire::{Error, NotificationCode, Open, OpenError};

/// Version 4, AS 65000, hold time 9, identifier 10.0.0.1.
const FIXED: [u8; 9] = [4, 0xfd, 0xe8, 0, 9, 10, 0, 0, 1];
/// Where the length of the optional parameters is.
const PARAMETERS: usize = 28;

fn body(parameters: &[u8]) -> Vec<u8> {
    let mut body = FIXED.to_vec();
    body.push(u8::try_from(parameters.len()).unwrap());
    body.extend_from_slice(parameters);
    body
}

/// All capabilities in one parameter.
fn with_capabilities(capabilities: &[u8]) -> Vec<u8> {
    let len = u8::try_from(capabilities.len()).unwrap();
    body(&[&[2, len], capabilities].concat())
}

fn changed(at: usize, octets: &[u8]) -> Vec<u8> {
    let mut body = body(&[]);
    body[at..at + octets.len()].copy_from_slice(octets);
    body
}

#[track_caller]
fn refused(body: &[u8], error: OpenError, code: NotificationCode) {
    assert_eq!(Open::decode(body), Err(error));
    assert_eq!(Error::from(error).notification().code, code);
}

#[test]
fn fixed_fields_are_checked() {
    assert_eq!(Open::decode(&body(&[])).unwrap().asn, Asn(65000));
    for version in [0, 3, 5, 255] {
        let error = OpenError::Version { version };
        refused(&changed(0, &[version]), error, NotificationCode::UNSUPPORTED_VERSION);
        assert_eq!(error.notification().data, [0, 4], "the version that we do speak");
    }
    refused(&changed(1, &[0, 0]), OpenError::PeerAs { asn: 0 }, NotificationCode::BAD_PEER_AS);
    for seconds in [1, 2] {
        let error = OpenError::HoldTime { seconds };
        let octets = seconds.to_be_bytes();
        refused(&changed(3, &octets), error, NotificationCode::UNACCEPTABLE_HOLD_TIME);
    }
    for seconds in [0_u16, 3, 65535] {
        let open = Open::decode(&changed(3, &seconds.to_be_bytes())).unwrap();
        assert_eq!(open.hold_time.as_secs(), u64::from(seconds));
    }
    refused(&changed(5, &[0; 4]), OpenError::Identifier, NotificationCode::BAD_BGP_ID);
}

#[test]
fn an_open_cut_anywhere_is_malformed() {
    let whole = with_capabilities(&[1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfd, 0xe8]);
    assert!(Open::decode(&whole).is_ok());
    for len in 0..whole.len() {
        let offset = if len < 10 { 19 + len } else { PARAMETERS };
        let error = if len == 9 {
            OpenError::Malformed { offset: PARAMETERS }
        } else {
            OpenError::Malformed { offset }
        };
        refused(&whole[..len], error, NotificationCode::OPEN_UNSPECIFIC);
    }
    let mut longer = whole.clone();
    longer.push(0);
    let error = OpenError::Malformed { offset: PARAMETERS };
    refused(&longer, error, NotificationCode::OPEN_UNSPECIFIC);
}

#[test]
fn parameters_must_fit_and_be_capabilities() {
    let code = NotificationCode::UNSUPPORTED_OPTIONAL_PARAMETER;
    refused(&body(&[1, 1, 0]), OpenError::Parameter { kind: 1, offset: 29 }, code);
    refused(&body(&[2, 0, 77, 0]), OpenError::Parameter { kind: 77, offset: 31 }, code);
    let malformed = |offset| OpenError::Malformed { offset };
    let code = NotificationCode::OPEN_UNSPECIFIC;
    refused(&body(&[2]), malformed(29), code);
    refused(&body(&[2, 1]), malformed(29), code);
    refused(&body(&[2, 0, 2, 3, 2, 0]), malformed(31), code);
    // Inside of the parameter: a code without length, a value past the end.
    refused(&with_capabilities(&[2]), malformed(31), code);
    refused(&with_capabilities(&[2, 0, 77, 255, 0]), malformed(33), code);
}

#[test]
fn capabilities_come_in_one_parameter_or_in_many() {
    let one = with_capabilities(&[2, 0, 128, 0, 77, 2, 1, 2]);
    let many = body(&[2, 2, 2, 0, 2, 2, 128, 0, 2, 0, 2, 4, 77, 2, 1, 2]);
    let (one, many) = (Open::decode(&one).unwrap(), Open::decode(&many).unwrap());
    assert_eq!(one, many);
    assert_eq!(one.capabilities.iter().count(), 3);
}

#[test]
fn known_capabilities_have_the_lengths_of_their_rfc() {
    // Code, lengths that are right; everything else up to 20 is wrong.
    let known: [(u8, &[u8]); 11] = [
        (1, &[4]),
        (2, &[0]),
        (5, &[0, 6, 12, 18]),
        (6, &[0]),
        (9, &[1]),
        (64, &[2, 6, 10, 14, 18]),
        (65, &[4]),
        (69, &[0, 4, 8, 12, 16, 20]),
        (70, &[0]),
        (71, &[0, 7, 14]),
        (128, &[0]),
    ];
    for (code, right) in known {
        for len in 0..=20_u8 {
            let value = vec![1; usize::from(len)];
            let result = Open::decode(&with_capabilities(&[&[code, len][..], &value].concat()));
            if right.contains(&len) {
                let result = result.map(|open| open.capabilities.iter().count());
                // 0x01010101 is not AS 65000, but the AS number is not what is tested here.
                let as_mismatch = code == 65 && result == Err(OpenError::PeerAs { asn: 65000 });
                assert!(result == Ok(1) || as_mismatch, "{code} {len}: {result:?}");
            } else {
                assert_eq!(result, Err(OpenError::Capability { code, offset: 31 }), "{len}");
            }
        }
    }
}

#[test]
fn a_host_name_may_have_a_domain() {
    for (value, right) in [
        (&[2, b'n', b'1', 3, b'l', b'a', b'b'][..], true),
        (&[0, 0], true),
        (&[2, b'n', b'1', 0], true),
        (&[], false),
        (&[0], false),
        (&[2, b'n'], false),
        (&[2, b'n', b'1'], false),
        (&[2, b'n', b'1', 4, b'l', b'a', b'b'], false),
        (&[2, b'n', b'1', 2, b'l', b'a', b'b'], false),
    ] {
        let len = u8::try_from(value.len()).unwrap();
        let result = Open::decode(&with_capabilities(&[&[73, len][..], value].concat()));
        assert_eq!(result.is_ok(), right, "{value:?}: {result:?}");
    }
}

#[test]
fn as_number_and_capability_must_agree() {
    let four = |asn: u32| [&[65, 4][..], &asn.to_be_bytes()].concat();
    let with_field = |field: u16, asn: u32| {
        let mut body = with_capabilities(&four(asn));
        body[1..3].copy_from_slice(&field.to_be_bytes());
        Open::decode(&body).map(|open| open.asn)
    };
    assert_eq!(with_field(23456, 4_200_000_001), Ok(Asn(4_200_000_001)));
    assert_eq!(with_field(65000, 65000), Ok(Asn(65000)));
    assert_eq!(with_field(23456, 65000), Ok(Asn(65000)));
    assert_eq!(with_field(65000, 65001), Err(OpenError::PeerAs { asn: 65000 }));
    assert_eq!(with_field(23456, 0), Err(OpenError::PeerAs { asn: 0 }));
}

#[test]
fn extended_parameters_are_read() {
    // RFC 9072: 255, 255, two octets of length; then type, two octets of length, value.
    let parameter = [2, 0, 6, 1, 4, 0, 2, 0, 1];
    let extended = |non_ext: u8, len: u16, rest: &[u8]| {
        let mut body = FIXED.to_vec();
        body.extend_from_slice(&[non_ext, 255]);
        body.extend_from_slice(&len.to_be_bytes());
        body.extend_from_slice(rest);
        Open::decode(&body).map(|open| open.capabilities.iter().count())
    };
    assert_eq!(extended(255, 9, &parameter), Ok(1));
    assert_eq!(extended(1, 9, &parameter), Ok(1), "the short length is not looked at");
    assert_eq!(extended(255, 0, &[]), Ok(0));
    let malformed = |offset| Err(OpenError::Malformed { offset });
    assert_eq!(extended(255, 8, &parameter), malformed(PARAMETERS));
    assert_eq!(extended(255, 10, &parameter), malformed(PARAMETERS));
    assert_eq!(extended(255, 2, &[2, 0]), malformed(32));
    assert_eq!(extended(255, 3, &[2, 0, 1]), malformed(32));
    assert_eq!(extended(0, 9, &parameter), malformed(PARAMETERS));
    let mut truncated = FIXED.to_vec();
    truncated.extend_from_slice(&[255, 255, 0]);
    assert_eq!(Open::decode(&truncated).map(|_| 0), malformed(PARAMETERS));
    // More capabilities than the short form could hold.
    let many: Vec<u8> = [77, 200].into_iter().chain([7; 200]).collect::<Vec<_>>().repeat(5);
    let len = u16::try_from(many.len()).unwrap();
    let rest = [&[2][..], &len.to_be_bytes(), &many].concat();
    assert_eq!(extended(255, len + 3, &rest), Ok(5));
}
