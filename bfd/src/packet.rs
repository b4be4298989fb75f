// SPDX-License-Identifier: MIT OR Apache-2.0
//! Control packets (RFC 5880 §4.1).
//!
//! ```text
//!  0                   1                   2                   3
//! |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
//! |                       My Discriminator                        |
//! |                      Your Discriminator                       |
//! |                    Desired Min TX Interval                    |
//! |                   Required Min RX Interval                    |
//! |                 Required Min Echo RX Interval                 |
//! ```

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

/// Octets of a control packet without authentication section.
pub const PACKET_LEN: usize = 24;
/// Least length of one with it.
const AUTHENTICATED_LEN: usize = 26;
const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const INDEPENDENT: u8 = 0x08;
const AUTHENTICATED: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The number by which one system tells its sessions apart; never zero.
pub type Discriminator = NonZeroU32;

/// State of a session (RFC 5880 §6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Held down by an operator; not a failure of the path.
    AdminDown,
    /// Nothing is heard of the other side, or it says that it hears nothing of us.
    Down,
    /// The other side is heard; whether it hears us is not known.
    Init,
    /// Both sides hear each other.
    Up,
}

impl State {
    /// Name as it appears in JSON, logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AdminDown => "adminDown",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }

    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a session last changed its state: five bits, of which some have a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to tell.
    pub const NONE: Self = Self(0);
    /// Nothing was heard for the detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    /// The other side said Down.
    pub const NEIGHBOR_SIGNALED: Self = Self(3);
    /// An operator, or the end of the session.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);

    /// From its number; what does not fit five bits is cut off.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x1f)
    }

    /// Its number.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Name as it appears in JSON, logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self.0 {
            0 => "noDiagnostic",
            1 => "controlDetectionTimeExpired",
            2 => "echoFunctionFailed",
            3 => "neighborSignaledSessionDown",
            4 => "forwardingPlaneReset",
            5 => "pathDown",
            6 => "concatenatedPathDown",
            7 => "administrativelyDown",
            8 => "reverseConcatenatedPathDown",
            _ => "unknown",
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A time between packets, in whole microseconds as on the wire; 71 minutes at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval(u32);

impl Interval {
    /// From microseconds.
    #[must_use]
    pub const fn from_micros(micros: u32) -> Self {
        Self(micros)
    }

    /// From milliseconds; what does not fit becomes the longest there is.
    #[must_use]
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// In microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u32 {
        self.0
    }

    /// As a duration.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_micros(self.0 as u64)
    }

    /// Whether it is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl TryFrom<Duration> for Interval {
    type Error = std::num::TryFromIntError;

    fn try_from(duration: Duration) -> Result<Self, Self::Error> {
        u32::try_from(duration.as_micros()).map(Self)
    }
}

/// A control packet without authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session last changed its state.
    pub diagnostic: Diagnostic,
    /// State of the sender's session.
    pub state: State,
    /// The sender wants an answer with the Final bit.
    pub poll: bool,
    /// The sender answers a Poll.
    pub is_final: bool,
    /// The sender's BFD does not share the fate of its control plane (C bit).
    pub independent: bool,
    /// The sender asks for no periodic packets while both are Up.
    pub demand: bool,
    /// How many intervals without a packet the sender's packets allow.
    pub multiplier: NonZeroU8,
    /// The sender's number of the session.
    pub my_discriminator: Discriminator,
    /// The receiver's number of the session, once the sender knows it.
    pub your_discriminator: Option<Discriminator>,
    /// How often the sender would like to send.
    pub desired_min_tx: Interval,
    /// How often the sender can receive; zero for never.
    pub required_min_rx: Interval,
    /// How often the sender can receive echo packets; zero for never.
    pub required_min_echo_rx: Interval,
}

