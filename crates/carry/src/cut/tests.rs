//! Against etherparse, and by the streams that packets carry.

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use weir_wire::tunnel::TunnelHead;
use weir_wire::{LinkType, Offload, Time};

use super::*;

fn frame(data: &[u8], size: u16) -> Frame<'_> {
    let offload = Offload { segment_size: size, checksum_void: true, outgoing: true };
    let (time, link) = (Time(0), LinkType::ETHERNET);
    Frame { time, tap: 0, sequence: 0, link, wire_len: data.len() as u32, offload, data }
}

/// The packets of a frame, whole.
fn packets(frame: &Frame<'_>) -> (Vec<Vec<u8>>, Done) {
    let (mut headers, mut found) = (Vec::new(), Vec::new());
    let done = cut(frame, &Ethernet::of(frame).unwrap(), 7, &mut headers, &mut |packet| found.push(packet));
    let whole = |p: &Packet<'_>| [&headers[p.at..p.at + p.header], p.data].concat();
    (found.iter().map(whole).collect(), done)
}

/// A frame of TCP or UDP as an interface hands it over that leaves work to its network card.
fn super_frame(six: bool, tcp: bool, tagged: bool, payload: &[u8]) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2; 6], [4; 6]);
    let tag = 7u16.try_into().unwrap();
    let ip = match (tagged, six) {
        (false, false) => ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9),
        (false, true) => ethernet.ipv6([1; 16], [2; 16], 9),
        (true, false) => ethernet.single_vlan(tag).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9),
        (true, true) => ethernet.single_vlan(tag).ipv6([1; 16], [2; 16], 9),
    };
    let mut bytes = Vec::new();
    if tcp {
        let options = [etherparse::TcpOptionElement::Timestamp(1, 2)];
        let tcp = ip.tcp(80, 4000, u32::MAX - 1000, 2).ack(5).psh().fin().cwr();
        tcp.options(&options).unwrap().write(&mut bytes, payload).unwrap();
    } else {
        ip.udp(80, 4000).write(&mut bytes, payload).unwrap();
    }
    let layout = Layout::of(&bytes, None).unwrap();
    let unfinished = layout.pseudo(&bytes, bytes.len() - layout.at).unwrap().fold();
    put(&mut bytes, layout.checksum_at(), &unfinished.to_be_bytes());
    bytes
}

/// Checks all of a packet by another's parser, and gives its payload.
fn checked(packet: &[u8]) -> Vec<u8> {
    let sliced = SlicedPacket::from_ethernet(packet).unwrap();
    let net = sliced.net.as_ref().unwrap();
    if let etherparse::NetSlice::Ipv4(ip) = net {
        let header = ip.header().to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
    }
    match sliced.transport.as_ref().unwrap() {
        TransportSlice::Tcp(tcp) => {
            let sum = match net {
                etherparse::NetSlice::Ipv4(ip) => {
                    let header = ip.header();
                    tcp.to_header().calc_checksum_ipv4_raw(
                        header.source(),
                        header.destination(),
                        tcp.payload(),
                    )
                }
                etherparse::NetSlice::Ipv6(ip) => {
                    let header = ip.header();
                    tcp.to_header().calc_checksum_ipv6_raw(
                        header.source(),
                        header.destination(),
                        tcp.payload(),
                    )
                }
                other @ etherparse::NetSlice::Arp(_) => panic!("{other:?}"),
            };
            assert_eq!(sum.unwrap(), tcp.checksum());
            tcp.payload().to_vec()
        }
        TransportSlice::Udp(udp) => {
            let sum = match net {
                etherparse::NetSlice::Ipv4(ip) => {
                    let header = ip.header();
                    udp.to_header().calc_checksum_ipv4_raw(
                        header.source(),
                        header.destination(),
                        udp.payload(),
                    )
                }
                etherparse::NetSlice::Ipv6(ip) => {
                    let header = ip.header();
                    udp.to_header().calc_checksum_ipv6_raw(
                        header.source(),
                        header.destination(),
                        udp.payload(),
                    )
                }
                other @ etherparse::NetSlice::Arp(_) => panic!("{other:?}"),
            };
            assert_eq!((sum.unwrap(), usize::from(udp.length())), (udp.checksum(), 8 + udp.payload().len()));
            udp.payload().to_vec()
        }
        other @ (TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_)) => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn the_packets_of_a_super_frame_carry_its_stream(
        six: bool, tcp: bool, tagged: bool, size in 1u16..1500,
        payload in prop::collection::vec(any::<u8>(), 1..5000),
    ) {
        let bytes = super_frame(six, tcp, tagged, &payload);
        let (packets, done) = packets(&frame(&bytes, size));
        let count = payload.len().div_ceil(usize::from(size));
        if count > MAX_PACKETS {
            prop_assert_eq!((packets, done), (vec![bytes], Done::Whole));
            return Ok(());
        }
        prop_assert_eq!((packets.len(), done), (count, Done::Cut));
        let parts: Vec<_> = packets.iter().map(|packet| checked(packet)).collect();
        prop_assert!(parts.iter().rev().skip(1).all(|part| part.len() == usize::from(size)));
        prop_assert_eq!(parts.concat(), payload);
    }

    #[test]
    fn a_checksum_that_was_left_to_the_card_is_finished_and_a_right_one_is_left(
        six: bool, tcp: bool, tagged: bool, payload in prop::collection::vec(any::<u8>(), 0..100), padding in 0usize..20,
    ) {
        let bytes = [super_frame(six, tcp, tagged, &payload), vec![0; padding]].concat();
        let (made, done) = packets(&frame(&bytes, 0));
        prop_assert_eq!((made.len(), done, made[0].len()), (1, Done::Finished, bytes.len()));
        prop_assert_eq!(checked(&made[0]), payload);
        // Unless it happens to be that of the pseudo header, it now stays.
        let (again, _) = packets(&frame(&made[0], 0));
        prop_assert_eq!(again, made);
    }

    #[test]
    fn whatever_comes_is_cut_or_left(
        head in prop::sample::select(vec![0usize, 14, 34, 54]),
        rest in prop::collection::vec(any::<u8>(), 0..200), size in 0u16..300, more in 0u32..70_000,
    ) {
        let bytes = [&super_frame(false, true, false, b"x")[..head], &rest].concat();
        let mut frame = frame(&bytes, size);
        frame.wire_len += more;
        let (made, done) = packets(&frame);
        prop_assert!(!made.is_empty() && made.len() <= MAX_PACKETS);
        if matches!(done, Done::Nothing | Done::Whole) {
            prop_assert_eq!(made, vec![bytes]);
        }
    }
}

