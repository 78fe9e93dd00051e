//! The protocols over datagrams that are told by their bytes. Each datagram is looked at for itself.

use super::{ANY, Answer, Want, is, matches};
use crate::protocol::Kind;

/// What a datagram speaks.
pub fn datagram(bytes: &[u8]) -> Option<Kind> {
    if is_dtls_client(bytes) {
        return Some(Kind::Dtls);
    }
    if is_dhcp(bytes) {
        return Some(Kind::Dhcp);
    }
    if is_sip(bytes) {
        return Some(Kind::Sip);
    }
    if is_rdp_udp(bytes) {
        return Some(Kind::RdpUdp);
    }
    if kerberos_begins(bytes) == Answer::Yes {
        return Some(Kind::Kerberos);
    }
    is_quic_initial(bytes).then_some(Kind::Quic)
}

/// Whether the cookie of DHCP stands in a datagram.
fn is_dhcp(datagram: &[u8]) -> bool {
    memchr::memmem::find(datagram, &[0x63, 0x82, 0x53, 0x63]).is_some()
}

/// Whether a line of a datagram ends as a request of SIP does, or it begins as a reply does.
fn is_sip(datagram: &[u8]) -> bool {
    let is_version = |bytes: &[u8]| {
        matches!(bytes, [b'S', b'I', b'P', b'/', major, b'.', minor, ..]
            if major.is_ascii_digit() && minor.is_ascii_digit())
    };
    let reply = datagram.strip_prefix(b" ").unwrap_or(datagram);
    if is_version(reply) {
        let behind = reply.get(7..).unwrap_or_default();
        return behind.starts_with(b"\r\n")
            || matches!(behind, [b' ', a, b, c, b' ', ..] if [a, b, c].iter().all(|d| d.is_ascii_digit()));
    }
    memchr::memmem::find_iter(datagram, b" SIP/").any(|at| {
        let rest = datagram.get(at + 1..).unwrap_or_default();
        is_version(rest) && rest.get(7..9) == Some(b"\r\n")
    })
}

/// Whether a datagram asks for RDP over UDP: it is as long as may be, and acknowledges nothing.
fn is_rdp_udp(datagram: &[u8]) -> bool {
    const LENGTH: usize = 1232;
    datagram.len() == LENGTH && matches!(datagram, [0xff, 0xff, 0xff, 0xff, _, _, _, 1, ..])
}

/// What `bytes` begin with: a request or an answer of Kerberos, version 5, as the tags and short lengths of its encoding tell.
pub(super) fn kerberos_begins(bytes: &[u8]) -> Answer {
    const REQUEST: &[Want] = &[is(0xa1), is(3), is(2), is(1), is(5), is(0xa2), is(3), is(2), is(1)];
    const ANSWER: &[Want] = &[is(0xa0), is(3), is(2), is(1), is(5), is(0xa1), is(3), is(2), is(1)];
    /// Lengths take so many bytes at most.
    const LENGTH: usize = 4;
    let wanted = match bytes.first() {
        None => return Answer::More,
        Some(0x6a | 0x6c) => REQUEST,
        Some(0x6b | 0x6d | 0x7e) => ANSWER,
        Some(_) => return Answer::No,
    };
    let mut answer = Answer::No;
    for sequence in 2..=1 + LENGTH {
        for version in sequence + 2..=sequence + 1 + LENGTH {
            let head = bytes.get(sequence..).map_or(Answer::More, |rest| matches(rest, &[is(0x30)]));
            answer =
                answer.or(head.and(bytes.get(version..).map_or(Answer::More, |rest| matches(rest, wanted))));
        }
    }
    answer
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

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn sip_is_told_by_its_first_line() {
        assert_eq!(datagram(b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n"), Some(Kind::Sip));
        assert_eq!(datagram(b"SIP/2.0 200 OK\r\n"), Some(Kind::Sip));
        assert_eq!(datagram(b"INVITE sip:a@b SIP/2.0 \r\n"), None);
    }

    #[test]
    fn kerberos_is_told_by_version_and_type() {
        let request = b"\x6a\x81\xd3\x30\x81\xd0\xa1\x03\x02\x01\x05\xa2\x03\x02\x01\x0a";
        assert_eq!(datagram(request), Some(Kind::Kerberos));
        let error = b"\x7e\x40\x30\x3e\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e";
        assert_eq!(datagram(error), Some(Kind::Kerberos));
        assert_eq!(datagram(b"\x6a\x81\xd3\x30\x81\xd0\xa1\x03\x02\x05"), None);
        for len in 0..14 {
            assert_eq!(kerberos_begins(&request[..len]), Answer::More);
        }
    }
}
