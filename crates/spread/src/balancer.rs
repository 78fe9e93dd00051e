//! A table of targets with a memory: flows in progress stay where they are, also when a target comes back.
//!
//! Promises: a hash keeps its target as long as the target is there and packets come at least every [`Balancer::idle`]; the
//! hashes of a target that goes are given to others, and only they are (test `only_the_flows_of_a_dead_target_move`). What
//! has no memory, because the table of pins was full, goes by the [`Maglev`] table, which hardly moves either.
//!
//! Memory is fixed: 12 bytes a pin. A set of [`WAYS`] pins shares a place; a new hash takes that of the one that has been
//! silent longest, which is counted where its time was not over.

use weir_wire::{Interval, Time};

use crate::maglev::{Maglev, Target};

/// Pins that share a place: with 8, a table that is three quarters full has hardly a set that is full.
const WAYS: usize = 8;
/// How many pins there are unless told otherwise: 12 MiB, for a million flows in progress.
pub const PINS: usize = 1 << 20;

/// Which target has which hash, over time.
#[derive(Clone, Debug)]
pub struct Balancer {
    maglev: Maglev,
    sets: Vec<[Pin; WAYS]>,
    idle: Interval,
    forgotten: u64,
}

/// That a hash has a target. Empty: [`Pin::NONE`].
#[derive(Clone, Copy, Debug)]
struct Pin {
    hash: u32,
    target: u16,
    /// Seconds, modulo 2³²: the difference of two is meant.
    seen: u32,
    is_set: bool,
}

impl Pin {
    const NONE: Self = Self { hash: 0, target: 0, seen: 0, is_set: false };

    /// For how many seconds nothing came; 0 where packets are out of order.
    fn silent(&self, now: u32) -> u32 {
        (now.wrapping_sub(self.seen) as i32).max(0) as u32
    }
}

impl Balancer {
    /// Without targets. `pins` is rounded up to a power of two; `idle` is how long a silent flow is remembered.
    pub fn new(pins: usize, idle: Interval) -> Self {
        let sets = pins.div_ceil(WAYS).next_power_of_two();
        Self { maglev: Maglev::default(), sets: vec![[Pin::NONE; WAYS]; sets], idle, forgotten: 0 }
    }

    /// The target of a packet that comes at `now` and whose flow has `hash`; none without targets.
    pub fn pick(&mut self, hash: u32, now: Time) -> Option<u16> {
        let seconds = (now.0 / 1_000_000_000) as u32;
        let idle = (self.idle.0 / 1_000_000_000) as u32;
        let maglev = &self.maglev;
        // The table of targets takes the hash modulo a prime, so that its lower bits may choose the set.
        let at = hash as usize & (self.sets.len() - 1);
        let set = self.sets.get_mut(at)?;
        if let Some(pin) = set.iter_mut().find(|pin| pin.is_set && pin.hash == hash) {
            if pin.silent(seconds) > idle || !maglev.has(pin.target) {
                pin.target = maglev.pick(hash)?;
            }
            if pin.silent(seconds) > 0 {
                pin.seen = seconds;
            }
            return Some(pin.target);
        }
        let target = maglev.pick(hash)?;
        let oldest =
            set.iter_mut().max_by_key(|pin| if pin.is_set { pin.silent(seconds) } else { u32::MAX })?;
        self.forgotten += u64::from(oldest.is_set && oldest.silent(seconds) <= idle);
        *oldest = Pin { hash, target, seen: seconds, is_set: true };
        Some(target)
    }

    /// A target is there, or there again: new flows may go to it.
    pub fn insert(&mut self, target: Target) {
        self.maglev.insert(target);
    }

    /// A target is gone: its flows go to others. Answers whether it was there.
    pub fn remove(&mut self, id: u16) -> bool {
        self.maglev.remove(id)
    }

    /// The table without memory.
    pub const fn maglev(&self) -> &Maglev {
        &self.maglev
    }

    /// How long a silent flow is remembered.
    pub const fn idle(&self) -> Interval {
        self.idle
    }

    /// How many flows were forgotten before their time, as there were too many.
    pub const fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    fn target(id: u16) -> Target {
        Target { id, name: format!("sensor-{id}"), weight: 1 }
    }

    fn balancer(targets: u16, pins: usize) -> Balancer {
        let mut balancer = Balancer::new(pins, Interval::from_secs(60));
        (0..targets).for_each(|id| balancer.insert(target(id)));
        balancer
    }

    fn picks(balancer: &mut Balancer, second: i64) -> Vec<u16> {
        (0..10_000).map(|flow| balancer.pick(mix(flow), Time(second * 1_000_000_000)).unwrap()).collect()
    }

    #[test]
    fn only_the_flows_of_a_dead_target_move() {
        let mut balancer = balancer(8, PINS);
        let before = picks(&mut balancer, 0);
        assert!(balancer.remove(3) && !balancer.remove(3));
        let after = picks(&mut balancer, 1);
        assert!(before.iter().zip(&after).all(|(a, b)| (a == b) == (*a != 3) && *b != 3));
    }

    #[test]
    fn when_a_target_returns_flows_in_progress_stay_and_new_ones_go_there() {
        let mut balancer = balancer(8, PINS);
        picks(&mut balancer, 0);
        balancer.remove(3);
        let without = picks(&mut balancer, 30);
        balancer.insert(target(3));
        assert_eq!(picks(&mut balancer, 60), without);
        assert_eq!(picks(&mut balancer, 120), without, "they are not silent for longer than a minute");
        assert_eq!(picks(&mut balancer, 119), without, "packets may be out of order");
        let news = (20_000..21_000).filter(|flow| balancer.pick(mix(*flow), Time(0)) == Some(3)).count();
        assert!(news > 50, "{news}");
        let later = picks(&mut balancer, 181);
        assert!(later.iter().filter(|id| **id == 3).count() > 1_000);
    }

    #[test]
    fn a_flow_that_was_silent_while_its_target_was_gone_finds_it_again() {
        let mut balancer = balancer(4, PINS);
        let before = picks(&mut balancer, 0);
        balancer.remove(1);
        balancer.insert(target(1));
        assert_eq!(picks(&mut balancer, 10), before);
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_is_counted() {
        let mut balancer = balancer(4, 1_000);
        let before = picks(&mut balancer, 0);
        assert_eq!((balancer.sets.len() * WAYS, balancer.forgotten()), (1_024, 10_000 - 1_024));
        assert_eq!(picks(&mut balancer, 1), before, "the table answers for who is forgotten");
        balancer.remove(2);
        assert!(picks(&mut balancer, 2).iter().all(|id| *id != 2));
        assert_eq!(size_of::<Pin>(), 12);
    }

    #[test]
    fn who_is_over_time_is_not_missed() {
        let mut balancer = balancer(4, 8);
        assert!((0..8).all(|flow| balancer.pick(flow, Time(0)).is_some()));
        assert!((8..16).all(|flow| balancer.pick(flow, Time(61_000_000_000)).is_some()));
        assert_eq!(balancer.forgotten(), 0);
        assert_eq!(Balancer::new(0, Interval::from_secs(1)).pick(1, Time(0)), None);
    }
}
