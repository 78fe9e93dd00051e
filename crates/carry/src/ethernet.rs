//! Frames of other link types as Ethernet frames, so that an Ethernet interface can carry them.
//!
//! What has an Ethertype or an IP version gets a header with made-up addresses (02:00:00:00:00:01 to ...:02, which are
//! local and no group, so that no switch floods them for their group bit). Sources: tcpdump.org/linktypes.html.

use weir_wire::bytes::be16;
use weir_wire::{Frame, LinkType};

/// Both addresses and the type.
pub(crate) const HEADER: usize = 14;
/// A VLAN tag, which an interface takes on top of its MTU.
pub(crate) const TAG: usize = 4;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// An Ethernet frame in two parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ethernet<'a> {
    header: [u8; HEADER],
    /// Whether there is a header apart; else it is in `data`.
    wrapped: bool,
    data: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// The frame, where its link type is Ethernet or can be made so.
    pub fn of(frame: &Frame<'a>) -> Option<Self> {
        let data = frame.data;
        if frame.link == LinkType::ETHERNET {
            return Some(Self { header: [0; HEADER], wrapped: false, data });
        }
        let (kind, data) = match frame.link {
            LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => (ip(data)?, data),
            // The last two bytes of the cooked header; the first two of the second version's.
            LinkType::LINUX_SLL => (be16(data, 14)?, data.get(16..)?),
            LinkType::LINUX_SLL2 => (be16(data, 0)?, data.get(20..)?),
            // Four bytes of address family, which differs from system to system; the packet says it as well.
            LinkType::NULL | LinkType::LOOP => (ip(data.get(4..)?)?, data.get(4..)?),
            _ => return None,
        };
        let [k0, k1] = kind.to_be_bytes();
        let header = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, k0, k1];
        Some(Self { header, wrapped: true, data })
    }

    /// Both parts.
    pub fn parts(&self) -> [&[u8]; 2] {
        [if self.wrapped { &self.header } else { &[] }, self.data]
    }

    /// The part that is in the captured frame.
    pub const fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// The Ethertype of an IP packet.
fn ip(packet: &[u8]) -> Option<u16> {
    match packet.first()? >> 4 {
        4 => Some(IPV4),
        6 => Some(IPV6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::{Offload, Time};

    use super::*;

    fn frame(link: LinkType, data: &[u8]) -> Frame<'_> {
        Frame {
            time: Time(0),
            tap: 0,
            sequence: 0,
            link,
            wire_len: data.len() as u32,
            offload: Offload::default(),
            data,
        }
    }

    #[test]
    fn what_has_an_ethertype_or_an_ip_version_gets_an_ethernet_header() {
        let sll = [&[0; 14][..], &[0x86, 0xdd, 0x60, 1]].concat();
        let sll2 = [&[8, 0][..], &[0; 18], &[0x45, 2]].concat();
        let cases: [(LinkType, &[u8], u16, &[u8]); 5] = [
            (LinkType::RAW, &[0x45, 9], IPV4, &[0x45, 9]),
            (LinkType::IPV6, &[0x60], IPV6, &[0x60]),
            (LinkType::NULL, &[2, 0, 0, 0, 0x45], IPV4, &[0x45]),
            (LinkType::LINUX_SLL, &sll, IPV6, &[0x60, 1]),
            (LinkType::LINUX_SLL2, &sll2, IPV4, &[0x45, 2]),
        ];
        for (link, data, kind, inside) in cases {
            let frame = frame(link, data);
            let made = Ethernet::of(&frame).unwrap();
            let [header, rest] = made.parts();
            assert_eq!((be16(header, 12), rest, made.data()), (Some(kind), inside, inside));
        }
        for (link, data) in
            [(LinkType::RAW, &[0x10][..]), (LinkType::LINUX_SLL, &[0; 3]), (LinkType::PPP, &[0; 9])]
        {
            assert_eq!(Ethernet::of(&frame(link, data)), None);
        }
    }
}
