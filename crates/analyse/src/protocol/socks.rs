//! SOCKS 4 and 5: that it is spoken, the tunnel through the proxy (tunnel.log), and whatever travels in it.
//!
//! Port: 1080/tcp. Each piece of the stream is one message, as in Zeek. Source: RFC 1928, 1929, the SOCKS 4 and 4A protocols.

use weir_record::Text;

use super::Analyze;
use crate::context::{Context, Side};
use crate::detect::Proxy;

/// The analyser.
#[derive(Default)]
pub struct Socks {
    /// The sides that have said all that there is to say of the tunnel.
    done: [bool; 2],
    /// The way to log in that the server chose.
    method: Option<u8>,
    /// The client is to log in.
    logs_in: bool,
    over: bool,
}

/// Why a message is none.
enum Fault {
    Short,
    Said(String),
    /// And nothing more is to be looked at.
    Last(String),
}

impl Socks {
    fn message(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) -> Result<(), Fault> {
        if self.logs_in {
            return self.login(cx, side, bytes);
        }
        match (bytes, side) {
            ([4, rest @ ..], Side::Orig) => self.request_v4(cx, rest),
            ([4 | 0, rest @ ..], Side::Resp) if bytes.first() == Some(&4) => self.reply_v4(cx, rest),
            ([5, rest @ ..], _) => self.message_v5(cx, side, rest),
            ([version, ..], _) => Err(Fault::Said(format!("unsupported/unknown SOCKS version {version}"))),
            ([], _) => Err(Fault::Short),
        }
    }

    fn request_v4(&mut self, cx: &mut Context<'_>, rest: &[u8]) -> Result<(), Fault> {
        let (head, rest) = rest.split_first_chunk::<7>().ok_or(Fault::Short)?;
        let user = memchr::memchr(0, rest).ok_or(Fault::Short)?;
        let has_name = matches!(head, [_, _, _, 0, 0, 0, _]);
        if has_name {
            memchr::memchr(0, rest.get(user + 1..).unwrap_or_default()).ok_or(Fault::Short)?;
        }
        self.requested(cx);
        Ok(())
    }

    fn reply_v4(&mut self, cx: &mut Context<'_>, rest: &[u8]) -> Result<(), Fault> {
        if rest.len() < 8 {
            return Err(Fault::Short);
        }
        self.replied(cx);
        Ok(())
    }

    fn message_v5(&mut self, cx: &mut Context<'_>, side: Side, rest: &[u8]) -> Result<(), Fault> {
        const REFUSED: u8 = 0xff;
        if self.method.is_none() {
            let (count, rest) = rest.split_first().ok_or(Fault::Short)?;
            if side.is_orig() {
                return if rest.len() < usize::from(*count) { Err(Fault::Short) } else { Ok(()) };
            }
            self.logs_in = !matches!(*count, 0 | REFUSED);
            self.method = Some(*count);
            return Ok(());
        }
        let [code, reserved, kind, address @ ..] = rest else { return Err(Fault::Short) };
        let len = match kind {
            1 => 4,
            3 => usize::from(*address.first().ok_or(Fault::Short)?) + 1,
            4 => 16,
            _ => 0,
        };
        let is_known = matches!(kind, 1 | 3 | 4);
        if is_known && address.len() < len + 2 {
            return Err(Fault::Short);
        }
        if side.is_orig() && *reserved != 0 {
            return Err(Fault::Last(format!("invalid value in reserved field: {reserved}")));
        }
        if side.is_orig() && !(1..=3).contains(code) {
            return Err(Fault::Last(format!("undefined value in command field: {code}")));
        }
        if !is_known {
            return Err(Fault::Said(format!("invalid SOCKSv5 addr type: {kind}")));
        }
        if side.is_orig() {
            self.requested(cx);
        } else {
            self.replied(cx);
        }
        Ok(())
    }

    /// The client logs in, or the server says whether it did.
    fn login(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) -> Result<(), Fault> {
        const PASSWORD: u8 = 2;
        let method = self.method.unwrap_or_default();
        let version = bytes.first();
        if !side.is_orig() {
            self.logs_in = false;
        }
        if method != PASSWORD {
            odd(cx, "socks5_unsupported_authentication_method", method.to_string().into());
        } else if let Some(version) = version.filter(|version| **version != 1) {
            let addl = format!("method {method}, version {version}");
            odd(cx, "socks5_unsupported_authentication", addl.into());
        } else if bytes.len() < 2 {
            return Err(Fault::Short);
        }
        Ok(())
    }

    fn requested(&mut self, cx: &mut Context<'_>) {
        cx.tunnel_through(Proxy::Socks);
        let [orig, _] = &mut self.done;
        *orig = true;
    }

    fn replied(&mut self, cx: &mut Context<'_>) {
        cx.confirm();
        let [_, resp] = &mut self.done;
        *resp = true;
    }
}

fn odd(cx: &mut Context<'_>, name: &'static str, addl: Text) {
    cx.weird(name, Some(addl), Some("SOCKS"));
}

impl Analyze for Socks {
    fn data(&mut self, cx: &mut Context<'_>, side: Side, bytes: &[u8]) {
        if self.over || cx.connection.partial {
            self.over = true;
            return;
        }
        if self.done == [true; 2] {
            cx.hand_over(None, bytes.len());
            self.over = true;
            return;
        }
        match self.message(cx, side, bytes) {
            Ok(()) => {}
            Err(Fault::Short) => {
                cx.violate("Binpac exception: binpac exception: out_of_bound: SOCKS", None);
            }
            Err(Fault::Said(reason)) => cx.violate(reason, None),
            Err(Fault::Last(reason)) => {
                cx.violate(reason, None);
                self.over = true;
            }
        }
    }

    fn gap(&mut self, cx: &mut Context<'_>, _side: Side, _len: u64) {
        if self.done == [true; 2] {
            cx.hand_over(None, 0);
            self.over = true;
        }
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

    fn tunnels(b: &Bench<Socks>) -> usize {
        b.entries.iter().filter(|entry| matches!(entry, Entry::Tunnel(_))).count()
    }

    #[test]
    fn what_follows_a_request_and_its_reply_is_detected_anew() {
        let mut b = Bench::new(Socks::default(), Transport::Tcp, 1080);
        b.data(Side::Orig, &[5, 1, 0]);
        b.data(Side::Resp, &[5, 0]);
        b.data(Side::Orig, b"\x05\x01\x00\x03\x03a.b\x00\x50");
        assert!(tunnels(&b) == 1 && !b.verdict.confirmed);
        b.data(Side::Resp, &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert!(b.verdict.confirmed && b.verdict.hand_over.is_none());
        b.data(Side::Orig, b"GET /");
        assert_eq!(b.verdict.hand_over.unwrap().rest, 5);
    }

    #[test]
    fn version_4_says_all_in_one_request() {
        let mut b = Bench::new(Socks::default(), Transport::Tcp, 1080);
        b.data(Side::Orig, b"\x04\x01\x00\x50\x01\x02\x03\x04me\x00");
        assert_eq!(tunnels(&b), 1);
        b.data(Side::Orig, b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00");
        assert!(b.verdict.violation.is_some());
    }

    #[test]
    fn who_logs_in_another_way_is_weird() {
        let mut b = Bench::new(Socks::default(), Transport::Tcp, 1080);
        b.data(Side::Orig, &[5, 1, 1]);
        b.data(Side::Resp, &[5, 1]);
        b.data(Side::Orig, &[1, 2, 3]);
        assert_eq!(b.weirds(), [("socks5_unsupported_authentication_method".into(), Some("1".into()))]);
    }
}
