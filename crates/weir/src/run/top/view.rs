//! From two snapshots to what is shown: rates.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::super::sense::snapshot::{Snapshot, WorkerSnapshot};

/// By what workers are sorted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Order {
    /// Their numbers.
    #[default]
    Number,
    /// Packets per second.
    Packets,
    /// Drops per second.
    Drops,
    /// Connections.
    Flows,
}

impl Order {
    /// The next one.
    pub const fn next(self) -> Self {
        match self {
            Self::Number => Self::Packets,
            Self::Packets => Self::Drops,
            Self::Drops => Self::Flows,
            Self::Flows => Self::Number,
        }
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Packets => "packets",
            Self::Drops => "drops",
            Self::Flows => "flows",
        }
    }
}

/// What is shown of a worker.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct WorkerRow {
    /// Its number.
    pub worker: usize,
    /// Packets per second that came to its lane.
    pub packets: f64,
    /// Bits per second that came to its lane.
    pub bits: f64,
    /// Packets per second that ended because somebody was too slow: see [`LOSSES`].
    pub drops: f64,
    /// Connections.
    pub flows: usize,
    /// How much of its fullest ring is in use.
    pub fill: Option<f64>,
    /// Seconds since it told something.
    pub silent_for: f64,
}

/// What is shown of a reason.
#[derive(Clone, PartialEq, Debug)]
pub struct ReasonRow {
    /// Where.
    pub hop: String,
    /// Its label.
    pub reason: String,
    /// Packets per second.
    pub rate: f64,
    /// Packets since the sensor began.
    pub total: u64,
}

/// Reasons that mean that weir, or what is around it, was too slow; the others tell what the traffic was like.
pub const LOSSES: [&str; 5] =
    ["kernel_dropped", "worker_queue_full", "left_at_stop", "worker_panic", "flow_table_full"];

/// All that is shown.
#[derive(Default, Debug)]
pub struct View {
    /// The last snapshot.
    pub now: Option<Snapshot>,
    before: Option<Snapshot>,
    /// Why there is no newer one.
    pub trouble: Option<String>,
    /// The sensor is not asked.
    pub paused: bool,
    /// By what workers are sorted.
    pub order: Order,
    /// Pairs are sorted by packets instead of bytes.
    pub by_packets: bool,
}

impl View {
    /// What the sensor answered.
    pub fn take(&mut self, answer: Result<Snapshot, String>) {
        match answer {
            Ok(snapshot) => {
                self.trouble = None;
                // Another process begins to count anew.
                self.before = self.now.take().filter(|before| before.pid == snapshot.pid);
                self.now = Some(snapshot);
            }
            Err(why) => self.trouble = Some(why),
        }
    }

    /// Seconds between the snapshots; none where there is one only.
    fn seconds(&self) -> Option<f64> {
        let seconds = self.now.as_ref()?.uptime - self.before.as_ref()?.uptime;
        (seconds > 0.0).then_some(seconds)
    }

    fn rate(&self, now: u64, before: Option<u64>) -> f64 {
        self.seconds().map_or(0.0, |seconds| now.saturating_sub(before.unwrap_or(0)) as f64 / seconds)
    }

    /// The workers, sorted.
    pub fn workers(&self) -> Vec<WorkerRow> {
        let Some(now) = &self.now else { return Vec::new() };
        let mut rows: Vec<_> = now.workers.iter().map(|worker| self.worker(now, worker)).collect();
        match self.order {
            Order::Number => rows.sort_by_key(|row| row.worker),
            Order::Packets => rows.sort_by(|a, b| b.packets.total_cmp(&a.packets)),
            Order::Drops => rows.sort_by(|a, b| b.drops.total_cmp(&a.drops)),
            Order::Flows => rows.sort_by_key(|row| Reverse(row.flows)),
        }
        rows
    }

    fn worker(&self, snapshot: &Snapshot, w: &WorkerSnapshot) -> WorkerRow {
        let before = self.before.as_ref().and_then(|b| b.workers.iter().find(|b| b.worker == w.worker));
        let lost = |w: &WorkerSnapshot| -> u64 {
            let reasons = w.dropped.values().flatten();
            reasons
                .filter(|(reason, _)| LOSSES.contains(&reason.as_str()))
                .map(|(_, count)| count.frames)
                .sum()
        };
        let fills = snapshot.sources.iter().filter(|source| source.worker == w.worker).filter_map(|s| s.fill);
        WorkerRow {
            worker: w.worker,
            packets: self.rate(w.analysed.frames, before.map(|b| b.analysed.frames)),
            bits: 8.0 * self.rate(w.analysed.bytes, before.map(|b| b.analysed.bytes)),
            drops: self.rate(lost(w), before.map(lost)),
            flows: w.flows,
            fill: fills.max_by(f64::total_cmp),
            silent_for: w.silent_for,
        }
    }

