//! pcapng: blocks, in sections that each have a byte order and interfaces of their own.
//!
//! Promise: frames come from Enhanced, Simple and the obsolete Packet Blocks, with link type, time resolution and
//! offset of their interface; blocks of other types are passed over. A block whose two lengths differ, whose length
//! cannot be, or that is shorter than what it says it holds, is a [`Flaw`].
//!
//! ```text
//! block:     type u32 | length u32 | body, padded to 4 | length u32
//! section:   byte-order magic u32 | major u16 | minor u16 | section length u64 | options     type 0x0a0d0d0a
//! interface: link u16 | reserved u16 | snaplen u32 | options                                 type 1
//! packet:    interface u16 | drops u16 | time u64 | captured u32 | wire u32 | bytes          type 2
//! simple:    wire u32 | bytes                                                                type 3
//! enhanced:  interface u32 | time u64 | captured u32 | wire u32 | bytes | options            type 6
//! option:    code u16 | length u16 | value, padded to 4
//! ```
//!
//! Time stamps are two words, the upper first, whatever the byte order. Source: draft-ietf-opsawg-pcapng.

use weir_wire::capture::pcapng::{
    BYTE_ORDER, END_OF_OPTIONS, ENHANCED_PACKET, IF_TSRESOL, INTERFACE, SECTION,
};
use weir_wire::{LinkType, Time};

use super::resolution::Resolution;
use super::{Endian, MAX_BLOCK, Record, Step, link_type, max_frame};
use crate::Flaw;

/// The type of a section header block, the same in both byte orders.
pub(crate) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// Block types.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;

/// Option code of an interface: what is to be added to its times.
const IF_TSOFFSET: u16 = 14;

/// Type and length, and the length again.
const BLOCK_HEADER: usize = 8;
const BLOCK_MIN: u32 = 12;

/// A section may describe this many interfaces: 65,536 of 48 bytes, 3 MiB. The obsolete Packet Block cannot name more.
const MAX_INTERFACES: usize = 1 << 16;

/// A pcapng capture.
#[derive(Default, Debug)]
pub(crate) struct Pcapng {
    endian: Endian,
    interfaces: Vec<Interface>,
    /// The time of the frame before, for Simple Packet Blocks, which have none.
    last: Time,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    resolution: Resolution,
}

impl Pcapng {
    /// How many interfaces the section has described.
    pub const fn interfaces(&self) -> usize {
        self.interfaces.len()
    }

    /// What `bytes` begin with.
    #[inline]
    pub fn next(&mut self, bytes: &[u8]) -> Result<Step, Flaw> {
        const HEADER: Step = Step::Need { total: BLOCK_HEADER, what: "a pcapng block header" };
        if bytes.starts_with(&SECTION_HEADER) {
            let Some(magic) = Endian::Little.u32(bytes, BLOCK_HEADER) else {
                return Ok(Step::Need { total: BLOCK_HEADER + 4, what: "a pcapng section header" });
            };
            self.endian = match (magic, magic.swap_bytes()) {
                (BYTE_ORDER, _) => Endian::Little,
                (_, BYTE_ORDER) => Endian::Big,
                _ => return Err(Flaw::ByteOrder { magic }),
            };
        }
        let (Some(kind), Some(length)) = (self.endian.u32(bytes, 0), self.endian.u32(bytes, 4)) else {
            return Ok(HEADER);
        };
        if length < BLOCK_MIN || !length.is_multiple_of(4) || length as usize > MAX_BLOCK {
            return Err(Flaw::BlockLength { kind, length });
        }
        let used = length as usize;
        let Some(body) = bytes.get(BLOCK_HEADER..used - 4) else {
            return Ok(Step::Need { total: used, what: "a pcapng block" });
        };
        let Some(tail) = self.endian.u32(bytes, used - 4) else {
            return Ok(Step::Need { total: used, what: "a pcapng block" });
        };
        if tail != length {
            return Err(Flaw::BlockEnds { kind, head: length, tail });
        }
        self.block(kind, used, body)
    }

