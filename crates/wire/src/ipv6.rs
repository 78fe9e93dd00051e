//! The IPv6 header (RFC 8200, 3) and the numbers of its extension headers.

use crate::{Address, Malformed};

/// The length of the fixed header.
pub const LEN: usize = 40;

/// Next-header numbers of extension headers (IANA "ipv6-parameters").
pub mod extension {
    /// Hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Routing.
    pub const ROUTING: u8 = 43;
    /// Fragment.
    pub const FRAGMENT: u8 = 44;
    /// Encapsulating Security Payload: what follows is encrypted.
    pub const ESP: u8 = 50;
    /// Authentication Header.
    pub const AUTHENTICATION: u8 = 51;
    /// Nothing follows.
    pub const NONE: u8 = 59;
    /// Destination options.
    pub const DESTINATION: u8 = 60;
    /// Mobility.
    pub const MOBILITY: u8 = 135;
}

/// An IPv6 header that was there in full and whose version is 6.
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Header<'a> {
    fixed: &'a [u8; LEN],
}

impl<'a> Ipv6Header<'a> {
    /// A view of the packet in `bytes`, as far as captured.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 40 bytes, [`Malformed::Version`] where the version is not 6.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let fixed: &[u8; LEN] = bytes.first_chunk().ok_or(Malformed::Truncated)?;
        if fixed[0] >> 4 == 6 { Ok(Self { fixed }) } else { Err(Malformed::Version) }
    }

    /// The length of what follows this header; 0 in jumbograms.
    pub const fn payload_len(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// What follows this header.
    pub const fn next_header(&self) -> u8 {
        self.fixed[6]
    }

    /// The hop limit.
    pub const fn hop_limit(&self) -> u8 {
        self.fixed[7]
    }

    /// The source address.
    pub fn source(&self) -> Address {
        address(self.fixed.get(8..))
    }

    /// The destination address.
    pub fn destination(&self) -> Address {
        address(self.fixed.get(24..))
    }
}

/// The address at the start of `bytes`.
fn address(bytes: Option<&[u8]>) -> Address {
    bytes.and_then(<[u8]>::first_chunk).map(|b| Address::v6(*b)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_rfc_puts_it() {
        let mut bytes = [0u8; LEN];
        bytes[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 9, 17, 64]);
        bytes[8..24].fill(1);
        bytes[24..].fill(2);
        let h = Ipv6Header::parse(&bytes).unwrap();
        assert_eq!((h.payload_len(), h.next_header(), h.hop_limit()), (9, 17, 64));
        assert_eq!((h.source(), h.destination()), (Address::v6([1; 16]), Address::v6([2; 16])));
        assert_eq!(Ipv6Header::parse(&bytes[..39]).unwrap_err(), Malformed::Truncated);
    }
}
