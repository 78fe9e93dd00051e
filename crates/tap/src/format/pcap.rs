//! pcap: one header, then records of one link type.
//!
//! Promise: every variant that libpcap reads on Linux is read the same: microseconds and nanoseconds, both byte
//! orders, the longer records of Kuznetzov's patch, and the exchanged lengths of old versions.
//!
//! ```text
//! file:   magic u32 | major u16 | minor u16 | zone u32 | sigfigs u32 | snaplen u32 | link u32
//! record: seconds u32 | fraction u32 | captured length u32 | wire length u32 | [ifindex, protocol, type: 8] | bytes
//! ```
//!
//! Source: draft-ietf-opsawg-pcap; libpcap `sf-pcap.c` for the variants.

use weir_wire::capture::pcap::{MAGIC_MICROS, MAGIC_NANOS};
use weir_wire::{LinkType, Time};

use super::{Endian, Record, Step, link_type, max_frame};
use crate::Flaw;

/// The magic number of a capture with Kuznetzov's record headers.
const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const MODIFIED_RECORD_HEADER: usize = 24;

/// A pcap capture.
#[derive(Debug)]
pub(crate) struct Pcap {
    endian: Endian,
    /// Nanoseconds in one unit of a record's fraction.
    unit: i64,
    record_header: usize,
    /// What the file header says; `None` until it has been read.
    header: Option<Header>,
}

#[derive(Clone, Copy, Debug)]
struct Header {
    link: LinkType,
    snaplen: u32,
    lengths: Lengths,
}

/// The order of the two lengths in a record.
#[derive(Clone, Copy, Debug)]
enum Lengths {
    /// Captured, then wire.
    Straight,
    /// Wire, then captured: before version 2.3, and in DG/UX's tcpdump.
    Exchanged,
    /// Version 2.3: programs disagreed, so the smaller is the captured length.
    Unsure,
}

impl Pcap {
    /// The variant that begins with `magic`.
    pub fn recognise(magic: [u8; 4]) -> Option<Self> {
        let (endian, number) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (n @ (MAGIC_MICROS | MAGIC_NANOS | MAGIC_MODIFIED), _) => (Endian::Little, n),
            (_, n @ (MAGIC_MICROS | MAGIC_NANOS | MAGIC_MODIFIED)) => (Endian::Big, n),
            _ => return None,
        };
        let unit = if number == MAGIC_NANOS { 1 } else { 1000 };
        let record_header = if number == MAGIC_MODIFIED { MODIFIED_RECORD_HEADER } else { RECORD_HEADER };
        Some(Self { endian, unit, record_header, header: None })
    }

    /// What `bytes` begin with.
    #[inline]
    pub fn next(&mut self, bytes: &[u8]) -> Result<Step, Flaw> {
        let Some(header) = self.header else {
            return self.file_header(bytes);
        };
        let word = |at| self.endian.u32(bytes, at);
        let (Some(seconds), Some(fraction), Some(first), Some(second), true) =
            (word(0), word(4), word(8), word(12), bytes.len() >= self.record_header)
        else {
            return Ok(Step::Need { total: self.record_header, what: "a pcap record header" });
        };
        let (captured, wire_len) = header.lengths.sort(first, second);
        let max = max_frame(header.link);
        if captured > max {
            return Err(Flaw::FrameLength { len: captured, max });
        }
        let used = self.record_header + captured as usize;
        if bytes.len() < used {
            return Ok(Step::Need { total: used, what: "a pcap record" });
        }
        let len = captured.min(header.snaplen);
        let time = Time::from_parts(i64::from(seconds), i64::from(fraction) * self.unit);
        let wire_len = wire_len.max(captured);
        Ok(Step::Frame(Record { used, start: self.record_header, len, wire_len, time, link: header.link }))
    }

    fn file_header(&mut self, bytes: &[u8]) -> Result<Step, Flaw> {
        let (half, word) = (|at| self.endian.u16(bytes, at), |at| self.endian.u32(bytes, at));
        let (Some(major), Some(minor), Some(snaplen), Some(link)) = (half(4), half(6), word(16), word(20))
        else {
            return Ok(Step::Need { total: FILE_HEADER, what: "the pcap file header" });
        };
        let lengths = match (major, minor) {
            (2, 0..=2) | (543, 0) => Lengths::Exchanged,
            (2, 3) => Lengths::Unsure,
            (2, 4) => Lengths::Straight,
            _ => return Err(Flaw::Version { format: "pcap", major, minor }),
        };
        // Zero, or a "negative" number, says that nobody knows.
        let snaplen = if snaplen == 0 || i32::try_from(snaplen).is_err() { u32::MAX } else { snaplen };
        self.header = Some(Header { link: link_type(link), snaplen, lengths });
        Ok(Step::Skip { used: FILE_HEADER })
    }
}

