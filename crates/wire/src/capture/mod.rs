//! The formats of captures: the numbers that readers and writers share, and the writers.
//!
//! Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.

mod endian;
mod write;

pub use endian::Endian;
pub use write::{PcapWriter, PcapngWriter};

use crate::Time;

/// pcap.
pub mod pcap {
    /// The magic number of a capture with microseconds.
    pub const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
    /// The magic number of a capture with nanoseconds.
    pub const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
}

/// pcapng.
pub mod pcapng {
    /// What a section header holds to tell its byte order.
    pub const BYTE_ORDER: u32 = 0x1a2b_3c4d;
    /// Block type: section header, the same in both byte orders.
    pub const SECTION: u32 = 0x0a0d_0d0a;
    /// Block type: interface description.
    pub const INTERFACE: u32 = 1;
    /// Block type: a frame.
    pub const ENHANCED_PACKET: u32 = 6;
    /// Option code: no more options.
    pub const END_OF_OPTIONS: u16 = 0;
    /// Option code of an interface: the resolution of its times.
    pub const IF_TSRESOL: u16 = 9;
}

/// How fine the times of frames are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Precision {
    /// Microseconds, finer ones cut off: what libpcap hands to Zeek, so that logs agree to the last digit.
    #[default]
    Micros,
    /// Nanoseconds, as far as the capture has them.
    Nanos,
}

impl Precision {
    /// `time` in this precision.
    pub const fn of(self, time: Time) -> Time {
        match self {
            Self::Micros => Time(time.0 - time.0.rem_euclid(1000)),
            Self::Nanos => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_cut_off_not_rounded() {
        assert_eq!(Precision::Micros.of(Time(1_999)), Time(1_000));
        assert_eq!(Precision::Micros.of(Time(-1)), Time(-1_000));
        assert_eq!(Precision::Nanos.of(Time(1_999)), Time(1_999));
    }
}
