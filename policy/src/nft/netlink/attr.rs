// SPDX-License-Identifier: MIT OR Apache-2.0
//! Netlink attributes: an appending writer and a bounds-checked reader.
//!
//! nf_tables wants every integer in network byte order, every attribute aligned to four bytes and
//! every nested attribute flagged as such. An attribute counts its bytes in 16 bits, so a value can
//! be too long for the format; the writer then remembers it instead of writing a wrong length, and
//! the batch refuses the message before it reaches the kernel (an aborted batch costs a grace
//! period).

/// Set in the type field of an attribute that contains attributes.
const NLA_F_NESTED: u16 = 0x8000;
/// The bits of the type field that hold the type.
const NLA_TYPE_MASK: u16 = 0x3fff;
/// Bytes of an attribute header: length and type.
const HEADER: usize = 4;

/// Rounds up to the alignment of messages and attributes.
pub(crate) const fn align(len: usize) -> usize {
    (len + 3) & !3
}

/// Appends attributes to a message.
#[derive(Debug)]
pub(crate) struct AttrWriter<'a> {
    buf: &'a mut Vec<u8>,
    start: usize,
    oversize: bool,
}

impl<'a> AttrWriter<'a> {
    /// Writes at the end of `buf`, which must be aligned.
    pub(crate) fn new(buf: &'a mut Vec<u8>) -> Self {
        let start = buf.len();
        Self { buf, start, oversize: false }
    }

    /// True once a value did not fit into the format.
    pub(crate) fn is_oversize(&self) -> bool {
        self.oversize
    }

    /// Appends raw bytes as one attribute.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        let start = self.begin(kind);
        self.buf.extend_from_slice(value);
        self.end(start);
    }

    /// Appends a NUL-terminated string.
    pub(crate) fn string(&mut self, kind: u16, value: &str) {
        let start = self.begin(kind);
        self.buf.extend_from_slice(value.as_bytes());
        self.buf.push(0);
        self.end(start);
    }

    /// Appends a 32-bit integer in network byte order.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends a 64-bit integer in network byte order.
    pub(crate) fn be64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// Appends an attribute that contains what `fill` writes.
    pub(crate) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.begin(kind | NLA_F_NESTED);
        fill(self);
        self.end(start);
    }

    /// Appends attributes that are encoded already.
    pub(crate) fn encoded(&mut self, attrs: &[u8]) {
        self.buf.extend_from_slice(attrs);
    }

    /// Number of bytes written so far.
    pub(crate) fn written(&self) -> usize {
        self.buf.len() - self.start
    }

    fn begin(&mut self, kind: u16) -> usize {
        let start = self.buf.len();
        self.buf.extend_from_slice(&[0; 2]);
        self.buf.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn end(&mut self, start: usize) {
        match u16::try_from(self.buf.len() - start) {
            Ok(len) => self.buf[start..start + 2].copy_from_slice(&len.to_ne_bytes()),
            Err(_) => self.oversize = true,
        }
        self.buf.resize(align(self.buf.len()), 0);
    }
}

/// One attribute read from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attr<'a> {
    /// The type without its flag bits.
    pub(crate) kind: u16,
    /// The value without padding.
    pub(crate) value: &'a [u8],
}

impl<'a> Attr<'a> {
    /// The value as a 32-bit integer in network byte order.
    pub(crate) fn be32(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.value.try_into().ok()?))
    }

    /// The value as a string; everything from the first NUL on is ignored.
    pub(crate) fn string(&self) -> Option<&'a str> {
        let text = self.value.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok()
    }

    /// The attributes inside a nested attribute.
    pub(crate) fn children(&self) -> AttrReader<'a> {
        AttrReader::new(self.value)
    }
}

/// Iterates over the attributes of a message; stops at the first malformed one.
#[derive(Clone, Debug)]
pub(crate) struct AttrReader<'a> {
    rest: &'a [u8],
}

impl<'a> AttrReader<'a> {
    /// Reads the attributes in `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first attribute of a type.
    pub(crate) fn find_kind(&self, kind: u16) -> Option<Attr<'a>> {
        self.clone().find(|attr| attr.kind == kind)
    }
}

impl<'a> Iterator for AttrReader<'a> {
    type Item = Attr<'a>;

    fn next(&mut self) -> Option<Attr<'a>> {
        let header = self.rest.get(..HEADER)?;
        let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
        let value = self.rest.get(HEADER..len)?;
        self.rest = self.rest.get(align(len)..).unwrap_or_default();
        Some(Attr { kind, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_attributes_read_back() {
        let mut buf = Vec::new();
        let mut writer = AttrWriter::new(&mut buf);
        writer.string(1, "routed");
        writer.nest(2, |inner| {
            inner.be32(3, 7);
            inner.bytes(4, &[1, 2, 3]);
        });
        writer.be64(5, 9);
        assert!(!writer.is_oversize());
        assert_eq!(buf.len() % 4, 0);

        let attrs: Vec<_> = AttrReader::new(&buf).collect();
        assert_eq!(attrs.iter().map(|attr| attr.kind).collect::<Vec<_>>(), [1, 2, 5]);
        assert_eq!(attrs[0].string(), Some("routed"));
        assert_eq!(attrs[1].children().find_kind(3).and_then(|attr| attr.be32()), Some(7));
        assert_eq!(attrs[1].children().find_kind(4).map(|attr| attr.value), Some(&[1, 2, 3][..]));
        assert_eq!(attrs[2].value, 9_u64.to_be_bytes());
    }

    #[test]
    fn oversize_values_are_remembered() {
        let mut buf = Vec::new();
        let mut writer = AttrWriter::new(&mut buf);
        writer.bytes(1, &[0; 65_536]);
        assert!(writer.is_oversize());
    }

    #[test]
    fn reading_stops_at_truncation() {
        let mut buf = Vec::new();
        AttrWriter::new(&mut buf).be32(1, 1);
        let whole = buf.len();
        AttrWriter::new(&mut buf).be32(2, 2);
        for cut in whole..buf.len() {
            assert_eq!(AttrReader::new(&buf[..cut]).count(), 1, "cut at {cut}");
        }
        assert_eq!(AttrReader::new(&[1, 0, 1, 0]).count(), 0, "length below the header");
    }
}
