//! The lanes of one worker.
//!
//! There are more lanes than workers, and always the same number ([`lanes_for`]): a flow is of the lane that the hash of its key says, for as
//! long as the sensor runs, and when the number of workers changes, lanes change their workers as a whole, with all flows,
//! timers and buffers, so that no connection is cut in two. Of `n` workers, worker `i` has the lanes `i`, `i + n`, `i + 2n` ...

use std::sync::Arc;

use weir_analyse::Config;
use weir_record::Entries;
use weir_spread::{SpreadBy, hash};
use weir_wire::{FlowKey, Packet, Shed, Time};

use super::super::worker::Worker;
use super::status::Status;

/// Lanes at least: enough that a few workers have about as many each, few enough that what each lane keeps for itself (memory of certificates, of
/// types of files, of timers) does not add up. Where there are more CPUs there are more lanes.
const LANES: usize = 16;

/// How many lanes there are where the kernel splits traffic in `rings` and there are so many CPUs. A multiple of the rings, so that a
/// packet that comes by the ring of its flow is at home there.
pub fn lanes_for(rings: usize, cpus: usize) -> usize {
    let rings = rings.max(1);
    LANES.max(cpus).div_ceil(rings) * rings
}

/// The lanes of one worker.
pub struct Lanes {
    own: Vec<Worker>,
    index: usize,
    workers: usize,
    all: usize,
    /// By which hash a flow has its lane.
    by: SpreadBy,
    finished: usize,
}

impl Lanes {
    /// Deals all lanes, in the order of their numbers, to `workers` workers.
    pub fn deal(lanes: Vec<Worker>, workers: usize, by: SpreadBy) -> Vec<Self> {
        let (all, workers) = (lanes.len(), workers.max(1));
        let mut hands: Vec<_> = (0..workers)
            .map(|index| Self {
                own: Vec::with_capacity(all / workers + 1),
                index,
                workers,
                all,
                by,
                finished: 0,
            })
            .collect();
        for (number, lane) in lanes.into_iter().enumerate() {
            if let Some(hand) = hands.get_mut(number % workers) {
                hand.own.push(lane);
            }
        }
        hands
    }

    /// The lanes of all workers, in the order of their numbers: what was dealt.
    pub fn gather(hands: Vec<Self>) -> Vec<Worker> {
        let mut hands: Vec<_> = hands.into_iter().map(|hand| hand.own.into_iter()).collect();
        let (mut lanes, mut turn) = (Vec::new(), 0);
        while let Some(lane) = hands.get_mut(turn).and_then(Iterator::next) {
            lanes.push(lane);
            turn = (turn + 1) % hands.len().max(1);
        }
        lanes
    }

    /// The number of the lane of a flow.
    pub fn lane(&self, key: &FlowKey) -> usize {
        hash(key, self.by) as usize % self.all.max(1)
    }

    /// The worker that has a lane.
    pub const fn worker_of(&self, lane: usize) -> usize {
        lane % self.workers
    }

    /// The worker that has the lane of a flow.
    pub fn home(&self, key: &FlowKey) -> usize {
        self.worker_of(self.lane(key))
    }

    /// Whether that is this one.
    pub const fn is_own(&self, home: usize) -> bool {
        home == self.index
    }

    /// Analyses a packet whose lane is here.
    pub fn packet(&mut self, packet: Packet<'_>, out: &mut Entries) {
        self.packet_of(self.lane(&packet.head.key), packet, out);
    }

    /// The same with the number of its lane, where that is known.
    pub fn packet_of(&mut self, lane: usize, packet: Packet<'_>, out: &mut Entries) {
        debug_assert_eq!(lane % self.workers, self.index, "the lane is another worker's");
        if let Some(lane) = self.own.get_mut(lane / self.workers) {
            lane.packets(std::iter::once(packet), out);
        }
    }

    /// The clock was set back to `now`.
    pub fn set_back(&mut self, now: Time) {
        self.own.iter_mut().for_each(|lane| lane.set_back(now));
    }

    /// Time has come to `now`.
    pub fn advance(&mut self, now: Time, out: &mut Entries) {
        self.own.iter_mut().for_each(|lane| lane.advance(now, out));
    }

    /// Ends connections, so many that their records take little memory. Answers whether there are more.
    pub fn finish(&mut self, now: Time, out: &mut Entries) -> bool {
        let Some(lane) = self.own.get_mut(self.finished) else { return false };
        if !lane.finish(now, out) {
            self.finished += 1;
        }
        self.finished < self.own.len()
    }

    /// The worker panicked: none of its lanes can be trusted.
    pub fn replace(&mut self) {
        self.own.iter_mut().for_each(Worker::replace);
    }

    /// Leaves out the flows that `shed` names.
    pub fn shed(&mut self, shed: Shed) {
        self.own.iter_mut().for_each(|lane| lane.shed(shed));
    }

    /// Adds what was counted here to `status`.
    pub fn status(&self, status: &mut Status) {
        for lane in &self.own {
            status.closed.merge(&lane.so_far());
            status.flows += lane.flows();
            if let Some(busiest) = lane.busiest() {
                status.busiest.merge(busiest);
            }
        }
    }
}

/// Other limits hold from now on, for all of `lanes`.
pub fn configure(lanes: &mut [Worker], config: &Config, workers: usize) {
    let limits = Arc::new(config.divided(lanes.len(), workers));
    for lane in lanes {
        lane.configure(Arc::clone(&limits));
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::UidKey;

    use super::*;

    #[test]
    fn lanes_are_a_multiple_of_the_rings_and_no_fewer_than_the_cpus() {
        assert_eq!([1, 2, 3, 16, 100].map(|rings| lanes_for(rings, 2)), [16, 16, 18, 16, 100]);
        assert_eq!([2, 3, 48].map(|rings| lanes_for(rings, 64)), [64, 66, 96]);
    }

    #[test]
    fn lanes_that_are_dealt_and_gathered_are_in_their_order_and_each_has_one_worker() {
        let limits = |n| {
            Arc::new(Config {
                flow: weir_analyse::config::FlowConfig { max_flows: n, ..Config::default().flow },
                ..Config::default()
            })
        };
        let lanes = (0..7).map(|n| Worker::new(limits(n), UidKey::default())).collect();
        let four = Lanes::deal(lanes, 4, SpreadBy::Pair);
        assert_eq!(four.iter().map(|hand| hand.own.len()).collect::<Vec<_>>(), [2, 2, 2, 1]);
        let again = Lanes::gather(Lanes::deal(Lanes::gather(four), 2, SpreadBy::Pair));
        let numbers: Vec<_> = again.iter().map(|lane| lane.config().flow.max_flows).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
    }
}
