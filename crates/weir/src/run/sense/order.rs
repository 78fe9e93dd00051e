//! Packets of several sources in the order of their times.
//!
//! A connection may be seen by two sources: one direction at each of two interfaces, or in two rings where the kernel splits
//! by a hash that is not symmetric. Each source hands over its own packets in order, but late by up to the time for which a
//! ring keeps a block. So packets wait here for [`HOLD`] after they came, and leave in the order of their times.
//!
//! Promises: as long as no source is later than the others by more than [`HOLD`], all packets leave in order. Memory is
//! bounded: beyond [`MEMORY`], packets leave before their time is up; none is dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use weir_wire::{FlowKey, Packet, Time};

use super::exchange::Parcel;

/// How long a packet waits for older ones: five times the 20 ms for which a ring keeps a block that is not full.
pub const HOLD: Duration = Duration::from_millis(100);
/// Bytes that may wait: 100 ms of 5 Gbit/s for one worker.
const MEMORY: usize = 64 << 20;

/// The packets that wait.
#[derive(Default)]
pub struct Order {
    feeds: Vec<Feed>,
    bytes: usize,
}

/// The packets of one source, in its order.
struct Feed {
    number: u16,
    parcels: VecDeque<Waiting>,
}

struct Waiting {
    parcel: Parcel,
    /// How many of its packets have left.
    gone: usize,
    came: Instant,
}

impl Order {
    /// Takes the packets that came from a source `at`.
    pub fn put(&mut self, parcel: Parcel, at: Instant) {
        if parcel.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(parcel.size());
        let number = parcel.feed;
        let waiting = Waiting { parcel, gone: 0, came: at };
        match self.feeds.iter_mut().find(|feed| feed.number == number) {
            Some(feed) => feed.parcels.push_back(waiting),
            None => self.feeds.push(Feed { number, parcels: [waiting].into() }),
        }
    }

    /// All that waits in `orders`, dealt anew to `workers`; `home` says whose a packet is. Of each source, packets stay in the
    /// order of the moments at which they came.
    pub fn deal(orders: Vec<Self>, workers: usize, home: impl Fn(&FlowKey) -> usize) -> Vec<Self> {
        let mut dealt: Vec<_> = std::iter::repeat_with(Self::default).take(workers).collect();
        let mut all: Vec<(u16, Waiting)> = Vec::new();
        for feed in orders.into_iter().flat_map(|order| order.feeds) {
            all.extend(feed.parcels.into_iter().map(|waiting| (feed.number, waiting)));
        }
        all.sort_by_key(|(_, waiting)| waiting.came);
        for (feed, waiting) in all {
            let mut parcels: Vec<_> = std::iter::repeat_with(|| Parcel::of(feed)).take(workers).collect();
            for packet in (waiting.gone..waiting.parcel.len()).filter_map(|i| waiting.parcel.packet(i)) {
                if let Some(parcel) = parcels.get_mut(home(&packet.head.key)) {
                    parcel.push(&packet);
                }
            }
            dealt.iter_mut().zip(parcels).for_each(|(order, parcel)| order.put(parcel, waiting.came));
        }
        dealt
    }

    /// Hands to `take` what need not wait any longer, oldest first; everything, where `all`.
    pub fn release(&mut self, at: Instant, all: bool, mut take: impl FnMut(Packet<'_>)) {
        while let Some((feed, second)) = self.oldest() {
            let Some(first) = self.feeds.get_mut(feed).and_then(|feed| feed.parcels.front_mut()) else {
                return;
            };
            let due = all || self.bytes > MEMORY || at.saturating_duration_since(first.came) >= HOLD;
            if !due {
                return;
            }
            // As many as are older than what another source has: as a rule a whole run.
            while let Some(packet) = first.parcel.packet(first.gone) {
                if second.is_some_and(|second| packet.head.time > second) {
                    break;
                }
                take(packet);
                first.gone += 1;
            }
            if first.gone >= first.parcel.len() {
                self.bytes = self.bytes.saturating_sub(first.parcel.size());
                if let Some(feed) = self.feeds.get_mut(feed) {
                    feed.parcels.pop_front();
                }
            }
        }
    }

    /// The source with the oldest packet, and the time of the oldest packet of the others.
    fn oldest(&self) -> Option<(usize, Option<Time>)> {
        let time = |feed: &Feed| {
            let waiting = feed.parcels.front()?;
            Some(waiting.parcel.packet(waiting.gone)?.head.time)
        };
        let mut times: Vec<(Time, usize)> =
            self.feeds.iter().enumerate().filter_map(|(i, feed)| Some((time(feed)?, i))).collect();
        times.sort_unstable();
        times.first().map(|(_, feed)| (*feed, times.get(1).map(|(time, _)| *time)))
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::super::exchange::tests::with_packet;
    use super::*;

    fn parcel(feed: u16, times: &[i64]) -> Parcel {
        let mut parcel = Parcel::default();
        parcel.feed = feed;
        with_packet(|packet| {
            for time in times {
                let mut packet = packet.clone();
                packet.head.time = Time(*time);
                parcel.push(&packet);
            }
        });
        parcel
    }

    fn times(order: &mut Order, at: Instant, all: bool) -> Vec<i64> {
        let mut times = Vec::new();
        order.release(at, all, |packet| times.push(packet.head.time.0));
        times
    }

    #[test]
    fn packets_of_two_sources_leave_in_the_order_of_their_times() {
        let (mut order, start) = (Order::default(), Instant::now());
        order.put(parcel(0, &[1, 4, 9]), start);
        order.put(parcel(1, &[2, 3, 5]), start);
        order.put(parcel(0, &[10]), start);
        assert_eq!(times(&mut order, start, false), [0i64; 0]);
        assert_eq!(times(&mut order, start + HOLD, false), [1, 2, 3, 4, 5, 9, 10]);
        assert_eq!(order.bytes, 0);
    }

    #[test]
    fn a_packet_that_has_waited_takes_older_ones_with_it_and_no_newer_one() {
        let (mut order, start) = (Order::default(), Instant::now());
        let later = start + HOLD / 2;
        order.put(parcel(0, &[5, 20]), start);
        order.put(parcel(1, &[7, 8, 30]), later);
        assert_eq!(times(&mut order, start + HOLD, false), [5]);
        assert_eq!(times(&mut order, later + HOLD, false), [7, 8, 20, 30]);
    }

    #[test]
    fn what_waits_is_dealt_anew_and_stays_in_order() {
        let (mut one, mut other, start) = (Order::default(), Order::default(), Instant::now());
        one.put(parcel(0, &[1, 6]), start);
        other.put(parcel(0, &[7]), start + HOLD / 2);
        other.put(parcel(1, &[3]), start);
        let mut dealt = Order::deal(vec![other, one], 2, |_| 1);
        assert_eq!(times(&mut dealt[0], start, true), [0i64; 0]);
        assert_eq!(times(&mut dealt[1], start, true), [1, 3, 6, 7]);
    }

    #[test]
    fn at_the_end_nothing_waits() {
        let (mut order, start) = (Order::default(), Instant::now());
        order.put(parcel(3, &[5, 4]), start);
        assert_eq!(times(&mut order, start, true), [5, 4]);
    }
}
