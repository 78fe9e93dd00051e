//! The protocols that are told by words at the beginning of lines: FTP, SMTP, POP3, IRC.

use super::{Answer, is, matches};

/// The lines of `text`, each from behind the spaces that it begins with. (A dot in a pattern of Zeek's signatures matches line
/// feeds, too, so what stands before a line does not matter.)
fn lines(text: &[u8], is_space: fn(u8) -> bool) -> impl Iterator<Item = &[u8]> {
    let ends = memchr::memchr2_iter(b'\r', b'\n', text).map(|at| at + 1);
    std::iter::once(0).chain(ends).map(move |from| {
        let rest = text.get(from..).unwrap_or_default();
        let spaces = rest.iter().take_while(|b| is_space(**b)).count();
        rest.get(spaces..).unwrap_or_default()
    })
}

/// How many bytes tell whether a side speaks in lines at all.
const PLAIN: usize = 16;

/// What is not told yet: no, if its beginning is no text. (Zeek would go on; nothing of this kind begins so.)
fn open(bytes: &[u8]) -> Answer {
    let is_text = |b: &u8| *b >= b' ' || b.is_ascii_whitespace() || *b == 0x0b;
    if bytes.iter().take(PLAIN).all(is_text) { Answer::More } else { Answer::No }
}

/// One of `words` at the beginning of a line.
fn line_begins(bytes: &[u8], is_space: fn(u8) -> bool, words: &[&[u8]]) -> Answer {
    let begins = |line: &[u8]| {
        let first = line.first().map(u8::to_ascii_uppercase);
        words.iter().any(|word| {
            word.first().copied() == first
                && line.get(..word.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(word))
        })
    };
    if lines(bytes, is_space).any(begins) { Answer::Yes } else { open(bytes) }
}

/// What `[[:space:]]` matches, but for ends of lines: behind each of them a line begins anyway.
const fn is_any_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

const fn is_blank(byte: u8) -> bool {
    byte == b' '
}

pub(super) fn ftp_client(bytes: &[u8]) -> Answer {
    line_begins(bytes, is_blank, &[b"USER "])
}

/// A greeting, and later the answer to a name.
pub(super) fn ftp_server(bytes: &[u8]) -> Answer {
    let spaces = bytes.iter().take_while(|b| matches!(b, b'\n' | b'\r' | b' ')).count();
    let text = bytes.get(spaces..).unwrap_or_default();
    let greets = code(text, [b"120", b"220"]);
    if greets != Answer::Yes {
        return greets;
    }
    let answers = |line| code(line, [b"230", b"331"]) == Answer::Yes;
    if lines(text, is_blank).skip(1).any(answers) { Answer::Yes } else { Answer::More }
}

/// One of two codes, and no digit behind it.
fn code(text: &[u8], codes: [&[u8; 3]; 2]) -> Answer {
    let one = |[a, b, c]: &[u8; 3]| {
        matches(text, &[is(*a), is(*b), is(*c)]).and(match text.get(3) {
            None => Answer::More,
            Some(byte) if byte.is_ascii_digit() => Answer::No,
            Some(_) => Answer::Yes,
        })
    };
    codes.into_iter().fold(Answer::No, |answer, code| answer.or(one(code)))
}

pub(super) fn smtp_client(bytes: &[u8]) -> Answer {
    line_begins(bytes, is_any_space, &[b"HELO", b"EHLO", b"XEHLO"])
}

pub(super) fn smtp_server(bytes: &[u8]) -> Answer {
    let text = bytes.trim_ascii_start();
    matches(text, &[is(b'2'), is(b'2'), is(b'0')]).and(match text.get(3) {
        None => Answer::More,
        Some(b' ' | b'-' | b'\r' | b'\n') => Answer::Yes,
        Some(_) => Answer::No,
    })
}

pub(super) fn pop3_client(bytes: &[u8]) -> Answer {
    line_begins(
        bytes,
        is_any_space,
        &[b"USER ", b"USER\r", b"USER\n", b"APOP ", b"APOP\r", b"APOP\n", b"CAPA", b"AUTH", b"STLS"],
    )
}

pub(super) fn pop3_server(bytes: &[u8]) -> Answer {
    matches(bytes, &[is(b'+'), is(b'O'), is(b'K')])
}

/// Somebody who gives a nickname and a name, in whatever order, in lines that are complete.
pub(super) fn irc_client(bytes: &[u8]) -> Answer {
    let whole = memchr::memrchr2(b'\r', b'\n', bytes).and_then(|end| bytes.get(..end)).unwrap_or_default();
    if open(bytes) == Answer::No {
        return Answer::No;
    }
    line_begins(whole, is_blank, &[b"NICK "]).and(line_begins(whole, is_blank, &[b"USER "]))
}

/// A reply with a number.
pub(super) fn irc_server(bytes: &[u8]) -> Answer {
    let is_reply = |line: &[u8]| {
        let behind = match line.first() {
            Some(b':') => memchr::memchr(b' ', line).and_then(|at| line.get(at + 1..)).unwrap_or_default(),
            _ => line,
        };
        matches!(behind, [a, b, c, b' ', ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()))
    };
    if lines(bytes, |_| false).any(is_reply) { Answer::Yes } else { open(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_counts_at_the_beginning_of_any_line() {
        assert_eq!(ftp_client(b"AUTH TLS\r\nAUTH SSL\r\n  user joe\r\n"), Answer::Yes);
        assert_eq!(ftp_client(b"A USER joe\r\n"), Answer::More);
        assert_eq!(smtp_client(b"\r\n\r\nehlo"), Answer::Yes);
        assert_eq!(pop3_client(b"*1\r\n$4\r\nAUTH"), Answer::Yes);
        assert_eq!(pop3_client(b"stls\r\n"), Answer::Yes);
        assert_eq!(smtp_client(b"\x16\x03\x01\r\nEHLO"), Answer::Yes);
        assert_eq!(smtp_client(b"\x16\x03\x01\r\nEH"), Answer::No);
    }

    #[test]
    fn a_server_of_ftp_greets_and_answers() {
        assert_eq!(ftp_server(b"220 ready\r\n331 password\r\n"), Answer::Yes);
        assert_eq!(ftp_server(b"220-ready\r\n220 now\r\n 230 in\r\n"), Answer::Yes);
        assert_eq!(ftp_server(b"220 ready\r\n2300"), Answer::More);
        assert_eq!(ftp_server(b"2200 ready"), Answer::No);
    }

    #[test]
    fn irc_is_told_by_a_nickname_a_name_and_a_number() {
        assert_eq!(irc_client(b"PASS x\r\nuser a b c :d\r\n nick me\r\n"), Answer::Yes);
        assert_eq!(irc_client(b"NICK me\r\nUSER a b"), Answer::More);
        assert_eq!(irc_server(b":a NOTICE x\r\n:a NOTICE y\r\n:a 001 me :hi\r\n"), Answer::Yes);
        assert_eq!(irc_server(b":a NOTICE 001 x\r\n"), Answer::More);
    }
}
