//! Fragments until their datagram is complete (RFC 791, 3.2; RFC 8200, 4.5).
//!
//! Promises: no more than [`Config::fragment_memory`] bytes are held, the oldest datagram goes first; no datagram waits
//! longer than [`Config::fragment_timeout`]; every fragment held is counted out again. Where fragments overlap, the bytes
//! that came first stand. Weirds and their order follow Zeek (src/Frag.cc, src/Reassem.cc).

use std::collections::BTreeMap;

use hashbrown::HashMap;
use weir_ledger::{Count, Reason};
use weir_wire::checksum::internet_checksum;
use weir_wire::{Address, Interval, TenantId, Time, ipv6};

use crate::config::Config;
use crate::walk::{Step, Walk};

/// A fragment that is not the last and is in all shorter than this is suspicious.
const SMALL: usize = 64;
/// A datagram that ends beyond this is suspicious.
const LARGE: usize = 64_000;
/// The longest packet that a 16-bit length can tell.
const MAX_PACKET: usize = 65_535;
/// What a waiting datagram costs beside its bytes: its places in both tables.
const DATAGRAM_COST: usize = 256;
/// What a waiting fragment costs beside its bytes.
const FRAGMENT_COST: usize = 64;

/// One fragment, captured in full.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    pub version: u8,
    pub source: Address,
    pub destination: Address,
    /// What its first bytes are (of the first fragment: of the datagram).
    pub protocol: u8,
    pub id: u32,
    /// Where its payload belongs.
    pub offset: usize,
    /// Whether others follow.
    pub more: bool,
    /// Whether it should not have been fragmented.
    pub dont: bool,
    /// The headers that the datagram keeps.
    pub header: &'a [u8],
    /// Where in them the number of the datagram's protocol is.
    pub next_at: usize,
    pub payload: &'a [u8],
    /// The length that its IP header claims.
    pub ip_len: usize,
}

/// Which datagram: Zeek's key, and the tenant. The protocol is not part of it, so that it can be seen to change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Key {
    tenant: TenantId,
    source: Address,
    destination: Address,
    id: u32,
}

/// A stretch of payload.
struct Block {
    at: usize,
    bytes: Box<[u8]>,
}

impl Block {
    const fn end(&self) -> usize {
        self.at + self.bytes.len()
    }
}

/// A datagram that waits.
struct Datagram {
    /// Its place in the order of deadlines.
    place: (Time, u64),
    /// The headers of the fragment that came first.
    header: Box<[u8]>,
    next_at: usize,
    protocol: u8,
    /// Where the payload ends; known when the last fragment has come.
    size: Option<usize>,
    /// In order, without overlap.
    blocks: Vec<Block>,
    /// What the fragments stand for in the ledger.
    count: Count,
    cost: usize,
}

/// The datagrams that wait.
pub(crate) struct Fragments {
    waiting: HashMap<Key, Datagram, foldhash::fast::RandomState>,
    order: BTreeMap<(Time, u64), Key>,
    serial: u64,
    cost: usize,
    timeout: Interval,
    max_cost: usize,
    max_waiting: usize,
    max_blocks: usize,
    timed_out: Count,
    evicted: Count,
}

impl Fragments {
    /// None, within the bounds of `config`.
    pub fn new(config: &Config) -> Self {
        Self {
            waiting: HashMap::default(),
            order: BTreeMap::new(),
            serial: 0,
            cost: 0,
            timeout: config.fragment_timeout,
            max_cost: config.fragment_memory,
            max_waiting: config.max_datagrams,
            max_blocks: config.max_fragments,
            timed_out: Count::default(),
            evicted: Count::default(),
        }
    }

    /// Other bounds hold from now on.
    pub const fn configure(&mut self, config: &Config) {
        self.timeout = config.fragment_timeout;
        self.max_cost = config.fragment_memory;
        self.max_waiting = config.max_datagrams;
        self.max_blocks = config.max_fragments;
    }

