//! SNMP, MQTT, RFB.
//!
//! Source: RFC 1157, 3416, 3412 (SNMP); MQTT 3.1.1 and 5; RFC 6143 (RFB).

use super::{DatagramJudge, Judge, Judgement, Size, first};
use crate::context::Side;

/// SNMP: spoken when the responder's message has the head of one.
#[derive(Default)]
pub struct Snmp;

impl DatagramJudge for Snmp {
    fn judge(&mut self, side: Side, datagram: &[u8]) -> Judgement {
        const SEQUENCE: u8 = 0x30;
        const INTEGER: u8 = 2;
        let violated = || Judgement::Violated("malformed SNMP message".into());
        let Some([SEQUENCE, len]) = first(datagram) else { return violated() };
        let head = if len & 0x80 == 0 { 2 } else { 2 + usize::from(len & 0x7f) };
        let Some([INTEGER, 1, version, ..]) = datagram.get(head..).and_then(first::<4>) else {
            return violated();
        };
        match (version, side) {
            (0 | 1 | 3, Side::Resp) => Judgement::Confirmed,
            (0 | 1 | 3, Side::Orig) => Judgement::Open,
            _ => violated(),
        }
    }
}

/// MQTT: spoken when a client connects.
#[derive(Default)]
pub struct Mqtt;

/// How long a packet is: a variable-length integer follows the first byte.
fn mqtt_size(bytes: &[u8]) -> Size {
    let mut len = 0_usize;
    for (at, byte) in bytes.iter().skip(1).take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Size::Is(len + at + 2);
        }
    }
    if bytes.len() > 4 { Size::Bad } else { Size::More }
}

impl Judge for Mqtt {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        mqtt_size(bytes)
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        const CONNECT: u8 = 1;
        const CONNACK: u8 = 2;
        let named = |name: &[u8]| message.windows(name.len()).take(8).any(|w| w == name);
        match (message.first().map_or(0, |b| b >> 4), side) {
            (CONNECT, Side::Orig) if named(b"\0\x04MQTT") || named(b"\0\x06MQIsdp") => Judgement::Settled,
            (CONNACK, Side::Resp) if message.len() >= 4 => Judgement::Settled,
            (1..=15, _) => Judgement::Open,
            _ => Judgement::Violated("malformed MQTT packet".into()),
        }
    }
}

/// RFB: spoken when both sides told their version.
#[derive(Default)]
pub struct Rfb {
    told: [bool; 2],
}

/// `RFB 003.008` and a line feed.
const RFB_VERSION: usize = 12;

impl Judge for Rfb {
    fn size(&self, _side: Side, _bytes: &[u8]) -> Size {
        Size::Is(RFB_VERSION)
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        if !message.starts_with(b"RFB ") || message.last() != Some(&b'\n') {
            return Judgement::Violated("not an RFB version".into());
        }
        if let Some(told) = self.told.get_mut(side.index()) {
            *told = true;
        }
        if self.told == [true; 2] { Judgement::Settled } else { Judgement::Open }
    }
}

/// RDP over UDP: spoken when a server answers the wish for a connection.
#[derive(Default)]
pub struct RdpUdp {
    asked: bool,
    answered: bool,
}

impl DatagramJudge for RdpUdp {
    fn judge(&mut self, side: Side, datagram: &[u8]) -> Judgement {
        const SYN: u16 = 1;
        const SYN_OR_ACK: u16 = 5;
        let Some([a, b, c, d, _, _, f0, f1]) = first(datagram) else {
            return Judgement::Violated("malformed RDPEUDP message".into());
        };
        let flags = u16::from_be_bytes([f0, f1]);
        if self.answered {
            return Judgement::Open;
        }
        if self.asked {
            self.answered = !side.is_orig() && flags & SYN_OR_ACK != 0;
        } else {
            self.asked = side.is_orig() && flags & SYN != 0 && [a, b, c, d] == [0xff; 4];
        }
        if self.answered { Judgement::Confirmed } else { Judgement::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Framed;
    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;

    #[test]
    fn snmp_is_told_by_an_answer() {
        let message = [0x30, 0x81, 5, 2, 1, 1, 4, 0];
        assert_eq!(Snmp.judge(Side::Orig, &message), Judgement::Open);
        assert_eq!(Snmp.judge(Side::Resp, &message), Judgement::Confirmed);
        assert!(matches!(Snmp.judge(Side::Resp, b"hello there"), Judgement::Violated(_)));
    }

    #[test]
    fn mqtt_is_told_by_a_connect() {
        let mut b = Bench::new(Framed::<Mqtt>::default(), Transport::Tcp, 1883);
        b.data(Side::Orig, &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60, 0, 0]);
        assert!(b.verdict.confirmed);
        assert_eq!(mqtt_size(&[0x30, 0x80, 0x80, 0x80, 0x80]), Size::Bad);
    }

    #[test]
    fn rfb_is_told_by_two_versions() {
        let mut b = Bench::new(Framed::<Rfb>::default(), Transport::Tcp, 5900);
        b.data(Side::Resp, b"RFB 003.008\n");
        assert!(!b.verdict.confirmed);
        b.data(Side::Orig, b"RFB 003.008\n\x01");
        assert!(b.verdict.confirmed);
    }
}
