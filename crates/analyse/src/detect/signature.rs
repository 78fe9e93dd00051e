//! Which protocol the first bytes of one side are of.
//!
//! Every matcher looks at the beginning of what a side sent and answers yes, no, or that more bytes must come first;
//! each stops at the first byte that does not fit, or searches what is kept of a beginning. Source: the `dpd.sig` of Zeek's
//! protocols.

mod datagram;
mod lines;

use self::datagram::kerberos_begins;
use self::lines::{
    ftp_client, ftp_server, irc_client, irc_server, pop3_client, pop3_server, smtp_client, smtp_server,
};
use crate::context::Side;
use crate::protocol::Kind;

pub use self::datagram::datagram;

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

    /// One and the other.
    const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (Self::More, _) | (_, Self::More) => Self::More,
            (Self::Yes, Self::Yes) => Self::Yes,
        }
    }
}

/// What looks at the first bytes of a side.
type Matcher = fn(&[u8]) -> Answer;

/// What both sides must begin with for a protocol.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// The protocol.
    pub kind: Kind,
    orig: Option<Matcher>,
    resp: Option<Matcher>,
}

impl Rule {
    /// What `side` must begin with, if that matters.
    pub const fn of(&self, side: Side) -> Option<Matcher> {
        if side.is_orig() { self.orig } else { self.resp }
    }
}

const fn orig(kind: Kind, matcher: Matcher) -> Rule {
    Rule { kind, orig: Some(matcher), resp: None }
}

const fn resp(kind: Kind, matcher: Matcher) -> Rule {
    Rule { kind, orig: None, resp: Some(matcher) }
}

const fn both(kind: Kind, orig: Matcher, resp: Matcher) -> Rule {
    Rule { kind, orig: Some(orig), resp: Some(resp) }
}

/// The protocols over streams that are told by their first bytes; of several that match, the first counts.
pub const RULES: [Rule; 28] = [
    orig(Kind::Http, http_client),
    resp(Kind::Http, http_server),
    orig(Kind::Ssl, tls),
    resp(Kind::Ssl, tls),
    both(Kind::Ssh, ssh, ssh),
    both(Kind::Ftp, ftp_client, ftp_server),
    both(Kind::Rfb, rfb, rfb),
    both(Kind::Postgresql, postgresql_tls, postgresql_tls_answer),
    both(Kind::Postgresql, postgresql_startup, postgresql_answer),
    resp(Kind::Dnp3Tcp, dnp3),
    both(Kind::Smtp, smtp_client, smtp_server),
    both(Kind::Pop3, pop3_client, pop3_server),
    both(Kind::Rdp, rdp_client, rdp_server),
    orig(Kind::Smb, smb),
    resp(Kind::Smb, smb),
    orig(Kind::DceRpc, dce_rpc),
    resp(Kind::DceRpc, dce_rpc),
    both(Kind::LdapTcp, ldap_client, |bytes| matches(bytes, &[is(0x30)])),
    orig(Kind::KerberosTcp, kerberos_tcp),
    resp(Kind::KerberosTcp, kerberos_tcp),
    orig(Kind::Mqtt, mqtt),
    both(Kind::Irc, irc_client, irc_server),
    both(Kind::Socks, socks4_client, socks4_server),
    both(Kind::Socks, socks4_server, socks4_client),
    both(Kind::Socks, socks5_client, socks5_server),
    orig(Kind::Xmpp, xmpp),
    resp(Kind::Xmpp, xmpp),
    resp(Kind::Mqtt, mqtt),
];

/// A client or a server of TLS.
fn tls(bytes: &[u8]) -> Answer {
    tls_client(bytes).or(tls_server(bytes))
}

/// The version of RFB.
fn rfb(bytes: &[u8]) -> Answer {
    matches(bytes, &[is(b'R'), is(b'F'), is(b'B')])
}

/// The wish for TLS.
fn postgresql_tls(bytes: &[u8]) -> Answer {
    matches(bytes, &[is(0), is(0), is(0), is(8), is(4), is(0xd2), is(0x16), is(0x2f)])
}

/// The answer to it.
fn postgresql_tls_answer(bytes: &[u8]) -> Answer {
    matches(bytes, &[is(b'S')]).or(matches(bytes, &[is(b'N')]))
}

/// A startup message of version 3, which soon tells a user.
fn postgresql_startup(bytes: &[u8]) -> Answer {
    const USER: &[u8] = b"user\0";
    const HEAD: usize = 7;
    const MAX: usize = HEAD + 256 + USER.len();
    let parameters = bytes.get(HEAD..bytes.len().min(MAX)).unwrap_or_default();
    let user = if memchr::memmem::find(parameters, USER).is_some() {
        Answer::Yes
    } else if bytes.len() < MAX {
        Answer::More
    } else {
        Answer::No
    };
    matches(bytes, &[ANY, ANY, ANY, ANY, is(0), is(3), is(0)]).and(user)
}