    /// Adds a fragment. The caller counts it as held where the answer is [`Step::Held`].
    pub fn add<'a>(&mut self, walk: &mut Walk<'_>, fragment: &Fragment<'_>) -> Step<'a> {
        let end = fragment.offset + fragment.payload.len();
        let key = Key {
            tenant: walk.tenant,
            source: fragment.source,
            destination: fragment.destination,
            id: fragment.id,
        };
        let mut datagram = match self.take(&key) {
            Some(datagram) => datagram,
            None => self.begin(walk.time, fragment),
        };
        datagram.check(walk, fragment, end);
        if fragment.header.len() + end > MAX_PACKET {
            self.put_back(key, datagram);
            return Step::Drop(Reason::MalformedFragment);
        }
        if datagram.blocks.len() >= self.max_blocks {
            self.put_back(key, datagram);
            return Step::Drop(Reason::FragmentLimit);
        }
        if !fragment.payload.is_empty() {
            datagram.insert(walk, fragment.offset, fragment.payload);
            if let Some(size) = datagram.complete(walk) {
                return Step::Joined(datagram.join(fragment.version, size), datagram.count);
            }
        }
        datagram.count += walk.credit;
        self.put_back(key, datagram);
        self.shrink();
        Step::Held
    }

    /// What the fragments that wait cost, in bytes.
    pub const fn memory(&self) -> usize {
        self.cost
    }

    /// Gives up the datagrams whose time is over at `now`.
    pub fn expire(&mut self, now: Time) {
        while let Some((place, key)) = self.order.first_key_value().map(|(p, k)| (*p, *k)) {
            if place.0 > now {
                return;
            }
            if let Some(datagram) = self.take(&key) {
                self.timed_out += datagram.count;
            }
        }
    }

    /// Gives up all datagrams.
    pub fn clear(&mut self) {
        self.expire(Time(i64::MAX));
    }

    /// What was given up since this was asked last; it is still counted as held.
    pub fn take_ended(&mut self) -> [(Reason, Count); 2] {
        [
            (Reason::FragmentTimeout, std::mem::take(&mut self.timed_out)),
            (Reason::FragmentLimit, std::mem::take(&mut self.evicted)),
        ]
    }

    fn begin(&mut self, now: Time, fragment: &Fragment<'_>) -> Datagram {
        self.serial = self.serial.wrapping_add(1);
        Datagram {
            place: (now + self.timeout, self.serial),
            header: fragment.header.into(),
            next_at: fragment.next_at,
            protocol: fragment.protocol,
            size: None,
            blocks: Vec::new(),
            count: Count::default(),
            cost: DATAGRAM_COST + fragment.header.len(),
        }
    }

    fn take(&mut self, key: &Key) -> Option<Datagram> {
        let datagram = self.waiting.remove(key)?;
        self.order.remove(&datagram.place);
        self.cost -= datagram.cost;
        Some(datagram)
    }

    /// Only datagrams that stand for a frame wait: others would be state without an account.
    fn put_back(&mut self, key: Key, datagram: Datagram) {
        if datagram.count == Count::default() {
            return;
        }
        self.cost += datagram.cost;
        self.order.insert(datagram.place, key);
        self.waiting.insert(key, datagram);
    }

    /// Gives up the oldest datagrams until the rest fits the bounds.
    fn shrink(&mut self) {
        while self.cost > self.max_cost || self.waiting.len() > self.max_waiting {
            let Some(key) = self.order.first_key_value().map(|(_, key)| *key) else { return };
            if let Some(datagram) = self.take(&key) {
                self.evicted += datagram.count;
            }
        }
    }
}

impl Datagram {
    /// Compares a fragment with what is known of its datagram.
    fn check(&mut self, walk: &mut Walk<'_>, fragment: &Fragment<'_>, end: usize) {
        if fragment.protocol != self.protocol || fragment.header.len() != self.header.len() {
            walk.weird("fragment_protocol_inconsistency", None, None);
        }
        if fragment.dont {
            // Systems that look for the path's MTU do this with UDP.
            walk.weird("fragment_with_DF", None, None);
        }
        if fragment.offset == 0 {
            self.protocol = fragment.protocol;
        }
        match self.size {
            None if !fragment.more => self.size = Some(end),
            Some(size) if !fragment.more && size != end => {
                walk.weird("fragment_size_inconsistency", None, None);
                self.size = Some(size.max(end));
            }
            _ => {}
        }
        if fragment.more && fragment.ip_len < SMALL {
            walk.weird("excessively_small_fragment", None, None);
        }
        if end > LARGE {
            walk.weird("excessively_large_fragment", None, None);
        }
        if self.size.is_some_and(|size| end > size) {
            walk.weird("fragment_size_inconsistency", None, None);
            self.size = Some(end);
        }
    }

