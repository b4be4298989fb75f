// SPDX-License-Identifier: MIT OR Apache-2.0
//! AS_PATH: an owned path, kept as the octets of its four-octet encoding.
//!
//! One small buffer instead of a tree of vectors: paths up to five hops need no allocation,
//! comparing and hashing are those of octets, and encoding for a four-octet session is a copy.

use std::fmt;

use smallvec::SmallVec;

use super::attr_error::AttrErrorKind;
use super::cursor::{Cursor, chunks};
use crate::types::Asn;

/// More AS numbers than this in one path are refused, far above anything real: the longest paths
/// of the Internet have some hundred.
pub const MAX_HOPS: usize = 1000;
/// Members that fit one segment.
const MAX_SEGMENT: usize = 255;

/// The kind of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SegmentKind {
    /// AS_SET: unordered, counts as one hop.
    Set,
    /// AS_SEQUENCE: ordered, nearest first.
    Sequence,
}

impl SegmentKind {
    const fn number(self) -> u8 {
        match self {
            Self::Set => 1,
            Self::Sequence => 2,
        }
    }
}

/// A segment of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Its kind.
    pub kind: SegmentKind,
    octets: &'a [u8],
}

impl<'a> Segment<'a> {
    /// The members, in the order of the wire; at least one.
    pub fn asns(&self) -> impl ExactSizeIterator<Item = Asn> + Clone + use<'a> {
        chunks::<4>(self.octets).map(|octets| Asn(u32::from_be_bytes(octets)))
    }

    /// The hops it counts for (RFC 4271 §9.1.2.2 a).
    #[must_use]
    pub fn hops(&self) -> usize {
        match self.kind {
            SegmentKind::Set => 1,
            SegmentKind::Sequence => self.octets.len() / 4,
        }
    }
}

/// A path of AS numbers. The default is the empty path of a prefix that the own AS originates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsPath {
    /// Segments in four-octet encoding: kind, count, members; always well-formed.
    octets: SmallVec<[u8; 22]>,
}

impl AsPath {
    /// A path of one sequence, split where it has more than 255 members.
    pub fn sequence(asns: impl IntoIterator<Item = Asn>) -> Self {
        let asns: SmallVec<[Asn; 8]> = asns.into_iter().collect();
        let mut path = Self::default();
        path.push(SegmentKind::Sequence, &asns);
        path
    }

    /// Reads the value of AS_PATH or AS4_PATH.
    ///
    /// Segments of a confederation are malformed: routed is in none (RFC 5065 §5).
    ///
    /// # Errors
    /// What is wrong with the attribute (RFC 7606 §7.2, RFC 7607).
    pub(crate) fn decode(value: &[u8], as4: bool) -> Result<Self, AttrErrorKind> {
        Self::decode_segments(value, as4, false)
    }

    /// Reads the value of AS4_PATH, of which confederation segments are left out (RFC 6793 §6).
    ///
    /// # Errors
    /// What is wrong with the attribute.
    pub(crate) fn decode_as4(value: &[u8]) -> Result<Self, AttrErrorKind> {
        Self::decode_segments(value, true, true)
    }

    fn decode_segments(
        value: &[u8],
        as4: bool,
        skip_confederation: bool,
    ) -> Result<Self, AttrErrorKind> {
        let width = if as4 { 4 } else { 2 };
        let mut octets = SmallVec::with_capacity(value.len() * 4 / width);
        let mut cursor = Cursor::new(value, 0);
        while !cursor.is_empty() {
            let [kind, count] = cursor.array().ok_or(AttrErrorKind::Segment)?;
            let members = cursor.take(usize::from(count) * width).ok_or(AttrErrorKind::Segment)?;
            match kind {
                1 | 2 if count > 0 => {}
                3 | 4 if count > 0 && skip_confederation => continue,
                _ => return Err(AttrErrorKind::Segment),
            }
            octets.extend_from_slice(&[kind, count]);
            if as4 {
                octets.extend_from_slice(members);
            } else {
                chunks::<2>(members)
                    .for_each(|[high, low]| octets.extend_from_slice(&[0, 0, high, low]));
            }
        }
        let path = Self { octets };
        if path.contains(Asn::ZERO) {
            return Err(AttrErrorKind::Value);
        }
        Ok(path)
    }

    /// Whether the path has no segment.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The length that decisions compare: members of sequences, and one per set.
    #[must_use]
    pub fn hops(&self) -> usize {
        self.segments().map(|segment| segment.hops()).sum()
    }

