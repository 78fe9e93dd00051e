//! LDAP, Kerberos.
//!
//! Source: RFC 4511, RFC 4513 (LDAP); RFC 4120 (Kerberos); ITU-T X.690 for the heads of elements.

use super::pkinit::{self, Shown};
use super::{DatagramJudge, Judge, Judgement, Size, first};
use crate::context::Side;

/// The tag, the length of the head and of the contents of the element that `bytes` begin with.
fn element(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let [tag, short] = first(bytes)?;
    if short < 0x80 {
        return Some((tag, 2, usize::from(short)));
    }
    let count = usize::from(short & 0x7f);
    if !(1..=4).contains(&count) {
        return None;
    }
    let digits = bytes.get(2..2 + count)?;
    let len = digits.iter().fold(0_usize, |n, digit| n << 8 | usize::from(*digit));
    Some((tag, 2 + count, len))
}

/// LDAP: spoken when a message has the form of one.
#[derive(Default)]
pub struct LdapTcp {
    asked_for_tls: bool,
    answered: bool,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
/// LDAP_START_TLS_OID, behind its tag and length.
const START_TLS: &[u8] = b"\x80\x161.3.6.1.4.1.1466.20037";
/// resultCode: success.
const SUCCESS: &[u8] = &[0x0a, 1, 0];

impl Judge for LdapTcp {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        // What is signed or encrypted (SASL) has a length of four bytes before it.
        match first::<4>(bytes) {
            Some(n) if self.answered && n.first() == Some(&0) => Size::Is(u32::from_be_bytes(n) as usize + 4),
            None => Size::More,
            Some(_) => match element(bytes) {
                Some((SEQUENCE, head, len)) => Size::Is(head.saturating_add(len)),
                None if bytes.len() < 6 => Size::More,
                _ => Size::Bad,
            },
        }
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        if message.first() != Some(&SEQUENCE) {
            return Judgement::Settled;
        }
        let contents = element(message).and_then(|(_, head, _)| message.get(head..)).unwrap_or_default();
        let Some((INTEGER, head, len)) = element(contents) else {
            return Judgement::Violated("malformed LDAP message".into());
        };
        let operation = contents.get(head.saturating_add(len)..).unwrap_or_default();
        let Some((tag, head, _)) = element(operation).filter(|(tag, ..)| tag >> 6 == 1 && tag & 0x1f <= 25)
        else {
            return Judgement::Violated("unknown LDAP operation".into());
        };
        let body = operation.get(head..).unwrap_or_default();
        self.answered |= side == Side::Resp;
        match tag {
            EXTENDED_REQUEST if body.starts_with(START_TLS) => self.asked_for_tls = true,
            EXTENDED_RESPONSE if self.asked_for_tls => {
                self.asked_for_tls = false;
                if body.starts_with(SUCCESS) {
                    return Judgement::Tls;
                }
            }
            _ => {}
        }
        Judgement::Confirmed
    }
}

/// LDAP over UDP.
#[derive(Default)]
pub struct LdapUdp(LdapTcp);

impl DatagramJudge for LdapUdp {
    fn judge(&mut self, side: Side, datagram: &[u8]) -> Judgement {
        match element(datagram) {
            Some((SEQUENCE, head, len)) if head.saturating_add(len) <= datagram.len() => {
                let judgement = self.0.judge(side, datagram);
                if judgement == Judgement::Tls { Judgement::Confirmed } else { judgement }
            }
            _ => Judgement::Violated("malformed LDAP message".into()),
        }
    }
}

/// Whether `message` has the head of a message of Kerberos: AS-REQ to KRB-ERROR, with a sequence in it.
pub fn is_kerberos(message: &[u8]) -> bool {
    let Some((tag @ 0x6a..=0x7e, head, _)) = element(message) else { return false };
    matches!(tag & 0x1f, 10..=15 | 20..=22 | 30) && message.get(head) == Some(&SEQUENCE)
}

/// Kerberos over UDP.
#[derive(Default)]
pub struct Kerberos;

impl DatagramJudge for Kerberos {
    fn judge(&mut self, _side: Side, datagram: &[u8]) -> Judgement {
        if is_kerberos(datagram) {
            Judgement::Confirmed
        } else {
            Judgement::Violated("malformed Kerberos message".into())
        }
    }

    fn certificates(datagram: &[u8]) -> impl Iterator<Item = Shown<'_>> {
        pkinit::certificates(datagram)
    }
}

/// Kerberos over TCP.
#[derive(Default)]
pub struct KerberosTcp {
    spoken: bool,
}

impl Judge for KerberosTcp {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        match first::<4>(bytes).map(u32::from_be_bytes) {
            Some(len @ 2..0x8000_0000) => Size::Is(len as usize + 4),
            Some(_) => Size::Bad,
            None => Size::More,
        }
    }

    fn judge(&mut self, _side: Side, message: &[u8]) -> Judgement {
        if is_kerberos(message.get(4..).unwrap_or_default()) {
            self.spoken = true;
            Judgement::Confirmed
        } else if self.spoken {
            Judgement::Over
        } else {
            Judgement::Violated("malformed Kerberos message".into())
        }
    }

    fn certificates(message: &[u8]) -> impl Iterator<Item = Shown<'_>> {
        pkinit::certificates(message.get(4..).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Datagrams, Framed};
    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;

    #[test]
    fn ldap_goes_on_with_tls_where_the_server_agrees() {
        let mut b = Bench::new(Framed::<LdapTcp>::default(), Transport::Tcp, 389);
        let mut request = vec![0x30, 29, 2, 1, 1, 0x77, 24];
        request.extend(START_TLS);
        b.data(Side::Orig, &request);
        assert!(b.verdict.confirmed);
        b.data(Side::Resp, &[0x30, 12, 2, 1, 1, 0x78, 7, 0x0a, 1, 0, 4, 0, 4, 0]);
        assert!(b.verdict.hand_over.is_some());
        let mut b = Bench::new(Framed::<LdapTcp>::default(), Transport::Tcp, 389);
        b.data(Side::Orig, b"GET / HTTP/1.1\r\n");
        assert!(b.verdict.violation.is_some());
    }

    #[test]
    fn kerberos_is_an_application_element_with_a_sequence() {
        let mut b = Bench::new(Datagrams::<Kerberos>::default(), Transport::Udp, 88);
        b.data(Side::Orig, &[0x6a, 2, 0x30, 0]);
        assert!(b.verdict.confirmed);
        let mut b = Bench::new(Framed::<KerberosTcp>::default(), Transport::Tcp, 88);
        b.data(Side::Orig, &[0, 0, 0, 4, 0x6c, 2, 0x30, 0]);
        assert!(b.verdict.confirmed);
    }
}
