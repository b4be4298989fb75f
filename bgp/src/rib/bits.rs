// SPDX-License-Identifier: MIT OR Apache-2.0
//! A set of destinations, one bit each.

/// A set of small numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// True when the number is in the set.
    pub(crate) fn contains(&self, number: u32) -> bool {
        let (word, mask) = place(number);
        self.words.get(word).is_some_and(|word| word & mask != 0)
    }

    /// Adds a number; false when it was there.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let (word, mask) = place(number);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & mask == 0;
        self.words[word] |= mask;
        self.len += usize::from(is_new);
        is_new
    }

    /// Takes a number out; false when it was not there.
    pub(crate) fn remove(&mut self, number: u32) -> bool {
        let (word, mask) = place(number);
        let Some(word) = self.words.get_mut(word) else { return false };
        let was = *word & mask != 0;
        *word &= !mask;
        self.len -= usize::from(was);
        if self.len == 0 {
            self.words = Vec::new();
        }
        was
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        let words = self.words.iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(|(at, word)| {
            let base = u32::try_from(at * 64).unwrap_or(u32::MAX);
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| base + bit)
        })
    }
}

fn place(number: u32) -> (usize, u64) {
    (number as usize / 64, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(ops in prop::collection::vec((any::<bool>(), 0..300_u32), 0..200)) {
            let (mut bits, mut model) = (Bits::default(), BTreeSet::new());
            for (insert, number) in ops {
                match insert {
                    true => prop_assert_eq!(bits.insert(number), model.insert(number)),
                    false => prop_assert_eq!(bits.remove(number), model.remove(&number)),
                }
                prop_assert_eq!(bits.contains(number), model.contains(&number));
                prop_assert_eq!(bits.len(), model.len());
            }
            prop_assert!(bits.iter().eq(model));
        }
    }
}