    /// The segments, nearest first.
    #[must_use]
    pub fn segments(&self) -> Segments<'_> {
        Segments { cursor: Cursor::new(&self.octets, 0) }
    }

    /// All AS numbers, nearest first, those of sets among them.
    pub fn asns(&self) -> impl Iterator<Item = Asn> + '_ {
        self.segments().flat_map(|segment| segment.asns())
    }

    /// Whether the AS number is anywhere in the path.
    #[must_use]
    pub fn contains(&self, asn: Asn) -> bool {
        self.asns().any(|member| member == asn)
    }

    /// Whether there is a set in the path.
    #[must_use]
    pub fn has_set(&self) -> bool {
        self.segments().any(|segment| segment.kind == SegmentKind::Set)
    }

    /// The neighbour the path came from: the first member, if the path begins with a sequence.
    #[must_use]
    pub fn first_as(&self) -> Option<Asn> {
        let first = self.segments().next()?;
        (first.kind == SegmentKind::Sequence).then(|| first.asns().next())?
    }

    /// The AS that originated the prefix: the last member, if the path ends with a sequence.
    #[must_use]
    pub fn origin_as(&self) -> Option<Asn> {
        let last = self.segments().last()?;
        (last.kind == SegmentKind::Sequence).then(|| last.asns().last())?
    }

    /// The path with `asn` put in front `times` times (RFC 4271 §5.1.2): into the first segment
    /// if that is a sequence with room, else into new ones.
    #[must_use]
    pub fn prepend(&self, asn: Asn, times: u8) -> Self {
        let mut asns: SmallVec<[Asn; 16]> = SmallVec::from_elem(asn, usize::from(times));
        let mut rest = self.segments();
        if let Some(first) = self.segments().next().filter(|s| s.kind == SegmentKind::Sequence) {
            asns.extend(first.asns());
            rest.next();
        }
        let mut path = Self::default();
        path.push(SegmentKind::Sequence, &asns);
        path.octets.extend_from_slice(rest.cursor.rest());
        path
    }

    /// The path that AS_PATH (self) and AS4_PATH of a two-octet speaker mean together
    /// (RFC 6793 §4.2.3): the tail is that of AS4_PATH, the hops it lacks come from AS_PATH.
    pub(crate) fn merge_as4(&self, as4: &Self) -> Self {
        let Some(mut lacking) = self.hops().checked_sub(as4.hops()) else {
            return self.clone();
        };
        let mut joiner = Joiner::with_capacity(self.octets.len() + as4.octets.len());
        for segment in self.segments() {
            if lacking == 0 {
                break;
            }
            let members = match segment.kind {
                SegmentKind::Set => segment.octets.len(),
                SegmentKind::Sequence => segment.octets.len().min(lacking * 4),
            };
            lacking = lacking.saturating_sub(segment.hops());
            joiner.push(segment.kind, segment.octets.get(..members).unwrap_or_default());
        }
        as4.segments().for_each(|segment| joiner.push(segment.kind, segment.octets));
        Self { octets: joiner.octets }
    }

    /// How many AS numbers the path has, members of sets counted one by one.
    pub(crate) fn members(&self) -> usize {
        self.segments().map(|segment| segment.asns().len()).sum()
    }

    /// Whether an AS number needs four octets.
    pub(crate) fn has_four_octet(&self) -> bool {
        self.asns().any(Asn::is_four_octet)
    }

    /// The value of AS_PATH on a four-octet session, and of AS4_PATH.
    pub(crate) fn as_four_octets(&self) -> &[u8] {
        &self.octets
    }

    /// The value of AS_PATH on a two-octet session.
    pub(crate) fn to_two_octets(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.octets.len() / 2 + 2);
        for segment in self.segments() {
            let count = u8::try_from(segment.asns().len()).unwrap_or(u8::MAX);
            out.extend_from_slice(&[segment.kind.number(), count]);
            segment
                .asns()
                .for_each(|asn| out.extend_from_slice(&asn.to_two_octets().to_be_bytes()));
        }
        out
    }

    /// Appends segments of one kind; the first of them takes what does not fill a segment, so that
    /// there is room to prepend.
    fn push(&mut self, kind: SegmentKind, asns: &[Asn]) {
        let (head, tail) = asns.split_at(asns.len() % MAX_SEGMENT);
        for members in std::iter::once(head).chain(tail.chunks(MAX_SEGMENT)) {
            let Some(count) = u8::try_from(members.len()).ok().filter(|count| *count > 0) else {
                continue;
            };
            self.octets.extend_from_slice(&[kind.number(), count]);
            members.iter().for_each(|asn| self.octets.extend_from_slice(&asn.0.to_be_bytes()));
        }
    }
}

/// Puts segments together, neighbouring sequences into one where they fit.
struct Joiner {
    octets: SmallVec<[u8; 22]>,
    /// Where the last segment begins.
    last: usize,
}

impl Joiner {
    fn with_capacity(capacity: usize) -> Self {
        Self { octets: SmallVec::with_capacity(capacity), last: 0 }
    }

    /// Appends members in four-octet encoding; there are at most 255.
    fn push(&mut self, kind: SegmentKind, members: &[u8]) {
        let Ok(count) = u8::try_from(members.len() / 4) else { return };
        let joined = match self.octets.get_mut(self.last..) {
            Some([last_kind, last_count, ..])
                if kind == SegmentKind::Sequence && *last_kind == kind.number() =>
            {
                last_count.checked_add(count).map(|sum| *last_count = sum)
            }
            _ => None,
        };
        if joined.is_none() {
            self.last = self.octets.len();
            self.octets.extend_from_slice(&[kind.number(), count]);
        }
        self.octets.extend_from_slice(members);
    }
}

/// The segments of a path.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let [kind, count] = self.cursor.array()?;
        let octets = self.cursor.take(usize::from(count) * 4)?;
        let kind = if kind == 1 { SegmentKind::Set } else { SegmentKind::Sequence };
        Some(Segment { kind, octets })
    }
}

impl fmt::Display for AsPath {
    /// `65000 65001 {65002,65003}`; nothing for the empty path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.segments().enumerate() {
            let (open, separator, close) = match segment.kind {
                SegmentKind::Set => ("{", ",", "}"),
                SegmentKind::Sequence => ("", " ", ""),
            };
            f.write_str(if at == 0 { "" } else { " " })?;
            f.write_str(open)?;
            for (at, asn) in segment.asns().enumerate() {
                write!(f, "{}{asn}", if at == 0 { "" } else { separator })?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
