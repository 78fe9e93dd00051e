//! Which pairs of hosts and which services have most of a lane's traffic, for a screen that shows it live.
//!
//! Promises: bounded memory ([`PLACES`] pairs, [`SERVICES`] services) and bounded work: the first [`EXACT`] packets of a second
//! are counted one by one, of those after them about one in [`SAMPLED`], for that many. A pair with more than 1/[`PLACES`] of the bytes is
//! never missing; its bytes may be told too high by that share.
//!
//! Source: Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams (space-saving).

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use weir_wire::{Address, FlowKey};

/// Pairs that are remembered at once.
pub const PLACES: usize = 128;
/// Services that are remembered at once: as many as weir can tell, and some.
pub const SERVICES: usize = 64;
/// Packets of a second that are all counted.
const EXACT: u32 = 1000;
/// Beyond, one in so many is.
const SAMPLED: u32 = 32;
/// A report is about so many seconds.
pub const SECONDS: i64 = 2;
/// Pairs and services in a report.
const REPORTED: usize = 20;

/// Packets and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Share {
    /// Packets.
    pub packets: u64,
    /// Bytes of the IP packets.
    pub bytes: u64,
}

/// A pair of hosts, the lower address first.
pub type Pair = (Address, Address);

/// The busiest of the last [`SECONDS`] that are over, busiest first.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Busiest {
    /// Pairs of hosts.
    pub pairs: Vec<(Pair, Share)>,
    /// Services, by the first name in conn.log; "" for what is not known.
    pub services: Vec<(&'static str, Share)>,
}

impl Busiest {
    /// Adds what another lane had; a pair of hosts may have flows in several lanes. The order is that in which they came.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.pairs, &other.pairs);
        add(&mut self.services, &other.services);
    }
}

fn add<K: Copy + Eq>(mine: &mut Vec<(K, Share)>, theirs: &[(K, Share)]) {
    for (key, share) in theirs {
        match mine.iter_mut().find(|(known, _)| known == key) {
            Some((_, sum)) => {
                sum.packets += share.packets;
                sum.bytes += share.bytes;
            }
            None => mine.push((*key, *share)),
        }
    }
}

/// The busiest of a stream of keys.
#[derive(Debug)]
struct Sketch<K> {
    places: usize,
    counts: HashMap<K, Share, RandomState>,
}

impl<K: Hash + Eq + Copy + Ord> Sketch<K> {
    fn new(places: usize) -> Self {
        Self { places, counts: HashMap::with_capacity_and_hasher(places, RandomState::default()) }
    }

    fn add(&mut self, key: K, share: Share) {
        if let Some(count) = self.counts.get_mut(&key) {
            count.packets += share.packets;
            count.bytes += share.bytes;
            return;
        }
        let mut count = share;
        if self.counts.len() >= self.places
            && let Some((least, had)) = self.counts.iter().min_by_key(|(_, had)| had.bytes)
        {
            // Who comes new may have been here before, with as much as who goes.
            let (least, had) = (*least, *had);
            count = Share { packets: share.packets + had.packets, bytes: share.bytes + had.bytes };
            self.counts.remove(&least);
        }
        self.counts.insert(key, count);
    }

    /// The busiest, busiest first; nothing is left.
    fn take(&mut self, into: &mut Vec<(K, Share)>) {
        into.clear();
        into.extend(self.counts.drain());
        into.sort_unstable_by_key(|(key, share)| (std::cmp::Reverse(share.bytes), *key));
        into.truncate(REPORTED);
    }
}

/// Counts packets, and reports.
#[derive(Debug)]
pub struct Watch {
    pairs: Sketch<Pair>,
    services: Sketch<&'static str>,
    last: Busiest,
    /// Packets of this second so far.
    count: u32,
    /// Packets until one is counted.
    until: u32,
    /// Never 0.
    random: u32,
    since: i64,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            pairs: Sketch::new(PLACES),
            services: Sketch::new(SERVICES),
            last: Busiest::default(),
            count: 0,
            until: 0,
            random: 0x9e37_79b9,
            since: i64::MIN,
        }
    }
}

impl Watch {
    /// A packet came: whether it is to be counted, and for how many.
    #[inline]
    pub fn wants(&mut self) -> Option<u64> {
        if self.count < EXACT {
            self.count += 1;
            return Some(1);
        }
        if self.until > 0 {
            self.until -= 1;
            return None;
        }
        // At random distances (xorshift): traffic has rhythms, too.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.until = self.random % (2 * SAMPLED - 1);
        Some(u64::from(SAMPLED))
    }

    /// Counts a packet for `times` packets ([`Watch::wants`]).
    pub fn count(&mut self, key: &FlowKey, service: &'static str, bytes: u64, times: u64) {
        let share = Share { packets: times, bytes: bytes.saturating_mul(times) };
        self.pairs.add((key.lower.min(key.upper), key.lower.max(key.upper)), share);
        self.services.add(service, share);
    }

    /// A new second of packet time has begun.
    pub fn second(&mut self, second: i64) {
        self.count = 0;
        if second.saturating_sub(self.since) >= SECONDS || second < self.since {
            self.since = second;
            self.pairs.take(&mut self.last.pairs);
            self.services.take(&mut self.last.services);
        }
    }

    /// The last report.
    pub const fn busiest(&self) -> &Busiest {
        &self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_wire::TenantId;

    fn key(host: u16) -> FlowKey {
        let [high, low] = host.to_be_bytes();
        let at = |address| (Address::v4(address), 1);
        FlowKey::new(TenantId(0), 6, at([10, 1, high, low]), at([10, 0, 0, 1])).0
    }

    #[test]
    fn the_busiest_pair_is_found_among_very_many() {
        let mut watch = Watch::default();
        watch.second(0);
        for i in 0..50_000u16 {
            let host = if i % 10 == 0 { 7 } else { 100 + i };
            if let Some(times) = watch.wants() {
                watch.count(&key(host), if host == 7 { "http" } else { "" }, 100, times);
            }
        }
        assert_eq!(watch.busiest(), &Busiest::default());
        watch.second(2);
        let Busiest { pairs, services } = watch.busiest();
        assert_eq!(pairs[0].0, (Address::v4([10, 0, 0, 1]), Address::v4([10, 1, 0, 7])));
        assert_eq!(pairs.len(), REPORTED);
        // One in ten, told within the sampling's error.
        assert!((400_000..800_000).contains(&pairs[0].1.bytes), "{:?}", pairs[0]);
        assert_eq!(services[1].0, "http");
        let all: u64 = services.iter().map(|(_, share)| share.packets).sum();
        assert!((42_000..=58_000).contains(&all), "{all}");
    }

    #[test]
    fn memory_is_bounded_and_a_report_is_about_the_last_seconds_only() {
        let mut watch = Watch::default();
        watch.second(0);
        (0..900).for_each(|i| watch.count(&key(i), "", 1, 1));
        assert_eq!(watch.pairs.counts.len(), PLACES);
        watch.second(1);
        assert!(watch.busiest().pairs.is_empty());
        watch.second(2);
        assert!(!watch.busiest().pairs.is_empty());
        watch.second(5);
        assert_eq!(watch.busiest(), &Busiest::default());
    }
}