    /// The reasons for which packets ended, those that occur now first.
    pub fn reasons(&self) -> Vec<ReasonRow> {
        let Some(now) = &self.now else { return Vec::new() };
        let before: BTreeMap<_, _> = self.before.iter().flat_map(counts).collect();
        let row = |((hop, reason), total): ((&str, &str), u64)| ReasonRow {
            rate: self.rate(total, before.get(&(hop, reason)).copied()),
            hop: hop.to_owned(),
            reason: reason.to_owned(),
            total,
        };
        let mut rows: Vec<_> = counts(now).map(row).collect();
        rows.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(b.total.cmp(&a.total)));
        rows
    }
}

/// Packets by hop and reason.
fn counts(snapshot: &Snapshot) -> impl Iterator<Item = ((&str, &str), u64)> {
    snapshot.hops.iter().flat_map(|hop| {
        hop.dropped.iter().map(|(reason, count)| ((hop.hop.as_str(), reason.as_str()), count.frames))
    })
}

#[cfg(test)]
pub mod tests {
    use weir_ledger::Count;

    use super::super::super::sense::snapshot::{
        BusiestSnapshot, HopSnapshot, PairSnapshot, ServiceSnapshot, SourceSnapshot,
    };
    use super::*;

    /// A sensor with so many workers after so many seconds.
    pub fn snapshot(workers: usize, seconds: u64) -> Snapshot {
        let dropped = |n: u64| [("kernel_dropped".to_owned(), Count::new(n, 0))].into();
        let worker = |worker: usize| WorkerSnapshot {
            worker,
            analysed: Count::new(1000 * seconds * (worker as u64 + 1), 125_000 * seconds),
            flows: 100 - worker,
            dropped: [("tap".to_owned(), dropped(seconds * worker as u64))].into(),
            silent_for: 0.05,
            ..WorkerSnapshot::default()
        };
        let source = |worker| SourceSnapshot { worker, fill: Some(0.25), ..SourceSnapshot::default() };
        let mut all: BTreeMap<String, Count> = dropped(10 * seconds);
        all.insert("arp".into(), Count::new(7, 400));
        let pair = |i: u64| PairSnapshot {
            low: format!("10.0.0.{i}"),
            high: "2001:db8::1".into(),
            packets: i * 100,
            bytes: 1_000_000 / i,
        };
        let service =
            |(name, bytes): (&str, u64)| ServiceSnapshot { service: name.into(), packets: 1, bytes };
        Snapshot {
            version: "0.1.0".into(),
            pid: 77,
            uptime: seconds as f64,
            balance: "fanout".into(),
            workers: (0..workers).map(worker).collect(),
            sources: (0..workers).map(source).collect(),
            hops: vec![HopSnapshot { hop: "tap".into(), dropped: all, ..HopSnapshot::default() }],
            flows: 300,
            busiest: BusiestSnapshot {
                seconds: 2,
                pairs: (1..=20).map(pair).collect(),
                services: [("ssl", 900_000), ("http", 30_000), ("", 50)].map(service).into(),
            },
            ..Snapshot::default()
        }
    }

    #[test]
    fn rates_are_those_between_two_snapshots() {
        let mut view = View::default();
        view.take(Ok(snapshot(3, 10)));
        assert!(view.workers().iter().all(|row| row.packets == 0.0));
        view.take(Ok(snapshot(3, 12)));
        let rows = view.workers();
        assert_eq!((rows[2].packets, rows[2].bits, rows[2].drops), (3000.0, 1_000_000.0, 2.0));
        assert_eq!(rows[0].fill, Some(0.25));
        let reasons = view.reasons();
        assert_eq!(
            (reasons[0].reason.as_str(), reasons[0].rate, reasons[0].total),
            ("kernel_dropped", 10.0, 120)
        );
        assert_eq!((reasons[1].reason.as_str(), reasons[1].rate), ("arp", 0.0));
        view.order = Order::Drops;
        assert_eq!(view.workers()[0].worker, 2);
        view.order = Order::Flows;
        assert_eq!(view.workers()[0].worker, 0);
    }

    #[test]
    fn another_process_begins_anew_and_a_silent_one_leaves_what_was_seen() {
        let mut view = View::default();
        view.take(Ok(snapshot(1, 100)));
        view.take(Err("no sensor answers".into()));
        assert!(view.trouble.is_some() && view.workers().len() == 1);
        view.take(Ok(Snapshot { pid: 78, ..snapshot(1, 1) }));
        assert!(view.trouble.is_none() && view.workers()[0].packets == 0.0);
        view.take(Ok(Snapshot { pid: 78, ..snapshot(1, 2) }));
        assert!((view.workers()[0].packets - 1000.0).abs() < 1e-6);
    }
}