/// A message that has a type, and is not long.
fn postgresql_answer(bytes: &[u8]) -> Answer {
    let begins = |first, last| matches(bytes, &[Want::In(first, last), is(0), is(0), ANY, ANY]);
    begins(b'a', b'z').or(begins(b'A', b'Z')).or(begins(b'0', b'9'))
}

fn dnp3(bytes: &[u8]) -> Answer {
    matches(bytes, &[is(5), is(0x64)])
}

/// A message of SMB in a session message.
fn smb(bytes: &[u8]) -> Answer {
    const ONE: &[Want] = &[ANY, ANY, ANY, ANY, is(0xff), is(b'S'), is(b'M'), is(b'B')];
    const TWO: &[Want] = &[ANY, ANY, ANY, ANY, is(0xfe), is(b'S'), is(b'M'), is(b'B')];
    matches(bytes, ONE).or(matches(bytes, TWO))
}

/// A whole fragment.
fn dce_rpc(bytes: &[u8]) -> Answer {
    let begin = |flags| matches(bytes, &[is(5), Want::In(0, 1), Want::In(0, 0x13), is(flags)]);
    // Of the further flags a bind may say that it can sign heads.
    begin(3).or(begin(7))
}

/// The head of a message of LDAP, and which operation it asks for.
fn ldap_client(bytes: &[u8]) -> Answer {
    const OPERATIONS: [u8; 8] = [0x4a, 0x60, 0x63, 0x66, 0x68, 0x6c, 0x6e, 0x77];
    let answer = |byte: Option<&u8>, fits: &dyn Fn(u8) -> bool| match byte {
        None => Answer::More,
        Some(byte) if fits(*byte) => Answer::Yes,
        Some(_) => Answer::No,
    };
    let length = bytes.get(1).copied().unwrap_or_default();
    let at = if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) };
    let number = bytes.get(at + 1).copied().unwrap_or_default();
    answer(bytes.first(), &|b| b == 0x30)
        .and(answer(bytes.get(1), &|b| matches!(b, 5..=0x7f | 0x81..=0x84)))
        .and(answer(bytes.get(at), &|b| b == 2))
        .and(answer(bytes.get(at + 1), &|b| matches!(b, 1..=4)))
        .and(answer(bytes.get(at + 2 + usize::from(number)), &|b| OPERATIONS.contains(&b)))
}

/// The name of the protocol, behind the head of a CONNECT.
fn mqtt(bytes: &[u8]) -> Answer {
    let beginning = bytes.get(..9).unwrap_or(bytes);
    match memchr::memmem::find(beginning, b"MQ") {
        Some(at) if at >= 4 => Answer::Yes,
        _ if bytes.len() < 9 => Answer::More,
        _ => Answer::No,
    }
}

/// A request of SOCKS 4, with a name of at most 32 bytes.
fn socks4_client(bytes: &[u8]) -> Answer {
    const MAX: usize = 35;
    let name = bytes.get(2..bytes.len().min(MAX)).unwrap_or_default();
    let rest = if name.contains(&0) {
        Answer::Yes
    } else if bytes.len() < MAX {
        Answer::More
    } else {
        Answer::No
    };
    matches(bytes, &[is(4), Want::In(1, 2)]).and(rest)
}

fn socks4_server(bytes: &[u8]) -> Answer {
    matches(bytes, &[is(0), Want::In(0x5a, 0x5d)])
}

/// Ways to log in that SOCKS 5 has.
fn socks5_client(bytes: &[u8]) -> Answer {
    matches(bytes, &[is(5), ANY, Want::In(0, 2)])
}

/// The way that the server chose.
fn socks5_server(bytes: &[u8]) -> Answer {
    matches(bytes, &[is(5), is(0)]).or(matches(bytes, &[is(5), is(1), Want::In(0, 2)]))
}

/// A stream of XMPP is opened.
fn xmpp(bytes: &[u8]) -> Answer {
    const OPENS: &[u8] = b"<stream:stream ";
    const DECLARES: &[u8] = b"<?xml";
    let begins = |bytes: &[u8], word: &[u8]| {
        word.get(..bytes.len().min(word.len())).is_some_and(|w| bytes.starts_with(w))
    };
    let mut rest = bytes;
    if begins(bytes, DECLARES) {
        let Some(end) = memchr::memmem::find(bytes, b"?>") else { return Answer::More };
        rest = bytes.get(end + 2..).unwrap_or_default();
    }
    let rest = rest.trim_ascii_start();
    if !begins(rest, OPENS) {
        return Answer::No;
    }
    let end = memchr::memchr(b'>', rest);
    let tag = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    match memchr::memmem::find(tag, b"xmlns='jabber:") {
        Some(_) => Answer::Yes,
        None if end.is_some() => Answer::No,
        None => Answer::More,
    }
}