impl Lengths {
    /// The captured length and the wire length.
    const fn sort(self, first: u32, second: u32) -> (u32, u32) {
        match self {
            Self::Exchanged => (second, first),
            Self::Unsure if first > second => (second, first),
            Self::Straight | Self::Unsure => (first, second),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: (u16, u16), snaplen: u32, magic: u32) -> Vec<u8> {
        let mut out = magic.to_be_bytes().to_vec();
        out.extend(version.0.to_be_bytes());
        out.extend(version.1.to_be_bytes());
        out.extend([0; 8]);
        out.extend(snaplen.to_be_bytes());
        out.extend(1u32.to_be_bytes());
        out
    }

    fn record(words: [u32; 4], rest: &[u8]) -> Vec<u8> {
        words.into_iter().flat_map(u32::to_be_bytes).chain(rest.iter().copied()).collect()
    }

    fn one(file: &[u8], record: &[u8]) -> Result<Step, Flaw> {
        let mut pcap = Pcap::recognise(*file.first_chunk().unwrap()).unwrap();
        assert_eq!(pcap.next(file)?, Step::Skip { used: FILE_HEADER });
        pcap.next(record)
    }

    fn frame(step: Step) -> Record {
        match step {
            Step::Frame(record) => record,
            other @ (Step::Need { .. } | Step::Skip { .. }) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fraction_of_more_than_a_second_is_carried() {
        let r = record([10, 2_500_000, 0, 0], &[]);
        assert_eq!(frame(one(&file((2, 4), 0, MAGIC_MICROS), &r).unwrap()).time, Time(12_500_000_000));
        let r = record([u32::MAX, u32::MAX, 0, 0], &[]);
        let time = frame(one(&file((2, 4), 0, MAGIC_NANOS), &r).unwrap()).time;
        assert_eq!(time, Time(4_294_967_295_000_000_000 + 4_294_967_295));
    }

    #[test]
    fn a_wire_length_below_the_captured_length_is_repaired() {
        let got = frame(one(&file((2, 4), 0, MAGIC_MICROS), &record([0, 0, 4, 1], &[0; 4])).unwrap());
        assert_eq!((got.len, got.wire_len), (4, 4));
    }

    #[test]
    fn bytes_beyond_the_snapshot_length_are_left_out() {
        let got = frame(one(&file((2, 4), 3, MAGIC_MICROS), &record([0, 0, 4, 9], &[0; 4])).unwrap());
        assert_eq!((got.len, got.wire_len, got.used), (3, 9, 20));
    }

    #[test]
    fn old_versions_have_their_lengths_exchanged() {
        let r = record([0, 0, 9, 4], &[0; 4]);
        for version in [(2, 2), (2, 3), (543, 0)] {
            let got = frame(one(&file(version, 0, MAGIC_MICROS), &r).unwrap());
            assert_eq!((got.len, got.wire_len), (4, 9));
        }
        let flaw = one(&file((3, 0), 0, MAGIC_MICROS), &r).unwrap_err();
        assert_eq!(flaw, Flaw::Version { format: "pcap", major: 3, minor: 0 });
    }

    #[test]
    fn the_longer_records_of_the_modified_format_are_read() {
        let r = record([1, 2, 3, 3], &[0, 0, 0, 7, 8, 0, 0, 0, 1, 2, 3]);
        let got = frame(one(&file((2, 4), 0, MAGIC_MODIFIED), &r).unwrap());
        assert_eq!((got.start, got.len, got.used), (24, 3, 27));
        let short = one(&file((2, 4), 0, MAGIC_MODIFIED), &r[..20]).unwrap();
        assert_eq!(short, Step::Need { total: 24, what: "a pcap record header" });
    }

    #[test]
    fn a_frame_longer_than_any_is_damage_not_a_request_for_memory() {
        let r = record([0, 0, 262_145, 0], &[]);
        let flaw = one(&file((2, 4), 0, MAGIC_MICROS), &r).unwrap_err();
        assert_eq!(flaw, Flaw::FrameLength { len: 262_145, max: 262_144 });
    }
}