/// Why octets are no packet for us, in the order in which RFC 5880 §6.8.6 looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Discard {
    /// RFC 5881 §5: the packet was forwarded, so it did not come from a neighbour.
    #[error("ttl is not 255")]
    Ttl,
    /// Version is not 1.
    #[error("version is not 1")]
    Version,
    /// The length field is less than a packet has.
    #[error("length field too small")]
    TooShort,
    /// The length field is more than was received.
    #[error("length field exceeds the datagram")]
    Truncated,
    /// Detect Mult is zero.
    #[error("detection multiplier is zero")]
    ZeroMultiplier,
    /// The reserved Multipoint bit is set.
    #[error("multipoint bit is set")]
    Multipoint,
    /// My Discriminator is zero.
    #[error("my discriminator is zero")]
    ZeroDiscriminator,
    /// Your Discriminator is zero in a state that needs one.
    #[error("your discriminator is zero in a session that is not down")]
    NoDiscriminator,
    /// There is no such session.
    #[error("no such session")]
    UnknownSession,
    /// The packet carries authentication and no session of ours uses it.
    #[error("authentication is not in use")]
    Authenticated,
}

impl Discard {
    /// Every reason.
    pub const ALL: [Self; 10] = [
        Self::Ttl,
        Self::Version,
        Self::TooShort,
        Self::Truncated,
        Self::ZeroMultiplier,
        Self::Multipoint,
        Self::ZeroDiscriminator,
        Self::NoDiscriminator,
        Self::UnknownSession,
        Self::Authenticated,
    ];

    /// Name as it appears in JSON, logs and metric labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ttl => "ttl",
            Self::Version => "version",
            Self::TooShort => "tooShort",
            Self::Truncated => "truncated",
            Self::ZeroMultiplier => "zeroMultiplier",
            Self::Multipoint => "multipoint",
            Self::ZeroDiscriminator => "zeroDiscriminator",
            Self::NoDiscriminator => "noDiscriminator",
            Self::UnknownSession => "unknownSession",
            Self::Authenticated => "authenticated",
        }
    }
}

impl Packet {
    /// Reads the payload of a datagram; what lies behind the packet's own length is ignored.
    ///
    /// # Errors
    /// The first check of RFC 5880 §6.8.6 that fails. Authentication is looked at last and not
    /// after the session was found: none of ours uses it, so the outcome is the same.
    pub fn decode(octets: &[u8]) -> Result<Self, Discard> {
        let [first, flags, multiplier, length] = take(octets, 0)?;
        if first >> 5 != VERSION {
            return Err(Discard::Version);
        }
        let is_authenticated = flags & AUTHENTICATED != 0;
        let least = if is_authenticated { AUTHENTICATED_LEN } else { PACKET_LEN };
        if usize::from(length) < least {
            return Err(Discard::TooShort);
        }
        if usize::from(length) > octets.len() {
            return Err(Discard::Truncated);
        }
        let multiplier = NonZeroU8::new(multiplier).ok_or(Discard::ZeroMultiplier)?;
        if flags & MULTIPOINT != 0 {
            return Err(Discard::Multipoint);
        }
        let my_discriminator = word(octets, 4)?;
        let my_discriminator =
            NonZeroU32::new(my_discriminator).ok_or(Discard::ZeroDiscriminator)?;
        let your_discriminator = NonZeroU32::new(word(octets, 8)?);
        let state = State::from_bits(flags >> 6);
        let may_lack = matches!(state, State::Down | State::AdminDown);
        if your_discriminator.is_none() && !may_lack {
            return Err(Discard::NoDiscriminator);
        }
        if is_authenticated {
            return Err(Discard::Authenticated);
        }
        Ok(Self {
            diagnostic: Diagnostic::from_bits(first),
            state,
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            independent: flags & INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier,
            my_discriminator,
            your_discriminator,
            desired_min_tx: Interval(word(octets, 12)?),
            required_min_rx: Interval(word(octets, 16)?),
            required_min_echo_rx: Interval(word(octets, 20)?),
        })
    }

