//! URIs as they are logged: with their escapes undone.
//!
//! Source: RFC 3986; Zeek `analyzer/protocol/http/HTTP.cc` (`unescape_URI`) for what is forgiven.

use std::borrow::Cow;

use crate::protocol::mime::transfer::hex;

/// Whether a byte may stand in a URI; Zeek takes NUL for one that may.
pub const fn may_hold(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b':' | b'/' | b'?' | b'#' | b'[' | b']' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*'
        )
        || matches!(byte, b'+' | b',' | b';' | b'=' | b'-' | b'_' | b'.' | b'~' | b'%' | 0)
}

/// Undoes the escapes in `text`: `%41`, and `%u0041`, which no standard knows but some programs write. `odd` is told
/// the names of weirds.
pub fn unescape<'a>(text: &'a [u8], odd: &mut impl FnMut(&'static str)) -> Cow<'a, [u8]> {
    let Some(first) = memchr::memchr(b'%', text) else { return Cow::Borrowed(text) };
    let (plain, mut rest) = text.split_at_checked(first).unwrap_or((text, &[]));
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(plain);
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte == b'%' {
            rest = escape(behind, &mut out, odd);
        } else {
            out.push(*byte);
        }
    }
    Cow::Owned(out)
}

/// Undoes one escape, whose `%` has been read; answers what is behind it.
fn escape<'a>(text: &'a [u8], out: &mut Vec<u8>, odd: &mut impl FnMut(&'static str)) -> &'a [u8] {
    let pair = |high: u8, low: u8| hex(high) << 4 | hex(low);
    match text {
        [] => {
            odd("illegal_%_at_end_of_URI");
            out.push(b'%');
            &[]
        }
        [last] => {
            odd("partial_escape_at_end_of_URI");
            out.extend_from_slice(&[b'%', *last]);
            &[]
        }
        // The first of two is passed over.
        [b'%', ..] => {
            odd("double_%_in_URI");
            text
        }
        [a, b, rest @ ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
            out.push(pair(*a, *b));
            rest
        }
        [b'u', a, b, c, d, rest @ ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => {
            if (*a, *b) != (b'0', b'0') {
                out.push(pair(*a, *b));
            }
            out.push(pair(*c, *d));
            rest
        }
        [byte, rest @ ..] => {
            odd("unescaped_%_in_URI");
            out.extend_from_slice(&[b'%', *byte]);
            rest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undo(text: &str) -> (String, Vec<&'static str>) {
        let mut odd = Vec::new();
        let out = unescape(text.as_bytes(), &mut |name| odd.push(name)).into_owned();
        (String::from_utf8(out).unwrap(), odd)
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(undo("/a%20b%2Fc"), ("/a b/c".into(), vec![]));
        assert_eq!(undo("/%u0041%u4142"), ("/AAB".into(), vec![]));
        assert!(matches!(unescape(b"/plain", &mut |_| {}), Cow::Borrowed(_)));
    }

    #[test]
    fn broken_escapes_are_kept_and_told() {
        assert_eq!(undo("/a%"), ("/a%".into(), vec!["illegal_%_at_end_of_URI"]));
        assert_eq!(undo("/a%4"), ("/a%4".into(), vec!["partial_escape_at_end_of_URI"]));
        assert_eq!(undo("/%%41"), ("/A".into(), vec!["double_%_in_URI"]));
        assert_eq!(undo("/%zzz"), ("/%zzz".into(), vec!["unescaped_%_in_URI"]));
    }
}
