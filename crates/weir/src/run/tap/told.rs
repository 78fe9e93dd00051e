//! What a tap tells Prometheus of itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_ledger::{Account, Hop};
use weir_tap::LiveSource;

use super::now;
use super::sources::Opened;
use crate::run::sense::metrics::Telling;
use crate::run::sense::snapshot::{HopSnapshot, Snapshot, SourceSnapshot, WorkerSnapshot};

/// A tap that has told nothing for this long does not make progress; it tells ten times a second.
const STUCK: Duration = Duration::from_secs(10);

/// The last that the tap told, and when.
pub struct Told {
    start: Instant,
    last: Mutex<(Snapshot, Instant)>,
}

impl Told {
    /// Nothing told yet.
    pub fn new() -> Self {
        Self { start: now(), last: Mutex::new((Snapshot::default(), now())) }
    }

    /// Tells the hops, and the rings.
    pub fn tell(&self, hops: &[(Hop, &Account)], sources: &mut [Opened]) {
        let hops: Vec<_> = hops.iter().map(|(hop, account)| HopSnapshot::of(hop.name(), account)).collect();
        let dropped = hops.iter().map(|hop| (hop.hop.clone(), hop.dropped.clone())).collect();
        let passed =
            |hop: Hop| hops.iter().find(|h| h.hop == hop.name()).map(|h| h.passed).unwrap_or_default();
        let (received, analysed) = (passed(Hop::Tap), passed(Hop::Spread));
        let worker = WorkerSnapshot { received, analysed, dropped, ..WorkerSnapshot::default() };
        let source = |(number, source): (u16, &mut Opened)| {
            let losses = source.ring.losses();
            SourceSnapshot {
                source: number,
                name: source.name.clone(),
                received: source.ring.account().passed,
                kernel_seen: losses.seen,
                kernel_dropped: losses.dropped,
                ..SourceSnapshot::default()
            }
        };
        let snapshot = Snapshot {
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            uptime: self.start.elapsed().as_secs_f64(),
            workers: vec![worker],
            sources: (0..).zip(sources).map(source).collect(),
            hops,
            ..Snapshot::default()
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (snapshot, now());
    }
}

impl Telling for Told {
    fn snapshot(&self) -> Snapshot {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = last.0.clone();
        let silent_for = last.1.elapsed().as_secs_f64();
        snapshot.workers.iter_mut().for_each(|worker| worker.silent_for = silent_for);
        snapshot
    }

    fn trouble(&self) -> Option<&'static str> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        (last.1.elapsed() >= STUCK).then_some("the tap makes no progress\n")
    }
}

#[cfg(test)]
mod tests {
    use weir_ledger::Count;

    use super::*;

    #[test]
    fn a_tap_tells_its_hops_and_what_ended_in_them() {
        let told = Told::new();
        let mut account = Account::default();
        account.enter(Count::new(5, 500));
        account.pass(Count::new(4, 400));
        account.drop(weir_ledger::Reason::Shed, Count::new(1, 100));
        told.tell(&[(Hop::Tap, &account)], &mut []);
        let snapshot = told.snapshot();
        assert_eq!((snapshot.hops.len(), snapshot.hops[0].entered.frames), (1, 5));
        assert_eq!(snapshot.workers[0].dropped["tap"]["shed"].frames, 1);
        assert_eq!(told.trouble(), None);
    }
}
