//! One stream of a capture as its bytes come: pcap or pcapng from a sender whom nobody vouches for.
//!
//! Promise: a frame is there as soon as its last byte is. What is kept between two pieces is less than one record, and
//! no record may be longer than [`MAX_RECORD`]. A stream that contradicts its format ends with a [`Damage`] after all
//! frames before it; it never panics. Pure: bytes in, frames out.

use thiserror::Error;

use crate::error::Starts;
use crate::format::{Format, Step};
use crate::input::Stamp;
use crate::{Flaw, FrameMeta, MAX_FRAMES, Precision};

/// A record of a live stream may be this long: twice the longest frame (256 KiB, libpcap's bound). Captures on disk may
/// have blocks of 16 MiB; here every sender could ask for that much memory.
pub const MAX_RECORD: usize = 512 << 10;

/// A pcapng stream may describe this many interfaces: 4096 of 48 bytes, 192 KiB for each sender.
const MAX_INTERFACES: usize = 4096;

/// So many bytes tell the format.
const MAGIC: usize = 4;

/// Why a stream is not read on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Damage {
    /// Its first bytes are of no format that is known.
    #[error("it is no capture: it starts with {0}")]
    NotACapture(Starts),
    /// It contradicts its format.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// A record or block longer than [`MAX_RECORD`].
    #[error("{what} of {len} bytes, more than the {MAX_RECORD} that a stream may have")]
    Long {
        /// What it is.
        what: &'static str,
        /// How long it says it is.
        len: usize,
    },
    /// More interfaces than a stream may describe.
    #[error("more than {MAX_INTERFACES} interfaces")]
    Interfaces,
}

/// How far a piece was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// The list of frames is full; there may be more in the piece.
    Full,
    /// What is left of the piece is no whole record.
    Rest,
}

/// A stream being read.
///
/// For every piece: put [`Incoming::rest`] in front of the new bytes, call [`Incoming::frames`] until it answers
/// [`Piece::Rest`], then [`Incoming::keep`] what it has left over.
#[derive(Default, Debug)]
pub struct Incoming {
    format: Option<Format>,
    rest: Vec<u8>,
}

impl Incoming {
    /// The beginning of a record whose end has not come yet.
    pub fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// Whether the format is known, and so the sender speaks it.
    pub const fn is_recognised(&self) -> bool {
        self.format.is_some()
    }

    /// Takes the frames out of `piece` from `at` on, and moves `at` behind them. Their offsets count from the start of
    /// `piece`, their numbers are 0.
    ///
    /// # Errors
    /// Where the stream cannot be read on; `at` is where the damage begins, and `frames` has all before it.
    pub fn frames(
        &mut self,
        piece: &[u8],
        at: &mut usize,
        frames: &mut Vec<FrameMeta>,
        (tap, precision): (u16, Precision),
    ) -> Result<Piece, Damage> {
        let first = piece.get(*at..).unwrap_or_default();
        let format = match &mut self.format {
            Some(format) => format,
            none => match Format::recognise(first) {
                Some(format) => none.insert(format),
                None if first.len() < MAGIC && may_be_magic(first) => return Ok(Piece::Rest),
                None => return Err(Damage::NotACapture(Starts::new(first))),
            },
        };
        while frames.len() < MAX_FRAMES {
            match format.next(piece.get(*at..).unwrap_or_default())? {
                Step::Frame(record) => {
                    frames.push(Stamp { tap, precision, sequence: 0 }.meta(&record, *at));
                    *at += record.used;
                }
                Step::Skip { .. } if format.interfaces() > MAX_INTERFACES => return Err(Damage::Interfaces),
                Step::Skip { used } => *at += used,
                Step::Need { total, what } if total > MAX_RECORD => {
                    return Err(Damage::Long { what, len: total });
                }
                Step::Need { .. } => return Ok(Piece::Rest),
            }
        }
        Ok(Piece::Full)
    }

    /// Keeps the beginning of a record until more of it comes.
    pub fn keep(&mut self, rest: &[u8]) {
        self.rest.clear();
        // After a long record the memory for it is given back.
        self.rest.shrink_to(rest.len().max(1 << 10));
        self.rest.extend_from_slice(rest);
    }
}

