// SPDX-License-Identifier: MIT OR Apache-2.0
use std::fs::File;

use super::*;

#[test]
fn forbidden_namespace_is_named() {
    let own = File::open("/proc/self/ns/net").unwrap();
    let mount = ("/proc/self/ns/mnt", "the mount");
    let absent = ("/nonexistent", "nobody's");
    assert!(check(own.as_fd(), &[absent, mount]).is_ok());
    let why = check(own.as_fd(), &[absent, mount, ("/proc/self/ns/net", "the host's")]);
    assert!(why.unwrap_err().contains("the host's"));
}

#[test]
fn only_namespaces_have_an_identity() {
    let own = fs::metadata("/proc/self/ns/net").unwrap();
    let expected = Netns { dev: own.dev(), ino: own.ino() };
    assert_eq!(identify("/proc/self/ns/net"), Some(expected));
    assert_eq!(identify("/proc/self/status"), None);
    assert_eq!(identify("/nonexistent"), None);
}
