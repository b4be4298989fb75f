// SPDX-License-Identifier: MIT OR Apache-2.0
//! RFC 4271 §6.1, RFC 8654, RFC 7313.

use bgp::wire::{
    self, Error, Frame, HeaderError, MAX_EXTENDED_MESSAGE_LEN, MAX_MESSAGE_LEN, Message,
    MessageType, NotificationCode, frame,
};

use crate::craft::*;

fn header(len: u16, kind: u8) -> Vec<u8> {
    let mut octets = vec![0xff; 16];
    octets.extend_from_slice(&len.to_be_bytes());
    octets.push(kind);
    octets
}

#[test]
fn a_stream_is_cut_message_by_message() {
    let (first, second) = (message(KEEPALIVE, &[]), update(&[], &mandatory(), &NLRI));
    let stream = [first.clone(), second.clone()].concat();
    let got = frame(&stream, MAX_MESSAGE_LEN).unwrap().unwrap();
    assert_eq!(got, Frame { kind: MessageType::Keepalive, message: &first });
    assert!(got.body().is_empty());
    let got = frame(&stream[19..], MAX_MESSAGE_LEN).unwrap().unwrap();
    assert_eq!(got, Frame { kind: MessageType::Update, message: &second });
    assert_eq!(got.body(), &second[19..]);
}

#[test]
fn a_message_cut_anywhere_waits_for_more() {
    let whole = update(&[], &mandatory(), &NLRI);
    for len in 0..whole.len() {
        assert_eq!(frame(&whole[..len], MAX_MESSAGE_LEN), Ok(None), "{len} octets");
    }
    assert!(frame(&whole, MAX_MESSAGE_LEN).unwrap().is_some());
}

#[test]
fn each_octet_of_the_marker_counts() {
    for offset in 0..16 {
        let mut octets = message(KEEPALIVE, &[]);
        octets[offset] = 0xfe;
        let error = frame(&octets, MAX_MESSAGE_LEN).unwrap_err();
        assert_eq!(error, HeaderError::Marker { offset });
        assert_eq!(error.notification().code, NotificationCode::CONNECTION_NOT_SYNCHRONIZED);
        assert!(error.notification().data.is_empty());
        assert_eq!(Error::from(error).offset(), offset);
    }
}

#[test]
fn a_length_that_the_type_cannot_have_is_refused_before_the_body_is_there() {
    let limit = MAX_MESSAGE_LEN;
    let bad = [
        (0, KEEPALIVE),
        (18, KEEPALIVE),
        (20, KEEPALIVE),
        (28, OPEN),
        (22, UPDATE),
        (20, NOTIFICATION),
        (22, ROUTE_REFRESH),
        (4097, OPEN),
        (4097, UPDATE),
        (4097, NOTIFICATION),
        (65535, UPDATE),
    ];
    for (len, kind) in bad {
        let error = frame(&header(len, kind), limit).unwrap_err();
        assert_eq!(error, HeaderError::Length { len }, "type {kind}");
        let notification = error.notification();
        assert_eq!(notification.code, NotificationCode::BAD_MESSAGE_LENGTH);
        assert_eq!(notification.data, len.to_be_bytes());
        assert_eq!(Error::from(error).offset(), 16);
    }
    for (len, kind) in [(29, OPEN), (23, UPDATE), (21, NOTIFICATION), (23, ROUTE_REFRESH)] {
        assert_eq!(frame(&header(len, kind), limit), Ok(None), "type {kind} length {len}");
        assert_eq!(frame(&header(4096, kind), limit), Ok(None), "type {kind}");
    }
}

#[test]
fn long_messages_need_the_capability_and_never_open_or_keepalive() {
    let limit = MAX_EXTENDED_MESSAGE_LEN;
    for kind in [UPDATE, NOTIFICATION, ROUTE_REFRESH] {
        assert_eq!(frame(&header(65535, kind), limit), Ok(None));
    }
    assert_eq!(frame(&header(4097, OPEN), limit), Err(HeaderError::Length { len: 4097 }));
    assert_eq!(frame(&header(20, KEEPALIVE), limit), Err(HeaderError::Length { len: 20 }));
}

#[test]
fn unknown_types_are_refused() {
    for kind in [0, 6, 7, 128, 255] {
        let error = frame(&header(19, kind), MAX_MESSAGE_LEN).unwrap_err();
        assert_eq!(error, HeaderError::Type { kind });
        assert_eq!(error.notification().code, NotificationCode::BAD_MESSAGE_TYPE);
        assert_eq!(error.notification().data, [kind]);
        assert_eq!(Error::from(error).offset(), 18);
    }
}

#[test]
fn refresh_markers_have_a_fixed_length() {
    let decode = |octets: &[u8]| {
        let frame = wire::frame(octets, MAX_MESSAGE_LEN).unwrap().unwrap();
        Message::decode(&frame).map(|message| message.to_string())
    };
    for (subtype, text) in [
        (0, "ROUTE-REFRESH ipv4Unicast"),
        (1, "ROUTE-REFRESH ipv4Unicast begin"),
        (2, "ROUTE-REFRESH ipv4Unicast end"),
        (9, "ROUTE-REFRESH ipv4Unicast subtype 9"),
    ] {
        assert_eq!(decode(&message(ROUTE_REFRESH, &[0, 1, subtype, 1])).unwrap(), text);
    }
    // Filters may follow a request; we never asked for them and do not read them.
    let filters = message(ROUTE_REFRESH, &[0, 1, 0, 1, 1, 64, 0, 0]);
    assert_eq!(decode(&filters).unwrap(), "ROUTE-REFRESH ipv4Unicast");
    for subtype in [1, 2] {
        let octets = message(ROUTE_REFRESH, &[0, 1, subtype, 1, 0]);
        let error = decode(&octets).unwrap_err();
        assert_eq!(error.reason(), "refreshLength");
        assert_eq!(error.notification().code, NotificationCode::REFRESH_INVALID_LENGTH);
        assert_eq!(error.notification().data, octets, "the whole message goes back");
    }
}
