//! The flow of a frame at a glance: without memory, without weirds, for who passes frames on as they are.
//!
//! Promises: of a whole packet the key is that which decap finds for it (through VXLAN, GENEVE, GRE, ERSPAN and IP in IP on their usual ports),
//! so that [`hash`](crate::hash()) gives it the same place everywhere. Fragments are told by their addresses alone, all of a
//! datagram alike; an ICMP error goes with the flow that it quotes.

use weir_wire::bytes::be16;
use weir_wire::flow::protocol;
use weir_wire::tunnel::{GeneveHeader, GreHeader, VxlanHeader, geneve, gre, vxlan};
use weir_wire::{Address, FlowKey, Frame, Ipv4Header, Ipv6Header, LinkType, TenantId};

use crate::quoted::{quoted_v4, quoted_v6};

/// IP packets in each other that are looked into; the innermost reached counts.
const DEPTH: usize = 4;
/// Tags and labels in a row.
const TAGS: usize = 8;
/// Extension headers in a row.
const EXTENSIONS: usize = 6;

/// One IP packet of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    /// What it carries.
    pub protocol: u8,
    /// From where; the port is 0 where there is none.
    pub source: (Address, u16),
    /// Where to.
    pub destination: (Address, u16),
    /// Whether it is a part of a datagram; then it has no ports.
    pub is_fragment: bool,
}

impl Leg {
    /// Its flow.
    pub fn key(&self) -> FlowKey {
        FlowKey::new(TenantId(0), self.protocol, self.source, self.destination).0
    }
}

/// The flow of the innermost packet of `frame`; `None` where there is no IP in it. `visit` is shown every packet on the way,
/// from the outside in, and those that ICMP errors quote.
pub fn glance(frame: &Frame<'_>, visit: &mut impl FnMut(&Leg)) -> Option<FlowKey> {
    let mut bytes = network(frame)?;
    let mut key = None;
    for _ in 0..DEPTH {
        let Some((mut leg, payload)) = ip(bytes) else { break };
        if !leg.is_fragment && matches!(leg.protocol, protocol::TCP | protocol::UDP) {
            leg.source.1 = be16(payload, 0).unwrap_or(0);
            leg.destination.1 = be16(payload, 2).unwrap_or(0);
        }
        visit(&leg);
        key = Some(leg.key());
        if leg.is_fragment {
            break;
        }
        if let Some(quoted) = quoted(leg.protocol, payload) {
            visit(&quoted);
            return Some(quoted.key());
        }
        match inside(&leg, payload) {
            Some(inner) => bytes = inner,
            None => break,
        }
    }
    key
}

/// From the first IP header on.
fn network<'a>(frame: &Frame<'a>) -> Option<&'a [u8]> {
    match frame.link {
        LinkType::ETHERNET => ethernet(frame.data),
        LinkType::RAW | LinkType::IPV4 | LinkType::IPV6 => Some(frame.data),
        LinkType::LINUX_SLL => frame.data.get(16..),
        LinkType::LINUX_SLL2 => frame.data.get(20..),
        LinkType::NULL | LinkType::LOOP => frame.data.get(4..),
        _ => None,
    }
}

fn ethernet(data: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    for _ in 0..TAGS {
        match be16(data, at)? {
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            0x0800 | 0x86dd => return data.get(at + 2..),
            // PPP over Ethernet with IP.
            0x8864 if matches!(be16(data, at + 8)?, 0x21 | 0x57) => return data.get(at + 10..),
            0x8847 => return labels(data.get(at + 2..)?),
            _ => return None,
        }
    }
    None
}

/// Behind MPLS labels.
fn labels(mut data: &[u8]) -> Option<&[u8]> {
    for _ in 0..TAGS {
        let (label, rest) = data.split_first_chunk::<4>()?;
        data = rest;
        if label[2] & 1 == 1 {
            return Some(data);
        }
    }
    None
}

