//! Fragments in any order, overlapping in any way: what is joined, dropped and held balances, within small bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::packets::{Walker, ipv4, ipv6};
use weir_wire::{Interval, LinkType};

fuzz_target!(|data: &[u8]| {
    let (settings, data) = data.split_first().unwrap_or((&0, data));
    let mut walker = Walker::new(settings & 1 != 0);
    for op in data.chunks_exact(6) {
        let &[who, at_low, at_high, length, content, time] = op else { continue };
        // Offsets in the eight-byte steps of the format; mostly small, at times beyond the end of any datagram.
        let at = u16::from_le_bytes([at_low, at_high]) & if who & 0x40 != 0 { 0x1fff } else { 0x3f };
        let (more, id) = (who & 1 != 0, u16::from(who >> 1 & 7));
        let place = |i: usize| (usize::from(at) * 8 + i) as u8 ^ (content & 1);
        let payload: Vec<u8> = (0..usize::from(length)).map(place).collect();
        let packet = if who & 0x80 == 0 {
            let field = at | if more { 0x2000 } else { 0 };
            ipv4(17, id, field, [[10, 0, 0, 1], [10, 0, 0, 2]], &payload)
        } else {
            let [high, low] = (at << 3 | u16::from(more)).to_be_bytes();
            ipv6(44, [1, 2], &[&[17, 0, high, low, 0, 0, 0, id as u8], &payload[..]].concat())
        };
        walker.wait(if time > 250 { Interval::from_secs(20) } else { Interval::from_millis(1) });
        walker.frame(LinkType::RAW, &packet, |packet| assert!(packet.data.bytes().len() <= 65_535 + 40));
    }
    walker.finish();
});
