//! IMAP and XMPP: as far as it takes to see where TLS begins.
//!
//! Source: RFC 3501, 2595 (IMAP); RFC 6120 (XMPP); what confirms: Zeek's analysers of these.

use super::{Judge, Judgement, Size};
use crate::context::Side;

/// Most bytes of a line or element that are waited for.
const MAX_WAIT: usize = 8192;

fn up_to(end: u8, bytes: &[u8]) -> Size {
    match memchr::memchr(end, bytes) {
        Some(at) => Size::Is(at + 1),
        None if bytes.len() > MAX_WAIT => Size::Is(bytes.len()),
        None => Size::More,
    }
}

/// IMAP: spoken when a server greets, or a client asks for something that only IMAP has.
#[derive(Default)]
pub struct Imap {
    /// The tag of the wish for TLS.
    asked: Option<Vec<u8>>,
}

impl Judge for Imap {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        up_to(b'\n', bytes)
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        let mut words = message.split(u8::is_ascii_whitespace);
        let (tag, command) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let command = command.to_ascii_lowercase();
        if !side.is_orig() && self.asked.as_deref() == Some(tag) && command == b"ok" {
            return Judgement::Tls;
        }
        match (command.as_slice(), side) {
            (b"ok", Side::Resp) if tag == b"*" => Judgement::Confirmed,
            (b"capability", Side::Orig) => Judgement::Confirmed,
            (b"starttls", Side::Orig) => {
                self.asked = Some(tag.to_vec());
                Judgement::Confirmed
            }
            (b"authenticate" | b"login" | b"examine" | b"create" | b"list" | b"fetch", _) => {
                Judgement::Settled
            }
            _ => Judgement::Open,
        }
    }
}

/// XMPP: spoken when a client opens a stream.
#[derive(Default)]
pub struct Xmpp {
    asked: bool,
}

impl Judge for Xmpp {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        up_to(b'>', bytes)
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        let element = memchr::memchr(b'<', message).and_then(|at| message.get(at + 1..)).unwrap_or_default();
        let ends = |b: &u8| b.is_ascii_whitespace() || *b == b'>';
        let name = element.split(ends).next().unwrap_or_default();
        let name = name.strip_suffix(b"/").unwrap_or(name);
        match (name, side) {
            (b"stream:stream", Side::Orig) => Judgement::Confirmed,
            (b"starttls", Side::Orig) => {
                self.asked = true;
                Judgement::Open
            }
            (b"proceed", Side::Resp) if self.asked => Judgement::Tls,
            (b"success" | b"message" | b"db:result" | b"db:verify" | b"presence", _) => Judgement::Over,
            _ => Judgement::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Framed;
    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;

    #[test]
    fn imap_goes_on_with_tls_where_the_server_agrees() {
        let mut b = Bench::new(Framed::<Imap>::default(), Transport::Tcp, 143);
        b.data(Side::Resp, b"* OK ready\r\n");
        assert!(b.verdict.confirmed);
        b.data(Side::Orig, b"a1 STARTTLS\r\n");
        b.data(Side::Resp, b"a0 OK no\r\n");
        assert!(b.verdict.hand_over.is_none());
        b.data(Side::Resp, b"a1 OK go\r\n");
        assert!(b.verdict.hand_over.is_some());
    }

    #[test]
    fn xmpp_goes_on_with_tls_where_the_server_agrees() {
        let mut b = Bench::new(Framed::<Xmpp>::default(), Transport::Tcp, 5222);
        b.data(Side::Resp, b"<stream:stream id='1'>");
        assert!(!b.verdict.confirmed);
        b.data(Side::Orig, b"<?xml version='1.0'?><stream:stream to='a' xmlns='jabber:client'>");
        assert!(b.verdict.confirmed);
        b.data(Side::Orig, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        b.data(Side::Resp, b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert!(b.verdict.hand_over.is_some());
    }
}
