//! IP packets and what lies around them.

use weir_wire::Address;
use weir_wire::checksum::{Sum, internet_checksum};

/// Both ends of a packet: source, then destination.
pub type Ends = [[u8; 4]; 2];

/// Number `n` of the hosts that talk.
pub fn host(n: u8) -> [u8; 4] {
    [10, 0, 0, n]
}

/// An IPv6 address.
pub fn host6(n: u8) -> [u8; 16] {
    let mut address = [0; 16];
    address[..4].copy_from_slice(&[0x20, 1, 0xd, 0xb8]);
    address[15] = n;
    address
}

/// In an Ethernet frame, by its version.
pub fn over_ethernet(packet: &[u8]) -> Vec<u8> {
    let kind: u16 = if packet.first().is_some_and(|byte| byte >> 4 == 6) { 0x86dd } else { 0x0800 };
    ethernet(kind, packet)
}

/// An Ethernet frame.
pub fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind.to_be_bytes(), payload].concat()
}

/// IPv4, whole.
pub fn ipv4(protocol: u8, ends: Ends, payload: &[u8]) -> Vec<u8> {
    ipv4_part(protocol, ends, (0, 0, false), payload)
}

/// IPv4: `part` is its id, offset in units of eight bytes, and whether more follow.
pub fn ipv4_part(protocol: u8, ends: Ends, part: (u16, u16, bool), payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x45, 0];
    out.extend((20 + payload.len() as u16).to_be_bytes());
    out.extend(part.0.to_be_bytes());
    out.extend((part.1 | u16::from(part.2) << 13).to_be_bytes());
    out.extend([64, protocol, 0, 0]);
    out.extend(ends.concat());
    let checksum = internet_checksum(&out);
    out[10..12].copy_from_slice(&checksum.to_be_bytes());
    out.extend(payload);
    out
}

/// IPv6, with whatever extension headers `payload` begins with.
pub fn ipv6(next: u8, ends: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((payload.len() as u16).to_be_bytes());
    out.extend([next, 64]);
    out.extend(ends.map(host6).concat());
    out.extend(payload);
    out
}

/// The checksum of a transport header at `at`.
fn sum(ends: [Address; 2], protocol: u8, mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    let sum = Sum::pseudo(&ends[0], &ends[1], protocol, bytes.len() as u32).with(&bytes).fold();
    bytes[at..at + 2].copy_from_slice(&(!sum).to_be_bytes());
    bytes
}

/// UDP over IPv4.
pub fn udp(ends: Ends, ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    ipv4(17, ends, &datagram(ends.map(Address::v4), ports, payload))
}

/// UDP over IPv6.
pub fn udp6(ends: [u8; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    ipv6(17, ends, &datagram6(ends, ports, payload))
}

/// UDP between IPv6 hosts, without its IP header.
pub fn datagram6(ends: [u8; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    datagram(ends.map(|n| Address::v6(host6(n))), ports, payload)
}

/// UDP without its IP header.
pub fn datagram(ends: [Address; 2], ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    sum(ends, 17, out, 6)
}

/// A TCP segment over IPv4.
pub fn segment(ends: Ends, ports: [u16; 2], seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
    out.extend(seq.to_be_bytes());
    out.extend(ack.to_be_bytes());
    out.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    out.extend(payload);
    ipv4(6, ends, &sum(ends.map(Address::v4), 6, out, 16))
}

/// An ICMP message over IPv4.
pub fn icmp(ends: Ends, kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut out = [&[kind, code, 0, 0][..], rest].concat();
    let checksum = internet_checksum(&out);
    out[2..4].copy_from_slice(&checksum.to_be_bytes());
    ipv4(1, ends, &out)
}

/// An ICMPv6 message.
pub fn icmp6(ends: [u8; 2], kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let out = [&[kind, code, 0, 0][..], rest].concat();
    ipv6(58, ends, &sum(ends.map(|n| Address::v6(host6(n))), 58, out, 2))
}
