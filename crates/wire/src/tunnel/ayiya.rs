//! AYIYA (draft-massar-v6ops-ayiya-02): IP behind an identity and a signature.

use crate::Malformed;

/// The length of the header without identity and signature.
pub const MIN_LEN: usize = 8;
/// The UDP port.
pub const PORT: u16 = 5072;
/// The operation that carries a packet.
pub const FORWARD: u8 = 1;

/// An AYIYA header that was there in full.
#[derive(Clone, Copy, Debug)]
pub struct AyiyaHeader<'a> {
    fixed: &'a [u8; MIN_LEN],
    inner: &'a [u8],
}

impl<'a> AyiyaHeader<'a> {
    /// A view of the UDP payload in `bytes`.
    ///
    /// # Errors
    /// [`Malformed::Truncated`] where the header, its identity or its signature were cut.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, rest) = bytes.split_first_chunk::<MIN_LEN>().ok_or(Malformed::Truncated)?;
        let identity = 1 << (fixed[0] >> 4);
        let signature = usize::from(fixed[1] >> 4) * 4;
        let inner = rest.get(identity + signature..).ok_or(Malformed::Truncated)?;
        Ok(Self { fixed, inner })
    }

    /// What the header is for: [`FORWARD`] or one of several without a packet.
    pub const fn operation(&self) -> u8 {
        self.fixed[2] & 0x0f
    }

    /// The IP protocol number of what is inside.
    pub const fn next_header(&self) -> u8 {
        self.fixed[3]
    }

    /// What is inside.
    pub const fn inner(&self) -> &'a [u8] {
        self.inner
    }

    /// Whether `bytes` begin as AYIYA on any port would: a SHA-1 signature of 20 bytes, a forwarded packet.
    pub const fn is_likely(bytes: &[u8]) -> bool {
        matches!(bytes, [_, 0x52, 0x11, ..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_signature_are_passed_over() {
        let bytes = [&[0x41, 0x52, 0x11, 41, 0, 0, 0, 0][..], &[0; 16 + 20], b"inner"].concat();
        let header = AyiyaHeader::parse(&bytes).unwrap();
        assert_eq!((header.operation(), header.next_header(), header.inner()), (FORWARD, 41, &b"inner"[..]));
        assert!(AyiyaHeader::parse(&bytes[..8 + 35]).is_err());
        assert!(AyiyaHeader::is_likely(&bytes));
        assert!(AyiyaHeader::parse(&[0xff; 9_000]).is_err());
    }
}
