//! Packets that several taps saw: all but one copy of each are duplicates.
//!
//! Two copies of a packet have the same flow and direction, IP identification, lengths, transport header and the same first
//! [`BYTES`] bytes from there on. What routers, switches and network cards change on the way does not count: TTL, link layer, tunnels,
//! checksums (which may be unfinished where a card was to do them).
//!
//! Promises:
//! - Of a packet that was sent once, one copy is left, whichever tap's comes first. Of one that was sent `n` times (a retransmission with the
//!   same identification, a datagram repeated) `n` copies are left, as long as one tap saw all of them: copies are counted
//!   by tap, and a copy is a duplicate only if another tap has shown as many before (test
//!   `what_was_sent_twice_stays_twice_however_the_copies_come`). So who knows of the taps cannot hide a packet behind
//!   one that looks like it and passes the same tap.
//! - A copy that comes more than the window after the last one is not known as such.
//! - Memory is fixed: 32 bytes for each packet of the window. In a full table the oldest packet of a set of [`WAYS`] is forgotten, which is counted.
//!
//! A packet that one tap saw whole (a super-frame, before segmentation) and another in segments has no common copies:
//! taps cut super-frames first.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use weir_wire::flow::protocol;
use weir_wire::{Direction, Interval, Packet, Time};

/// So many bytes from the transport header on are compared: taps cut packets off at different lengths, rarely shorter than that.
pub const BYTES: usize = 192;
/// Packets that share a place in the table.
const WAYS: usize = 8;
/// Taps that are told apart for one packet: both ends, and a switch or gateway on either side. A copy of a fifth is taken
/// for its first.
const TAPS: usize = 4;

/// Knows the packets of the last moment.
#[derive(Clone, Debug)]
pub struct Deduplicator {
    sets: Vec<[Seen; WAYS]>,
    window: u32,
    key: [u64; 2],
    forgotten: u64,
}

/// One packet, and how often each tap saw it.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    print: u64,
    /// When the last copy came, in milliseconds modulo 2³²: differences are meant.
    at: u32,
    taps: [u16; TAPS],
    counts: [u8; TAPS],
    /// Copies that were no duplicates; 0: the place is empty.
    kept: u8,
}

impl Seen {
    fn age(&self, now: u32) -> u32 {
        (now.wrapping_sub(self.at) as i32).max(0) as u32
    }

    /// Counts a copy from `tap`; answers whether it is a duplicate.
    fn copy(&mut self, tap: u16, now: u32) -> bool {
        self.at = now;
        let mut places = self.taps.iter_mut().zip(&mut self.counts);
        let Some((known, count)) = places.find(|(known, count)| **count == 0 || **known == tap) else {
            return true;
        };
        *known = tap;
        *count = count.saturating_add(1);
        if *count <= self.kept {
            return true;
        }
        self.kept = *count;
        false
    }
}

impl Deduplicator {
    /// Takes `memory` bytes at most (one set at least). Copies may be `window` apart. `key` is random, so that nobody outside can
    /// make two packets look alike.
    pub fn new(memory: usize, window: Interval, key: [u64; 2]) -> Self {
        let sets = memory / size_of::<[Seen; WAYS]>();
        let sets = if sets.is_power_of_two() { sets } else { sets.next_power_of_two() >> 1 };
        let window = u32::try_from(window.0 / 1_000_000).unwrap_or(0).min(i32::MAX as u32);
        Self { sets: vec![[Seen::default(); WAYS]; sets.max(1)], window, key, forgotten: 0 }
    }

