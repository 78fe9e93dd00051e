//! The IPv4 header (RFC 791).

use crate::checksum::Sum;
use crate::{Address, Malformed};

/// The length of a header without options.
pub const MIN_LEN: usize = 20;

/// An IPv4 header whose fixed part was there in full and whose version is 4.
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Header<'a> {
    fixed: &'a [u8; MIN_LEN],
    bytes: &'a [u8],
}

impl<'a> Ipv4Header<'a> {
    /// A view of the packet in `bytes`, as far as captured.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 20 bytes, [`Malformed::Version`] where the version is not 4. Whether the
    /// lengths fit is left to the caller, who has a reason of its own for each way in which they do not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let fixed = bytes.first_chunk().ok_or(Malformed::Truncated)?;
        let header = Self { fixed, bytes };
        if header.fixed[0] >> 4 == 4 { Ok(header) } else { Err(Malformed::Version) }
    }

    /// The length of the header with its options: 0 to 60.
    pub const fn header_len(&self) -> usize {
        (self.fixed[0] & 0x0f) as usize * 4
    }

    /// The length of the packet, header included.
    pub const fn total_len(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The identification, shared by the fragments of a datagram.
    pub const fn id(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// Whether the packet must not be fragmented.
    pub const fn dont_fragment(&self) -> bool {
        self.fixed[6] & 0x40 != 0
    }

    /// Whether more fragments follow.
    pub const fn more_fragments(&self) -> bool {
        self.fixed[6] & 0x20 != 0
    }

    /// Where the payload belongs in the datagram, in bytes.
    pub const fn fragment_offset(&self) -> u16 {
        (u16::from_be_bytes([self.fixed[6], self.fixed[7]]) & 0x1fff) << 3
    }

    /// Whether this is a part of a datagram.
    pub const fn is_fragment(&self) -> bool {
        u16::from_be_bytes([self.fixed[6], self.fixed[7]]) & 0x3fff != 0
    }

    /// Time to live.
    pub const fn ttl(&self) -> u8 {
        self.fixed[8]
    }

    /// The protocol of the payload.
    pub const fn protocol(&self) -> u8 {
        self.fixed[9]
    }

    /// The source address.
    pub const fn source(&self) -> Address {
        Address::v4([self.fixed[12], self.fixed[13], self.fixed[14], self.fixed[15]])
    }

    /// The destination address.
    pub const fn destination(&self) -> Address {
        Address::v4([self.fixed[16], self.fixed[17], self.fixed[18], self.fixed[19]])
    }

    /// Whether the header checksum is right; false also where the header was not captured in full.
    pub fn checksum_is_valid(&self) -> bool {
        self.bytes.get(..self.header_len()).is_some_and(|header| Sum::default().with(header).is_valid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_rfc_puts_it() {
        let mut bytes = [0x45, 0, 0, 40, 0x12, 0x34, 0x20, 0x03, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let sum = crate::checksum::internet_checksum(&bytes).to_be_bytes();
        bytes[10..12].copy_from_slice(&sum);
        let h = Ipv4Header::parse(&bytes).unwrap();
        assert_eq!((h.header_len(), h.total_len(), h.id(), h.ttl(), h.protocol()), (20, 40, 0x1234, 64, 6));
        assert!(h.more_fragments() && h.is_fragment() && !h.dont_fragment());
        assert_eq!(h.fragment_offset(), 24);
        assert_eq!((h.source(), h.destination()), (Address::v4([10, 0, 0, 1]), Address::v4([10, 0, 0, 2])));
        assert!(h.checksum_is_valid());
        bytes[8] = 63;
        assert!(!Ipv4Header::parse(&bytes).unwrap().checksum_is_valid());
        bytes[0] = 0x65;
        assert_eq!(Ipv4Header::parse(&bytes).unwrap_err(), Malformed::Version);
    }
}
