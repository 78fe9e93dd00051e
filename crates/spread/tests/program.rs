//! The programs against the function, on a machine that is as strict as the kernel.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

mod machine;

use std::net::IpAddr;

use machine::build::{ethernet, ip, kind_of, tcp, udp};
use machine::{Beside, received, run};
use proptest::prelude::*;
use weir_spread::{SpreadBy, Steering, TenantNumber, Tunnel, hash, lane_of};
use weir_wire::{Address, FlowKey, TenantId};

const LANES: u32 = 61;

/// What is around a packet, or in front of it.
#[derive(Clone, Copy, Debug)]
enum Wrap {
    Vxlan(u32),
    Geneve { vni: u32, options: u8, bare: bool },
    Gre { key: Option<u32>, checksum: bool, bare: bool },
    Erspan(u8),
    Ip,
}

/// The packet `inner` in a tunnel between two hosts of either version.
fn wrap(how: Wrap, v6: bool, inner: &[u8]) -> Vec<u8> {
    let frame = ethernet(kind_of(inner), inner);
    let content = |bare| if bare { inner } else { &frame[..] };
    let kind = |bare| if bare { kind_of(inner) } else { 0x6558 }.to_be_bytes();
    let (protocol, payload) = match how {
        Wrap::Vxlan(vni) => {
            let vni = (vni << 8).to_be_bytes();
            (17, udp(50_000, 4789, &[&[8, 0, 0, 0][..], &vni, &frame].concat()))
        }
        Wrap::Geneve { vni, options, bare } => {
            let head = [&[options, 0][..], &kind(bare), &(vni << 8).to_be_bytes()].concat();
            let options = vec![0x11; usize::from(options) * 4];
            (17, udp(50_000, 6081, &[&head[..], &options, content(bare)].concat()))
        }
        Wrap::Gre { key, checksum, bare } => {
            let flags = u8::from(checksum) << 7 | u8::from(key.is_some()) << 5;
            let mut head = [&[flags, 0][..], &kind(bare)].concat();
            head.extend(vec![0; usize::from(checksum) * 4]);
            head.extend(key.iter().flat_map(|key| key.to_be_bytes()));
            (47, [&head[..], content(bare)].concat())
        }
        Wrap::Erspan(1) => (47, [&[0, 0, 0x88, 0xbe][..], &frame].concat()),
        Wrap::Erspan(2) => (47, [&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1][..], &[0x10; 8], &frame].concat()),
        Wrap::Erspan(3) => (47, [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1][..], &[0x20; 12], &frame].concat()),
        Wrap::Erspan(_) => (47, [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1][..], &[0x21; 20], &frame].concat()),
        Wrap::Ip => (if inner[0] >> 4 == 4 { 4 } else { 41 }, inner.to_vec()),
    };
    let ends: [IpAddr; 2] =
        if v6 { ["fd00::1", "fd00::2"] } else { ["192.0.2.1", "192.0.2.2"] }.map(|a| a.parse().unwrap());
    ip(protocol, ends[0], ends[1], &payload)
}

fn wraps() -> impl Strategy<Value = Wrap> {
    prop_oneof![
        (0..1u32 << 24).prop_map(Wrap::Vxlan),
        (0..1u32 << 24, 0..64u8, any::<bool>()).prop_map(|(vni, options, bare)| Wrap::Geneve {
            vni,
            options,
            bare
        }),
        (any::<Option<u32>>(), any::<bool>(), any::<bool>()).prop_map(|(key, checksum, bare)| Wrap::Gre {
            key,
            checksum,
            bare
        }),
        (1..5u8).prop_map(Wrap::Erspan),
        Just(Wrap::Ip),
    ]
}

/// What a link layer can have in front of IP: how many tags, how many labels, whether PPPoE.
type Link = (usize, usize, bool);

fn link((tags, labels, ppp): Link, packet: &[u8]) -> Vec<u8> {
    let mut kind = kind_of(packet);
    let mut bytes = packet.to_vec();
    if labels > 0 {
        let mut stack = [0, 1, 0, 9].repeat(labels);
        stack[labels * 4 - 2] |= 1;
        (kind, bytes) = (0x8847, [stack, bytes].concat());
    } else if ppp {
        let protocol = if kind == 0x0800 { 0x21 } else { 0x57 };
        (kind, bytes) = (0x8864, [&[0x11, 0, 0, 1, 0, 0, 0, protocol][..], &bytes].concat());
    }
    for tag in 0..tags {
        bytes = [&[0, 7 + tag as u8][..], &kind.to_be_bytes(), &bytes].concat();
        kind = [0x8100, 0x88a8][tag % 2];
    }
    ethernet(kind, &bytes)
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    protocol: u8,
    ends: [(IpAddr, u16); 2],
}

