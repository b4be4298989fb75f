// SPDX-License-Identifier: MIT OR Apache-2.0
//! Namespaces for unit tests that need the kernel but not the public interface.

use std::{
    fs::File,
    os::fd::AsFd,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that is removed with this value.
pub(crate) struct Namespace(String);

impl Namespace {
    /// Makes a namespace and moves the calling thread into it.
    pub(crate) fn enter() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let namespace = Self(format!("rtd-t-{}-unit{number}", std::process::id()));
        assert!(ip(&["netns", "add", &namespace.0]));
        let file = File::open(format!("/run/netns/{}", namespace.0)).expect("namespace");
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("may enter namespaces");
        namespace
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]);
    }
}

#[expect(clippy::disallowed_methods, reason = "tests make namespaces with stock tools")]
fn ip(args: &[&str]) -> bool {
    Command::new("ip").args(args).status().is_ok_and(|status| status.success())
}
