//! The UDP header (RFC 768).

use crate::Malformed;
use crate::checksum::Sum;
use crate::{Address, flow::protocol};

/// The length of the header.
pub const LEN: usize = 8;

/// A UDP header that was there in full.
#[derive(Clone, Copy, Debug)]
pub struct UdpHeader<'a> {
    fixed: &'a [u8; LEN],
    bytes: &'a [u8],
}

impl<'a> UdpHeader<'a> {
    /// A view of the datagram in `bytes` (header and payload, as far as captured).
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 8 bytes. Whether [`Self::len`] fits is left to the caller.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let fixed = bytes.first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { fixed, bytes })
    }

    /// The source port.
    pub const fn src_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// The destination port.
    pub const fn dst_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The length field: header and payload; 0 in jumbograms and on offloading interfaces.
    #[allow(clippy::len_without_is_empty, reason = "a field of the header, not the length of a collection")]
    pub const fn len(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// The checksum field; 0 where the sender made none (IPv4 only).
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.fixed[6], self.fixed[7]])
    }

    /// Everything after the header, as far as it was captured.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..).unwrap_or_default()
    }

    /// Whether the checksum is right or absent; the datagram must have been captured in full.
    pub fn checksum_is_valid(&self, source: &Address, destination: &Address) -> bool {
        let len = self.bytes.len() as u32;
        self.checksum() == 0
            || Sum::pseudo(source, destination, protocol::UDP, len).with(self.bytes).is_valid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_rfc_puts_it() {
        let bytes = [0x12, 0x34, 0x00, 0x35, 0x00, 0x0a, 0xbe, 0xef, b'o', b'k'];
        let h = UdpHeader::parse(&bytes).unwrap();
        assert_eq!((h.src_port(), h.dst_port(), h.len(), h.checksum()), (0x1234, 53, 10, 0xbeef));
        assert_eq!(h.payload(), b"ok");
        assert!(UdpHeader::parse(&bytes[..7]).is_err());
    }
}
