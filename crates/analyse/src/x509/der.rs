//! DER as far as certificates need it: elements with one byte of tag and a definite length.
//!
//! Promise: every read is checked and moves forward; nothing recurses over input.
//! Source: ITU-T X.690.

/// BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// NULL.
pub const NULL: u8 = 0x05;
/// OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// UTCTime.
pub const UTC_TIME: u8 = 0x17;
/// GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// SEQUENCE, SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;
/// SET, SET OF.
pub const SET: u8 = 0x31;

/// One element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    /// The tag with class and form.
    pub tag: u8,
    /// The contents.
    pub body: &'a [u8],
    /// Tag, length and contents.
    pub whole: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The tag of the next element.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element, of any tag.
    pub fn any(&mut self) -> Option<Element<'a>> {
        let (&tag, after) = self.rest.split_first()?;
        // Neither long tags nor the end of contents whose length was not said.
        if tag & 0x1f == 0x1f || tag == 0 {
            return None;
        }
        let (length, after) = length(after)?;
        let (body, rest) = after.split_at_checked(length)?;
        let whole = self.rest.get(..self.rest.len() - rest.len())?;
        self.rest = rest;
        Some(Element { tag, body, whole })
    }

    /// The next element, which must have `tag`.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.peek()? != tag {
            return None;
        }
        self.any().map(|e| e.body)
    }

    /// The next element where it has `tag`; the outer `None` is a malformed one.
    #[allow(clippy::option_option, reason = "absent and malformed are two things")]
    pub fn optional(&mut self, tag: u8) -> Option<Option<&'a [u8]>> {
        if self.peek() == Some(tag) { self.any().map(|e| Some(e.body)) } else { Some(None) }
    }

    /// A reader over the next element, which must have `tag`.
    pub fn inside(&mut self, tag: u8) -> Option<Self> {
        self.expect(tag).map(Self::new)
    }

    /// The magnitude of the next INTEGER and whether it is negative.
    pub fn integer(&mut self) -> Option<Integer<'a>> {
        Integer::new(self.expect(INTEGER)?)
    }

    /// The bytes of the next BIT STRING.
    pub fn bits(&mut self) -> Option<&'a [u8]> {
        let (&unused, bytes) = self.expect(BIT_STRING)?.split_first()?;
        (unused <= 7).then_some(bytes)
    }
}

impl Element<'_> {
    /// Whether the contents are such as the type has.
    pub fn is_sound(&self) -> bool {
        match self.tag {
            NULL => self.body.is_empty(),
            BOOLEAN => self.body.len() == 1,
            INTEGER => Integer::new(self.body).is_some(),
            BIT_STRING => self.body.first().is_some_and(|unused| *unused <= 7),
            OID => super::oid::is_well_formed(self.body),
            _ => true,
        }
    }
}

/// The length field and what follows it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    // No form without end, and nothing that is longer than 4 GiB says it is.
    if count == 0 || count > 4 {
        return None;
    }
    let (digits, rest) = rest.split_at_checked(count)?;
    let value = digits.iter().fold(0_u64, |n, d| n << 8 | u64::from(*d));
    usize::try_from(value).ok().map(|n| (n, rest))
}

/// An INTEGER in two's complement, as it stands on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Integer<'a>(&'a [u8]);

impl<'a> Integer<'a> {
    /// Checks that there are contents and no padding.
    pub fn new(body: &'a [u8]) -> Option<Self> {
        match body {
            [] => None,
            [0, next, ..] if next & 0x80 == 0 => None,
            [0xff, next, ..] if next & 0x80 != 0 => None,
            _ => Some(Self(body)),
        }
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.0.first().is_some_and(|b| b & 0x80 != 0)
    }

    /// The absolute value, without the byte that only carries the sign; zero is one byte.
    pub fn magnitude(self) -> std::borrow::Cow<'a, [u8]> {
        if !self.is_negative() {
            return match self.0 {
                [0, rest @ ..] if !rest.is_empty() => rest.into(),
                all => all.into(),
            };
        }
        let mut bytes = self.0.to_vec();
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
        if bytes.first() == Some(&0) && bytes.len() > 1 {
            bytes.remove(0);
        }
        bytes.into()
    }

    /// The value where it is small enough.
    pub fn small(self) -> Option<i64> {
        if self.0.len() > 8 {
            return None;
        }
        let start = if self.is_negative() { -1_i64 } else { 0 };
        Some(self.0.iter().fold(start, |n, b| n << 8 | i64::from(*b)))
    }
}

/// How many bits the number `bytes`, without leading zeros, has.
pub fn bit_length(bytes: &[u8]) -> u64 {
    let Some((first, rest)) = bytes.split_first() else { return 0 };
    u64::from(8 - first.leading_zeros()) + 8 * rest.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_follow_each_other() {
        let mut r = Reader::new(&[0x30, 3, 2, 1, 5, 1, 0x81, 1, 0xff]);
        let mut s = r.inside(SEQUENCE).unwrap();
        assert_eq!(s.integer().unwrap().small(), Some(5));
        assert!(s.is_empty());
        assert_eq!(r.optional(INTEGER), Some(None));
        assert_eq!(r.optional(BOOLEAN), Some(Some(&[0xff][..])));
        assert_eq!(r.any(), None);
    }

    #[test]
    fn a_length_that_lies_is_no_element() {
        assert_eq!(Reader::new(&[0x30, 5, 1]).any(), None);
        assert_eq!(Reader::new(&[0x30, 0x80, 0, 0]).any(), None);
        assert_eq!(Reader::new(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0]).any(), None);
    }

    #[test]
    fn integers_have_a_magnitude_and_a_sign() {
        let magnitude = |b: &'static [u8]| Integer::new(b).unwrap().magnitude().to_vec();
        assert_eq!(magnitude(&[0, 0xe8]), [0xe8]);
        assert_eq!(magnitude(&[0]), [0]);
        assert_eq!(magnitude(&[0xff]), [1]);
        assert_eq!(magnitude(&[0xff, 0x00]), [1, 0]);
        assert_eq!(magnitude(&[0x80]), [0x80]);
        assert_eq!(Integer::new(&[0, 1]), None);
        assert_eq!(Integer::new(&[0xfe, 0xff]).unwrap().small(), Some(-257));
    }

    #[test]
    fn bits_are_counted_from_the_highest_set_one() {
        assert_eq!((bit_length(&[]), bit_length(&[1]), bit_length(&[0x80, 0])), (0, 1, 16));
    }
}
