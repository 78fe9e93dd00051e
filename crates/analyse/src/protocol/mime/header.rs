//! Header fields: one is put together from its folded lines, then cut into name and value.
//!
//! Source: RFC 5322 (folding), Zeek `analyzer/protocol/mime/MIME.cc` for what is forgiven.

use super::token;

/// Most bytes of one header field; lines folded beyond are dropped (Zeek: `MIME::max_header_bytes`). The last line
/// that fits may lead past it, by the bound of a line.
pub const MAX_HEADER_BYTES: usize = 65_536;

/// What a line in a header is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// The header is over.
    End,
    /// It goes on with the field before.
    Fold,
    /// It begins a field.
    Field,
}

impl Line {
    /// What `line` is.
    pub fn of(line: &[u8]) -> Self {
        match line.first() {
            None | Some(0) => Self::End,
            Some(first) if token::is_space(*first) => Self::Fold,
            Some(_) => Self::Field,
        }
    }
}

/// The field whose last line may not have come yet. Its buffer is used again for each field.
#[derive(Clone, Default, Debug)]
pub struct Pending {
    bytes: Vec<u8>,
    lines: u32,
}

impl Pending {
    /// Begins a field; whatever was pending is forgotten.
    pub fn begin(&mut self, line: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(line);
        self.lines = 1;
    }

    /// Adds a folded line. With no field to add to, the line begins one. False: the field was too long already, and the
    /// line was dropped.
    pub fn fold(&mut self, line: &[u8]) -> bool {
        if self.lines == 0 {
            let start = line.iter().take_while(|byte| token::is_space(**byte)).count();
            let line = line.get(start..).unwrap_or_default();
            if !line.is_empty() {
                self.begin(line);
            }
            return true;
        }
        if self.bytes.len() >= MAX_HEADER_BYTES {
            return false;
        }
        self.bytes.extend_from_slice(line);
        self.lines = self.lines.saturating_add(1);
        true
    }

    /// How many bytes the field has so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether no field is pending.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Takes the field out, if any: its bytes and of how many lines it was. Give the buffer back with
    /// [`Pending::recycle`].
    pub fn take(&mut self) -> Option<(Vec<u8>, u32)> {
        let lines = std::mem::take(&mut self.lines);
        (lines > 0).then(|| (std::mem::take(&mut self.bytes), lines))
    }

    /// Gives a buffer back.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.bytes.capacity() == 0 {
            buffer.clear();
            self.bytes = buffer;
        }
    }
}

/// A header field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// Its name as it came.
    pub name: &'a [u8],
    /// Its value without leading space.
    pub value: &'a [u8],
}

impl<'a> Header<'a> {
    /// Cuts a field into name and value; `None` where it is none.
    pub fn parse(field: &'a [u8]) -> Option<Self> {
        let (name, rest) = token::field_name(field)?;
        let value = token::skip_space(rest).strip_prefix(b":")?;
        let start = value.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0x0b).count();
        Some(Self { name, value: value.get(start..).unwrap_or_default() })
    }

    /// Whether the name is `name`, in whatever case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The first token of the value and what is behind it.
    pub fn token(&self) -> Option<(&'a [u8], &'a [u8])> {
        token::token(self.value)
    }

    /// Whether the first token of the value is `word`, in whatever case.
    pub fn token_is(&self, word: &str) -> bool {
        self.token().is_some_and(|(token, _)| token.eq_ignore_ascii_case(word.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_cut_into_name_and_value() {
        let header = Header::parse(b"Content-Type :\t text/html ").unwrap();
        assert_eq!((header.name, header.value), (&b"Content-Type"[..], &b"text/html "[..]));
        assert!(header.is("content-type") && header.token_is("TEXT"));
        assert_eq!(Header::parse(b"Empty:").unwrap().value, b"");
        assert_eq!(Header::parse(b"no colon"), None);
        assert_eq!(Header::parse(b": no name"), None);
    }

    #[test]
    fn folded_lines_make_one_field() {
        let mut pending = Pending::default();
        assert!(pending.fold(b"  "));
        assert!(pending.is_empty());
        pending.begin(b"A:");
        assert!(pending.fold(b"\tb"));
        let (field, lines) = pending.take().unwrap();
        assert_eq!((&field[..], lines), (&b"A:\tb"[..], 2));
        pending.recycle(field);
        assert!(pending.take().is_none());
    }

    #[test]
    fn a_field_that_is_too_long_takes_no_more_lines() {
        let mut pending = Pending::default();
        pending.begin(&[b'a'; 1000]);
        let added = (0..1000).filter(|_| pending.fold(&[b' '; 1000])).count();
        assert!(added < 70 && pending.len() < MAX_HEADER_BYTES + 1000);
    }
}
