//! GENEVE (RFC 8926): any Ethertype behind eight bytes and options.

use crate::Malformed;

/// The length of the header without options.
pub const MIN_LEN: usize = 8;
/// The UDP port.
pub const PORT: u16 = 6081;

/// A GENEVE header of version 0 that was there in full.
#[derive(Clone, Copy, Debug)]
pub struct GeneveHeader<'a> {
    fixed: &'a [u8; MIN_LEN],
    inner: &'a [u8],
}

impl<'a> GeneveHeader<'a> {
    /// A view of the UDP payload in `bytes`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 8 bytes, [`Malformed::Version`] where the version is not 0,
    /// [`Malformed::Length`] where the options do not fit.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, rest) = bytes.split_first_chunk::<MIN_LEN>().ok_or(Malformed::Truncated)?;
        if fixed[0] >> 6 != 0 {
            return Err(Malformed::Version);
        }
        let options = usize::from(fixed[0] & 0x3f) * 4;
        let inner = rest.get(options..).ok_or(Malformed::Length)?;
        Ok(Self { fixed, inner })
    }

    /// The Ethertype of what is inside.
    pub const fn protocol(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The network identifier.
    pub const fn vni(&self) -> u32 {
        u32::from_be_bytes([0, self.fixed[4], self.fixed[5], self.fixed[6]])
    }

    /// What is inside.
    pub const fn inner(&self) -> &'a [u8] {
        self.inner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_where_the_rfc_puts_it() {
        let bytes = [1, 0, 0x65, 0x58, 1, 2, 3, 0, 5, 5, 5, 5, 9];
        let header = GeneveHeader::parse(&bytes).unwrap();
        assert_eq!((header.protocol(), header.vni(), header.inner()), (0x6558, 0x01_02_03, &[9][..]));
        assert_eq!(GeneveHeader::parse(&bytes[..11]).unwrap_err(), Malformed::Length);
        assert_eq!(GeneveHeader::parse(&bytes[..7]).unwrap_err(), Malformed::Truncated);
        assert_eq!(GeneveHeader::parse(&[0x40; 8]).unwrap_err(), Malformed::Version);
    }
}
