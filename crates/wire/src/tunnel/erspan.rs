//! ERSPAN types II and III (draft-foschiano-erspan-03, 4.2 and 4.3): what a switch says of a frame that it mirrors.
//!
//! It stands behind a GRE header, whose protocol number tells the type; type I has no header at all. The GRE header's sequence
//! number counts the frames of one session.

use crate::Malformed;

/// The length of the header of type II.
pub const LEN_2: usize = 8;
/// The length of the header of type III without its optional part.
pub const LEN_3: usize = 12;
/// The length of the platform's part of type III.
pub const PLATFORM_LEN: usize = 8;

/// A header that was there in full.
#[derive(Clone, Copy, Debug)]
pub struct ErspanHeader<'a> {
    /// What both types begin with.
    common: [u8; 4],
    /// What is behind those four bytes.
    more: More<'a>,
    inner: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum More<'a> {
    /// Reserved bits and the index.
    Two([u8; 4]),
    /// Time, group, flags; then the platform's part.
    Three([u8; 8], Option<&'a [u8; PLATFORM_LEN]>),
}

/// What the switch found wrong with the frame (type III's BSO).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Condition {
    /// Nothing, or it did not look.
    Good,
    /// A wrong check sequence, or an alignment error.
    Bad,
    /// Too short.
    Short,
    /// Too long.
    Oversized,
}

impl<'a> ErspanHeader<'a> {
    /// A view of type II in what is behind a GRE header with a sequence number and protocol 0x88be. The version in it is
    /// not looked at, as senders differ.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 8 bytes.
    pub fn parse_2(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (&common, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let (&index, inner) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { common, more: More::Two(index), inner })
    }

    /// A view of type III in what is behind a GRE header of protocol 0x22eb.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 12 bytes, or 20 where the optional part is announced.
    pub fn parse_3(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (&common, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let (&more, rest) = rest.split_first_chunk::<8>().ok_or(Malformed::Truncated)?;
        if more[7] & 1 == 0 {
            return Ok(Self { common, more: More::Three(more, None), inner: rest });
        }
        let (platform, inner) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { common, more: More::Three(more, Some(platform)), inner })
    }

    /// The version as it stands: 1 for type II, 2 for type III.
    pub const fn version(&self) -> u8 {
        self.common[0] >> 4
    }

    /// The VLAN of the mirrored frame; 0 where it had none.
    pub const fn vlan(&self) -> u16 {
        u16::from_be_bytes([self.common[0] & 0x0f, self.common[1]])
    }

    /// The class of service of the mirrored frame.
    pub const fn class_of_service(&self) -> u8 {
        self.common[2] >> 5
    }

    /// Whether the switch cut the frame's end off (T).
    pub const fn is_truncated(&self) -> bool {
        self.common[2] & 0x04 != 0
    }

    /// The session: which mirror of the switch.
    pub const fn session(&self) -> u16 {
        u16::from_be_bytes([self.common[2] & 0x03, self.common[3]])
    }

    /// Type II: the port, as the platform numbers it.
    pub const fn index(&self) -> Option<u32> {
        match self.more {
            More::Two([_, a, b, c]) => Some(u32::from_be_bytes([0, a & 0x0f, b, c])),
            More::Three(..) => None,
        }
    }

    /// Type III: what the switch found wrong with the frame.
    pub const fn condition(&self) -> Option<Condition> {
        match (self.more, self.common[2] >> 3 & 3) {
            (More::Two(_), _) => None,
            (More::Three(..), 0) => Some(Condition::Good),
            (More::Three(..), 1) => Some(Condition::Bad),
            (More::Three(..), 2) => Some(Condition::Short),
            (More::Three(..), _) => Some(Condition::Oversized),
        }
    }

    /// Type III: when the frame was mirrored, in the unit of [`Self::granularity`].
    pub const fn timestamp(&self) -> Option<u32> {
        match self.more {
            More::Two(_) => None,
            More::Three([a, b, c, d, ..], _) => Some(u32::from_be_bytes([a, b, c, d])),
        }
    }

    /// Type III: the security group of the frame.
    pub const fn security_group(&self) -> Option<u16> {
        match self.more {
            More::Two(_) => None,
            More::Three([.., a, b, _, _], _) => Some(u16::from_be_bytes([a, b])),
        }
    }

    /// Type III: the engine that mirrored it.
    pub const fn hardware(&self) -> Option<u8> {
        match self.more {
            More::Two(_) => None,
            More::Three([.., a, b], _) => Some(a << 4 & 0x30 | b >> 4),
        }
    }

    /// Type III: whether the frame was sent, not received, by the mirrored port (D).
    pub const fn is_egress(&self) -> Option<bool> {
        match self.more {
            More::Two(_) => None,
            More::Three([.., b], _) => Some(b & 0x08 != 0),
        }
    }

    /// Type III: the unit of the timestamp: 0 for 100 µs, 1 for 100 ns, 2 as IEEE 1588 has it, 3 for what the platform says.
    pub const fn granularity(&self) -> Option<u8> {
        match self.more {
            More::Two(_) => None,
            More::Three([.., b], _) => Some(b >> 1 & 3),
        }
    }

    /// Type III: the platform's identifier, and its 58 bits.
    pub const fn platform(&self) -> Option<(u8, u64)> {
        match self.more {
            More::Three(_, Some(bytes)) => {
                Some((bytes[0] >> 2, u64::from_be_bytes(*bytes) & ((1 << 58) - 1)))
            }
            More::Three(_, None) | More::Two(_) => None,
        }
    }

    /// The mirrored Ethernet frame.
    pub const fn inner(&self) -> &'a [u8] {
        self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_type_2_is_where_the_draft_puts_it() {
        let bytes = [0x10, 0x64, 0xa7, 0x03, 0, 0x0a, 0xbc, 0xde, 9, 9];
        let header = ErspanHeader::parse_2(&bytes).unwrap();
        assert_eq!((header.version(), header.vlan(), header.class_of_service()), (1, 100, 5));
        assert_eq!((header.is_truncated(), header.session(), header.index()), (true, 0x303, Some(0xa_bcde)));
        assert_eq!((header.inner(), header.timestamp(), header.condition()), (&[9, 9][..], None, None));
        assert!(ErspanHeader::parse_2(&bytes[..7]).is_err());
    }

    #[test]
    fn every_field_of_type_3_is_where_the_draft_puts_it() {
        let mut bytes = vec![0x20, 0x0a, 0x48, 0x07, 1, 2, 3, 4, 0xab, 0xcd, 0x03, 0x5d];
        bytes.extend([0x14, 0, 0, 0, 0, 0, 1, 2, 9]);
        let header = ErspanHeader::parse_3(&bytes).unwrap();
        assert_eq!((header.version(), header.vlan(), header.session()), (2, 10, 7));
        assert_eq!((header.class_of_service(), header.condition()), (2, Some(Condition::Bad)));
        assert_eq!((header.timestamp(), header.security_group()), (Some(0x0102_0304), Some(0xabcd)));
        assert_eq!(
            (header.hardware(), header.is_egress(), header.granularity()),
            (Some(0x35), Some(true), Some(2))
        );
        assert_eq!((header.platform(), header.inner()), (Some((5, 0x102)), &[9][..]));
        assert!(!header.is_truncated() && header.index().is_none());
        assert!(ErspanHeader::parse_3(&bytes[..19]).is_err());
        bytes[11] = 0x5c;
        let bare = ErspanHeader::parse_3(&bytes[..12]).unwrap();
        assert_eq!((bare.platform(), bare.inner().len()), (None, 0));
    }
}
