// SPDX-License-Identifier: MIT OR Apache-2.0
use std::collections::HashSet;

use super::*;

#[test]
fn each_code_has_a_name_of_its_own() {
    let codes: HashSet<_> = NotificationCode::ALL.iter().collect();
    let names: HashSet<_> = NotificationCode::ALL.iter().map(|code| code.reason()).collect();
    assert_eq!(codes.len(), NotificationCode::ALL.len());
    assert_eq!(names.len(), NotificationCode::ALL.len());
    assert!(names.iter().all(|name| name.chars().all(|c| c.is_ascii_alphanumeric())));
}

#[test]
fn codes_without_a_name_have_that_of_their_group() {
    for (code, subcode, name) in [
        (1, 9, "messageHeaderError"),
        (2, 5, "openMessageError"),
        (3, 7, "updateMessageError"),
        (4, 1, "holdTimerExpired"),
        (5, 9, "fsmError"),
        (6, 11, "cease"),
        (7, 2, "routeRefreshError"),
        (8, 1, "sendHoldTimerExpired"),
        (0, 0, "unknown"),
        (255, 255, "unknown"),
    ] {
        assert_eq!(NotificationCode::new(code, subcode).reason(), name);
    }
    assert!(NotificationCode::HARD_RESET.is_cease() && !NotificationCode::BAD_PEER_AS.is_cease());
}

#[test]
fn a_text_is_kept_whole_or_refused() {
    let code = NotificationCode::ADMINISTRATIVE_SHUTDOWN;
    let longest = "ä".repeat(127);
    assert_eq!(Notification::with_text(code, &longest).unwrap().text().unwrap(), longest);
    let error = Notification::with_text(code, &"ä".repeat(128)).unwrap_err();
    assert_eq!(error, TextTooLong { len: 256 });
    assert_eq!(Notification::with_text(code, "").unwrap().text(), None);
}

#[test]
fn a_text_is_read_only_where_it_belongs() {
    let data = [2, b'h', b'i'];
    let text = |code| Notification::with_data(code, data).text().map(Cow::into_owned);
    assert_eq!(text(NotificationCode::ADMINISTRATIVE_RESET).as_deref(), Some("hi"));
    assert_eq!(text(NotificationCode::HOLD_TIMER_EXPIRED), None);
    assert_eq!(text(NotificationCode::CONNECTION_REJECTED), None);
}