impl Flow {
    fn packet(&self, back: bool) -> Vec<u8> {
        let [a, b] = if back { [self.ends[1], self.ends[0]] } else { self.ends };
        let payload = match self.protocol {
            6 => tcp(a.1, b.1),
            17 => udp(a.1, b.1, b"some data"),
            _ => vec![0; 8],
        };
        ip(self.protocol, a.0, b.0, &payload)
    }

    fn key(&self, tenant: u32) -> FlowKey {
        let [a, b] = self.ends.map(|(address, port)| (Address::from(address), port));
        FlowKey::new(TenantId(tenant), self.protocol, a, b).0
    }
}

fn flows() -> impl Strategy<Value = Flow> {
    // No port of a tunnel: the packet would be one.
    let port = || (1u16..=u16::MAX).prop_filter("a tunnel's", |p| ![4789, 6081].contains(p));
    let addresses = prop_oneof![
        any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
    ];
    (prop_oneof![Just(6u8), Just(17), Just(132), Just(1)], addresses, port(), port())
        .prop_map(|(protocol, (a, b), p, q)| Flow { protocol, ends: [(a, p), (b, q)] })
}

proptest! {
    #[test]
    fn the_program_and_the_function_agree(
        flow in flows(),
        wrapped in proptest::collection::vec((wraps(), any::<bool>()), 0..3),
        front in (0..4usize, 0..9usize, any::<bool>()),
        back: bool,
        sent: bool,
    ) {
        let packet = wrapped.iter().fold(flow.packet(back), |inner, (how, v6)| wrap(*how, *v6, &inner));
        let frame = link(front, &packet);
        let (beside, data) =
            if sent { (Beside { outgoing: true, hardware: 1, ..Beside::default() }, &frame[..]) } else { received(&frame) };
        for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Sum] {
            let program = Steering::new(by, LANES).for_frames();
            prop_assert_eq!(run(&program, data, &beside), hash(&flow.key(0), by) % LANES, "{:?}", by);
        }
        let program = Steering::new(SpreadBy::Pair, LANES).for_frames();
        prop_assert_eq!(run(&program, data, &beside) as usize, lane_of(&flow.key(0), LANES as usize));
    }

    #[test]
    fn at_a_socket_they_agree_too(flow in flows(), how in wraps(), v6: bool, back: bool, more in any::<Option<bool>>()) {
        let inner = more.map_or_else(|| flow.packet(back), |v6| wrap(Wrap::Vxlan(1), v6, &flow.packet(back)));
        let tunnel = match how {
            Wrap::Geneve { .. } => Tunnel::Geneve,
            Wrap::Vxlan(_) => Tunnel::Vxlan,
            Wrap::Gre { .. } | Wrap::Erspan(_) | Wrap::Ip => return Ok(()),
        };
        let packet = wrap(how, v6, &inner);
        let data = &packet[if v6 { 48 } else { 28 }..];
        for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Sum] {
            let program = Steering::new(by, LANES).for_datagrams(tunnel);
            let beside = Beside { network: &packet, ..Beside::default() };
            prop_assert_eq!(run(&program, data, &beside), hash(&flow.key(0), by) % LANES);
        }
    }

    #[test]
    fn a_packet_cut_anywhere_has_an_answer(
        flow in flows(), wrapped in proptest::collection::vec((wraps(), any::<bool>()), 0..3),
        front in (0..4usize, 0..9usize, any::<bool>()), keep: prop::sample::Index, change: (prop::sample::Index, u8)
    ) {
        let packet = wrapped.iter().fold(flow.packet(false), |inner, (how, v6)| wrap(*how, *v6, &inner));
        let mut frame = link(front, &packet);
        *change.0.get_mut(&mut frame) = change.1;
        frame.truncate(18 + keep.index(frame.len() - 18));
        let (beside, data) = received(&frame);
        for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Sum] {
            prop_assert!(run(&Steering::new(by, LANES).for_frames(), data, &beside) < LANES);
        }
    }

    #[test]
    fn any_bytes_have_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind: u16, first: u8) {
        let kinds = [0x0800, 0x86dd, 0x8100, 0x8847, kind];
        for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Tenant, SpreadBy::Sum] {
            let steering = Steering { tenant: TenantNumber::Vni, ..Steering::new(by, LANES) };
            let mut bytes = bytes.clone();
            bytes.iter_mut().take(1).for_each(|b| *b = if first < 128 { 0x45 } else { 0x60 });
            let beside = Beside { protocol: kinds[usize::from(first) % 5], hardware: 1, network: &[0x45; 60], ..Beside::default() };
            prop_assert!(run(&steering.for_frames(), &bytes, &beside) < LANES);
            prop_assert!(run(&steering.for_datagrams(Tunnel::Vxlan), &bytes, &beside) < LANES);
            prop_assert!(run(&steering.for_datagrams(Tunnel::Geneve), &bytes, &beside) < LANES);
        }
    }
}

