//! Which protocol the first bytes of one side are of.
//!
//! Every matcher looks at the beginning of what a side sent and answers yes, no, or that more bytes must come first;
//! each stops at the first byte that does not fit. Source: the `dpd.sig` of Zeek's HTTP, SSL and SSH.

use crate::context::Side;
use crate::protocol::Kind;

/// What the bytes so far tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// They match.
    Yes,
    /// They do not, whatever follows.
    No,
    /// Too early to tell.
    More,
}

impl Answer {
    /// One or the other.
    const fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::More, _) | (_, Self::More) => Self::More,
            (Self::No, Self::No) => Self::No,
        }
    }
}

/// What a side is known to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Spoken {
    /// This.
    Kind(Kind),
    /// Nothing that has a signature.
    Nothing,
    /// Too early to tell.
    More,
}

/// What `side` of a TCP stream speaks that begins with `bytes`.
pub fn stream(side: Side, bytes: &[u8]) -> Spoken {
    let http = if side.is_orig() { http_client(bytes) } else { http_server(bytes) };
    let tls = tls_client(bytes).or(tls_server(bytes));
    let answers = [(http, Kind::Http), (tls, Kind::Ssl), (ssh(bytes), Kind::Ssh)];
    if let Some((_, kind)) = answers.iter().find(|(answer, _)| *answer == Answer::Yes) {
        return Spoken::Kind(*kind);
    }
    if answers.iter().all(|(answer, _)| *answer == Answer::No) { Spoken::Nothing } else { Spoken::More }
}

/// One byte of a signature.
#[derive(Clone, Copy)]
enum Want {
    /// Any.
    Any,
    /// One of these, from first to last.
    In(u8, u8),
}

/// Exactly this byte.
const fn is(byte: u8) -> Want {
    Want::In(byte, byte)
}

const ANY: Want = Want::Any;

fn matches(bytes: &[u8], wanted: &[Want]) -> Answer {
    for (i, want) in wanted.iter().enumerate() {
        match (bytes.get(i), want) {
            (None, _) => return Answer::More,
            (Some(byte), Want::In(first, last)) if byte < first || last < byte => return Answer::No,
            (Some(_), _) => {}
        }
    }
    Answer::Yes
}

/// Whether `bytes` begin with a ClientHello in a TLS record.
pub fn is_tls_client(bytes: &[u8]) -> bool {
    tls_client(bytes) == Answer::Yes
}

/// A ClientHello in a TLS record.
fn tls_client(bytes: &[u8]) -> Answer {
    const HELLO: &[Want] =
        &[is(0x16), is(3), Want::In(0, 3), ANY, ANY, is(1), ANY, ANY, ANY, is(3), Want::In(0, 3)];
    matches(bytes, HELLO)
}

/// A ServerHello in a TLS record, possibly behind an alert.
fn tls_server(bytes: &[u8]) -> Answer {
    const ALERT: &[Want] = &[is(0x15), is(3), Want::In(0, 3), ANY, ANY, ANY, ANY];
    match matches(bytes, ALERT) {
        Answer::Yes => tls_server_hello(bytes.get(ALERT.len()..).unwrap_or_default()),
        Answer::More if !bytes.is_empty() => Answer::More,
        Answer::More | Answer::No => tls_server_hello(bytes),
    }
}

fn tls_server_hello(bytes: &[u8]) -> Answer {
    const HELLO: &[Want] =
        &[is(0x16), is(3), Want::In(0, 3), ANY, ANY, is(2), ANY, ANY, ANY, is(3), Want::In(0, 4)];
    const DRAFT: &[Want] =
        &[is(0x16), is(3), Want::In(0, 3), ANY, ANY, is(2), ANY, ANY, ANY, is(0x7f), Want::In(0, 0x50)];
    matches(bytes, HELLO).or(matches(bytes, DRAFT))
}

/// What a datagram speaks.
pub fn datagram(bytes: &[u8]) -> Option<Kind> {
    if is_dtls_client(bytes) {
        return Some(Kind::Dtls);
    }
    is_quic_initial(bytes).then_some(Kind::Quic)
}

/// Whether a datagram begins with an Initial packet of QUIC, version 1 or 2.
const fn is_quic_initial(datagram: &[u8]) -> bool {
    matches!(datagram, [0xc0..=0xcf, 0, 0, 0, 1, ..] | [0xd0..=0xdf, 0x6b, 0x33, 0x43, 0xcf, ..])
}

/// Whether a datagram begins with a ClientHello of DTLS.
fn is_dtls_client(datagram: &[u8]) -> bool {
    const BEFORE: &[Want] = &[is(0x16), is(0xfe)];
    const NULL: Want = is(0);
    const HELLO: &[Want] = &[
        NULL,
        NULL,
        NULL,
        NULL,
        NULL,
        NULL,
        NULL,
        ANY,
        ANY,
        ANY,
        is(1),
        ANY,
        ANY,
        ANY,
        ANY,
        ANY,
        ANY,
        ANY,
        ANY,
        ANY,
        ANY,
        ANY,
        is(0xfe),
    ];
    let is_version = |at: usize| matches!(datagram.get(at), Some(0xff | 0xfd));
    matches(datagram, BEFORE) == Answer::Yes
        && is_version(BEFORE.len())
        && matches(datagram.get(BEFORE.len() + 1..).unwrap_or_default(), HELLO) == Answer::Yes
        && is_version(BEFORE.len() + 1 + HELLO.len())
}

