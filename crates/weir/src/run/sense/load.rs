//! How many workers the load wants, by the time that their threads spend on CPUs.
//!
//! Promises: a worker is added while all together are busy for more than [`HIGH`] of the time, and one is let go when those that
//! would be left were busy for less than [`LOW`]; between changes are [`SPAN`] at least, so that their number does not swing.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::worker::Shared;

/// Over this time the load is measured.
const SPAN: Duration = Duration::from_secs(5);
/// Parts of the time for which workers are busy.
const HIGH: f64 = 0.6;
const LOW: f64 = 0.3;

/// The load, as it was looked at last.
#[derive(Debug, Default)]
pub struct Load {
    last: Option<(Instant, Duration)>,
}

impl Load {
    /// How many workers there should be, where that is another number than now; `most` at most.
    pub fn wanted(&mut self, shared: &Shared, most: usize) -> Option<usize> {
        let at = now();
        if self.last.is_some_and(|(last, _)| at.duration_since(last) < SPAN) {
            return None;
        }
        let busy =
            shared.status.iter().map(|place| place.lock().unwrap_or_else(PoisonError::into_inner).busy).sum();
        let (last, before) = self.last.replace((at, busy))?;
        let load = busy.saturating_sub(before).as_secs_f64() / at.duration_since(last).as_secs_f64();
        let workers = shared.workers.load(std::sync::atomic::Ordering::Relaxed);
        Some(count(load, workers, most)).filter(|wanted| *wanted != workers)
    }
}

/// How many workers for a load of so many CPUs, where there are `workers`.
fn count(load: f64, workers: usize, most: usize) -> usize {
    if load > HIGH * workers as f64 && workers < most {
        // Enough at once that they are busy for half of the time.
        ((load * 2.0).ceil() as usize).clamp(workers + 1, most)
    } else if workers > most || (workers > 1 && load < LOW * (workers - 1) as f64) {
        workers - 1
    } else {
        workers
    }
}

#[allow(clippy::disallowed_methods, reason = "load is work by time")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_come_and_go_with_the_load_and_stay_between() {
        assert_eq!(count(0.9, 1, 8), 2);
        assert_eq!(count(1.0, 1, 1), 1);
        assert_eq!(count(2.9, 3, 8), 6);
        assert_eq!(count(0.9, 3, 8), 3);
        assert_eq!(count(0.2, 3, 8), 2);
        assert_eq!(count(0.0, 1, 8), 1);
    }
}