/// A flow of an inside.
fn some_flow() -> Flow {
    Flow { protocol: 6, ends: [("10.0.0.1".parse().unwrap(), 4000), ("10.0.0.2".parse().unwrap(), 80)] }
}

fn answer(steering: &Steering, frame: &[u8]) -> u32 {
    let (beside, data) = received(frame);
    run(&steering.for_frames(), data, &beside)
}

#[test]
fn the_number_around_a_packet_names_its_tenant() {
    let flow = some_flow();
    let inner = flow.packet(false);
    let vxlan = link((0, 0, false), &wrap(Wrap::Vxlan(77), false, &inner));
    let gre = Wrap::Gre { key: Some(88), checksum: true, bare: true };
    let gre = link((0, 0, false), &wrap(gre, false, &inner));
    // The outer of two tags is the last that was put in front.
    let tagged = link((2, 0, false), &inner);
    for (tenant, number, frame) in [
        (TenantNumber::Vni, 77, &vxlan),
        (TenantNumber::Key, 88, &gre),
        (TenantNumber::Vlan, 8, &tagged),
        (TenantNumber::Vlan, 0, &vxlan),
        (TenantNumber::Nothing, 0, &tagged),
    ] {
        for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Tenant, SpreadBy::Sum] {
            let steering = Steering { tenant, ..Steering::new(by, LANES) };
            assert_eq!(answer(&steering, frame), hash(&flow.key(number), by) % LANES, "{tenant:?} {by:?}");
        }
    }
}

#[test]
fn pieces_of_a_packet_are_together() {
    let flow = some_flow();
    for inner in [flow.packet(false), wrap(Wrap::Vxlan(5), false, &flow.packet(false))] {
        let mut pieces = [inner.clone(), inner.clone(), inner];
        pieces[0][6] = 0x20;
        (pieces[1][6], pieces[1][7]) = (0x20, 9);
        pieces[2][7] = 0x80;
        let host = |at: usize| (Address::v4(pieces[0][at..at + 4].try_into().unwrap()), 0);
        let key = FlowKey::new(TenantId(0), 0, host(12), host(16)).0;
        for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Sum] {
            for piece in &pieces {
                let frame = link((0, 0, false), piece);
                assert_eq!(answer(&Steering::new(by, LANES), &frame), hash(&key, by) % LANES);
            }
        }
    }
}

