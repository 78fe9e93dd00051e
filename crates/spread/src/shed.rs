//! Shedding: which flows are let go, so that the others are whole, and how many.
//!
//! Promises: a flow is kept or let go as a whole, by its hash, the same on every machine at the same [`Shed::share`]; when the share
//! sinks, those that stay are among those that were kept (test `fewer_are_among_more`). The share follows a load within a few
//! intervals: down at once, up again slowly, so that it does not swing.

use weir_wire::{Interval, Time};

use crate::hash::mix;

/// So that what is shed does not depend on which lane or target a hash has.
const SALT: u32 = 0x77e1_5eed;
/// How much of the way up is gone in one interval.
const RISE: f64 = 0.1;
/// The least share that is kept: with none nothing could be learnt about the load.
const LEAST: f64 = 1.0 / 4096.0;

/// Which flows are kept.
#[derive(Clone, Debug)]
pub struct Shed {
    limits: Limits,
    interval: Interval,
    share: f64,
    /// Hashes below are kept; all, where `None`.
    below: Option<u32>,
    since: Option<Time>,
    offered: u64,
    cpu: u64,
}

/// What may be used.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Limits {
    /// Bits per second that are kept.
    pub bits_per_second: Option<u64>,
    /// Of one CPU, 1.0 is all.
    pub cpu: Option<f64>,
}

impl Shed {
    /// Keeps all, until [`Self::observe`] says otherwise; the load is looked at once in each `interval`.
    pub const fn new(limits: Limits, interval: Interval) -> Self {
        Self { limits, interval, share: 1.0, below: None, since: None, offered: 0, cpu: 0 }
    }

    /// Whether the flow with `hash` is kept.
    pub fn keeps(&self, hash: u32) -> bool {
        self.below.is_none_or(|below| mix(hash ^ SALT) < below)
    }

    /// Counts bytes that came in, kept or not.
    pub const fn offer(&mut self, bytes: u64) {
        self.offered += bytes;
    }

    /// Looks at the load, where an interval is over. `cpu` is what was used so far, in nanoseconds. Answers whether it was.
    pub fn observe(&mut self, now: Time, cpu: u64) -> bool {
        let since = *self.since.get_or_insert(now);
        let span = now.since(since);
        if span < self.interval {
            if since == now {
                self.cpu = cpu;
            }
            return false;
        }
        let seconds = span.as_secs_f64();
        let by_rate = self.limits.bits_per_second.map_or(1.0, |most| {
            let offered = self.offered as f64 * 8.0 / seconds;
            if offered > 0.0 { most as f64 / offered } else { 1.0 }
        });
        let by_cpu = self.limits.cpu.map_or(1.0, |most| {
            let used = cpu.saturating_sub(self.cpu) as f64 / 1e9 / seconds;
            // What was used is about in proportion to what was kept.
            if used > 0.0 { self.share * most / used } else { 1.0 }
        });
        let aim = by_rate.min(by_cpu).clamp(LEAST, 1.0);
        self.share = if aim < self.share { aim } else { self.share + (aim - self.share) * RISE };
        // All but a thousandth is all: the last steps up would take for ever.
        if self.share > 0.999 {
            self.share = 1.0;
        }
        self.below = (self.share < 1.0).then_some((self.share * f64::from(u32::MAX)) as u32);
        (self.since, self.offered, self.cpu) = (Some(now), 0, cpu);
        true
    }

    /// How many of all flows are kept: 1.0 is all.
    pub const fn share(&self) -> f64 {
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(tenths: i64) -> Time {
        Time(tenths * 100_000_000)
    }

    fn shed(limits: Limits) -> Shed {
        Shed::new(limits, Interval::from_millis(100))
    }

    fn kept(shed: &Shed) -> Vec<u32> {
        (0..10_000).map(mix).filter(|hash| shed.keeps(*hash)).collect()
    }

    #[test]
    fn without_limits_all_is_kept() {
        let mut shed = shed(Limits::default());
        shed.observe(at(0), 0);
        shed.offer(u64::MAX / 16);
        assert!(shed.observe(at(1), 1 << 60));
        assert_eq!(kept(&shed).len(), 10_000);
    }

    #[test]
    fn fewer_are_among_more() {
        let mut shed = shed(Limits { bits_per_second: Some(8_000), cpu: None });
        shed.observe(at(0), 0);
        shed.offer(200);
        shed.observe(at(1), 0);
        let half = kept(&shed);
        assert!((4_800..5_200).contains(&half.len()), "{}", half.len());
        shed.offer(400);
        shed.observe(at(2), 0);
        let quarter = kept(&shed);
        assert!((2_400..2_600).contains(&quarter.len()), "{}", quarter.len());
        assert!(quarter.iter().all(|hash| half.contains(hash)));
    }

    #[test]
    fn what_is_less_again_is_kept_again_but_slowly() {
        let mut shed = shed(Limits { bits_per_second: Some(8_000), cpu: None });
        shed.observe(at(0), 0);
        shed.offer(100_000);
        shed.observe(at(1), 0);
        assert!(shed.share() < 0.002);
        shed.observe(at(2), 0);
        assert!(shed.share() < 0.2);
        (3..100).for_each(|n| assert!(shed.observe(at(n), 0)));
        assert_eq!((shed.share(), kept(&shed).len()), (1.0, 10_000));
    }

    #[test]
    fn cpu_time_is_kept_within_its_share() {
        let mut shed = shed(Limits { bits_per_second: None, cpu: Some(0.1) });
        let mut used = 0;
        shed.observe(at(0), used);
        for n in 1..100 {
            // All would take a whole CPU, and a twentieth of one is used by nothing at all.
            used += (100_000_000.0 * (0.05 + 0.95 * shed.share())) as u64;
            shed.observe(at(n), used);
        }
        let load = 0.05 + 0.95 * shed.share();
        assert!((0.06..=0.11).contains(&load), "{load}");
    }

    #[test]
    fn nothing_is_decided_before_an_interval_is_over() {
        let mut shed = shed(Limits { bits_per_second: Some(1), cpu: None });
        assert!(!shed.observe(at(5), 0));
        shed.offer(1 << 30);
        assert!(!shed.observe(Time(at(5).0 + 99_999_999), 0));
        assert!((shed.share() - 1.0).abs() < f64::EPSILON);
        assert!(shed.observe(at(6), 0) && shed.share() < 0.001);
    }
}
