//! Integers of either byte order, for formats that are written in the order of the machine that captured.

/// The byte order of a capture, or of a section of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Endian {
    /// Least significant byte first.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

impl Endian {
    /// The 16-bit integer at `at`, or `None` past the end.
    #[inline]
    pub fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let b = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(b),
            Self::Big => u16::from_be_bytes(b),
        })
    }

    /// The 32-bit integer at `at`, or `None` past the end.
    #[inline]
    pub fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let b = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(b),
            Self::Big => u32::from_be_bytes(b),
        })
    }

    /// The 64-bit integer at `at`, or `None` past the end.
    #[inline]
    pub fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let b = *bytes.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u64::from_le_bytes(b),
            Self::Big => u64::from_be_bytes(b),
        })
    }

    /// The bytes of a 16-bit integer.
    #[inline]
    pub const fn bytes16(self, n: u16) -> [u8; 2] {
        match self {
            Self::Little => n.to_le_bytes(),
            Self::Big => n.to_be_bytes(),
        }
    }

    /// The bytes of a 32-bit integer.
    #[inline]
    pub const fn bytes32(self, n: u32) -> [u8; 4] {
        match self {
            Self::Little => n.to_le_bytes(),
            Self::Big => n.to_be_bytes(),
        }
    }

    /// The bytes of a 64-bit integer.
    #[inline]
    pub const fn bytes64(self, n: u64) -> [u8; 8] {
        match self {
            Self::Little => n.to_le_bytes(),
            Self::Big => n.to_be_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_they_were_written() {
        for endian in [Endian::Little, Endian::Big] {
            assert_eq!(endian.u16(&endian.bytes16(0x1234), 0), Some(0x1234));
            assert_eq!(endian.u32(&endian.bytes32(0x1234_5678), 0), Some(0x1234_5678));
            assert_eq!(endian.u64(&endian.bytes64(1 << 40), 0), Some(1 << 40));
            assert_eq!(endian.u32(&[1, 2, 3], 0), None);
            assert_eq!(endian.u32(&[1, 2, 3, 4], usize::MAX), None);
        }
    }
}
