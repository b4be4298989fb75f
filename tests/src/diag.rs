// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the scenario looks like when something did not happen.
//!
//! Namespaces, peers and logs register themselves on the thread of their test; whoever gives up
//! waiting prints what all of them have to say.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::{Rc, Weak};

/// Something that can describe its state for a person who was not there.
pub trait Diagnose {
    /// The state, over several lines.
    fn diagnose(&self) -> String;
}

thread_local! {
    static SOURCES: RefCell<Vec<Weak<dyn Diagnose>>> = const { RefCell::new(Vec::new()) };
}

/// From now on the diagnosis of this thread asks this source, as long as it lives.
pub fn register<T: Diagnose + 'static>(source: &Rc<T>) {
    let weak: Weak<T> = Rc::downgrade(source);
    SOURCES.with_borrow_mut(|sources| {
        sources.retain(|source| source.strong_count() > 0);
        sources.push(weak);
    });
}

/// The state of everything that lives on this thread.
pub fn report() -> String {
    // Cloned, so that a source may register another one while it is asked.
    let sources = SOURCES.with_borrow(Clone::clone);
    let mut text = String::new();
    for source in sources.iter().filter_map(Weak::upgrade) {
        let _infallible = writeln!(text, "── {}\n", source.diagnose().trim_end());
    }
    text
}
