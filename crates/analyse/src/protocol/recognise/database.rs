//! MySQL, PostgreSQL, Redis.
//!
//! Source: MySQL's client/server protocol; PostgreSQL's frontend/backend protocol, 3; the Redis serialization protocol.

use super::{Judge, Judgement, Size, first};
use crate::context::Side;

/// MySQL: spoken when a client answers the greeting of a server of version 9 or 10.
#[derive(Default)]
pub struct MySql {
    version: u8,
}

/// The client wants TLS and has told nothing else yet.
const CLIENT_SSL: u16 = 0x0800;
/// Bytes of a packet's head: length, least byte first, and number.
const MYSQL_HEAD: usize = 4;

impl Judge for MySql {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        match first::<3>(bytes) {
            Some([a, b, c]) => Size::Is(MYSQL_HEAD + u32::from_le_bytes([a, b, c, 0]) as usize),
            None => Size::More,
        }
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        let Some((head, body)) = message.split_first_chunk::<MYSQL_HEAD>() else {
            return Judgement::Violated("malformed MySQL packet".into());
        };
        let [.., number] = *head;
        match (side, self.version) {
            (Side::Resp, 0) if number == 0 => match body.first() {
                Some(version @ (9 | 10)) => {
                    self.version = *version;
                    Judgement::Open
                }
                Some(0xff) => Judgement::Open,
                _ => Judgement::Violated("unexpected MySQL greeting".into()),
            },
            (Side::Resp, _) => Judgement::Open,
            (Side::Orig, 0) => Judgement::Violated("MySQL client speaks first".into()),
            (Side::Orig, 10) => match first::<2>(body).map(u16::from_le_bytes) {
                Some(flags) if flags & CLIENT_SSL != 0 => Judgement::Tls,
                Some(_) => Judgement::Settled,
                None => Judgement::Violated("malformed MySQL handshake".into()),
            },
            (Side::Orig, _) => Judgement::Settled,
        }
    }
}

/// PostgreSQL: spoken when a server answers a startup message, or the request for TLS.
#[derive(Default)]
pub struct Postgresql {
    state: Startup,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Startup {
    #[default]
    Nothing,
    WantsTls,
    Begun,
}

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x30];
/// Most bytes of a startup message (PostgreSQL: MAX_STARTUP_PACKET_LENGTH).
const MAX_STARTUP: usize = 10_000;

impl Judge for Postgresql {
    fn size(&self, side: Side, bytes: &[u8]) -> Size {
        let untyped = |n: [u8; 4]| match u32::from_be_bytes(n) as usize {
            len @ 8..=MAX_STARTUP => Size::Is(len),
            _ => Size::Bad,
        };
        let typed = |[_, a, b, c, d]: [u8; 5]| match u32::from_be_bytes([a, b, c, d]) as usize {
            len @ 4.. => Size::Is(len.saturating_add(1)),
            _ => Size::Bad,
        };
        match (side, self.state) {
            (Side::Resp, Startup::WantsTls) => Size::Is(1),
            (Side::Orig, Startup::Nothing | Startup::WantsTls) => {
                first::<4>(bytes).map_or(Size::More, untyped)
            }
            _ => first::<5>(bytes).map_or(Size::More, typed),
        }
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        let violated = || Judgement::Violated("unexpected PostgreSQL message".into());
        match (side, self.state) {
            (Side::Orig, Startup::Nothing | Startup::WantsTls) => {
                if message == SSL_REQUEST || message == GSS_REQUEST {
                    self.state = Startup::WantsTls;
                    return Judgement::Open;
                }
                if !matches!(message, [_, _, _, _, 0, 3, 0, _, ..]) {
                    return violated();
                }
                self.state = Startup::Begun;
                Judgement::Open
            }
            (Side::Resp, Startup::WantsTls) => match message {
                b"S" => Judgement::Tls,
                b"N" => {
                    self.state = Startup::Nothing;
                    Judgement::Confirmed
                }
                _ => violated(),
            },
            (Side::Resp, Startup::Begun) => match message.first() {
                Some(b'R' | b'E' | b'N' | b'v') => Judgement::Settled,
                _ => violated(),
            },
            (Side::Resp, Startup::Nothing) => violated(),
            (Side::Orig, Startup::Begun) => Judgement::Open,
        }
    }
}