    fn block(&mut self, kind: u32, used: usize, body: &[u8]) -> Result<Step, Flaw> {
        match kind {
            ENHANCED_PACKET => {
                let id = self.endian.u32(body, 0);
                self.packet(kind, used, body, id)
            }
            PACKET => {
                let id = self.endian.u16(body, 0).map(u32::from);
                self.packet(kind, used, body, id)
            }
            SIMPLE_PACKET => self.simple_packet(used, body),
            INTERFACE => self.interface(body).map(|()| Step::Skip { used }),
            SECTION => self.section(body).map(|()| Step::Skip { used }),
            _ => Ok(Step::Skip { used }),
        }
    }

    fn section(&mut self, body: &[u8]) -> Result<(), Flaw> {
        let (Some(major), Some(minor)) = (self.endian.u16(body, 4), self.endian.u16(body, 6)) else {
            return Err(Flaw::BlockContent { kind: SECTION });
        };
        // 1.2 was written by some programs and means 1.0; other minor versions promise to be readable.
        if major != 1 {
            return Err(Flaw::Version { format: "pcapng", major, minor });
        }
        self.interfaces.clear();
        Ok(())
    }

    fn interface(&mut self, body: &[u8]) -> Result<(), Flaw> {
        let (Some(link), Some(snaplen), Some(options)) =
            (self.endian.u16(body, 0), self.endian.u32(body, 4), body.get(8..))
        else {
            return Err(Flaw::BlockContent { kind: INTERFACE });
        };
        if self.interfaces.len() >= MAX_INTERFACES {
            return Err(Flaw::Interfaces { max: MAX_INTERFACES as u32 });
        }
        let resolution = self.resolution(options).ok_or(Flaw::BlockContent { kind: INTERFACE })?;
        let snaplen = if snaplen == 0 { u32::MAX } else { snaplen };
        self.interfaces.push(Interface { link: link_type(u32::from(link)), snaplen, resolution });
        Ok(())
    }

    /// What the options of an interface say of its time stamps; `None` where they do not fit their block.
    fn resolution(&self, mut options: &[u8]) -> Option<Resolution> {
        let mut unit = Resolution::default();
        let mut offset = 0;
        while !options.is_empty() {
            let (code, len) = (self.endian.u16(options, 0)?, self.endian.u16(options, 2)?);
            let (value, rest) = options.get(4..)?.split_at_checked(usize::from(len).next_multiple_of(4))?;
            match (code, len) {
                (END_OF_OPTIONS, _) => break,
                (IF_TSRESOL, 1) => unit = Resolution::from_option(*value.first()?),
                (IF_TSOFFSET, 8) => offset = self.endian.u64(value, 0)? as i64,
                (IF_TSRESOL | IF_TSOFFSET, _) => return None,
                _ => {}
            }
            options = rest;
        }
        Some(unit.with_offset(offset))
    }

    /// An Enhanced Packet Block, or the obsolete Packet Block: they differ in how they name the interface.
    #[inline]
    fn packet(&mut self, kind: u32, used: usize, body: &[u8], id: Option<u32>) -> Result<Step, Flaw> {
        const FIXED: usize = 20;
        let word = |at| self.endian.u32(body, at);
        let (Some(id), Some(upper), Some(lower), Some(len), Some(wire_len)) =
            (id, word(4), word(8), word(12), word(16))
        else {
            return Err(Flaw::BlockContent { kind });
        };
        let known = self.interfaces.len() as u32;
        let interface = self.interfaces.get(id as usize).ok_or(Flaw::Interface { id, known })?;
        let max = max_frame(interface.link);
        if len > max {
            return Err(Flaw::FrameLength { len, max });
        }
        if body.len() < FIXED + len as usize {
            return Err(Flaw::BlockContent { kind });
        }
        let time = interface.resolution.time(u64::from(upper) << 32 | u64::from(lower));
        self.last = time;
        let start = BLOCK_HEADER + FIXED;
        Ok(Step::Frame(Record { used, start, len, wire_len: wire_len.max(len), time, link: interface.link }))
    }

