//! Any bytes as frames of any link type: decap ends each under a reason, passes it or holds it, and balances.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::packets::{LINKS, Walker};
use weir_wire::{Interval, LinkType};

fuzz_target!(|data: &[u8]| {
    let Some((first, mut rest)) = data.split_first() else { return };
    let link = LINKS.get(usize::from(first & 15)).copied().unwrap_or(LinkType::ETHERNET);
    let mut walker = Walker::new(first & 16 != 0);
    // Several frames, so that what one says of a tunnel or a datagram meets the next.
    while let [low, high, after @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (frame, after) = after.split_at(len);
        walker.frame(link, frame, |_| {});
        walker.wait(Interval::from_millis(1));
        rest = after;
    }
    walker.finish();
});
