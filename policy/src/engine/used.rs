// SPDX-License-Identifier: MIT OR Apache-2.0
//! Shared objects that exist as long as somebody uses them.

use std::collections::BTreeMap;

use crate::ir::Name;

/// Content by name, with the number of its users.
#[derive(Debug)]
pub(super) struct Used<T>(BTreeMap<Name, (T, usize)>);

impl<T> Default for Used<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Used<T> {
    pub(super) fn get(&self, name: &Name) -> Option<&T> {
        self.0.get(name).map(|(content, _)| content)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One user more; whether it is the first.
    pub(super) fn acquire(&mut self, name: &Name, content: impl FnOnce() -> T) -> bool {
        if let Some((_, users)) = self.0.get_mut(name) {
            *users += 1;
            return false;
        }
        self.0.insert(name.clone(), (content(), 1));
        true
    }

    /// One user less; the content if it was the last.
    pub(super) fn release(&mut self, name: &Name) -> Option<T> {
        let (_, users) = self.0.get_mut(name)?;
        *users -= 1;
        if *users > 0 {
            return None;
        }
        self.0.remove(name).map(|(content, _)| content)
    }
}
