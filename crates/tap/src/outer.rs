//! The outer headers that a socket takes off, put back: what a tunnel socket hands over is then what a capture of the
//! same packets would be, and decap needs no second way in.
//!
//! What a socket does not tell is made up: no IP options, hop limit 64, no UDP checksum. Sources: RFC 791, 768, 8200.

use std::net::SocketAddr;

use weir_wire::Address;
use weir_wire::checksum::internet_checksum;
use weir_wire::flow::protocol;

/// The most that is written: IPv6 and UDP.
pub(crate) const ROOM: usize = 40 + UDP;

const IPV4: usize = 20;
const UDP: usize = 8;
const HOP_LIMIT: u8 = 64;
/// Do not fragment: then the zero identification means nothing (RFC 6864).
const NO_FRAGMENT: u16 = 0x4000;

/// Who sent a packet, to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ends {
    pub from: SocketAddr,
    pub to: SocketAddr,
}

impl Ends {
    /// Writes the headers of a UDP datagram of `len` bytes into the end of `room`; how long they are.
    pub fn write_udp(&self, room: &mut [u8; ROOM], len: usize) -> usize {
        let (ip, udp) = room.split_at_mut(ROOM - UDP);
        let total = u16::try_from(len + UDP).unwrap_or(u16::MAX);
        let words = [self.from.port(), self.to.port(), total, 0];
        put(udp, words.map(u16::to_be_bytes).as_flattened());
        UDP + self.write_ip(ip, protocol::UDP, len + UDP)
    }

    /// Writes an IP header in front of `len` bytes of `next` into the end of `room`; how long it is.
    pub fn write_ip(&self, room: &mut [u8], next: u8, len: usize) -> usize {
        let (from, to) = (Address::from(self.from.ip()), Address::from(self.to.ip()));
        if let (Some(from), Some(to)) = (from.as_v4(), to.as_v4()) {
            let [t0, t1] = u16::try_from(len + IPV4).unwrap_or(u16::MAX).to_be_bytes();
            let [f0, f1] = NO_FRAGMENT.to_be_bytes();
            let mut header = [0; IPV4];
            put(&mut header, &[0x45, 0, t0, t1, 0, 0, f0, f1, HOP_LIMIT, next, 0, 0]);
            put(header.get_mut(12..).unwrap_or_default(), [from, to].as_flattened());
            let sum = internet_checksum(&header).to_be_bytes();
            put(header.get_mut(10..).unwrap_or_default(), &sum);
            put_last(room, &header)
        } else {
            let [l0, l1] = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
            let mut header = [0; 40];
            put(&mut header, &[0x60, 0, 0, 0, l0, l1, next, HOP_LIMIT]);
            put(header.get_mut(8..).unwrap_or_default(), [from.0, to.0].as_flattened());
            put_last(room, &header)
        }
    }
}

fn put(to: &mut [u8], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}

fn put_last(room: &mut [u8], header: &[u8]) -> usize {
    let start = room.len().saturating_sub(header.len());
    put(room.get_mut(start..).unwrap_or_default(), header);
    header.len()
}

#[cfg(test)]
mod tests {
    use weir_wire::{Ipv4Header, Ipv6Header, UdpHeader};

    use super::*;

    fn ends(from: &str, to: &str) -> Ends {
        Ends { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    #[test]
    fn a_datagram_over_ipv4_has_right_lengths_addresses_ports_and_checksum() {
        let mut room = [0xee; ROOM];
        let len = ends("10.0.0.1:700", "10.0.0.2:4789").write_udp(&mut room, 2);
        let packet = [&room[ROOM - len..], b"ok"].concat();
        let ip = Ipv4Header::parse(&packet).unwrap();
        assert_eq!((ip.total_len(), ip.protocol()), (30, 17));
        assert_eq!(ip.source(), Address::v4([10, 0, 0, 1]));
        assert_eq!(internet_checksum(&packet[..20]), 0);
        let udp = UdpHeader::parse(&packet[20..]).unwrap();
        assert_eq!((udp.src_port(), udp.dst_port(), udp.len(), udp.payload()), (700, 4789, 10, &b"ok"[..]));
    }

    #[test]
    fn addresses_of_a_socket_for_both_versions_become_those_on_the_wire() {
        let mut room = [0xee; ROOM];
        assert_eq!(ends("[::ffff:10.0.0.1]:7", "[::ffff:10.0.0.2]:8").write_udp(&mut room, 0), 28);
        let len = ends("[2001:db8::1]:7", "[2001:db8::2]:8").write_udp(&mut room, 3);
        assert_eq!(len, 48);
        let packet = [&room[..], b"abc"].concat();
        let ip = Ipv6Header::parse(&packet).unwrap();
        assert_eq!((ip.payload_len(), ip.next_header()), (11, 17));
        assert_eq!(ip.destination().to_string(), "2001:db8::2");
    }
}
