//! The time of a lane: that of its packets, and, while none come, that of the clock on the wall.
//!
//! Promises: connections are timed out on a quiet network, too; the time does not run ahead of packets that are still in
//! a ring or a queue (it stays [`GRACE`] behind the clock). It goes back only where the system's clock was set back: then
//! packets that are all older by more than [`STEP`] set it.

use std::time::{Duration, Instant};

use weir_wire::{Interval, Time};

/// How old a packet can be when it comes to its lane: ring blocks are handed over after 20 ms, and a batch may have to wait
/// for another worker.
const GRACE: Duration = Duration::from_millis(200);
/// A packet that is older than the latest by more than this did not just come late.
const STEP: Interval = Interval::from_secs(10);
/// So many such packets, and no other between them, show that the clock was set back.
const PROOF: u32 = 64;

/// The time of a lane.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneClock {
    /// The latest packet, and when it came.
    latest: Option<(Time, Instant)>,
    /// What was last told.
    told: Option<Time>,
    older: u32,
    /// How often it was set back.
    steps: u64,
    /// By how much, since somebody asked.
    step: Option<Interval>,
}

impl LaneClock {
    /// A packet of `time` came `at`.
    pub fn packet(&mut self, time: Time, at: Instant) {
        match self.latest {
            Some((latest, _)) if latest.since(time) > STEP => {
                self.older += 1;
                if self.older >= PROOF {
                    let (steps, step) = (self.steps + 1, Some(latest.since(time)));
                    *self = Self { latest: Some((time, at)), steps, step, ..Self::default() };
                }
            }
            Some((latest, _)) if latest > time => self.older = 0,
            Some(_) | None => {
                self.latest = Some((time, at));
                self.older = 0;
            }
        }
    }

    /// This one or `other`, whichever has come further.
    #[must_use]
    pub fn later(self, other: Self) -> Self {
        if other.latest.map(|(time, _)| time) > self.latest.map(|(time, _)| time) { other } else { self }
    }

    /// How often it was set back.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// By how much it was set back since this was asked before, if it was.
    pub const fn take_step(&mut self) -> Option<Interval> {
        self.step.take()
    }

    /// What time it is; `None` before the first packet. `at`: now.
    pub fn now(&mut self, at: Instant) -> Option<Time> {
        let (latest, came) = self.latest?;
        let quiet = at.saturating_duration_since(came).saturating_sub(GRACE);
        let quiet = i64::try_from(quiet.as_nanos()).unwrap_or(i64::MAX);
        let now = Time(latest.0.saturating_add(quiet));
        let now = self.told.map_or(now, |told| told.max(now));
        self.told = Some(now);
        Some(now)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_time_before_the_first_packet_and_it_goes_on_when_none_come() {
        let (mut clock, start) = (LaneClock::default(), Instant::now());
        assert_eq!(clock.now(start), None);
        clock.packet(Time(1_000), start);
        assert_eq!(clock.now(start + GRACE), Some(Time(1_000)));
        assert_eq!(clock.now(start + GRACE + Duration::from_nanos(7)), Some(Time(1_007)));
    }

    #[test]
    fn packets_that_come_late_do_not_turn_it_back() {
        let (mut clock, start) = (LaneClock::default(), Instant::now());
        clock.packet(Time(1_000), start);
        clock.packet(Time(400), start);
        assert_eq!(clock.now(start), Some(Time(1_000)));
        let later = start + GRACE + Duration::from_nanos(500);
        assert_eq!(clock.now(later), Some(Time(1_500)));
        clock.packet(Time(1_100), later);
        assert_eq!(clock.now(later), Some(Time(1_500)));
    }

    #[test]
    fn when_the_systems_clock_is_set_back_it_follows_after_some_packets() {
        let (mut clock, start) = (LaneClock::default(), Instant::now());
        let hour = 3_600_000_000_000;
        clock.packet(Time(hour), start);
        for _ in 1..PROOF {
            clock.packet(Time(5), start);
            assert_eq!(clock.now(start), Some(Time(hour)));
        }
        assert_eq!((clock.steps(), clock.take_step()), (0, None));
        clock.packet(Time(6), start);
        assert_eq!(clock.now(start), Some(Time(6)));
        assert_eq!((clock.steps(), clock.take_step()), (1, Some(Interval(hour - 6))));
        assert_eq!((clock.steps(), clock.take_step()), (1, None));
    }
}
