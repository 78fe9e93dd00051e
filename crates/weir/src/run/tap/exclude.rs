//! What a tap sends, and what is answered to it, is not tapped: otherwise a packet would be sent for each packet that is sent.
//!
//! Promises: it does not matter by which interface the tap's packets leave, or will leave once routes have changed: they are known by where
//! they go. The kernel's filter ends them before they cost anything ([`program`]); what hides from it (in a tunnel, behind
//! tags, behind extension headers) is found when frames are looked at ([`Own::is_own`]).
//!
//! Left out are: packets to a target (its address, protocol and port), whoever sends them; what a stream's peer sends back;
//! ICMP errors about such packets; fragments with their address and protocol.
//!
//! Source: linux/filter.h (SKF_NET_OFF, SKF_AD_PROTOCOL).

use std::net::IpAddr;

use weir_carry::Destination;
use weir_spread::Leg;
use weir_wire::bpf::Instruction;
use weir_wire::{Address, flow::protocol};

/// Loads: a word, half-word, byte at a fixed place; the length.
const WORD: u16 = 0x20;
const HALF: u16 = 0x28;
const BYTE: u16 = 0x30;
const LEN: u16 = 0x80;
/// Jumps.
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const ANY_BIT: u16 = 0x45;
/// The end.
const RETURN: u16 = 0x06;
/// Where the network header begins (SKF_NET_OFF), whatever the link layer is and wherever tags are kept.
const NETWORK: u32 = 0xfff0_0000;
/// The Ethertype, as the kernel knows it (SKF_AD_OFF + SKF_AD_PROTOCOL).
const ETHERTYPE: u32 = 0xffff_f000;
/// The longest link-layer header that may be counted in a packet's length.
const LINK: u32 = 14;

/// Where a tap's packets go.
#[derive(Clone, Default, Debug)]
pub struct Own(Vec<Destination>);

/// A condition: what is loaded, how it is compared, with what, and whether it has to hold.
type Condition = (u16, u32, u16, u32, bool);

impl Own {
    /// Packets to `destinations` are a tap's own.
    pub fn new(destinations: impl IntoIterator<Item = Destination>) -> Self {
        let mut all: Vec<_> = destinations.into_iter().collect();
        all.dedup();
        Self(all)
    }

    /// Whether a packet is a tap's own, or an answer to one.
    pub fn is_own(&self, leg: &Leg) -> bool {
        self.0.iter().any(|destination| {
            let address = Address::from(destination.address);
            let is_end = |end: (Address, u16)| {
                end.0 == address && (leg.is_fragment || destination.port.is_none_or(|port| port == end.1))
            };
            leg.protocol == destination.protocol
                && (is_end(leg.destination) || (leg.protocol == protocol::TCP && is_end(leg.source)))
        })
    }

    /// The program for a ring: what is a tap's own ends in it with 0, what is not goes on behind its end.
    pub fn program(&self) -> Vec<Instruction> {
        let mut program = Vec::new();
        for destination in &self.0 {
            let blocks = match destination.address {
                IpAddr::V4(address) => v4(destination, u32::from(address)),
                IpAddr::V6(address) => v6(destination, u128::from(address)),
            };
            blocks.iter().for_each(|block| append(&mut program, block));
        }
        program
    }
}

/// Adds a block: where all conditions hold the packet ends, where one does not it goes on behind the block.
fn append(program: &mut Vec<Instruction>, block: &[Condition]) {
    let len = block.len() * 2 + 1;
    for (index, (load, at, jump, value, holds)) in block.iter().enumerate() {
        program.push(Instruction::new(*load, *at));
        let away = (len - index * 2 - 2) as u8;
        let (jt, jf) = if *holds { (0, away) } else { (away, 0) };
        program.push(Instruction::branch(*jump, *value, jt, jf));
    }
    program.push(Instruction::new(RETURN, 0));
}

/// A load behind the end of a packet would end it as if it were not wanted, so there has to be enough of it.
const fn enough(network: u32) -> Condition {
    (LEN, 0, AT_LEAST, LINK + network, true)
}

