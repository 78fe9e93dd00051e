//! What a worker tells of itself in stats.log and capture_loss.log, as Zeek's workers do.
//!
//! Promises: a record is about the time since the one before it, or since the worker began; capture_loss.log has its first one
//! after [`FIRST_LOSS`], so that one need not wait long for an answer. Nothing is told when the sensor ends.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_analyse::Tally;
use weir_ledger::{Account, Reason, StreamAccount};
use weir_record::{CaptureLoss, Entry, Stats, Text};
use weir_tap::Losses;
use weir_wire::{Interval, Time};

use crate::config::sense::Every;

/// When the first record of capture_loss.log is written (Zeek: `CaptureLoss::initial_watch_interval`).
const FIRST_LOSS: Duration = Duration::from_mins(1);

/// What a worker has counted since it began, and what it has now.
#[derive(Clone, Copy)]
pub struct Readings<'a> {
    /// The ledger of its sources, kernel's drops included.
    pub tap: &'a Account,
    /// What was lost before its sources.
    pub losses: Losses,
    /// What its lane counted.
    pub tally: Tally,
    /// The ledger of TCP payload.
    pub streams: &'a StreamAccount,
    /// Memory of fragments.
    pub fragment_memory: usize,
    /// Records that it made.
    pub records: u64,
    /// How far the last packet was behind the clock when it came.
    pub lag: Option<Interval>,
}

/// What stood in the last record.
#[derive(Clone, Copy, Default)]
struct Before {
    packets: u64,
    bytes: u64,
    dropped: u64,
    link: u64,
    filtered: u64,
    records: u64,
    tally: Tally,
}

/// The records of one worker.
pub struct Meter {
    peer: Text,
    stats: Schedule,
    loss: Schedule,
    before: Before,
    acks: u64,
    gaps: u64,
}

/// When something is due.
struct Schedule {
    every: Option<Duration>,
    last: Instant,
    at: Instant,
}

impl Schedule {
    fn new(every: Every, first: Duration, now: Instant) -> Self {
        let every = every.0;
        Self { every, last: now, at: every.map_or(now, |every| now + every.min(first)) }
    }

    /// How long it was since the last time, if it is due.
    fn due(&mut self, now: Instant) -> Option<Duration> {
        let every = self.every.filter(|_| now >= self.at)?;
        let since = now.saturating_duration_since(self.last);
        self.last = now;
        self.at = now + every;
        Some(since)
    }
}

impl Meter {
    /// For the worker with this index, which begins `now`.
    pub fn new(index: usize, stats: Every, capture_loss: Every, now: Instant) -> Self {
        Self {
            // As the workers of a cluster of Zeek are called.
            peer: format!("worker-{}", index + 1).into(),
            stats: Schedule::new(stats, Duration::MAX, now),
            loss: Schedule::new(capture_loss, FIRST_LOSS, now),
            before: Before::default(),
            acks: 0,
            gaps: 0,
        }
    }

    /// Whether a record is due.
    pub fn is_due(&self, now: Instant) -> bool {
        [&self.stats, &self.loss].iter().any(|schedule| schedule.every.is_some() && now >= schedule.at)
    }

    /// The records that are due, at `ts` by the clock on the wall. `memory`: of the process, in bytes.
    pub fn records(&mut self, now: Instant, ts: Time, memory: u64, read: &Readings<'_>) -> Vec<Entry> {
        let stats = self.stats.due(now).map(|_| self.stats(ts, memory, read).into());
        let loss = self.loss.due(now).map(|since| self.loss(ts, since, &read.tally).into());
        stats.into_iter().chain(loss).collect()
    }

    fn stats(&mut self, ts: Time, memory: u64, read: &Readings<'_>) -> Stats {
        let Readings { tap, losses, tally, streams, .. } = *read;
        let dropped = tap.dropped(Reason::KernelDropped);
        let taken = [
            tap.entered.frames.saturating_sub(dropped.frames),
            tap.entered.bytes.saturating_sub(dropped.bytes),
        ];
        let [packets, bytes] = taken;
        let (filtered, link) = (tap.dropped(Reason::Filtered).frames, losses.seen);
        let records = read.records;
        let now = Before { packets, bytes, dropped: losses.dropped, link, filtered, records, tally };
        let before = std::mem::replace(&mut self.before, now);
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let [tcp, udp, icmp, _] = tally.active();
        let mut began = tally.began;
        began.iter_mut().zip(before.tally.began).for_each(|(now, before)| *now = since(*now, before));
        let [new_tcp, new_udp, new_icmp, _] = began;
        Stats {
            ts,
            peer: self.peer.clone(),
            mem: memory >> 20,
            pkts_proc: since(packets, before.packets),
            bytes_recv: since(bytes, before.bytes),
            pkts_dropped: Some(since(losses.dropped, before.dropped)),
            pkts_link: Some(since(link, before.link)),
            pkt_lag: read.lag,
            pkts_filtered: (filtered > 0).then(|| since(filtered, before.filtered)),
            events_proc: since(records, before.records),
            events_queued: since(records, before.records),
            active_tcp_conns: tcp,
            active_udp_conns: udp,
            active_icmp_conns: icmp,
            tcp_conns: new_tcp,
            udp_conns: new_udp,
            icmp_conns: new_icmp,
            timers: since(tally.timers, before.tally.timers),
            active_timers: tally.waiting_timers,
            files: since(tally.files, before.tally.files),
            active_files: tally.open_files,
            dns_requests: 0,
            active_dns_requests: 0,
            reassem_tcp_size: streams.held,
            reassem_file_size: tally.held_by_files,
            reassem_frag_size: read.fragment_memory as u64,
            reassem_unknown_size: 0,
        }
    }

