// SPDX-License-Identifier: MIT OR Apache-2.0
//! Path attributes on the wire: the list and its elements (RFC 4271 §4.3).

use super::attr_error::{AttrError, AttrErrorKind};
use super::code;
use super::cursor::Cursor;
use super::encode_error::EncodeError;

/// One path attribute as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawAttr<'a> {
    /// The flags.
    pub flags: u8,
    /// The type code.
    pub code: u8,
    /// Where in the message the attribute begins.
    pub offset: usize,
    /// The value.
    pub value: &'a [u8],
    /// The attribute with flags, type code and length.
    pub octets: &'a [u8],
}

impl RawAttr<'_> {
    /// Whether the optional flag is set.
    #[must_use]
    pub const fn is_optional(&self) -> bool {
        self.flags & code::FLAG_OPTIONAL != 0
    }

    /// Whether the transitive flag is set.
    #[must_use]
    pub const fn is_transitive(&self) -> bool {
        self.flags & code::FLAG_TRANSITIVE != 0
    }

    /// An error of this attribute.
    pub(crate) fn error(&self, kind: AttrErrorKind) -> AttrError {
        attr_error(self.code, self.offset, kind)
    }

    /// The length of the value, which always fits.
    pub(crate) fn len(&self) -> u16 {
        u16::try_from(self.value.len()).unwrap_or(u16::MAX)
    }
}

/// An error of the attribute with this code at this offset.
pub(crate) fn attr_error(code: u8, offset: usize, kind: AttrErrorKind) -> AttrError {
    AttrError { code, offset: u16::try_from(offset).unwrap_or(u16::MAX), kind }
}

/// Walks a list of path attributes in the order of the wire.
///
/// Ends after the first attribute that runs past the list (RFC 7606 §4), which it reports.
#[derive(Clone, Debug)]
pub struct AttrIter<'a> {
    cursor: Cursor<'a>,
}

impl<'a> AttrIter<'a> {
    /// The attributes of a list that begins at `offset` of the message.
    #[must_use]
    pub const fn new(list: &'a [u8], offset: usize) -> Self {
        Self { cursor: Cursor::new(list, offset) }
    }

    fn read(&mut self) -> Result<RawAttr<'a>, u8> {
        let offset = self.cursor.offset();
        let all = self.cursor.rest();
        let [flags, code] = self.cursor.array().ok_or(0)?;
        let len = if flags & code::FLAG_EXTENDED == 0 {
            self.cursor.u8().map(u16::from)
        } else {
            self.cursor.u16()
        };
        let value = len.and_then(|len| self.cursor.take(usize::from(len))).ok_or(code)?;
        let octets = all.get(..self.cursor.offset() - offset).unwrap_or_default();
        Ok(RawAttr { flags, code, offset, value, octets })
    }
}

impl<'a> Iterator for AttrIter<'a> {
    type Item = Result<RawAttr<'a>, AttrError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let offset = self.cursor.offset();
        Some(self.read().map_err(|code| {
            self.cursor = Cursor::new(&[], offset);
            attr_error(code, offset, AttrErrorKind::Overrun)
        }))
    }
}

/// Appends an attribute; the length takes two octets only where it must.
///
/// # Errors
/// If the value is longer than 65,535 octets.
pub(crate) fn put(out: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) -> Result<(), EncodeError> {
    if let Ok(len) = u8::try_from(value.len()) {
        out.extend_from_slice(&[flags & !code::FLAG_EXTENDED, code, len]);
    } else {
        let len = u16::try_from(value.len())
            .map_err(|_| EncodeError::AttributeTooLong { code, len: value.len() })?;
        out.extend_from_slice(&[flags | code::FLAG_EXTENDED, code]);
        out.extend_from_slice(&len.to_be_bytes());
    }
    out.extend_from_slice(value);
    Ok(())
}