fn v4(to: &Destination, address: u32) -> Vec<Vec<Condition>> {
    let is = |load: u16, at: u32, value: u32| (load, NETWORK + at, EQUAL, value, true);
    let start = |len: u32| vec![enough(len), (WORD, ETHERTYPE, EQUAL, 0x0800, true)];
    let number = u32::from(to.protocol);
    let with = |mut block: Vec<Condition>, more: &[Condition]| {
        block.extend_from_slice(more);
        block
    };
    let there = with(start(28), &[is(WORD, 16, address), is(BYTE, 9, number)]);
    let quoted = with(
        start(56),
        &[
            is(BYTE, 9, u32::from(protocol::ICMP)),
            // Echoes are no errors.
            (BYTE, NETWORK + 20, EQUAL, 0, false),
            (BYTE, NETWORK + 20, EQUAL, 8, false),
            is(WORD, 44, address),
            is(BYTE, 37, number),
        ],
    );
    let Some(port) = to.port.map(u32::from) else { return vec![there, quoted] };
    let mut blocks = vec![
        with(there.clone(), &[is(HALF, 22, port)]),
        with(there, &[(HALF, NETWORK + 6, ANY_BIT, 0x1fff, true)]),
        with(quoted, &[is(HALF, 50, port)]),
    ];
    if to.protocol == protocol::TCP {
        blocks.push(with(start(28), &[is(WORD, 12, address), is(BYTE, 9, number), is(HALF, 20, port)]));
    }
    blocks
}