    /// Writes the payload of a datagram.
    #[must_use]
    pub fn encode(&self) -> [u8; PACKET_LEN] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = self.state.bits() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.independent, INDEPENDENT)
            | flag(self.demand, DEMAND);
        let head = [VERSION << 5 | self.diagnostic.0, flags, self.multiplier.get(), 24];
        let words = [
            self.my_discriminator.get(),
            self.your_discriminator.map_or(0, NonZeroU32::get),
            self.desired_min_tx.0,
            self.required_min_rx.0,
            self.required_min_echo_rx.0,
        ];
        let mut octets = [0; PACKET_LEN];
        let fields = std::iter::once(head).chain(words.map(u32::to_be_bytes));
        for (place, field) in octets.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field);
        }
        octets
    }
}

fn take(octets: &[u8], at: usize) -> Result<[u8; 4], Discard> {
    octets.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Discard::TooShort)
}

fn word(octets: &[u8], at: usize) -> Result<u32, Discard> {
    take(octets, at).map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured fields of RFC 5880 §4.1 put together by hand.
    const UP: [u8; 24] =
        [0x20, 0xc8, 3, 24, 0, 0, 0, 5, 0, 0, 0, 9, 0, 4, 0x93, 0xe0, 0, 4, 0x93, 0xe0, 0, 0, 0, 0];

    #[test]
    fn the_fields_are_where_the_rfc_has_them() {
        let packet = Packet::decode(&UP).unwrap();
        let ms300 = Interval::from_millis(300);
        assert_eq!((packet.state, packet.diagnostic), (State::Up, Diagnostic::NONE));
        assert_eq!((packet.multiplier.get(), packet.my_discriminator.get()), (3, 5));
        assert_eq!(packet.your_discriminator.map(NonZeroU32::get), Some(9));
        assert_eq!((packet.desired_min_tx, packet.required_min_rx), (ms300, ms300));
        assert!(packet.independent && !packet.poll && !packet.is_final && !packet.demand);
        assert_eq!(packet.encode(), UP);
    }

    #[test]
    fn the_first_failing_check_is_the_reason() {
        let with = |changes: &[(usize, u8)]| {
            let mut octets = UP;
            for (at, octet) in changes {
                octets[*at] = *octet;
            }
            Packet::decode(&octets).unwrap_err()
        };
        // Each line breaks one more thing, from the last check to the first.
        assert_eq!(with(&[(1, 0xcc), (3, 26)]), Discard::Truncated);
        assert_eq!(with(&[(11, 0)]), Discard::NoDiscriminator);
        assert_eq!(with(&[(11, 0), (7, 0)]), Discard::ZeroDiscriminator);
        assert_eq!(with(&[(11, 0), (7, 0), (1, 0xc9)]), Discard::Multipoint);
        assert_eq!(with(&[(7, 0), (1, 0xc9), (2, 0)]), Discard::ZeroMultiplier);
        assert_eq!(with(&[(1, 0xc9), (2, 0), (3, 25)]), Discard::Truncated);
        assert_eq!(with(&[(1, 0xc9), (2, 0), (3, 23)]), Discard::TooShort);
        assert_eq!(with(&[(1, 0xcd), (2, 0), (3, 25)]), Discard::TooShort);
        assert_eq!(with(&[(1, 0xc9), (2, 0), (3, 23), (0, 0x40)]), Discard::Version);
    }

    #[test]
    fn authentication_is_refused_and_a_tail_is_ignored() {
        let mut octets = [0; 30];
        octets[..24].copy_from_slice(&UP);
        assert!(Packet::decode(&octets).is_ok());
        octets[1] |= AUTHENTICATED;
        octets[3] = 28;
        assert_eq!(Packet::decode(&octets), Err(Discard::Authenticated));
    }

    #[test]
    fn a_session_that_is_down_may_not_know_us_yet() {
        for (flags, known) in [(0x40, true), (0x00, true), (0x80, false), (0xc0, false)] {
            let mut octets = UP;
            octets[1] = flags;
            octets[11] = 0;
            assert_eq!(Packet::decode(&octets).is_ok(), known, "{flags:#x}");
        }
    }

    #[test]
    fn every_beginning_of_a_packet_is_refused() {
        for len in 0..24 {
            let refused = Packet::decode(&UP[..len]).unwrap_err();
            assert!(matches!(refused, Discard::TooShort | Discard::Truncated), "{len}");
        }
    }
}
