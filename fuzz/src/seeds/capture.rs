//! Seeds of the capture reader: every format, order and compression.

use std::io::Write;

use weir_tap::write::{PcapWriter, PcapngWriter};
use weir_tap::{Endian, Precision};
use weir_wire::{LinkType, Time};

use super::Seed;

const FRAMES: [&[u8]; 3] = [b"\x45\0\0\x14", b"", b"a longer frame, with bytes that are not aligned"];

fn pcap(precision: Precision, endian: Endian) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, precision, endian).unwrap();
    for (i, frame) in FRAMES.iter().enumerate() {
        writer.frame(Time(1_700_000_000_123_456_789 + i as i64), 100, frame).unwrap();
    }
    writer.into_inner()
}

fn pcapng(endian: Endian) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new(), endian).unwrap();
    for (link, precision) in [(LinkType::ETHERNET, Precision::Micros), (LinkType::RAW, Precision::Nanos)] {
        let id = writer.interface(link, precision).unwrap();
        for (i, frame) in FRAMES.iter().enumerate() {
            writer.frame(id, Time(1_700_000_000_123_456_789 + i as i64), 100, frame).unwrap();
        }
    }
    // A simple packet, an obsolete packet, and interface statistics, which are passed over.
    let word = |n: u32| match endian {
        Endian::Little => n.to_le_bytes(),
        Endian::Big => n.to_be_bytes(),
    };
    writer.block(3, &[&word(7)[..], b"simple!"].concat()).unwrap();
    writer.block(2, &[&word(0)[..], &word(1), &word(2), &word(3), &word(3), b"old"].concat()).unwrap();
    writer.block(5, &[0; 16]).unwrap();
    writer.into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The first byte says how slowly the stream comes.
pub fn seeds() -> Vec<Seed> {
    let little = pcap(Precision::Micros, Endian::Little);
    let mut modified = little.clone();
    modified.splice(..4, 0xa1b2_cd34u32.to_le_bytes());
    let mut old = little.clone();
    old.splice(6..8, [2, 0]);
    let sections = [pcapng(Endian::Little), pcapng(Endian::Big)].concat();
    let seeds = vec![
        ("pcap_micros_big", pcap(Precision::Micros, Endian::Big)),
        ("pcap_nanos_little", pcap(Precision::Nanos, Endian::Little)),
        ("pcap_nanos_big", pcap(Precision::Nanos, Endian::Big)),
        ("pcap_modified", modified),
        ("pcap_version_2_2", old),
        ("pcap_gzip", gzip(&little)),
        ("pcap_zstd", zstd::bulk::compress(&little, 3).unwrap()),
        ("pcapng_little", pcapng(Endian::Little)),
        ("pcapng_big", pcapng(Endian::Big)),
        ("pcapng_two_sections_gzip", gzip(&sections)),
        ("pcapng_two_sections", sections),
        ("pcap_micros_little", little),
    ];
    seeds.into_iter().map(|(name, bytes)| (name, [&[200], &bytes[..]].concat())).collect()
}
