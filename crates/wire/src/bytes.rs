//! A cursor over untrusted bytes: every read is checked, none can panic.

/// Why bytes are not what they claim to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// Fewer bytes than the fixed part of the header needs.
    Truncated,
    /// A length field contradicts the bytes around it.
    Length,
    /// A version or magic number that this header cannot have.
    Version,
    /// A value that the format forbids.
    Value,
}

/// Reads forward over a slice.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

macro_rules! integers {
    ($($be:ident $le:ident $t:ty, $n:literal;)*) => {$(
        #[doc = concat!("The next ", $n, " bytes as a big-endian integer.")]
        pub fn $be(&mut self) -> Result<$t, Malformed> {
            self.array::<$n>().map(<$t>::from_be_bytes)
        }
        #[doc = concat!("The next ", $n, " bytes as a little-endian integer.")]
        pub fn $le(&mut self) -> Result<$t, Malformed> {
            self.array::<$n>().map(<$t>::from_le_bytes)
        }
    )*};
}

#[allow(clippy::missing_errors_doc, reason = "each read fails only with Malformed::Truncated")]
impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// How many bytes have not been read.
    pub const fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether all bytes have been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(Malformed::Truncated)?;
        self.rest = tail;
        Ok(head)
    }

    /// Passes over `n` bytes.
    pub fn skip(&mut self, n: usize) -> Result<(), Malformed> {
        self.take(n).map(|_| ())
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.rest.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.rest = tail;
        Ok(*head)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[b]| b)
    }

    /// The next three bytes as a big-endian integer.
    pub fn u24(&mut self) -> Result<u32, Malformed> {
        self.array::<3>().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// A cursor over the next `n` bytes, which are passed over here.
    pub fn sub(&mut self, n: usize) -> Result<Self, Malformed> {
        self.take(n).map(Self::new)
    }

    integers! {
        u16 u16_le u16, 2;
        u32 u32_le u32, 4;
        u64 u64_le u64, 8;
    }
}

/// The big-endian 16-bit integer at `at`, or `None` past the end.
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// The big-endian 32-bit integer at `at`, or `None` past the end.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_changes_nothing() {
        let mut c = Cursor::new(&[1, 2, 3]);
        assert_eq!(c.u16(), Ok(0x0102));
        assert_eq!(c.u16(), Err(Malformed::Truncated));
        assert_eq!(c.u8(), Ok(3));
        assert!(c.is_empty());
    }
}