    /// A frame without interface (it is the first one), time and captured length.
    fn simple_packet(&self, used: usize, body: &[u8]) -> Result<Step, Flaw> {
        let (Some(wire_len), Some(data)) = (self.endian.u32(body, 0), body.get(4..)) else {
            return Err(Flaw::BlockContent { kind: SIMPLE_PACKET });
        };
        let interface = self.interfaces.first().ok_or(Flaw::Interface { id: 0, known: 0 })?;
        let len = wire_len.min(interface.snaplen).min(data.len() as u32);
        let max = max_frame(interface.link);
        if len > max {
            return Err(Flaw::FrameLength { len, max });
        }
        let start = BLOCK_HEADER + 4;
        Ok(Step::Frame(Record { used, start, len, wire_len, time: self.last, link: interface.link }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of either byte order.
    fn block(endian: Endian, kind: u32, body: &[u8]) -> Vec<u8> {
        let padded = body.len().next_multiple_of(4);
        let length = endian.bytes32(padded as u32 + BLOCK_MIN);
        let mut out = [endian.bytes32(kind), length].concat();
        out.extend(body);
        out.resize(padded + BLOCK_HEADER, 0);
        out.extend(length);
        out
    }

    fn section(endian: Endian) -> Vec<u8> {
        let version = [endian.bytes16(1), endian.bytes16(0)].concat();
        let body = [&endian.bytes32(BYTE_ORDER)[..], &version, &[0xff; 8]].concat();
        block(endian, SECTION, &body)
    }

    fn interface(endian: Endian, link: u16, snaplen: u32, options: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = [endian.bytes16(link), [0, 0]].concat();
        body.extend(endian.bytes32(snaplen));
        for (code, value) in options {
            body.extend([endian.bytes16(*code), endian.bytes16(value.len() as u16)].concat());
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        block(endian, INTERFACE, &body)
    }

    fn enhanced(endian: Endian, id: u32, time: u64, data: &[u8]) -> Vec<u8> {
        let words = [id, (time >> 32) as u32, time as u32, data.len() as u32, data.len() as u32];
        let mut body: Vec<u8> = words.into_iter().flat_map(|w| endian.bytes32(w)).collect();
        body.extend(data);
        block(endian, ENHANCED_PACKET, &body)
    }

    /// All frames of a capture, and the flaw at which it ends.
    fn read(bytes: &[u8]) -> (Vec<(Record, Vec<u8>)>, Option<Flaw>) {
        let (mut ng, mut at, mut out) = (Pcapng::default(), 0, Vec::new());
        loop {
            match ng.next(&bytes[at..]) {
                Ok(Step::Need { .. }) => return (out, None),
                Ok(Step::Skip { used }) => at += used,
                Ok(Step::Frame(r)) => {
                    let start = at + r.start;
                    out.push((r, bytes[start..start + r.len as usize].to_vec()));
                    at += r.used;
                }
                Err(flaw) => return (out, Some(flaw)),
            }
        }
    }

    #[test]
    fn each_section_has_its_own_byte_order_and_interfaces() {
        let mut bytes = Vec::new();
        for (endian, link) in [(Endian::Little, 1), (Endian::Big, 113)] {
            bytes.extend(section(endian));
            bytes.extend(interface(endian, link, 0, &[]));
            bytes.extend(interface(endian, 101, 0, &[(IF_TSRESOL, &[9]), (END_OF_OPTIONS, &[])]));
            bytes.extend(enhanced(endian, 0, 5, &[1, 2, 3]));
            bytes.extend(enhanced(endian, 1, 1 << 33, &[4]));
        }
        let (frames, flaw) = read(&bytes);
        assert_eq!(flaw, None);
        let links: Vec<_> = frames.iter().map(|(r, _)| r.link.0).collect();
        assert_eq!(links, [1, 101, 113, 101]);
        let times: Vec<_> = frames.iter().map(|(r, _)| r.time.0).collect();
        assert_eq!(times, [5000, 1 << 33, 5000, 1 << 33]);
        assert_eq!(frames[2].1, [1, 2, 3]);
    }

    #[test]
    fn options_give_resolution_and_offset_and_others_are_passed_over() {
        let offset = Endian::Big.bytes64(100);
        let options: [(u16, &[u8]); 4] =
            [(2, b"eth0"), (IF_TSOFFSET, &offset), (IF_TSRESOL, &[0x81]), (0, &[])];
        let bytes =
            [section(Endian::Big), interface(Endian::Big, 1, 0, &options), enhanced(Endian::Big, 0, 3, &[0])];
        assert_eq!(read(&bytes.concat()).0[0].0.time, Time(101_500_000_000));
    }

    #[test]
    fn simple_and_obsolete_packets_are_frames_too() {
        let e = Endian::Little;
        let simple = block(e, SIMPLE_PACKET, &[&e.bytes32(1500)[..], &[7; 6]].concat());
        let words = [3u32 << 16, 0, 9, 2, 60];
        let mut old: Vec<u8> = words.into_iter().flat_map(|w| e.bytes32(w)).collect();
        old.extend([1, 2]);
        let bytes =
            [section(e), interface(e, 1, 6, &[]), simple.clone(), block(e, PACKET, &old), simple].concat();
        let (frames, flaw) = read(&bytes);
        assert_eq!(flaw, None);
        assert_eq!((frames[0].0.len, frames[0].0.wire_len, frames[0].0.time), (6, 1500, Time(0)));
        assert_eq!((frames[1].0.len, frames[1].0.wire_len, frames[1].0.time), (2, 60, Time(9000)));
        assert_eq!(frames[2].0.time, Time(9000), "the time of the frame before");
    }

    #[test]
    fn unknown_blocks_are_passed_over() {
        let e = Endian::Little;
        let bytes = [
            section(e),
            block(e, 0x0bad, &[9; 100]),
            interface(e, 1, 0, &[]),
            block(e, 5, &[]),
            enhanced(e, 0, 0, &[1]),
        ];
        assert_eq!(read(&bytes.concat()).0.len(), 1);
    }

    #[test]
    fn a_block_that_lies_about_its_length_is_a_flaw() {
        let e = Endian::Little;
        let good = [section(e), interface(e, 1, 0, &[]), enhanced(e, 0, 0, &[1])].concat();
        let lying = |change: fn(&mut Vec<u8>)| {
            let mut block = enhanced(e, 0, 0, &[1, 2, 3, 4]);
            change(&mut block);
            let (frames, flaw) = read(&[good.clone(), block].concat());
            assert_eq!(frames.len(), 1);
            flaw.unwrap()
        };
        let kind = ENHANCED_PACKET;
        assert_eq!(lying(|b| b[4] = 35), Flaw::BlockLength { kind, length: 35 });
        assert_eq!(lying(|b| b[4] = 8), Flaw::BlockLength { kind, length: 8 });
        assert_eq!(lying(|b| b[7] = 0xff), Flaw::BlockLength { kind, length: 0xff00_0024 });
        assert_eq!(lying(|b| b[32] = 40), Flaw::BlockEnds { kind, head: 36, tail: 40 });
        assert_eq!(lying(|b| b[20] = 5), Flaw::BlockContent { kind });
        assert_eq!(lying(|b| b[8] = 1), Flaw::Interface { id: 1, known: 1 });
        assert_eq!(lying(|b| b[23] = 1), Flaw::FrameLength { len: 0x0100_0004, max: 262_144 });
    }

    #[test]
    fn a_section_of_unknown_order_or_version_is_a_flaw() {
        let mut bytes = section(Endian::Little);
        bytes[12] = 2;
        assert_eq!(read(&bytes).1, Some(Flaw::Version { format: "pcapng", major: 2, minor: 0 }));
        bytes[8] = 0;
        assert_eq!(read(&bytes).1, Some(Flaw::ByteOrder { magic: 0x1a2b_3c00 }));
    }

    #[test]
    fn options_that_do_not_fit_are_a_flaw() {
        let e = Endian::Little;
        for options in [&[(IF_TSRESOL, &[6u8, 6][..])][..], &[(IF_TSOFFSET, &[0; 4])]] {
            let (_, flaw) = read(&[section(e), interface(e, 1, 0, options)].concat());
            assert_eq!(flaw, Some(Flaw::BlockContent { kind: INTERFACE }));
        }
    }
}