    /// Adds what is new in `payload`, which belongs at `at`; reports what is not.
    fn insert(&mut self, walk: &mut Walk<'_>, at: usize, payload: &[u8]) {
        let end = at + payload.len();
        let first = self.blocks.partition_point(|b| b.end() <= at);
        let mut index = first;
        // What lies before `from` is dealt with.
        let mut from = at;
        while let Some(block) = self.blocks.get(index).filter(|b| b.at < end) {
            let (begin, stop) = (block.at.max(at), block.end().min(end));
            let known = block.bytes.get(begin - block.at..stop - block.at);
            let same = known == payload.get(begin - at..stop - at);
            let gap = from..begin;
            from = block.end();
            walk.weird(if same { "fragment_overlap" } else { "fragment_inconsistency" }, None, None);
            index += 1 + usize::from(self.fill(index, at, payload, gap));
        }
        self.fill(index, at, payload, from..end);
    }

    /// Puts a block of the bytes in `gap` at `index`, if there are any.
    fn fill(&mut self, index: usize, at: usize, payload: &[u8], gap: std::ops::Range<usize>) -> bool {
        let bytes = payload.get(gap.start.saturating_sub(at)..gap.end.saturating_sub(at));
        let Some(bytes) = bytes.filter(|b| !b.is_empty()) else { return false };
        self.cost += bytes.len() + FRAGMENT_COST;
        self.blocks.insert(index.min(self.blocks.len()), Block { at: gap.start, bytes: bytes.into() });
        true
    }

    /// The size of the datagram, once all of it is there.
    fn complete(&mut self, walk: &mut Walk<'_>) -> Option<usize> {
        let size = self.size?;
        let mut end = 0;
        for block in &self.blocks {
            if block.at != end {
                break;
            }
            end = block.end();
        }
        let last = self.blocks.last().map_or(0, Block::end);
        if end < size {
            return None;
        }
        if end < last || end > size {
            // Something lies beyond the end: parts of two datagrams are mixed. What hangs together is taken.
            walk.weird("fragment_size_inconsistency", None, None);
            self.size = Some(end);
        }
        Some(end)
    }

    /// The datagram as one packet, with its header set right.
    fn join(&self, version: u8, size: usize) -> Box<[u8]> {
        let mut packet = Vec::with_capacity(self.header.len() + size);
        packet.extend_from_slice(&self.header);
        for block in self.blocks.iter().filter(|b| b.end() <= size) {
            packet.extend_from_slice(&block.bytes);
        }
        let total = packet.len();
        let mut set = |at: usize, bytes: &[u8]| {
            if let Some(field) = packet.get_mut(at..at + bytes.len()) {
                field.copy_from_slice(bytes);
            }
        };
        set(self.next_at, &[self.protocol]);
        if version == 4 {
            set(2, &(total as u16).to_be_bytes());
            set(6, &[0; 2]);
            set(10, &[0; 2]);
            let sum = packet.get(..self.header.len()).map_or(0, internet_checksum);
            if let Some(field) = packet.get_mut(10..12) {
                field.copy_from_slice(&sum.to_be_bytes());
            }
        } else {
            set(4, &(total.saturating_sub(ipv6::LEN) as u16).to_be_bytes());
        }
        packet.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Found, udp, v4_fragment, v6, walk_all};
    use weir_wire::LinkType;

    const MORE: u16 = 0x2000;

    /// A datagram that is cut into two fragments below.
    fn payload() -> Vec<u8> {
        udp(&(0..120).collect::<Vec<u8>>())
    }

    fn walk(config: Config, fragments: &[Vec<u8>]) -> Found {
        walk_all(config, LinkType::RAW, fragments)
    }

    fn first() -> Vec<u8> {
        v4_fragment(17, &payload()[..80], 0, MORE)
    }

    fn last() -> Vec<u8> {
        v4_fragment(17, &payload()[80..], 10, 0)
    }

    #[test]
    fn a_datagram_stands_for_all_its_fragments() {
        let found = walk(Config::default(), &[last(), first()]);
        let packet = &found.packets[0];
        assert!(packet.head.reassembled && matches!(packet.data, weir_wire::Data::Joined(_)));
        assert_eq!((packet.head.frames, packet.head.ip_len, packet.head.sequence), (2, 148, 1));
        assert_eq!(packet.transport(), payload());
        assert_eq!(found.account.held, Count::default());
        assert!(found.weirds.is_empty());
    }

