//! The ICMP header: the first four bytes are the same for IPv4 (RFC 792) and IPv6 (RFC 4443).

use crate::{Malformed, bytes::be16};

/// The length of the part that all messages have.
pub const LEN: usize = 8;

/// An ICMP or ICMPv6 message: type, code and checksum were there.
#[derive(Clone, Copy, Debug)]
pub struct IcmpHeader<'a> {
    fixed: &'a [u8; 4],
    bytes: &'a [u8],
}

impl<'a> IcmpHeader<'a> {
    /// A view of the message in `bytes`, as far as captured.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 4 bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let fixed = bytes.first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { fixed, bytes })
    }

    /// The type.
    pub const fn kind(&self) -> u8 {
        self.fixed[0]
    }

    /// The code.
    pub const fn code(&self) -> u8 {
        self.fixed[1]
    }

    /// The checksum field.
    pub const fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The identifier of an echo message.
    pub fn id(&self) -> Option<u16> {
        be16(self.bytes, 4)
    }

    /// The sequence number of an echo message.
    pub fn seq(&self) -> Option<u16> {
        be16(self.bytes, 6)
    }

    /// What follows the first eight bytes: the data of an echo, the quoted packet of an error.
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(LEN..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_has_identifier_and_sequence_number() {
        let bytes = [8, 0, 0x12, 0x34, 0, 7, 0, 9, b'x'];
        let h = IcmpHeader::parse(&bytes).unwrap();
        assert_eq!((h.kind(), h.code(), h.checksum()), (8, 0, 0x1234));
        assert_eq!((h.id(), h.seq(), h.payload()), (Some(7), Some(9), &b"x"[..]));
        assert_eq!(IcmpHeader::parse(&bytes[..4]).unwrap().id(), None);
    }
}