    fn loss(&mut self, ts: Time, since: Duration, tally: &Tally) -> CaptureLoss {
        let acks = tally.acks.saturating_sub(std::mem::replace(&mut self.acks, tally.acks));
        let gaps = tally.gaps.saturating_sub(std::mem::replace(&mut self.gaps, tally.gaps));
        let percent_lost = if acks == 0 { 0.0 } else { 100.0 * gaps as f64 / acks as f64 };
        let ts_delta = Interval(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX));
        CaptureLoss { ts, ts_delta, peer: self.peer.clone(), gaps, acks, percent_lost }
    }
}

/// Memory of this process that is not swapped out, in bytes; 0 where the system does not tell.
pub fn resident_memory() -> u64 {
    let pages = || std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse::<u64>().ok();
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    pages().unwrap_or_default().saturating_mul(page as u64)
}

/// The time of day.
#[allow(clippy::disallowed_methods, reason = "records about the sensor have the time of its clock")]
pub fn wall() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, clippy::wildcard_enum_match_arm, reason = "tests")]
mod tests {
    use weir_ledger::Count;

    use super::*;

    fn every(seconds: u64) -> Every {
        Every(Some(Duration::from_secs(seconds)))
    }

    #[test]
    fn a_record_is_about_the_time_since_the_one_before() {
        let start = Instant::now();
        let mut meter = Meter::new(2, every(300), every(900), start);
        let mut tap = Account::default();
        tap.enter(Count::new(110, 9000));
        tap.pass(Count::new(100, 9000));
        tap.drop(Reason::KernelDropped, Count::new(10, 0));
        let losses = Losses { seen: 110, dropped: 10, ..Losses::default() };
        let tally = Tally { began: [7, 2, 1, 0], ended: [3, 0, 0, 0], acks: 40, gaps: 4, ..Tally::default() };
        let streams = StreamAccount { held: 77, ..StreamAccount::default() };
        let mut read = Readings {
            tap: &tap,
            losses,
            tally,
            streams: &streams,
            fragment_memory: 5,
            records: 9,
            lag: None,
        };
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!meter.is_due(at(59)) && meter.records(at(59), Time(0), 0, &read).is_empty());
        let loss = meter.records(at(60), Time(60), 0, &read);
        let [Entry::CaptureLoss(loss)] = loss.as_slice() else { panic!("{loss:?}") };
        assert_eq!((loss.acks, loss.gaps, loss.ts_delta), (40, 4, Interval::from_secs(60)));
        assert!((loss.percent_lost - 10.0).abs() < 1e-9);
        let stats = meter.records(at(300), Time(300), 3 << 20, &read);
        let [Entry::Stats(stats)] = stats.as_slice() else { panic!("{stats:?}") };
        assert_eq!((stats.pkts_proc, stats.bytes_recv, stats.mem), (100, 9000, 3));
        assert_eq!((stats.pkts_dropped, stats.pkts_link), (Some(10), Some(110)));
        assert_eq!((stats.active_tcp_conns, stats.tcp_conns, stats.udp_conns), (4, 7, 2));
        assert_eq!((stats.reassem_tcp_size, stats.reassem_frag_size, stats.events_proc), (77, 5, 9));
        assert_eq!(stats.peer, Text::from("worker-3"));
        read.tally.began = [8, 2, 1, 0];
        read.tally.acks = 41;
        let both = meter.records(at(960), Time(960), 0, &read);
        let [Entry::Stats(stats), Entry::CaptureLoss(loss)] = both.as_slice() else { panic!("{both:?}") };
        assert_eq!((stats.pkts_proc, stats.tcp_conns, stats.pkts_dropped), (0, 1, Some(0)));
        assert_eq!((loss.acks, loss.gaps), (1, 0));
    }

    #[test]
    fn what_is_turned_off_is_never_due() {
        let start = Instant::now();
        let meter = Meter::new(0, Every(None), Every(None), start);
        assert!(!meter.is_due(start + Duration::from_hours(24)));
    }

    #[test]
    fn this_process_takes_memory() {
        assert!(resident_memory() > 1 << 20);
    }
}