/// A packet and what it carries.
fn ip(bytes: &[u8]) -> Option<(Leg, &[u8])> {
    if let Ok(ip) = Ipv4Header::parse(bytes) {
        let leg = Leg {
            protocol: ip.protocol(),
            source: (ip.source(), 0),
            destination: (ip.destination(), 0),
            is_fragment: ip.is_fragment(),
        };
        return Some((leg, bytes.get(ip.header_len()..).unwrap_or_default()));
    }
    let ip = Ipv6Header::parse(bytes).ok()?;
    let (mut number, mut rest, mut is_fragment) = (ip.next_header(), bytes.get(40..)?, false);
    for _ in 0..EXTENSIONS {
        let Some((&[next, units, offset, low, ..], _)) = rest.split_first_chunk::<8>() else { break };
        let len = match number {
            0 | 43 | 60 | 135 => (usize::from(units) + 1) * 8,
            51 => (usize::from(units) + 2) * 4,
            44 => {
                // One that is all of its datagram is none.
                is_fragment |= offset != 0 || low & 0xf9 != 0;
                8
            }
            _ => break,
        };
        number = next;
        rest = rest.get(len..).unwrap_or_default();
    }
    let (source, destination) = ((ip.source(), 0), (ip.destination(), 0));
    Some((Leg { protocol: number, source, destination, is_fragment }, rest))
}

/// The packet that an ICMP error is about.
fn quoted(number: u8, payload: &[u8]) -> Option<Leg> {
    let quote = payload.get(8..).unwrap_or_default();
    let (protocol, source, destination) = match (number, *payload.first()?) {
        (protocol::ICMP, 3 | 4 | 5 | 11 | 12) => quoted_v4(quote)?,
        (protocol::ICMPV6, 1..=4) => quoted_v6(quote)?,
        _ => return None,
    };
    Some(Leg { protocol, source, destination, is_fragment: false })
}

