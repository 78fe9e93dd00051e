//! DHCP, NTP, RADIUS, syslog, SIP.
//!
//! Source: RFC 2131, 2132; RFC 5905; RFC 2865; RFC 3164, 5424; RFC 3261; what is a violation: Zeek's analysers of these.

use super::{DatagramJudge, Judgement, first};
use crate::context::Side;

/// DHCP: a message with the cookie, whose options are well formed and name a type.
#[derive(Default)]
pub struct Dhcp;

/// What a message of DHCP has before its options.
const BOOTP: usize = 236;
const COOKIE: u32 = 0x6382_5363;
const MESSAGE_TYPE: u8 = 53;

impl DatagramJudge for Dhcp {
    fn judge(&mut self, _side: Side, datagram: &[u8]) -> Judgement {
        let options = datagram.get(BOOTP..).unwrap_or_default();
        let Some((cookie, mut options)) = options.split_first_chunk::<4>() else {
            return Judgement::Violated("malformed DHCP message".into());
        };
        let cookie = u32::from_be_bytes(*cookie);
        if cookie != COOKIE {
            return Judgement::Violated(format!("bad cookie ({})", cookie.cast_signed()).into());
        }
        let mut has_type = false;
        while let Some((code, rest)) = options.split_first() {
            match code {
                0 => options = rest,
                255 => break,
                _ => {
                    let Some((_, rest)) =
                        rest.split_first().and_then(|(len, rest)| rest.split_at_checked(usize::from(*len)))
                    else {
                        return Judgement::Violated("malformed DHCP option".into());
                    };
                    has_type |= *code == MESSAGE_TYPE;
                    options = rest;
                }
            }
        }
        if has_type {
            Judgement::Confirmed
        } else {
            Judgement::Violated("no DHCP message type option".into())
        }
    }
}

/// NTP: a message of a mode that is known, and long enough for it.
#[derive(Default)]
pub struct Ntp;

impl DatagramJudge for Ntp {
    fn judge(&mut self, side: Side, datagram: &[u8]) -> Judgement {
        const SERVER: u8 = 4;
        const CLIENT: u8 = 3;
        let Some([flags]) = first(datagram) else { return Judgement::Open };
        let mode = flags & 7;
        let enough = match mode {
            1..=5 => 48,
            6 => 12,
            7 => 8,
            _ => return Judgement::Violated("unknown NTP mode".into()),
        };
        if datagram.len() < enough {
            return Judgement::Violated("malformed NTP message".into());
        }
        let from = if side.is_orig() { SERVER } else { CLIENT };
        if mode == from { Judgement::Flipped } else { Judgement::Confirmed }
    }
}

/// RADIUS: a message of a code that is known, as long as it says.
#[derive(Default)]
pub struct Radius;

