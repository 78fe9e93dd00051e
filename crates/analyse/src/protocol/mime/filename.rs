//! The name of a file, out of a Content-Disposition or Content-Type field.
//!
//! Source: Zeek `base/utils/files.zeek` and `base/protocols/http/entities.zeek`; RFC 6266, RFC 5987.

use crate::protocol::uri;

/// The file name in the value of a Content-Disposition field.
pub fn in_disposition(value: &[u8]) -> Option<Vec<u8>> {
    parameters(value, b"filename", true).next().is_some().then(|| extract(value))
}

/// The file name in the value of a Content-Type field.
pub fn in_type(value: &[u8]) -> Option<Vec<u8>> {
    parameters(value, b"name", false).next().is_some().then(|| extract(value))
}

/// Where, in `text`, the values begin of parameters whose name ends in `name`. `star`: `name*=` counts too.
fn parameters<'a>(text: &'a [u8], name: &'static [u8], star: bool) -> impl Iterator<Item = usize> + 'a {
    memchr::memchr_iter(b'=', text).filter_map(move |at| {
        let mut before = text.get(..at)?;
        if star && before.last() == Some(&b'*') {
            before = before.get(..before.len() - 1)?;
        }
        let end = before.iter().rposition(|b| !matches!(b, b' ' | b'\t'))?;
        let start = (end + 1).checked_sub(name.len())?;
        before.get(start..=end)?.eq_ignore_ascii_case(name).then_some(at + 1)
    })
}

/// What is behind the last `name=`: without quotes, character set and language, and with its escapes undone.
fn extract(value: &[u8]) -> Vec<u8> {
    let start = parameters(value, b"name", true).last().unwrap_or(0);
    let value = value.get(start..).unwrap_or_default();
    let blank = value.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
    let mut name = value.get(blank..).unwrap_or_default();
    if let Some(quoted) = name.strip_prefix(b"\"") {
        name = quoted.split(|byte| *byte == b'"').next().unwrap_or_default();
    }
    if has_language(name) {
        let last = memchr::memrchr(b'\'', name).map_or(0, |at| at + 1);
        name = name.get(last..).unwrap_or_default();
    }
    uri::unescape(name, &mut |_| {}).into_owned()
}

/// Whether `name` begins with a character set and a language (`UTF-8'en'`), of which the latter may be empty.
fn has_language(name: &[u8]) -> bool {
    let mut parts = name.split(|byte| *byte == b'\'');
    let (Some(set), Some(language), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    !set.is_empty() && set.iter().chain(language).all(|byte| may_name_set(*byte))
}

/// The characters that Zeek's pattern allows: `[a-zA-Z0-9!#$%&+-^_`{}~]`, where `+-^` is a range. The quote itself is
/// below that range.
const fn may_name_set(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'+'..=b'^' | b'_' | b'`' | b'{' | b'}' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disposition(value: &str) -> Option<String> {
        in_disposition(value.as_bytes()).map(|name| String::from_utf8(name).unwrap())
    }

    #[test]
    fn the_name_is_found_in_all_its_forms() {
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(disposition("attachment; filename=a.txt"), some("a.txt"));
        assert_eq!(disposition("attachment; FileName = \"a b.txt\"; size=3"), some("a b.txt"));
        assert_eq!(disposition("attachment; filename*=UTF-8'en'a%20b.txt"), some("a b.txt"));
        assert_eq!(disposition("attachment; filename*=iso''x.txt"), some("x.txt"));
        assert_eq!(disposition("form-data; name=\"file\"; filename=\"x\""), some("x"));
        assert_eq!(disposition("form-data; name=\"field\""), None);
        assert_eq!(disposition("inline"), None);
    }

    #[test]
    fn a_content_type_may_name_the_file() {
        assert_eq!(in_type(b"application/pdf; name=\"a.pdf\"").as_deref(), Some(&b"a.pdf"[..]));
        assert_eq!(in_type(b"text/html; charset=utf-8"), None);
    }
}
