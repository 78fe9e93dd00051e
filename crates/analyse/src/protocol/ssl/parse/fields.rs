//! The fields of a structure, and what it means to read past its end.
//!
//! Promise: every read is checked; the failure has the words in which Zeek's parser generator reports it: the field,
//! the bytes that it needs from the start of its structure, and the bytes that are there.

use std::fmt;

use weir_record::Text;

/// A field lies beyond the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfBound {
    /// The structure, or structure and field.
    pub what: &'static str,
    /// Bytes that it needs.
    pub need: usize,
    /// Bytes that are there.
    pub have: usize,
}

impl fmt::Display for OutOfBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "binpac exception: out_of_bound: {}: {} > {}", self.what, self.need, self.have)
    }
}

impl OutOfBound {
    /// The reason of the violation that follows.
    pub fn reason(self) -> Text {
        format!("Binpac exception: {self}").into()
    }
}

/// Reads the fields of one structure.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    whole: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// At the start of a structure.
    pub const fn new(whole: &'a [u8]) -> Self {
        Self { whole, at: 0 }
    }

    /// At the start of a structure that is `length` bytes of `bytes` long.
    pub fn sized(bytes: &'a [u8], length: usize, what: &'static str) -> Result<Self, OutOfBound> {
        match bytes.get(..length) {
            Some(whole) => Ok(Self::new(whole)),
            None => Err(OutOfBound { what, need: length, have: bytes.len() }),
        }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.whole.get(self.at..).unwrap_or_default()
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.at >= self.whole.len()
    }

    /// How much has been read.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The next `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], OutOfBound> {
        let need = self.at.saturating_add(n);
        let bytes = self.whole.get(self.at..need).ok_or(OutOfBound { what, need, have: self.whole.len() })?;
        self.at = need;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], OutOfBound> {
        let bytes = self.take(N, what)?;
        bytes.first_chunk().copied().ok_or(OutOfBound { what, need: N, have: bytes.len() })
    }

    /// The next byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, OutOfBound> {
        self.array::<1>(what).map(|[a]| a)
    }

    /// The next two bytes.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, OutOfBound> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// The next three bytes.
    pub fn u24(&mut self, what: &'static str) -> Result<u32, OutOfBound> {
        self.array(what).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    /// The next four bytes.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, OutOfBound> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Bytes that a length of one byte announces.
    pub fn vector8(&mut self, what: &'static str) -> Result<&'a [u8], OutOfBound> {
        let length = self.u8(what)?;
        self.take(usize::from(length), what)
    }

    /// Bytes that a length of two bytes announces.
    pub fn vector16(&mut self, what: &'static str) -> Result<&'a [u8], OutOfBound> {
        let length = self.u16(what)?;
        self.take(usize::from(length), what)
    }

    /// Bytes that a length of three bytes announces.
    pub fn vector24(&mut self, what: &'static str) -> Result<&'a [u8], OutOfBound> {
        let length = self.u24(what)?;
        self.take(length as usize, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_says_what_was_missing() {
        let mut f = Fields::new(&[0, 3, 1, 2]);
        let e = f.vector16("Structure:field").unwrap_err();
        assert_eq!(e.to_string(), "binpac exception: out_of_bound: Structure:field: 5 > 4");
        assert_eq!(
            e.reason(),
            "Binpac exception: binpac exception: out_of_bound: Structure:field: 5 > 4".into()
        );
        assert!(Fields::sized(&[1], 2, "S").is_err());
    }

    #[test]
    fn fields_follow_each_other() {
        let mut f = Fields::new(&[1, 0, 2, 0, 0, 3, 9]);
        assert_eq!((f.u8("a"), f.u16("b"), f.u24("c")), (Ok(1), Ok(2), Ok(3)));
        assert_eq!(f.rest(), [9]);
        assert!(!f.is_empty());
    }
}
