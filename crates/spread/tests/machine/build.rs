//! Packets from the inside out. Checksums are left 0: nobody here looks at them.

use std::net::IpAddr;

/// Ethernet, of the Ethertype of IP by its version.
pub fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2][..], &kind.to_be_bytes(), payload].concat()
}

/// The Ethertype of an IP packet.
pub fn kind_of(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }
}

/// An IP packet; both addresses are of one version.
pub fn ip(protocol: u8, source: IpAddr, destination: IpAddr, payload: &[u8]) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let len = (payload.len() as u16 + 20).to_be_bytes();
            let head = [0x45, 0, len[0], len[1], 0, 9, 0, 0, 64, protocol, 0, 0];
            [&head[..], &a.octets(), &b.octets(), payload].concat()
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let len = (payload.len() as u16).to_be_bytes();
            let head = [0x60, 0, 0, 0, len[0], len[1], protocol, 64];
            [&head[..], &a.octets(), &b.octets(), payload].concat()
        }
        _ => panic!("two versions"),
    }
}

/// A UDP datagram.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16 + 8;
    let head = [from.to_be_bytes(), to.to_be_bytes(), len.to_be_bytes(), [0; 2]].concat();
    [&head[..], payload].concat()
}

/// A TCP segment.
pub fn tcp(from: u16, to: u16) -> Vec<u8> {
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 8], &[0x50, 0x10, 1, 0, 0, 0, 0, 0], b"data"].concat()
}