/// Redis: spoken when a server answers a command.
#[derive(Default)]
pub struct Redis {
    asked: bool,
}

/// Most bytes of a line that is looked at.
const MAX_REDIS_LINE: usize = 1024;

impl Judge for Redis {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        match memchr::memchr(b'\n', bytes) {
            Some(at) => Size::Is(at + 1),
            None if bytes.len() > MAX_REDIS_LINE => Size::Is(bytes.len()),
            None => Size::More,
        }
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        let line = message.trim_ascii_end();
        let is_number =
            |digits: &[u8]| !digits.is_empty() && digits.iter().all(|d| d.is_ascii_digit() || *d == b'-');
        match (side, line.split_first()) {
            (Side::Orig, Some((b'*' | b'$', digits))) if is_number(digits) => self.asked = true,
            // A command in words.
            (Side::Orig, Some((letter, _))) if letter.is_ascii_alphabetic() => self.asked = true,
            (Side::Orig, _) if self.asked => {}
            (Side::Orig, _) => return Judgement::Violated("not a Redis command".into()),
            (
                Side::Resp,
                Some((b'+' | b'-' | b':' | b'$' | b'*' | b'_' | b'#' | b',' | b'%' | b'~' | b'>', _)),
            ) if self.asked => {
                return Judgement::Settled;
            }
            (Side::Resp, _) => return Judgement::Violated("not a Redis reply".into()),
        }
        Judgement::Open
    }
}

#[cfg(test)]
mod tests {
    use super::super::Framed;
    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;

    #[test]
    fn mysql_is_told_by_the_client_s_answer_and_may_go_on_with_tls() {
        for (flags, over) in [(0xa685_u16, false), (CLIENT_SSL | 5, true)] {
            let mut b = Bench::new(Framed::<MySql>::default(), Transport::Tcp, 3306);
            b.data(Side::Resp, &[5, 0, 0, 0, 10, b'8', 0, 1, 2]);
            assert!(!b.verdict.confirmed);
            let [a, c] = flags.to_le_bytes();
            b.data(Side::Orig, &[4, 0, 0, 1, a, c, 0, 0]);
            assert!(b.verdict.confirmed && b.verdict.violation.is_none());
            assert_eq!(b.verdict.hand_over.is_some(), over);
        }
    }

    #[test]
    fn postgresql_may_ask_for_tls_first() {
        let mut b = Bench::new(Framed::<Postgresql>::default(), Transport::Tcp, 5432);
        b.data(Side::Orig, &SSL_REQUEST);
        b.data(Side::Resp, b"N");
        b.data(Side::Orig, &[0, 0, 0, 9, 0, 3, 0, 0, 0]);
        b.data(Side::Resp, &[b'R', 0, 0, 0, 8, 0, 0, 0, 0]);
        assert!(b.verdict.confirmed && b.verdict.hand_over.is_none());
        let mut b = Bench::new(Framed::<Postgresql>::default(), Transport::Tcp, 5432);
        b.data(Side::Orig, &SSL_REQUEST);
        b.data(Side::Resp, b"S");
        assert!(b.verdict.confirmed && b.verdict.hand_over.is_some());
        let mut b = Bench::new(Framed::<Postgresql>::default(), Transport::Tcp, 5432);
        b.data(Side::Orig, b"GET / HTTP/1.1\r\n");
        assert!(b.verdict.violation.is_some());
    }

    #[test]
    fn redis_is_a_command_and_its_reply() {
        let mut b = Bench::new(Framed::<Redis>::default(), Transport::Tcp, 6379);
        b.data(Side::Orig, b"*1\r\n$4\r\nPING\r\n");
        b.data(Side::Resp, b"+PONG\r\n");
        assert!(b.verdict.confirmed);
        let mut b = Bench::new(Framed::<Redis>::default(), Transport::Tcp, 6379);
        b.data(Side::Resp, b"220 ready\r\n");
        assert!(b.verdict.violation.is_some());
    }
}
