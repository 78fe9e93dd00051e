//! Whatever comes in, decap neither panics nor loses count.

use proptest::prelude::*;
use weir_decap::{Config, Decap, Output};
use weir_wire::{Frame, Interval, LinkType, Offload, Role, Time, UidKey};

const LINKS: &[LinkType] = &[
    LinkType::NULL,
    LinkType::ETHERNET,
    LinkType::PPP,
    LinkType::FDDI,
    LinkType::PPP_SERIAL,
    LinkType::RAW,
    LinkType::IEEE802_11,
    LinkType::LOOP,
    LinkType::LINUX_SLL,
    LinkType::PFLOG,
    LinkType::IEEE802_11_RADIO,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType::NFLOG,
    LinkType::LINUX_SLL2,
    LinkType(999),
];

/// Starts of headers, which random bytes would hardly ever hit.
const STARTS: &[&[u8]] = &[
    b"",
    &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0x08, 0x00],
    &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0x81, 0x00, 0, 7, 0x86, 0xdd],
    &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0x88, 0xe7, 0, 0, 0, 0],
    &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0x88, 0x64, 0x11, 0, 0, 1, 0, 9, 0, 0x21],
    &[0x88, 0, 0, 0],
    &[0, 0, 4, 0, 0x88, 1],
    &[2, 0, 0, 0],
];

/// The first bytes of an IP packet with small numbers, so that fragments meet and lengths are plausible.
fn ip_start() -> impl Strategy<Value = Vec<u8>> {
    let v4 = (0u8..3, prop::sample::select(vec![0u8, 0x20, 0x40]), 0u8..6, 0u8..60).prop_map(
        |(id, flags, offset, len)| {
            let mut ip = vec![0x45, 0, 0, 20 + len, 0, id, flags, offset, 64, 17, 0, 0];
            ip.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            ip
        },
    );
    let next = prop::sample::select(vec![0u8, 43, 44, 50, 51, 59, 60, 135, 6, 17, 58]);
    let v6 = (next.clone(), next, 0u8..3).prop_map(|(first, second, units)| {
        let mut ip = vec![0x60, 0, 0, 0, 0, 40, first, 64];
        ip.extend([1; 32]);
        ip.extend([second, units, 0, 1, 0, 0, 0, 1]);
        ip
    });
    prop_oneof![v4, v6, Just(Vec::new())]
}

fn frame() -> impl Strategy<Value = (LinkType, Vec<u8>, u32)> {
    let bytes = prop::collection::vec(any::<u8>(), 0..120);
    (prop::sample::select(LINKS), prop::sample::select(STARTS), ip_start(), bytes, 0u32..3000)
        .prop_map(|(link, start, ip, rest, more)| (link, [start, &ip, &rest].concat(), more))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_frames_balance(frames in prop::collection::vec(frame(), 1..12), verify: bool, memory in 0usize..4000) {
        let config = Config { verify_checksums: verify, fragment_memory: memory, ..Config::default() };
        let mut decap = Decap::new(config, UidKey::default());
        let mut out = Output::default();
        for (i, (link, data, more)) in frames.iter().enumerate() {
            let wire_len = data.len() as u32 + more;
            let time = Time(0) + Interval::from_secs(i as i64 * 9);
            let frame = Frame { time, tap: 0, sequence: i as u64, link: *link, wire_len, offload: Offload::default(), data };
            decap.frame(&frame, &mut out);
            prop_assert!(decap.account().balances());
            let passed: u64 = out.packets.iter().map(|p| u64::from(p.head.frames)).sum();
            let bytes: u64 = out.packets.iter().map(|p| p.head.frame_bytes).sum();
            prop_assert_eq!(passed, decap.account().passed.frames);
            prop_assert_eq!(bytes, decap.account().passed.bytes);
        }
        for packet in &out.packets {
            prop_assert!(packet.data.bytes().len() >= usize::from(packet.head.transport_at));
            prop_assert!(packet.head.role == Role::Innermost || packet.head.frames == 0);
        }
        let mut end = Output::default();
        decap.finish(&mut end);
        prop_assert!(decap.account().balances());
        prop_assert_eq!(decap.account().held.frames, 0);
    }
}
