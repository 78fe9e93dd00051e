//! What `weir tap` says of a frame in a GENEVE option: which tap saw it, as its how manieth, when, and how long it was.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |      class 0xff57 (experimental)      |    type 1     | 0 | 7 |
//! |                              tap                              |
//! |            source             |             epoch             |
//! |                      length on the wire                       |
//! |                    sequence number (64 bits)                  |
//! |        time (nanoseconds since 1970, 64 bits, signed)         |
//! ```
//!
//! The option is not critical: who does not know it reads on. A later version may be longer, with these fields at its start.
//! Source of the frame around it: RFC 8926, 3.5.

use super::GeneveHeader;
use crate::Time;
use crate::bytes::Cursor;

/// The class, from the range for experiments (RFC 8926, 7).
pub const CLASS: u16 = 0xff57;
/// The type.
pub const KIND: u8 = 1;
/// The length of the option with its own header.
pub const LEN: usize = 4 + DATA;
/// The length of its data.
const DATA: usize = 28;

/// Where a frame comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// The tap, as its user numbered it: one process of `weir tap`.
    pub tap: u32,
    /// Which of the tap's interfaces, as it numbers them.
    pub source: u16,
    /// Another number than before: the tap was started anew, and its sequence too.
    pub epoch: u16,
    /// Counts, from 0, what the tap has sent to this target; what it could not send has no number. So every number that never
    /// comes is a frame lost on the way.
    pub sequence: u64,
    /// The length of the frame when it was seen; more than what is here, where it was cut.
    pub wire_len: u32,
    /// When it was seen.
    pub time: Time,
}

impl Origin {
    /// The option.
    pub fn emit(&self) -> [u8; LEN] {
        let [class, kind] = CLASS.to_be_bytes();
        let fields: [&[u8]; 7] = [
            &[class, kind, KIND, (DATA / 4) as u8],
            &self.tap.to_be_bytes(),
            &self.source.to_be_bytes(),
            &self.epoch.to_be_bytes(),
            &self.wire_len.to_be_bytes(),
            &self.sequence.to_be_bytes(),
            &self.time.0.to_be_bytes(),
        ];
        let mut option = [0; LEN];
        option.iter_mut().zip(fields.iter().copied().flatten()).for_each(|(to, from)| *to = *from);
        option
    }

    /// Looks for the option in a GENEVE header; `None` where it is not there or one before it is cut.
    pub fn find(header: &GeneveHeader<'_>) -> Option<Self> {
        let mut options = header.options().map_while(Result::ok);
        options.find(|option| (option.class, option.kind()) == (CLASS, KIND)).and_then(|o| Self::read(o.data))
    }

    /// The fields in the option's data.
    pub fn read(data: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(data);
        Some(Self {
            tap: cursor.u32().ok()?,
            source: cursor.u16().ok()?,
            epoch: cursor.u16().ok()?,
            wire_len: cursor.u32().ok()?,
            sequence: cursor.u64().ok()?,
            time: Time(cursor.u64().ok()? as i64),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tunnel::TunnelHead;

    const ORIGIN: Origin =
        Origin { tap: 1, source: 2, epoch: 3, sequence: 5, wire_len: 4, time: Time(0x0102_0304_0506_0708) };

    fn find(options: &[u8]) -> Option<Origin> {
        let bytes = TunnelHead::geneve(0x6558, 7, options);
        Origin::find(&GeneveHeader::parse(bytes.bytes()).unwrap())
    }

    #[test]
    fn the_option_is_found_among_others_and_in_a_longer_version() {
        let bytes = ORIGIN.emit();
        let fixed = [0xff, 0x57, 1, 7, 0, 0, 0, 1, 0, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5];
        assert_eq!(bytes[..24], fixed);
        let other = [0x01, 0x08, 1, 1, 9, 9, 9, 9];
        assert_eq!(find(&bytes), Some(ORIGIN));
        assert_eq!(find(&other), None);
        let whole =
            [&[10, 0, 0x65, 0x58, 0, 0, 7, 0][..], &other, &bytes[..3], &[8], &bytes[4..], &[0; 4]].concat();
        let mut longer = whole;
        longer[0] = 11;
        assert_eq!(Origin::find(&GeneveHeader::parse(&longer).unwrap()), Some(ORIGIN));
        longer[8 + 8 + 3] = 6;
        assert_eq!(Origin::find(&GeneveHeader::parse(&longer).unwrap()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_have_the_option_or_not(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(origin) = Origin::read(&bytes) {
                prop_assert_eq!(&origin.emit()[4..], &bytes[..28]);
            } else {
                prop_assert!(bytes.len() < 28);
            }
        }
    }
}
