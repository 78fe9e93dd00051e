//! What holds for every packet: its parts are where its builder put them, and its fragments make it whole again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic; helpers outside of #[test] are part of it"
)]

use etherparse::{Ipv4Header, PacketBuilder};
use proptest::prelude::*;
use weir_decap::{Config, Decap, Output};
use weir_wire::{Address, Data, Frame, LinkType, Offload, Packet, Time, UidKey};

fn walk(link: LinkType, frames: &[Vec<u8>], found: &mut dyn FnMut(&Packet<'_>)) -> Decap {
    let mut decap = Decap::new(Config::default(), UidKey::default());
    for (i, data) in frames.iter().enumerate() {
        let wire_len = data.len() as u32;
        let mut out = Output::default();
        decap.frame(
            &Frame {
                time: Time(i as i64),
                tap: 0,
                sequence: i as u64,
                link,
                wire_len,
                offload: Offload::default(),
                data,
            },
            &mut out,
        );
        out.packets.iter().for_each(&mut *found);
        assert!(decap.account().balances());
    }
    decap
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    tags: u8,
    six: bool,
    tcp: bool,
    ports: (u16, u16),
    padding: usize,
}

fn shape() -> impl Strategy<Value = Shape> {
    // Ports of tunnels are left out: what is random behind them is not a tunnel, but may look like one.
    let ports = (1u16..1000, 1u16..1000);
    (0u8..3, any::<bool>(), any::<bool>(), ports, 0usize..40)
        .prop_map(|(tags, six, tcp, ports, padding)| Shape { tags, six, tcp, ports, padding })
}

/// The frame, and where its IP header is.
fn build(shape: Shape, payload: &[u8]) -> (Vec<u8>, usize) {
    let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let (v4, v6) = (([10, 0, 0, 1], [10, 0, 0, 2]), ([1; 16], [2; 16]));
    let id = |n: u16| n.try_into().unwrap();
    let ip = match (shape.tags, shape.six) {
        (0, false) => ethernet.ipv4(v4.0, v4.1, 9),
        (0, true) => ethernet.ipv6(v6.0, v6.1, 9),
        (1, false) => ethernet.single_vlan(id(7)).ipv4(v4.0, v4.1, 9),
        (1, true) => ethernet.single_vlan(id(7)).ipv6(v6.0, v6.1, 9),
        (_, false) => ethernet.double_vlan(id(7), id(8)).ipv4(v4.0, v4.1, 9),
        (_, true) => ethernet.double_vlan(id(7), id(8)).ipv6(v6.0, v6.1, 9),
    };
    let mut frame = Vec::new();
    if shape.tcp {
        ip.tcp(shape.ports.0, shape.ports.1, 1, 2).write(&mut frame, payload).unwrap();
    } else {
        ip.udp(shape.ports.0, shape.ports.1).write(&mut frame, payload).unwrap();
    }
    frame.extend(std::iter::repeat_n(0, shape.padding));
    (frame, 14 + usize::from(shape.tags) * 4)
}

proptest! {
    #[test]
    fn the_parts_of_a_packet_are_where_its_builder_put_them(
        shape in shape(),
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (frame, ip_at) = build(shape, &payload);
        let ip_len = frame.len() - ip_at - shape.padding;
        let mut count = 0;
        walk(LinkType::ETHERNET, std::slice::from_ref(&frame), &mut |packet| {
            count += 1;
            let head = &packet.head;
            assert_eq!(packet.data.bytes(), &frame[ip_at..ip_at + ip_len]);
            assert_eq!(head.transport_at, if shape.six { 40 } else { 20 });
            assert!(packet.transport().ends_with(&payload));
            assert_eq!(packet.transport_len() as usize, payload.len() + if shape.tcp { 20 } else { 8 });
            let (source, destination) = head.key.endpoints(head.direction);
            assert_eq!((source.1, destination.1), shape.ports);
            let lower = if shape.six { Address::v6([1; 16]) } else { Address::v4([10, 0, 0, 1]) };
            assert_eq!(source.0, lower);
            assert_eq!((head.ttl, head.frames, head.frame_bytes), (9, 1, frame.len() as u64));
            let tags = [(0, 0), (7, 0), (7, 8)][usize::from(shape.tags)];
            assert_eq!((head.vlan, head.inner_vlan), tags);
        });
        prop_assert_eq!(count, 1);
    }

    #[test]
    fn fragments_in_any_order_with_any_overlap_make_the_datagram_whole(
        six: bool,
        payload in prop::collection::vec(any::<u8>(), 16..600),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 1usize..20), 0..30),
        order in any::<u64>(),
    ) {
        let datagram = [&[0, 1, 0, 2, 0, 0, 0, 0][..], &payload].concat();
        let fragments = fragments(six, &datagram, &cuts, order);
        let mut whole = 0;
        let decap = walk(LinkType::RAW, &fragments, &mut |packet| {
            whole += 1;
            assert_eq!(packet.transport(), &datagram);
            // A part that is the whole is no fragment in IPv4.
            assert_eq!(matches!(packet.data, Data::Joined(_)), packet.head.reassembled);
        });
        prop_assert!(whole >= 1, "{:?}", decap.account());
    }
}

/// The datagram cut into parts of 8 to 64 bytes, and beside those any others that `extra` tells; in some order.
fn fragments(six: bool, datagram: &[u8], extra: &[(prop::sample::Index, usize)], order: u64) -> Vec<Vec<u8>> {
    let units = datagram.len().div_ceil(8);
    let step = 1 + (order % 8) as usize;
    let even = (0..units).step_by(step).map(|at| (at, step));
    let mut parts: Vec<_> = even.chain(extra.iter().map(|(at, len)| (at.index(units), *len))).collect();
    // A shuffle that needs no generator: by a multiplicative hash of place and order.
    parts
        .sort_by_key(|(at, len)| (*at as u64 * 31 + *len as u64 + order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let cut = |(at, len): (usize, usize)| {
        let end = ((at + len) * 8).min(datagram.len());
        let more = end < datagram.len();
        if six { v6(at, more, &datagram[at * 8..end]) } else { v4(at, more, &datagram[at * 8..end]) }
    };
    parts.into_iter().map(cut).collect()
}

fn v4(units: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let source = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let mut ip =
        Ipv4Header::new(payload.len() as u16, 64, etherparse::ip_number::UDP, source.0, source.1).unwrap();
    ip.fragment_offset = (units as u16).try_into().unwrap();
    ip.more_fragments = more;
    let mut packet = Vec::new();
    ip.write(&mut packet).unwrap();
    packet.extend(payload);
    packet
}

fn v6(units: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let [a, b] = (8 + payload.len() as u16).to_be_bytes();
    let [f, g] = ((units as u16) << 3 | u16::from(more)).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, a, b, 44, 64];
    packet.extend([1; 16]);
    packet.extend([2; 16]);
    packet.extend([17, 0, f, g, 0, 0, 0, 7]);
    packet.extend(payload);
    packet
}