impl DatagramJudge for Radius {
    fn judge(&mut self, _side: Side, datagram: &[u8]) -> Judgement {
        const HEAD: usize = 20;
        let Some([code, _, high, low]) = first(datagram) else {
            return Judgement::Violated("malformed RADIUS message".into());
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let attributes = datagram.get(HEAD..length);
        let Some(mut attributes) = attributes.filter(|_| matches!(code, 1..=5 | 11..=13 | 40..=45)) else {
            return Judgement::Violated("malformed RADIUS message".into());
        };
        while let [_, len, ..] = attributes {
            let Some((_, rest)) =
                attributes.split_at_checked(usize::from(*len)).filter(|(a, _)| a.len() >= 2)
            else {
                return Judgement::Violated("malformed RADIUS attribute".into());
            };
            attributes = rest;
        }
        Judgement::Confirmed
    }
}

/// Syslog: a priority in angle brackets, or none.
#[derive(Default)]
pub struct Syslog;

impl DatagramJudge for Syslog {
    fn judge(&mut self, _side: Side, datagram: &[u8]) -> Judgement {
        let Some(text) = datagram.strip_prefix(b"<") else {
            // There are senders that leave it out.
            return if datagram.is_empty() { Judgement::Open } else { Judgement::Confirmed };
        };
        let digits = text.iter().take(3).take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 && text.get(digits) == Some(&b'>') {
            Judgement::Confirmed
        } else {
            Judgement::Violated("malformed syslog priority".into())
        }
    }
}

/// SIP: a request line or a status line.
#[derive(Default)]
pub struct Sip;

impl DatagramJudge for Sip {
    fn judge(&mut self, _side: Side, datagram: &[u8]) -> Judgement {
        let line = datagram.split(|b| matches!(b, b'\r' | b'\n')).next().unwrap_or_default();
        let mut words = line.split(|b| *b == b' ');
        let (first, last) = (words.next().unwrap_or_default(), words.next_back().unwrap_or_default());
        let is_method = !first.is_empty() && first.iter().all(u8::is_ascii_alphabetic);
        if first.starts_with(b"SIP/") || is_method && last.starts_with(b"SIP/") {
            return Judgement::Confirmed;
        }
        // Empty lines keep a mapping of addresses alive.
        if datagram.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
            return Judgement::Open;
        }
        Judgement::Violated("neither a SIP request nor a reply".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dhcp(cookie: u32, options: &[u8]) -> Judgement {
        let mut message = vec![0; BOOTP];
        message.extend(cookie.to_be_bytes());
        message.extend(options);
        Dhcp.judge(Side::Orig, &message)
    }

    #[test]
    fn dhcp_needs_its_cookie_and_a_type() {
        assert_eq!(dhcp(COOKIE, &[0, 12, 1, b'a', 53, 1, 1, 255]), Judgement::Confirmed);
        assert_eq!(dhcp(0, &[]), Judgement::Violated("bad cookie (0)".into()));
        assert_eq!(dhcp(COOKIE, &[255]), Judgement::Violated("no DHCP message type option".into()));
        assert!(matches!(dhcp(COOKIE, &[12, 9, 1]), Judgement::Violated(_)));
    }

    #[test]
    fn an_answer_by_the_originator_of_ntp_flips_the_roles() {
        let mut message = [0; 48];
        message[0] = 0x24;
        assert_eq!(Ntp.judge(Side::Orig, &message), Judgement::Flipped);
        assert_eq!(Ntp.judge(Side::Resp, &message), Judgement::Confirmed);
        assert!(matches!(Ntp.judge(Side::Resp, &message[..47]), Judgement::Violated(_)));
    }

    #[test]
    fn messages_of_radius_are_as_long_as_they_say() {
        let mut message = vec![1, 9, 0, 24];
        message.extend([0; 16]);
        message.extend([1, 4, b'a', b'b']);
        assert_eq!(Radius.judge(Side::Orig, &message), Judgement::Confirmed);
        message[21] = 1;
        assert!(matches!(Radius.judge(Side::Orig, &message), Judgement::Violated(_)));
        assert!(matches!(Radius.judge(Side::Orig, &message[..23]), Judgement::Violated(_)));
    }

    #[test]
    fn text_is_told_by_its_first_line() {
        assert_eq!(Syslog.judge(Side::Orig, b"<34>su: no"), Judgement::Confirmed);
        assert_eq!(Syslog.judge(Side::Orig, b"no priority"), Judgement::Confirmed);
        assert!(matches!(Syslog.judge(Side::Orig, b"<x>"), Judgement::Violated(_)));
        assert_eq!(Sip.judge(Side::Orig, b"INVITE sip:a@b SIP/2.0\r\n"), Judgement::Confirmed);
        assert_eq!(Sip.judge(Side::Resp, b"SIP/2.0 200 OK\r\n"), Judgement::Confirmed);
        assert_eq!(Sip.judge(Side::Orig, b"\r\n\r\n"), Judgement::Open);
        assert!(matches!(Sip.judge(Side::Orig, b"GET / HTTP/1.1\r\n"), Judgement::Violated(_)));
    }
}