#[test]
fn numbers_and_flags_are_those_that_a_card_gives() {
    let bytes = super_frame(false, true, false, &[7; 250]);
    let (made, _) = packets(&frame(&bytes, 100));
    let seen: Vec<_> = made
        .iter()
        .map(|packet| {
            let ip = Ipv4Header::parse(&packet[14..]).unwrap();
            let tcp = tcp::TcpHeader::parse(&packet[34..]).unwrap();
            let flags = tcp.flags();
            (ip.id(), tcp.seq(), flags.fin(), flags.psh(), flags.has(tcp::Flags::CWR), flags.ack())
        })
        .collect();
    let first = u32::MAX - 1000;
    assert_eq!(
        seen,
        [
            (0, first, false, false, true, true),
            (1, first + 100, false, false, false, true),
            (2, first + 200, true, true, false, true)
        ]
    );
}

#[test]
fn a_super_frame_in_a_tunnel_is_cut_with_all_headers_around_it() {
    let inner = super_frame(true, true, false, &[9; 3000]);
    for six in [false, true] {
        let vxlan = [TunnelHead::vxlan(7).bytes(), &inner].concat();
        let mut outer = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
        let builder = if six {
            builder.ipv6([1; 16], [2; 16], 9)
        } else {
            builder.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9)
        };
        builder.udp(50_000, 4789).write(&mut outer, &vxlan).unwrap();
        let (made, done) = packets(&frame(&outer, 1000));
        assert_eq!((made.len(), done), (3, Done::Cut));
        let mut stream = Vec::new();
        for packet in &made {
            let at = outer.len() - vxlan.len();
            let udp = udp::UdpHeader::parse(&packet[at - 8..]).unwrap();
            assert_eq!(usize::from(udp.len()), packet.len() - at + 8);
            if six {
                assert_eq!(checked(packet), packet[at..], "its checksum is made");
            } else {
                assert_eq!(udp.checksum(), 0);
            }
            stream.extend(checked(&packet[at + 8..]));
        }
        assert_eq!(stream, [9; 3000]);
    }
}

#[test]
fn of_a_super_frame_that_was_captured_in_part_every_packet_has_what_there_is() {
    let bytes = super_frame(false, true, false, &[7; 250]);
    let mut short = frame(&bytes[..bytes.len() - 130], 100);
    short.wire_len = bytes.len() as u32;
    let (made, done) = packets(&short);
    let header = bytes.len() - 250;
    let lengths: Vec<_> = made.iter().map(|packet| packet.len() - header).collect();
    assert_eq!((lengths, done), (vec![100, 20, 0], Done::Cut));
    let mut wire = Vec::new();
    cut(&short, &Ethernet::of(&short).unwrap(), 0, &mut Vec::new(), &mut |p| {
        wire.push(p.wire_len as usize - header);
    });
    assert_eq!(wire, [100, 100, 50]);
}

#[test]
fn a_frame_of_another_link_type_is_wrapped_and_then_cut() {
    let bytes = super_frame(false, true, false, &[7; 250]);
    let raw = Frame { link: LinkType::RAW, ..frame(&bytes[14..], 100) };
    let (made, done) = packets(&raw);
    assert_eq!((made.len(), done), (3, Done::Cut));
    assert_eq!(made.iter().flat_map(|packet| checked(packet)).collect::<Vec<_>>(), [7; 250]);
}
