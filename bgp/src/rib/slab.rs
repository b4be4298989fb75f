// SPDX-License-Identifier: MIT OR Apache-2.0
//! Values with small stable numbers, in chunks that are given back when nothing is left in them.
//!
//! A growing vector copies everything and holds it twice for a moment; a full table cannot afford
//! that. Numbers are reused, lowest chunk first, so that a table that shrank gathers at the front.

use std::collections::BTreeSet;

/// Values per chunk.
const CHUNK: usize = 1024;

#[derive(Debug)]
struct Chunk<T> {
    values: Box<[Option<T>]>,
    /// Numbers within the chunk that were used and are free again.
    free: Vec<u16>,
    /// Numbers below were used at some time.
    used: usize,
}

impl<T> Chunk<T> {
    fn new() -> Self {
        let values = (0..CHUNK).map(|_| None).collect();
        Self { values, free: Vec::new(), used: 0 }
    }

    fn len(&self) -> usize {
        self.used - self.free.len()
    }
}

/// Values by number.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Option<Chunk<T>>>,
    /// Chunks with room, and places without a chunk.
    room: BTreeSet<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), room: BTreeSet::new() }
    }
}

impl<T> Slab<T> {
    /// Keeps a value; its number, or the value if there are four billion already.
    pub(crate) fn insert(&mut self, value: T) -> Result<u32, T> {
        let at = self.room.first().copied().unwrap_or(self.chunks.len());
        let Ok(base) = u32::try_from(at * CHUNK) else { return Err(value) };
        if at == self.chunks.len() {
            self.chunks.push(None);
        }
        if self.chunks[at].is_none() {
            self.room.insert(at);
        }
        let chunk = self.chunks[at].get_or_insert_with(Chunk::new);
        let place = chunk.free.pop().map_or_else(
            || {
                chunk.used += 1;
                chunk.used - 1
            },
            usize::from,
        );
        chunk.values[place] = Some(value);
        if chunk.len() == CHUNK {
            self.room.remove(&at);
        }
        // A chunk has fewer places than fit into sixteen bits.
        Ok(base + u32::try_from(place).unwrap_or_default())
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        let (at, place) = split(number);
        self.chunks.get(at)?.as_ref()?.values[place].as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let (at, place) = split(number);
        self.chunks.get_mut(at)?.as_mut()?.values[place].as_mut()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let (at, place) = split(number);
        let slot = self.chunks.get_mut(at)?;
        let chunk = slot.as_mut()?;
        let value = chunk.values[place].take()?;
        if chunk.len() == CHUNK {
            self.room.insert(at);
        }
        chunk.free.push(u16::try_from(place).unwrap_or_default());
        if chunk.len() == 0 {
            *slot = None;
        }
        Some(value)
    }

    /// One more than the largest number in use.
    pub(crate) fn bound(&self) -> u32 {
        u32::try_from(self.chunks.len() * CHUNK).unwrap_or(u32::MAX)
    }

    /// All values with their numbers, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.bound()).filter_map(|number| Some((number, self.get(number)?)))
    }
}

fn split(number: u32) -> (usize, usize) {
    let number = number as usize;
    (number / CHUNK, number % CHUNK)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map(ops in prop::collection::vec((any::<bool>(), 0..50_u32), 0..400)) {
            let (mut slab, mut model) = (Slab::default(), BTreeMap::new());
            for (at, (insert, number)) in ops.into_iter().enumerate() {
                if insert {
                    let number = slab.insert(at).unwrap();
                    prop_assert!(model.insert(number, at).is_none());
                } else {
                    prop_assert_eq!(slab.remove(number), model.remove(&number));
                }
                prop_assert_eq!(slab.iter().count(), model.len());
            }
            prop_assert!(slab.iter().map(|(number, value)| (number, *value)).eq(model));
        }
    }

    #[test]
    fn empty_chunks_are_given_back_and_numbers_used_again() {
        let mut slab = Slab::default();
        let numbers: Vec<_> = (0..5 * CHUNK).map(|value| slab.insert(value).unwrap()).collect();
        numbers[CHUNK..].iter().for_each(|number| assert!(slab.remove(*number).is_some()));
        assert_eq!(slab.chunks.iter().flatten().count(), 1);
        assert_eq!(slab.insert(7), Ok(u32::try_from(CHUNK).unwrap()));
    }
}