#[test]
fn extension_headers_are_passed_and_fragments_of_ipv6_are_together() {
    let (a, b): (IpAddr, IpAddr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let flow = Flow { protocol: 17, ends: [(a, 5), (b, 53)] };
    let udp = udp(5, 53, b"x");
    // Hop by hop, destination, authentication (24 bytes), a fragment that is the whole.
    let chain =
        [&[60, 0, 1, 4, 0, 0, 0, 0, 51, 1][..], &[0; 14], &[44, 4], &[0; 22], &[17, 0, 0, 0, 0, 0, 0, 1]];
    let whole = ip(0, a, b, &[&chain.concat()[..], &udp].concat());
    let by_flow = Steering::new(SpreadBy::Flow, LANES);
    assert_eq!(answer(&by_flow, &link((0, 0, false), &whole)), hash(&flow.key(0), SpreadBy::Flow) % LANES);
    let pair = Flow { protocol: 0, ..flow };
    for offset in [1, 8, 9] {
        let piece = ip(44, a, b, &[&[17, 0, 0, offset, 0, 0, 0, 1][..], &udp].concat());
        assert_eq!(
            answer(&by_flow, &link((0, 0, false), &piece)),
            hash(&pair.key(0), SpreadBy::Flow) % LANES
        );
    }
}

#[test]
fn an_error_of_a_router_is_with_the_flow_that_it_quotes() {
    let flow = some_flow();
    let router: IpAddr = "172.16.0.1".parse().unwrap();
    let error = |kind: u8| {
        ip(1, router, flow.ends[0].0, &[&[kind, 1, 0, 0, 0, 0, 0, 0][..], &flow.packet(false)].concat())
    };
    let by_flow = Steering::new(SpreadBy::Flow, LANES);
    for kind in [3, 4, 5, 11, 12] {
        assert_eq!(
            answer(&by_flow, &link((0, 0, false), &error(kind))),
            hash(&flow.key(0), SpreadBy::Flow) % LANES
        );
    }
    let echo = Flow { protocol: 1, ends: [(router, 0), flow.ends[0]] };
    assert_eq!(answer(&by_flow, &link((0, 0, false), &error(8))), hash(&echo.key(0), SpreadBy::Flow) % LANES);
    let (a, b): (IpAddr, IpAddr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let flow = Flow { protocol: 17, ends: [(a, 5), (b, 53)] };
    let quote = [&[1, 4, 0, 0, 0, 0, 0, 0][..], &flow.packet(false)].concat();
    let error = ip(58, "fe80::1".parse().unwrap(), a, &quote);
    assert_eq!(answer(&by_flow, &link((0, 0, false), &error)), hash(&flow.key(0), SpreadBy::Flow) % LANES);
}

#[test]
fn a_datagram_that_is_no_tunnel_is_hashed_by_its_own_hosts() {
    for (v6, ends) in [(false, ["192.0.2.1", "192.0.2.2"]), (true, ["fd00::1", "fd00::2"])] {
        let packet = wrap(Wrap::Vxlan(5), v6, &some_flow().packet(false));
        let mut packet = packet;
        let payload = if v6 { 48 } else { 28 };
        packet[payload] = 0;
        let ends = ends.map(|a| (a.parse().unwrap(), 0));
        let key = Flow { protocol: 0, ends }.key(0);
        let expected = hash(&key, SpreadBy::Pair) % LANES;
        let steering = Steering::new(SpreadBy::Pair, LANES);
        assert_eq!(answer(&steering, &link((0, 0, false), &packet)), expected);
        let program = steering.for_datagrams(Tunnel::Vxlan);
        for len in [0, 7, 8, 20, packet.len() - payload] {
            let beside = Beside { network: &packet, ..Beside::default() };
            assert_eq!(run(&program, &packet[payload..payload + len], &beside), expected);
        }
    }
}

#[test]
fn what_is_no_ip_has_lane_0() {
    let steering = Steering::new(SpreadBy::Flow, LANES);
    for kind in [0x0806, 0x88cc, 0x0004] {
        assert_eq!(answer(&steering, &ethernet(kind, &[0x45; 60])), 0);
    }
    assert_eq!(answer(&steering, &ethernet(0x0800, &[0x95; 60])), 0);
}

proptest! {
    #[test]
    fn exactly_one_filter_takes_a_frame_and_it_is_that_of_its_lane(
        flow in flows(), wrapped in proptest::collection::vec((wraps(), any::<bool>()), 0..3), cut: prop::sample::Index
    ) {
        let packet = wrapped.iter().fold(flow.packet(false), |inner, (how, v6)| wrap(*how, *v6, &inner));
        let frame = link((1, 0, false), &packet);
        let beside = Beside { hardware: 1, ..Beside::default() };
        for by in [SpreadBy::Flow, SpreadBy::Pair, SpreadBy::Sum] {
            let steering = Steering::new(by, 5);
            let takes = |frame: &[u8]| (0..5).filter(|i| run(&steering.for_filter(*i), frame, &beside) != 0).collect::<Vec<_>>();
            prop_assert_eq!(takes(&frame), [hash(&flow.key(0), by) % 5]);
            prop_assert_eq!(takes(&frame[..cut.index(frame.len())]).len(), 1);
        }
    }
}

#[test]
fn ten_thousand_flows_in_one_tunnel_are_on_all_lanes() {
    let mut counts = [0u32; 8];
    for i in 0..10_000u16 {
        let mut flow = some_flow();
        flow.ends[0].1 = 20_000 + i;
        let frame = link((0, 0, false), &wrap(Wrap::Vxlan(1), false, &flow.packet(i % 2 == 0)));
        counts[answer(&Steering::new(SpreadBy::Flow, 8), &frame) as usize] += 1;
    }
    assert!(counts.iter().all(|n| (1_125..1_375).contains(n)), "{counts:?}");
}
