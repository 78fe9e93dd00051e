//! What a header says of the body below it: its type, its parts, its transfer encoding.
//!
//! Source: RFC 2045, RFC 2046; Zeek `analyzer/protocol/mime/MIME.cc`.

use super::header::Header;
use super::token;

/// As far as the type of a body matters for taking it apart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Kind {
    /// `multipart/...`, with a boundary.
    Multipart,
    /// `message/...`: another header and body.
    Message,
    /// Anything else.
    #[default]
    Leaf,
}

/// How a body is encoded for transfer by mail (HTTP's content codings are another thing).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum TransferEncoding {
    /// As it is.
    #[default]
    Identity,
    /// Quoted-printable.
    QuotedPrintable,
    /// Base 64.
    Base64,
}

/// What the header has said so far.
#[derive(Clone, Default, Debug)]
pub struct Content {
    /// The type.
    pub kind: Kind,
    /// The encoding.
    pub encoding: TransferEncoding,
    /// The boundary between parts.
    boundary: Option<Vec<u8>>,
}

/// Whether a line is a boundary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Boundary {
    /// It is not.
    None,
    /// A part begins.
    Part,
    /// The last part has ended.
    Closing,
}

impl Content {
    /// Of a part of something with `encoding`, which it inherits.
    pub fn inherit(encoding: TransferEncoding) -> Self {
        Self { encoding, ..Self::default() }
    }

    /// Takes note of `header` where it is about the content.
    pub fn note(&mut self, header: &Header<'_>) {
        if header.is("content-type") {
            self.note_type(header);
        } else if header.is("content-transfer-encoding") {
            self.note_encoding(header);
        }
    }

    fn note_type(&mut self, header: &Header<'_>) {
        let Some((kind, _, parameters)) = token::slash_pair(header.value) else { return };
        self.kind = match () {
            () if kind.eq_ignore_ascii_case(b"multipart") => Kind::Multipart,
            () if kind.eq_ignore_ascii_case(b"message") => Kind::Message,
            () => Kind::Leaf,
        };
        if self.kind == Kind::Multipart {
            if let Some(boundary) = boundary_of(parameters) {
                self.boundary = Some(boundary);
            }
            if self.boundary.is_none() {
                self.kind = Kind::Leaf;
            }
        }
    }

    fn note_encoding(&mut self, header: &Header<'_>) {
        let Some((word, _)) = header.token() else { return };
        self.encoding = match () {
            () if word.eq_ignore_ascii_case(b"quoted-printable") => TransferEncoding::QuotedPrintable,
            () if word.eq_ignore_ascii_case(b"base64") => TransferEncoding::Base64,
            () => TransferEncoding::Identity,
        };
    }

    /// Whether `line` is a boundary of this content's parts.
    pub fn boundary(&self, line: &[u8]) -> Boundary {
        let behind = (self.kind == Kind::Multipart)
            .then_some(line)
            .and_then(|line| line.strip_prefix(b"--"))
            .and_then(|line| line.strip_prefix(self.boundary.as_deref()?));
        match behind {
            None => Boundary::None,
            Some(rest) if rest.starts_with(b"--") => Boundary::Closing,
            Some(_) => Boundary::Part,
        }
    }
}

/// The boundary among `parameters`; the last one where there are several.
fn boundary_of(mut parameters: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;
    while let Some(rest) = token::skip_space(parameters).strip_prefix(b";") {
        let Some((name, rest)) = token::token(rest) else { break };
        let Some(rest) = token::skip_space(rest).strip_prefix(b"=") else {
            parameters = rest;
            continue;
        };
        let is_boundary = name.eq_ignore_ascii_case(b"boundary");
        let value = if is_boundary { token::boundary(rest) } else { token::value(rest) };
        parameters = rest;
        if let Some((value, rest)) = value {
            parameters = rest;
            if is_boundary {
                found = Some(value);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(value: &str) -> Content {
        let mut content = Content::default();
        content.note(&Header { name: b"Content-Type", value: value.as_bytes() });
        content
    }

    #[test]
    fn a_boundary_may_be_anywhere_among_the_parameters() {
        let content = content("Multipart/Form-Data; charset=\"utf-8\"; boundary=(a b)=c/d");
        assert_eq!(content.kind, Kind::Multipart);
        assert_eq!(content.boundary(b"--(a"), Boundary::Part);
        let content = self::content("multipart/mixed; charset=x; boundary=\"x y\"; z=1");
        assert_eq!(content.boundary(b"--x y"), Boundary::Part);
        assert_eq!(content.boundary(b"--x y--"), Boundary::Closing);
        assert_eq!(content.boundary(b"--x"), Boundary::None);
        assert_eq!(content.boundary(b"x y"), Boundary::None);
    }

    #[test]
    fn multipart_without_a_boundary_is_a_leaf() {
        assert_eq!(content("multipart/mixed").kind, Kind::Leaf);
        assert_eq!(content("multipart/mixed; boundary").kind, Kind::Leaf);
        assert_eq!(content("message/rfc822").kind, Kind::Message);
        assert_eq!(content("nonsense").kind, Kind::Leaf);
    }
}
