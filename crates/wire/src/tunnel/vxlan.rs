//! VXLAN (RFC 7348): an Ethernet frame behind eight bytes.

use crate::Malformed;

/// The length of the header.
pub const LEN: usize = 8;
/// The UDP port.
pub const PORT: u16 = 4789;

/// A VXLAN header whose network identifier is valid.
#[derive(Clone, Copy, Debug)]
pub struct VxlanHeader<'a> {
    fixed: &'a [u8; LEN],
    inner: &'a [u8],
}

impl<'a> VxlanHeader<'a> {
    /// A view of the UDP payload in `bytes`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 8 bytes, [`Malformed::Value`] where the I flag is not set.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, inner) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        let header = Self { fixed, inner };
        if header.fixed[0] & 0x08 == 0 { Err(Malformed::Value) } else { Ok(header) }
    }

    /// The network identifier.
    pub const fn vni(&self) -> u32 {
        u32::from_be_bytes([0, self.fixed[4], self.fixed[5], self.fixed[6]])
    }

    /// The Ethernet frame.
    pub const fn inner(&self) -> &'a [u8] {
        self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_rfc_puts_it() {
        let bytes = [8, 0, 0, 0, 1, 2, 3, 0, 9, 9];
        let header = VxlanHeader::parse(&bytes).unwrap();
        assert_eq!((header.vni(), header.inner()), (0x01_02_03, &[9, 9][..]));
        assert_eq!(VxlanHeader::parse(&bytes[..7]).unwrap_err(), Malformed::Truncated);
        assert_eq!(VxlanHeader::parse(&[0; 8]).unwrap_err(), Malformed::Value);
    }
}