/// What comes in a tunnel, from its IP header on.
fn inside<'a>(leg: &Leg, payload: &'a [u8]) -> Option<&'a [u8]> {
    match leg.protocol {
        protocol::IPIP | protocol::IPV6 => Some(payload),
        protocol::UDP => {
            let ports = [leg.source.1, leg.destination.1];
            let datagram = payload.get(8..)?;
            if ports.contains(&vxlan::PORT) {
                ethernet(VxlanHeader::parse(datagram).ok()?.inner())
            } else if ports.contains(&geneve::PORT) {
                let header = GeneveHeader::parse(datagram).ok()?;
                match header.protocol() {
                    gre::protocol::ETHERNET => ethernet(header.inner()),
                    0x0800 | 0x86dd => Some(header.inner()),
                    _ => None,
                }
            } else {
                None
            }
        }
        protocol::GRE => {
            let header = GreHeader::parse(payload).ok().filter(|header| header.version() == 0)?;
            let inner = header.inner()?;
            match header.protocol() {
                gre::protocol::ETHERNET => ethernet(inner),
                gre::protocol::ERSPAN => ethernet(inner.get(if header.has_sequence() { 8 } else { 0 }..)?),
                gre::protocol::ERSPAN3 => {
                    let more = inner.get(11)? & 1 == 1;
                    ethernet(inner.get(if more { 20 } else { 12 }..)?)
                }
                0x0800 | 0x86dd => Some(inner),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_wire::tunnel::{Mirrored, TunnelHead};
    use weir_wire::{Offload, Time};

    use super::*;

    fn frame(link: LinkType, data: &[u8]) -> Frame<'_> {
        let (time, offload) = (Time(0), Offload::default());
        Frame { time, tap: 0, sequence: 0, link, wire_len: data.len() as u32, offload, data }
    }

    fn v4(number: u8, last: (u8, u8), payload: &[u8]) -> Vec<u8> {
        let len = (20 + payload.len()) as u16;
        let mut ip = vec![0x45, 0, (len >> 8) as u8, len as u8, 0, 0, 0, 0, 9, number, 0, 0];
        ip.extend([10, 0, 0, last.0, 10, 0, 0, last.1]);
        ip.extend(payload);
        ip
    }

    fn ports(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    fn on_ethernet(kind: u16, packet: &[u8]) -> Vec<u8> {
        [&[2; 12][..], &kind.to_be_bytes(), packet].concat()
    }

    fn key(number: u8, source: (u8, u16), destination: (u8, u16)) -> FlowKey {
        let end = |(last, port)| (Address::v4([10, 0, 0, last]), port);
        FlowKey::new(TenantId(0), number, end(source), end(destination)).0
    }

    #[test]
    fn the_innermost_flow_is_found_in_every_tunnel_and_every_packet_is_shown() {
        let inner = v4(6, (1, 2), &ports(80, 4000, &[0; 12]));
        let framed = on_ethernet(0x0800, &inner);
        let wanted = Some(key(6, (1, 80), (2, 4000)));
        let over = |head: TunnelHead, inner: &[u8]| [head.bytes(), inner].concat();
        let none = Mirrored::default();
        for (number, payload) in [
            (17, ports(9, 4789, &over(TunnelHead::vxlan(7), &framed))),
            (17, ports(9, 6081, &over(TunnelHead::geneve(0x6558, 7, &[0; 8]), &framed))),
            (17, ports(9, 6081, &over(TunnelHead::geneve(0x0800, 7, &[]), &inner))),
            (47, over(TunnelHead::gre(0x6558, Some(1), Some(2)), &framed)),
            (47, over(TunnelHead::gre(0x0800, None, None), &inner)),
            (47, over(TunnelHead::erspan_1(), &framed)),
            (47, over(TunnelHead::erspan_2(1, &none), &framed)),
            (47, over(TunnelHead::erspan_3(1, &none), &framed)),
            (4, inner.clone()),
        ] {
            let outer = on_ethernet(0x0800, &v4(number, (8, 9), &payload));
            let mut legs = Vec::new();
            assert_eq!(glance(&frame(LinkType::ETHERNET, &outer), &mut |leg| legs.push(*leg)), wanted);
            assert_eq!((legs.len(), legs[0].protocol), (2, number));
            assert_eq!(legs[0].destination.0, Address::v4([10, 0, 0, 9]));
        }
        let tagged = [&framed[..12], &[0x81, 0, 0, 7], &framed[12..]].concat();
        let labelled = [&framed[..12], &[0x88, 0x47, 0, 0, 0, 9, 0, 0, 1, 9], &inner].concat();
        for frame in [frame(LinkType::ETHERNET, &tagged), frame(LinkType::ETHERNET, &labelled)] {
            assert_eq!(glance(&frame, &mut |_| ()), wanted);
        }
        assert_eq!(glance(&frame(LinkType::RAW, &inner), &mut |_| ()), wanted);
        assert_eq!(glance(&frame(LinkType::ETHERNET, &on_ethernet(0x0806, &[0; 28])), &mut |_| ()), None);
    }

    #[test]
    fn fragments_go_by_addresses_and_errors_with_what_they_quote() {
        let mut first = v4(17, (1, 2), &ports(53, 4000, &[0; 8]));
        first[6] = 0x20;
        let found = glance(&frame(LinkType::RAW, &first), &mut |leg| assert!(leg.is_fragment));
        assert_eq!(found, Some(key(17, (1, 0), (2, 0))));
        let quote = v4(17, (1, 2), &ports(53, 4000, &[]));
        let error = v4(1, (7, 1), &[&[3, 3, 0, 0, 0, 0, 0, 0][..], &quote].concat());
        let mut count = 0;
        let found = glance(&frame(LinkType::RAW, &error), &mut |_| count += 1);
        assert_eq!((found, count), (Some(key(17, (1, 53), (2, 4000))), 2));
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_flow_or_none(
            link in prop::sample::select(vec![1u16, 101, 113, 276, 0, 105]), kind in prop::sample::select(vec![0x0800u16, 0x86dd, 0x8847, 0x8100]),
            first in prop::sample::select(vec![0x45u8, 0x60, 0x4f]), number in prop::sample::select(vec![4u8, 41, 47, 17, 1, 58, 0, 44]),
            rest in prop::collection::vec(any::<u8>(), 0..160),
        ) {
            let mut packet = vec![first];
            packet.extend(&rest);
            for at in [6, 9] {
                if let Some(byte) = packet.get_mut(at) {
                    *byte = number;
                }
            }
            let bytes = on_ethernet(kind, &packet);
            glance(&frame(LinkType(link), &bytes), &mut |_| ());
            glance(&frame(LinkType::RAW, &packet), &mut |_| ());
        }
    }
}
