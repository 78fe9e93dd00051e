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
/// Bytes of a block of data, each of which has a checksum.
const BLOCK: usize = 16;
/// Bytes of a checksum.
const SUM: usize = 2;

/// How long a frame is whose length field is `len`: after the head come blocks, each with a checksum.
fn frame(len: u8) -> usize {
    let data = usize::from(len).saturating_sub(5);
    HEAD + data + data.div_ceil(BLOCK) * SUM
}

/// The checksum of DNP3 (IEEE 1815, 9.2.4.3).
fn checksum(bytes: &[u8]) -> [u8; 2] {
    const POLYNOMIAL: u16 = 0xa6bc;
    let sum = bytes.iter().fold(0_u16, |sum, byte| {
        (0..8).fold(
            sum ^ u16::from(*byte),
            |sum, _| if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 },
        )
    });
    (!sum).to_le_bytes()
}

/// Whether the checksum behind `bytes` is right.
fn is_sound(block: &[u8]) -> bool {
    block.split_last_chunk::<SUM>().is_some_and(|(bytes, sum)| checksum(bytes) == *sum)
}

/// What both transports of DNP3 share: the frames of both sides.
#[derive(Default)]
struct Dnp3 {
    /// Sides that are in the middle of a message in several frames.
    begun: [bool; 2],
    odd: Vec<&'static str>,
}

impl Dnp3 {
    /// A whole frame with its magic.
    fn frame(&mut self, side: Side, frame: &[u8]) -> Judgement {
        const FROM_MASTER: u8 = 0x80;
        let Some((head, data)) = frame.split_at_checked(HEAD) else {
            return Judgement::Violated("malformed DNP3 frame".into());
        };
        if !is_sound(head) {
            self.odd.push("dnp3_corrupt_header_checksum");
            return Judgement::Violated("broken_checksum".into());
        }
        let &[_, _, _, control, ..] = head else { return Judgement::Over };
        let Some(transport) = data.first() else { return Judgement::Confirmed };
        if side.is_orig() != (control & FROM_MASTER != 0) {
            self.odd.push("dnp3_unexpected_flow_direction");
        }
        if !data.chunks(BLOCK + SUM).all(is_sound) {
            self.odd.push("dnp3_corrupt_app_chunk_checksum");
            return Judgement::Settled;
        }
        let (is_first, is_last) = (transport & 0x40 != 0, transport & 0x80 != 0);
        let Some(begun) = self.begun.get_mut(side.index()) else { return Judgement::Over };
        if !is_first && !*begun {
            self.odd.push("dnp3_first_application_layer_chunk_missing");
            return Judgement::Settled;
        }
        *begun = !is_last;
        Judgement::Confirmed
    }
}

/// DNP3 over TCP.
#[derive(Default)]
pub struct Dnp3Tcp(Dnp3);

impl Judge for Dnp3Tcp {
    const BAD: Option<&'static str> = Some("dnp3_header_lacks_magic");
    const SOURCE: Option<&'static str> = Some("DNP3_TCP");

    fn size(&self, _side: Side, bytes: &[u8]) -> Size {
        match first::<3>(bytes) {
            Some([a, b, len]) if [a, b] == MAGIC => Size::Is(frame(len)),
            Some(_) => Size::Bad,
            None => Size::More,
        }
    }

    fn judge(&mut self, side: Side, message: &[u8]) -> Judgement {
        self.0.frame(side, message)
    }

    fn odd(&mut self) -> Option<&'static str> {
        (!self.0.odd.is_empty()).then(|| self.0.odd.remove(0))
    }
}

/// DNP3 over UDP.
#[derive(Default)]
pub struct Dnp3Udp(Dnp3);

impl DatagramJudge for Dnp3Udp {
    const SOURCE: Option<&'static str> = Some("DNP3_UDP");

    fn judge(&mut self, side: Side, datagram: &[u8]) -> Judgement {
        let mut rest = datagram;
        let mut judgement = Judgement::Over;
        while let Some([a, b, len]) = first::<3>(rest) {
            if [a, b] != MAGIC {
                self.0.odd.push("dnp3_header_lacks_magic");
                return if judgement == Judgement::Confirmed { Judgement::Settled } else { Judgement::Over };
            }
            let Some((frame, behind)) = rest.split_at_checked(frame(len)) else { break };
            rest = behind;
            judgement = self.0.frame(side, frame);
            if judgement != Judgement::Confirmed {
                break;
            }
        }
        judgement
    }

    fn odd(&mut self) -> Option<&'static str> {
        (!self.0.odd.is_empty()).then(|| self.0.odd.remove(0))
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
        let mut frame = vec![5, 0x64, 5, 0xc9, 1, 0, 0, 4];
        frame.extend(checksum(&frame));
        let mut b = Bench::new(Framed::<Dnp3Tcp>::default(), Transport::Tcp, 20000);
        b.data(Side::Orig, &frame[..9]);
        assert!(!b.verdict.confirmed);
        b.data(Side::Orig, &frame[9..]);
        assert!(b.verdict.confirmed && b.weirds().is_empty());
        let mut b = Bench::new(Datagrams::<Dnp3Udp>::default(), Transport::Udp, 20000);
        b.data(Side::Orig, &frame);
        assert!(b.verdict.confirmed);
    }

    /// A frame with `data`, from the master or to it.
    fn with(control: u8, data: &[u8]) -> Vec<u8> {
        let mut frame = vec![5, 0x64, 5 + data.len() as u8, control, 1, 0, 0, 4];
        frame.extend(checksum(&frame));
        for block in data.chunks(BLOCK) {
            frame.extend(block);
            frame.extend(checksum(block));
        }
        frame
    }

    fn oddities(frame: &[u8]) -> Vec<String> {
        let mut b = Bench::new(Framed::<Dnp3Tcp>::default(), Transport::Tcp, 20000);
        b.data(Side::Orig, frame);
        let names = b.weirds().into_iter().map(|(name, _)| name);
        names.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()).collect()
    }

    #[test]
    fn frames_of_dnp3_that_are_not_what_they_should_be_are_weird() {
        let whole = with(0xc4, &[&[0xc0][..], &[7; 30]].concat());
        assert!(oddities(&whole).is_empty());
        assert_eq!(oddities(&with(0x44, &[0xc0, 1])), ["dnp3_unexpected_flow_direction"]);
        assert_eq!(oddities(&with(0xc4, &[0x80, 1])), ["dnp3_first_application_layer_chunk_missing"]);
        let mut bad = whole.clone();
        bad[20] ^= 1;
        assert_eq!(oddities(&bad), ["dnp3_corrupt_app_chunk_checksum"]);
        bad[8] ^= 1;
        assert_eq!(oddities(&bad), ["dnp3_corrupt_header_checksum"]);
        assert_eq!(oddities(b"GET / HTTP/1.1"), ["dnp3_header_lacks_magic"]);
    }
}
