//! Bytes to packets and frames, borrowed.
//!
//! Promise: every read is checked and moves forward. Source: RFC 9000, 12, 17 and 19; RFC 9369 for version 2; Zeek's
//! src/analyzer/protocol/quic/QUIC.spicy for what is tolerated.

/// QUIC version 1.
pub const V1: u32 = 1;
/// QUIC version 2.
pub const V2: u32 = 0x6b33_43cf;

/// The draft that a version number stands for, those of mvfst among them.
pub const fn draft(version: u32) -> Option<u8> {
    match version {
        0xff00_0016..=0xff00_0022 => Some(version as u8),
        0xface_b001 => Some(22),
        0xface_b002 | 0xface_b00e | 0xface_b011..=0xface_b013 => Some(27),
        _ => None,
    }
}

/// A version whose packets are understood.
const fn is_known(version: u32) -> bool {
    matches!(version, V1 | V2) || draft(version).is_some()
}

/// A packet that ends before it should, or that means nothing known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

type Result<T> = std::result::Result<T, Malformed>;

/// The kind of a packet with a long header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Initial; its packet number begins so many bytes into the packet.
    Initial {
        /// Where in [`Long::whole`] that is.
        number_at: usize,
    },
    /// 0-RTT.
    ZeroRtt,
    /// Handshake.
    Handshake,
    /// Retry.
    Retry,
    /// Of a version that is not known.
    Unknown,
}

/// A packet with a long header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Long<'a> {
    /// All of it.
    pub whole: &'a [u8],
    /// Its version.
    pub version: u32,
    /// The connection id of its receiver.
    pub destination: &'a [u8],
    /// The connection id of its sender.
    pub source: &'a [u8],
    /// What it is.
    pub kind: Kind,
}

/// A packet of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// With a long header.
    Long(Long<'a>),
    /// With a short one; takes the rest of the datagram.
    Short,
    /// Neither; takes the rest of the datagram.
    Discarded,
}

impl<'a> Packet<'a> {
    /// The packet at the start of `datagram`; a connection id in a short header has `id_len` bytes.
    pub fn parse(datagram: &'a [u8], id_len: usize) -> Result<(Self, &'a [u8])> {
        let first = *datagram.first().ok_or(Malformed)?;
        if first & 0x40 == 0 {
            return Ok((Self::Discarded, &[]));
        }
        if first & 0x80 == 0 {
            return if datagram.len() > id_len { Ok((Self::Short, &[])) } else { Err(Malformed) };
        }
        let (long, rest) = Long::parse(datagram, first)?;
        Ok((Self::Long(long), rest))
    }
}

impl<'a> Long<'a> {
    fn parse(datagram: &'a [u8], first: u8) -> Result<(Self, &'a [u8])> {
        const INITIAL: u8 = 0;
        const ZERO_RTT: u8 = 1;
        const HANDSHAKE: u8 = 2;
        let mut r = Reader(datagram);
        let [_, v0, v1, v2, v3] = r.array()?;
        let version = u32::from_be_bytes([v0, v1, v2, v3]);
        let destination = r.id()?;
        let source = r.id()?;
        let long = |whole, kind| Self { whole, version, destination, source, kind };
        if !is_known(version) {
            return Ok((long(datagram, Kind::Unknown), &[]));
        }
        let number = first >> 4 & 3;
        let number = if version == V2 { number.wrapping_sub(1) & 3 } else { number };
        if number == INITIAL {
            let token = r.number()?;
            r.take(token)?;
        }
        let kind = match number {
            INITIAL | ZERO_RTT | HANDSHAKE => {
                let length = r.number()?;
                let number_at = datagram.len() - r.0.len();
                r.take(length)?;
                match number {
                    INITIAL if length < super::crypt::MIN_PAYLOAD as u64 => return Err(Malformed),
                    INITIAL => Kind::Initial { number_at },
                    ZERO_RTT => Kind::ZeroRtt,
                    _ => Kind::Handshake,
                }
            }
            // Its tag for integrity has sixteen bytes.
            _ if r.0.len() < 16 => return Err(Malformed),
            _ => {
                r.0 = &[];
                Kind::Retry
            }
        };
        let whole = datagram.get(..datagram.len() - r.0.len()).ok_or(Malformed)?;
        Ok((long(whole, kind), r.0))
    }
}

/// A frame, as far as it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// A piece of the handshake at an offset.
    Crypto(u64, &'a [u8]),
    /// The sender closes the connection.
    Close,
    /// Padding, pings and acknowledgments.
    Other,
}