/// Whether a capture can begin with `first`: a sender that is none shall be known by its first byte, even if it sends no more.
fn may_be_magic(first: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 7] = [
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0xa1, 0xb2, 0xcd, 0x34],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    MAGICS.iter().any(|magic| magic.starts_with(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_wire::{LinkType, Time};

    use super::*;
    use crate::Endian;
    use crate::write::{PcapWriter, PcapngWriter};

    const AS: (u16, Precision) = (7, Precision::Nanos);

    fn pcap(lengths: &[usize]) -> Vec<u8> {
        let out = Vec::new();
        let mut writer = PcapWriter::new(out, LinkType::ETHERNET, Precision::Nanos, Endian::Little).unwrap();
        for (i, len) in lengths.iter().enumerate() {
            writer.frame(Time(i as i64), *len as u32, &vec![i as u8; *len]).unwrap();
        }
        writer.into_inner()
    }

    /// The bytes of all frames, fed in pieces of these lengths (the last is repeated), and how it ended.
    fn feed(stream: &[u8], lengths: &[usize]) -> (Vec<Vec<u8>>, Option<Damage>, usize) {
        let (mut incoming, mut got, mut left) = (Incoming::default(), Vec::new(), stream);
        let mut lengths = lengths.iter().copied();
        let mut len = 1;
        while !left.is_empty() {
            len = lengths.next().unwrap_or(len).clamp(1, left.len());
            let (now, later) = left.split_at(len);
            left = later;
            let piece = [incoming.rest(), now].concat();
            let mut at = 0;
            loop {
                let mut frames = Vec::new();
                let answer = incoming.frames(&piece, &mut at, &mut frames, AS);
                got.extend(frames.iter().map(|f| f.frame(&piece).data.to_vec()));
                assert!(frames.iter().all(|f| f.tap == 7 && f.sequence == 0));
                match answer {
                    Ok(Piece::Full) => {}
                    Ok(Piece::Rest) => break,
                    Err(damage) => return (got, Some(damage), 0),
                }
            }
            incoming.keep(&piece[at..]);
        }
        (got, None, incoming.rest().len())
    }

    #[test]
    fn a_frame_is_there_with_its_last_byte_and_not_held_for_the_next() {
        let stream = pcap(&[60, 60]);
        assert_eq!(feed(&stream[..24 + 76], &[usize::MAX]).0.len(), 1);
        assert_eq!(feed(&stream[..24 + 75], &[usize::MAX]).0.len(), 0);
        assert_eq!(feed(&stream, &[1]).0, [vec![0; 60], vec![1; 60]]);
    }

    #[test]
    fn what_is_no_capture_is_known_by_its_first_byte() {
        for garbage in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"\0", b"SSH-2.0-", b"\xd4\xc3\xb2\xa0"]
        {
            assert!(matches!(feed(garbage, &[1]).1, Some(Damage::NotACapture(_))), "{garbage:?}");
        }
        assert_eq!(feed(b"\xd4\xc3\xb2", &[1]), (vec![], None, 3));
    }

    #[test]
    fn a_record_that_says_it_is_endless_ends_the_stream_before_it_costs_memory() {
        let mut stream = Vec::new();
        let mut writer = PcapngWriter::new(&mut stream, Endian::Big).unwrap();
        writer.interface(LinkType::ETHERNET, Precision::Nanos).unwrap();
        stream.extend(0x0bad_u32.to_be_bytes());
        stream.extend((MAX_RECORD as u32 + 4).to_be_bytes());
        let damage = feed(&stream, &[usize::MAX]).1.unwrap();
        assert_eq!(damage, Damage::Long { what: "a pcapng block", len: MAX_RECORD + 4 });
        assert!(damage.to_string().starts_with("a pcapng block of 524292 bytes"), "{damage}");
    }

    #[test]
    fn interfaces_without_end_end_the_stream() {
        let mut stream = Vec::new();
        let mut writer = PcapngWriter::new(&mut stream, Endian::Little).unwrap();
        for _ in 0..=MAX_INTERFACES {
            writer.interface(LinkType::ETHERNET, Precision::Nanos).unwrap();
        }
        assert_eq!(feed(&stream, &[usize::MAX]).1, Some(Damage::Interfaces));
    }

    #[test]
    fn frames_before_the_damage_are_handed_over() {
        let mut stream = pcap(&[1, 2, 3]);
        stream.extend([0xff; 16]);
        let (frames, damage, _) = feed(&stream, &[usize::MAX]);
        assert_eq!(frames.len(), 3);
        assert!(matches!(damage, Some(Damage::Flaw(Flaw::FrameLength { .. }))));
    }

    proptest! {
        #[test]
        fn any_split_of_a_stream_gives_the_same_frames(
            lengths in prop::collection::vec(0usize..300, 0..20),
            cuts in prop::collection::vec(1usize..200, 1..20),
        ) {
            let stream = pcap(&lengths);
            let (frames, damage, rest) = feed(&stream, &cuts);
            prop_assert_eq!((damage, rest), (None, 0));
            let want: Vec<_> = lengths.iter().enumerate().map(|(i, len)| vec![i as u8; *len]).collect();
            prop_assert_eq!(frames, want);
        }

        #[test]
        fn any_bytes_behind_a_good_header_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..50) {
            let stream = [pcap(&[]), bytes].concat();
            let whole = feed(&stream, &[usize::MAX]);
            prop_assert_eq!(feed(&stream, &[cut]), whole);
        }
    }
}
