//! Content-Range: which part of a file a 206 reply carries.
//!
//! Source: RFC 9110, 14.4; Zeek `analyzer/protocol/http/HTTP.cc` for the weirds.

use super::number;
use crate::protocol::mime::Header;

/// A part of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ContentRange {
    /// Where it begins.
    pub first: u64,
    /// How long it is, at least 1.
    pub len: i64,
    /// How long the file is; `None`: not told, 0: not readable.
    pub instance: Option<u64>,
}

/// The longest range that a weird quotes.
const MAX_QUOTED: usize = 256;

/// Reads the field. `odd` is told weirds: the name, and the range where Zeek says it.
pub fn read(header: &Header<'_>, odd: &mut impl FnMut(&'static str, Option<&[u8]>)) -> Option<ContentRange> {
    let (unit, rest) = header.token().unwrap_or_default();
    if unit != b"bytes" {
        odd("HTTP_content_range_unknown_byte_unit", None);
        return None;
    }
    let range: Vec<u8> = rest.iter().copied().filter(|byte| *byte != b' ').take(MAX_QUOTED).collect();
    let cut = |text: &'_ [u8], by: u8| text.iter().position(|byte| *byte == by);
    let Some((span, instance)) = cut(&range, b'/').and_then(|at| range.split_at_checked(at)) else {
        odd("HTTP_content_range_cannot_parse", None);
        return None;
    };
    let Some((first, last)) = cut(span, b'-').and_then(|at| span.split_at_checked(at)) else {
        odd("HTTP_content_range_cannot_parse", None);
        return None;
    };
    let last = number::read(last.get(1..).unwrap_or_default(), 10);
    let (Some(first), Some(last)) = (number::read(first, 10), last) else {
        odd("HTTP_content_range_cannot_parse", Some(&range));
        return None;
    };
    let fault = match (u64::try_from(first), last) {
        (Err(_), _) | (_, i64::MIN..0) => "HTTP_content_range_invalid",
        _ if last < first => "HTTP_non_positive_content_range",
        _ if last - first == i64::MAX => "HTTP_content_range_overflow",
        (Ok(first), _) => {
            let len = last - first as i64 + 1;
            return Some(ContentRange { first, len, instance: instance_of(instance, &range, odd) });
        }
    };
    odd(fault, Some(&range));
    None
}

fn instance_of(text: &[u8], range: &[u8], odd: &mut impl FnMut(&'static str, Option<&[u8]>)) -> Option<u64> {
    let text = text.get(1..).unwrap_or_default();
    if text == b"*" {
        return None;
    }
    let instance = number::read(text, 10);
    if instance.is_none() {
        odd("HTTP_content_range_invalid_instance", Some(range));
    }
    Some(instance.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(value: &str) -> (Option<ContentRange>, Vec<String>) {
        let mut odd = Vec::new();
        let header = Header { name: b"Content-Range", value: value.as_bytes() };
        let read = read(&header, &mut |name, addl| {
            odd.push(format!("{name} {}", String::from_utf8_lossy(addl.unwrap_or(b"-"))));
        });
        (read, odd)
    }

    #[test]
    fn a_range_has_a_place_a_length_and_a_whole() {
        let some = |first, len, instance| (Some(ContentRange { first, len, instance }), vec![]);
        assert_eq!(range("bytes 10-19/100"), some(10, 10, Some(100)));
        assert_eq!(range("bytes  0 - 0 / *"), some(0, 1, None));
    }

    #[test]
    fn broken_ranges_are_told_in_zeeks_words() {
        let odd = |value: &str| range(value).1.first().cloned().unwrap_or_default();
        assert_eq!(odd("lines 1-2/3"), "HTTP_content_range_unknown_byte_unit -");
        assert_eq!(odd("bytes 1-2"), "HTTP_content_range_cannot_parse -");
        assert_eq!(odd("bytes 1-x/3"), "HTTP_content_range_cannot_parse 1-x/3");
        assert_eq!(odd("bytes 0--5/*"), "HTTP_content_range_invalid 0--5/*");
        assert_eq!(odd("bytes 10-5/*"), "HTTP_non_positive_content_range 10-5/*");
        let most = "0-9223372036854775807/9223372036854775808";
        assert_eq!(odd(&format!("bytes {most}")), format!("HTTP_content_range_overflow {most}"));
        assert_eq!(odd("bytes 0-5/x"), "HTTP_content_range_invalid_instance 0-5/x");
    }
}
