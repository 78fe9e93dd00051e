//! The first lines of requests and replies.
//!
//! Source: RFC 9112, 3 and 4; RFC 1945 for HTTP/0.9; Zeek `analyzer/protocol/http/HTTP.cc` for what is forgiven.

use crate::protocol::mime::token::is_space;
use crate::protocol::uri;

/// A version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Version {
    /// Before the dot.
    pub major: u8,
    /// Behind the dot.
    pub minor: u8,
}

impl Version {
    /// None was readable.
    pub const NONE: Self = Self { major: 0, minor: 0 };
    /// A request without a version.
    pub const V0_9: Self = Self { major: 0, minor: 9 };
    /// The version with chunked bodies.
    pub const V1_1: Self = Self { major: 1, minor: 1 };

    /// As it is logged.
    pub const fn name(self) -> &'static str {
        match (self.major, self.minor) {
            (1, 1) => "1.1",
            (1, 0) => "1.0",
            (0, 9) => "0.9",
            (0, 0) => "0.0",
            _ => "",
        }
    }

    /// The version that `text` begins with; only digit, dot, digit is one.
    fn parse(text: &[u8]) -> Self {
        match text {
            [major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9', ..] => {
                Self { major: major - b'0', minor: minor - b'0' }
            }
            _ => Self::NONE,
        }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The first line of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The URI as it came.
    pub uri: &'a [u8],
    /// The version; `None`: what stands for it is too short to be one.
    pub version: Option<Version>,
}

/// The first line of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StatusLine<'a> {
    /// The version.
    pub version: Version,
    /// The status and its text; `None` where the status is missing, so that the line is none.
    pub status: Option<(u16, Option<&'a [u8]>)>,
}

/// Reads the first line of a request, or answers the weird that it is. `odd` is told the names of lesser weirds.
///
/// # Errors
/// The name of a weird: the line is not the first line of a request.
pub fn request<'a>(
    line: &'a [u8],
    odd: &mut impl FnMut(&'static str),
) -> Result<RequestLine<'a>, &'static str> {
    let end = line.iter().position(|byte| !is_method(*byte)).unwrap_or(line.len());
    let (method, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    if method.is_empty() {
        let tail = line.len().checked_sub(9).and_then(|at| line.get(at..at + 6));
        let versioned = tail.is_some_and(|tail| tail.eq_ignore_ascii_case(b" HTTP/"));
        return Err(if versioned { "bad_HTTP_request_with_version" } else { "bad_HTTP_request" });
    }
    let target = skip_space(rest);
    if target.len() == rest.len() {
        return Err("bad_HTTP_request");
    }
    let (uri, version) = target_and_version(target, odd);
    Ok(RequestLine { method, uri, version })
}

/// Cuts what follows the method into the URI and the version; the URI may hold spaces.
fn target_and_version<'a>(text: &'a [u8], odd: &mut impl FnMut(&'static str)) -> (&'a [u8], Option<Version>) {
    let mut end = text.iter().position(|byte| !uri::may_hold(*byte)).unwrap_or(text.len());
    if keyword(text, odd).is_some() && end == text.len() {
        odd("missing_HTTP_uri");
        end = 0;
    }
    let mut at = end;
    let mut found = None;
    while at < text.len() {
        // Without a version, the URI ends before the last byte: as Zeek logs it.
        end = at;
        let rest = text.get(at..).unwrap_or_default();
        at += rest.len() - skip_space(rest).len();
        found = keyword(text.get(at..).unwrap_or_default(), odd);
        if found.is_some() {
            break;
        }
        at += 1;
    }
    let version = match found {
        None => Some(Version::V0_9),
        Some(number) => (number.len() >= 3).then(|| Version::parse(number)),
    };
    (text.get(..end).unwrap_or_default(), version)
}

/// What follows `HTTP/`, if `text` begins with it.
fn keyword<'a>(text: &'a [u8], odd: &mut impl FnMut(&'static str)) -> Option<&'a [u8]> {
    let (word, rest) = text.split_at_checked(5)?;
    if !word.eq_ignore_ascii_case(b"HTTP/") {
        return None;
    }
    if word != b"HTTP/" {
        odd("lowercase_HTTP_keyword");
    }
    Some(rest)
}

/// Reads the first line of a reply; `None` if it is none at all. `odd` is told the names of weirds.
pub fn status<'a>(line: &'a [u8], odd: &mut impl FnMut(&'static str)) -> Option<StatusLine<'a>> {
    let rest = keyword(line, odd)?;
    let version = Version::parse(rest);
    let status = word_behind(rest).and_then(|rest| {
        let (code, rest) = rest.split_at_checked(3)?;
        Some((number(code), word_behind(rest)))
    });
    Some(StatusLine { version, status })
}

/// What is behind the spaces behind the word that `text` begins with.
fn word_behind(text: &[u8]) -> Option<&[u8]> {
    let end = text.iter().position(|byte| is_space(*byte))?;
    text.get(end..).map(skip_space)
}

/// The status that three bytes are; 0 where they are no digits.
fn number(code: &[u8]) -> u16 {
    if !code.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))
}

fn skip_space(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|byte| is_space(**byte)).count();
    text.get(spaces..).unwrap_or_default()
}

