//! GRE (RFC 2784 and 2890; version 1: RFC 2637, PPTP), and the headers that vendors put behind it.

use crate::Malformed;
use crate::bytes::be32;

/// The length of the header without optional fields.
pub const MIN_LEN: usize = 4;

/// Protocol types.
pub mod protocol {
    /// An Ethernet frame.
    pub const ETHERNET: u16 = 0x6558;
    /// ERSPAN types I and II: a mirrored Ethernet frame.
    pub const ERSPAN: u16 = 0x88be;
    /// ERSPAN type III.
    pub const ERSPAN3: u16 = 0x22eb;
    /// PPP in version 1.
    pub const PPP: u16 = 0x880b;
}

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGEMENT: u16 = 0x0080;
const RESERVED: u16 = 0x0078;

/// A GRE header whose first four bytes were there.
#[derive(Clone, Copy, Debug)]
pub struct GreHeader<'a> {
    flags: u16,
    protocol: u16,
    bytes: &'a [u8],
}

impl<'a> GreHeader<'a> {
    /// A view of the IP payload in `bytes`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 4 bytes. Whether the optional fields fit shows in [`Self::inner`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let &[a, b, c, d] = bytes.first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { flags: u16::from_be_bytes([a, b]), protocol: u16::from_be_bytes([c, d]), bytes })
    }

    /// The version: 0, or 1 for PPTP.
    pub const fn version(&self) -> u8 {
        (self.flags & 0x0007) as u8
    }

    /// The type of what is inside.
    pub const fn protocol(&self) -> u16 {
        self.protocol
    }

    /// Whether there is a routing field, whose length only a walk over it would tell (RFC 1701).
    pub const fn has_routing(&self) -> bool {
        self.flags & ROUTING != 0
    }

    /// Whether there is a sequence number.
    pub const fn has_sequence(&self) -> bool {
        self.flags & SEQUENCE != 0
    }

    /// Whether flags are set that no RFC defines.
    pub const fn has_reserved(&self) -> bool {
        self.flags & RESERVED != 0
    }

    /// The key; of version 1 the length of the payload and the call (RFC 2637, 4.1).
    pub fn key(&self) -> Option<u32> {
        self.optional(KEY, CHECKSUM)
    }

    /// The sequence number (RFC 2890, 2.2: it counts the packets of one key from 0 on).
    pub fn sequence(&self) -> Option<u32> {
        self.optional(SEQUENCE, CHECKSUM | KEY)
    }

    /// The optional field of `flag`, which stands behind those of `before` that are there.
    fn optional(&self, flag: u16, before: u16) -> Option<u32> {
        let at = MIN_LEN + 4 * (self.flags & before).count_ones() as usize;
        if self.flags & flag == 0 { None } else { be32(self.bytes, at) }
    }

    /// The length of the header with its optional fields.
    pub const fn header_len(&self) -> usize {
        let fields = self.flags & (CHECKSUM | KEY | SEQUENCE | ACKNOWLEDGEMENT);
        MIN_LEN + 4 * fields.count_ones() as usize
    }

    /// What is inside; `None` where the header was cut.
    pub fn inner(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.header_len()..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_rfc_puts_it() {
        let bytes = [0xb0, 0, 0x65, 0x58, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 9];
        let header = GreHeader::parse(&bytes).unwrap();
        assert_eq!((header.version(), header.protocol(), header.key()), (0, protocol::ETHERNET, Some(7)));
        assert!(header.has_sequence() && !header.has_routing() && !header.has_reserved());
        assert_eq!((header.inner(), header.sequence()), (Some(&[9][..]), Some(1)));
        assert_eq!(GreHeader::parse(&bytes[..14]).unwrap().sequence(), None);
        let bare = [0x10, 0, 0x88, 0xbe, 1, 2, 3, 4];
        assert_eq!(GreHeader::parse(&bare).unwrap().sequence(), Some(0x0102_0304));
        assert_eq!(GreHeader::parse(&bytes[..15]).unwrap().inner(), None);
        assert_eq!(GreHeader::parse(&bytes[..9]).unwrap().key(), None);
        assert!(GreHeader::parse(&bytes[..3]).is_err());
    }
}
