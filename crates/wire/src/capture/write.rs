//! Writes captures: pcap, and pcapng with one section.
//!
//! Promise: what is written here is read back the same by the tap's reader and by libpcap. Frames go
//! to any `Write`; nothing is buffered here, so give it a buffered one.
//!
//! Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

use std::io::{self, Write};

use super::{Endian, Precision, pcap, pcapng};
use crate::{LinkType, Time};

/// The snapshot length in headers: libpcap's maximum.
const SNAPLEN: u32 = 262_144;
/// Nanoseconds in a second.
const SECOND: i64 = 1_000_000_000;

/// Writes a pcap file.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
    endian: Endian,
    precision: Precision,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header to `out`.
    ///
    /// # Errors
    /// Where `out` fails.
    pub fn new(out: W, link: LinkType, precision: Precision, endian: Endian) -> io::Result<Self> {
        let magic = match precision {
            Precision::Micros => pcap::MAGIC_MICROS,
            Precision::Nanos => pcap::MAGIC_NANOS,
        };
        let mut header = Vec::with_capacity(24);
        header.extend(endian.bytes32(magic));
        header.extend(endian.bytes16(2));
        header.extend(endian.bytes16(4));
        for word in [0, 0, SNAPLEN, u32::from(link.0)] {
            header.extend(endian.bytes32(word));
        }
        let mut writer = Self { out, endian, precision };
        writer.out.write_all(&header)?;
        Ok(writer)
    }

    /// Writes a frame. A time that the format cannot hold (before 1970, after 2106) becomes the nearest that it can.
    ///
    /// # Errors
    /// Where the underlying writer fails, and for more than 4 GiB of data.
    pub fn frame(&mut self, time: Time, wire_len: u32, data: &[u8]) -> io::Result<()> {
        self.frame_of(time, wire_len, &[data])
    }

    /// Writes a frame whose data are in several parts.
    ///
    /// # Errors
    /// As [`PcapWriter::frame`].
    pub fn frame_of(&mut self, time: Time, wire_len: u32, parts: &[&[u8]]) -> io::Result<()> {
        let len = length(parts)?;
        let unit = match self.precision {
            Precision::Micros => 1000,
            Precision::Nanos => 1,
        };
        let nanoseconds = time.0.clamp(0, i64::from(u32::MAX) * SECOND + SECOND - 1);
        let (seconds, fraction) = (nanoseconds / SECOND, nanoseconds % SECOND / unit);
        for word in [seconds as u32, fraction as u32, len, wire_len] {
            self.out.write_all(&self.endian.bytes32(word))?;
        }
        parts.iter().try_for_each(|part| self.out.write_all(part))
    }

    /// The underlying writer.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// The underlying writer.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Writes one section of a pcapng file: first interfaces, then frames of them, in any order after that.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    out: W,
    endian: Endian,
    block: Vec<u8>,
    interfaces: Vec<Precision>,
}

impl<W: Write> PcapngWriter<W> {
    /// Writes the section header to `out`, which may hold sections already.
    ///
    /// # Errors
    /// Where `out` fails.
    pub fn new(out: W, endian: Endian) -> io::Result<Self> {
        let mut writer = Self { out, endian, block: Vec::new(), interfaces: Vec::new() };
        writer.begin(pcapng::SECTION);
        writer.word(pcapng::BYTE_ORDER);
        writer.half(1);
        writer.half(0);
        // The section's length: -1, not known.
        writer.block.extend(endian.bytes64(u64::MAX));
        writer.end()?;
        Ok(writer)
    }

    /// Describes an interface and gives its number.
    ///
    /// # Errors
    /// Where the underlying writer fails.
    pub fn interface(&mut self, link: LinkType, precision: Precision) -> io::Result<u32> {
        let id = self.interfaces.len() as u32;
        self.interfaces.push(precision);
        self.begin(pcapng::INTERFACE);
        self.half(link.0);
        self.half(0);
        self.word(SNAPLEN);
        self.half(pcapng::IF_TSRESOL);
        self.half(1);
        self.block.extend(match precision {
            Precision::Micros => [6, 0, 0, 0],
            Precision::Nanos => [9, 0, 0, 0],
        });
        self.half(pcapng::END_OF_OPTIONS);
        self.half(0);
        self.end()?;
        Ok(id)
    }

    /// Writes a frame of `interface` as an Enhanced Packet Block. A time before 1970 becomes 1970.
    ///
    /// # Errors
    /// Where the underlying writer fails, for more data than a block holds, and for an interface that was not described.
    pub fn frame(&mut self, interface: u32, time: Time, wire_len: u32, data: &[u8]) -> io::Result<()> {
        self.frame_of(interface, time, wire_len, &[data])
    }

    /// Writes a frame whose data are in several parts.
    ///
    /// # Errors
    /// As [`PcapngWriter::frame`].
    pub fn frame_of(&mut self, interface: u32, time: Time, wire_len: u32, parts: &[&[u8]]) -> io::Result<()> {
        let unit = match self.interfaces.get(interface as usize) {
            Some(Precision::Micros) => 1000,
            Some(Precision::Nanos) => 1,
            None => return Err(io::Error::new(io::ErrorKind::InvalidInput, "no such interface")),
        };
        let (len, units) = (length(parts)?, time.0.max(0) / unit);
        self.begin(pcapng::ENHANCED_PACKET);
        for word in [interface, (units >> 32) as u32, units as u32, len, wire_len] {
            self.word(word);
        }
        self.block.extend(parts.iter().copied().flatten());
        self.end()
    }

    /// The underlying writer.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes a block of any type.
    ///
    /// # Errors
    /// Where the underlying writer fails, and for more than 4 GiB of data.
    pub fn block(&mut self, kind: u32, body: &[u8]) -> io::Result<()> {
        length(&[body])?;
        self.begin(kind);
        self.block.extend(body);
        self.end()
    }

    /// The underlying writer.
    pub fn into_inner(self) -> W {
        self.out
    }

    fn half(&mut self, n: u16) {
        self.block.extend(self.endian.bytes16(n));
    }

    fn word(&mut self, n: u32) {
        self.block.extend(self.endian.bytes32(n));
    }

    /// Begins a block; its length is not known yet.
    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.word(kind);
        self.word(0);
    }

    /// Pads the block, gives it its length at both ends, and writes it.
    fn end(&mut self) -> io::Result<()> {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
        let length = self.endian.bytes32(self.block.len() as u32 + 4);
        self.block.extend(length);
        if let Some(field) = self.block.get_mut(4..8) {
            field.copy_from_slice(&length);
        }
        self.out.write_all(&self.block)
    }
}

/// The length of frame data, as far as a length field holds it with its block around it.
fn length(parts: &[&[u8]]) -> io::Result<u32> {
    let len = parts.iter().map(|part| part.len()).sum::<usize>();
    let len = u32::try_from(len).ok().filter(|len| *len < u32::MAX - 64);
    len.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "more bytes than a record can hold"))
}
