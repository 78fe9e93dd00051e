//! The formats of captures: pure functions from bytes to frames.
//!
//! Promise: [`Format::next`] looks at bytes that begin with a record and says what it is, or how many bytes it needs
//! to tell; it never asks for more than [`MAX_BLOCK`], never panics, and each record it passes moves on by at least
//! eight bytes. The same function so serves a mapped file and a stream.

pub(crate) mod pcap;
pub(crate) mod pcapng;
mod resolution;

use weir_wire::{LinkType, Time};

use pcap::Pcap;
use pcapng::Pcapng;
pub use weir_wire::capture::Endian;

use crate::Flaw;

/// A pcapng block may be this long: 16 MiB, libpcap's own bound. It is also the most that one record can make a
/// stream's buffer grow.
pub(crate) const MAX_BLOCK: usize = 16 << 20;

/// A frame may have this many captured bytes: libpcap's MAXIMUM_SNAPLEN, four times the largest IP packet.
const MAX_FRAME: u32 = 262_144;

/// What the bytes begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Something that cannot be told before `total` bytes of it are there.
    Need {
        /// How many bytes, from the start of the record.
        total: usize,
        /// What it is, for an error message if they never come.
        what: &'static str,
    },
    /// A header or a block without a frame.
    Skip {
        /// How long it is.
        used: usize,
    },
    /// A frame.
    Frame(Record),
}

/// A frame and where its bytes are, from the start of its record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    /// How long the record is.
    pub used: usize,
    /// Where the captured bytes begin.
    pub start: usize,
    /// How many there are.
    pub len: u32,
    /// How many there were on the wire; never less than `len`.
    pub wire_len: u32,
    /// When.
    pub time: Time,
    /// What the first header is.
    pub link: LinkType,
}

/// A capture of a known format, and what its headers have said so far.
#[derive(Debug)]
pub(crate) enum Format {
    /// pcap.
    Pcap(Pcap),
    /// pcapng.
    Pcapng(Pcapng),
}

impl Format {
    /// The format of a capture that begins with `first`, which has at least four bytes.
    pub fn recognise(first: &[u8]) -> Option<Self> {
        let magic = *first.first_chunk::<4>()?;
        if magic == pcapng::SECTION_HEADER {
            return Some(Self::Pcapng(Pcapng::default()));
        }
        Pcap::recognise(magic).map(Self::Pcap)
    }

    /// What `bytes` begin with. The first call is for the first byte of the capture, and each further one for what
    /// follows the record before.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Step, Flaw> {
        match self {
            Self::Pcap(pcap) => pcap.next(bytes),
            Self::Pcapng(pcapng) => pcapng.next(bytes),
        }
    }

    /// How many interfaces are described at present.
    pub const fn interfaces(&self) -> usize {
        match self {
            Self::Pcap(_) => 1,
            Self::Pcapng(pcapng) => pcapng.interfaces(),
        }
    }
}

/// The link type that a capture's header names, with the numbers by which some systems write raw IP (DLT_RAW is 12
/// on most and 14 on OpenBSD) made one. Only the lower 16 bits are the type; the others tell of frame check sequences.
const fn link_type(field: u32) -> LinkType {
    match field as u16 {
        12 | 14 => LinkType::RAW,
        other => LinkType(other),
    }
}

/// How many bytes a frame of `link` can have: libpcap's bounds. D-Bus and USB captures hold whole transfers.
const fn max_frame(link: LinkType) -> u32 {
    match link.0 {
        // LINKTYPE_USB_LINUX, USB_LINUX_MMAPPED, DBUS, USBPCAP, EBHSCR.
        189 | 220 | 231 | 249 | 279 => MAX_BLOCK as u32 - 64,
        _ => MAX_FRAME,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_ip_has_one_number() {
        assert_eq!([12, 14, 101].map(link_type), [LinkType::RAW; 3]);
        assert_eq!(link_type(0x5400_0001), LinkType::ETHERNET);
        assert_eq!(link_type(276), LinkType::LINUX_SLL2);
    }

    #[test]
    fn what_is_no_capture_has_no_format() {
        for other in [&b"PK\x03\x04"[..], b"\x7fELF", b"#sep", b"\0\0\0\0", b"abc", b""] {
            assert!(Format::recognise(other).is_none());
        }
    }
}
