// SPDX-License-Identifier: MIT OR Apache-2.0
//! A bounds-checked reader: the only way the decoders touch octets.

/// Reads big-endian values from the front of a slice and knows its offset in the message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// A reader of `octets`, which begin at `offset` of the message.
    pub(crate) const fn new(octets: &'a [u8], offset: usize) -> Self {
        Self { rest: octets, offset }
    }

    /// Where the next octet is, counted from the first octet of the message.
    pub(crate) const fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes `count` octets, or none if there are fewer.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(count)?;
        self.rest = tail;
        self.offset += count;
        Some(head)
    }

    /// Takes `N` octets as an array.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.rest.split_first_chunk::<N>()?;
        self.rest = tail;
        self.offset += N;
        Some(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[octet]| octet)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }
}

/// Splits octets into arrays of `N`; what is left over is not seen, so check the length first.
pub(crate) fn chunks<const N: usize>(
    octets: &[u8],
) -> impl ExactSizeIterator<Item = [u8; N]> + Clone + '_ {
    octets.as_chunks::<N>().0.iter().copied()
}
