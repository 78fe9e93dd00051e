//! Frames for decap and what comes after it.

use weir_decap::{Config, Decap, Output};
use weir_ledger::Count;
use weir_wire::{Frame, Interval, LinkType, Offload, Role, Time, UidKey};

use crate::show;

/// Link types by the first byte of an input.
pub const LINKS: [LinkType; 16] = [
    LinkType::ETHERNET,
    LinkType::RAW,
    LinkType::LINUX_SLL,
    LinkType::LINUX_SLL2,
    LinkType::NULL,
    LinkType::LOOP,
    LinkType::PPP,
    LinkType::PPP_SERIAL,
    LinkType::IEEE802_11,
    LinkType::IEEE802_11_RADIO,
    LinkType::NFLOG,
    LinkType::PFLOG,
    LinkType::FDDI,
    LinkType::IPV4,
    LinkType::IPV6,
    LinkType(147),
];

/// Decap with small bounds, so that they are met, and its promises checked at every frame.
pub struct Walker {
    decap: Decap,
    sequence: u64,
    now: Time,
    passed: Count,
}

impl Walker {
    /// Nothing seen yet. `small`: with bounds that a few frames reach.
    pub fn new(small: bool) -> Self {
        let mut config = Config::default();
        if small {
            config.fragment_memory = 32 << 10;
            config.max_datagrams = 4;
            config.max_fragments = 8;
        }
        let now = Time::from_parts(1_700_000_000, 0);
        Self { decap: Decap::new(config, UidKey([7; 16])), sequence: 0, now, passed: Count::default() }
    }

    /// The time of the next frame.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Time goes on, or back.
    pub fn wait(&mut self, span: Interval) {
        self.now = self.now + span;
    }

    /// Walks one frame and gives each packet found to `each`.
    pub fn frame(&mut self, link: LinkType, data: &[u8], mut each: impl FnMut(&weir_wire::Packet<'_>)) {
        let (sequence, wire_len) = (self.sequence, data.len() as u32);
        let frame =
            Frame { time: self.now, tap: 0, sequence, link, wire_len, offload: Offload::default(), data };
        let mut out = Output::default();
        self.decap.frame(&frame, &mut out);
        self.sequence += 1;
        for packet in &out.packets {
            self.check(packet);
            each(packet);
        }
        let account = self.decap.account();
        assert!(account.balances());
        assert_eq!(account.entered.frames, self.sequence);
        assert_eq!(account.passed, self.passed, "what packets stand for is what was passed");
        show::entries(&mut out.entries);
    }

    fn check(&mut self, packet: &weir_wire::Packet<'_>) {
        let (head, bytes) = (&packet.head, packet.data.bytes());
        assert!(usize::from(head.transport_at) <= bytes.len(), "{head:?}");
        assert!(matches!(head.ip_version, 4 | 6));
        assert!(head.frames > 0 || head.role != Role::Innermost || head.frame_bytes == 0);
        self.passed += Count::new(u64::from(head.frames), head.frame_bytes);
    }

    /// The end: nothing is held any more.
    pub fn finish(mut self) {
        let mut out = Output::default();
        self.decap.advance(self.now + Interval::from_secs(1), &mut out);
        assert!(self.decap.account().balances());
        self.decap.finish(&mut out);
        let account = self.decap.account();
        assert!(account.balances());
        assert_eq!(account.held, Count::default());
        show::entries(&mut out.entries);
    }
}

/// An IPv4 packet.
pub fn ipv4(protocol: u8, id: u16, fragment: u16, ends: [[u8; 4]; 2], payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut out = vec![0x45, 0];
    out.extend(length.to_be_bytes());
    out.extend(id.to_be_bytes());
    out.extend(fragment.to_be_bytes());
    out.extend([64, protocol, 0, 0]);
    out.extend(ends.concat());
    out.extend(payload);
    out
}

/// An IPv6 packet.
pub fn ipv6(next: u8, ends: [u8; 2], payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x60, 0, 0, 0];
    out.extend((payload.len() as u16).to_be_bytes());
    out.extend([next, 64]);
    for end in ends {
        out.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end]);
    }
    out.extend(payload);
    out
}

/// A UDP datagram.
pub fn udp(ports: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
    out.extend((8 + payload.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    out
}

/// A TCP segment.
pub fn tcp(ports: [u16; 2], seq: u32, ack: u32, flags: u8, window: u16, payload: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = ports.into_iter().flat_map(u16::to_be_bytes).collect();
    out.extend(seq.to_be_bytes());
    out.extend(ack.to_be_bytes());
    out.extend([0x50, flags]);
    out.extend(window.to_be_bytes());
    out.extend([0; 4]);
    out.extend(payload);
    out
}

/// An Ethernet II frame.
pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    out.extend(ether_type.to_be_bytes());
    out.extend(payload);
    out
}