fn v6(to: &Destination, address: u128) -> Vec<Vec<Condition>> {
    let is = |load: u16, at: u32, value: u32| (load, NETWORK + at, EQUAL, value, true);
    let number = u32::from(to.protocol);
    let block = |len: u32, at: u32, more: &[Condition]| {
        let mut block = vec![enough(len), (WORD, ETHERTYPE, EQUAL, 0x86dd, true)];
        let words = [96u32, 64, 32, 0].into_iter().zip([0u32, 4, 8, 12]);
        block.extend(words.map(|(shift, more)| is(WORD, at + more, (address >> shift) as u32)));
        block.extend_from_slice(more);
        block
    };
    let icmp = [is(BYTE, 6, u32::from(protocol::ICMPV6)), (BYTE, NETWORK + 40, ANY_BIT, 0x80, false)];
    let quoted = |more: &[Condition]| block(92, 72, &[&icmp[..], &[is(BYTE, 54, number)], more].concat());
    let Some(port) = to.port.map(u32::from) else {
        return vec![block(44, 24, &[is(BYTE, 6, number)]), quoted(&[])];
    };
    let mut blocks = vec![
        block(44, 24, &[is(BYTE, 6, number), is(HALF, 42, port)]),
        block(48, 24, &[is(BYTE, 6, 44), is(BYTE, 40, number)]),
        quoted(&[is(HALF, 90, port)]),
    ];
    if to.protocol == protocol::TCP {
        blocks.push(block(44, 8, &[is(BYTE, 6, number), is(HALF, 40, port)]));
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(address: &str, protocol: u8, port: Option<u16>) -> Destination {
        Destination { address: address.parse().unwrap(), protocol, port }
    }

    /// Runs the program over an IP packet behind Ethernet; whether it goes on behind the end.
    fn goes_on(program: &[Instruction], packet: &[u8]) -> bool {
        let (mut at, mut a) = (0, 0u32);
        while let Some(Instruction { code, jt, jf, k }) = program.get(at).copied() {
            at += 1;
            let load = |len: usize| {
                let from = k.wrapping_sub(NETWORK) as usize;
                packet.get(from..from + len).map(|b| b.iter().fold(0, |n, b| n << 8 | u32::from(*b)))
            };
            let loaded = match (code, k) {
                (LEN, _) => Some(packet.len() as u32 + LINK),
                (WORD, ETHERTYPE) => Some(if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }),
                (WORD, _) => load(4),
                (HALF, _) => load(2),
                (BYTE, _) => load(1),
                (RETURN, 0) => return false,
                (jump, k) => {
                    let holds = match jump {
                        EQUAL => a == k,
                        AT_LEAST => a >= k,
                        ANY_BIT => a & k != 0,
                        other => panic!("{other}"),
                    };
                    at += usize::from(if holds { jt } else { jf });
                    continue;
                }
            };
            a = loaded.expect("a load behind the end would end the packet");
        }
        true
    }

    fn packet(six: bool, number: u8, ends: [u8; 2], ports: [u16; 2]) -> Vec<u8> {
        let transport = [&ports.map(u16::to_be_bytes).concat()[..], &[0; 16]].concat();
        ip(six, number, ends, &transport)
    }

    fn ip(six: bool, number: u8, ends: [u8; 2], payload: &[u8]) -> Vec<u8> {
        if six {
            let mut ip = vec![0x60, 0, 0, 0, 0, payload.len() as u8, number, 9];
            for end in ends {
                ip.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end]);
            }
            return [&ip, payload].concat();
        }
        let mut ip = vec![0x45, 0, 0, 20 + payload.len() as u8, 0, 0, 0, 0, 9, number, 0, 0];
        ends.iter().for_each(|end| ip.extend([10, 0, 0, *end]));
        [&ip, payload].concat()
    }

    #[test]
    fn what_goes_to_a_target_ends_and_all_else_goes_on_in_both_versions() {
        for six in [false, true] {
            let host = if six { "2001:db8::9" } else { "10.0.0.9" };
            let own = Own::new([to(host, 17, Some(4789)), to(host, 6, Some(5555)), to(host, 47, None)]);
            let program = own.program();
            let passes = |packet: &[u8]| goes_on(&program, packet);
            assert!(!passes(&packet(six, 17, [1, 9], [50_000, 4789])));
            assert!(!passes(&packet(six, 6, [1, 9], [50_000, 5555])));
            assert!(!passes(&packet(six, 6, [9, 1], [5555, 50_000])), "what is answered to a stream");
            assert!(!passes(&packet(six, 47, [1, 9], [0, 0])));
            for other in [
                packet(six, 17, [1, 8], [50_000, 4789]),
                packet(six, 17, [1, 9], [4789, 53]),
                packet(six, 17, [9, 1], [4789, 50_000]),
                packet(six, 6, [1, 9], [5555, 80]),
                packet(six, 47, [9, 1], [0, 0]),
                ip(six, 17, [1, 9], &[0; 7]),
                ip(six, 17, [1, 9], &[]),
            ] {
                assert!(passes(&other), "{other:?}");
            }
        }
    }

    #[test]
    fn errors_about_the_taps_packets_and_their_fragments_end_too() {
        for six in [false, true] {
            let (host, icmp) = if six { ("2001:db8::9", 58) } else { ("10.0.0.9", 1) };
            let program = Own::new([to(host, 17, Some(4789))]).program();
            let error = |kind: u8, port: u16| {
                let quote = packet(six, 17, [1, 9], [50_000, port]);
                ip(six, icmp, [7, 1], &[&[kind, 0, 0, 0, 0, 0, 0, 0][..], &quote].concat())
            };
            let unreachable = if six { 1 } else { 3 };
            assert!(!goes_on(&program, &error(unreachable, 4789)));
            assert!(goes_on(&program, &error(unreachable, 53)));
            assert!(goes_on(&program, &error(if six { 128 } else { 8 }, 4789)));
            let mut later = packet(six, 17, [1, 9], [1, 2]);
            if six {
                later[6] = 44;
                later[40] = 17;
            } else {
                later[7] = 9;
            }
            assert!(!goes_on(&program, &later));
        }
    }

    #[test]
    fn a_packet_in_a_tunnel_is_known_by_any_of_its_legs() {
        let own = Own::new([to("10.0.0.9", 17, Some(4789)), to("10.0.0.9", 6, Some(5555))]);
        let end = |last, port| (Address::v4([10, 0, 0, last]), port);
        let leg =
            |protocol, source, destination, is_fragment| Leg { protocol, source, destination, is_fragment };
        assert!(own.is_own(&leg(17, end(1, 9), end(9, 4789), false)));
        assert!(own.is_own(&leg(17, end(1, 0), end(9, 0), true)));
        assert!(own.is_own(&leg(6, end(9, 5555), end(1, 9), false)));
        assert!(!own.is_own(&leg(17, end(9, 4789), end(1, 9), false)));
        assert!(!own.is_own(&leg(6, end(1, 9), end(9, 4789), false)));
    }
}