const fn is_method(byte: u8) -> bool {
    matches!(byte, 33..=126)
        && !matches!(byte, b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'"')
        && !matches!(byte, b'/' | b'[' | b']' | b'?' | b'=' | b'{' | b'}')
}

/// Whether Zeek takes `method` for `name`: in any case, and also where it is only the beginning of it.
pub fn method_is(method: &[u8], name: &[u8]) -> bool {
    name.get(..method.len()).is_some_and(|name| name.eq_ignore_ascii_case(method))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Read = Result<(String, String, Option<String>), &'static str>;

    fn read(line: &str) -> (Read, Vec<&'static str>) {
        let mut odd = Vec::new();
        let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
        let read = request(line.as_bytes(), &mut |name| odd.push(name))
            .map(|r| (text(r.method), text(r.uri), r.version.map(|v| v.to_string())));
        (read, odd)
    }

    #[allow(clippy::unnecessary_wraps, reason = "to be compared with what is read")]
    fn ok(method: &str, uri: &str, version: &str) -> Read {
        Ok((method.into(), uri.into(), Some(version.into())))
    }

    #[test]
    fn a_request_line_is_method_uri_and_version() {
        assert_eq!(read("GET /a?b HTTP/1.1").0, ok("GET", "/a?b", "1.1"));
        assert_eq!(read("GET  /a b \"c\"  HTTP/1.0 ").0, ok("GET", "/a b \"c\"", "1.0"));
        assert_eq!(read("CONNECT host:25 / HTTP/1.0").0, ok("CONNECT", "host:25 /", "1.0"));
        assert_eq!(read("GET / HTTP/x.y").0, ok("GET", "/", "0.0"));
        assert_eq!(read("GET / HTTP/1").0, Ok(("GET".into(), "/".into(), None)));
    }

    #[test]
    fn a_request_without_version_is_of_0_9() {
        assert_eq!(read("GET /a").0, ok("GET", "/a", "0.9"));
        assert_eq!(read("GET /a ").0, ok("GET", "/a", "0.9"));
        assert_eq!(read("GET /a bc").0, ok("GET", "/a b", "0.9"));
    }

    #[test]
    fn odd_request_lines_are_told() {
        assert_eq!(read("GET HTTP/1.1"), (ok("GET", "", "1.1"), vec!["missing_HTTP_uri"]));
        assert_eq!(read("GET / http/1.1"), (ok("GET", "/", "1.1"), vec!["lowercase_HTTP_keyword"]));
        assert_eq!(read("/ HTTP/1.1").0, Err("bad_HTTP_request_with_version"));
        assert_eq!(read("").0, Err("bad_HTTP_request"));
        assert_eq!(read("\x16\x03").0, Err("bad_HTTP_request"));
        assert_eq!(read("GET").0, Err("bad_HTTP_request"));
    }

    #[test]
    fn a_status_line_is_version_status_and_text() {
        let read = |line| status(line, &mut |_| {}).map(|s| (s.version.to_string(), s.status));
        let some = |v: &str, s| Some((v.to_owned(), s));
        assert_eq!(read(b"HTTP/1.1 200 OK then"), some("1.1", Some((200, Some(&b"OK then"[..])))));
        assert_eq!(read(b"HTTP/1.0 404"), some("1.0", Some((404, None))));
        assert_eq!(read(b"HTTP/1.0 200 "), some("1.0", Some((200, Some(&b""[..])))));
        assert_eq!(read(b"HTTP/1.1 abc x"), some("1.1", Some((0, Some(&b"x"[..])))));
        assert_eq!(read(b"HTTP/1.1"), some("1.1", None));
        assert_eq!(read(b"SSH-2.0-x"), None);
    }

    #[test]
    fn the_beginning_of_a_method_counts_as_it() {
        assert!(method_is(b"head", b"HEAD") && method_is(b"CONN", b"CONNECT"));
        assert!(!method_is(b"HEADER", b"HEAD") && !method_is(b"GET", b"HEAD"));
    }
}