/// A cookie with a user's name, or the channels that a client asks for.
fn rdp_client(bytes: &[u8]) -> Answer {
    const CHANNELS: [&[u8]; 4] = [b"rdpdr", b"rdpsnd", b"drdynvc", b"cliprdr"];
    let behind = memchr::memmem::find(bytes, b"Duca").and_then(|at| bytes.get(at + 4..)).unwrap_or_default();
    let asks = CHANNELS.iter().any(|name| memchr::memmem::find(behind, name).is_some());
    let is_named = || memchr::memmem::find(bytes, b"Cookie: mstshash=").is_some();
    if asks || is_named() { Answer::Yes } else { Answer::More }
}

/// The confirmation of a connection. (Zeek's signature also has the mark of a later answer.)
fn rdp_server(bytes: &[u8]) -> Answer {
    matches(bytes, &[ANY, ANY, ANY, ANY, ANY, is(0xd0)])
}

/// A message of Kerberos behind its length.
fn kerberos_tcp(bytes: &[u8]) -> Answer {
    bytes.get(4..).map_or(Answer::More, kerberos_begins)
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
        answer.or(if rest.is_empty() {
            Answer::More
        } else if rest.first() != method.first() {
            Answer::No
        } else if rest.starts_with(method) {
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

    /// The protocols that `side` alone tells, and those for which it would do if the other fits, too.
    fn told(side: Side, bytes: &[u8]) -> Vec<Kind> {
        let says = |rule: &&Rule| rule.of(side).is_some_and(|matcher| matcher(bytes) == Answer::Yes);
        RULES.iter().filter(says).map(|rule| rule.kind).collect()
    }

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        assert_eq!(told(Side::Orig, b"GET / HTTP/1.1\r\n"), [Kind::Http]);
        assert_eq!(told(Side::Orig, b"\r\n PROPFIND"), [Kind::Http]);
        assert_eq!(told(Side::Resp, b"HTTP/1.1 200 OK"), [Kind::Http]);
        assert_eq!(told(Side::Orig, CLIENT_HELLO), [Kind::Ssl]);
        assert_eq!(told(Side::Resp, SERVER_HELLO), [Kind::Ssl]);
        // An S is what PostgreSQL answers to the wish for TLS, too.
        assert_eq!(told(Side::Resp, b"SSH-2.0-OpenSSH"), [Kind::Ssh, Kind::Postgresql]);
        // A number begins the replies of IRC, too; its client tells the two apart.
        assert_eq!(told(Side::Resp, b"220 ready\r\n"), [Kind::Smtp, Kind::Irc]);
        assert_eq!(told(Side::Resp, b"220 ready\r\n331 password\r\n"), [Kind::Ftp, Kind::Smtp, Kind::Irc]);
        assert_eq!(told(Side::Orig, b"user joe\r\n"), [Kind::Ftp, Kind::Pop3]);
        assert_eq!(told(Side::Resp, b"+OK ready\r\n"), [Kind::Pop3]);
        assert_eq!(told(Side::Orig, b"RFB 003.008\n"), [Kind::Rfb]);
        assert_eq!(told(Side::Orig, &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f]), [Kind::Postgresql]);
        assert_eq!(told(Side::Resp, b"GET / HTTP/1.1\r\n"), []);
        assert_eq!(told(Side::Orig, b"FROB / HTTP/1.1\r\n"), []);
        assert_eq!(told(Side::Orig, b"SSH-3.0"), []);
    }

    #[test]
    fn every_beginning_of_a_match_leaves_it_open() {
        let whole: [(Matcher, &[u8], usize); 5] = [
            (http_client, b"UNSUBSCRIBE", 11),
            (http_server, b"http/1", 6),
            (tls, CLIENT_HELLO, 11),
            (tls, SERVER_HELLO, 11),
            (ssh, b"ssh-1.", 6),
        ];
        for (matcher, bytes, enough) in whole {
            for len in 0..enough {
                assert_eq!(matcher(bytes.get(..len).unwrap()), Answer::More, "{bytes:?} {len}");
            }
            assert_eq!(matcher(bytes.get(..enough).unwrap()), Answer::Yes);
        }
    }

    #[test]
    fn a_server_hello_may_stand_behind_an_alert() {
        let alert = [b"\x15\x03\x01\x00\x02\x01\x70".as_slice(), SERVER_HELLO].concat();
        assert_eq!(told(Side::Resp, &alert), [Kind::Ssl]);
    }
}