/// The version line of SSH.
fn ssh(bytes: &[u8]) -> Answer {
    const VERSION: &[Want] = &[ANY, ANY, ANY, is(b'-'), Want::In(b'1', b'2'), is(b'.')];
    const NAME: &[u8] = b"ssh";
    let begin = bytes.get(..NAME.len().min(bytes.len())).unwrap_or_default();
    if !NAME.get(..begin.len()).is_some_and(|name| begin.eq_ignore_ascii_case(name)) {
        return Answer::No;
    }
    matches(bytes, VERSION)
}

/// A status line of HTTP.
fn http_server(bytes: &[u8]) -> Answer {
    const VERSION: &[Want] = &[ANY, ANY, ANY, ANY, ANY, Want::In(b'0', b'9')];
    const NAME: &[u8] = b"http/";
    let begin = bytes.get(..NAME.len().min(bytes.len())).unwrap_or_default();
    if !NAME.get(..begin.len()).is_some_and(|name| begin.eq_ignore_ascii_case(name)) {
        return Answer::No;
    }
    matches(bytes, VERSION)
}

/// The methods by which HTTP is told. (Others are HTTP too, but only where the port says so.)
const METHODS: [&[u8]; 49] = [
    b"OPTIONS",
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"ACL",
    b"BASELINE-CONTROL",
    b"BIND",
    b"CHECKIN",
    b"CHECKOUT",
    b"CONNECT",
    b"COPY",
    b"LABEL",
    b"LINK",
    b"LOCK",
    b"MERGE",
    b"MKACTIVITY",
    b"MKCALENDAR",
    b"MKCOL",
    b"MKREDIRECTREF",
    b"MOVE",
    b"ORDERPATCH",
    b"PATCH",
    b"PROPFIND",
    b"PROPPATCH",
    b"REBIND",
    b"REPORT",
    b"SEARCH",
    b"TRACE",
    b"UNBIND",
    b"UNCHECKOUT",
    b"UNLINK",
    b"UNLOCK",
    b"UPDATE",
    b"VERSION-CONTROL",
    b"BCOPY",
    b"BDELETE",
    b"BMOVE",
    b"BPROPFIND",
    b"BPROPPATCH",
    b"NOTIFY",
    b"POLL",
    b"SUBSCRIBE",
    b"UNSUBSCRIBE",
    b"X-MS-ENUMATTS",
    b"MKWORKSPACE",
    b"RPC_IN_DATA",
    b"RPC_OUT_DATA",
];

/// White space, then a method. Nothing has to follow it.
fn http_client(bytes: &[u8]) -> Answer {
    let is_space = |b: &u8| b.is_ascii_whitespace() || *b == 0x0b;
    let spaces = bytes.iter().take_while(|b| is_space(b)).count();
    let rest = bytes.get(spaces..).unwrap_or_default();
    METHODS.iter().fold(Answer::No, |answer, method| {
        answer.or(if rest.starts_with(method) {
            Answer::Yes
        } else if method.starts_with(rest) {
            Answer::More
        } else {
            Answer::No
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rest";
    const SERVER_HELLO: &[u8] = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03rest";

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        let kind = |side, bytes| stream(side, bytes);
        assert_eq!(kind(Side::Orig, b"GET / HTTP/1.1\r\n"), Spoken::Kind(Kind::Http));
        assert_eq!(kind(Side::Orig, b"\r\n PROPFIND"), Spoken::Kind(Kind::Http));
        assert_eq!(kind(Side::Resp, b"HTTP/1.1 200 OK"), Spoken::Kind(Kind::Http));
        assert_eq!(kind(Side::Orig, CLIENT_HELLO), Spoken::Kind(Kind::Ssl));
        assert_eq!(kind(Side::Resp, SERVER_HELLO), Spoken::Kind(Kind::Ssl));
        assert_eq!(kind(Side::Resp, b"SSH-2.0-OpenSSH"), Spoken::Kind(Kind::Ssh));
        assert_eq!(kind(Side::Resp, b"220 ready\r\n"), Spoken::Nothing);
        assert_eq!(kind(Side::Resp, b"GET / HTTP/1.1\r\n"), Spoken::Nothing);
        assert_eq!(kind(Side::Orig, b"FROB / HTTP/1.1\r\n"), Spoken::Nothing);
        assert_eq!(kind(Side::Orig, b"SSH-3.0"), Spoken::Nothing);
    }

    #[test]
    fn every_beginning_of_a_match_leaves_it_open() {
        let whole: [(Side, &[u8], usize); 5] = [
            (Side::Orig, b"UNSUBSCRIBE", 11),
            (Side::Resp, b"http/1", 6),
            (Side::Orig, CLIENT_HELLO, 11),
            (Side::Resp, SERVER_HELLO, 11),
            (Side::Orig, b"ssh-1.", 6),
        ];
        for (side, bytes, enough) in whole {
            for len in 0..enough {
                assert_eq!(stream(side, bytes.get(..len).unwrap()), Spoken::More, "{bytes:?} {len}");
            }
            assert!(matches!(stream(side, bytes.get(..enough).unwrap()), Spoken::Kind(_)));
        }
    }

    #[test]
    fn a_server_hello_may_stand_behind_an_alert() {
        let alert = [b"\x15\x03\x01\x00\x02\x01\x70".as_slice(), SERVER_HELLO].concat();
        assert_eq!(stream(Side::Resp, &alert), Spoken::Kind(Kind::Ssl));
    }

    #[test]
    fn a_datagram_of_dtls_begins_with_a_client_hello() {
        let mut hello = vec![0x16, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 90, 1];
        hello.extend([0; 11]);
        hello.extend([0xfe, 0xfd]);
        assert!(is_dtls_client(&hello));
        assert!(!is_dtls_client(hello.get(..hello.len() - 1).unwrap()));
        hello[2] = 0xfe;
        assert!(!is_dtls_client(&hello));
    }
}
