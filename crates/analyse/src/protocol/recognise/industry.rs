//! Modbus, DNP3.
//!
//! Source: MODBUS Messaging on TCP/IP, 3.1.3; IEEE 1815 (DNP3), data link layer.

use super::{DatagramJudge, Judge, Judgement, Size, first};
use crate::context::Side;

/// Modbus: spoken when a message has its head.
#[derive(Default)]
pub struct Modbus;

impl Judge for Modbus {
    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        match first::<6>(bytes) {
            Some([_, _, 0, 0, high, low]) => match u16::from_be_bytes([high, low]) {
                len @ 2..=254 => Size::Is(usize::from(len) + 6),
                _ => Size::Bad,
            },
            Some(_) => Size::Bad,
            None => Size::More,
        }
    }

    fn judge(&mut self, _side: Side, _message: &[u8]) -> Judgement {
        Judgement::Settled
    }
}

/// What a frame of DNP3 begins with.
const MAGIC: [u8; 2] = [0x05, 0x64];
/// Bytes of its head with the checksum.
const HEAD: usize = 10;

/// How long a frame is whose length field is `len`: after the head come blocks of sixteen bytes, each with a checksum.
fn frame(len: u8) -> Option<usize> {
    let data = usize::from(len).checked_sub(5)?;
    Some(HEAD + data + data.div_ceil(16) * 2)
}

/// DNP3 over TCP.
#[derive(Default)]
pub struct Dnp3Tcp;

impl Judge for Dnp3Tcp {
    const BAD: Option<(&'static str, &'static str)> = Some(("dnp3_header_lacks_magic", "DNP3_TCP"));

    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        match first::<3>(bytes) {
            Some([a, b, len]) if [a, b] == MAGIC => frame(len).map_or(Size::Bad, Size::Is),
            Some(_) => Size::Bad,
            None => Size::More,
        }
    }

    fn judge(&mut self, _side: Side, _message: &[u8]) -> Judgement {
        Judgement::Confirmed
    }
}

/// DNP3 over UDP.
#[derive(Default)]
pub struct Dnp3Udp;

impl DatagramJudge for Dnp3Udp {
    fn judge(&mut self, _side: Side, datagram: &[u8]) -> Judgement {
        match first::<3>(datagram) {
            Some([a, b, len]) if [a, b] == MAGIC && frame(len).is_some_and(|n| n <= datagram.len()) => {
                Judgement::Settled
            }
            _ => Judgement::Violated("DNP3 header lacks its magic".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Datagrams, Framed};
    use super::*;
    use crate::context::Transport;
    use crate::protocol::testing::Bench;

    #[test]
    fn modbus_is_told_by_its_head() {
        let mut b = Bench::new(Framed::<Modbus>::default(), Transport::Tcp, 502);
        b.data(Side::Orig, &[0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]);
        assert!(b.verdict.confirmed);
        let mut b = Bench::new(Framed::<Modbus>::default(), Transport::Tcp, 502);
        b.data(Side::Orig, b"GET / HTTP/1.1\r\n");
        assert!(b.verdict.violation.is_some());
    }

    #[test]
    fn dnp3_is_told_by_a_whole_frame() {
        let frame = [5, 0x64, 5, 0xc9, 1, 0, 0, 4, 0, 0];
        let mut b = Bench::new(Framed::<Dnp3Tcp>::default(), Transport::Tcp, 20000);
        b.data(Side::Orig, &frame[..9]);
        assert!(!b.verdict.confirmed);
        b.data(Side::Orig, &frame[9..]);
        assert!(b.verdict.confirmed);
        let mut b = Bench::new(Datagrams::<Dnp3Udp>::default(), Transport::Udp, 20000);
        b.data(Side::Orig, &frame);
        assert!(b.verdict.confirmed);
    }
}
