//! Undoes the transfer encoding of a body, line by line.
//!
//! Promises: bytes that need no decoding are handed on, not copied; the buffer for decoded bytes grows with one line
//! only. Source: RFC 2045, 6.7 and 6.8; Zeek `analyzer/protocol/mime/MIME.cc`.

use super::base64;
use super::content::TransferEncoding;

/// The decoder of one body.
#[derive(Clone, Default, Debug)]
pub struct Transfer {
    base64: Option<Box<base64::Decoder>>,
    buffer: Vec<u8>,
    /// A line end that belongs to the body only if another line follows.
    owed: bool,
}

impl Transfer {
    /// Takes a line of the body, which a line end follows if `ended`. `delay`: the body is a part of a multipart body,
    /// whose last line end belongs to the boundary. `data` gets the bytes.
    pub fn line(
        &mut self,
        encoding: TransferEncoding,
        line: &[u8],
        ended: bool,
        delay: bool,
        data: &mut impl FnMut(&[u8]),
    ) {
        match encoding {
            TransferEncoding::Identity => {
                if std::mem::take(&mut self.owed) {
                    data(b"\r\n");
                }
                if !line.is_empty() {
                    data(line);
                }
                if ended && delay {
                    self.owed = true;
                } else if ended {
                    data(b"\r\n");
                }
            }
            TransferEncoding::QuotedPrintable => {
                self.buffer.clear();
                quoted_printable(line, &mut self.buffer);
                self.flush(data);
            }
            TransferEncoding::Base64 => {
                self.buffer.clear();
                self.base64.get_or_insert_default().decode(line, &mut self.buffer);
                self.flush(data);
            }
        }
    }

    /// The body has ended. Answers what was wrong with its base 64, if anything.
    pub fn end(&mut self, data: &mut impl FnMut(&[u8])) -> Option<base64::Fault> {
        let mut decoder = self.base64.take()?;
        self.buffer.clear();
        let incomplete = decoder.finish(&mut self.buffer);
        self.flush(data);
        decoder.fault().or(incomplete)
    }

    fn flush(&mut self, data: &mut impl FnMut(&[u8])) {
        if !self.buffer.is_empty() {
            data(&self.buffer);
        }
    }
}

/// Decodes one line of quoted-printable, its line end included unless it is soft.
fn quoted_printable(line: &[u8], out: &mut Vec<u8>) {
    let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |at| at + 1);
    let mut rest = line.get(..end).unwrap_or_default();
    loop {
        rest = match rest {
            [b'='] => return,
            [b'=', high, low, behind @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                behind
            }
            [byte, behind @ ..] => {
                out.push(*byte);
                behind
            }
            [] => break,
        };
    }
    out.extend_from_slice(b"\r\n");
}

/// The value of a hexadecimal digit.
pub const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: TransferEncoding, lines: &[&str], delay: bool) -> String {
        let (mut transfer, mut out) = (Transfer::default(), Vec::new());
        for line in lines {
            transfer.line(encoding, line.as_bytes(), true, delay, &mut |b| out.extend_from_slice(b));
        }
        transfer.end(&mut |b| out.extend_from_slice(b));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_last_line_end_of_a_part_belongs_to_the_boundary() {
        assert_eq!(decode(TransferEncoding::Identity, &["a", "", "b"], true), "a\r\n\r\nb");
        assert_eq!(decode(TransferEncoding::Identity, &["a", "b"], false), "a\r\nb\r\n");
    }

    #[test]
    fn quoted_printable_is_decoded() {
        let lines = ["a=3Db =", "c=C3=A9 \t", "=zz"];
        assert_eq!(decode(TransferEncoding::QuotedPrintable, &lines, false), "a=b cé\r\n=zz\r\n");
    }

    #[test]
    fn base64_may_be_cut_anywhere() {
        assert_eq!(decode(TransferEncoding::Base64, &["YW", "Jj", "ZA"], false), "abcd");
    }
}
