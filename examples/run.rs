// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs every example and looks at what it prints.

use std::process::Command;

/// The standard output of an example that must succeed.
fn output(program: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "tests start the programs they test")]
    let output = Command::new(program).output().expect("the example starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn reconcile_a_map_writes_differences_only() {
    let text = output(env!("CARGO_BIN_EXE_reconcile-a-map"));
    assert_eq!(
        text,
        "first run: 3 writes\nsecond run: 0 writes\nafter a foreign change: 1 writes\na holds \"one\"\n"
    );
}
