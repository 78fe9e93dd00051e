//! TCP connections for a lane: every operation is one packet of one of four connections.

use std::sync::Arc;

use weir_analyse::{Config, Lane};
use weir_record::Entries;
use weir_wire::{Interval, LinkType, UidKey};

use crate::packets::{Walker, ipv4, tcp};
use crate::show;

/// Bytes of one operation.
const OP: usize = 8;

/// A lane with small bounds.
struct Run {
    walker: Walker,
    lane: Lane,
    entries: Entries,
    packets: u64,
    payload: u64,
    /// The next sequence number of each side of each connection.
    next: [[u32; 2]; 4],
}

/// Sends the segments in `input`: of each, eight bytes are connection and side, flags, how far its sequence number is from the
/// next one, how far its acknowledgement is from the other side's next one, length, and time.
pub fn run(input: &[u8]) {
    let (settings, input) = input.split_first().unwrap_or((&0, input));
    let mut run = Run::new(*settings);
    for op in input.chunks_exact(OP) {
        run.segment(op);
    }
    run.finish();
}

impl Run {
    fn new(settings: u8) -> Self {
        let mut config = Config::default();
        if settings & 1 != 0 {
            config.flow.max_flows = 2;
            config.tcp.max_held_per_side = 512;
            config.tcp.max_held_total = 1024;
            config.tcp.max_unacked = 256;
        }
        // Near the wrap-around of sequence numbers, or not.
        let first = if settings & 2 != 0 { u32::MAX - 100 } else { 1000 };
        Self {
            walker: Walker::new(false),
            lane: Lane::new(Arc::new(config), UidKey([7; 16])),
            entries: Entries::default(),
            packets: 0,
            payload: 0,
            next: [[first; 2]; 4],
        }
    }

    fn segment(&mut self, op: &[u8]) {
        let &[who, flags, seq_low, seq_high, ack, length, content, time] = op else { return };
        let (connection, side) = (usize::from(who >> 1 & 3), usize::from(who & 1));
        let [mine, theirs] = [self.next[connection][side], self.next[connection][1 - side]];
        let seq = mine.wrapping_add_signed(i32::from(i16::from_le_bytes([seq_low, seq_high])));
        let ack = theirs.wrapping_add_signed(i32::from(ack as i8));
        // Content is told by place, so that a retransmission has the same bytes unless `content` says otherwise.
        let byte = |i: u32| (seq.wrapping_add(i) as u8).wrapping_add(content);
        let payload: Vec<u8> = (0..u32::from(length)).map(byte).collect();
        let advance = u32::from(length) + u32::from(flags & 2 != 0) + u32::from(flags & 1 != 0);
        if seq == mine {
            self.next[connection][side] = mine.wrapping_add(advance);
        }
        let (mut ports, mut ends) = ([40_000 + connection as u16, 4444], [[10, 0, 0, 1], [10, 0, 0, 2]]);
        if side == 1 {
            ports.reverse();
            ends.reverse();
        }
        let packet = ipv4(6, 1, 0, ends, &tcp(ports, seq, ack, flags, 1000, &payload));
        self.wait(time);
        let (lane, entries) = (&mut self.lane, &mut self.entries);
        self.walker.frame(LinkType::RAW, &packet, |packet| lane.packet(packet, entries));
        self.packets += 1;
        self.payload += u64::from(length);
        self.check();
    }

    /// Mostly a millisecond; at times seconds or minutes, or a step back.
    fn wait(&mut self, time: u8) {
        self.walker.wait(match time {
            0..=199 => Interval::from_millis(1),
            200..=229 => Interval::from_secs(i64::from(time) - 199),
            230..=249 => Interval::from_secs((i64::from(time) - 229) * 60),
            250..=255 => Interval::from_millis(-i64::from(time)),
        });
    }

    fn check(&self) {
        let account = self.lane.account();
        assert!(account.balances(), "{account:?}");
        assert_eq!(account.entered.frames, self.packets);
        let streams = self.lane.streams();
        assert!(streams.balances(), "{streams:?}");
        assert!(streams.entered <= self.payload, "{streams:?}");
    }

    fn finish(mut self) {
        self.lane.finish(self.walker.now(), &mut self.entries);
        self.check();
        assert_eq!(self.lane.streams().held, 0);
        assert_eq!(self.lane.account().held.frames, 0);
        show::entries(&mut self.entries);
        self.walker.finish();
    }
}
