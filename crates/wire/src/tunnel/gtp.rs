//! GTP version 1 (3GPP TS 29.281, 5.1): messages, and user packets behind the header.

use crate::Malformed;

/// The length of the header without optional fields.
pub const MIN_LEN: usize = 8;
/// The UDP ports: user plane, control plane.
pub const PORTS: [u16; 2] = [2152, 2123];
/// The message that carries a user packet.
pub const G_PDU: u8 = 255;
/// Sequence number, N-PDU number, type of the first extension.
const OPTIONAL: usize = 4;
/// Extension headers passed over at most; the standard knows nine.
const MAX_EXTENSIONS: usize = 16;
/// The flags of the optional fields; each brings all of them.
const HAS_OPTIONAL: u8 = 0x07;
/// The flag of an extension.
const HAS_EXTENSION: u8 = 0x04;

/// A GTP header whose fixed part was there in full.
#[derive(Clone, Copy, Debug)]
pub struct GtpHeader<'a> {
    fixed: &'a [u8; MIN_LEN],
    rest: &'a [u8],
}

impl<'a> GtpHeader<'a> {
    /// A view of the UDP payload in `bytes`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] with fewer than 8 bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, rest) = bytes.split_first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { fixed, rest })
    }

    /// The version.
    pub const fn version(&self) -> u8 {
        self.fixed[0] >> 5
    }

    /// Whether this is GTP, not GTP'.
    pub const fn is_gtp(&self) -> bool {
        self.fixed[0] & 0x10 != 0
    }

    /// The message type.
    pub const fn message(&self) -> u8 {
        self.fixed[1]
    }

    /// What is behind the optional fields and the extensions.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where they do not fit, [`Malformed::Length`] where one has no length or there are too
    /// many.
    pub fn inner(&self) -> Result<&'a [u8], Malformed> {
        if self.fixed[0] & HAS_OPTIONAL == 0 {
            return Ok(self.rest);
        }
        let (optional, mut rest) = self.rest.split_first_chunk::<OPTIONAL>().ok_or(Malformed::Truncated)?;
        if self.fixed[0] & HAS_EXTENSION == 0 {
            return Ok(rest);
        }
        let mut next = optional[3];
        for _ in 0..MAX_EXTENSIONS {
            if next == 0 {
                return Ok(rest);
            }
            let len = usize::from(*rest.first().ok_or(Malformed::Truncated)?) * 4;
            let (extension, behind) = rest.split_at_checked(len).ok_or(Malformed::Truncated)?;
            next = *extension.last().ok_or(Malformed::Length)?;
            rest = behind;
        }
        Err(Malformed::Length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_and_extensions_are_passed_over() {
        let fixed = |flags: u8| vec![flags, G_PDU, 0, 0, 0, 0, 0, 1];
        for (flags, between) in [
            (0x30, vec![]),
            (0x32, vec![0, 1, 0, 0]),
            (0x36, vec![0, 1, 0, 0xc0, 1, 0, 0, 0x85, 2, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            let bytes = [fixed(flags), between, b"inner".to_vec()].concat();
            let header = GtpHeader::parse(&bytes).unwrap();
            assert_eq!((header.version(), header.is_gtp(), header.message()), (1, true, G_PDU));
            assert_eq!(header.inner(), Ok(&b"inner"[..]));
        }
        let inner = |more: &[u8]| {
            let bytes = [&fixed(0x34)[..], more].concat();
            GtpHeader::parse(&bytes).unwrap().inner().map(<[u8]>::len)
        };
        assert_eq!(inner(&[0, 0, 0]), Err(Malformed::Truncated));
        assert_eq!(inner(&[0, 0, 0, 1, 0]), Err(Malformed::Length));
        assert_eq!(inner(&[1; 400]), Err(Malformed::Length));
    }
}