    #[test]
    fn an_ipv6_datagram_loses_its_fragment_header() {
        let fragment = |at: u16, bytes: &[u8]| {
            let [a, b] = at.to_be_bytes();
            v6(60, &[&[44, 0, 1, 4, 0, 0, 0, 0, 17, 0, a, b, 0, 0, 0, 5][..], bytes].concat())
        };
        let found = walk(Config::default(), &[fragment(1, &payload()[..80]), fragment(80, &payload()[80..])]);
        let whole = v6(60, &[&[17, 0, 1, 4, 0, 0, 0, 0][..], &payload()].concat());
        assert_eq!(found.only(), whole);
    }

    #[test]
    fn the_bytes_that_came_first_stand() {
        let mut other = payload()[40..80].to_vec();
        other.fill(0xee);
        let found = walk(Config::default(), &[first(), v4_fragment(17, &other, 5, MORE), last()]);
        assert_eq!(found.packets[0].transport(), payload());
        assert_eq!(
            found.weirds,
            ["excessively_small_fragment 10.0.0.1>10.0.0.2", "fragment_inconsistency 10.0.0.1>10.0.0.2"]
        );
        assert_eq!(found.packets[0].head.frames, 3);
    }

    #[test]
    fn doubtful_fragments_are_named() {
        let weirds = |fragments: &[Vec<u8>]| {
            let found = walk(Config::default(), fragments);
            let names = found.weirds.iter().filter_map(|w| w.split(' ').next());
            names.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(weirds(&[first(), first()]), ["fragment_overlap"]);
        assert_eq!(
            weirds(&[first(), v4_fragment(6, &[0; 48], 20, MORE)]),
            ["fragment_protocol_inconsistency"]
        );
        assert_eq!(weirds(&[v4_fragment(17, &[0; 80], 0, MORE | 0x4000)]), ["fragment_with_DF"]);
        assert_eq!(weirds(&[v4_fragment(17, &[0; 80], 8000, MORE)]), ["excessively_large_fragment"]);
        let ends = [last(), v4_fragment(17, &[0; 80], 20, 0)];
        assert_eq!(weirds(&ends), ["fragment_size_inconsistency"]);
    }

    #[test]
    fn a_fragment_beyond_the_longest_packet_is_malformed() {
        let found = walk(Config::default(), &[v4_fragment(17, &[0; 80], 8190, 0)]);
        assert_eq!(found.dropped(Reason::MalformedFragment), 1);
        assert_eq!(found.account.held, Count::default());
    }

    #[test]
    fn a_datagram_that_waits_too_long_is_given_up() {
        let config = Config { fragment_timeout: Interval::from_secs(2), ..Config::default() };
        let other = v4_fragment(17, &[0; 80], 0, 0);
        let found = walk(config, &[first(), other.clone(), other.clone(), other]);
        assert_eq!(found.dropped(Reason::FragmentTimeout), 1);
    }

    #[test]
    fn beyond_the_memory_the_oldest_datagram_goes() {
        let cost = DATAGRAM_COST + FRAGMENT_COST + 20 + 80;
        let config = Config { fragment_memory: 2 * cost, ..Config::default() };
        let with_id = |id: u8| {
            let mut fragment = first();
            fragment[5] = id;
            fragment
        };
        let found = walk(config, &[with_id(1), with_id(2), with_id(3)]);
        assert_eq!((found.dropped(Reason::FragmentLimit), found.account.held.frames), (1, 2));
        let config = Config { max_datagrams: 1, ..Config::default() };
        assert_eq!(walk(config, &[with_id(1), with_id(2)]).dropped(Reason::FragmentLimit), 1);
    }

    #[test]
    fn a_datagram_holds_only_so_many_fragments() {
        let config = Config { max_fragments: 3, ..Config::default() };
        let dust: Vec<_> = (0..5).map(|i| v4_fragment(17, &[0; 80], i * 20, MORE)).collect();
        let found = walk(config, &dust);
        assert_eq!((found.dropped(Reason::FragmentLimit), found.account.held.frames), (2, 3));
    }
}
