//! Base 64, decoded as it comes.
//!
//! Promises: any cut of the text gives the same bytes; what is no base 64 is passed over and reported once.
//! Source: RFC 4648; Zeek `Base64.cc` for what is forgiven.

/// What is wrong with the text; said in Zeek's words by its `Display`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A character that does not belong to the alphabet was passed over.
    Character(u8),
    /// Groups after the padding were passed over.
    AfterPadding,
    /// The last group is incomplete: this many bits were added.
    Incomplete(u32),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Zeek prints a signed char.
            Self::Character(c) => {
                write!(f, "character {} ignored by Base64 decoding", i8::from_ne_bytes([*c]))
            }
            Self::AfterPadding => f.write_str("extra base64 groups after '=' padding are ignored"),
            Self::Incomplete(bits) => write!(f, "incomplete base64 group, padding with {bits} bits of 0"),
        }
    }
}

/// A decoder.
#[derive(Clone, Default, Debug)]
pub struct Decoder {
    group: u32,
    have: u32,
    padding: u32,
    after_padding: bool,
    fault: Option<Fault>,
}

impl Decoder {
    /// Decodes `text` and adds the bytes to `out`.
    pub fn decode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        for byte in text {
            if *byte == b'=' {
                self.padding += 1;
            }
            let Some(bits) = value(*byte) else {
                self.fault.get_or_insert(Fault::Character(*byte));
                continue;
            };
            self.group = self.group << 6 | u32::from(bits);
            self.have += 1;
            if self.have == 4 {
                self.complete(out);
            }
        }
    }

    /// A group of four characters is complete.
    fn complete(&mut self, out: &mut Vec<u8>) {
        if self.after_padding {
            self.fault.get_or_insert(Fault::AfterPadding);
        } else {
            let [_, bytes @ ..] = self.group.to_be_bytes();
            let count = 3usize.saturating_sub(self.padding as usize);
            out.extend_from_slice(bytes.get(..count).unwrap_or_default());
            self.after_padding = self.padding > 0;
            self.padding = 0;
        }
        (self.group, self.have) = (0, 0);
    }

    /// The text has ended: an incomplete group is padded. Answers that fault, if there is one.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Option<Fault> {
        if self.have == 0 {
            return None;
        }
        let missing = 4 - self.have;
        self.decode(b"===".get(..missing as usize).unwrap_or_default(), out);
        Some(Fault::Incomplete(missing * 6))
    }

    /// The first fault in the text so far.
    pub const fn fault(&self) -> Option<Fault> {
        self.fault
    }
}

const fn value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        b'=' => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> (Vec<u8>, Option<Fault>, Option<Fault>) {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        for byte in text.bytes() {
            decoder.decode(&[byte], &mut out);
        }
        let fault = decoder.fault();
        let end = decoder.finish(&mut out);
        (out, fault, end)
    }

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decode("YWJj"), (b"abc".to_vec(), None, None));
        assert_eq!(decode("YWI="), (b"ab".to_vec(), None, None));
        assert_eq!(decode("YQ=="), (b"a".to_vec(), None, None));
    }

    #[test]
    fn what_is_wrong_is_told_and_passed_over() {
        assert_eq!(decode("Y WJj"), (b"abc".to_vec(), Some(Fault::Character(b' ')), None));
        assert_eq!(decode("YQ==YWJj"), (b"a".to_vec(), Some(Fault::AfterPadding), None));
        assert_eq!(decode("YWI"), (b"ab".to_vec(), None, Some(Fault::Incomplete(6))));
        assert_eq!(Fault::Character(32).to_string(), "character 32 ignored by Base64 decoding");
    }
}
