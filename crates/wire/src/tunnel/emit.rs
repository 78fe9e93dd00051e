//! The headers of tunnels, to be put in front of a frame: what [`super`]'s views read is what is written here (test
//! `what_is_written_is_read_back`).
//!
//! Sources: RFC 7348 (VXLAN), RFC 8926 (GENEVE), RFC 2784 and 2890 (GRE), draft-foschiano-erspan-03 (ERSPAN).

use super::{geneve, gre};
use crate::Time;

/// The longest header that is written: GENEVE with one option of [`super::Origin`].
pub const ROOM: usize = geneve::MIN_LEN + super::origin::LEN;

/// A header in the making, or made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TunnelHead {
    bytes: [u8; ROOM],
    len: u8,
}

/// What an ERSPAN header tells of the frame behind it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mirrored {
    /// Which mirror, below 1024.
    pub session: u16,
    /// The tag of the frame: priority and VLAN as they stand in it. It stays in the frame.
    pub tag: Option<u16>,
    /// Whether the frame's end was cut off.
    pub truncated: bool,
    /// Type II: the port, below 2²⁰. Type III: the engine, of which six bits are written.
    pub port: u32,
    /// Type III: whether the port sent the frame.
    pub egress: bool,
    /// Type III: when. 32 bits of units of 100 ns are written.
    pub time: Time,
}

/// Nanoseconds of a unit of ERSPAN's timestamp in granularity 1.
const ERSPAN_UNIT: i64 = 100;

impl TunnelHead {
    const EMPTY: Self = Self { bytes: [0; ROOM], len: 0 };

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// VXLAN with the network identifier `vni`, of which 24 bits are written.
    pub fn vxlan(vni: u32) -> Self {
        let [_, a, b, c] = vni.to_be_bytes();
        Self::EMPTY.with(&[8, 0, 0, 0, a, b, c, 0])
    }

    /// GENEVE around what has Ethertype `protocol`, with whole options (a multiple of four bytes).
    pub fn geneve(protocol: u16, vni: u32, options: &[u8]) -> Self {
        let ([p, q], [_, a, b, c]) = (protocol.to_be_bytes(), vni.to_be_bytes());
        let words = (options.len() / 4).min(0x3f) as u8;
        Self::EMPTY.with(&[words, 0, p, q, a, b, c, 0]).with(options)
    }

    /// GRE around `protocol`, with the fields that are given.
    pub fn gre(protocol: u16, key: Option<u32>, sequence: Option<u32>) -> Self {
        let flags = u8::from(key.is_some()) << 5 | u8::from(sequence.is_some()) << 4;
        let [p, q] = protocol.to_be_bytes();
        let fields = [key, sequence].into_iter().flatten();
        fields.fold(Self::EMPTY.with(&[flags, 0, p, q]), |head, field| head.with(&field.to_be_bytes()))
    }

    /// ERSPAN type I: GRE with a protocol number of its own, and nothing more.
    pub fn erspan_1() -> Self {
        Self::gre(gre::protocol::ERSPAN, None, None)
    }

    /// ERSPAN type II with GRE before it.
    pub fn erspan_2(sequence: u32, frame: &Mirrored) -> Self {
        // Encapsulation: 3 is a tag that is still in the frame, 0 is none.
        let encapsulation = if frame.tag.is_some() { 3 } else { 0 };
        let index = (frame.port & 0xf_ffff).to_be_bytes();
        let gre = Self::gre(gre::protocol::ERSPAN, None, Some(sequence));
        gre.with(&frame.common(1, encapsulation)).with(&index)
    }

    /// ERSPAN type III with GRE before it; the time is in units of 100 ns.
    pub fn erspan_3(sequence: u32, frame: &Mirrored) -> Self {
        const PDU: u8 = 0x80;
        const GRANULARITY: u8 = 1 << 1;
        let gre = Self::gre(gre::protocol::ERSPAN3, None, Some(sequence));
        let time = ((frame.time.0 / ERSPAN_UNIT) as u32).to_be_bytes();
        let hardware = frame.port as u8 & 0x3f;
        let last = hardware << 4 | u8::from(frame.egress) << 3 | GRANULARITY;
        gre.with(&frame.common(2, 0)).with(&time).with(&[0, 0, PDU | hardware >> 4, last])
    }

    /// With `more` behind; what does not fit is left out, which the lengths of all headers here exclude.
    fn with(mut self, more: &[u8]) -> Self {
        let at = usize::from(self.len);
        let mut written = 0;
        for (to, from) in self.bytes.iter_mut().skip(at).zip(more) {
            *to = *from;
            written += 1;
        }
        self.len += written;
        self
    }
}

impl Mirrored {
    /// What types II and III begin with.
    fn common(&self, version: u8, two_bits: u8) -> [u8; 4] {
        let [priority, low] = self.tag.unwrap_or(0).to_be_bytes();
        let [high, session] = (self.session & 0x03ff).to_be_bytes();
        let truncated = u8::from(self.truncated) << 2;
        [version << 4 | priority & 0x0f, low, priority & 0xe0 | two_bits << 3 | truncated | high, session]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tunnel::{GeneveHeader, GreHeader, Origin, VxlanHeader};

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            vni in 0u32..1 << 24, protocol: u16, key: Option<u32>, sequence: Option<u32>, inner: [u8; 5],
            tap: u32, source: u16, epoch: u16, number: u64, wire_len: u32, time: i64,
        ) {
            let bytes = [TunnelHead::vxlan(vni).bytes(), &inner].concat();
            let header = VxlanHeader::parse(&bytes).unwrap();
            prop_assert_eq!((header.vni(), header.inner()), (vni, &inner[..]));

            let origin = Origin { tap, source, epoch, sequence: number, wire_len, time: Time(time) };
            let bytes = [TunnelHead::geneve(protocol, vni, &origin.emit()).bytes(), &inner].concat();
            let header = GeneveHeader::parse(&bytes).unwrap();
            prop_assert_eq!((header.vni(), header.protocol(), header.inner()), (vni, protocol, &inner[..]));
            prop_assert_eq!(Origin::find(&header), Some(origin));

            let bytes = [TunnelHead::gre(protocol, key, sequence).bytes(), &inner].concat();
            let header = GreHeader::parse(&bytes).unwrap();
            prop_assert_eq!((header.protocol(), header.key(), header.inner()), (protocol, key, Some(&inner[..])));
            prop_assert_eq!((header.version(), header.has_sequence()), (0, sequence.is_some()));
            prop_assert!(!header.has_reserved() && !header.has_routing());
        }
    }

    #[test]
    fn every_field_of_erspan_is_where_the_draft_puts_it() {
        let frame = Mirrored {
            session: 0x303,
            tag: Some(0xa064),
            truncated: true,
            port: 0xa_bcde,
            egress: true,
            time: Time(0x0102_0304 * 100 + 99),
        };
        let two = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 9, 0x10, 0x64, 0xbf, 0x03, 0, 0x0a, 0xbc, 0xde];
        assert_eq!(TunnelHead::erspan_2(9, &frame).bytes(), two);
        let three = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 9, 0x20, 0x64, 0xa7, 0x03, 1, 2, 3, 4, 0, 0, 0x81, 0xea];
        assert_eq!(TunnelHead::erspan_3(9, &frame).bytes(), three);
        assert_eq!(TunnelHead::erspan_1().bytes(), [0, 0, 0x88, 0xbe]);
    }
}
