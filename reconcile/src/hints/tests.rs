// SPDX-License-Identifier: MIT OR Apache-2.0
use super::*;

#[test]
fn hints_of_one_key_coalesce() {
    let hints = Hints::new();
    hints.hint(Drift::Key(1));
    hints.hint(Drift::Key(2));
    hints.hint(Drift::Key(1));
    assert!(!hints.is_empty());
    assert_eq!(hints.take(), [Drift::Key(1), Drift::Key(2)]);
    assert_eq!(hints.take(), []);
}

#[test]
fn all_covers_every_key() {
    let hints = Hints::new();
    hints.hint(Drift::Key(1));
    hints.hint(Drift::All);
    hints.hint(Drift::Key(2));
    assert_eq!(hints.take(), [Drift::All]);
}

#[test]
fn very_many_keys_become_all() {
    let hints = Hints::new();
    for key in 0..100_000 {
        hints.hint(Drift::Key(key));
        assert!(hints.inner.len() <= MANY + 1);
    }
    assert_eq!(hints.take(), [Drift::All]);
}
