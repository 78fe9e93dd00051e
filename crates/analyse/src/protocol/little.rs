//! Reading numbers whose low byte comes first, as Windows' protocols write them.

/// There are fewer bytes than were asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Short;

/// What is left of a message.
#[derive(Clone, Copy, Debug)]
pub struct Little<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Little<'a> {
    /// Reads `whole` from its beginning.
    pub const fn new(whole: &'a [u8]) -> Self {
        Self { whole, at: 0 }
    }

    /// How many bytes were read.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// All that is left.
    pub fn rest(&self) -> &'a [u8] {
        self.whole.get(self.at..).unwrap_or_default()
    }

    /// Goes on at `at`, unless that was passed already.
    ///
    /// # Errors
    /// The message ends before.
    pub fn pad_to(&mut self, at: usize) -> Result<(), Short> {
        if at > self.whole.len() {
            return Err(Short);
        }
        self.at = self.at.max(at);
        Ok(())
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// The message ends before.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let end = self.at.checked_add(len).ok_or(Short)?;
        let taken = self.whole.get(self.at..end).ok_or(Short)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.take(N)?.first_chunk().copied().ok_or(Short)
    }

    /// One byte.
    ///
    /// # Errors
    /// The message ends before.
    pub fn u8(&mut self) -> Result<u8, Short> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes.
    ///
    /// # Errors
    /// The message ends before.
    pub fn u16(&mut self) -> Result<u16, Short> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// The message ends before.
    pub fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// The message ends before.
    pub fn u64(&mut self) -> Result<u64, Short> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Text in UTF-16 as UTF-8, without what follows a zero; unpaired surrogates become U+FFFD.
pub fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).filter_map(|pair| pair.first_chunk().copied().map(u16::from_le_bytes));
    let text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    text.split('\0').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_low_byte_first_and_never_beyond_the_end() {
        let mut r = Little::new(&[1, 2, 3, 4, 5]);
        assert_eq!(r.u16(), Ok(0x201));
        assert_eq!(r.u32(), Err(Short));
        assert_eq!(r.take(3), Ok(&[3, 4, 5][..]));
        assert_eq!(r.u8(), Err(Short));
        assert_eq!(r.pad_to(6), Err(Short));
        assert_eq!(utf16(b"a\0b\0\0\0c\0"), "ab");
    }
}
