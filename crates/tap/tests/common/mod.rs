//! Builders and readers for the tests of captures.

use std::io::Write;

use proptest::prelude::*;
use weir_tap::write::{PcapWriter, PcapngWriter};
use weir_tap::{Captures, Endian, FrameBatch, Options, Precision, Source, TapError};
use weir_wire::{LinkType, Time};

/// A frame to write, or one that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    pub time: Time,
    pub wire_len: u32,
    pub data: Vec<u8>,
}

impl Sample {
    pub fn in_precision(mut self, precision: Precision) -> Self {
        if precision == Precision::Micros {
            self.time.0 -= self.time.0 % 1000;
        }
        self
    }
}

/// What was read, and the error at which it ended.
pub struct Got {
    pub frames: Vec<Sample>,
    pub error: Option<TapError>,
}

pub fn sample_strategy() -> impl Strategy<Value = Vec<Sample>> {
    let time = 0i64..4_294_967_295_000_000_000;
    let sample = (time, 0u32..100, prop::collection::vec(any::<u8>(), 0..100))
        .prop_map(|(time, more, data)| Sample { time: Time(time), wire_len: data.len() as u32 + more, data });
    prop::collection::vec(sample, 0..20)
}

/// `n` frames of different lengths that do not compress to nothing.
pub fn samples(n: usize) -> Vec<Sample> {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let sample = |i| {
        let data: Vec<u8> = (0..random() % 200).map(|_| random() as u8).collect();
        Sample { time: Time(1_000_000_007 * i as i64), wire_len: data.len() as u32, data }
    };
    (0..n).map(sample).collect()
}

pub fn pcap(frames: &[Sample], precision: Precision, endian: Endian) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, precision, endian).unwrap();
    for f in frames {
        writer.frame(f.time, f.wire_len, &f.data).unwrap();
    }
    writer.into_inner()
}

pub fn pcapng(frames: &[Sample], precision: Precision, endian: Endian) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new(), endian).unwrap();
    let id = writer.interface(LinkType::ETHERNET, precision).unwrap();
    for f in frames {
        writer.frame(id, f.time, f.wire_len, &f.data).unwrap();
    }
    writer.into_inner()
}

/// Whether a cut falls between the section header and the interface description of a capture made by [`pcapng`].
pub fn between_headers(whole: &[u8], cut: usize) -> bool {
    whole.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]) && cut == 28
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub fn captures(sources: Vec<Source>) -> Captures {
    Captures::open(sources, Options { tap: 0, precision: Precision::Nanos }).unwrap()
}

pub fn read(sources: Vec<Source>) -> Got {
    match Captures::open(sources, Options { tap: 0, precision: Precision::Nanos }) {
        Ok(mut captures) => drain(&mut captures),
        Err(error) => Got { frames: Vec::new(), error: Some(error) },
    }
}

/// Reads to the end or the first error.
pub fn drain(captures: &mut Captures) -> Got {
    let (mut batch, mut frames) = (FrameBatch::default(), Vec::new());
    loop {
        match captures.next_batch(&mut batch) {
            Ok(true) => frames.extend(batch.iter().map(|f| Sample {
                time: f.time,
                wire_len: f.wire_len,
                data: f.data.to_vec(),
            })),
            Ok(false) => return Got { frames, error: None },
            Err(error) => {
                assert!(batch.is_empty());
                return Got { frames, error: Some(error) };
            }
        }
    }
}