    /// Whether another tap's copy of `packet` has been let through. `now` is when it came to this place: clocks of taps may
    /// differ.
    pub fn is_duplicate(&mut self, packet: &Packet<'_>, now: Time) -> bool {
        let print = self.print(packet);
        let now = now.0.div_euclid(1_000_000) as u32;
        let (window, at) = (self.window, print as usize & (self.sets.len() - 1));
        let Some(set) = self.sets.get_mut(at) else { return false };
        let known = |seen: &&mut Seen| seen.kept > 0 && seen.print == print && seen.age(now) <= window;
        if let Some(seen) = set.iter_mut().find(known) {
            return seen.copy(packet.head.tap, now);
        }
        let staleness = |seen: &&mut Seen| if seen.kept == 0 { u32::MAX } else { seen.age(now) };
        if let Some(oldest) = set.iter_mut().max_by_key(staleness) {
            self.forgotten += u64::from(oldest.kept > 0 && oldest.age(now) <= window);
            *oldest = Seen { print, ..Seen::default() };
            oldest.copy(packet.head.tap, now);
        }
        false
    }

    /// How many packets were forgotten before their time, as there were too many: copies of them may have been let through.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What copies of a packet have in common.
    fn print(&self, packet: &Packet<'_>) -> u64 {
        let head = &packet.head;
        let mut hasher = SipHasher13::new_with_keys(self.key[0], self.key[1]);
        hasher.write(&head.key.lower.0);
        hasher.write(&head.key.upper.0);
        let ports = u32::from(head.key.lower_port) << 16 | u32::from(head.key.upper_port);
        hasher.write_u64(u64::from(head.key.tenant.0) << 32 | u64::from(ports));
        let bytes = packet.data.bytes();
        let identification = match (head.ip_version, bytes) {
            (4, [_, _, _, _, high, low, ..]) => u16::from_be_bytes([*high, *low]),
            _ => 0,
        };
        let way = u64::from(head.direction == Direction::Up) << 8 | u64::from(head.key.protocol);
        hasher.write_u64(u64::from(packet.transport_len()) << 32 | u64::from(identification) << 16 | way);
        let transport = packet.transport();
        let checksum = match head.key.protocol {
            protocol::TCP => 16,
            protocol::UDP => 6,
            protocol::ICMP | protocol::ICMPV6 => 2,
            _ => usize::MAX,
        };
        let compared = transport.get(..BYTES).unwrap_or(transport);
        match (compared.get(..checksum), compared.get(checksum.saturating_add(2)..)) {
            (Some(before), Some(behind)) => {
                hasher.write(before);
                hasher.write(behind);
            }
            _ => hasher.write(compared),
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use weir_wire::{Address, Data, FlowKey, Head, Role, TenantId, TunnelKind, Uid};

    use super::*;

    const WINDOW: Interval = Interval::from_secs(1);

    /// An IPv4 packet with a TCP header and payload, seen by `tap`.
    fn packet(tap: u16, identification: u16, payload: &[u8], ttl: u8, checksum: u8) -> (Head, Vec<u8>) {
        let ends = ((Address::v4([10, 0, 0, 1]), 4000), (Address::v4([10, 0, 0, 2]), 80));
        let (key, direction) = FlowKey::new(TenantId(0), protocol::TCP, ends.0, ends.1);
        let len = 40 + payload.len() as u32;
        let mut bytes = vec![0x45, 0];
        bytes.extend((len as u16).to_be_bytes());
        bytes.extend(identification.to_be_bytes());
        bytes.extend([0x40, 0, ttl, 6, 0, checksum, 10, 0, 0, 1, 10, 0, 0, 2]);
        bytes.extend([0x0f, 0xa0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 1, 0, checksum, checksum, 0, 0]);
        bytes.extend(payload);
        let head = Head {
            time: Time(0),
            sequence: 0,
            tap,
            frames: 1,
            frame_bytes: u64::from(len),
            key,
            direction,
            role: Role::Innermost,
            one_way: false,
            ip_version: 4,
            ttl,
            ip_len: len,
            transport_at: 20,
            link_len: 0,
            depth: 0,
            tunnel: TunnelKind::None,
            parent: Uid::NONE,
            vlan: 0,
            inner_vlan: 0,
            reassembled: false,
            truncated: false,
        };
        (head, bytes)
    }

    fn see(dedup: &mut Deduplicator, (head, bytes): &(Head, Vec<u8>), second: i64) -> bool {
        let packet = Packet { head: *head, data: Data::Frame(bytes) };
        dedup.is_duplicate(&packet, Time(second * 1_000_000_000))
    }

    fn dedup() -> Deduplicator {
        Deduplicator::new(1 << 20, WINDOW, [1, 2])
    }

    #[test]
    fn a_copy_from_another_tap_is_a_duplicate_though_routers_and_cards_changed_it() {
        let mut dedup = dedup();
        assert!(!see(&mut dedup, &packet(1, 7, b"hello", 64, 9), 0));
        assert!(see(&mut dedup, &packet(2, 7, b"hello", 61, 0), 0));
        assert!(see(&mut dedup, &packet(3, 7, b"hello", 60, 1), 1));
    }

    #[test]
    fn what_differs_is_no_duplicate() {
        let mut dedup = dedup();
        assert!(!see(&mut dedup, &packet(1, 7, b"hello", 64, 9), 0));
        assert!(!see(&mut dedup, &packet(2, 8, b"hello", 64, 9), 0));
        assert!(!see(&mut dedup, &packet(2, 7, b"hallo", 64, 9), 0));
        let (mut head, bytes) = packet(2, 7, b"hello", 64, 9);
        head.key.tenant = TenantId(3);
        assert!(!see(&mut dedup, &(head, bytes.clone()), 0));
        head.key.tenant = TenantId(0);
        head.direction = head.direction.flip();
        assert!(!see(&mut dedup, &(head, bytes), 0));
    }

    #[test]
    fn a_copy_that_comes_after_the_window_is_let_through() {
        let mut dedup = dedup();
        assert!(!see(&mut dedup, &packet(1, 7, b"hello", 64, 9), 0));
        assert!(!see(&mut dedup, &packet(2, 7, b"hello", 64, 9), 3));
        assert_eq!(dedup.forgotten(), 0);
    }

    #[test]
    fn the_cut_copy_of_a_long_packet_is_a_duplicate() {
        let mut dedup = dedup();
        let whole = packet(1, 7, &[b'x'; 1000], 64, 9);
        let mut cut = packet(2, 7, &[b'x'; 1000], 64, 9);
        cut.1.truncate(20 + BYTES);
        cut.0.truncated = true;
        assert!(!see(&mut dedup, &whole, 0));
        assert!(see(&mut dedup, &cut, 0));
    }

    #[test]
    fn memory_stays_as_given_and_what_is_forgotten_is_counted() {
        assert_eq!(size_of::<Seen>(), 32);
        let mut dedup = Deduplicator::new(4096, WINDOW, [1, 2]);
        assert_eq!(dedup.sets.len() * size_of::<[Seen; WAYS]>(), 4096);
        for identification in 0..1000 {
            assert!(!see(&mut dedup, &packet(1, identification, b"hello", 64, 9), 0));
        }
        assert_eq!(dedup.forgotten(), 1000 - 4096 / 32);
    }

    proptest! {
        #[test]
        fn what_was_sent_twice_stays_twice_however_the_copies_come(
            // Each packet: how often it is sent. Every tap sees all of them; the order is any.
            sent in prop::collection::vec(1usize..5, 1..30),
            taps in 1u16..=TAPS as u16,
            order in any::<u64>(),
        ) {
            let mut copies: Vec<(u16, usize)> = sent
                .iter()
                .enumerate()
                .flat_map(|(i, times)| (0..taps * *times as u16).map(move |n| (n % taps, i)))
                .collect();
            let mut state = order | 1;
            for i in (1..copies.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                copies.swap(i, (state >> 33) as usize % (i + 1));
            }
            let mut dedup = dedup();
            let mut kept: HashMap<usize, usize> = HashMap::new();
            for (tap, i) in copies {
                if !see(&mut dedup, &packet(tap, i as u16, b"again", 64, 9), 0) {
                    *kept.entry(i).or_default() += 1;
                }
            }
            for (i, times) in sent.iter().enumerate() {
                prop_assert_eq!(kept[&i], *times);
            }
        }
    }
}
