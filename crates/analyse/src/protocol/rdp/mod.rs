//! RDP: that it is spoken, TLS that it goes on with, and the certificates of its own security.
//!
//! Port: 3389/tcp. Signature: a connection request and its confirmation. Confirmed by what follows the negotiation in the clear
//! (client's core data, server's answer); where TLS was chosen, the rest is left to it.
//! Source: MS-RDPBCGR, 2.2.1; ITU-T X.224, T.125; Zeek's src/analyzer/protocol/rdp.

mod parse;

use self::parse::{Pdu, ServerData};
use super::recognise::{Frames, Size, Step};
use crate::context::{Context, Side};
use crate::protocol::{Analyze, Kind};
use crate::x509::Role;

/// Most certificates of a server that are read.
const MAX_CERTIFICATES: usize = 16;

/// The analyser.
#[derive(Default)]
pub struct Rdp {
    halves: [Frames; 2],
    over: bool,
}

impl Rdp {
    fn pdu(&mut self, cx: &mut Context<'_>, side: Side, message: &[u8], rest: usize) {
        match Pdu::parse(message) {
            Some(Pdu::Confirm { tls: true }) => {
                cx.hand_over(Some(Kind::Ssl), rest);
                self.over = true;
            }
            Some(Pdu::Client) if side.is_orig() => cx.confirm(),
            Some(Pdu::Server(data)) if !side.is_orig() => {
                cx.confirm();
                Self::server(cx, &data);
                // What follows is encrypted, or of no interest.
                self.over = true;
            }
            Some(Pdu::Confirm { .. } | Pdu::Client | Pdu::Server(_) | Pdu::Other) => {}
            None => {
                self.over = true;
                cx.violate("malformed RDP message", None);
            }
        }
    }

    fn server(cx: &mut Context<'_>, data: &ServerData<'_>) {
        for certificate in data.certificates().take(MAX_CERTIFICATES) {
            let role = Role { host: true, client: false };
            cx.files.certificates.log(cx.out, cx.now, certificate, role);
        }
    }
}

/// How long a TPKT is.
fn size(bytes: &[u8]) -> Size {
    match bytes.first_chunk::<4>() {
        None => Size::More,
        Some([3, _, high, low]) => match u16::from_be_bytes([*high, *low]) {
            len @ 7.. => Size::Is(usize::from(len)),
            _ => Size::Bad,
        },
        Some(_) => Size::Bad,
    }
}

impl Analyze for Rdp {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        let mut rest = bytes;
        while !self.over {
            let Some(half) = self.halves.get_mut(side.index()) else { return };
            match half.next(&mut rest, size) {
                Step::More => return,
                Step::Bad => {
                    self.over = true;
                    cx.violate("malformed RDP message", None);
                }
                Step::Message(message) => self.pdu(cx, side, &message, rest.len()),
            }
        }
    }

    fn gap(&mut self, _cx: &mut Context<'_>, _side: Side, _len: u64) {
        self.over = true;
    }

    fn end(&mut self, _cx: &mut Context<'_>, _side: Side) {}

    fn finish(&mut self, _cx: &mut Context<'_>) {}

    fn wants_payload(&self) -> bool {
        !self.over
    }
}

#[cfg(test)]
mod tests {
    use weir_record::Entry;

    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;
    use crate::x509::testing::certificate;

    fn tpkt(body: &[u8]) -> Vec<u8> {
        let mut out = vec![3, 0];
        out.extend((body.len() as u16 + 4).to_be_bytes());
        out.extend(body);
        out
    }

    fn confirm(protocol: u8) -> Vec<u8> {
        tpkt(&[14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, protocol, 0, 0, 0])
    }

    #[test]
    fn the_server_may_choose_tls() {
        let mut b = Bench::new(Rdp::default(), Transport::Tcp, 3389);
        b.data(Side::Orig, &tpkt(&[14, 0xe0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 3, 0, 0, 0]));
        b.data(Side::Resp, &confirm(1));
        assert_eq!(b.verdict.hand_over.map(|h| h.to), Some(Some(Kind::Ssl)));
        assert!(!b.analyser.wants_payload());
    }

    #[test]
    fn a_server_with_security_of_its_own_shows_certificates() {
        let bytes = certificate();
        let mut security = vec![2, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0];
        let mut chain = vec![2, 0, 0, 0, 1, 0, 0, 0];
        chain.extend((bytes.len() as u32).to_le_bytes());
        chain.extend(&bytes);
        security.extend((chain.len() as u32).to_le_bytes());
        security.extend([9, 9, 9, 9]);
        security.extend(chain);
        let mut blocks = vec![2, 0x0c];
        blocks.extend((security.len() as u16 + 4).to_le_bytes());
        blocks.extend(security);
        let mut pdu = vec![2, 0xf0, 0x80, 0x7f, 0x66];
        pdu.extend(b"anything McDn");
        pdu.extend((0x8000 | blocks.len() as u16).to_be_bytes());
        pdu.extend(blocks);
        let mut b = Bench::new(Rdp::default(), Transport::Tcp, 3389);
        b.data(Side::Resp, &confirm(0));
        for piece in tpkt(&pdu).chunks(50) {
            b.data(Side::Resp, piece);
        }
        assert!(b.verdict.confirmed && b.verdict.violation.is_none());
        assert!(b.entries.iter().any(|entry| matches!(entry, Entry::X509(_))));
    }

    #[test]
    fn what_is_no_tpkt_is_a_violation() {
        let mut b = Bench::new(Rdp::default(), Transport::Tcp, 3389);
        b.data(Side::Orig, b"GET / HTTP/1.1\r\n");
        assert!(b.verdict.violation.is_some());
    }
}