/// The frames of an Initial packet; the first that is malformed ends them.
pub struct Frames<'a>(Reader<'a>);

impl<'a> Frames<'a> {
    /// The frames in `plain`.
    pub const fn new(plain: &'a [u8]) -> Self {
        Self(Reader(plain))
    }

    fn parse(&mut self) -> Result<Frame<'a>> {
        const PADDING: u8 = 0;
        const PING: u8 = 1;
        const ACK: u8 = 2;
        const ACK_ECN: u8 = 3;
        const CRYPTO: u8 = 6;
        const CLOSE: u8 = 0x1c;
        let r = &mut self.0;
        let [kind] = r.array()?;
        match kind {
            PADDING => {
                let zeros = r.0.iter().take_while(|byte| **byte == 0).count();
                r.take(zeros as u64)?;
            }
            PING => {}
            ACK | ACK_ECN => {
                r.number()?;
                r.number()?;
                let ranges = r.number()?;
                r.number()?;
                // A range takes two bytes or more, so this ends with the packet.
                for _ in 0..ranges {
                    r.number()?;
                    r.number()?;
                }
                for _ in 0..if kind == ACK_ECN { 3 } else { 0 } {
                    r.number()?;
                }
            }
            CRYPTO => {
                let offset = r.number()?;
                let length = r.number()?;
                return Ok(Frame::Crypto(offset, r.take(length)?));
            }
            CLOSE => {
                r.number()?;
                r.number()?;
                let length = r.number()?;
                r.take(length)?;
                return Ok(Frame::Close);
            }
            _ => return Err(Malformed),
        }
        Ok(Frame::Other)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let frame = self.parse();
        if frame.is_err() {
            self.0.0 = &[];
        }
        Some(frame)
    }
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8]> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn id(&mut self) -> Result<&'a [u8]> {
        let [length] = self.array()?;
        self.take(u64::from(length))
    }

    /// A variable-length integer (RFC 9000, 16).
    fn number(&mut self) -> Result<u64> {
        let [first] = self.array()?;
        let more = self.take((1 << (first >> 6)) - 1)?;
        Ok(more.iter().fold(u64::from(first & 0x3f), |n, byte| n << 8 | u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn initial(version: u32, first: u8) -> Vec<u8> {
        let mut bytes = vec![first];
        bytes.extend(version.to_be_bytes());
        bytes.extend([2, 7, 8, 1, 9]);
        // A token of one byte, then twenty bytes of packet.
        bytes.extend([1, 0xaa, 20]);
        bytes.extend([0; 20]);
        bytes
    }

    #[test]
    fn an_initial_packet_tells_its_ids_and_where_its_number_is() {
        for (version, first) in [(V1, 0xc0), (V2, 0xd0), (0xff00_001d, 0xc0)] {
            let mut bytes = initial(version, first);
            bytes.push(0x40);
            let (Packet::Long(long), rest) = Packet::parse(&bytes, 0).unwrap() else { panic!() };
            assert_eq!((long.destination, long.source), (&[7, 8][..], &[9][..]));
            assert_eq!((long.kind, rest), (Kind::Initial { number_at: 13 }, &[0x40][..]));
            assert_eq!(Packet::parse(rest, 0), Ok((Packet::Short, &[][..])));
            assert_eq!(Packet::parse(rest, 1), Err(Malformed));
        }
    }

    #[test]
    fn a_cut_packet_is_malformed() {
        let bytes = initial(V1, 0xc0);
        for cut in 0..bytes.len() {
            assert_eq!(Packet::parse(&bytes[..cut], 0), Err(Malformed), "{cut}");
        }
    }

    #[test]
    fn another_version_takes_the_datagram() {
        let bytes = initial(0, 0xc0);
        let (Packet::Long(long), rest) = Packet::parse(&bytes, 0).unwrap() else { panic!() };
        assert_eq!((long.kind, rest), (Kind::Unknown, &[][..]));
    }

    #[test]
    fn frames_are_told_until_one_is_malformed() {
        let plain = [0, 0, 1, 2, 9, 0, 1, 0, 5, 5, 6, 0x40, 3, 2, b'a', b'b', 0x1c, 7, 0, 1, b'x', 9];
        let all: Vec<_> = Frames::new(&plain).collect();
        assert_eq!(all.len(), 6);
        assert_eq!(all[3..], [Ok(Frame::Crypto(3, b"ab")), Ok(Frame::Close), Err(Malformed)]);
    }
}
